"""Plans of drawn trees that are broken in one place: the checker must say so of the tree."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from qnet.check.plan import prove
from qnet.model.plan import Plan, StreamPlan
from tests.builders import plan_for
from tests.random_sets import KINDS, random_set


def _broken(leg: StreamPlan, shared: int) -> Iterator[StreamPlan]:
    """Yield what must not be of a leg that shares its first ports with another."""
    (path,) = leg.paths
    yield StreamPlan(name=leg.name, status="refused", reason="planted")
    if leg.send_ps is not None:
        yield leg.replace(send_ps=leg.send_ps + 1)
    for hop in range(shared):
        if path.cycles:
            cycles = (*path.cycles[:hop], path.cycles[hop] + 1, *path.cycles[hop + 1 :])
            yield leg.replace(paths=(path.replace(cycles=cycles),))
        if path.queues:
            queues = (*path.queues[:hop], path.queues[hop] ^ 1, *path.queues[hop + 1 :])
            yield leg.replace(paths=(path.replace(queues=queues),))
            first, *others = path.starts_ps
            starts = (*first[:hop], first[hop] + 1000, *first[hop + 1 :])
            yield leg.replace(paths=(path.replace(starts_ps=(starts, *others)),))


def _with(plan: Plan, leg: StreamPlan) -> Plan:
    streams = (leg if one.name == leg.name else one for one in plan.streams)
    return plan.replace(streams=tuple(streams))


@pytest.mark.parametrize("mechanism", [name for name, kind in KINDS.items() if kind.several])
def test_a_leg_that_leaves_its_tree_is_found(mechanism: str) -> None:
    planted = 0
    for number in range(8):
        topology, profile = random_set(mechanism, number)
        plan = plan_for(topology, profile)
        placed = [one for one in plan.streams if one.tree != one.name and one.paths]
        for first, second in pairwise(placed):
            ways = zip(first.paths[0].ports, second.paths[0].ports, strict=False)
            shared = next((hop for hop, (a, b) in enumerate(ways) if a != b), 1)
            if first.tree != second.tree or not shared:
                continue
            for leg in _broken(second, shared):
                findings = prove(topology, profile, _with(plan, leg)).findings
                assert "tree" in {one.rule for one in findings}
                planted += 1
            break
    assert planted >= 3
