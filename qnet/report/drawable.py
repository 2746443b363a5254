"""What of a plan can be drawn: a plan that anybody made may name what the files do not have."""

from __future__ import annotations

from qnet.files.consistency import HYPERCYCLE_HIGHEST
from qnet.model.plan import DemandPlan, PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

QUEUES = range(8)


def drawable(topology: Topology, profile: Profile, plan: Plan) -> Plan:
    """Leave out streams, demands and ports that the files do not have, and numbers that lead
    nowhere. What is left out has been found by the checker.
    """
    ports = set(topology.port_by_name)
    streams = {one.name for one in profile.every_stream}
    demands = {one.name for one in profile.demands}
    cycles = 0 < plan.hypercycle <= HYPERCYCLE_HIGHEST and plan.cycle_ps == topology.tcqf.cycle_ps
    return plan.replace(
        hypercycle=plan.hypercycle if cycles else 1,
        streams=tuple(_stream(one, ports, cycles) for one in plan.streams if one.name in streams),
        demands=tuple(_demand(one, ports) for one in plan.demands if one.name in demands),
        gates=tuple(
            one
            for one in plan.gates
            if one.port in ports
            and all(entry.interval_ps > 0 and entry.states >= 0 for entry in one.entries)
        ),
    )


def _stream(planned: StreamPlan, ports: set[str], cycles: bool) -> StreamPlan:
    paths = [one for one in planned.paths if ports.issuperset(one.ports) and _is_even(one)]
    return planned.replace(
        paths=tuple(one if cycles else one.replace(cycles=()) for one in paths),
    )


def _is_even(path: PathPlan) -> bool:
    """Say whether a path has as many queues and starts as it has ports, or none."""
    whole = len(path.ports)
    return (
        len(path.queues) in (0, whole)
        and all(queue in QUEUES for queue in path.queues)
        and all(len(starts) == whole == len(path.queues) for starts in path.starts_ps)
    )


def _demand(planned: DemandPlan, ports: set[str]) -> DemandPlan:
    parts = (one for one in planned.parts if ports.issuperset(one.ports) and one.rate_bps >= 0)
    return planned.replace(parts=tuple(parts))
