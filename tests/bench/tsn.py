"""Schedule every problem of a folder in tsnkit's format and print a table; no verdict.

    python tests/bench/tsn.py DATA [--tsnkit PYTHON] [--methods dt,ls,smt_wa] [--limit 10]
    python tests/bench/tsn.py DATA --tsnkit PYTHON --replay
    python tests/bench/tsn.py DATA --tsnkit PYTHON --judge [--methods dt,ls] [--limit 10]

DATA has `index.csv` (id, series, topo, num_sw, num_stream) and `NNN_task.csv`, `NNN_topo.csv`.
Seconds are wall time of the whole of `schedule_gates` (routes, bounds, search, gate lists), with
the kernels compiled and the files read before. PYTHON is an interpreter that has tsnkit: its
methods are run one problem a process, their preparing and solving is timed, their loading not, and
their word that they succeeded is taken.

With --replay, tsnkit's simulator plays two cycles of each schedule instead (it assumes 1 Gb/s and
2 us of processing, and has steps of 100 ns); every frame must arrive at the planned nanosecond.

With --judge, the schedules of tsnkit's methods are read back and our checker's findings counted.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

from qnet.check.gates import check_gates
from qnet.errors import InputError
from qnet.formats.tsnkit import read_problem, write_schedule
from qnet.formats.tsnkit_schedule import COLUMNS, read_schedule
from qnet.schedule.qbv.solve import schedule_gates

PEER = """
import contextlib, importlib, io, json, os, sys, time
method, task, topo = sys.argv[1:4]
out = io.StringIO()
answer = {"result": "error"}
with contextlib.redirect_stdout(out):
    try:
        module = importlib.import_module("tsnkit.algorithms." + method)
        test = getattr(module, method)(1)
        test.init(task, topo)
        print("loaded", file=sys.stderr, flush=True)
        begin = time.perf_counter()
        test.prepare()
        stat = test.solve()
        answer["seconds"] = time.perf_counter() - begin
        answer["result"] = stat.result.name
        if stat.result.name == "schedulable":
            made = test.output()
            if len(sys.argv) > 4:
                made.to_csv("peer", sys.argv[4])
            delays = made._delay
            lines = {int(s): s.t_trans * 100 for s in test.task.streams}
            answer["delay_ns"] = max(int(row[2]) + lines[int(row[0])] for row in delays)
    except Exception as error:
        answer["error"] = repr(error)
