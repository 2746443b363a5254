from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.gates import check_gates
from qnet.check.plan import prove
from qnet.errors import Infeasible
from qnet.graph.by_hops import Router
from qnet.graph.trees import Arc, grow, merge
from qnet.model.gates import GatePort, GateProblem, GateStream
from qnet.model.plan import PathPlan, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule import schedule
from qnet.schedule.cycles.kernels.tables import Candidates, FreeBytes, StreamRequest
from qnet.schedule.cycles.kernels.waits import score_waits
from qnet.schedule.cycles.state import make_scratch
from qnet.schedule.kernels import UNSEEN
from qnet.schedule.online import Scheduler
from qnet.schedule.qbv import exact
from qnet.schedule.qbv.bounds import bound
from qnet.schedule.qbv.lists import gate_lists
from qnet.schedule.qbv.solve import schedule_gates
from qnet.schedule.repair.search import Search
from tests import builders
from tests.builders import plan_for
from tests.slow_trees import tree_faults

T = TypeVar("T")

NODES = ("talker", "left", "right", "one", "two", "three")


def network(*ends: tuple[str, str], **more: Any) -> Topology:
    links = [{"between": pair} for pair in ends]
    usual = {"rate": "1Gbps", "delay": "1us", **more}
    made = builders.network(links, nodes=NODES, link=usual)
    return made.replace(nodes=tuple(one.replace(site=one.name) for one in made.nodes))


def profile(mechanism: str, *streams: dict[str, Any]) -> Profile:
    given = {
        "class": "control",
        "from": "talker",
        "to": ["one", "two"],
        "interval": "100us",
        "max-payload-size": "1000B",
    }
    return builders.profile(streams, mechanisms={"control": mechanism}, stream=given)


def plan_of(topology: Topology, traffic: Profile) -> Plan:
    plan = plan_for(topology, traffic)
    assert tree_faults(topology, traffic, plan) == []
    assert prove(topology, traffic, plan).findings == ()
    return plan


STAR = network(("talker", "left"), ("left", "one"), ("left", "two"))
SQUARE = network(
    ("talker", "left"),
    ("talker", "right"),
    ("left", "one"),
    ("right", "one"),
    ("left", "two"),
    ("right", "two"),
)


def known(value: T | None) -> T:
    assert value is not None
    return value


def ways(plan: Plan) -> list[tuple[str, ...]]:
    return [entry.paths[0].ports for entry in plan.streams]


def test_chains_are_one_as_far_as_they_go_together() -> None:
    arcs = [
        Arc("t", "a"),
        Arc("t", "b"),
        Arc("a", "c"),
        Arc("b", "c"),
        Arc("c", "x"),
        Arc("c", "y"),
    ]
    tree = merge(arcs, [(0, 2, 4), (1, 3, 5)])
    assert tree.arcs == (0, 2, 4, 5)
    assert tree.paths == ((0, 1, 2), (0, 1, 3))
    # A node on the way may listen, too.
    assert merge(arcs, [(0, 2, 4), (1, 3)]).paths == ((0, 1, 2), (0, 1))


def test_trees_go_round_each_part_of_the_first_one() -> None:
    arcs = [
        Arc("t", "a"),
        Arc("t", "b"),
        Arc("a", "x"),
        Arc("b", "x"),
        Arc("a", "y"),
        Arc("b", "y"),
    ]
    ranked = [[(0, 2), (1, 3)], [(0, 4), (1, 5)]]
    found = grow(arcs, ranked, lambda _node, _arc: None)
    assert [tree.arcs for tree in found[:2]] == [(0, 2, 4), (1, 3, 5)]
    assert {(0, 2, 1, 5), (0, 4, 1, 3)} & {tree.arcs for tree in found[2:]}
    assert grow(arcs, [ranked[0], []], lambda _node, _arc: None) == []


