"""What a plan with short gate lists admits its checker accepts, and Linux would load."""

from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from qnet.check.gates import check_gates
from qnet.check.plan import prove
from qnet.errors import InputError
from qnet.formats.bridges import gate_parameter_tables, tables_of_plan, taprio_lines
from qnet.model.gates import GatePort, GateProblem, GateStream
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule.qbv.solve import schedule_gates
from tests.builders import plan_for
from tests.taprio_rules import refused

US = 10**6
NODES = ("a", "b", "c")


@st.composite
def cases(draw: st.DrawFn) -> tuple[Topology, Profile]:
    """Three nodes in a row whose lists hold few entries and begin at any time."""
    nodes: list[dict[str, Any]] = [
        {
            "name": name,
            "processing": "1us",
            "queues": draw(st.sampled_from([2, 3, 8])),
            "clock": {
                "phase": f"{draw(st.sampled_from([0, 100_000, 999_999, 1_234_567]))}ns",
                "error": draw(st.sampled_from(["0ns", "20ns"])),
                "wander": draw(st.sampled_from(["0ns", "1ns"])),
            },
            **draw(st.sampled_from([{}, *({"gate-entries": number} for number in range(1, 9))])),
        }
        for name in NODES
    ]
    rate = draw(st.sampled_from(["100Mbps", "1Gbps", "10Gbps"]))
    links = [
        {"between": pair, "rate": rate, "length": f"{draw(st.integers(1, 3000))}m"}
        for pair in (("a", "b"), ("b", "c"))
    ]
    gated = {
        "name": "gated",
        "priority": 6,
        "mechanism": "qbv",
        "waiting": draw(st.booleans()),
        "guard": draw(st.sampled_from(["length-aware", "fixed"])),
    }
    plain = {
        "name": "plain",
        "priority": 1,
        "mechanism": "strict-priority",
        "preemptable": draw(st.booleans()),
    }
    streams = []
    for number in range(draw(st.integers(1, 6))):
        talker, listener = draw(st.sampled_from([("a", "c"), ("b", "c"), ("a", "b"), ("c", "a")]))
        streams.append(
            {
                "name": f"s{number}",
                "class": "gated",
                "from": talker,
                "to": listener,
                "interval": draw(st.sampled_from(["500us", "1ms", "1500us"])),
                "max-pkts-per-interval": draw(st.sampled_from([1, 1, 2])),
                "max-payload-size": f"{draw(st.sampled_from([46, 100, 500]))}B",
            }
        )
    demand = {"name": "d", "class": "plain", "from": "a", "to": "c", "rate": "10Mbps"}
    given = {"title": "t", "nodes": nodes, "links": links, "tcqf": {"cycle": "2ms", "buffers": 4}}
    profile = {
        "title": "t",
        "topology": "t",
        "classes": [gated, plain],
        "streams": streams,
        "demands": draw(st.sampled_from([[], [demand]])),
    }
    return Topology.model_validate(given), Profile.model_validate(profile)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_what_is_admitted_is_accepted_and_loaded(case: tuple[Topology, Profile]) -> None:
    topology, profile = case
    plan = plan_for(topology, profile)
    assert prove(topology, profile, plan).findings == ()
    for made in plan.gates:
        node = topology.node_by_name[topology.port_by_name[made.port].source]
        assert node.gate_entries is None or len(made.entries) <= node.gate_entries
    if not plan.gates:
        return
    tables = tables_of_plan(topology, profile, plan)
    gate_parameter_tables(tables)
    for table in tables:
        cycle_ps = sum(entry.interval_ps for entry in table.entries)
        assert cycle_ps == table.cycle_ps
    speed_mbps = topology.ports[0].rate_bps // 10**6
    shortest_ns = 60 * 8 * 1000 // speed_mbps
    short = [
        table.port
        for table in tables
        if any(entry.interval_ps < shortest_ns * 1000 for entry in table.entries)
    ]
    if short:
        # Frames of one queue close behind each other: all that cannot be loaded is named.
        with pytest.raises(InputError, match="Linux takes none below") as caught:
            taprio_lines(tables)
        assert {one.where for one in caught.value.problems} == set(short)
        event("refused")
        return
    event("loaded")
    for text in taprio_lines(tables).values():
        for line in text.splitlines():
            assert refused(line, speed_mbps) == []


@st.composite
def problems(draw: st.DrawFn) -> GateProblem:
    """Frames that are far shorter than an entry, in few queues, with a few entries."""
    ports = tuple(
        GatePort(
            name=f"{source}->{target}",
            source=source,
            target=target,
            rate_bps=10**9,
            queues=draw(st.sampled_from([2, 3, 8])),
            processing_ps=draw(st.integers(0, 3000)) * 1000,
            phase_ps=draw(st.sampled_from([0, 0, 7, 12_345])) * 1000,
            entries_max=draw(st.none() | st.integers(1, 12)),
        )
        for source, target in (("a", "s"), ("b", "s"), ("s", "t"))
    )
    streams = tuple(
        GateStream(
            name=str(number),
            source=draw(st.sampled_from("ab")),
            target="t",
            frame_bytes=draw(st.integers(1, 200)),
            period_ps=draw(st.sampled_from([10, 20, 30])) * US,
            deadline_ps=draw(st.integers(5, 20)) * US,
            jitter_ps=draw(st.sampled_from([0, 20])) * US,
            packets=draw(st.sampled_from([1, 1, 3])),
        )
        for number in range(draw(st.integers(1, 6)))
    )
    return GateProblem(
        ports=ports,
        streams=streams,
        overhead_bytes=0,
        guard_bytes=draw(st.sampled_from([None, 0, 1, 64, 500])),
        waiting=draw(st.booleans()),
    )


OVER_THE_BEGIN = GateProblem(
    ports=(
        GatePort(name="a->s", source="a", target="s", rate_bps=10**9, queues=2, entries_max=6),
        GatePort(name="b->s", source="b", target="s", rate_bps=10**9, queues=2),
        GatePort(name="s->t", source="s", target="t", rate_bps=10**9, queues=2),
    ),
    streams=(
        GateStream(
            name="0",
            source="a",
            target="t",
            frame_bytes=1,
            period_ps=10 * US,
            deadline_ps=5 * US,
            jitter_ps=0,
        ),
        GateStream(
            name="1",
            source="b",
            target="t",
            frame_bytes=1,
            period_ps=30 * US,
            deadline_ps=5 * US,
            jitter_ps=0,
        ),
    ),
    overhead_bytes=0,
    waiting=False,
)
"""A gate left open over the begin of its list takes an entry more than the port holds."""


@settings(max_examples=150, deadline=None)
@example(OVER_THE_BEGIN)
@given(problems())
def test_gates_that_linger_are_accepted(problem: GateProblem) -> None:
    plan = schedule_gates(problem, restarts=3)
    assert check_gates(problem, plan).findings == ()
    for port in problem.ports:
        lists = [made for made in plan.gates if made.port == port.name]
        assert all(len(made.entries) <= (port.entries_max or 10**6) for made in lists)
