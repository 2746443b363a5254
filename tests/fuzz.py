"""Give qnet files that are changed at random, and look what it makes of them.

    python -m tests.fuzz 20000          # all kinds, seed 1
    python -m tests.fuzz 500 plan 7     # one kind, another seed

What goes wrong is told, and its files stay in /tmp/fuzz-found.

Whatever a file holds, a command ends with a verdict or refuses it: exit codes 0 to 4, no traceback,
and what it was to write is whole or not there.
"""

from __future__ import annotations

import contextlib
import csv
import faulthandler
import hashlib
import io
import json
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from click.testing import CliRunner

from qnet.cli import main
from qnet.emulate.rules.peering import exchange_rules, read_exchange
from qnet.errors import InputError
from qnet.files.read import read_topology
from qnet.schedule.online import Scheduler
from tests.captured import Shot, frame, pcap, pcapng

PATIENCE_S = 240
"""Longest time for one input; some compile what no earlier one did."""

NET = """\
title: Four nodes
tcqf: {cycle: 10us, buffers: 4}
failures: {cables: {rate: 3/1000km/y, repair: 3h}, nodes: {mtbf: 20y}}
nodes:
  - {name: a, site: west, processing: 1us..2us, clock: {phase: 1us, error: 100ns, wander: 1ns}}
  - {name: b, position: 35.71N 107.64E, processing: 1us}
  - {name: c, queues: 8, failures: {mtbf: 90d, repair: 20min}}
  - {name: d}
links:
  - {between: [a, b], rate: 1Gbps, length: 1km, members: 2, cable: north}
  - {between: [b, c], rate: 1Gbps, delay: 3us, bit-error-ratio: 1e-12}
  - {between: [c, d], rate: 100Mbps, length: 100m, reservable: 80Mbps}
  - {name: round, between: [a, d], rate: 1Gbps, length: 2km, failures: {mtbf: 1y}}
"""

TRAFFICS = {
    "tcqf": """\
title: Cycles
topology: net
parameters: {size: 200B}
defaults: {stream: {max-payload-size: 100B}}
egress: [{site: west, rate: 100Mbps, survives: [cable, node], together: [[a]]}]
streams:
  - {name: s, from: a, to: c, interval: 100us, max-payload-size: "${size}", max-latency: 1ms,
     availability: 99.9%}
  - {name: t, from: b, to: d, interval: 50us, paths: 2, damper: true, max-loss: 0%, rank: 7}
demands:
  - {name: m, from: a, to: c, rate: 10Mbps, sizes: imix, group: g}
  - {name: n, from: c, to: a, rate: 20Mbps, sizes: 1518B, arrival: bursts, burst: 4}
simulation: {duration: 1ms, seed: 3, years: 20}
""",
    "qbv": """\
title: Gates
topology: net
classes:
  - {name: control, priority: 6, mechanism: qbv}
  - {name: rest, priority: 0, mechanism: strict-priority}
streams:
  - {name: s, class: control, from: a, to: c, interval: 250us, max-payload-size: 100B}
  - {name: t, class: control, from: b, to: d, interval: 500us, max-payload-size: 300B}
demands:
  - {name: m, class: rest, from: a, to: c, rate: 50Mbps}
simulation: {duration: 1ms}
""",
    "queues": """\
title: Queues
topology: net
classes:
  - {name: audio, priority: 5, mechanism: strict-priority, idle-slope: 50%}
  - {name: shaped, priority: 4, mechanism: strict-priority, max-residence: 10ms}
  - {name: heavy, priority: 2, mechanism: strict-priority, weight: 3}
  - {name: light, priority: 2, mechanism: strict-priority, weight: 1}
streams:
  - {name: s, class: audio, from: a, to: c, interval: 250us, max-payload-size: 100B}
  - {name: t, class: shaped, from: b, to: d, interval: 500us, max-payload-size: 300B,
     committed-rate: 10Mbps, committed-burst: 2kB}
demands:
  - {name: m, class: heavy, from: a, to: c, rate: 50Mbps}
  - {name: n, class: light, from: a, to: d, rate: 50Mbps, sizes: 64B}
simulation: {duration: 500us}
""",
    "csqf": """\
title: Waiting
topology: net
classes:
  - {name: r, priority: 6, mechanism: csqf}
  - {name: e, priority: 0, mechanism: strict-priority}
streams:
  - {name: s, class: r, from: a, to: c, interval: 100us, max-payload-size: 200B, max-latency: 1ms}
demands: [{name: m, class: e, from: a, to: c, rate: 10Mbps}]
simulation: {duration: 500us}
""",
}  # fmt: skip