def test_what_is_shared_carries_each_frame_once() -> None:
    # 450 Mb/s each: two unicast streams would need all of the first wire for one tree.
    pair = [{"max-payload-size": "1400B", "max-pkts-per-interval": 4}] * 2
    plan = plan_of(STAR, profile("strict-priority", *pair))
    assert [one.status for one in plan.streams] == ["routed"] * 4
    assert ways(plan)[:2] == [("talker->left", "left->one"), ("talker->left", "left->two")]


def test_the_next_tree_is_taken_where_the_first_is_full() -> None:
    large = {"max-payload-size": "1400B", "max-pkts-per-interval": 6}
    plan = plan_of(SQUARE, profile("strict-priority", large, large))
    assert {path[0] for path in ways(plan)[:2]} != {path[0] for path in ways(plan)[2:]}


def test_a_listener_that_no_way_leads_to_refuses_all() -> None:
    plan = plan_of(STAR, profile("strict-priority", {"to": ["one", "three"]}))
    assert [one.reason for one in plan.streams] == ["no route from talker to three"] * 2


@pytest.mark.parametrize(
    ("one", "two", "word"),
    [
        ("talker->left left->one", "talker->right right->two", None),
        ("talker->left left->one", "talker->left left->one", "ends at one"),
        ("left->one", "talker->left left->two", "no way over"),
        (
            "talker->left left->two two->right right->one",
            "talker->right right->one one->left left->two",
            "in another way",
        ),
    ],
)
def test_the_witness_notices(one: str, two: str, word: str | None) -> None:
    traffic = profile("strict-priority", {})
    plan = plan_of(SQUARE, traffic)
    planted = tuple(
        entry.replace(paths=(PathPlan(ports=tuple(path.split())),))
        for entry, path in zip(plan.streams, (one, two), strict=True)
    )
    faults = tree_faults(SQUARE, traffic, plan.replace(streams=planted))
    assert any(word in fault for fault in faults) if word else faults == []


# Cycles


FULL = {"interval": "10us", "max-payload-size": "950B"}
"""988 bytes of the 1,250 of a cycle."""


def test_a_tree_takes_each_cycle_once() -> None:
    plan = plan_of(STAR, profile("tcqf", FULL))
    assert [one.status for one in plan.streams] == ["admitted", "admitted"]
    sums = known(plan.reserved)
    assert (sums.streams, sums.streams_placed) == (1, 1)
    assert sums.placed_bps == sums.offered_bps == sums.bound_bps
    # Two streams of one listener each do not fit.
    apart = [{**FULL, "to": "one"}, {**FULL, "to": "two"}]
    plan = plan_of(STAR, profile("tcqf", *apart))
    assert [one.status for one in plan.streams] == ["admitted", "refused"]


def test_all_legs_are_refused_with_one_reason() -> None:
    plan = plan_of(STAR, profile("tcqf", {**FULL, "to": "one", "rank": 1}, FULL))
    one, *legs = plan.streams
    assert one.status == "admitted"
    assert [leg.status for leg in legs] == ["refused", "refused"]
    assert "1 tree tried" in known(legs[0].reason)
    assert known(plan.reserved).streams_bound == 1
    assert "must leave talker" in known(known(plan.reserved).overload)


def test_a_listener_that_all_come_to_is_named() -> None:
    ways = network(("talker", "left"), ("talker", "right"), ("left", "one"), ("left", "two"),
                   ("right", "three"), ("right", "two"))  # fmt: skip
    streams = [{**FULL, "to": ["one", "two"]}] * 3
    plan = plan_of(ways, profile("tcqf", *streams))
    assert "must enter one" in known(known(plan.reserved).overload)


def test_each_listener_holds_by_its_own_bound() -> None:
    line = network(("talker", "left"), ("left", "one"), ("one", "two"))
    plan = plan_of(line, profile("tcqf", {"damper": True}))
    near, far = plan.streams
    assert far.paths[0].ports[:2] == near.paths[0].ports
    assert known(near.hold_ps) < known(far.hold_ps)


