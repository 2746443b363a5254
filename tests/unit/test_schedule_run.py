from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.errors import Infeasible
from qnet.model.plan import Plan, StreamPlan
from qnet.model.topology import Link, Node, Topology
from qnet.model.traffic import RESERVED, Demand, Egress, Profile, Stream, TrafficClass
from qnet.progress import Quiet
from qnet.schedule import schedule
from qnet.schedule.repair.search import Search
from tests import builders
from tests.builders import plan_for

TBPS = 10**12


def network(*links: dict[str, object], **more: object) -> Topology:
    names = sorted({name for link in links for name in link["between"]})  # type: ignore[attr-defined]
    nodes = [Node(name=name, site=name.upper()) for name in names]
    return Topology.model_validate(
        {
            "title": "test",
            "nodes": nodes,
            "links": [Link.model_validate({"delay": "1ms", "rate": "10Gbps", **x}) for x in links],
            **more,
        }
    )


def stream(name: str = "s", /, **more: object) -> Stream:
    given: dict[str, object] = {
        "name": name,
        "from": "a",
        "to": "b",
        "interval": "10us",
        "max-payload-size": "1500B",
    }
    return Stream.model_validate({**given, **more})


def demand(name: str, rate: str, **more: object) -> Demand:
    return Demand.model_validate({"name": name, "from": "a", "to": "b", "rate": rate, **more})


def profile(*things: Stream | Demand, **more: Any) -> Profile:
    return builders.profile(
        [one for one in things if isinstance(one, Stream)],
        [one for one in things if isinstance(one, Demand)],
        **more,
    )


def plan_of(topology: Topology, traffic: Profile) -> Plan:
    plan = plan_for(topology, traffic)
    assert prove(topology, traffic, plan).findings == ()
    return plan


def refused(topology: Topology, *streams: Stream) -> list[str]:
    plans = plan_of(topology, profile(*streams)).streams
    return [one.reason for one in plans if one.status == "refused" and one.reason]


ONE = network({"between": ("a", "b")})
CHAIN = network({"between": ("a", "m")}, {"between": ("m", "b")})
EGRESS = network(
    {
        "between": ("a", "b"),
        "name": "small",
        "rate": "400Gbps",
        "reservable": "380Gbps",
        "members": 14,
    },
    {
        "between": ("a", "b"),
        "name": "large",
        "rate": "800Gbps",
        "reservable": "780Gbps",
        "members": 6,
    },
)
TEN = (Egress.model_validate({"site": "A", "rate": "10Tbps"}),)


def test_ten_thousand_streams_fill_ten_terabits_and_not_one_more() -> None:
    traffic = profile(stream(count=10_001, **{"max-payload-size": "1212B"}), egress=TEN)
    plan = plan_of(EGRESS, traffic)
    left_out = [one for one in plan.streams if one.status == "refused"]
    assert [one.reason for one in left_out] == [
        "port a->b[large]/1, cycle 0: 1250 bytes needed, 0 free; best of 20 wires, 1 route tried"
    ]
    assert plan.egress[0].placed_bps == plan.egress[0].bound_bps == 10 * TBPS
    assert plan.egress[0].offered_bps == 10 * TBPS + 10**9


def test_demands_fill_ten_terabits() -> None:
    demands = [demand(f"d{i}", "260Gbps") for i in range(40)]
    plan = plan_of(EGRESS, profile(*demands, egress=TEN))
    assert plan.egress[0].placed_bps == plan.egress[0].bound_bps == 10 * TBPS
    assert sum(one.placed_bps for one in plan.demands) == 10 * TBPS
    short = [one for one in plan.demands if one.reason]
    assert short[0].reason is not None
    assert short[0].reason.endswith(
        "full: ports a->b[small]/1, a->b[small]/2, a->b[small]/3 and 17 more"
    )


def test_streams_spread_over_wires_and_cycles() -> None:
    plan = plan_of(EGRESS, profile(stream(count=2000, interval="100us")))
    used: dict[str, int] = {}
    for one in plan.streams:
        used[one.paths[0].ports[0]] = used.get(one.paths[0].ports[0], 0) + 1
    assert len(used) == 20
    # Wires of one size carry the same up to one stream in each of the ten cycles.
    small = [count for port, count in used.items() if "small" in port]
    assert max(small) - min(small) <= 10