TASK = """\
stream,src,dst,size,period,deadline,jitter
0,2,[3],100,400000,400000,400000
1,3,[2],200,800000,800000,800000
"""
TOPO = """\
link,q_num,rate,t_proc,t_prop
"(0, 1)",8,1,2000,0
"(1, 0)",8,1,2000,0
"(2, 0)",8,1,2000,0
"(0, 2)",8,1,2000,0
"(3, 1)",8,1,2000,0
"(1, 3)",8,1,2000,0
"""
MEMBERS = {
    "format": "qnet-exchange-1",
    "switches": [{"name": "s1", "datapath_id": 1}, {"name": "s2", "datapath_id": 2}],
    "trunks": [{"between": ["s1", "s2"], "ports": [10, 11]}],
    "members": [
        {"name": "m1", "switch": "s1", "port": 1, "mac": "02:00:00:00:00:01", "ipv4": "10.0.0.1"},
        {"name": "m2", "switch": "s2", "port": 1, "mac": "02:00:00:00:00:02", "peers": ["m1"]},
    ],
}

EVENTS = """\
title: all kinds
epoch: 2001-06-15T08:00+08:00
events:
  - {at: 20us, change: cut, target: a--b, for: 50us, where: 25%, name: dig-up, note: n}
  - {at: 30us, change: repair, target: a--b}
  - {at: 40us, change: down, target: b, for: 9us}
  - {at: 60us, change: down, target: c}
  - {at: 70us, change: up, target: c}
  - {at: 80us, change: flap, target: b--c, every: 3us, duty: 30%, for: 40us}
  - {at: 150us, change: partition, groups: [[a], [b, c]], for: 10us}
  - {at: 160us, change: capacity, target: a--b, members: 0, for: 10us}
  - {at: 170us, change: capacity, target: a--b, rate: 300Mbps, for: 30us}
  - {at: 180us, change: delay, target: b--c, length: 2km, for: 30us}
  - {at: 190us, change: delay, target: a--b, delay: 7us}
  - {at: 200us, change: loss, target: b--c, ratio: 5%, for: 30us}
  - {at: 210us, change: loss, target: a--b, bit-error-ratio: 1e-6}
  - {at: 2001-06-15T08:40+08:00, change: cut, target: b--c, for: 8h, source: s}
  - {at: 3y, change: cut, target: b--c, process: old}
processes:
  - {change: cut, rate: 1000000/km/y, repair: {law: lognormal, mean: 1s, deviation: 2s},
     season: china, from: 0s, until: 2001-06-16T08:40+08:00}
  - {name: power, change: down, mtbf: 1s, targets: [a, b], repair: {law: exponential, mean: 1s},
     season: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]}
"""

FAILURES = """\
start,end,target,name
10us,20us,a--b,first
30us,,b--c,
1h,2h,b,"a node"
"""

JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 8, 100, 65536, 2**31, 2**32, 2**53, 10**12, 10**15,
    10**17, 10**18 - 1, -(10**17), 2**63, 10**30, 1.5, "", "a", "s", "m", "x", "0", "-1", "1e9",
    "\x1b[2J", "Zürich", "10us", "1ps", "0us", "100000s", "1Gbps", "1bps", "1000Tbps", "0Gbps",
    "1B", "64kB", "1km", "100%", "0%", "imix", "a->b", "a->b/2", "b->c", "tcqf", "qbv",
    "reserved", "admitted", "refused", [], {}, [[]], ["a"], ["a", "b"], {"a": 1}, [1, 2],
    "${size}", "../x", "a\nb", "\u202e",
]  # fmt: skip


