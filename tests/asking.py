"""Ask qnet as a user does: the whole pipeline in this process, or the command in its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import Proof, StreamProof
from qnet.model.read import load
from qnet.model.scenario import Scenario
from qnet.model.verdict import Row, Verdict
from qnet.schedule import schedule
from qnet.simulate.run import simulate

NO_SETTINGS: Mapping[str, object] = MappingProxyType({})

COMMAND = (sys.executable, "-c", "from qnet.cli import main; main()")


@dataclass(frozen=True)
class Answer:
    """Everything that `qnet run` makes on its way."""

    scenario: Scenario
    plan: Plan
    proof: Proof
    observation: Observation
    verdict: Verdict

    def row(self, subject: str, kind: str) -> Row:
        (found,) = (one for one in self.verdict.rows if (one.subject, one.kind) == (subject, kind))
        return found

    def planned(self, name: str) -> StreamPlan:
        return next(one for one in self.plan.streams if one.name == name)

    def proven(self, name: str) -> StreamProof:
        return next(one for one in self.proof.streams if one.name == name)

    def seen(self, name: str) -> Traffic:
        return next(one for one in self.observation.streams if one.name == name)


def ask(
    profile: str | Path,
    *,
    topology: str | Path | None = None,
    duration: str | None = None,
    threads: int | None = None,
    settings: Mapping[str, object] = NO_SETTINGS,
) -> Answer:
    other = None if topology is None else str(topology)
    texts = {name: str(value) for name, value in settings.items()}
    scenario = load(str(profile), topology=other, settings=texts)
    scenario = scenario.with_(duration=duration)
    plan = schedule(
        scenario.topology,
        scenario.profile,
        topology_sha256=scenario.topology_sha256,
        traffic_sha256=scenario.traffic_sha256,
    )
    return judged(scenario, plan, threads)


def judged(scenario: Scenario, plan: Plan, threads: int | None = None) -> Answer:
    proof = prove(scenario.topology, scenario.profile, plan)
    observation = simulate(scenario.topology, scenario.profile, plan, threads=threads)
    verdict = judge(scenario.topology, scenario.profile, plan, proof, [observation])
    return Answer(scenario, plan, proof, observation, verdict)


def command(
    *arguments: str | Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command `qnet` in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