@pytest.mark.parametrize("rounds", [0, 3])
def test_a_tree_gives_way_and_stays_whole(rounds: int) -> None:
    # The first tree takes the left of both; the next must go by the right, and it is full for more.
    streams = [FULL] * 3
    search = Search(1, lambda made: made < rounds)
    traffic = profile("tcqf", *streams)
    plan = schedule(SQUARE, traffic, topology_sha256="t", traffic_sha256="p", search=search)
    assert tree_faults(SQUARE, traffic, plan) == []
    assert sum(one.status == "admitted" for one in plan.streams) == 4
    assert known(known(plan.reserved).search).stopped == "bound reached"


def replanned(plan: Plan, traffic: Profile, *down: str) -> Plan:
    broken = {name: [SQUARE.port_by_name[name].number] for name in down}
    again = schedule(
        SQUARE, traffic, topology_sha256="t", traffic_sha256="p", keep=plan, down=broken
    )
    assert tree_faults(SQUARE, traffic, again) == []
    return again


def test_a_tree_that_is_kept_is_kept_to_the_bit_and_moves_whole() -> None:
    traffic = profile("tcqf", FULL)
    plan = plan_of(SQUARE, traffic)
    same = replanned(plan, profile("tcqf", FULL, {**FULL, "to": ["two", "one"]}))
    assert same.streams[:2] == plan.streams
    assert known(same.changes).kept == 2
    moved = replanned(plan, traffic, "left->two")
    assert known(moved.changes).moved == ("s0@one", "s0@two")
    assert all("left->two" not in one.paths[0].ports for one in moved.streams)
    lost = replanned(plan, traffic, "left->two", "right->two", "one->right")
    assert known(lost.changes).lost == ("s0@one", "s0@two")
    assert {one.reason for one in lost.streams} == {"no route from talker to two"}
    with pytest.raises(Infeasible, match="a stream with several listeners is kept with all"):
        replanned(plan, profile("tcqf", {**FULL, "to": ["one", "right", "two"]}))


@pytest.mark.twin
@settings(max_examples=60)
@given(st.integers(1, 3), st.integers(1, 3), st.data())
def test_the_table_of_a_tree_finds_what_trying_all_waits_finds(
    period: int, turns: int, data: st.DataObject
) -> None:
    """Every wait at every hop is tried; a cycle lasts 1000 ps and a frame 1 ps."""
    count, length = data.draw(st.integers(2, 5)), period * turns
    before = [-1, *(data.draw(st.integers(-1, place - 1)) for place in range(1, count))]
    row = st.lists(st.integers(0, 9), min_size=length, max_size=length)
    free = np.array([data.draw(row) for _ in range(count)])
    shift = np.array([data.draw(st.integers(0, length - 1)) for _ in range(count)])
    margin = np.array([data.draw(st.integers(0, 2)) for _ in range(count)])
    most = data.draw(st.integers(0, 4))
    ends = [data.draw(st.booleans()) or place not in before for place in range(count)]
    sooner = np.array([data.draw(st.integers(0, 2)) if end else -1 for end in ends])
    ways = Candidates(
        hop=np.array([0, count]),
        latency_ps_max=np.array([0]),
        shift=shift,
        skew_ps=np.where(sooner < 0, -1, sooner * 1000),
        window_ps=np.where(sooner < 0, -1, 1000),
        slack_ps=margin * 1000,
        before=np.array(before),
        wire=np.arange(count + 1),
        port=np.arange(count),
        cost=np.array([0]),
        order=np.array([0]),
        cycle_ps=1000,
    )
    ones = np.ones(count, dtype=np.int64)
    grid = FreeBytes(free, free.sum(axis=1), ones, ones * 10**18, ones)
    scratch = make_scratch(length, count)
    phase = int(
        score_waits(grid, ways, StreamRequest(1, period, 64, most * 1000, UNSEEN, 1), 0, scratch)
    )

    def choices(place: int, found: tuple[int, ...]) -> list[tuple[int, ...]]:
        if place == count:
            return [found]
        so_far = found[before[place]] if before[place] >= 0 else 0
        more = range(margin[before[place]] + 1) if before[place] >= 0 else range(1)
        return [one for wait in more for one in choices(place + 1, (*found, so_far + wait))]

    def room(start: int, waits: tuple[int, ...]) -> int:
        left = []
        for place, wait in enumerate(waits):
            cycles = (start + shift[place] + wait + period * np.arange(turns)) % length
            left.append(int(free[place, cycles].min()) - 1)
        return min(left)

    good = [
        waits
        for waits in choices(0, ())
        if all(wait <= most + late for wait, late in zip(waits, sooner, strict=True) if late >= 0)
    ]
    best = [max(room(start, waits) for waits in good) for start in range(period)]
    assert scratch.score[:period].tolist() == best
    assert phase == best.index(max(best))
    assert tuple(scratch.waits.tolist()) in good
    assert room(phase, tuple(scratch.waits.tolist())) == best[phase]


