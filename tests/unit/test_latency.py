"""Latency as it is defined: from the last bit handed over to the last bit received, by hand.

A frame of b bytes has left after b + 8 bytes of line time, and holds the line for 12 more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.model.gates import GateEntry, GateList
from qnet.model.observation import Traffic
from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from qnet.units import last_bit_ps, serialisation_ps
from tests import builders
from tests.builders import plan_for
from tests.slow_case import compare

GAP = 96_000
"""12 bytes at 1 Gb/s."""
HELD = 12_160_000
"""1,500 bytes, preamble and gap at 1 Gb/s."""
WAY = 100_000

Case = tuple[Topology, Profile, Plan]


def line(hops: int, rate: str = "1Gbps", node: Mapping[str, Any] | None = None) -> Topology:
    ends = [{"between": (f"n{i}", f"n{i + 1}")} for i in range(hops)]
    usual = {"rate": rate, "delay": "100ns"}
    return builders.network(ends, node={"processing": "0ps"} | dict(node or {}), link=usual)


def case(
    topology: Topology,
    *streams: Mapping[str, Any],
    classes: Sequence[Mapping[str, Any]] = ({"name": "one", "priority": 3},),
    sends_ps: Sequence[int] = (),
    last: str = "3ms",
) -> Case:
    """Plan streams of one frame of 1,500 bytes a millisecond, from end to end."""
    usual = {
        "from": "n0",
        "to": topology.nodes[-1].name,
        "class": classes[0]["name"],
        "interval": "1ms",
        "max-payload-size": "1482B",
    }
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [{"mechanism": "strict-priority"} | dict(one) for one in classes],
            "streams": [usual | {"name": f"s{i}"} | dict(one) for i, one in enumerate(streams)],
            "simulation": {"duration": last},
        }
    )
    plan = plan_for(topology, profile)
    placed = [
        one.replace(send_ps=sends_ps[i] if i < len(sends_ps) else one.send_ps)
        for i, one in enumerate(plan.streams)
    ]
    return topology, profile, plan.replace(streams=tuple(placed))


def seen(made: Case) -> tuple[Traffic, ...]:
    """Simulate a case, and its slow twin beside it."""
    found = simulate(*made, threads=1)
    compare(made, found)
    return found.streams


@pytest.mark.parametrize("hops", [1, 2, 7])
@pytest.mark.parametrize(
    ("rate", "left_ps"),
    [
        ("1Gbps", 12_064_000),
        ("10Mbps", 1_206_400_000),
        ("3Gbps", 4_021_334),  # 1,508 x 8 / 3 ns are 4,021,333 and a third
    ],
)
def test_one_frame_over_some_hops_takes_no_gap(hops: int, rate: str, left_ps: int) -> None:
    made = case(line(hops, rate), {"interval": "5ms"}, last="20ms")
    expected = hops * (left_ps + WAY)
    (found,) = simulate(*made, threads=1).streams
    assert (found.latency_ps_min, found.latency_ps_max) == (expected, expected)
    assert found.floor_ps == expected
    (proven,) = prove(*made).streams
    assert proven.latency_ps_min == expected
    assert proven.latency_ps_max is not None
    # A bucket in line time that is rounded up per frame may lie a few picoseconds above.
    assert expected <= proven.latency_ps_max <= expected + (hops if rate == "3Gbps" else 0)


def test_a_130_byte_frame_over_two_wires() -> None:
    """130 bytes with preamble at 1 Gb/s are 1.040 us, with 0.1 us of wire, twice: 2.280 us."""
    made = case(line(2), {"max-payload-size": "100B", "encapsulation": "22B"})
    (found,) = seen(made)
    assert (found.latency_ps_min, found.latency_ps_max) == (2_280_000, 2_280_000)


def test_the_second_of_two_frames_waits_for_the_gap_too() -> None:
    """It begins to leave when the line is free: once, since the first is as far ahead after it."""
    made = case(line(2), {}, {}, sends_ps=(0, 0))
    first, second = seen(made)
    alone = 2 * (HELD - GAP + WAY)
    assert first.latency_ps_max == alone
    assert second.latency_ps_max == alone + HELD
    # Handed over with the first one's last bit, it still finds the gap.
    made = case(line(2), {}, {}, sends_ps=(0, HELD - GAP))
    assert seen(made)[1].latency_ps_max == alone + GAP
    made = case(line(2), {}, {}, sends_ps=(0, HELD))
    assert seen(made)[1].latency_ps_max == alone


def test_a_frame_that_was_cut_is_in_with_its_last_part() -> None:
    """An express frame comes 4 us after a long one: that is cut after 492 bytes.

    They, a check of 4 and 20 bytes around them hold the line for 4.128 us, the express frame for
    12.16 us; 1,008 bytes and a preamble follow, 8.128 us to the last bit. The next node has all of
    both in their order, so the long one waits for nothing there.
    """
    classes = (
        {"name": "fast", "priority": 5},
        {"name": "slow", "priority": 1, "preemptable": True},
    )
    made = case(line(2), {}, {"class": "slow"}, classes=classes, sends_ps=(4_000_000, 0))
    express, long = seen(made)
    begun = (492 + 4 + 20) * 8000
    assert express.latency_ps_max == begun - 4_000_000 + 2 * (HELD - GAP + WAY)
    last_bit = begun + HELD + (1008 + 8) * 8000
    # The express frame holds the second wire from when it is in, and until after the other is in.
    free_at = begun + HELD - GAP + WAY + HELD
    assert long.latency_ps_max == max(last_bit + WAY, free_at) + HELD - GAP + WAY


def test_a_frame_that_waits_for_its_gate_is_in_without_the_gap() -> None:
    """Gates open at 20 us and at 60 us; with its gap the frame ends before they close."""
    classes = ({"name": "tt", "priority": 7, "mechanism": "qbv"},)
    topology, profile, _ = case(line(2), {}, classes=({"name": "tt", "priority": 7},))
    profile = profile.replace(classes=case(line(2), {}, classes=classes)[1].classes)

    def lists(opens_us: int, length_ps: int) -> tuple[GateEntry, ...]:
        rest = 10**9 - opens_us * 10**6 - length_ps
        return GateEntry(opens_us * 10**6, 0), GateEntry(length_ps, 128), GateEntry(rest, 0)

    def plan(length_ps: int) -> Plan:
        path = PathPlan(
            ports=("n0->n1", "n1->n2"), queues=(7, 7), starts_ps=((10_000_000, 60_000_000),)
        )
        return Plan(
            qnet_version="0", topology_sha256="", traffic_sha256="", cycle_ps=10**7, buffers=4,
            hypercycle=1, gate_cycle_ps=10**9,
            gates=(
                GateList(port="n0->n1", entries=lists(20, length_ps)),
                GateList(port="n1->n2", entries=lists(60, length_ps)),
            ),
            streams=(StreamPlan(name="s0", status="admitted", paths=(path,)),),
            demands=(), egress=(),
        )  # fmt: skip

    (found,) = seen((topology, profile, plan(HELD)))
    assert found.latency_ps_max == 50_000_000 + HELD - GAP + WAY
    # A gate that is open for the frame but not for its gap lets nothing through.
    assert seen((topology, profile, plan(HELD - GAP)))[0].received == 0


@pytest.mark.parametrize(("enough", "head"), [("64B", 72 * 8000), ("1600B", HELD - GAP)])
def test_cut_through_waits_for_no_more_than_the_last_bit(enough: str, head: int) -> None:
    """A node that wants more bytes than there are has the frame with its last bit."""
    made = case(line(3, node={"cut-through": enough}), {})
    (found,) = seen(made)
    assert found.latency_ps_max == 2 * (head + WAY) + HELD - GAP + WAY


def test_a_frame_cut_through_after_another_waits_until_it_is_all_in() -> None:
    """The second comes to a busy port: it is stored, and begins to leave with the line."""
    made = case(line(2, node={"cut-through": "64B"}), {}, {}, sends_ps=(0, 0))
    first, second = seen(made)
    assert first.latency_ps_max == 72 * 8000 + WAY + HELD - GAP + WAY
    # Its first 72 bytes are in at HELD + head, when the line has just become free.
    assert second.latency_ps_max == HELD + first.latency_ps_max


@pytest.mark.parametrize("rate_bps", [10**7, 3 * 10**9, 7_777_777_777, 4 * 10**11, 10**13])
def test_the_last_bit_is_never_after_the_line_is_free(rate_bps: int) -> None:
    """Both are rounded up, so frames come in the order in which they hold the line."""
    for frame_bytes in range(64, 1600):
        held, left = (work(frame_bytes, rate_bps) for work in (serialisation_ps, last_bit_ps))
        assert 0 <= held - left - 12 * 8 * 10**12 // rate_bps <= 1
