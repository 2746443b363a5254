"""A plan with gates, broken by hand in one place at a time: the judge names the fault."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.formats.bridges import gate_parameter_tables, tables_of_plan, taprio_lines
from qnet.model.gates import HELD, GateEntry
from qnet.model.plan import PathPlan, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from tests.builders import plan_for

US = 10**6

TOPOLOGY: dict[str, Any] = {
    "title": "t",
    "nodes": [
        {"name": "a", "clock": {"error": "100ns"}},
        {"name": "b", "processing": "1us..2us", "clock": {"phase": "3us", "error": "100ns"}},
        {"name": "c", "clock": {"wander": "10ns"}},
        {"name": "z", "processing": "1us..2us"},
    ],
    "links": [
        {"between": ["a", "b"], "rate": "1Gbps", "delay": "1us"},
        {"between": ["z", "b"], "rate": "1Gbps", "delay": "1us"},
        {"between": ["b", "c"], "rate": "1Gbps", "delay": "5us"},
    ],
}
PROFILE: dict[str, Any] = {
    "title": "p",
    "topology": "t",
    "classes": [
        {"name": "control", "priority": 6, "mechanism": "qbv", "guard": "fixed"},
        {"name": "plain", "priority": 0, "mechanism": "strict-priority"},
    ],
    "streams": [
        {
            "name": "x",
            "class": "control",
            "from": "a",
            "to": "c",
            "interval": "100us",
            "max-payload-size": "962B",
            "max-latency": "60us",
            "max-latency-variation": "1us",
        },
        {
            "name": "y",
            "class": "control",
            "from": "z",
            "to": "c",
            "interval": "200us",
            "max-pkts-per-interval": 2,
            "max-payload-size": "462B",
            "max-latency": "80us",
        },
    ],
    "demands": [{"name": "d", "from": "a", "to": "c", "rate": "300Mbps", "class": "plain"}],
}


def network(**node_b: Any) -> Topology:
    nodes = [{**one, **(node_b if one["name"] == "b" else {})} for one in TOPOLOGY["nodes"]]
    return Topology.model_validate({**TOPOLOGY, "nodes": nodes})


def profile(**control: Any) -> Profile:
    first, plain = PROFILE["classes"]
    return Profile.model_validate({**PROFILE, "classes": [{**first, **control}, plain]})


PLAN = plan_for(network(), profile())


def with_path(made: Plan, number: int, **what: Any) -> Plan:
    streams = list(made.streams)
    (path,) = streams[number].paths
    changed = PathPlan.model_validate({**path.model_dump(), **what})
    streams[number] = streams[number].replace(paths=(changed,))
    return made.replace(streams=tuple(streams))


def moved(made: Plan, number: int, frame: int, hop: int, by_ps: int) -> Plan:
    starts = [list(one) for one in made.streams[number].paths[0].starts_ps]
    starts[frame][hop] += by_ps
    return with_path(made, number, starts_ps=tuple(map(tuple, starts)))


def with_entries(made: Plan, port: str, change: Any) -> Plan:
    lists = [
        one.replace(entries=tuple(change(list(one.entries)))) if one.port == port else one
        for one in made.gates
    ]
    return made.replace(gates=tuple(lists))


def rules(made: Plan, topology: Topology | None = None, wanted: Profile | None = None) -> set[str]:
    proof = prove(topology or network(), wanted or profile(), made)
    return {finding.rule for finding in proof.findings}


def test_bounds_are_those_computed_by_hand() -> None:
    """1000 B on the wire last 8 us; from a to c: 8 + 1 + 2 + 8 + 5 us and what clocks cost.

    The last bit is out 96 ns before that, at both ports.

    At b the frame waits for a gate that opens 0.2 us after the latest arrival by the best clock.
    """
    proof = prove(network(), profile(), PLAN)
    assert proof.findings == ()
    bounds = proof.streams[0]
    assert bounds.variation_ps == 400_000
    assert bounds.latency_ps_max == 24 * US - 2 * 96_000 + 2 * 200_000
    assert PLAN.gate_cycle_ps == 200 * US
    assert [len(one.paths[0].starts_ps) for one in PLAN.streams] == [2, 2]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (moved(PLAN, 0, 1, 1, -1000), {"order", "gates"}),
        (moved(PLAN, 0, 1, 1, 60 * US), {"gates", "latency", "variation"}),
        (moved(PLAN, 0, 0, 0, -100 * US), {"release", "overlap", "latency", "variation"}),
        (moved(PLAN, 1, 1, 0, 20 * US), {"order", "gates"}),
        (with_path(PLAN, 0, queues=(1, 0)), {"queue", "gates"}),
        (with_path(PLAN, 0, queues=(7,)), {"inputs"}),
        (with_path(PLAN, 0, starts_ps=PLAN.streams[0].paths[0].starts_ps[:1]), {"inputs"}),
        (with_path(PLAN, 0, cycles=(1, 2)), {"route"}),
        (with_entries(PLAN, "b->c", lambda entries: entries[:-1]), {"gates"}),
        (with_entries(PLAN, "b->c", lambda entries: [*entries, GateEntry(0, 1)]), {"gates"}),
        (
            with_entries(PLAN, "a->b", lambda entries: [one._replace(states=1) for one in entries]),
            {"gates"},
        ),
        (PLAN.replace(gates=PLAN.gates[1:]), {"gates"}),
        (PLAN.replace(gates=(*PLAN.gates, PLAN.gates[0])), {"gates"}),
        (PLAN.replace(gate_cycle_ps=150 * US), {"inputs"}),
        (PLAN.replace(gate_cycle_ps=None), {"inputs", "gates"}),
    ],
)
def test_each_fault_is_named(made: Plan, expected: set[str]) -> None:
    assert expected <= rules(made)
    bounds = prove(network(), profile(), made).streams
    assert bounds[0].latency_ps_max is None or bounds[1].latency_ps_max is None


def test_two_frames_at_once_and_a_queue_for_two_are_found() -> None:
    start = PLAN.streams[0].paths[0].starts_ps[0][1]
    (path,) = PLAN.streams[1].paths
    apart = start - path.starts_ps[0][1]
    starts = tuple((one[0], one[1] + apart) for one in path.starts_ps)
    assert "overlap" in rules(with_path(PLAN, 1, starts_ps=starts))
    queue = PLAN.streams[0].paths[0].queues[1]
    shared = with_path(PLAN, 1, queues=(path.queues[0], queue))
    assert "queue" in rules(shared, wanted=profile(isolation="stream"))


def test_what_the_network_has_become_is_what_counts() -> None:
    """Worse clocks, shorter lists or fewer queues than planned for break the plan."""
    assert "order" in rules(PLAN, network(clock={"phase": "3us", "error": "400ns"}))
    assert "limit" in rules(PLAN, network(**{"gate-entries": 3}))
    assert "queue" in rules(PLAN, network(queues=4))
    assert "order" in rules(PLAN, network(processing="1us..3us"))


def test_no_waiting_means_none() -> None:
    wanted = profile(waiting=False)
    made = plan_for(network(), wanted)
    assert rules(made, wanted=wanted) == set()
    late = moved(moved(made, 0, 0, 1, 30_000), 0, 1, 1, 30_000)
    assert "order" in rules(late, wanted=wanted)


def test_the_fixed_guard_is_kept_and_the_demands_fit() -> None:
    """IMIX's longest frame lasts 12.3 us: open gates of others must close that long before."""
    spare = [one for made in PLAN.gates for one in made.entries]
    assert any(one.states == 0 and one.interval_ps >= 12 * US for one in spare)
    aware = plan_for(network(), profile(guard="length-aware"))
    assert rules(aware, wanted=profile(guard="length-aware")) == set()
    assert "gates" in rules(aware)
    greedy = Profile.model_validate(
        {**PROFILE, "demands": [{**PROFILE["demands"][0], "rate": "990Mbps"}]}
    )
    (placed,) = plan_for(network(), greedy).demands
    assert 0 < placed.placed_bps < 900 * 10**6
    parts = tuple(part.replace(rate_bps=900 * 10**6) for part in PLAN.demands[0].parts)
    full = placed.replace(placed_bps=900 * 10**6, parts=parts)
    made = plan_for(network(), greedy).replace(demands=(full,))
    assert "rate" in rules(made, wanted=greedy)


