"""The two goals, and how the highest load is found at which each is met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from qnet import api
from qnet.check.promises import LONGER_RUN
from qnet.errors import ArgumentError, EnvironmentMissing, Problem
from qnet.loads.bound import FlowBound, LoadBound, fullest, port_bound
from qnet.loads.figures import counts_of, point_of
from qnet.loads.forecast import Forecast
from qnet.loads.search import Counted, Guess, highest, search_losses
from qnet.model.emulation import Emulation, Tier
from qnet.model.load_limit import (
    PPM,
    BoundBy,
    LoadLimit,
    LoadPoint,
    LoadTrial,
    SiteRate,
    loads_looked_at,
    show_load,
)
from qnet.model.observation import Observation
from qnet.model.plan import DemandPlan, Plan
from qnet.model.proof import Proof
from qnet.model.scale import Chosen, scaled
from qnet.model.scenario import Scenario
from qnet.model.traffic import Demand, Stream
from qnet.model.verdict import Outcome, Verdict
from qnet.progress import Heeded, Progress
from qnet.report.text import reason as reason_of
from qnet.report.text import subject
from qnet.units import RATIO, format_quantity

REASONS = 5
"""Of a trial, at most."""

PORTS = 5
"""Named as those that have no room, at most."""


class LoadQuestion(NamedTuple):
    """What is scaled, and how closely the limit is looked for."""

    scenario: Scenario
    words: str
    chosen: Chosen
    width_ppm: int
    threads: int | None
    progress: Progress | None
    emulate: Tier | None = None
    """Trials send a sample of their frames through real switches, too; looks between do not."""
    sample: int | None = None


def emulated(
    case: Scenario,
    known: tuple[Plan, Proof, Observation],
    tier: Tier,
    sample: int | None,
    progress: Progress | None,
) -> Emulation:
    """Send a sample of a trial's frames through real switches.

    Raises EnvironmentMissing where they cannot keep up: then nothing is known of the load.
    """
    made = api.play(case, *known, tier=tier, sample=sample, progress=progress)
    if made.void:
        raise EnvironmentMissing(f"the switches could not keep up: {made.void}")
    return made


class _Search:
    """What both goals have: scaled scenarios, trials in order, what was seen at each load."""

    def __init__(self, asked: LoadQuestion) -> None:
        self.asked = asked
        self.heeded = Heeded(asked.progress, "bound the load")
        self.trials: list[LoadTrial] = []
        self.seen: dict[int, tuple[LoadPoint, Observation]] = {}

    def scenario(self, scale_ppm: int) -> Scenario:
        """Return the scenario at a load; what a site must send is no goal of it."""
        case = self.asked.scenario
        profile = scaled(case.profile, Fraction(scale_ppm, PPM), self.is_scaled)
        sites = tuple(one.replace(rate_bps=1) for one in profile.egress)
        return case.with_(profile=profile.replace(egress=sites))

    def is_scaled(self, one: Stream | Demand) -> bool:
        """Tell what is scaled of what was asked for."""
        return self.asked.chosen(one)

    def send(self, case: Scenario, plan: Plan, scale_ppm: int) -> Observation:
        """Send every frame at a load, once a load, and keep what it met."""
        if scale_ppm not in self.seen:
            threads, progress = self.asked.threads, self.asked.progress
            seen = api.observe(case, plan, threads=threads, progress=progress)
            point = point_of(case.profile, seen, scale_ppm, case.offered_bps)
            self.seen[scale_ppm] = point, seen
        return self.seen[scale_ppm][1]

    def play(self, case: Scenario, plan: Plan, proof: Proof, seen: Observation) -> Emulation | None:
        """Send a sample of a trial's frames through real switches, if that is asked for."""
        asked = self.asked
        if asked.emulate is None:
            return None
        made = plan, proof, seen
        return emulated(case, made, asked.emulate, asked.sample, asked.progress)

    def note(
        self,
        case: Scenario,
        witnesses: tuple[Observation, Emulation | None],
        scale_ppm: int,
        outcome: Outcome,
        reasons: Sequence[str] = (),
    ) -> None:
        """Note a trial."""
        seen, real = witnesses
        offered, lost = counts_of(case.profile, seen, self.is_scaled)
        frames = None if real is None else counts_of(case.profile, real.observation, _any)
        trial = LoadTrial(
            scale_ppm=scale_ppm,
            offered_bps=case.offered_bps,
            outcome=outcome,
            reasons=tuple(reasons)[:REASONS],
            offered=offered,
            lost=lost,
            real_frames=None if frames is None else frames[0],
            real_lost=None if frames is None else frames[1],
        )
        self.trials.append(trial)

    def answer(
        self, lower_ppm: int | None, look: Callable[[int], object], **more: Any
    ) -> LoadLimit:
        """Return what was found, once there are looks at shares of the lower bound too."""
        for at_ppm in loads_looked_at(lower_ppm).values():
            if at_ppm not in self.seen:
                look(at_ppm)
        profile = self.asked.scenario.profile
        return LoadLimit(
            title=profile.title,
            width_ppm=self.asked.width_ppm,
            duration_ps=profile.simulation.duration_ps,
            seed=profile.simulation.seed,
            emulated=self.asked.emulate,
            lower_ppm=lower_ppm,
            trials=tuple(self.trials),
            points=tuple(self.seen[one][0] for one in sorted(self.seen)),
            **more,
        )


