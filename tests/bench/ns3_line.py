"""qnet beside ns-3 on a line of switches: the same frames, the same picoseconds, and how fast.

    make bench-ns3

builds an environment of its own with ns-3's wheel and runs this. ns-3 gets the frames that qnet
sends, born at the same picosecond, and its devices keep 12 bytes between frames; every delivered
frame is then compared, to its last bit. What ns-3 has to do is
in ns3_line.cc, compiled against the wheel's own headers and libraries.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.draws import integers
from qnet.simulate.frame_sources import sources_of
from qnet.simulate.run import simulate
from qnet.simulate.tracing import play
from qnet.simulate.world import TraceRow
from qnet.units import PREAMBLE_BYTES, wire_bytes

SOURCE = Path(__file__).with_name("ns3_line.cc")
LIBRARIES = ("core", "network", "point-to-point", "traffic-control", "internet")


class Flow(NamedTuple):
    """One constant-rate flow: ports it uses, class (0 first), frame bytes, time between frames."""

    first: int
    last: int
    level: int
    frame_bytes: int
    gap_ps: int


class Line(NamedTuple):
    """A workload."""

    name: str
    kind: str
    hops: int
    rate: str
    delay: str
    duration: str
    flows: tuple[Flow, ...]


def constant(hops: int, count: int, duration: str, kind: str) -> Line:
    """Return flows from end to end that fill 90 % of the line, all of one rate and size."""
    gap_ps = wire_bytes(1000) * 8 * 10**12 // 10**11 * count * 10 // 9
    flows = tuple(Flow(0, hops - 1, 0, 1000, gap_ps) for _ in range(count))
    name = f"{hops} hops, {count} flows, {kind}"
    return Line(name, kind, hops, "100Gbps", "50us", duration, flows)


def mixed(kind: str, levels: int, seed: int) -> Line:
    """Return flows that enter and leave anywhere, of all sizes, and fill no port beyond 95 %."""
    hops, count = 8, 150
    ends = [integers(seed, f"ends {i}", 2, hops) for i in range(count)]
    sizes = [64 + one for one in integers(seed, "sizes", count, 1455)]
    load = [0.0] * hops
    chosen = []
    for i, (one, other) in enumerate(ends):
        first, last = min(one, other), max(one, other)
        gap_ps = integers(seed, f"gap {i}", 1, 20_000_000)[0] + 3_000_000
        share = wire_bytes(sizes[i]) * 800 / gap_ps  # of 10 Gb/s
        if max(load[first : last + 1]) + share < 0.95:
            load[first : last + 1] = [part + share for part in load[first : last + 1]]
            level = integers(seed, f"level {i}", 1, levels)[0]
            chosen.append(Flow(first, last, level, sizes[i], gap_ps))
    name = f"{hops} hops, {len(chosen)} flows, {kind}, fullest port {max(load):.0%}"
    return Line(name, kind, hops, "10Gbps", "20us", "5ms", tuple(chosen))


def for_qnet(line: Line) -> tuple[Topology, Profile, Plan]:
    """Write a line as a topology, a profile and a plan."""
    topology = Topology.model_validate(
        {
            "title": line.name,
            "nodes": [{"name": f"n{i}"} for i in range(line.hops + 1)],
            "links": [
                {"between": (f"n{i}", f"n{i + 1}"), "rate": line.rate, "delay": line.delay}
                for i in range(line.hops)
            ],
        }
    )
    levels = max(flow.level for flow in line.flows) + 1
    profile = Profile.model_validate(
        {
            "title": line.name,
            "topology": "line",
            "classes": [
                {"name": f"c{i}", "priority": 7 - i, "mechanism": "strict-priority"}
                for i in range(levels)
            ],
            "streams": [
                {"name": f"s{i}", "from": f"n{flow.first}", "to": f"n{flow.last + 1}",
                 "class": f"c{flow.level}", "interval": f"{flow.gap_ps}ps",
                 "max-payload-size": f"{flow.frame_bytes - 18}B"}
                for i, flow in enumerate(line.flows)
            ],
            "simulation": {"duration": line.duration, "seed": 1},
        }
    )  # fmt: skip
    streams = tuple(
        StreamPlan(
            name=f"s{i}",
            status="routed",
            paths=(
                PathPlan(
                    ports=tuple(f"n{h}->n{h + 1}" for h in range(flow.first, flow.last + 1)),
                    cycles=(),
                ),
            ),
        )
        for i, flow in enumerate(line.flows)
    )
    plan = Plan(
        qnet_version="0", topology_sha256="", traffic_sha256="", cycle_ps=10**7, buffers=4,
        hypercycle=1, streams=streams, demands=(), egress=(),
    )  # fmt: skip
    return topology, profile, plan


def for_ns3(line: Line, topology: Topology, profile: Profile, plan: Plan) -> str:
    """Write a line as ns3_line.cc reads it, with the births that qnet has drawn."""
    ports = [topology.port_by_name[f"n{i}->n{i + 1}"] for i in range(line.hops)]
    rows = [f"{profile.simulation.duration_ps} {line.kind} {len(ports)}"]
    rows += [f"{port.rate_bps} {port.propagation_ps}" for port in ports]
    rows += [str(len(line.flows))]
    rows += [
        f"{flow.first} {flow.last} {flow.level} {flow.frame_bytes + PREAMBLE_BYTES} "
        f"{owner.law.first_ps} {owner.law.gap}"
        for flow, owner in zip(line.flows, sources_of(topology, profile, plan), strict=True)
    ]
    return "\n".join(rows) + "\n"


def compile_ns3(python: Path, folder: Path) -> Path:
    """Compile ns3_line.cc against the wheel in the environment of a Python."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run(
        [python, "-c", where], check=True, capture_output=True, text=True
    ).stdout.strip()
    home = Path(site) / "ns3"
    (version,) = {path.name.split("-")[0] for path in (home / "lib64").glob("libns3*-core.so")}
    binary = folder / "ns3_line"
    subprocess.run(
        ["g++", "-O2", "-std=c++20", "-w", SOURCE, f"-I{home / 'include'}", f"-L{home / 'lib64'}",
         *(f"-l{version.removeprefix('lib')}-{one}" for one in LIBRARIES),
         f"-Wl,-rpath,{home / 'lib64'}", "-o", binary],
        check=True,
    )  # fmt: skip
    return binary


