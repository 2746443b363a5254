"""One case after the other, in whatever process: a pure function of the work and the case.

What is the same in all cases is done once in a process: candidates, flows and the plan's hashes are
those of the variant, which is kept until a case of another one comes.
"""

from __future__ import annotations

import traceback
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

from qnet import api
from qnet.check.plan import Known, prove
from qnet.layers import hooks
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.scenario import Scenario
from qnet.model.sweep import CaseLoss, CaseResult, Depth, FailureOf, SweepCase
from qnet.model.timeline import WORDS, Event
from qnet.schedule.reserve import Keeping
from qnet.schedule.run import schedule
from qnet.sweeps.reach import Reach
from qnet.sweeps.state import Services
from qnet.units import TIME, format_quantity

OF_WIRES: frozenset[FailureOf] = frozenset({"cable", "link", "wire"})


class Work(NamedTuple):
    """All that cases follow from: a scenario for each variant, and its plan where one is needed."""

    identity: str
    depth: Depth
    duration_ps: int
    scenarios: tuple[Scenario, ...]
    plans: tuple[Plan | None, ...]


def key_of(identity: str, case: SweepCase) -> str:
    """Return the hash of what was asked and of the case."""
    return sha256(f"{identity}\0{case.model_dump_json()}".encode()).hexdigest()


def plan_variant(work: Work, number: int) -> Plan:
    """Return the plan of a variant in which nothing fails."""
    return api.plan(work.scenarios[number])


class Variant:
    """One scenario with its plan, asked case by case."""

    def __init__(self, work: Work, number: int) -> None:
        self.number = number
        self.identity = work.identity
        self._work = work
        self._scenario = work.scenarios[number]
        self._plan = work.plans[number]
        self._keeping = None if self._plan is None else Keeping(self._plan)
        self._known = Known(self._scenario.topology, self._scenario.profile)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self._scenario.topology, self._scenario.profile)

    @cached_property
    def _services(self) -> Services:
        return Services(self._scenario.topology, self._scenario.profile)

    def look(self, case: SweepCase) -> CaseResult:
        """Answer a case; what qnet itself does wrong becomes the answer, too."""
        key = key_of(self._work.identity, case)
        try:
            return self._answer(key, case)
        except Exception as error:
            trace = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({trace.name})"
            return CaseResult(key=key, case=case, outcome="error", reason=reason)

    def _answer(self, key: str, case: SweepCase) -> CaseResult:
        down = frozenset(case.failure.ports)
        wires = self._reach.wires(down)
        if self._plan is None:
            kept, anew = self._reach.kept(down), self._reach.replanned(down)
        else:
            kept = self._services.kept(self._plan, down)
            plan = self._replan(case)
            proof = self._prove(plan)
            anew = self._services.replanned(plan, proof)
        is_kept = not anew.promises_broken and not anew.findings
        return CaseResult(
            key=key,
            case=case,
            outcome="pass" if is_kept else "fail",
            kept=kept,
            replanned=anew,
            seen=self._seen(case) if self._work.depth == "simulated" else None,
            wires=wires,
        )

    def _replan(self, case: SweepCase) -> Plan:
        """Plan around what fails; streams that it does not touch stay where they are.

        The plan that is kept was proven before the first case.
        """
        assert self._plan is not None, "the depth has plans"
        if not case.failure.ports:
            return self._plan
        scenario = self._scenario
        is_cqf = any(one.mechanism == "cqf" for one in scenario.profile.classes)
        made = schedule(
            scenario.topology,
            scenario.profile,
            topology_sha256=self._plan.topology_sha256,
            traffic_sha256=self._plan.traffic_sha256,
            keep=None if is_cqf else self._keeping,
            down={case.failure.title: case.failure.ports},
        )
        return hooks.plan(scenario.topology, scenario.profile, made)

    def _prove(self, plan: Plan) -> Proof:
        """Have the checker judge a plan; what it knows of entries that are in many it need not."""
        topology, profile = self._scenario.topology, self._scenario.profile
        proof = prove(topology, profile, plan, known=self._known)
        return hooks.prove(topology, profile, plan, proof)

    def _seen(self, case: SweepCase) -> CaseLoss:
        """Send every frame over the plan as it was, and have it fail at half of the time."""
        assert self._plan is not None, "the depth has plans"
        duration_ps = self._work.duration_ps
        at_ps = duration_ps // 2
        events = [
            Event.model_validate(
                {
                    "at": format_quantity(TIME, at_ps),
                    "change": "cut" if kind in OF_WIRES else "down",
                    "target": name,
                }
            )
            for kind, name in case.failure.targets
        ]
        seen = api.observe(self._scenario.with_(events=events), self._plan, threads=1)
        return _loss(seen, duration_ps, at_ps)


def _loss(seen: Observation, duration_ps: int, at_ps: int) -> CaseLoss:
    """Add up what was lost, and by what."""
    taken = otherwise = 0
    touched = [0, 0]
    for kind, accounts in enumerate((seen.streams, seen.demands)):
        for one in accounts:
            by_failure = sum(
                lost.frames
                for lost in one.lost_by
                if any(word in lost.cause for word in WORDS.values())
            )
            taken += by_failure
            otherwise += one.lost - by_failure
            touched[kind] += by_failure > 0
    return CaseLoss(
        duration_ps=duration_ps,
        at_ps=at_ps,
        frames_sent=seen.frames,
        frames_taken=taken,
        frames_lost_otherwise=otherwise,
        late=sum(one.late for one in seen.streams),
        streams=touched[0],
        demands=touched[1],
    )


_variant: list[Variant] = []
"""The last one that was asked for in this process."""


def look(work: Work, case: SweepCase) -> CaseResult:
    """Answer a case of some work."""
    known = _variant[0] if _variant else None
    if known is None or known.number != case.variant or known.identity != work.identity:
        known = Variant(work, case.variant)
        _variant[:] = [known]
    return known.look(case)