def test_streams_without_reservation_take_one_wire_each() -> None:
    topology = network({"between": ("a", "b"), "members": 12})
    plain = TrafficClass(name="plain", priority=3, mechanism="strict-priority")
    traffic = profile(stream(count=12, **{"class": "plain"}), classes=(RESERVED, plain), egress=TEN)
    plan = plan_of(topology, traffic)
    assert {one.status for one in plan.streams} == {"routed"}
    assert len({one.paths[0].ports for one in plan.streams}) == 12
    assert plan.egress[0].placed_bps == plan.egress[0].offered_bps


def test_routed_streams_beyond_the_rate_are_routed_but_not_placed() -> None:
    plain = TrafficClass(name="plain", priority=3, mechanism="strict-priority")
    streams = stream(count=12, **{"class": "plain"})
    asked = profile(streams, classes=(RESERVED, plain), egress=TEN)
    plan = plan_for(ONE, asked)
    assert {one.status for one in plan.streams} == {"routed"}
    assert [one.rule for one in prove(ONE, asked, plan).findings] == ["overload"]
    assert plan.egress[0].placed_bps == 8 * 1538 * 8 * 10**5
    assert plan.egress[0].placed_bps <= plan.egress[0].bound_bps


@pytest.mark.parametrize(
    ("topology", "changes", "reason"),
    [
        (ONE, {"max-latency": "500us"}, "propagation alone is 1.000 ms of 500.000 us"),
        (
            CHAIN,
            {"max-latency": "2001us"},
            "the quickest route takes at least 2.020 ms with its cycles, of 2.001 ms",
        ),
        (
            ONE,
            {"max-latency-variation": "1us"},
            "the steadiest route varies by 8.779 us, of 1.000 us",
        ),
        (
            ONE,
            {"max-pkts-per-interval": 9},
            "9 frames x 1538 bytes need 13842 of at most 12500 bytes in one cycle of port a->b",
        ),
        (CHAIN, {"paths": 2}, "no disjoint second path: every route uses cable a--m"),
        (
            ONE,
            {"interval": "15us"},
            "its interval of 15.000 us is not a multiple of the cycle of 10.000 us",
        ),
    ],
)
def test_refusal_says_what_binds(
    topology: Topology, changes: dict[str, object], reason: str
) -> None:
    assert refused(topology, stream(**changes)) == [reason]


def test_refusal_says_what_a_guard_takes_of_a_cycle() -> None:
    """At 1 Gb/s a frame of 1,518 bytes lasts longer than a cycle of 10 us."""
    topology = network({"between": ("a", "b"), "rate": "1Gbps"})
    plan = plan_of(topology, profile(stream(**{"max-payload-size": "100B"}), demand("d", "1Mbps")))
    assert plan.streams[0].reason == (
        "1 frame x 138 bytes need 138 of at most 0 bytes in one cycle of port a->b; a frame of "
        "1518 bytes of another class may hold the line for 12.304 us of the 10.000 us"
    )


def test_links_named_alike_elsewhere_share_no_risk() -> None:
    ends = (("a", "m"), ("m", "b"), ("a", "x"), ("x", "b"))
    links: list[dict[str, object]] = [{"between": pair, "name": "north"} for pair in ends]
    topology = network(*links)
    plan = plan_of(topology, profile(stream(paths=2)))
    assert [path.ports for path in plan.streams[0].paths] == [
        ("a->m[north]", "m->b[north]"),
        ("a->x[north]", "x->b[north]"),
    ]
    assert topology.cable(topology.links[0]) == "a--m[north]"
    alone = network({"between": ("a", "b"), "name": "north"}, {"between": ("a", "b")})
    assert [alone.cable(link) for link in alone.links] == ["north", "a--b"]


def test_a_search_places_what_a_single_pass_cannot() -> None:
    """Eleven streams fit only without the two large ones, which are placed first for their size."""
    large = [stream(f"large{i}", **{"max-pkts-per-interval": 4}) for i in range(2)]
    traffic = profile(*large, *(stream(f"small{i}") for i in range(8)))
    single = plan_of(ONE, traffic)
    assert [one.status for one in single.streams].count("admitted") == 2
    plan = schedule(
        ONE,
        traffic,
        topology_sha256="t",
        traffic_sha256="p",
        search=Search(1, lambda done: True),
    )
    assert plan.reserved is not None
    assert plan.reserved.search is not None
    assert plan.reserved.search.stopped == "bound reached"
    assert plan.reserved.streams_placed == plan.reserved.streams_bound == 8
    assert plan.reserved.overload == "19.686 Gb/s must leave a, whose ports can reserve 10.000 Gb/s"