class Draws:
    """Random numbers of one input, by its seed and number."""

    def __init__(self, seed: int, number: int) -> None:
        self._bits = np.random.PCG64([seed, number])

    def below(self, span: int) -> int:
        return int(self._bits.random_raw()) % span

    def choose(self, some: list[Any]) -> Any:
        return some[self.below(len(some))]


def change_bytes(raw: bytes, draws: Draws) -> bytes:
    """Change, cut out, double or add some bytes."""
    for _ in range(1 + draws.below(3)):
        place, length = draws.below(len(raw) + 1), 1 + draws.below(1 << draws.below(8))
        part = raw[place : place + length]
        how = draws.below(6)
        if how == 0:
            part = bytes(byte ^ (1 << draws.below(8)) for byte in part[:2]) + part[2:]
        elif how == 1:
            part = b""
        elif how == 2:
            part *= 2
        elif how == 3:
            part = bytes([draws.below(256)]) + part
        elif how == 4:
            part = str(draws.choose(JUNK)).encode() + part
        else:
            return raw[:place]
        raw = raw[:place] + part + raw[place + length :]
    return raw


def _places(data: Any) -> list[tuple[Any, Any]]:
    found, waiting = [], [data]
    while waiting:
        inner = waiting.pop()
        for key in list(inner) if isinstance(inner, dict) else range(len(inner)):
            found.append((inner, key))
            if isinstance(inner[key], dict | list):
                waiting.append(inner[key])
    return found


def change_tree(data: Any, draws: Draws) -> None:
    """Change some values of a file that is read already: others, none, twice, elsewhere."""
    for _ in range(draws.choose([1, 1, 1, 2, 3])):
        places = _places(data)
        if not places:
            return
        inner, key = draws.choose(places)
        how, value = draws.below(8), inner[key]
        if how == 0:
            del inner[key]
        elif how == 1 and isinstance(inner, list):
            inner.insert(key, deepcopy(value))
        elif how == 2 and isinstance(value, int) and not isinstance(value, bool):
            inner[key] = value + draws.choose([-1, 1, -1000, 1000, value, -2 * value])
        elif how == 3:
            other, place = draws.choose(places)
            with contextlib.suppress(LookupError):
                inner[key] = json.loads(json.dumps(other[place]))
        elif how == 4 and isinstance(inner, dict):
            inner[draws.choose(["x", "name", "", "streams", *inner])] = deepcopy(value)
        elif how == 5 and isinstance(inner, list):
            inner[:] = inner[::-1]
        else:
            alike = [one for one in JUNK if type(one) is type(value)]
            inner[key] = deepcopy(draws.choose(alike if alike and draws.below(4) else JUNK))


def change(raw: bytes, draws: Draws, read: Callable[[bytes], Any] = json.loads) -> bytes:
    """Change a JSON or YAML file, as text or as what it says."""
    if draws.below(4) == 0:
        return change_bytes(raw, draws)
    data = read(raw)
    change_tree(data, draws)
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")


def change_yaml(raw: bytes, draws: Draws) -> bytes:
    return change(raw, draws, yaml.safe_load)


def change_csv(raw: bytes, draws: Draws) -> bytes:
    if draws.below(3) == 0:
        return change_bytes(raw, draws)
    rows: list[list[Any]] = list(csv.reader(io.StringIO(raw.decode())))
    for _ in range(1 + draws.below(3)):
        change_tree(rows, draws)
    out = io.StringIO()
    csv.writer(out).writerows(row for row in rows if isinstance(row, list))
    return out.getvalue().encode("utf-8", "surrogatepass")