@dataclass(frozen=True)
class _Made:
    """A load that is planned and proven."""

    case: Scenario
    plan: Plan
    proof: Proof

    @cached_property
    def excluded(self) -> tuple[str, ...]:
        """What the plan, or the proof of it, says is not kept."""
        verdict = api.judge(self.case, self.plan, self.proof)
        rows = [one for one in verdict.rows if one.outcome == "fail"]
        broken = (f"{subject(one)}: {reason_of(one)}" for one in rows)
        return (*verdict.findings, *broken)


class Promises(_Search):
    """Every promise is known to be kept, by a plan that is made for each load."""

    def __init__(self, asked: LoadQuestion) -> None:
        super().__init__(asked)
        self._made: dict[int, _Made] = {}

    def find(self) -> LoadLimit:
        """Search from the bounds down."""
        asked, case = self.asked, self.asked.scenario
        bound = FlowBound(case.topology, case.profile, asked.chosen).find()
        steps = -(-PPM // asked.width_ppm)

        def load(step: int) -> int:
            return bound.carried_ppm * step // steps

        proven = highest(lambda step: not self._plan(load(step)).excluded, steps)
        lower = highest(lambda step: self._kept(load(step)), proven)
        by: BoundBy = "linear program"
        upper_ppm, limited = bound.excluded_ppm, _named(bound.ports)
        if lower < steps:
            by = "trial" if lower < proven else "proof"
            upper_ppm = load(lower + 1)
            limited = (*self._why(upper_ppm, by), *self._full(upper_ppm))
        irregular = None
        if not lower:
            irregular = "no load that was tried meets the goal: there is no lower bound"
        return self.answer(
            load(lower) or None,
            self._look,
            scaled=asked.words,
            goal="promises",
            bound_ppm=bound.carried_ppm,
            bound_ports=bound.ports,
            proven_ppm=load(proven),
            upper_ppm=upper_ppm,
            upper_by=by,
            irregular=irregular,
            limited_by=limited,
            egress=self._egress(load(lower)) if lower else (),
        )

    def _plan(self, scale_ppm: int) -> _Made:
        """Plan and prove at a load, once."""
        if scale_ppm not in self._made:
            self.heeded.stage(f"prove at {show_load(scale_ppm)}")
            case = self.scenario(scale_ppm)
            plan = api.plan(case, progress=self.asked.progress)
            self._made[scale_ppm] = _Made(case, plan, api.prove(case, plan))
        return self._made[scale_ppm]

    def _kept(self, scale_ppm: int) -> bool:
        """Send frames at a load, and say whether every promise is known to be kept."""
        made = self._plan(scale_ppm)
        seen = self.send(made.case, made.plan, scale_ppm)
        real = self.play(made.case, made.plan, made.proof, seen)
        progress = self.asked.progress
        result = api.answer(made.case, made.plan, made.proof, seen, real, progress=progress)
        _refuse_short(result.verdict)
        reasons = () if result.passed else result.reasons
        self.note(made.case, (seen, real), scale_ppm, result.outcome, reasons)
        return result.passed

    def _look(self, scale_ppm: int) -> None:
        """See what frames meet at a load that is known to be carried."""
        made = self._plan(scale_ppm)
        self.send(made.case, made.plan, scale_ppm)

    def _why(self, scale_ppm: int, by: BoundBy) -> tuple[str, ...]:
        """Say what is not kept at the upper bound."""
        if by == "trial":
            (trial,) = (one for one in self.trials if one.scale_ppm == scale_ppm)
            return trial.reasons
        return self._plan(scale_ppm).excluded[:REASONS]

    def _full(self, scale_ppm: int) -> tuple[str, ...]:
        """Name the ports that are fullest in the plan for a load."""
        made = self._plan(scale_ppm)
        found = fullest(made.case.topology, made.case.profile, made.plan, PORTS)
        return tuple(f"{port} is {format_quantity(RATIO, fill)} full" for port, fill in found)

    def _egress(self, scale_ppm: int) -> tuple[SiteRate, ...]:
        """Return what leaves each site with required egress, and the most that any plan sends."""
        return tuple(
            SiteRate(site=one.site, placed_bps=one.placed_bps, bound_bps=one.bound_bps)
            for one in self._plan(scale_ppm).plan.egress
        )


def _refuse_short(verdict: Verdict) -> None:
    """Refuse trials that are too short to know anything, whatever the load."""
    rows = [one for one in verdict.rows if one.outcome == "unknown"]
    short = [one for one in rows if (one.decided_by or "").startswith(LONGER_RUN)]
    if verdict.outcome == "unknown" and len(short) == len(rows):
        words = f"trials are too short: {subject(short[0])}: {reason_of(short[0])}"
        raise ArgumentError([Problem("duration", 0, 0, "", words)])


def _any(_: Stream | Demand) -> bool:
    return True


def _named(ports: Sequence[str]) -> tuple[str, ...]:
    if not ports:
        return ()
    more = f" and {len(ports) - PORTS} more" if len(ports) > PORTS else ""
    return (f"no room at {', '.join(ports[:PORTS])}{more}",)


def _offering(entry: DemandPlan, scale_ppm: int, rate_bps: int) -> DemandPlan:
    """Return where a demand goes, with all of its parts offering more or less."""
    parts = tuple(
        part.replace(rate_bps=max(part.rate_bps * scale_ppm // PPM, 1)) for part in entry.parts
    )
    placed_bps = sum(part.rate_bps for part in parts)
    return entry.replace(rate_bps=rate_bps, placed_bps=placed_bps, parts=parts)


class Losses(_Search):
    """A share of the frames at most is lost, over ways that stay as they are planned."""

    def __init__(self, asked: LoadQuestion, loss_ppb: int) -> None:
        super().__init__(asked)
        self._loss_ppb = loss_ppb
        if not any(map(asked.chosen, asked.scenario.profile.demands)):
            words = f"no demand is of {asked.words}; what is lost of streams that reserve room "
            words += "does not depend on their load: search with goal promises"
            raise ArgumentError([Problem("goal", 0, 0, "", words)])

    @cached_property
    def plan(self) -> Plan:
        """The plan for the profile's own load."""
        return api.plan(self.asked.scenario, progress=self.asked.progress)

    @cached_property
    def bound(self) -> LoadBound:
        """What the ports of its ways can send for ever."""
        case = self.asked.scenario
        chosen = self.asked.chosen
        return port_bound(case.topology, case.profile, self.plan, chosen, self._loss_ppb)

    def find(self) -> LoadLimit:
        """Search from what the ports of the ways carry for ever down."""
        asked = self.asked
        bound = self.bound
        if bound.carried_ppm < 2:
            words = "reserved streams fill a port of its way: no load of it is carried for ever"
            raise ArgumentError([Problem("goal", 0, 0, asked.words, words)])
        most_ppm, loss_ppb = bound.carried_ppm, self._loss_ppb
        found = search_losses(self.measure, self._guess, most_ppm, loss_ppb, asked.width_ppm)
        lower, upper = found.lower_ppm, found.upper_ppm
        by: BoundBy = "trial"
        irregular = None
        limited = _named(bound.ports)
        if upper is None:
            upper, by = bound.excluded_ppm, "rates of ports"
            irregular = (
                "the highest load that was tried meets the goal: what its ports can send for "
            )
            irregular += "ever excludes more, and no trial does"
        else:
            limited = self._why(upper)
        if lower is None:
            irregular = "more is lost at the lowest load, too: there is no lower bound"
        return self.answer(
            lower,
            self._send,
            scaled=f"demands of {asked.words}",
            goal="loss",
            loss_ppb=self._loss_ppb,
            bound_ppm=bound.carried_ppm,
            bound_ports=bound.ports,
            upper_ppm=upper,
            upper_by=by,
            irregular=irregular,
            limited_by=limited,
        )

    def is_scaled(self, one: Stream | Demand) -> bool:
        """Tell demands alone: streams stay as they are planned."""
        return isinstance(one, Demand) and self.asked.chosen(one)

    def at(self, scale_ppm: int) -> tuple[Scenario, Plan]:
        """Return what there is at a load: more or less goes over the ways that there are."""
        case = self.scenario(scale_ppm)
        rates = {one.name: one.rate_bps for one in case.profile.demands if self.is_scaled(one)}
        demands = tuple(
            _offering(one, scale_ppm, rates[one.name]) if one.name in rates else one
            for one in self.plan.demands
        )
        return case, self.plan.replace(demands=demands)

    def _send(self, scale_ppm: int) -> tuple[Scenario, Plan, Observation]:
        """Send frames at a load."""
        self.heeded.stage(f"send at {show_load(scale_ppm)}")
        case, plan = self.at(scale_ppm)
        return case, plan, self.send(case, plan, scale_ppm)

    def measure(self, scale_ppm: int) -> Counted:
        """Send frames at a load, and count what is lost of what is scaled."""
        case, plan, seen = self._send(scale_ppm)
        real = None
        if self.asked.emulate is not None:
            real = self.play(case, plan, api.prove(case, plan), seen)
        offered, lost = counts_of(case.profile, seen, self.is_scaled)
        reasons = list(real.findings) if real is not None else []
        if reasons:
            # Switches did otherwise than the plan says: none of it counts as forwarded.
            lost = offered
        elif lost * 10**9 > self._loss_ppb * offered:
            reasons.append(f"{lost:,} of {offered:,} frames lost")
        self.note(case, (seen, real), scale_ppm, "fail" if reasons else "pass", reasons)
        return Counted(offered, lost)

    def _guess(self, scale_ppm: int) -> Guess:
        """Guess, by what a trial lost, at which load it would have lost no more than it may."""
        self.heeded.stage(f"look at what was lost at {show_load(scale_ppm)}")
        trial = (*self.at(scale_ppm), self.seen[scale_ppm][1])
        made = Forecast(trial, scale_ppm, self.is_scaled, self.asked.threads)
        how = self._loss_ppb, self.asked.width_ppm
        return lambda low, high: made.highest(low, high, *how) if made.is_known else None

    def _why(self, scale_ppm: int) -> tuple[str, ...]:
        """Name the ports that dropped most of the frames at a load."""
        _, seen = self.seen[scale_ppm]
        dropped = sorted((-one.dropped, one.port) for one in seen.ports if one.dropped)
        return tuple(f"{port} dropped {-count:,} frames" for count, port in dropped[:PORTS])
