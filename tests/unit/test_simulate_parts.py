"""Each part of a general port against a case worked by hand, and what the checker says of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from qnet.check.plan import prove
from qnet.model.gates import HELD, GateEntry, GateList
from qnet.model.observation import Observation
from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.clocks.kernels import error_at, when_shown
from qnet.simulate.clocks.walks import error_walk
from qnet.simulate.ports.kernels.preemption import cut_after
from qnet.simulate.ports.kernels.recovery import first_copy
from qnet.simulate.ports.parts import RecoveryState
from qnet.simulate.ports.setup import chances
from qnet.simulate.run import simulate
from qnet.units import TIME, parse
from tests.builders import plan_for

pytestmark = pytest.mark.twin

LINE = 12_304_000
"""1518 bytes and 20 more at 1 Gb/s."""

GAP = 96_000

WAY = 1_000_000 - GAP
"""1 us of wire after the last bit, which is in before the gap of its line time is over."""


def _net(**link: Any) -> Topology:
    both = {"between": ("a", "b"), "rate": "1Gbps", "delay": "1us"} | link
    return Topology.model_validate(
        {"title": "t", "nodes": [{"name": "a"}, {"name": "b"}], "links": [both]}
    )


def _profile(classes: list[dict[str, Any]], *streams: dict[str, Any], last: str = "1ms") -> Profile:
    kind = {"mechanism": "strict-priority"}
    usual = {"from": "a", "to": "b", "interval": "200us", "max-payload-size": "1500B"}
    return Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [kind | one for one in classes],
            "streams": [usual | {"name": f"s{i}"} | one for i, one in enumerate(streams)],
            "simulation": {"duration": last},
        }
    )


def _run(topology: Topology, profile: Profile, plan: Plan | None = None) -> Observation:
    if plan is None:
        path = PathPlan(ports=("a->b",))
        streams = [
            StreamPlan(name=one.name, status="routed", paths=(path,)) for one in profile.streams
        ]
        plan = _plan(*streams)
    return simulate(topology, profile, plan, threads=1)


def _plan(*streams: StreamPlan, gates: tuple[GateList, ...] = (), cycle: int = 100) -> Plan:
    return Plan(
        qnet_version="0",
        topology_sha256="",
        traffic_sha256="",
        cycle_ps=10_000_000,
        buffers=4,
        hypercycle=12,
        gate_cycle_ps=cycle * 10**6,
        gates=gates,
        streams=streams,
        demands=(),
        egress=(),
    )


def test_credit_makes_the_second_frame_wait_for_a_third_of_the_first() -> None:
    """Idle slope 75 %: a frame costs a quarter of its line time, which takes a third to earn."""
    profile = _profile(
        [{"name": "av", "priority": 5, "idle-slope": "75%"}],
        {"class": "av", "max-pkts-per-interval": 2},
    )
    (seen,) = _run(_net(), profile).streams
    assert seen.latency_ps_min == LINE + WAY
    assert seen.latency_ps_max == LINE + -(-LINE // 3) + LINE + WAY


def test_a_shaped_burst_leaves_at_its_committed_rate() -> None:
    """A bucket of one frame at 100 Mb/s: the next frame is eligible ten line times later."""
    shaped = {"class": "ats", "committed-rate": "100Mbps", "committed-burst": "1538B"}
    profile = _profile(
        [{"name": "ats", "priority": 5, "max-residence": "125us"}],
        shaped | {"interval": "400us", "max-pkts-per-interval": 3},
        last="400us",
    )
    seen = _run(_net(), profile)
    (one,) = seen.streams
    assert one.latency_ps_max == 10 * LINE + LINE + WAY
    # The third would wait twenty line times, longer than any frame may stay.
    assert one.lost * 3 == one.sent
    assert {drop.cause for drop in seen.drops} == {"beyond the longest residence"}


def test_a_meter_drops_what_is_beyond_the_reservation() -> None:
    profile = _profile(
        [{"name": "one", "priority": 5}],
        {"class": "one", "max-pkts-per-interval": 2, "excess-pkts-per-interval": 3, "police": True},
    )
    seen = _run(_net(), profile)
    assert seen.streams[0].sent == 25
    assert seen.streams[0].received == 10
    assert [(drop.cause, drop.frames) for drop in seen.drops] == [("beyond the committed rate", 15)]


def test_a_meter_of_two_rates_passes_green_then_yellow() -> None:
    """Five frames at once: two are green, one yellow, two red; and so every interval."""
    once = {"max-pkts-per-interval": 2, "excess-pkts-per-interval": 3, "police": True}
    more = {"excess-rate": "61520kbps", "excess-burst": "1538B"}
    seen = _run(_net(), _profile([{"name": "one", "priority": 5}], {"class": "one"} | once | more))
    assert [one.model_dump() for one in seen.meters] == [
        {"port": "a->b", "name": "s0", "green": 10, "yellow": 5, "red": 10}
    ]
    assert seen.streams[0].received == 15
    # The bucket for yellow ones fills at half of what it would take for one each interval.
    half = _profile(
        [{"name": "one", "priority": 5}], {"class": "one"} | once | more | {"excess-rate": "31Mbps"}
    )
    (use,) = _run(_net(), half).meters
    assert (use.green, use.yellow, use.red) == (10, 3, 12)


def test_weights_share_the_line_two_to_one() -> None:
    """A hundred frames each at once: two of the heavy class, one of the light, and so on."""
    crowd = {"max-pkts-per-interval": 100, "interval": "4ms", "group": "all", "start": "together"}
    profile = _profile(
        [{"name": "two", "priority": 3, "weight": 2}, {"name": "one", "priority": 3, "weight": 1}],
        *({"class": name} | crowd for name in ("two", "one")),
        last="8ms",
    )
    two, one = _run(_net(), profile).streams
    assert two.latency_ps_max == 149 * LINE + WAY
    assert one.latency_ps_max == 200 * LINE + WAY


@pytest.mark.parametrize(
    ("waited", "rest", "cut"),
    [
        (4_000_000, 1518, 492),  # 500 bytes of time, 8 of them preamble
        (1_000, 1518, 60),  # at once, but a fragment has 60 bytes and its check
        (4_000_000, 492 + 64, 492),
        (4_000_000, 492 + 63, 0),  # less than 64 bytes would be left
        (1_000, 123, 0),  # the longest frame that is never cut
        (1_000, 124, 60),
    ],
)
def test_where_a_frame_is_cut(waited: int, rest: int, cut: int) -> None:
    """IEEE 802.3 clause 99.4, at 1 Gb/s."""
    assert cut_after(waited, rest, 10**9) == cut


def test_sequence_recovery_follows_the_standard() -> None:
    """Copies, a late first copy, one beyond the history, the end of the numbers, a reset."""
    state = np.zeros((1, 16), dtype=np.int64)
    state[0, [RecoveryState.LENGTH, RecoveryState.PATIENCE, RecoveryState.TAKE_ANY]] = 4, 1000, 1
    remembered = np.zeros((1, 4), dtype=np.int64)
    steps = [
        (65534, True), (65534, False), (1, True), (0, True), (65535, True), (65535, False),
        (5, False), (4, True), (0, False),
    ]  # fmt: skip
    for number, passed in steps:
        assert first_copy(0, number, 10, state, remembered) == passed
    assert state[0, RecoveryState.ROGUE] == 2  # 5 is four ahead of 1, 0 four behind 4
    assert first_copy(0, 300, 1010, state, remembered)
    assert state[0, RecoveryState.RESETS] == 1


def _gated(*begins_ns: int, fixed: bool = False, bytes_: int = 1500) -> Observation:
    """Queue 7 is open from 10 us to 30 us of each 100 us; frames are handed over at `begins_ns`."""
    guard = "fixed" if fixed else "length-aware"
    profile = _profile(
        [{"name": "tt", "priority": 7, "mechanism": "qbv", "guard": guard}],
        {"class": "tt", "max-payload-size": f"{bytes_}B"},
        last="350us",
    )
    starts = tuple((1000 * one,) for one in begins_ns)
    path = PathPlan(ports=("a->b",), queues=(7,), starts_ps=starts)
    entries = (
        GateEntry(10_000_000, 0), GateEntry(5_000_000, 128), GateEntry(15_000_000, 255),
        GateEntry(70_000_000, 127),
    )  # fmt: skip
    plan = _plan(
        StreamPlan(name="s0", status="admitted", paths=(path,)),
        gates=(GateList(port="a->b", entries=entries),),
    )
    return _run(_net(), profile, plan)


def test_a_frame_waits_for_its_gate_and_must_end_before_it_closes() -> None:
    (seen,) = _gated(4_000).streams
    assert (seen.latency_ps_min, seen.latency_ps_max) == (6_000_000 + LINE + WAY,) * 2
    # 30 us - 12.304 us is the last begin; a nanosecond later it waits for the next window.
    (seen,) = _gated(17_696).streams
    assert seen.latency_ps_max == LINE + WAY
    (seen,) = _gated(17_697).streams
    assert seen.latency_ps_min == 92_303_000 + LINE + WAY
    # With fixed guards the list alone keeps windows apart: a frame begins in an open gate.
    (seen,) = _gated(17_697, fixed=True).streams
    assert seen.latency_ps_max == LINE + WAY


def _sent_at(*times_ps: int) -> tuple[StreamPlan, ...]:
    """Streams s0, s1 ... that hand over their first frames at these times."""
    path = PathPlan(ports=("a->b",))
    return tuple(
        StreamPlan(name=f"s{i}", status="routed", send_ps=time, paths=(path,))
        for i, time in enumerate(times_ps)
    )


def test_credit_stands_still_while_its_gate_is_closed() -> None:
    """Idle slope 12 %, open for 20 us of 100 us: 60 % while it is (IEEE 802.1Q 8.6.8.2).

    A frame costs 0.4 of its line time of 12.304 us, earned again in two thirds of one: the second
    could begin at 20,506,667 ps. The gate closes at 20 us; the rest is earned from 100 us on.
    """
    profile = _profile(
        [
            {"name": "tt", "priority": 7, "mechanism": "qbv"},
            {"name": "av", "priority": 5, "idle-slope": "12%"},
        ],
        {"class": "av", "max-pkts-per-interval": 2, "interval": "400us"},
        last="399us",
    )
    entries = (GateEntry(20_000_000, 255), GateEntry(80_000_000, 254))
    plan = _plan(*_sent_at(0), gates=(GateList(port="a->b", entries=entries),))
    (seen,) = _run(_net(), profile, plan).streams
    assert seen.latency_ps_min == LINE + WAY
    assert seen.latency_ps_max == 100_506_667 + LINE + WAY


def _window_case(held: bool) -> tuple[Profile, Plan]:
    """A frame of 1518 bytes that can be cut begins at 45 us, a window of 20 us at 50 us."""
    profile = _profile(
        [
            {"name": "tt", "priority": 7, "mechanism": "qbv"},
            {"name": "be", "priority": 0, "preemptable": True},
        ],
        {"class": "be", "interval": "400us"},
        {"class": "tt", "interval": "400us"},
        last="399us",
    )
    gated = PathPlan(ports=("a->b",), queues=(7,), starts_ps=((50_000_000,),))
    window = 129 | HELD * held
    entries = GateEntry(50_000_000, 1), GateEntry(20_000_000, window), GateEntry(330_000_000, 1)
    plan = _plan(
        *_sent_at(45_000_000),
        StreamPlan(name="s1", status="admitted", paths=(gated,)),
        gates=(GateList(port="a->b", entries=entries),),
        cycle=400,
    )
    return profile, plan


@pytest.mark.parametrize("held", [True, False])
def test_a_held_port_is_idle_when_the_window_opens(held: bool) -> None:
    """A gated frame is ready at 50 us, while one that can be cut is on the wire.

    143 bytes before the window, at 48.856 us, the port is held: the frame is cut after 474 bytes
    (482 of time, 8 of them preamble) and off the wire at 48.984 us. When the window is over, 1,044
    bytes are sent. Without hold the gated frame cuts it itself, at 50 us after 617 bytes, and waits
    for a check of 4 bytes and the gap, 128 ns; the rest, 901 bytes, follows it at once.
    """
    slow, quick = _run(_net(), *_window_case(held)).streams
    if held:
        assert quick.latency_ps_max == LINE + WAY
        assert slow.latency_ps_max == 25_000_000 + (1044 + 20) * 8000 + WAY
    else:
        assert quick.latency_ps_max == 128_000 + LINE + WAY
        assert slow.latency_ps_max == 5_128_000 + LINE + (901 + 20) * 8000 + WAY


def test_a_clock_that_runs_fast_by_100_ppm_goes_evenly() -> None:
    """100 ns a millisecond: each 5 us of it pass 500 ps sooner, not 100 ns at once at its end."""
    errors = np.array([0, -100_000, -200_000])
    at = [error_at(time, errors, 10**9) for time in (0, 5_000_000, 10**9 - 1, 10**9, 3 * 10**9)]
    assert at == [0, -500, -100_000, -100_000, -200_000]
    for shown in (0, 1, 777, 10**6, 10**9 + 99_999, 10**9 + 100_000, 10**9 + 100_001, 5 * 10**9):
        when = when_shown(shown, errors, 10**9)
        assert when - error_at(when, errors, 10**9) >= shown
        assert when - 1 - error_at(when - 1, errors, 10**9) < shown
    gates = [when_shown(shown, errors, 10**9) for shown in (500_000_000, 505_000_000)]
    assert gates[1] - gates[0] == -(-5_000_000 * 10_000 // 10_001)


def test_chances_of_loss_follow_the_bit_error_ratio() -> None:
    table = chances(0, 10**6)  # 1e-12
    for size in (64, 1518):
        assert abs(table[size] / 2**63 / (size * 8e-12) - 1) < 1e-6
    assert abs(chances(10**7, 0)[64] / 2**63 - 0.01) < 1e-12


def test_a_lossy_link_loses_its_share() -> None:
    profile = _profile(
        [{"name": "one", "priority": 5}],
        {"class": "one", "max-pkts-per-interval": 10, "max-payload-size": "46B"},
        last="40ms",
    )
    (seen,) = _run(_net(loss="10%"), profile).streams
    assert abs(seen.lost - 0.1 * seen.sent) < 5 * (0.09 * seen.sent) ** 0.5


def _chain(**sync: str) -> Topology:
    clock = {"error": "100ns", "wander": "5ns", "granularity": "4ns", "frequency-offset": "1ppm"}
    nodes = [{"name": f"n{i}", "clock": clock} for i in range(5)]
    links = [
        {"between": (f"n{i}", f"n{i + 1}"), "rate": "1Gbps", "delay": "5us", "asymmetry": "8ns"}
        for i in range(4)
    ]
    kept = {"grandmaster": "n0", "hop-error": "5ns", "interval": "10ms"} | sync
    return Topology.model_validate({"title": "t", "nodes": nodes, "links": links, "sync": kept})


def test_the_error_of_clocks_grows_from_hop_to_hop_and_after_the_grandmaster_is_lost() -> None:
    kept, lost = _chain(), _chain(**{"lost-at": "20ms"})
    assert error_walk(kept, "n0", 60, 1) == [0] * 60
    for hops in range(1, 5):
        walk = error_walk(kept, f"n{hops}", 60, 1)
        # Half of the asymmetry of 8 ns at each hop, 5 ns more or less, and steps of 4 ns.
        assert all(4000 * hops - 5000 * hops - 4000 <= one <= 9000 * hops for one in walk)
        assert all(one % 4000 == 0 for one in walk)
        assert all(abs(b - a) <= 5000 for a, b in pairwise(walk))
        alone = error_walk(lost, f"n{hops}", 60, 1)
        assert alone[:21] == walk[:21]
        pace = (alone[59] - alone[20]) / 39
        assert abs(pace) <= 1000 + 4000 / 39  # 1 ppm is 1 ns in a millisecond
    last = [[error_walk(net, f"n{i}", 60, 1)[59] for i in range(5)] for net in (kept, lost)]
    assert last[0] != last[1]


@pytest.mark.parametrize("interval", ["31.25ms", "7.8125ms", "976.5625us", "1ps", "10ms"])
def test_the_error_of_hops_is_drawn_anew_as_often_as_802_1as_says(interval: str) -> None:
    net = Topology.model_validate(
        {
            "title": "clocks that follow at once",
            "sync": {"grandmaster": "a", "hop-error": "900ns", "interval": interval},
            "nodes": [{"name": "a"}, {"name": "b", "clock": {"wander": "2us"}}],
            "links": [{"between": ("a", "b"), "rate": "1Gbps", "delay": "5us"}],
        }
    )
    walk = error_walk(net, "b", 200, 1)
    every_ps = max(parse(TIME, interval), 10**9)
    drawn = {i for i in range(1, 200) if i * 10**9 // every_ps != (i - 1) * 10**9 // every_ps}
    assert {i for i in range(1, 200) if walk[i] != walk[i - 1]} == drawn


def test_the_two_ways_of_an_asymmetric_link_differ_by_it() -> None:
    there, back = _chain().ports[0], _chain().ports[1]
    assert (there.propagation_ps, back.propagation_ps) == (5_004_000, 4_996_000)


# What the checker says


def _proof(topology: Topology, **stream: Any) -> tuple[set[str], int | None]:
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "streams": [
                {"name": "s", "from": "n0", "to": "n2", "interval": "100us",
                 "max-payload-size": "500B"} | stream
            ],
        }
    )  # fmt: skip
    proof = prove(topology, profile, plan_for(topology, profile))
    return {one.rule for one in proof.findings}, proof.streams[0].latency_ps_max


def test_a_clock_that_no_reserved_stream_meets_spoils_nothing() -> None:
    chain = _chain()
    wild = chain.nodes[4].clock.replace(error_ps=0, wander_ps=0)
    nodes = (*chain.nodes[:4], chain.nodes[4].replace(clock=wild))
    network = Topology(title="t", nodes=nodes, links=chain.links, sync=chain.sync)
    rules, bound = _proof(network)
    assert rules == set()
    assert bound is not None
    assert _proof(network, **{"to": "n4"})[0] == {"clock"}
    assert _proof(network, **{"from": "n4", "to": "n3"})[0] == {"clock"}


def test_the_checker_takes_nothing_for_granted() -> None:
    rules, bound = _proof(_chain())
    assert rules == set()
    assert bound is not None
    # Clocks that can leave their bound, talkers that do not keep to it.
    assert _proof(_chain(**{"hop-error": "50ns"})) == ({"clock"}, None)
    assert _proof(_chain(), **{"excess-pkts-per-interval": 1}) == ({"ingress"}, None)
    held = {"excess-pkts-per-interval": 1, "police": True}
    assert _proof(_chain(), **held) == (set(), None)