class Seeds:
    """Whole files of every kind, made once."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        with contextlib.chdir(self.folder):
            Path("net.yaml").write_text(NET)
            Path("events.yaml").write_text(EVENTS)
            Path("failures.csv").write_text(FAILURES)
            Path("captured.yaml").write_text(CAPTURED)
            Path("x.pcapng").write_bytes(pcapng(_shots()))
            Path("x.pcap").write_bytes(pcap(_shots()))
            Path("task.csv").write_text(TASK)
            Path("topo.csv").write_text(TOPO)
            Path("members.json").write_text(json.dumps(MEMBERS))
            for name, text in TRAFFICS.items():
                Path(f"{name}.yaml").write_text(text)
                self._run("plan", f"{name}.yaml", "-o", f"{name}.json")
                self._run("run", f"{name}.yaml", "--threads", "1", "--out", f"{name}-run")
            self._run("import", "tsnkit", "task.csv", "topo.csv", "-o", "problem.json")
            self._run("gates", "problem.json", "-o", "gates.json")
            self._run("export", "tsnkit", "problem.json", "gates.json", "--out", "kit")
            kept = ["--checkpoint", "kept", "--every", "100us", "--threads", "1"]
            self._run("simulate", "tcqf.yaml", *kept)
            self._state()

    def _run(self, *words: str) -> None:
        done = CliRunner().invoke(main, [*words])
        assert done.exit_code in (0, 1, 4), (words, done.output)

    def _state(self) -> None:
        topology = read_topology("net.yaml")
        scheduler = Scheduler(topology, 20)
        pair = scheduler.pair("a", "c")
        scheduler.admit(scheduler.request([pair] * 5, 10, 1, np.arange(100, 600, 100)))
        scheduler.save("state")

    def close(self) -> None:
        shutil.rmtree(self.folder)


def _edit(name: str, how: Callable[[bytes, Draws], bytes], draws: Draws) -> None:
    path = Path(name)
    path.write_bytes(how(path.read_bytes(), draws))


def topology(draws: Draws) -> list[list[str]]:
    _edit("net.yaml", change_yaml, draws)
    profile = draws.choose(list(TRAFFICS))
    return [["validate", "net.yaml"], ["plan", f"{profile}.yaml", "-o", "out"]]


def traffic(draws: Draws) -> list[list[str]]:
    profile = draws.choose(list(TRAFFICS))
    _edit(f"{profile}.yaml", change_yaml, draws)
    return [["validate", f"{profile}.yaml"], ["plan", f"{profile}.yaml", "-o", "out"]]


def events(draws: Draws) -> list[list[str]]:
    """Events of all kinds, random processes, wall-clock times, and tables of failures."""
    name = draws.choose(list(TRAFFICS))
    check = ["check", f"{name}.yaml", f"{name}.json"]
    if draws.below(4) == 0:
        _edit("failures.csv", change_csv, draws)
        return [[*check, "--events", "failures.csv"]]
    _edit("events.yaml", change_yaml, draws)
    if draws.below(3):
        return [[*check, "--events", "events.yaml"]]
    words = ["--events", "events.yaml", "--threads", "1", "--duration", "300us"]
    return [["simulate", f"{name}.yaml", f"{name}.json", *words]]


CAPTURED = """\
title: Captured
topology: net
captures:
  - {name: x, file: x.pcapng, endpoints: {10.0.0.1: a, 10.0.0.2: c}, rate: 1Mbps, others: drop}
