"""Every plan passes the judge; on tiny sets nothing that exists is missed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.check.gates import check_gates
from qnet.model.gates import GatePort, GateProblem, GateStream
from qnet.schedule.qbv.solve import schedule_gates

US = 10**6

EDGES = {
    "line": [(0, 1), (1, 2)],
    "ring": [(0, 1), (1, 2), (2, 3), (3, 0)],
    "star": [(0, 1), (0, 2), (0, 3)],
}


@st.composite
def problems(draw: st.DrawFn) -> GateProblem:
    """Small networks with a host at every bridge; times do not divide each other nicely."""
    edges = EDGES[draw(st.sampled_from(sorted(EDGES)))]
    nodes = sorted({node for edge in edges for node in edge})
    wires = [(str(a), str(b)) for a, b in edges] + [(str(node), f"h{node}") for node in nodes]
    rates = st.sampled_from([10**8, 10**9, 3 * 10**9])
    ports = []
    for a, b in wires:
        rate, delay = draw(rates), draw(st.integers(0, 3_000_001))
        for source, target in ((a, b), (b, a)):
            ports.append(
                GatePort(
                    name=f"{source}->{target}",
                    source=source,
                    target=target,
                    rate_bps=rate,
                    queues=draw(st.integers(1, 8)),
                    processing_ps=draw(st.integers(0, 2_000_001)),
                    propagation_ps=delay,
                    entries_max=draw(st.none() | st.integers(4, 30)),
                )
            )
    hosts = [f"h{node}" for node in nodes]
    streams = []
    for number in range(draw(st.integers(1, 12))):
        source, target = draw(st.permutations(hosts))[:2]
        period = draw(st.sampled_from([200, 300, 400, 600])) * US
        streams.append(
            GateStream(
                name=str(number),
                source=source,
                target=target,
                frame_bytes=draw(st.integers(64, 1522)),
                period_ps=period,
                deadline_ps=draw(st.integers(50 * US, period)),
                jitter_ps=draw(st.sampled_from([0, period])),
            )
        )
    return GateProblem(
        ports=tuple(ports),
        streams=tuple(streams),
        isolation=draw(st.sampled_from(["frame", "frame", "stream"])),
        waiting=draw(st.booleans()),
        guard_bytes=draw(st.none() | st.integers(64, 1522)),
        step_ps=draw(st.sampled_from([1, 1000, 8000])),
    )


@given(problems())
def test_every_plan_passes_the_judge_and_is_repeated_exactly(problem: GateProblem) -> None:
    plan = schedule_gates(problem, restarts=3)
    proof = check_gates(problem, plan)
    assert proof.findings == ()
    assert plan.complete or all(made.reason for made in plan.streams if made.status == "refused")
    assert plan.proof is None or not plan.complete
    assert schedule_gates(problem, restarts=3) == plan


UNIT = 10_000
"""Lengths in the tiny sets: 1 us is 125 bytes at 1 Gb/s."""


@st.composite
def tiny(draw: st.DrawFn) -> GateProblem:
    """Frames over one or two ports in steps of a microsecond, with queues to spare."""
    names = ["a", "b", "s", "t"]
    ports = tuple(
        GatePort(name=f"{x}->{y}", source=x, target=y, rate_bps=10**9)
        for x, y in (("a", "s"), ("b", "s"), ("s", "t"))
    )
    streams = tuple(
        GateStream(
            name=str(number),
            source=draw(st.sampled_from(names[:3])),
            target="t",
            frame_bytes=125 * draw(st.integers(1, 3)),
            period_ps=(period := draw(st.sampled_from([6, 12]))) * US,
            deadline_ps=period * US,
            jitter_ps=0,
        )
        for number in range(draw(st.integers(2, 4)))
    )
    return GateProblem(ports=ports, streams=streams, overhead_bytes=0, waiting=False)


def exists(problem: GateProblem) -> bool:
    """Go through every start of every frame, in whole units; times are the bits of a number.

    What is taken are the ports from a, from b and to t, and the queue that each stream has there,
    from a frame's first bit to its last; nothing waits.
    """
    cycle = max(stream.period_ps for stream in problem.streams) // US
    frames = [
        (stream, frame * stream.period_ps // US)
        for stream in problem.streams
        for frame in range(cycle // (stream.period_ps // US))
    ]

    def bits(start: int, length: int) -> int:
        return sum(1 << (start + unit) % cycle for unit in range(length))

    def taken(stream: GateStream, start: int) -> dict[str, int]:
        length = stream.frame_bytes // 125
        if stream.source == "s":
            return {"t": bits(start, length)}
        return {
            stream.source: bits(start, length),
            "t": bits(start + length, length),
            f"queue {stream.name}": bits(start, 2 * length),
        }

    def goes_on(place: int, used: dict[str, int]) -> bool:
        if place == len(frames):
            return True
        stream, low = frames[place]
        for start in range(low, low + stream.period_ps // US):
            mine = taken(stream, start)
            if any(used.get(thing, 0) & times for thing, times in mine.items()):
                continue
            after = {thing: used.get(thing, 0) | times for thing, times in mine.items()}
            if goes_on(place + 1, {**used, **after}):
                return True
        return False

    return goes_on(0, {})


@given(tiny())
def test_on_tiny_sets_the_search_finds_a_plan_when_there_is_one(problem: GateProblem) -> None:
    plan = schedule_gates(problem)
    assert plan.complete == exists(problem)
    assert check_gates(problem, plan).findings == ()


@pytest.mark.twin
def test_the_twin_places_the_same() -> None:
    """Run compiled and not, the plan is this one; times are in microseconds."""
    ports = tuple(
        GatePort(name=f"{x}->{y}", source=x, target=y, rate_bps=10**9)
        for x, y in (("a", "s"), ("b", "s"), ("s", "t"))
    )
    streams = tuple(
        GateStream(
            name=f"{source}{size}",
            source=source,
            target="t",
            frame_bytes=125 * size,
            period_ps=period * US,
            deadline_ps=8 * US,
            jitter_ps=8 * US,
        )
        for source, size, period in (("a", 2, 8), ("b", 3, 8), ("a", 3, 24), ("b", 1, 24))
    )
    problem = GateProblem(ports=ports, streams=streams, overhead_bytes=0)
    plan = schedule_gates(problem)
    assert check_gates(problem, plan).findings == ()
    assert plan.complete
    starts = [[start // US for start in made.starts_ps[0]] for made in plan.streams]
    assert starts == [[4, 6], [5, 8], [8, 11], [2, 3]]
