"""What all cases come to: the weakest points, the least egress, what one more wire is worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from qnet.model.sweep import CaseResult, Survivable, Sweep, WeakPoint, WireRank
from qnet.sweeps.failures import US_PER_YEAR


def summed(sweep: Sweep) -> Sweep:
    """Return a whole sweep with its sums; a shard has none."""
    if sweep.shard is not None:
        return sweep
    return sweep.replace(
        ranking=tuple(_weak_points(sweep.results)),
        survivable=tuple(_survivable(sweep)),
        wires=tuple(_wires(sweep.results)),
    )


def _weak_points(results: Sequence[CaseResult]) -> Iterable[WeakPoint]:
    """Rank by promises broken after planning anew, then before, then by the rate lost.

    Among those that are alike in this the one that is broken for longer comes first; one that
    nothing gives a rate for counts as never broken there.
    """

    def weight(one: CaseResult) -> tuple[int, ...]:
        assert one.kept is not None, "it was looked at"
        assert one.replanned is not None, "it was looked at"
        return (
            -one.replanned.promises_broken,
            -one.kept.promises_broken,
            -one.replanned.lost_bps,
            -one.kept.lost_bps,
            -(one.case.failure.broken_us_per_year or 0),
            one.case.number,
        )

    looked = [one for one in results if one.kept is not None and one.case.failure.ports]
    for one in sorted(looked, key=weight):
        assert one.replanned is not None, "it was looked at"
        broken_us = one.case.failure.broken_us_per_year
        lost_bps = one.replanned.lost_bps
        yield WeakPoint(
            case=one.case.number,
            expected_lost_bps=None if broken_us is None else lost_bps * broken_us // US_PER_YEAR,
        )


def _survivable(sweep: Sweep) -> Iterable[Survivable]:
    """Return the least egress over all cases with a failure, for each variant and site.

    But for the one in which the whole site fails.
    """
    least: dict[tuple[int, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for one in sweep.results:
        if not one.case.failure.ports:
            continue
        for what, state in (("kept", one.kept), ("replanned", one.replanned)):
            for left in () if state is None else state.egress:
                if f"site {left.site}" in one.case.failure.names:
                    continue  # nobody is left there to send
                found = (left.placed_bps, one.case.number)
                known = least[one.case.variant, left.site]
                known[what] = min(found, known.get(what, found))
    required = dict(sweep.required)
    for (variant, site), known in sorted(least.items()):
        yield Survivable(
            variant=variant,
            site=site,
            required_bps=required[site],
            kept_bps=known["kept"][0],
            kept_case=known["kept"][1],
            replanned_bps=known["replanned"][0],
            replanned_case=known["replanned"][1],
        )


def _wires(results: Sequence[CaseResult]) -> Iterable[WireRank]:
    """Rank links by the most that one more wire of them brings in any case."""
    gains: dict[str, list[tuple[int, int]]] = defaultdict(list)
    intact: dict[str, int] = defaultdict(int)
    for one in results:
        for wire in one.wires:
            if one.case.failure.ports:
                gains[wire.link].append((wire.gain_bps, -one.case.number))
            else:
                intact[wire.link] = max(intact[wire.link], wire.gain_bps)
    found = [
        WireRank(
            link=link,
            intact_bps=intact[link],
            most_bps=max(every, default=(0, 0))[0],
            most_case=-max(every, default=(0, 0))[1],
            cases=len(every),
        )
        for link, every in ((link, gains[link]) for link in {*gains, *intact})
    ]
    yield from sorted(found, key=lambda one: (-one.cases, -one.most_bps, one.link))