def in_ns3(binary: Path, text: str) -> tuple[dict[tuple[int, int], int], list[float]]:
    """Return the latency of each delivered frame by flow and birth; sent, delivered, hops, CPU."""
    made = subprocess.run([binary], input=text, capture_output=True, text=True, check=True)
    rows = (map(int, row.split()) for row in made.stdout.splitlines())
    figures = [float(one) for one in made.stderr.split()]
    return {(flow, birth): latency for flow, birth, latency in rows}, figures


def in_qnet(case: tuple[Topology, Profile, Plan]) -> dict[tuple[int, int], int]:
    """Return the same from qnet, frame by frame."""
    profile = case[1]
    found = sources_of(*case)
    last = [owner.ports[-1].number for owner in found]
    latencies = {}
    for _, batches in play(*case, follow=range(len(found)), threads=1):
        for batch in batches:
            for row, owner in zip(batch.rows.tolist(), batch.owner.tolist(), strict=True):
                if (
                    batch.port == last[owner]
                    and row[TraceRow.REACHED] <= profile.simulation.duration_ps
                ):
                    latencies[owner, row[TraceRow.BORN]] = (
                        row[TraceRow.REACHED] - row[TraceRow.BORN]
                    )
    return latencies


def compare(line: Line, binary: Path) -> None:
    """Print what is the same and what is not, and the packet-hops per CPU second of both."""
    case = for_qnet(line)
    theirs, (sent, delivered, hops, cpu_s) = in_ns3(binary, for_ns3(line, *case))
    ours = in_qnet(case)
    simulate(*case, threads=1)
    begin = time.process_time()
    rounds = 0
    while time.process_time() - begin < 2:
        seen = simulate(*case, threads=1)
        rounds += 1
    our_s = (time.process_time() - begin) / rounds
    apart = [abs(ours[key] - theirs[key]) for key in ours.keys() & theirs.keys()]
    print(line.name)  # noqa: T201
    for row in (
        ("frames sent", f"{seen.frames:,}", f"{sent:,.0f}"),
        ("frames delivered", f"{sum(one.copies for one in seen.streams):,}", f"{delivered:,.0f}"),
        ("the same frames", f"{len(apart):,}", f"{len(theirs):,}"),
        ("latencies that differ", f"{sum(one > 0 for one in apart):,}", ""),
        ("largest difference", f"{max(apart, default=0)} ps", ""),
        ("packet-hops", f"{seen.frame_hops:,}", f"{hops:,.0f}"),
        ("CPU seconds", f"{our_s:.4f}", f"{cpu_s:.3f}"),
        ("packet-hops per CPU second", f"{seen.frame_hops / our_s:,.0f}", f"{hops / cpu_s:,.0f}"),
        ("ratio", f"{seen.frame_hops / our_s / (hops / cpu_s):.0f}", ""),
    ):
        print(f"  {row[0]:28} {row[1]:>14} {row[2]:>14}")  # noqa: T201


def main(arguments: Sequence[str]) -> None:
    """Compare all workloads; the argument is the Python of ns-3's environment."""
    (python,) = arguments
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_ns3(Path(python), Path(folder))
        print(f"{'':30} {'qnet':>14} {'ns-3':>14}")  # noqa: T201
        for kind in ("fifo", "internet"):
            compare(constant(10, 100, "20ms", kind), binary)
        for seed in (1, 2, 3):
            compare(mixed("fifo", 1, seed), binary)
            compare(mixed("priority", 3, seed), binary)


if __name__ == "__main__":
    main(sys.argv[1:])
