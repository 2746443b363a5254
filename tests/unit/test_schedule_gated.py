"""Gates and CQF from topology and traffic: who goes before, what is refused and why."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.errors import InputError
from qnet.files.read import load
from qnet.model.gates import GatePort, GateProblem, GateStream
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule.qbv.solve import schedule_gates
from tests import builders
from tests.builders import plan_for

USUAL = {"rate": "1Gbps", "delay": "500ns"}
LINE = ({"between": ("a", "b"), **USUAL}, {"between": ("b", "c"), **USUAL})


def network(links: Sequence[dict[str, Any]] = LINE, **more: Any) -> Topology:
    return builders.network(links, node={"processing": "1us"}, **more)


def profile(mechanism: str, streams: list[dict[str, Any]], **more: Any) -> Profile:
    return builders.profile(
        streams,
        mechanisms={"reserved": mechanism, "plain": "strict-priority"},
        stream={"class": "reserved", "from": "a", "to": "c", "max-payload-size": "962B"},
        **more,
    )


def plan(topology: Topology, wanted: Profile) -> Plan:
    made = plan_for(topology, wanted)
    assert prove(topology, wanted, made).findings == ()
    return made


def reasons(made: Plan) -> dict[str, str | None]:
    return {one.name: one.reason for one in made.streams}


def test_low_ranks_go_before_and_the_bound_says_how_many_fit() -> None:
    """A frame of 1000 B lasts 8 us: 12 of them fit into 100 us, and 8 of 12 us."""
    late = {"name": "late", "interval": "100us", "count": 9, "max-latency": "50us"}
    soon = {"name": "soon", "interval": "100us", "count": 6, "rank": 100}
    made = plan(network(), profile("qbv", [late, soon]))
    placed = [one.name for one in made.streams if one.status == "admitted"]
    assert sum(name.startswith("soon") for name in placed) == 6
    assert len(placed) == made.gates_bound == 12
    why = [text for text in reasons(made).values() if text]
    assert len(why) == 3
    assert "8.0 % of its time needed, 4.0 % free" in why[0]
    assert "those that cannot avoid it need 120.0 % of it" in why[0]


def test_refusals_say_what_binds() -> None:
    streams: list[dict[str, Any]] = [
        {"name": "far", "interval": "1ms", "max-latency": "900ns"},
        {"name": "slow", "interval": "1ms", "max-latency": "17808ns"},
        {"name": "just", "interval": "1ms", "max-latency": "17809ns"},
        {"name": "twice", "interval": "1ms", "paths": 2},
    ]
    made = plan(network(), profile("qbv", streams))
    assert reasons(made) == {
        "far": "propagation alone is 1.000 us of 900.000 ns",
        "slow": None,
        "just": None,
        "twice": "no disjoint second path: every route uses cable a--b",
    }
    tight = plan(network(), profile("qbv", [{**streams[1], "max-latency": "17807ns"}]))
    assert reasons(tight) == {"slow": "sending, wires and clocks alone take 17.808 us of 17.807 us"}
    few = network(nodes=[{"name": name, "queues": 1} for name in "abc"])
    made = plan(few, profile("qbv", [{"name": "s", "interval": "1ms"}]))
    assert reasons(made) == {"s": "node a has 1 queues, all for the other classes"}
    clocks = [{"name": name, "clock": {"error": "1us"}} for name in "abc"]
    steady = {"name": "s", "interval": "1ms", "max-latency-variation": "3us"}
    made = plan(network(nodes=clocks), profile("qbv", [steady]))
    assert reasons(made) == {"s": "clocks alone make it vary by 4.000 us, of 3.000 us"}


def test_cqf_cannot_cross_a_backbone_link() -> None:
    far = network(
        nodes=[{"name": name} for name in ("qy-ix1", "xian", "c")],
        links=[
            {"between": ["qy-ix1", "xian"], "rate": "400Gbps", "delay": "560us"},
            {"between": ["xian", "c"], "rate": "400Gbps", "delay": "1us"},
        ],
    )
    stream = {"name": "s", "from": "qy-ix1", "interval": "10us"}
    made = plan(far, profile("cqf", [stream]))
    assert reasons(made) == {"s": "CQF cannot cross qy-ix1->xian: propagation 560 us, cycle 10 us"}
    assert plan(far, profile("tcqf", [stream])).streams[0].status == "admitted"


def test_cqf_fills_what_dead_time_leaves() -> None:
    """10 us, less 1.5 us of dead time: one frame of 8 us fits into a cycle, two do not."""
    stream = {"name": "s", "interval": "20us", "count": 3}
    made = plan(network(), profile("cqf", [stream]))
    assert [one.status for one in made.streams] == ["admitted", "admitted", "refused"]
    assert made.buffers == 2
    assert [path.cycles for path in made.streams[0].paths] == [(2, 3)]
    (bounds, *_) = prove(network(), profile("cqf", [stream]), made).streams
    # From the cycle's begin: one cycle, 8 us less a gap of 96 ns, and 0.5 us of wire; at most all
    # but dead time.
    assert (bounds.latency_ps_min, bounds.latency_ps_max) == (18_404_001, 19_000_000)
    assert "before its dead time" in (made.streams[2].reason or "")


def test_cycles_and_gates_share_no_port() -> None:
    def mixed(**ends: str) -> Profile:
        classes = [
            {"name": "reserved", "priority": 6, "mechanism": "qbv"},
            {"name": "cycles", "priority": 5, "mechanism": "tcqf"},
        ]
        streams: list[dict[str, Any]] = [
            {"name": "g", "interval": "1ms"},
            {"name": "c", "interval": "1ms", "class": "cycles", "max-payload-size": "100B", **ends},
        ]
        return profile("qbv", streams, classes=classes)

    assert reasons(plan(network(), mixed())) == {
        "g": None,
        "c": "its routes use ports with gates, and cycles need ports without",
    }
    back = mixed(**{"from": "c", "to": "a"})
    assert [one.status for one in plan(network(), back).streams] == ["admitted", "admitted"]


def test_files_that_ask_for_what_cannot_be_are_refused(tmp_path: Any) -> None:
    (tmp_path / "t.yaml").write_text(
        "title: t\nnodes: [{name: a}, {name: b}]\n"
        "links: [{between: [a, b], rate: 1Gbps, length: 1km}]\n"
    )
    (tmp_path / "p.yaml").write_text(
        "title: p\ntopology: t\nclasses:\n"
        "  - {name: g, priority: 6, mechanism: qbv}\n"
        "  - {name: h, priority: 5, mechanism: qbv}\n"
        "  - {name: i, priority: 4, mechanism: tcqf, waiting: false}\n"
        "streams:\n"
        "  - {name: s, from: a, to: b, class: g, interval: 1500ps, max-payload-size: 9B}\n"
        "demands:\n"
        "  - {name: d, from: a, to: b, class: g, rate: 1Mbps}\n"
    )
    with pytest.raises(InputError) as caught:
        load(str(tmp_path / "p.yaml"))
    found = "\n".join(one.message for one in caught.value.problems)
    assert "a second class with qbv" in found
    assert "'waiting' goes with 'mechanism: qbv' only" in found
    assert "1.5ns is not a whole number of nanoseconds" in found
    assert "class 'g' reserves gates; a demand has none to reserve" in found


def over_two_ports(entries_max: int | None, frame_bytes: int, count: int) -> GateProblem:
    return GateProblem(
        overhead_bytes=0,
        ports=tuple(
            GatePort(name=f"{a}->{b}", source=a, target=b, rate_bps=10**9, entries_max=entries_max)
            for a, b in (("a", "s"), ("s", "t"))
        ),
        streams=tuple(
            GateStream(
                name=str(number),
                source="a",
                target="t",
                frame_bytes=frame_bytes,
                period_ps=10**8,
                deadline_ps=10**8,
                jitter_ps=0,
            )
            for number in range(count)
        ),
    )


def test_a_limit_of_entries_is_named_where_it_binds_and_only_there() -> None:
    """Frames of 8 us or 32 us in a cycle of 100 us."""
    refused = [made.reason for made in schedule_gates(over_two_ports(3, 1000, 3)).streams]
    assert refused.count(None) == 2
    (why,) = filter(None, refused)
    assert "its gate list holds 3 entries; where a gap and a queue were found" in why
    assert "it would need 4" in why
    # Without the limit that one has a place too; with little room it is not the limit that binds.
    assert schedule_gates(over_two_ports(None, 1000, 3)).complete
    (why,) = filter(
        None, (made.reason for made in schedule_gates(over_two_ports(9, 4000, 4)).streams)
    )
    assert "32.0 % of its time needed, 4.0 % free" in why
    assert "gate list" not in why


def test_a_profile_names_the_limit_of_a_node_too() -> None:
    limited = [{"name": name, "processing": "1us", "gate-entries": 3} for name in "abc"]
    streams = [{"name": f"s{number}", "interval": "100us"} for number in range(4)]
    made = plan(network(nodes=limited), profile("qbv", streams))
    why = [reason for reason in reasons(made).values() if reason]
    assert why
    assert all("its gate list holds 3 entries" in reason for reason in why)


SAME = """
import json, sys
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.files.write import to_json
from qnet.schedule import schedule
topology, profile = json.load(sys.stdin)
made = schedule(Topology.model_validate(topology), Profile.model_validate(profile),
                topology_sha256="", traffic_sha256="")
