"""Plan tiny sets of gated streams and have an exact solver of another make judge each answer.

    python -m tests.bench.tiny_gates [--count 500] [--first 0]

Every set has to be planned or proven impossible. The judge is HiGHS: a mixed-integer programme with
a whole number for the start of each frame at each port, in microseconds, and one for the cycles
between any two frames that must not meet. All numbers are below some thousand, so that tolerances
of a millionth cannot matter.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from itertools import pairwise, product
from math import lcm
from time import perf_counter

import highspy
import numpy as np

from qnet.check.gates import check_gates
from qnet.model.gates import GatePort, GateProblem, GateStream
from qnet.schedule.qbv.solve import schedule_gates
from tests.random_sets import Dice

US = 10**6
BYTES_PER_US = 125

SHAPES = {
    3: [[(0, 1), (1, 2)], [(0, 1), (1, 2), (0, 2)]],
    4: [[(0, 1), (1, 2), (2, 3)], [(0, 1), (0, 2), (0, 3)], [(0, 1), (1, 2), (2, 3), (3, 0)]],
    5: [[(0, 1), (1, 2), (2, 3), (3, 4)], [(0, 1), (0, 2), (0, 3), (3, 4)]],
}
PERIODS_US = ((60, 90), (40, 60, 120), (60, 90, 120), (30, 45, 60), (24, 36), (100, 150))


def tiny_set(number: int) -> GateProblem:
    """Draw 2 to 6 streams over 3 to 5 nodes; all times are whole microseconds."""
    dice = Dice("tiny gates", number)
    nodes = dice.between(3, 5)
    shapes = SHAPES[nodes]
    edges = shapes[dice.below(len(shapes))]
    queues = (1, 8, 8)[dice.below(3)]
    processing, propagation = dice.below(3), dice.below(2)
    ports = tuple(
        GatePort(
            name=f"{source}->{target}",
            source=str(source),
            target=str(target),
            rate_bps=10**9,
            queues=queues,
            processing_ps=processing * US,
            propagation_ps=propagation * US,
        )
        for edge in edges
        for source, target in (edge, edge[::-1])
    )
    periods = PERIODS_US[dice.below(len(PERIODS_US))]
    streams = []
    for place in range(dice.between(2, 6)):
        source = dice.below(nodes)
        target = (source + dice.between(1, nodes - 1)) % nodes
        period = periods[dice.below(len(periods))]
        line = dice.between(2, max(period * (2, 3, 5)[dice.below(3)] // 10, 2))
        deadline = min(nodes * line + dice.between(2, 30), 2 * period)
        streams.append(
            GateStream(
                name=str(place),
                source=str(source),
                target=str(target),
                frame_bytes=line * BYTES_PER_US,
                period_ps=period * US,
                deadline_ps=deadline * US,
                jitter_ps=(0, 3, deadline)[dice.below(3)] * US,
            )
        )
    return GateProblem(
        ports=ports, streams=tuple(streams), overhead_bytes=0, waiting=dice.below(2) == 1
    )


def routes(problem: GateProblem, source: str, target: str) -> list[list[GatePort]]:
    """Return every simple route."""
    found = []
    ways: list[tuple[str, list[GatePort]]] = [(source, [])]
    for node, way in ways:
        if node == target:
            found.append(way)
            continue
        seen = {source, *(port.target for port in way)}
        ways += [
            (port.target, [*way, port])
            for port in problem.ports
            if port.source == node and port.target not in seen
        ]
    return found


class Programme:
    """Rows of a mixed-integer programme over whole numbers."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.high: list[float] = []
        self.rows: list[tuple[float, float, dict[int, int]]] = []

    def number(self, low: int, high: int) -> int:
        self.low.append(low)
        self.high.append(high)
        return len(self.low) - 1

    def row(self, least: float, most: float, terms: list[tuple[int, int]]) -> None:
        """Ask for least <= sum <= most; a number may come twice."""
        total: dict[int, int] = {}
        for number, factor in terms:
            total[number] = total.get(number, 0) + factor
        self.rows.append((least, most, total))

    def is_feasible(self) -> bool:
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.low), len(self.rows)
        model.col_cost_ = np.zeros(len(self.low))
        model.col_lower_, model.col_upper_ = np.array(self.low), np.array(self.high)
        model.row_lower_ = np.array([row[0] for row in self.rows], dtype=float)
        model.row_upper_ = np.array([row[1] for row in self.rows], dtype=float)
        model.integrality_ = [highspy.HighsVarType.kInteger] * len(self.low)
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_ = np.cumsum([0, *(len(row[2]) for row in self.rows)])
        matrix.index_ = np.array([one for row in self.rows for one in row[2]], dtype=np.int32)
        matrix.value_ = np.array([one for row in self.rows for one in row[2].values()], dtype=float)
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.passModel(model)
        solver.run()
        status = solver.getModelStatus()
        assert status in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kInfeasible)
        return bool(status == highspy.HighsModelStatus.kOptimal)