def test_a_search_ends_at_once_when_the_rest_is_impossible() -> None:
    traffic = profile(stream(), stream("t", **{"max-latency": "500us"}))
    plan = schedule(
        ONE, traffic, topology_sha256="t", traffic_sha256="p", search=Search(1, lambda done: True)
    )
    assert plan.reserved is not None
    assert plan.reserved.search is not None
    assert (plan.reserved.search.rounds, plan.reserved.search.stopped) == (
        0,
        "the rest is impossible",
    )


def test_refusal_names_the_buffers_that_are_missing() -> None:
    def chain(buffers: int) -> Topology:
        m = Node.model_validate({"name": "m", "processing": "1us..25us"})
        return network(
            {"between": ("a", "m")},
            {"between": ("m", "b")},
            nodes=(Node(name="a"), m, Node(name="b")),
            tcqf={"buffers": buffers},
        )

    assert refused(chain(4), stream()) == ["needs 5 cycle buffers of 4 between a->m and m->b"]
    assert refused(chain(5), stream()) == []


def test_refusal_names_port_and_cycle() -> None:
    large = stream("large", rank=0, **{"max-pkts-per-interval": 8})
    assert refused(CHAIN, large, stream("small")) == [
        "port a->m, cycle 0: 1538 bytes needed, 196 free; 1 route tried"
    ]


def test_a_longer_route_is_taken_only_when_the_shortest_is_full() -> None:
    topology = network({"between": ("a", "b")}, {"between": ("a", "m")}, {"between": ("m", "b")})
    plan = plan_of(topology, profile(stream(count=17)))
    hops = [len(one.paths[0].ports) for one in plan.streams if one.status == "admitted"]
    assert sorted(hops) == [1] * 8 + [2] * 8


def test_two_paths_share_nothing() -> None:
    topology = network({"between": ("a", "b")}, {"between": ("a", "m")}, {"between": ("m", "b")})
    plan = plan_of(topology, profile(stream(paths=2)))
    assert [path.ports for path in plan.streams[0].paths] == [("a->b",), ("a->m", "m->b")]


def test_order_in_the_file_does_not_matter() -> None:
    one = [stream(f"s{i}", interval=f"{10 * (1 + i % 4)}us") for i in range(40)]
    here = plan_of(CHAIN, profile(*one)).streams
    there = plan_of(CHAIN, profile(*reversed(one))).streams

    def by_name(plans: tuple[StreamPlan, ...]) -> list[StreamPlan]:
        return sorted(plans, key=lambda plan: plan.name)

    assert by_name(here) == by_name(there)


def test_the_same_bytes_twice() -> None:
    traffic = profile(
        stream(count=50, interval="50us"), demand("d", "700Gbps"), demand("e", "12Tbps"), egress=TEN
    )
    first, second = (plan_of(EGRESS, traffic).model_dump_json() for _ in range(2))
    assert first == second


def test_low_rank_goes_first() -> None:
    small = [stream(f"a{i}", rank=600) for i in range(8)]
    plan = plan_of(ONE, profile(*small, stream("z", rank=1)))
    assert plan.streams[-1].status == "admitted"
    assert [one.status for one in plan.streams].count("refused") == 1


def test_intervals_without_a_common_multiple_are_infeasible() -> None:
    primes = (7, 11, 13, 17, 19, 23, 29)
    streams = [stream(f"s{p}", interval=f"{p * 10}us") for p in primes]
    with pytest.raises(Infeasible, match="smaller common multiple"):
        plan_for(ONE, profile(*streams))


def test_progress_tells_every_stage_to_its_end() -> None:
    seen: list[tuple[str, int, int]] = []

    class Listening(Quiet):
        title = ""

        def stage(self, title: str) -> None:
            self.title = title

        def step(self, done: int, total: int) -> None:
            seen.append((self.title, done, total))

    schedule(
        ONE,
        profile(stream(), demand("d", "1Gbps"), egress=TEN),
        topology_sha256="t",
        traffic_sha256="p",
        progress=Listening(),
    )
    ends = [(stage, total) for stage, done, total in seen if done == total]
    assert ends == [("plan: reserve", 1), ("plan: demands", 1), ("plan: egress", 1)]


def test_unconnected_nodes_are_told() -> None:
    topology = network({"between": ("a", "m")}, {"between": ("b", "c")})
    plan = plan_of(topology, profile(stream(), stream("t", paths=2), demand("d", "1Gbps")))
    assert [one.reason for one in plan.streams] == ["no route from a to b"] * 2
    assert plan.demands[0].reason == "no route from a to b"