simulation: {duration: 300us}
"""


def captures(draws: Draws) -> list[list[str]]:
    """Both forms of files, with bytes changed, and the words of the traffic file."""
    if draws.below(4):
        if draws.below(2):
            Path("x.pcap").replace("x.pcapng")
        _edit("x.pcapng", change_bytes, draws)
    else:
        _edit("captured.yaml", change_yaml, draws)
    if draws.below(2):
        return [["validate", "captured.yaml"]]
    return [["simulate", "captured.yaml", "--threads", "1"]]


def _shots() -> list[Shot]:
    ends = ("10.0.0.1", "10.0.0.2")
    return [Shot(10**18 + n * 10**7, frame(*ends[:: 1 - n % 2 * 2])) for n in range(8)]


def plan(draws: Draws) -> list[list[str]]:
    name = draws.choose(list(TRAFFICS))
    profile = f"{name}.yaml"
    _edit(f"{name}.json", change, draws)
    made = f"{name}.json"
    how = draws.below(6)
    if how < 3:
        return [
            ["check", profile, made],
            ["check", profile, made, "--out", "out", "--port", "a->d"],
        ]
    if how == 3:
        return [["plan", profile, "--keep", made, "-o", "out"]]
    if how == 4:
        return [["simulate", profile, made, "--threads", "1", "--duration", "100us"]]
    kind = draws.choose(["taprio", "yang", "srv6", "mpls"])
    return [["export", kind, profile, made, "--out", "out"]]


def problem(draws: Draws) -> list[list[str]]:
    _edit("problem.json", change, draws)
    if draws.below(2):
        return [["gates", "problem.json", "--plan", "gates.json", "-o", "out"]]
    return [["gates", "problem.json", "-o", "out"]]


def gates(draws: Draws) -> list[list[str]]:
    _edit("gates.json", change, draws)
    kind = draws.choose(["taprio", "yang", "tsnkit"])
    export = ["export", kind, "problem.json", "gates.json", "--out", "out"]
    return [["gates", "problem.json", "--plan", "gates.json"], export]


def tsnkit(draws: Draws) -> list[list[str]]:
    _edit(draws.choose(["task.csv", "topo.csv"]), change_csv, draws)
    return [["import", "tsnkit", "task.csv", "topo.csv", "-o", "out"]]


def schedule(draws: Draws) -> list[list[str]]:
    names = sorted(str(path) for path in Path("kit").glob("*.csv"))
    _edit(draws.choose(names), change_csv, draws)
    return [["import", "tsnkit-schedule", "problem.json", "kit/qnet", "-o", "out"]]


def run_folder(draws: Draws) -> list[list[str]]:
    folder = f"{draws.choose(list(TRAFFICS))}-run"
    name = draws.choose(["run.json", "plan.json", "observation.json", "inputs/traffic.yaml"])
    _edit(f"{folder}/{name}", change_yaml if name.endswith("yaml") else change, draws)
    which = draws.choose(["worst", "best", "lost", "1", "99999999"])
    return [["explain", folder, "--stream", draws.choose(["s", "t", "m"]), "--frame", which]]


def checkpoint(draws: Draws) -> list[list[str]]:
    _edit("kept", change_bytes, draws)
    words = ["simulate", "tcqf.yaml", "--threads", "1", "--checkpoint", "kept", "--resume"]
    return [words]


def options(draws: Draws) -> list[list[str]]:
    """Values of options: the same as in files."""
    value = str(draws.choose(JUNK))
    words = draws.choose(
        [
            ["run", "tcqf.yaml", "--duration", value],
            ["run", "tcqf.yaml", "--seed", value],
            ["run", "tcqf.yaml", "--set", f"size={value}"],
            ["run", "tcqf.yaml", "--set", value],
            ["run", "tcqf.yaml", "--port", value],
            ["run", "tcqf.yaml", "--threads", value],
            ["run", "tcqf.yaml", "--topology", value],
            ["run", value],
            ["plan", "tcqf.yaml", "--rounds", value],
            ["plan", "tcqf.yaml", "--fail", value],
            ["simulate", "tcqf.yaml", "--checkpoint", "c", "--every", value],
            ["explain", "tcqf-run", "--stream", value],
            ["explain", "tcqf-run", "--stream", "s", "--frame", value],
            ["gates", "problem.json", "--routes", value],
            ["export", "taprio", "qbv.yaml", "qbv.json", "--out", "out", "--base-time", value],
            ["validate", value],
        ]
    )
    if words[:1] == ["run"] and "--threads" not in words:
        words = [*words, "--threads", "1"]
    return [words] if "\0" not in value else []


def members(draws: Draws) -> list[list[str]]:
    _edit("members.json", change, draws)
    with contextlib.suppress(ValueError):
        exchange_rules(read_exchange(Path("members.json").read_text(errors="surrogateescape")))
    return []


def state(draws: Draws) -> list[list[str]]:
    """Bytes, and numbers of the head under a hash that fits."""
    raw = Path("state").read_bytes()
    if draws.below(3) == 0:
        raw = change_bytes(raw, draws)
    else:
        magic, _, body = raw.split(b"\n", 2)
        head, columns = body.split(b"\n", 1)
        if draws.below(2):
            data = json.loads(head)
            change_tree(data, draws)
            head = json.dumps(data).encode()
        else:
            columns = change_bytes(columns, draws)
        body = head + b"\n" + columns
        raw = b"\n".join([magic, hashlib.sha256(body).hexdigest().encode(), body])
    Path("state").write_bytes(raw)
    with contextlib.suppress(InputError):
        scheduler = Scheduler.restore("state", read_topology("net.yaml"))
        scheduler.release(scheduler.ids())
        scheduler.admit(scheduler.request([scheduler.pair("a", "b")], 10, 1, 100))
        scheduler.save("out")
    return []


KINDS: dict[str, Callable[[Draws], list[list[str]]]] = {
    one.__name__: one
    for one in (
        topology, traffic, captures, events, plan, problem, gates, tsnkit, schedule, run_folder,
        checkpoint, options, members, state,
    )
}  # fmt: skip


def _whole(path: Path) -> None:
    """Fail where something written is not whole."""
    for part in path.rglob("*.qnet-part"):
        raise AssertionError(f"half-written: {part.name}")
    for one in (path / "out").rglob("*.json"):
        json.loads(one.read_text())


def attempt(kind: str, seed: int, number: int, seeds: Seeds, folder: Path) -> int:
    """Try one input; returns the exit code of its last command. Raises AssertionError."""
    shutil.copytree(seeds.folder, folder, dirs_exist_ok=True)
    code = 0
    with contextlib.chdir(folder):
        for words in KINDS[kind](Draws(seed, number)):
            done = CliRunner().invoke(main, words)
            code = done.exit_code
            told = f"qnet {' '.join(words)}\n{done.output}"
            assert code in (0, 1, 2, 3, 4), told[-3000:]
            assert "Traceback" not in done.output, told[-3000:]
            written = Path("out")
            if code in (2, 3) and written.exists():
                raise AssertionError(f"refused, and written: {told}")
            _whole(Path())
            if written.is_file():
                json.loads(written.read_bytes())
                written.unlink()
            elif written.exists():
                shutil.rmtree(written)
    return code


class Hang(BaseException):
    """An input takes too long."""


def _ring(*_: object) -> None:
    raise Hang


def fuzz(kinds: list[str], times: int, seed: int, keep: Path | None = None) -> Counter[str]:
    """Try so many inputs of all kinds in turn; return how often each kind ended how.

    Raises AssertionError on the first that is wrong, or, with `keep`, leaves them there.
    """
    found: Counter[str] = Counter()
    seeds = Seeds()
    bell = signal.signal(signal.SIGALRM, _ring)
    try:
        for number in range(times):
            kind = kinds[number % len(kinds)]
            with tempfile.TemporaryDirectory() as folder:
                signal.alarm(PATIENCE_S)
                try:
                    code = attempt(kind, seed, number, seeds, Path(folder))
                    found[f"{kind} {code}"] += 1
                except (Exception, Hang) as error:
                    signal.alarm(0)
                    what = f"{kind} {seed}:{number}: {type(error).__name__} {error}"
                    if keep is None:
                        raise AssertionError(what) from error
                    found["wrong"] += 1
                    place = keep / f"{kind}-{seed}-{number}"
                    shutil.rmtree(place, ignore_errors=True)
                    shutil.copytree(folder, place)
                    (place / "what").write_text(what)
                    sys.stderr.write(f"{what[-2500:]}\n{'=' * 80}\n")
                finally:
                    signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, bell)
        seeds.close()
    return found


if __name__ == "__main__":
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30, 12 * 2**30))
    times, names = int(sys.argv[1]), sys.argv[2].split(",") if sys.argv[2:] else [*KINDS]
    first = int(sys.argv[3]) if sys.argv[3:] else 1
    for outcome, count in sorted(fuzz(names, times, first, Path("/tmp/fuzz-found")).items()):
        sys.stdout.write(f"{outcome}: {count}\n")
