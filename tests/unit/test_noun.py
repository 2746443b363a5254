"""Changed copies of nouns: held to what fields can hold, and nothing kept of the original."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from qnet.files.read import load, read_topology
from qnet.model.fields import Noun, TimeRange
from qnet.model.plan import Plan
from tests.builders import plan_for

QNET = Path(__file__).parents[2] / "qnet"


def test_what_the_original_has_worked_out_is_worked_out_anew() -> None:
    topology = read_topology("qingyang")
    assert len(topology.ports) > 100
    few = topology.replace(links=topology.links[:3])
    assert len(few.ports) == sum(2 * link.members for link in few.links)
    assert set(few.port_by_name) == {port.name for port in few.ports}
    profile = load("qingyang").profile
    assert len(profile.every_stream) > 1
    one = profile.streams[:1]
    assert len(profile.replace(streams=one).every_stream) == one[0].count


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"simulation": "nonsense"}, "simulation|Simulation|instance"),
        ({"title": 7}, "string"),
        ({"streams": ["s"]}, "tuple"),
    ],
)
def test_values_that_cannot_be_are_refused(change: dict[str, object], words: str) -> None:
    profile = load("dual-node").profile
    with pytest.raises(ValidationError, match=words):
        profile.replace(**change)
    with pytest.raises(TypeError, match="no field 'nonsense'"):
        profile.replace(nonsense=1)


@pytest.mark.parametrize("value", [-1, 10**17 + 1, 1.5, "1ms", True, None])
def test_quantities_are_numbers_within_bounds(value: object) -> None:
    simulation = load("dual-node").profile.simulation
    with pytest.raises(ValidationError):
        simulation.replace(duration_ps=value)
    assert simulation.replace(duration_ps=5, seed=9).duration_ps == 5


def test_every_field_of_every_noun_takes_its_own_value() -> None:
    scenario = load("factory")
    plan: Plan = plan_for(scenario.topology, scenario.profile)
    waiting: list[object] = [scenario.topology, scenario.profile, plan]
    seen = 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple | list) and not isinstance(one, TimeRange):
            waiting += one[:3]
        elif isinstance(one, Noun):
            own = {name: getattr(one, name) for name in one.model_fields_set}
            assert one.replace(**own) == one
            waiting += own.values()
            seen += 1
    assert seen > 20


def test_nothing_else_makes_changed_copies() -> None:
    """Pydantic's copy would keep what the original has worked out, and believe any value."""
    with pytest.raises(TypeError, match="'replace'"):
        load("dual-node").profile.model_copy(update={"title": 7})
    bases = [path.name for path in QNET.rglob("*.py") if "(BaseModel)" in path.read_text()]
    assert bases == ["fields.py"], "every noun is a Noun"
    copies = [path.name for path in QNET.rglob("*.py") if "model_copy" in path.read_text()]
    assert copies == ["fields.py"], "copies are made by Noun.replace"