@pytest.mark.parametrize("mechanism", ["tcqf", "csqf"])
def test_a_small_set_is_searched_to_the_end_with_its_trees(mechanism: str) -> None:
    # One by one the short interval takes a cycle of either kind and leaves none to the tree.
    streams = [{**FULL, "interval": "20us", "to": "one", "rank": 1}] * 2
    plan = plan_of(SQUARE, profile(mechanism, *streams, {**FULL, "interval": "20us"}))
    assert [one.status for one in plan.streams] == ["admitted"] * 4


def test_a_scheduler_of_single_streams_says_that_it_has_no_trees() -> None:
    scheduler = Scheduler(STAR, hypercycle=10)
    traffic = profile("tcqf", FULL)
    for streams in (traffic.every_tree, traffic.every_stream):
        with pytest.raises(Infeasible, match="several listeners; a Scheduler has streams with one"):
            scheduler.requests(streams)


# Gates


def gate_port(source: str, target: str, **more: Any) -> GatePort:
    return GatePort(
        name=f"{source}->{target}",
        source=source,
        target=target,
        rate_bps=10**9,
        processing_ps=2 * 10**6,
        **more,
    )


def gate_stream(name: str, source: str, *targets: str, **more: Any) -> GateStream:
    return GateStream(
        name=name,
        source=source,
        target=targets if len(targets) > 1 else targets[0],
        frame_bytes=1000,
        period_ps=10**8,
        **{"deadline_ps": 10**8, "jitter_ps": 0, **more},
    )


TREE = GateProblem(
    ports=tuple(
        gate_port(*ends)
        for ends in (("t", "b"), ("b", "m"), ("m", "x"), ("b", "y"), ("y", "b"), ("t", "z"))
    ),
    streams=(gate_stream("s", "t", "m", "x", "y"),),
)


def test_gates_copy_a_frame_where_ways_part() -> None:
    plan = schedule_gates(TREE)
    (made,) = plan.streams
    assert sorted(made.ports) == ["b->m", "b->y", "m->x", "t->b"]
    proof = check_gates(TREE, plan)
    assert proof.findings == ()
    first = (8160 + 2000) * 1000
    assert [(one.name, one.latency_ps_max) for one in proof.streams] == [
        ("s@m", first - 96_000 + 8_064_000),
        ("s@x", 2 * (first - 96_000) + 8_064_000),
        ("s@y", first - 96_000 + 8_064_000),
    ]


def test_gates_of_a_port_open_once_for_all_behind_it() -> None:
    # Twelve trees fill the first port to 98 %; as two streams each they would need twice the time.
    trees = tuple(gate_stream(f"s{number}", "t", "m", "x", "y") for number in range(12))
    plan = schedule_gates(TREE.replace(streams=trees))
    assert plan.complete
    assert check_gates(TREE.replace(streams=trees), plan).findings == ()
    more = (*trees, gate_stream("more", "t", "x", "y"))
    plan = schedule_gates(TREE.replace(streams=more))
    assert plan.bound == 12
    assert "t->b" in known(plan.proof)


def test_a_talker_with_two_ports_sends_by_both_in_the_same_period() -> None:
    problem = TREE.replace(
        streams=(
            gate_stream("s", "t", "z", "y"),
            *(gate_stream(f"o{number}", "t", "z") for number in range(10)),
            *(gate_stream(f"p{number}", "t", "y") for number in range(10)),
        )
    )
    plan = schedule_gates(problem)
    assert plan.complete
    assert check_gates(problem, plan).findings == ()


