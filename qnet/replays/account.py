"""What a window leaves: the account of every stream and demand, small enough to be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qnet.model.emulation import Emulation
from qnet.model.fields import Noun
from qnet.model.loads import attack_name
from qnet.model.observation import EventUse, LatencySeries, Observation, Traffic
from qnet.model.replay import EmulatedWindow
from qnet.model.verdict import Outcome, Verdict
from qnet.replays.windows import Case, Window


class Count(Noun):
    """What became of one stream or demand in a window."""

    name: str
    sent: int
    lost: int
    late: int
    in_flight: int
    latency_ps_max: int | None


class Share(Noun):
    """What an event of the timeline took of one stream or demand."""

    event: int
    name: str
    frames: int


class WindowRow(Noun):
    """A line of a window's verdict that is not known to be kept."""

    subject: str
    kind: str
    outcome: Outcome
    broken: int
    worst: str | None
    reason: str | None


class WindowAccount(Noun):
    """All that is kept of a window."""

    key: str
    """Hash of what was run: another one is another run."""
    number: int
    from_ps: int
    until_ps: int
    seed: int
    frames: int
    frame_hops: int
    findings: tuple[str, ...]
    rows: tuple[WindowRow, ...]
    streams: tuple[Count, ...]
    demands: tuple[Count, ...]
    taken: tuple[Share, ...]
    end_ps: tuple[int, ...]
    sent_bytes: tuple[int, ...]
    lost_frames: tuple[int, ...]
    latencies: tuple[LatencySeries, ...]
    emulated: EmulatedWindow | None = None


def account_of(
    key: str,
    window: Window,
    case: Case,
    seen: Observation,
    verdict: Verdict,
    real: Emulation | None = None,
) -> WindowAccount:
    """Return what is kept of a window that was run and judged.

    Attacks are called after their place in the timeline, not in the window.
    """
    own = {attack_name(place): attack_name(number) for place, number in enumerate(case.events)}
    return WindowAccount(
        key=key,
        number=window.number,
        from_ps=window.from_ps,
        until_ps=window.until_ps,
        seed=seen.seed,
        frames=seen.frames,
        frame_hops=seen.frame_hops,
        findings=verdict.findings,
        rows=tuple(
            WindowRow(
                subject=row.subject,
                kind=row.kind,
                outcome=row.outcome,
                broken=row.broken,
                worst=row.worst,
                reason=row.reason,
            )
            for row in verdict.rows
            if row.outcome != "pass"
        ),
        streams=tuple(_count(one, one.name) for one in seen.streams),
        demands=tuple(_count(one, own.get(one.name, one.name)) for one in seen.demands),
        taken=tuple(_shares(case, seen.events, own)),
        end_ps=seen.series_end_ps,
        sent_bytes=_sums([one.sent_bytes for one in seen.series]),
        lost_frames=_sums([one.dropped for one in seen.series]),
        latencies=seen.latencies,
        emulated=None if real is None else _emulated(real),
    )


def _emulated(real: Emulation) -> EmulatedWindow:
    return EmulatedWindow(
        tier=real.tier,
        frames=real.frames,
        hops=real.hops,
        delivered=sum(one.delivered for one in real.streams),
        lost=sum(one.lost for one in real.streams),
        difference_ps=max((one.difference_ps or 0 for one in real.streams), default=0),
        void=real.void,
    )


def _sums(series: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Add up the series of all ports."""
    return tuple(map(sum, zip(*series, strict=True)))


def _count(one: Traffic, name: str) -> Count:
    return Count(
        name=name,
        sent=one.sent,
        lost=one.lost,
        late=one.late,
        in_flight=one.in_flight,
        latency_ps_max=one.latency_ps_max,
    )


def _shares(case: Case, uses: Sequence[EventUse], own: Mapping[str, str]) -> list[Share]:
    """Add up what the parts of each event of the timeline took; `own` are names of attacks."""
    frames: dict[tuple[int, str], int] = {}
    for number, use in zip(case.events, uses, strict=True):
        for taken in use.lost:
            key = number, own.get(taken.name, taken.name)
            frames[key] = frames.get(key, 0) + taken.frames
    return [
        Share(event=event, name=name, frames=count)
        for (event, name), count in sorted(frames.items())
    ]
