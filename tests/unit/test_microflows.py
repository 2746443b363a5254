"""Demands of microflows: the plan picks links, a hash the wires, and the load is what it gives."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qnet.check.plan import prove
from qnet.model.plan import DemandPlan, HashedPlan, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Demand, Profile
from qnet.schedule.microflows import mix
from qnet.simulate.run import simulate
from tests import builders
from tests.builders import plan_for

GBPS = 10**9


def network(*links: dict[str, object]) -> Topology:
    usual = {"delay": "10us", "rate": "10Gbps"}
    return builders.network(links, node={"buffer": "200kB"}, link=usual)


def demand(name: str, rate: str, **more: object) -> Demand:
    given = {"name": name, "from": "a", "to": "z", "rate": rate, "sizes": "1518B"}
    return Demand.model_validate({**given, **more})


def profile(*demands: Demand) -> Profile:
    return builders.profile(demands=demands, simulation={"duration": "2ms"})


def picked(name: str, number: int, node: str, members: int) -> int:
    """The hash once more, in the words of its description."""

    def key(text: str) -> int:
        return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)

    def mixed(word: int) -> int:
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            word = (word ^ word >> shift) * factor % 2**64
        return word ^ word >> 31

    return mixed(mixed((key(name) + number * 0x9E3779B97F4A7C15) % 2**64) ^ key(node)) % members


def test_the_mixing_is_that_of_splitmix64() -> None:
    # The first outputs of the generator with seed 0, as its authors' code gives them.
    steps = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert mix(steps).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@settings(max_examples=30)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 60),
    st.integers(10**6, 20 * GBPS),
    st.text("pqr", min_size=1, max_size=4),
)
def test_parts_are_what_an_independent_count_of_the_hash_gives(
    near: int, far: int, microflows: int, rate_bps: int, name: str
) -> None:
    topology = network(
        {"between": ["a", "m"], "members": near, "rate": "40Gbps"},
        {"between": ["m", "z"], "members": far, "rate": "40Gbps"},
    )
    traffic = profile(demand(name, f"{rate_bps}bps", microflows=microflows))
    (made,) = plan_for(topology, traffic).demands
    assert made.placed_bps == rate_bps
    expected: Counter[tuple[str, ...]] = Counter()
    rates: Counter[tuple[str, ...]] = Counter()
    for number in range(microflows):
        ports = tuple(
            f"{source}->{target}"
            + (f"/{picked(name, number, source, members) + 1}" if members > 1 else "")
            for source, target, members in (("a", "m", near), ("m", "z", far))
        )
        expected[ports] += 1
        rates[ports] += rate_bps * (number + 1) // microflows - rate_bps * number // microflows
    assert {part.ports: part.hashed for part in made.parts} == {
        ports: HashedPlan(first=0, last=microflows, count=count)
        for ports, count in expected.items()
    }
    for part in made.parts:  # which microflows carry one bit/s more is the only difference
        assert abs(part.rate_bps - rates[part.ports]) <= expected[part.ports]
    assert sum(part.rate_bps for part in made.parts) == rate_bps


TWO_WIRES = network({"between": ["a", "z"], "members": 2})


def load_bps(plan: Plan) -> dict[str, int]:
    loads: Counter[str] = Counter()
    for made in plan.demands:
        for part in made.parts:
            for port in part.ports:
                loads[port] += part.rate_bps
    return dict(loads)


def test_an_elephant_overloads_its_wire_while_the_link_has_room() -> None:
    elephant, mice = demand("elephant", "12Gbps", microflows=1), demand("mice", "6Gbps")
    plan = plan_for(TWO_WIRES, profile(elephant, mice))
    wire = f"a->z/{picked('elephant', 0, 'a', 2) + 1}"
    (other,) = {"a->z/1", "a->z/2"} - {wire}
    assert load_bps(plan) == {wire: 12 * GBPS, other: 6 * GBPS}
    (finding,) = prove(TWO_WIRES, profile(elephant, mice), plan).findings
    assert (finding.rule, finding.subject) == ("rate", wire)
    seen = {one.name: one for one in simulate(TWO_WIRES, profile(elephant, mice), plan).demands}
    assert seen["elephant"].lost > 0
    assert seen["mice"].lost == 0

    split = profile(demand("elephant", "12Gbps"), mice)
    plan = plan_for(TWO_WIRES, split)
    assert prove(TWO_WIRES, split, plan).findings == ()
    assert all(one.lost == 0 for one in simulate(TWO_WIRES, split, plan).demands)


def test_a_plan_that_is_not_what_the_hash_gives_is_found_out() -> None:
    traffic = profile(demand("many", "4Gbps", microflows=100))
    plan = plan_for(TWO_WIRES, traffic)
    assert prove(TWO_WIRES, traffic, plan).findings == ()
    (made,) = plan.demands
    first, second = made.parts
    assert first.hashed is not None
    assert second.hashed is not None

    def findings(*parts: object) -> list[str]:
        changed = DemandPlan.model_validate({**made.model_dump(), "parts": parts})
        proof = prove(TWO_WIRES, traffic, plan.replace(demands=(changed,)))
        return [one.message for one in proof.findings]

    one, other = first.model_dump(), second.model_dump()
    more, less = first.hashed.count + 1, second.hashed.count - 1
    moved = findings(
        {**one, "rate_bps": one["rate_bps"] + 1, "hashed": {**one["hashed"], "count": more}},
        {**other, "rate_bps": other["rate_bps"] - 1, "hashed": {**other["hashed"], "count": less}},
    )
    assert len(moved) == 2
    assert f"the hash sends {first.hashed.count} of {first.rate_bps} b/s" in moved[0]
    assert "different links" in findings(one, {**other, "ports": ("z->a/1",)})[0]
    assert "does not say" in findings(one, {**other, "hashed": None})[0]
    halves = findings(one, {**other, "hashed": {"first": 50, "last": 100, "count": 9}})
    assert any("in use" in words for words in halves)
    beyond = findings({**one, "hashed": {"first": 0, "last": 101, "count": 1}})
    assert any("more than it has" in words for words in beyond)


def test_a_microflow_keeps_to_one_route_of_links() -> None:
    topology = network(
        {"between": ["a", "z"], "name": "north"}, {"between": ["a", "z"], "name": "south"}
    )
    three = profile(demand("three", "18Gbps", microflows=3))
    plan = plan_for(topology, three)
    (made,) = plan.demands
    assert [(part.ports, part.rate_bps) for part in made.parts] == [
        (("a->z[north]",), 6 * GBPS),
        (("a->z[south]",), 6 * GBPS),
    ]
    assert made.reason is not None
    assert "no one route has room for another microflow of 6.000 Gb/s" in made.reason
    assert prove(topology, three, plan).findings == ()


def test_what_can_be_split_goes_around_what_is_hashed() -> None:
    hashed = demand("hashed", "9Gbps", microflows=1)
    plan = plan_for(TWO_WIRES, profile(hashed, demand("split", "11Gbps")))
    assert load_bps(plan) == {"a->z/1": 10 * GBPS, "a->z/2": 10 * GBPS}


def test_a_million_microflows_are_spread_as_a_fair_hash_spreads_them() -> None:
    topology = network({"between": ["a", "m"], "members": 8}, {"between": ["m", "z"], "members": 8})
    (made,) = plan_for(topology, profile(demand("crowd", "60Gbps", microflows=10**6))).demands
    counts = [part.hashed.count for part in made.parts if part.hashed is not None]
    assert len(counts) == 64
    assert sum(counts) == 10**6
    # 15,625 each; one standard deviation is 124.
    assert 15_000 < min(counts) < max(counts) < 16_250


def test_microflows_need_a_bit_a_second() -> None:
    with pytest.raises(ValidationError, match="each needs 1 bit/s"):
        demand("thin", "10bps", microflows=11)