@pytest.mark.parametrize("waiting", [True, False])
def test_a_small_set_of_trees_is_searched_to_the_end(waiting: bool) -> None:
    streams = tuple(gate_stream(f"s{number}", "t", "m", "x", "y") for number in range(6))
    problem = TREE.replace(streams=streams, waiting=waiting)
    router = Router(problem.ports, 4)
    answer = exact.search(problem, 10**8, bound(problem, router).choices)
    placed = known(answer.placed)
    plan = schedule_gates(problem)
    again = tuple(
        made.replace(
            ports=tuple(problem.ports[port].name for port in one.route),
            queues=one.queues,
            starts_ps=one.starts_ps,
        )
        for made, one in zip(plan.streams, placed, strict=True)
    )
    written = plan.replace(streams=again, gates=gate_lists(problem, again, 10**8))
    assert check_gates(problem, written).findings == ()


def planted(**more: Any) -> set[str]:
    plan = schedule_gates(TREE)
    faulty = plan.replace(streams=(plan.streams[0].replace(**more),))
    return {one.rule for one in check_gates(TREE, faulty).findings}


def test_the_judge_of_gates_notices_what_is_wrong_with_a_tree() -> None:
    (made,) = schedule_gates(TREE).streams
    order = [made.ports.index(name) for name in ("t->b", "b->m", "m->x", "b->y")]
    ports = tuple(made.ports[place] for place in order)
    queues = tuple(made.queues[place] for place in order)
    starts = tuple(made.starts_ps[0][place] for place in order)
    assert planted(ports=ports, queues=queues, starts_ps=(starts,)) == set()

    def plant(names: str, **more: Any) -> set[str]:
        taken = names.split()
        here = dict(zip(ports, starts, strict=True))
        times = tuple(here.get(name, starts[0]) for name in taken)
        given = {"ports": tuple(taken), "queues": (7,) * len(taken), "starts_ps": (times,)}
        return planted(**{**given, **more})

    assert "route" in plant("t->b b->m m->x")  # nothing comes to y
    assert "route" in plant("t->b b->m m->x b->y t->z")  # nobody listens at z
    assert "route" in plant("b->m t->b m->x b->y")  # a port before the one that leads to it
    assert "route" in plant("t->b b->m m->x b->y y->b")  # a node that is entered twice
    early = (starts[0], starts[1], starts[1], starts[3])
    assert "order" in plant(" ".join(ports), starts_ps=(early,))
    late = (starts[0], starts[1], starts[2], starts[3] + 10**8)
    assert plant(" ".join(ports), starts_ps=(late,)) >= {"deadline"}
    assert "gates" in plant(" ".join(ports), starts_ps=((*starts[:3], starts[3] + 10**6),))


def test_a_way_to_each_listener_is_looked_for_alone_when_there_is_no_tree() -> None:
    problem = TREE.replace(streams=(gate_stream("s", "y", "x", "t"),))
    (made,) = schedule_gates(problem).streams
    assert made.reason == "there is no route from y to t"
    slow = TREE.replace(streams=(gate_stream("s", "t", "m", "x", deadline_ps=2 * 10**7),))
    plan = schedule_gates(slow)
    assert "sending and wires alone take 28.192us of 20us" in known(plan.streams[0].reason)
    assert plan.bound == 0


def test_cqf_has_trees_too() -> None:
    plan = plan_of(STAR, profile("cqf", {**FULL, "max-payload-size": "500B", "damper": True}))
    one, two = plan.streams
    assert one.status == two.status == "admitted"
    assert one.paths[0].cycles == two.paths[0].cycles
    full = {**FULL, "max-payload-size": "700B"}
    plan = plan_of(STAR, profile("cqf", {**full, "to": "one", "rank": 1}, full))
    assert [leg.status for leg in plan.streams[1:]] == ["refused", "refused"]
    assert "free before its dead time" in known(plan.streams[1].reason)