@given(
    number=st.integers(0, 1), frame=st.integers(0, 1), hop=st.integers(0, 1),
    by_ps=st.integers(-50 * US, 50 * US),
)  # fmt: skip
def test_no_start_can_move_unseen(number: int, frame: int, hop: int, by_ps: int) -> None:
    """Every window is exact, so every other start is wrong."""
    assert bool(rules(moved(PLAN, number, frame, hop, by_ps))) == (by_ps != 0)


def test_preemptable_frames_are_held_in_windows_and_the_judge_wants_it() -> None:
    """Their gate is open all the time; without holds a rest of one may be in a window."""
    first, plain = PROFILE["classes"]
    wanted = Profile.model_validate({**PROFILE, "classes": [first, plain | {"preemptable": True}]})
    made = plan_for(network(), wanted)
    assert prove(network(), wanted, made).findings == ()
    held = 0
    for one in made.gates:
        # Only such frames are beside the gated ones: fixed guards close nothing.
        assert all(entry.states & 1 for entry in one.entries)
        used = 0
        for path in (path for stream in made.streams for path in stream.paths):
            if one.port in path.ports:
                used |= 1 << path.queues[path.ports.index(one.port)]
        assert all((entry.states & used > 0) == (entry.states & HELD > 0) for entry in one.entries)
        held += sum(entry.states & HELD > 0 for entry in one.entries)
    assert held >= 6
    loose = tuple(
        one.replace(
            entries=tuple(
                GateEntry(entry.interval_ps, entry.states & ~HELD) for entry in one.entries
            )
        )
        for one in made.gates
    )
    proof = prove(network(), wanted, made.replace(gates=loose))
    assert {one.rule for one in proof.findings} == {"gates"}
    assert "where preemptable frames are not held" in proof.findings[0].message
    tables = tables_of_plan(network(), wanted, made)
    taprio = "".join(taprio_lines(tables).values())
    # Windows that touch are held together, and one that a list's begin cuts is whole again.
    held = sum(entry.states & HELD > 0 for table in tables for entry in table.entries)
    assert taprio.count("sched-entry H") == held > taprio.count("sched-entry R") > 0
    yang = "".join(gate_parameter_tables(tables).values())
    assert yang.count("set-and-hold-mac") == held
    assert yang.count("set-and-release-mac") == taprio.count("sched-entry R")
