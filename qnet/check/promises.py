"""One promise of one member: kept, broken, or not known, and how that is known.

- *Broken* is what was seen beyond the promise, what arithmetic excludes whoever watches, and a
  reservation whose proof does not hold.
- *Kept, proven*: no arrival can break it.
- *Kept, seen*: its mechanism has no proof, and a witness saw it kept in steady state.
- All else is not known: nothing that speaks for it was seen, or its mechanism has a bound that lies
  beyond the promise. Then some arrivals may break it, and a run without them shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

from qnet.check.findings import exact_time
from qnet.check.line import ceil_div, wire_bytes
from qnet.model.observation import Observation, Traffic
from qnet.model.traffic import DURATION_PS_HIGHEST, Demand, Stream
from qnet.model.verdict import Basis, Outcome
from qnet.units import PPB, PS_PER_S, show_share, show_time

Kind = Literal["latency", "variation", "loss"]

Member = Stream | Demand

LONGER_RUN = "a longer run"
"""How the words begin that say that more time would decide a promise."""

RESERVING = "a mechanism with a proof (tcqf, csqf, cqf, qbv)"

GAPS_AWAITED = 20
"""Times between two frames, on average, in which one is sure to come: at random, but for one run
in a hundred million."""


class Seen:
    """What each witness saw of every stream, of every demand and of every port."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        self.runs: Mapping[str, Observation] = {run.witness: run for run in observations}
        self.streams = {run.witness: {one.name: one for one in run.streams} for run in observations}
        self.demands = {run.witness: {one.name: one for one in run.demands} for run in observations}
        self.drawn: Mapping[str, int] = {
            one.subject: one.value
            for run in observations
            for one in run.figures
            if one.kind == "availability"
        }
        """Shares of the time with a way, by stream, of failures that were drawn."""
        self.longest = max(self.runs.values(), key=lambda run: run.duration_ps, default=None)

    def of(self, member: Member) -> Mapping[str, Traffic]:
        """Return what each witness has of a member."""
        every = self.streams if isinstance(member, Stream) else self.demands
        return {
            witness: some[member.name] for witness, some in every.items() if member.name in some
        }

    def figures(
        self, member: Member, figure: Callable[[Traffic], int | None]
    ) -> dict[str, int | None]:
        """Return one figure of a member from each witness that was asked."""
        accounts = self.of(member)
        return {name: figure(accounts[name]) if name in accounts else None for name in self.runs}

    def speaking(self, member: Member, kind: Kind) -> int:
        """Return how many frames speak for a figure of a member: the most that a witness saw."""
        accounts = self.of(member).values()
        return max((speaking(account, member, kind) for account in accounts), default=0)

    def is_all_lost(self, member: Member) -> bool:
        """Whether witnesses saw frames of a member lost and none come, with few on their way."""
        accounts = self.of(member).values()
        come = any(one.copies for one in accounts)
        return not come and any(one.lost > one.in_flight for one in accounts)

    def account(self, member: Member) -> Traffic | None:
        """Return what the witness that watched for longest has of a member."""
        return None if self.longest is None else self.of(member).get(self.longest.witness)

    @cached_property
    def steady_ps(self) -> int:
        """When a run is steady, as the simulator counts it, also where a run was shorter."""
        run = self.longest
        if run is None:
            return 0
        floor_ps = max((one.floor_ps for one in (*run.streams, *run.demands)), default=0)
        return max(run.steady_from_ps, floor_ps * 21 // 20)


class MemberFigures(NamedTuple):
    """One member of a service: one figure as promised, as proven and as each witness saw it."""

    member: Member
    kind: Kind
    promised: int | None
    proven: int | None
    seen: Mapping[str, int | None]
    """Witnesses that were asked; None where nothing of the member went through."""
    frames: int
    """Frames that speak for it: the most that a witness saw come in its steady state."""
    needs_proof: bool
    impossible: str | None = None
    """Why arithmetic says that it cannot be kept."""
    is_all_lost: bool = False
    """Whether frames were lost and none came: a bound speaks of those that come."""
    is_silent: bool = False
    """Whether events let nothing of it be sent: no frame breaks a promise then."""

    @property
    def over(self) -> int:
        """How far the largest figure is beyond the promise; negative when inside it.

        Of what reserves nothing the proof is a bound that need never be reached: beyond the promise
        it breaks nothing.
        """
        promised, proven = self.promised or 0, self.proven
        figures = [one for one in self.seen.values() if one is not None]
        if proven is not None and (self.needs_proof or proven <= promised):
            figures.append(proven)
        return max(figures, default=0) - promised

    @property
    def outcome(self) -> Outcome:
        """Whether the promise is kept; where nothing is promised, nothing can be broken."""
        if self.promised is None or self.is_silent:
            return "pass"
        if self.impossible or self.over > 0:
            return "fail"
        if self.needs_proof:
            return "pass" if self.proven is not None else "fail"
        if self.proven is not None:
            known = self.proven <= self.promised and not self.is_all_lost
            return "pass" if known else "unknown"
        return "pass" if self.frames else "unknown"

    @property
    def basis(self) -> Basis | None:
        """How it is known that the promise is kept."""
        if self.promised is None or self.outcome != "pass":
            return None
        return "seen" if self.proven is None and not self.is_silent else "proven"

    @property
    def merit(self) -> tuple[int, bool, int]:
        """Order from worst to best: by outcome, promised first, furthest beyond the promise."""
        order = ("fail", "unknown", "pass").index(self.outcome)
        return order, self.promised is None, -self.over

    def reason(self, show: Callable[[int], str], seen: Seen) -> str | None:
        """Say in words why the promise is not kept, or not known to be."""
        if self.outcome == "unknown":
            return self._why_not_known(show, seen)
        if self.outcome == "pass":
            return None
        over = f"{show(self.over)} over the promise" if self.over > 0 else None
        why = [one for one in (over, self.impossible) if one]
        return "; ".join(why) or "nothing is proven: a broken rule can reach it"

    def _why_not_known(self, show: Callable[[int], str], seen: Seen) -> str:
        run = seen.longest
        if self.proven is not None and self.is_all_lost:
            why = "every frame of it whose fate is known was lost, so that none keeps it"
        elif self.proven is not None:
            beyond = f"the bound is {show(self.proven - (self.promised or 0))} beyond the promise"
            within = f"what was seen {show(-self.over)} within it"
            why = f"{beyond}, {within if self.frames else 'and nothing of it was seen'}"
        elif run is None:
            why = "nothing is proven of it, and no witness was asked"
        elif run.steady_from_ps >= run.duration_ps:
            why = f"the run of {show_time(run.duration_ps)} ended before it was steady"
        else:
            why = self._why_not_seen(run, seen.account(self.member))
        return why

    def _why_not_seen(self, run: Observation, account: Traffic | None) -> str:
        watched = show_time(run.duration_ps)
        if account is None or not account.sent:
            when = ""
            if isinstance(self.member, Stream):
                when = f", one comes every {show_time(self.member.interval_ps)}"
            return f"no frame of it was due in the {watched} of the run{when}"
        if self.kind == "variation" and account.copies == 1:
            return "one frame was seen, which says nothing of how much they vary"
        steady = f"{show_time(run.steady_from_ps)} to {watched}"
        return f"nothing of it was seen in the steady part of the run, {steady}"

    def decided_by(self, seen: Seen) -> str | None:
        """Say what would show whether the promise is kept, where that is not known."""
        if self.outcome != "unknown":
            return None
        if self.proven is not None and self.is_all_lost:
            return f"{LONGER_RUN}, or a way whose links, meters and buffers let its frames through"
        if self.proven is not None:
            loss = f"a promise of {show_share(self.proven)}"
            time = f"a promise of {exact_time(self.proven)}, or {RESERVING}"
            return loss if self.kind == "loss" else time
        proof = f", or {RESERVING}" if isinstance(self.member, Stream) else ""
        if seen.longest is None:
            return f"a run ('qnet run', 'qnet simulate'){proof}"
        needed_ps = two_digits(self._enough_ps(seen, seen.longest))
        if needed_ps > DURATION_PS_HIGHEST:
            return f"no run, which lasts {exact_time(DURATION_PS_HIGHEST)} at most{proof}"
        return f"{LONGER_RUN} ('--duration {exact_time(needed_ps)}'){proof}"

    def _enough_ps(self, seen: Seen, run: Observation) -> int:
        """Return how long a run must be to see enough frames of the member once it is steady.

        A stream's first interval begins at random: 40 ms of settling and 10 s of interval are
        10.04 s and the frame's way.
        """
        if isinstance(self.member, Demand):
            bits = max(wire_bytes(size) for size, _ in self.member.sizes) * 8
            bits *= self.member.burst_packets
            points = self.member.flow_sizes or ()
            before = (0, *(share for _, share in points))
            flows = sum(n * (share - low) for (n, share), low in zip(points, before, strict=False))
            bits *= max(ceil_div(flows, PPB), 1)
            gap_ps = ceil_div(bits * PS_PER_S, self.member.rate_bps)
            return 2 * seen.steady_ps + GAPS_AWAITED * gap_ps
        intervals = 2 if self.kind == "variation" and self.member.max_packets == 1 else 1
        way_ps = self.member.max_latency_ps or seen.steady_ps
        enough_ps = seen.steady_ps + intervals * self.member.interval_ps + way_ps
        account = seen.account(self.member)
        # Of frames that were sent and did not come nobody knows when they will.
        return max(enough_ps, 2 * run.duration_ps) if account and account.sent else enough_ps


def speaking(account: Traffic, member: Member, kind: Kind) -> int:
    """Return how many frames in steady state speak for a figure of a member.

    Of several sizes the line time of all tells how many there were at least. One frame alone says
    nothing of variation.
    """
    if not account.steady_bytes:
        return 0
    sizes = [member.frame_bytes] if isinstance(member, Stream) else [s for s, _ in member.sizes]
    frames = max(account.steady_bytes // wire_bytes(max(sizes)), 1)
    return 0 if kind == "variation" and account.copies < 2 else frames


def lost_ppb(account: Traffic) -> int | None:
    """Return the share lost, rounded up, so that one frame of many is not nothing."""
    return ceil_div(account.lost * PPB, account.sent) if account.sent else None


def two_digits(time_ps: int) -> int:
    """Round a time up to two digits: 10.04 s to 11 s."""
    step: int = 10 ** max(len(str(time_ps)) - 2, 0)
    return ceil_div(time_ps, step) * step
