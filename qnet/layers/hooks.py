"""What layers do at each stage: called by `qnet.api`, which knows none of them by name."""

from __future__ import annotations

from collections.abc import Mapping

from qnet.layers import Faults, FileKind, Section, active
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Finding, Proof
from qnet.model.requirement import Requirement
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.verdict import Verdict


def check(topology: Topology, profile: Profile, faults: Mapping[FileKind, Faults]) -> None:
    """Let every layer report what does not fit together in files that are right otherwise."""
    for layer in active(topology, profile):
        layer.check(topology, profile, faults)


def plan(topology: Topology, profile: Profile, made: Plan) -> Plan:
    """Return the plan with what layers add to it."""
    added = {one.name: one.plan(topology, profile, made) for one in active(topology, profile)}
    kept = {name: value for name, value in added.items() if value is not None}
    return made.replace(layers=kept) if kept else made


def prove(topology: Topology, profile: Profile, made: Plan, proof: Proof) -> Proof:
    """Return the proof with the figures of layers and the rules of theirs that are broken."""
    found = [
        one
        for layer in active(topology, profile)
        for one in layer.prove(topology, profile, made, proof)
    ]
    if not found:
        return proof
    findings = tuple(one for one in found if isinstance(one, Finding))
    figures = tuple(one for one in found if not isinstance(one, Finding))
    return proof.replace(findings=(*proof.findings, *findings), figures=figures)


def observe(
    topology: Topology, profile: Profile, made: Plan, observation: Observation
) -> Observation:
    """Return what was seen, with the figures of layers."""
    figures = tuple(
        one
        for layer in active(topology, profile)
        for one in layer.observe(topology, profile, made, observation)
    )
    return observation.replace(figures=figures) if figures else observation


def require(topology: Topology, profile: Profile, made: Plan) -> list[Requirement]:
    """Return what layers ask for."""
    return [
        one for layer in active(topology, profile) for one in layer.require(topology, profile, made)
    ]


def report(
    topology: Topology, profile: Profile, made: Plan, verdict: Verdict
) -> tuple[Section, ...]:
    """Return the section of each layer that has one."""
    sections = (
        layer.report(topology, profile, made, verdict.rows) for layer in active(topology, profile)
    )
    return tuple(one for one in sections if one is not None)
