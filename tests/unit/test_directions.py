"""Links that differ by direction, and links of one direction."""

from __future__ import annotations

from typing import Any

from qnet.check.plan import prove
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests import builders
from tests.builders import plan_for


def network(links: list[dict[str, Any]], **more: Any) -> Topology:
    return builders.network(links, **more)


def profile(streams: list[dict[str, Any]], mechanism: str = "strict-priority") -> Profile:
    return builders.profile(
        streams,
        mechanisms={"c": mechanism},
        stream={"class": "c", "interval": "1ms", "max-payload-size": "982B"},
        simulation={"duration": "1s"},
    )


def seen(topology: Topology, wanted: Profile) -> tuple[Plan, Observation]:
    plan = plan_for(topology, wanted)
    assert prove(topology, wanted, plan).findings == ()
    return plan, simulate(topology, wanted, plan, threads=1)


BOTH = {"between": ("a", "b"), "rate": ["10Mbps", "100Mbps"], "delay": ["5ms", "1ms"]}


def test_ports_have_the_values_of_their_direction() -> None:
    link = BOTH | {
        "reservable": ["1Mbps", "2Mbps"],
        "loss": ["1%", "0%"],
        "bit-error-ratio": ["0", "1e-9"],
    }
    there, back = network([link]).ports
    assert (there.rate_bps, back.rate_bps) == (10**7, 10**8)
    assert (there.reservable_bps, back.reservable_bps) == (10**6, 2 * 10**6)
    assert (there.propagation_ps, back.propagation_ps) == (5 * 10**9, 10**9)
    assert (there.loss_ppb, there.bit_errors) == (10**7, 0)
    assert (back.loss_ppb, back.bit_errors) == (0, 10**9)
    lengths = network([{"between": ("a", "b"), "rate": "1Gbps", "length": ["1km", "2km"]}])
    assert [port.propagation_ps for port in lengths.ports] == [4_900_000, 9_800_000]


def test_each_direction_is_proven_and_simulated_as_it_is() -> None:
    streams = [{"name": "there", "from": "a", "to": "b"}, {"name": "back", "from": "b", "to": "a"}]
    for mechanism in ("strict-priority", "qbv"):
        wanted = profile(streams, mechanism)
        plan = plan_for(network([BOTH]), wanted)
        proof = prove(network([BOTH]), wanted, plan)
        assert proof.findings == ()
        found = simulate(network([BOTH]), wanted, plan, threads=1)
        for one, bound in zip(found.streams, proof.streams, strict=True):
            # 1,008 bytes with preamble to the last bit, at 10 and at 100 Mb/s.
            line_ps = {"there": 806_400_000, "back": 80_640_000}[one.name]
            way_ps = {"there": 5 * 10**9, "back": 10**9}[one.name]
            assert one.latency_ps_max == way_ps + line_ps
            assert bound.latency_ps_max is not None
            assert one.latency_ps_max <= bound.latency_ps_max


def test_frames_are_lost_in_the_direction_that_loses_them() -> None:
    streams = [{"name": "there", "from": "a", "to": "b"}, {"name": "back", "from": "b", "to": "a"}]
    _, found = seen(network([BOTH | {"loss": ["10%", "0%"]}]), profile(streams))
    lost = {one.name: one.lost for one in found.streams}
    assert 50 < lost["there"] < 150
    assert lost["back"] == 0


def test_ways_of_their_own_mislead_clocks_by_half_of_what_they_differ_by() -> None:
    sync = {"grandmaster": "a"}
    for link in (
        {"between": ("a", "b"), "rate": "1Gbps", "delay": ["7us", "5us"]},
        {"between": ("a", "b"), "rate": "1Gbps", "delay": "6us", "asymmetry": "2us"},
    ):
        net = network([link], sync=sync)
        assert [net.asymmetry_ps(port) for port in net.ports] == [10**6, -(10**6)]
        assert [port.propagation_ps for port in net.ports] == [7 * 10**6, 5 * 10**6]


def test_what_has_one_direction_is_used_in_that_one() -> None:
    ring = [
        {"between": pair, "rate": "1Gbps", "delay": "1us", "direction": "one-way"}
        for pair in (("a", "b"), ("b", "c"), ("c", "a"))
    ]
    net = network(ring)
    assert [port.name for port in net.ports] == ["a->b", "b->c", "c->a"]
    for mechanism in ("tcqf", "qbv", "strict-priority"):
        wanted = profile([{"name": "s", "from": "b", "to": "a"}], mechanism)
        plan, found = seen(net, wanted)
        assert plan.streams[0].paths[0].ports == ("b->c", "c->a")
        assert found.streams[0].lost == 0
    # Clocks are not set over what cannot be measured.
    assert network(ring, sync={"grandmaster": "a"}).sync_ways == {"a": ()}


def test_two_links_of_opposite_directions_need_no_names() -> None:
    pair = [
        {"between": ends, "rate": "1Gbps", "delay": "1us", "direction": "one-way"}
        for ends in (("a", "b"), ("b", "a"))
    ]
    net = network(pair)
    assert [port.name for port in net.ports] == ["a->b", "b->a"]
    assert len({net.cable(link) for link in net.links}) == 2