sys.stdout.write(to_json(made))
"""


@pytest.mark.parametrize("mechanism", ["qbv", "cqf"])
def test_the_same_plan_bytes_at_any_thread_count_and_hash_seed(mechanism: str) -> None:
    """A ring that is nearly full, and one stream that cannot be had."""
    names = ["a", "b", "c", "d"]
    wires = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
    topology = {
        "title": "t",
        "tcqf": {"cycle": "50us"},
        "nodes": [{"name": name, "processing": "1us"} for name in names],
        "links": [{"between": list(ends), "rate": "1Gbps", "delay": "500ns"} for ends in wires],
    }
    streams = [
        {
            "name": f"s{number}",
            "class": "reserved",
            "from": names[number % 4],
            "to": names[(number + 2) % 4],
            "interval": "200us",
            "max-payload-size": f"{962 + 97 * (number % 5)}B",
        }
        for number in range(60)
    ]
    streams.append({**streams[0], "name": "far", "max-latency": "1us"})
    classes = [{"name": "reserved", "priority": 6, "mechanism": mechanism}]
    wanted = {"title": "p", "topology": "t", "classes": classes, "streams": streams}
    plans = []
    for threads, hashes in (("1", "0"), ("2", "7")):
        done = subprocess.run(
            [sys.executable, "-c", SAME],
            input=json.dumps([topology, wanted]).encode(),
            check=True,
            capture_output=True,
            timeout=120,
            env={**os.environ, "NUMBA_NUM_THREADS": threads, "PYTHONHASHSEED": hashes},
        )
        plans.append(done.stdout)
    assert plans[0] == plans[1]
    assert b'"admitted"' in plans[0]
    assert b'"refused"' in plans[0]