print(json.dumps(answer))
"""

REPLAY = """
import json, sys
from tsnkit.simulation.tas import simulation
log = simulation(sys.argv[1], sys.argv[2], it=2, draw_results=False, disable_pbar=True)
json.dump([flow[1] for flow in log], sys.stdout, default=int)
"""


class Row(NamedTuple):
    """What one method made of one problem."""

    result: str
    seconds: float
    delay_us: float


def ours(task: Path, topo: Path) -> Row:
    """Schedule and judge one problem."""
    problem = read_problem(task.read_text(), topo.read_text())
    begin = perf_counter()
    plan = schedule_gates(problem)
    seconds = perf_counter() - begin
    proof = check_gates(problem, plan)
    assert not proof.findings, proof.findings[0]
    worst = max((one.latency_ps_max or 0 for one in proof.streams), default=0)
    result = "solved" if plan.complete else "infeasible" if plan.proof else "unsolved"
    return Row(result, seconds, worst / 1e6)


def peer(
    python: str, method: str, task: Path, topo: Path, limit: float, folder: str | None = None
) -> Row:
    """Run one method of tsnkit on one problem in a process of its own; keep what it made."""
    command = [python, "-W", "ignore", "-c", PEER, method, str(task), str(topo)]
    command += [f"{folder}/"] if folder else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return Row("timeout", limit, 0)
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return Row("error", 0, 0)
    result = {"schedulable": "solved", "unschedulable": "unsolved"}.get(answer["result"], "error")
    return Row(result, answer.get("seconds", 0), answer.get("delay_ns", 0) / 1000)


def replay(python: str, task: Path, topo: Path) -> str:
    """Have tsnkit's simulator play a schedule; say how many frames came when they were due."""
    problem = read_problem(task.read_text(), topo.read_text())
    plan = schedule_gates(problem)
    if not plan.complete:
        return f"not scheduled: {plan.proof}"
    ports = {port.name: port for port in problem.ports}
    with TemporaryDirectory() as folder:
        for name, text in write_schedule(problem, plan).items():
            (Path(folder) / f"qnet-{name}").write_text(text)
        command = [python, "-W", "ignore", "-c", REPLAY, str(task), f"{folder}/qnet"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    due = wrong = 0
    cycle = plan.cycle_ps // 1000
    logs = json.loads(done.stdout)
    for stream, made, log in zip(problem.streams, plan.streams, logs, strict=True):
        line = problem.line_ps(stream.frame_bytes, ports[made.ports[-1]].rate_bps)
        arrivals = [
            (starts[-1] + line) // 1000 + turn * cycle
            for turn in range(2)
            for starts in made.starts_ps
        ]
        # The log ends with the second cycle, less the listener's processing.
        arrivals = sorted(time for time in arrivals if time < 2 * cycle - 2000)
        due += len(arrivals)
        wrong += len(set(arrivals) ^ set(log)) + abs(len(arrivals) - len(log))
    return f"{due} frames due, {wrong} not at their time"


def judge(python: str, method: str, task: Path, topo: Path, limit: float) -> str:
    """Have a method of tsnkit make a schedule, read it back and count what our checker finds."""
    with TemporaryDirectory() as folder:
        found = peer(python, method, task, topo, limit, folder)
        if found.result != "solved":
            return found.result
        names = {kind: f"{folder}/peer-{kind}" for kind in COLUMNS}
        texts = {kind: Path(name).read_text() for kind, name in names.items()}
    problem = read_problem(task.read_text(), topo.read_text())
    try:
        plan = read_schedule(problem, texts, names)
    except InputError as error:
        return f"cannot be read: {error.problems[0]}"
    refused = [made for made in plan.streams if made.status == "refused"]
    findings = check_gates(problem, plan).findings
    count = Counter(one.rule for one in findings)
    words = [f"{count[rule]} {rule}" for rule in sorted(count)]
    words += [f"{len(refused)} streams have no way: {refused[0].reason}"] if refused else []
    words += [
        next(f"({one.subject}: {one.message})" for one in findings if one.rule == rule)
        for rule in sorted(count)
        if rule != "queue"
    ]
    return ", ".join(words) or "nothing found"


def main() -> None:
    """Print one line a problem as it comes, then the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--tsnkit", metavar="PYTHON")
    parser.add_argument("--methods", default="dt,ls,smt_wa")
    parser.add_argument("--limit", type=float, default=10)
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--judge", action="store_true")
    options = parser.parse_args()
    methods = options.methods.split(",") if options.tsnkit else []
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    with (options.data / "index.csv").open() as file:
        index = list(csv.DictReader(file))
    if options.replay:
        for entry in index:
            files = [options.data / f"{entry['id']}_{kind}.csv" for kind in ("task", "topo")]
            print(entry["id"], replay(options.tsnkit, *files), flush=True)  # noqa: T201
        return
    if options.judge:
        for entry in index:
            files = [options.data / f"{entry['id']}_{kind}.csv" for kind in ("task", "topo")]
            for method in methods:
                answer = judge(options.tsnkit, method, files[0], files[1], options.limit)
                print(entry["id"], method, answer, flush=True)  # noqa: T201
        return
    first = index[0]["id"]
    ours(options.data / f"{first}_task.csv", options.data / f"{first}_topo.csv")
    for entry in index:
        files = [options.data / f"{entry['id']}_{kind}.csv" for kind in ("task", "topo")]
        found = {"qnet": ours(files[0], files[1])}
        for method in methods:
            found[method] = peer(options.tsnkit, method, files[0], files[1], options.limit)
        group = f"{entry['series']} {entry['topo']}"
        for method, row in found.items():
            rows[group, method].append(row)
        words = [f"{m} {r.result} {r.seconds:.3f} s {r.delay_us:.0f} us" for m, r in found.items()]
        print(entry["id"], group, entry["num_stream"], "; ".join(words), flush=True)  # noqa: T201
    lines = [
        "| Set | Method | Problems | Solved | Proven infeasible | Not solved "
        "| Median s | Most s | Worst delay us |"
    ]
    lines.append("|" + "---|" * 9)
    for (group, method), found_rows in rows.items():
        count = {
            key: sum(row.result == key for row in found_rows) for key in ("solved", "infeasible")
        }
        seconds = sorted(row.seconds for row in found_rows)
        rest = len(found_rows) - sum(count.values())
        most = max((row.delay_us for row in found_rows if row.result == "solved"), default=0)
        delay = f"{most:.1f}" if most else "-"
        lines.append(
            f"| {group} | {method} | {len(found_rows)} | {count['solved']} | {count['infeasible']} "
            f"| {rest} | {seconds[len(seconds) // 2]:.3f} | {seconds[-1]:.3f} | {delay} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
