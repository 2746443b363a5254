"""The fast simulator against its slow twin, and its own promises: same bytes, all accounted for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet import api
from qnet.errors import ArgumentError, InputError
from qnet.kernel import highest_bit, zeros
from qnet.model.histogram import BIN_COUNT, bin_low_ps
from qnet.model.observation import Observation, Traffic
from qnet.model.outages import outages_of
from qnet.model.plan import DemandPart, DemandPlan, PathPlan, Plan, StreamPlan
from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import layout, run, setup
from qnet.simulate.clocks import walks
from qnet.simulate.clocks.walks import error_walk
from qnet.simulate.draws import dice, integers, log_table
from qnet.simulate.frame_sources import sources_of
from qnet.simulate.kernels.delivery import bin_of
from qnet.simulate.kernels.sources import advance, exponential
from qnet.simulate.kernels.sources import draw as draw_bits
from qnet.simulate.ports import setup as ports_setup
from qnet.simulate.run import simulate
from qnet.simulate.windows import shares
from qnet.simulate.world import PortTally, Ring, SourceState, World
from qnet.units import PS_PER_US
from tests.slow_case import compare

CYCLE_PS = 10 * PS_PER_US
pytestmark = pytest.mark.twin


CLOCK_BLOCK_PS = 40 * PS_PER_US
"""In place of a millisecond: short runs see clocks change their pace a few times."""

LENGTHS = st.integers(200, 3000).map("{}m".format) | st.sampled_from(["0m", "1mm", "7m"])


def moving(draw: st.DrawFn) -> dict[str, str]:
    """Draw how a clock is wrong, and how that changes."""
    return {
        "error": f"{draw(st.integers(0, 900))}ns",
        "wander": f"{draw(st.integers(0, 300))}ns",
        "frequency-offset": f"{draw(st.sampled_from([0, 3, 200]))}ppm",
        "granularity": f"{draw(st.sampled_from([0, 1, 8]))}ns",
    }


def sync(draw: st.DrawFn) -> dict[str, str]:
    """Draw a grandmaster, lost or not."""
    one = {"grandmaster": "n0", "hop-error": "200ns", "interval": "1ms"}
    lost = draw(st.none() | st.integers(1, 150))
    return one if lost is None else one | {"lost-at": f"{lost}us"}


def demand(draw: st.DrawFn, number: int, ends: tuple[int, int], name: str) -> dict[str, Any]:
    """Draw a demand of any law."""
    one: dict[str, Any] = {
        "name": f"d{number}",
        "from": f"n{ends[0]}",
        "to": f"n{ends[1]}",
        "class": name,
        "rate": f"{draw(st.integers(50, 1500))}Mbps",
        "arrival": draw(st.sampled_from(["poisson", "constant-rate", "bursts", "flows"])),
        "sizes": draw(st.sampled_from(["imix", "64B", "1500B"])),
    }
    if one["arrival"] == "bursts":
        one["burst"] = draw(st.integers(1, 5))
    if one["arrival"] == "flows":
        one["access-rate"] = f"{draw(st.integers(1501, 3000))}Mbps"
        one["flow-sizes"] = draw(st.sampled_from(["1:50%+3:80%+7:100%", "2:100%"]))
    return one


def events(draw: st.DrawFn, topology: Topology) -> list[dict[str, Any]]:
    """Draw what breaks and is mended in 200 us: links from one node to the next, and nodes."""
    at = st.integers(0, 199_999).map("{}ns".format) | st.sampled_from(["0us", "33333333ps"])
    links = [topology.link_name(one) for one in topology.links]
    drawn: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 5))):
        breaks = draw(st.sampled_from(["cut", "down"]))
        named = links if breaks == "cut" else sorted(topology.node_by_name)
        one = {"at": draw(at), "change": breaks, "target": draw(st.sampled_from(named))}
        if breaks == "cut":
            one["where"] = draw(st.sampled_from(["0%", "50%", "12.3456789%", "100%"]))
        mended = draw(st.sampled_from(["never", "for", "for", "mend", "blink"]))
        if mended in ("for", "blink"):
            most = 400 if mended == "blink" else 90_000
            one["for"] = f"{draw(st.integers(1, most))}ns"
        drawn.append(one)
        if mended == "mend":
            mends = {"cut": "repair", "down": "up"}[breaks]
            drawn.append({"at": draw(at), "change": mends, "target": one["target"]})
    read = [Event.model_validate(one) for one in drawn]
    _, misfits = outages_of(topology, read)
    unfit = {one.event for one in misfits}
    return [one for number, one in enumerate(drawn) if number not in unfit]


@st.composite
def cases(
    draw: st.DrawFn, *, more: bool = False, several: bool = False, broken: bool = False
) -> tuple[Topology, Profile, Plan]:
    """Draw a small tree of switches with reserved and other streams; cycles need not be right.

    With `more` there are moving clocks, demands and drawn processing delays too; with `several`,
    streams with more than one listener; with `broken`, events.
    """
    count = draw(st.integers(2, 7 if several else 5))
    nodes = [
        {
            "name": f"n{i}",
            "processing": f"{draw(st.integers(0, 3000))}ns" + "..4us" * more,
            "buffer": f"{draw(st.sampled_from([2000, 9000, 64000]))}B",
            "clock": {"phase": f"{draw(st.integers(0, 9999))}ns"} | (moving(draw) if more else {}),
        }
        for i in range(count)
    ]
    parents = [draw(st.integers(0, i - 1)) for i in range(1, count)]
    links = [
        {
            "between": (f"n{parent}", f"n{i + 1}"),
            "rate": draw(st.sampled_from(["1Gbps", "10Gbps", "3Gbps"])),
            "length": draw(LENGTHS),
        }
        for i, parent in enumerate(parents)
    ]
    net: dict[str, Any] = {"title": "t", "nodes": nodes, "links": links}
    if more and draw(st.booleans()):
        net["sync"] = sync(draw)
    topology = Topology.model_validate(net)
    demands, placed = [], []
    for i in range(draw(st.integers(0, 3)) if more else 0):
        start, end = draw(st.permutations(range(count)))[:2]
        demands.append(demand(draw, i, (start, end), draw(st.sampled_from(["low", "high"]))))
        path = _path(parents, start, end)
        names = tuple(f"n{a}->n{b}" for a, b in pairwise(path))
        rate_bps = int(demands[-1]["rate"][:-4]) * 10**6
        part = DemandPart(ports=names, rate_bps=rate_bps)
        placed.append(
            DemandPlan(name=f"d{i}", rate_bps=rate_bps, placed_bps=rate_bps, parts=(part,))
        )
    streams = []
    plans = []
    for i in range(draw(st.integers(1, 6))):
        start, *ends = draw(st.permutations(range(count)))
        ends = ends[: draw(st.integers(1, len(ends))) if several else 1]
        reserved = draw(st.booleans())
        cycles = draw(st.integers(1, 4))
        streams.append(
            {
                "name": f"s{i}",
                "from": f"n{start}",
                "to": [f"n{end}" for end in ends],
                "class": "reserved" if reserved else draw(st.sampled_from(["low", "high"])),
                "interval": f"{10 * cycles}us",
                "max-pkts-per-interval": draw(st.integers(1, 5)),
                "max-payload-size": f"{draw(st.integers(1, 1500))}B",
            }
        )
        send = draw(st.integers(0, 20_000_000))
        cycle_of: dict[tuple[str, ...], int] = {}
        for end in ends:
            path = _path(parents, start, end)
            names = tuple(f"n{a}->n{b}" for a, b in pairwise(path))
            for hop in range(len(names)):
                if names[: hop + 1] not in cycle_of:
                    last = cycle_of[names[:hop]] if hop else 0
                    cycle_of[names[: hop + 1]] = last + draw(st.integers(1, 4 if hop else 3))
            along = tuple(cycle_of[names[: hop + 1]] for hop in range(len(names)))
            plans.append(
                StreamPlan(
                    name=f"s{i}" if len(ends) == 1 else f"s{i}@n{end}",
                    status="admitted" if reserved else "routed",
                    send_ps=send if reserved else None,
                    hold_ps=draw(st.none() | st.integers(0, 120_000_000)) if reserved else None,
                    paths=(PathPlan(ports=names, cycles=along if reserved else ()),),
                )
            )
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [
                {"name": "reserved", "priority": 6, "mechanism": "tcqf"},
                {"name": "high", "priority": 3, "mechanism": "strict-priority"},
                {"name": "low", "priority": 1, "mechanism": "strict-priority"},
            ],
            "streams": streams,
            "demands": demands,
            "events": events(draw, topology) if broken else [],
            "simulation": {"duration": "200us", "seed": draw(st.integers(0, 9))},
        }
    )
    return topology, profile, _plan(tuple(plans), tuple(placed))


def _plan(streams: tuple[StreamPlan, ...] = (), demands: tuple[DemandPlan, ...] = ()) -> Plan:
    return Plan(
        qnet_version="0",
        topology_sha256="",
        traffic_sha256="",
        cycle_ps=CYCLE_PS,
        buffers=4,
        hypercycle=12,
        streams=streams,
        demands=demands,
        egress=(),
    )


def _path(parents: list[int], start: int, end: int) -> list[int]:
    def up(node: int) -> list[int]:
        return [node] if node == 0 else [node, *up(parents[node - 1])]

    left, right = up(start), up(end)
    meet = next(node for node in left if node in right)
    return left[: left.index(meet) + 1] + right[: right.index(meet)][::-1]


@given(cases())
def test_every_count_equals_the_slow_twins(case: tuple[Topology, Profile, Plan]) -> None:
    compare(case, simulate(*case, threads=1))


@given(cases(more=True, several=True))
def test_copies_for_several_listeners_do_too(case: tuple[Topology, Profile, Plan]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "CLOCK_BLOCK_PS", CLOCK_BLOCK_PS)
        observation = simulate(*case, threads=1)
        compare(case, observation)
        _same_as_general(case)
        patch.setattr(shares, "HOPS_PER_TASK", 1)
        assert simulate(*case, threads=3) == observation


@pytest.mark.parametrize("rate_bps", [0, -5_000_000])
def test_a_part_that_carries_nothing_is_not_sent(rate_bps: int) -> None:
    """Its gaps would be of no time, or less, and its frames without end."""
    topology, profile, plan = _busy_case()
    first, *others = plan.demands
    part = DemandPart(ports=first.parts[0].ports, rate_bps=rate_bps)
    broken = plan.replace(demands=(first.replace(parts=(part,)), *others))
    with pytest.raises(InputError, match=f"mix: a part of {rate_bps} b/s"):
        simulate(topology, profile, broken)


@pytest.mark.parametrize("seed", range(6))
def test_a_damper_whose_clock_is_further_ahead_than_it_says(seed: int) -> None:
    """It follows a grandmaster with an error of its own; all frames come sooner than its bound."""
    clock = {"error": "0ns", "wander": "0ns"}
    nodes = [{"name": name, "clock": clock} for name in ("n0", "n1")]
    link = {"between": ("n0", "n1"), "rate": "1Gbps", "length": "200m"}
    sync = {"grandmaster": "n0", "hop-error": "200ns", "interval": "1ms"}
    topology = Topology.model_validate(
        {"title": "t", "nodes": nodes, "links": [link], "sync": sync}
    )
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "streams": [
                {"name": "s", "from": "n0", "to": "n1", "interval": "10us",
                 "max-payload-size": "1B"}
            ],
            "simulation": {"duration": "200us", "seed": seed},
        }
    )  # fmt: skip
    path = PathPlan(ports=("n0->n1",), cycles=(1,))
    promise = StreamPlan(name="s", status="admitted", send_ps=0, hold_ps=11_556_002, paths=(path,))
    case = topology, profile, _plan((promise,))
    compare(case, simulate(*case, threads=1))


@given(cases(more=True, several=True, broken=True))
def test_what_events_take_is_what_the_slow_twin_loses(case: tuple[Topology, Profile, Plan]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "CLOCK_BLOCK_PS", CLOCK_BLOCK_PS)
        observation = simulate(*case, threads=1)
        compare(case, observation)
        patch.setattr(shares, "HOPS_PER_TASK", 1)
        assert simulate(*case, threads=3) == observation


@given(cases(more=True))
def test_moving_clocks_demands_and_drawn_delays_do_too(
    case: tuple[Topology, Profile, Plan],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "CLOCK_BLOCK_PS", CLOCK_BLOCK_PS)
        compare(case, simulate(*case, threads=1))
        _same_as_general(case)


def _busy_case(duration: str = "300us") -> tuple[Topology, Profile, Plan]:
    """Four switches in a row, drawn delays, clock errors, all laws, more load than fits."""
    nodes = [
        {
            "name": f"n{i}",
            "processing": "1us..3us",
            "buffer": "60kB",
            "clock": {"phase": f"{i}us", "error": "2us", "wander": "1us"},
        }
        for i in range(4)
    ]
    links = [
        {"between": (f"n{i}", f"n{i + 1}"), "rate": "10Gbps", "length": "2km"} for i in range(3)
    ]
    names = tuple(f"n{i}->n{i + 1}" for i in range(3))
    demands: list[dict[str, object]] = [
        {"name": "mix", "from": "n0", "to": "n3", "rate": "4Gbps"},
        {"name": "steady", "from": "n1", "to": "n3", "rate": "2Gbps", "arrival": "constant-rate"},
        {"name": "bursts", "from": "n0", "to": "n2", "rate": "5Gbps", "arrival": "bursts",
         "burst": 30, "sizes": "1518B"},
    ]  # fmt: skip
    stream = {
        "name": "s", "from": "n0", "to": "n3", "interval": "20us", "max-payload-size": "1000B",
    }  # fmt: skip
    profile = {
        "title": "p", "topology": "t", "streams": [stream], "demands": demands,
        "simulation": {"duration": duration, "seed": 5},
    }  # fmt: skip
    spans = {"mix": names, "steady": names[1:], "bursts": names[:2]}
    placed = tuple(
        DemandPlan(
            name=str(one["name"]),
            rate_bps=rate,
            placed_bps=rate,
            parts=(DemandPart(ports=spans[str(one["name"])], rate_bps=rate),),
        )
        for one, rate in zip(demands, (4 * 10**9, 2 * 10**9, 5 * 10**9), strict=True)
    )
    path = PathPlan(ports=names, cycles=(1, 4, 7))
    promise = StreamPlan(name="s", status="admitted", send_ps=5_000_000, paths=(path,))
    topology = Topology.model_validate({"title": "t", "nodes": nodes, "links": links})
    return topology, Profile.model_validate(profile), _plan((promise,), placed)


@pytest.mark.parametrize("in_order", [False, True])
def test_same_bytes_at_one_thread_and_two_and_with_little_room(
    in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = _busy_case()
    if in_order:
        topology, profile, plan = case
        case = topology, profile.replace(streams=()), _plan((), plan.demands)
    one = simulate(*case, threads=1).model_dump_json()
    assert one == simulate(*case, threads=2).model_dump_json()
    # Rings of two frames and pools of one block at first: every kernel stops and is resumed, again
    # and again; listeners are told of two frames at a time.
    made = setup.build

    def tight(*arguments: object) -> World:
        world = made(*arguments)  # type: ignore[arg-type]
        world.lanes.mask[:] = 1
        world.queues.ring[:, Ring.MASK] = 1
        world.tally.port[:, PortTally.BLOCK_ROOM] = 1
        return world._replace(tally=world.tally._replace(reached=zeros((2, 4))))

    monkeypatch.setattr(layout, "build", tight)
    assert one == simulate(*case, threads=2).model_dump_json()


def test_a_run_says_how_large_it_will_be_before_it_begins() -> None:
    said: list[run.Extent] = []
    case = _busy_case("3ms")
    seen = simulate(*case, announce=said.append)
    (extent,) = said
    assert extent.frames == pytest.approx(seen.frames, rel=0.05)
    # Frames that find no room are counted at the ports that they do not leave.
    assert seen.frame_hops <= 1.05 * extent.frame_hops < 2 * seen.frame_hops

    def refuse(extent: run.Extent) -> None:
        raise ValueError(extent)

    endless = case[1].simulation.replace(duration_ps=10**17)
    long = case[1].replace(simulation=endless)
    with pytest.raises(ValueError, match="Extent"):  # at once, with nothing laid out
        simulate(case[0], long, case[2], announce=refuse)


def test_a_long_run_is_announced() -> None:
    said: list[str] = []
    api.announce(run.Extent(10, 30, 1, 10**6), 30, said.append)
    assert said == []
    api.announce(run.Extent(10**9, 3 * 10**9, 150, 10**6), None, said.append)
    (words,) = said
    assert "1,000,000,000 frames, 3,000,000,000 frame-hops; about 3 min of a core" in words
    with pytest.raises(ArgumentError, match="at_most: the run has some 31 frame-hops, 30 are"):
        api.announce(run.Extent(10, 31, 1, 10**6), 30, None)


def test_every_frame_is_accounted_for() -> None:
    seen = simulate(*_busy_case("1ms"))
    for traffic in (*seen.streams, *seen.demands):
        assert traffic.sent >= traffic.received + traffic.lost
        assert sum(frames for _, frames in traffic.histogram) == traffic.copies
    assert sum(port.dropped for port in seen.ports) == sum(
        traffic.lost for traffic in (*seen.streams, *seen.demands)
    )
    # Bursts of 45 kB and the mix share a buffer of 60 kB: the case must drop, or it shows nothing.
    assert _named(seen, "mix").lost > 0


@given(cases())
def test_general_ports_that_use_no_part_give_the_same_bytes(
    case: tuple[Topology, Profile, Plan],
) -> None:
    _same_as_general(case)


def test_general_ports_give_the_same_bytes_with_all_laws_and_drawn_delays() -> None:
    _same_as_general(_busy_case())


def _same_as_general(case: tuple[Topology, Profile, Plan]) -> None:
    plain = simulate(*case, threads=1).model_dump_json()
    every = {port.number for port in case[0].ports}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports_setup, "general_ports", lambda *_: every)
        assert simulate(*case, threads=1).model_dump_json() == plain


def _named(seen: Observation, name: str) -> Traffic:
    return next(one for one in (*seen.streams, *seen.demands) if one.name == name)


def test_mean_rates_are_exact_in_the_long_run() -> None:
    """Paced sources to a frame; random ones within five deviations of the Poisson law."""
    seen = simulate(*_busy_case("4ms"))
    for name, wire_bytes, slack in (
        ("steady", 4e-3 * 2e9 / 8, 2 * 1538),
        ("bursts", 4e-3 * 5e9 / 8, 2 * 30 * 1538),
    ):
        traffic = _named(seen, name)
        assert abs(traffic.sent_bytes + 20 * traffic.sent - wire_bytes) < slack
    expected = 4e-3 * 4e9 / (8 * 381.83)
    assert abs(_named(seen, "mix").sent - expected) < 5 * expected**0.5


def test_clock_walk_stays_within_its_bounds_and_steps() -> None:
    topology, _, _ = _busy_case()
    walk = error_walk(topology, "n1", 500, seed=3)
    assert max(map(abs, walk)) <= 2 * PS_PER_US
    assert max(abs(b - a) for a, b in pairwise(walk)) <= PS_PER_US
    assert len(set(walk)) > 400


def test_bins_agree_with_the_model() -> None:
    values = sorted({2**k + d for k in range(50) for d in (-1, 0, 1, 2**k // 3)} - {-1})
    for value in values:
        index = bin_of(value)
        assert 0 <= index < BIN_COUNT
        assert bin_low_ps(index) <= value < bin_low_ps(index + 1) or value >= bin_low_ps(BIN_COUNT)


def test_the_highest_bit_is_found_at_every_place() -> None:
    for bit in range(63):
        assert [highest_bit(value) for value in (1 << bit, (2 << bit) - 1)] == [bit, bit]


def test_exponential_follows_its_law() -> None:
    """Mean and tail of the drawn gaps, and the integers themselves against the logarithm."""
    table = log_table()
    state = dice(1, "test").reshape(1, 4)
    draws = [draw_bits(state, 0, 0) for _ in range(4000)]
    assert all(0 <= bits < 2**32 for bits in draws)
    units = np.array([exponential(bits, table) / 2**32 for bits in draws])
    wanted = -np.log(np.array(draws, dtype=np.float64) / 2**32)
    assert np.abs(units - wanted).max() < 1e-5
    assert abs(units.mean() - 1) < 5 / 4000**0.5


def test_draws_do_not_change() -> None:
    """Golden: a change of these changes the result of every run with a seed."""
    assert integers(1, "start x", 3, 10**6) == GOLDEN_INTEGERS
    state = dice(1, "port a->b").reshape(1, 4)
    assert [int(draw_bits(state, 0, 0)) for _ in range(3)] == GOLDEN_DRAWS


GOLDEN_INTEGERS = [72169, 988553, 628131]
GOLDEN_DRAWS = [1676630952, 3253763977, 726993090]


def test_a_reserved_stream_in_an_empty_network_takes_its_cycles() -> None:
    """Worked by hand: two ports, cycles 1 and 3, phases 0 and 2 us.

    Sent at 9 us, on the wire at 10 us, last bit out at 10 us + 1026 B x 0.8 ns = 10.8208 us; at the
    second port before its cycle 3 begins at 32 us, so out at 32.8208 us; 9.8 us of fibre more.
    """
    topology, profile, _ = _busy_case()
    nodes = [
        node.replace(clock=node.clock.replace(error_ps=0, wander_ps=0, phase_ps=2 * i * PS_PER_US))
        for i, node in enumerate(topology.nodes)
    ]
    topology = Topology(title="t", nodes=tuple(nodes), links=topology.links)
    stream = profile.streams[0].replace(listeners=("n2",))
    profile = Profile(title="p", topology="t", streams=(stream,), simulation=profile.simulation)
    path = PathPlan(ports=("n0->n1", "n1->n2"), cycles=(1, 3))
    plan = _plan((StreamPlan(name="s", status="admitted", send_ps=9_000_000, paths=(path,)),))
    (seen,) = simulate(topology, profile, plan).streams
    assert seen.late == 0
    latency = 32_820_800 + 9_800_000 - 9_000_000
    assert (seen.latency_ps_min, seen.latency_ps_max) == (latency, latency)


@pytest.mark.parametrize("rate_bps", [100, 1_000, 10**6, 10**13])
def test_random_gaps_have_their_mean_at_any_rate(rate_bps: int) -> None:
    """Half a minute between frames or a third of a nanosecond: the source itself, 4000 times."""
    topology, profile, plan = _busy_case()
    part = plan.demands[0].parts[0].replace(rate_bps=rate_bps)
    one = plan.demands[0].replace(parts=(part,))
    plan = plan.replace(streams=(), demands=(one,))
    world = setup.build(topology, profile, plan, sources_of(topology, profile, plan))
    state, law, table = world.sources.state, world.sources.law, world.sources.log_table
    none = world.sources.recorded_ps
    begin = int(state[0, SourceState.NEXT_TIME])
    for _ in range(4000):
        advance(0, 64, state, law, table, none)
    mean_ps = (int(state[0, SourceState.NEXT_TIME]) - begin) / 4000
    assert abs(mean_ps / (8e12 * 381.8333 / rate_bps) - 1) < 5 / 4000**0.5