INFINITE = highspy.kHighsInf


def exists(problem: GateProblem) -> bool:
    """Say whether some plan holds all streams, over any routes."""
    every = [routes(problem, stream.source, stream.targets[0]) for stream in problem.streams]
    return any(_exists_over(problem, list(taken)) for taken in product(*every))


def _exists_over(problem: GateProblem, taken: list[list[GatePort]]) -> bool:
    cycle = lcm(*(stream.period_ps for stream in problem.streams)) // US
    programme = Programme()
    windows: dict[str, list[tuple[int, int, int, int]]] = {}
    queued: dict[tuple[str, int], list[tuple[int, int, int, int]]] = {}
    for index, (stream, route) in enumerate(zip(problem.streams, taken, strict=True)):
        line = stream.frame_bytes // BYTES_PER_US
        period, deadline = stream.period_ps // US, stream.deadline_ps // US
        most = len(route) * cycle + deadline
        shortest = programme.number(0, most)
        for frame in range(cycle // period):
            starts = [programme.number(frame * period, (frame + 1) * period - 1)]
            starts += [programme.number(0, cycle + most) for _ in route[1:]]
            for hop, (near, far) in enumerate(pairwise(route)):
                way = line + (near.propagation_ps + far.processing_ps) // US
                wait = INFINITE if problem.waiting else way
                programme.row(way, wait, [(starts[hop + 1], 1), (starts[hop], -1)])
            tail = line + route[-1].propagation_ps // US
            took = [(starts[-1], 1), (starts[0], -1)]
            programme.row(-INFINITE, deadline - tail, took)
            programme.row(-tail, stream.jitter_ps // US - tail, [*took, (shortest, -1)])
            for hop, port in enumerate(route):
                use = (starts[hop], 0, starts[hop], line)
                windows.setdefault(port.name, []).append(use)
                if hop:
                    way = (route[hop - 1].propagation_ps + port.processing_ps) // US
                    use = (starts[hop - 1], way, starts[hop], line)
                queue = 0 if port.queues == 1 else index
                queued.setdefault((port.name, queue), []).append(use)
    for uses in (*windows.values(), *queued.values()):
        for place, (begin, from_begin, end, to_end) in enumerate(uses):
            programme.row(-INFINITE, cycle + from_begin - to_end, [(end, 1), (begin, -1)])
            for other, from_other, last, to_last in uses[:place]:
                turns = programme.number(-8, 8)
                # The other begins some cycles after this ends, and ends before this comes again.
                gap = to_end - from_other
                programme.row(gap, INFINITE, [(other, 1), (end, -1), (turns, -cycle)])
                back = to_last - from_begin - cycle
                programme.row(back, INFINITE, [(begin, 1), (last, -1), (turns, cycle)])
    return programme.is_feasible()


def answer(problem: GateProblem) -> str:
    """Plan, prove and compare: 'planned', 'impossible', or what is wrong."""
    plan = schedule_gates(problem)
    findings = check_gates(problem, plan).findings
    if findings:
        return f"WRONG: {findings[0]}"
    if plan.complete:
        return "planned"
    if plan.proof is None:
        return f"OPEN: a plan {'exists' if exists(problem) else 'does not exist'}"
    return "WRONG: a plan exists" if exists(problem) else "impossible"


def main() -> None:
    """Print what is open or wrong as it comes, then how many there are of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    count: Counter[str] = Counter()
    slowest = (0.0, 0)
    for number in range(options.first, options.first + options.count):
        problem = tiny_set(number)
        begin = perf_counter()
        schedule_gates(problem)
        slowest = max(slowest, (perf_counter() - begin, number))
        said = answer(problem)
        count[said.split(":")[0]] += 1
        if said[0].isupper():
            print(number, said, flush=True)  # noqa: T201
    words = [f"{number} {word}" for word, number in sorted(count.items())]
    sys.stdout.write(f"{', '.join(words)}; slowest {slowest[0]:.2f} s (set {slowest[1]})\n")


if __name__ == "__main__":
    main()
