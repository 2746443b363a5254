"""Plan tiny sets of streams with cycles and have an exact solver of another make judge each answer.

    python -m tests.bench.tiny_cycles [--count 1500] [--first 0]

Every set has to be placed whole, or proven not to fit. The judge is HiGHS: a yes or no for every
route, start cycle and waits of every stream, at most so many bytes in every cycle of every port.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from itertools import product
from math import lcm
from time import perf_counter

from qnet.check.plan import prove
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from tests.bench.tiny_gates import SHAPES, Programme
from tests.builders import plan_for
from tests.random_sets import Dice

CYCLE_US = 10
BYTES = 1250
"""What a cycle of a link of 1 Gb/s holds."""

PERIODS = ((2, 3), (2, 4), (2, 3, 6), (3, 4), (4, 6), (1, 2, 3))

Way = tuple[tuple[tuple[int, int], int], ...]
"""The ports of a way, as pairs of nodes, with the cycle for start cycle 0."""


def tiny_set(number: int) -> tuple[Topology, Profile]:
    """Draw 3 to 9 streams over 3 to 5 nodes whose cycles begin together."""
    dice = Dice("tiny cycles", number)
    nodes = dice.between(3, 5)
    shapes = SHAPES[nodes]
    edges = shapes[dice.below(len(shapes))]
    links = [
        {"between": (f"n{a}", f"n{b}"), "rate": "1Gbps", "delay": f"{dice.between(1, 25)}us"}
        for a, b in edges
    ]
    csqf = dice.below(2) == 1
    topology = {
        "title": f"tiny cycles {number}",
        "tcqf": {"cycle": f"{CYCLE_US}us", "buffers": 4 if csqf else 3},
        "nodes": [{"name": f"n{node}", "processing": "0ps"} for node in range(nodes)],
        "links": links,
    }
    periods = PERIODS[dice.below(len(PERIODS))]
    streams = []
    ends = [(0, nodes - 1), (nodes - 1, 0)] if dice.below(2) else []
    for place in range(dice.between(3, 9)):
        source = dice.below(nodes)
        target = (source + dice.between(1, nodes - 1)) % nodes
        if ends:
            source, target = ends[dice.below(2)]
        limit = {"max-latency": f"{dice.between(4, 16) * CYCLE_US}us"} if dice.below(4) == 0 else {}
        streams.append(
            {
                "name": f"s{place}",
                "from": f"n{source}",
                "to": f"n{target}",
                "class": "reserved",
                "interval": f"{periods[dice.below(len(periods))] * CYCLE_US}us",
                "max-pkts-per-interval": 1,
                "max-payload-size": f"{dice.between(200, 1190)}B",
                **limit,
            }
        )
    mechanism = "csqf" if csqf else "tcqf"
    profile = {
        "title": f"tiny cycles {number}",
        "topology": "t",
        "classes": [{"name": "reserved", "priority": 6, "mechanism": mechanism}],
        "streams": streams,
    }
    return Topology.model_validate(topology), Profile.model_validate(profile)


def ways(topology: Topology, profile: Profile, index: int) -> list[Way]:
    """Return every simple route of a stream in time, with every way to wait on it."""
    stream = profile.streams[index]
    cycle_ps = CYCLE_US * 10**6
    delay = {
        (int(port.source[1:]), int(port.target[1:])): port.propagation_ps for port in topology.ports
    }
    source, target = int(stream.talker[1:]), int(stream.listener[1:])
    routes: list[list[tuple[int, int]]] = []
    open_ways: list[list[tuple[int, int]]] = [[edge] for edge in delay if edge[0] == source]
    for way in open_ways:
        if way[-1][1] == target:
            routes.append(way)
            continue
        seen = {source, *(there for _, there in way)}
        open_ways += [
            [*way, edge] for edge in delay if edge[0] == way[-1][1] and edge[1] not in seen
        ]
    may_wait = profile.classes[0].mechanism == "csqf"
    # The last bit of a frame is out after its preamble and its own bytes, at 8 ns each.
    sent_ps = (stream.frame_bytes + 8) * 8000
    found = []
    for route in routes:
        hops = []
        for edge in route[:-1]:
            shift = -(-(cycle_ps + delay[edge]) // cycle_ps)
            turn_ps = (shift + 1) * cycle_ps - delay[edge] - sent_ps
            most = (topology.tcqf.buffers * cycle_ps - turn_ps) // cycle_ps
            if most < 0:
                break
            hops.append(range(shift, shift + 1 + (most if may_wait else 0)))
        else:
            for shifts in product(*hops):
                cycles = [0]
                for shift in shifts:
                    cycles.append(cycles[-1] + shift)
                took_ps = (cycles[-1] + 1) * cycle_ps + delay[route[-1]]
                if stream.max_latency_ps is None or took_ps <= stream.max_latency_ps:
                    found.append(tuple(zip(route, cycles, strict=True)))
    return found


def exists(topology: Topology, profile: Profile) -> bool:
    """Say whether some plan holds all streams."""
    periods = [stream.interval_ps // (CYCLE_US * 10**6) for stream in profile.streams]
    length = lcm(*periods)
    programme = Programme()
    cells: dict[tuple[tuple[int, int], int], list[tuple[int, int]]] = {}
    for index, (stream, period) in enumerate(zip(profile.streams, periods, strict=True)):
        need = stream.frame_bytes + 20
        taken = []
        for way in ways(topology, profile, index):
            for phase in range(period):
                choice = programme.number(0, 1)
                taken.append((choice, 1))
                for port, cycle in way:
                    for turn in range(0, length, period):
                        cell = port, (phase + cycle + turn) % length
                        cells.setdefault(cell, []).append((choice, need))
        if not taken:
            return False
        programme.row(1, 1, taken)
    for terms in cells.values():
        programme.row(0, BYTES, terms)
    return programme.is_feasible()


def answer(topology: Topology, profile: Profile) -> str:
    """Plan, prove and compare: 'placed', 'impossible', or what is wrong."""
    plan = plan_for(topology, profile)
    findings = prove(topology, profile, plan).findings
    if findings:
        return f"WRONG: {findings[0]}"
    assert plan.reserved is not None
    if plan.reserved.streams_placed == plan.reserved.streams:
        return "placed"
    there = "exists" if exists(topology, profile) else "does not exist"
    if not _is_excluded(plan):
        return f"OPEN: a plan {there}"
    return "impossible" if there == "does not exist" else "WRONG: a plan exists"


def _is_excluded(plan: Plan) -> bool:
    assert plan.reserved is not None
    return plan.reserved.streams_bound < plan.reserved.streams


def main() -> None:
    """Print what is open or wrong as it comes, then how many there are of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    count: Counter[str] = Counter()
    slowest = (0.0, 0)
    for number in range(options.first, options.first + options.count):
        topology, profile = tiny_set(number)
        begin = perf_counter()
        plan_for(topology, profile)
        slowest = max(slowest, (perf_counter() - begin, number))
        said = answer(topology, profile)
        count[said.split(":")[0]] += 1
        if said[0].isupper():
            print(number, said, flush=True)  # noqa: T201
    words = [f"{number} {word}" for word, number in sorted(count.items())]
    sys.stdout.write(f"{', '.join(words)}; slowest {slowest[0]:.2f} s (set {slowest[1]})\n")


if __name__ == "__main__":
    main()
