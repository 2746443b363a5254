"""The link emulator alone: `unshare --net python -m tests.bench.wires`, as root.

Every switch of a line of three is a cable: a veth pair, of which both ends are the emulator's. What
it puts into one end comes out of the other at once, so what is measured is the emulator and
the kernel's packet sockets, and no switch. Every frame of the load is real; none waits on the wall,
since virtual time is stretched so little that it is held nearly always.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from qnet.emulate.frames.hosts import host_frame
from qnet.emulate.process.quick import as_usual, be_quick
from qnet.emulate.rules.streams import streams_of
from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.wires.kernels import tables as w
from qnet.emulate.wires.records import EmulatorOptions, Probe, WireEnd
from qnet.emulate.wires.run import Emulator
from qnet.model.histogram import quantile_ps
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.frame_sources import sources_of
from tests.builders import plan_for

NODES = [{"name": name} for name in "abc"]
LINKS = [
    {"between": [one, other], "rate": "10Gbps", "length": "20km"}
    for one, other in (("a", "b"), ("b", "c"))
]
SHARES_PPB = (500_000_000, 900_000_000, 990_000_000, 999_000_000, 1_000_000_000)


def emulator(frame_bytes: int, rate: str, duration: str) -> Emulator:
    """Lay out the line, with the cables in place of switches."""
    topology = Topology.model_validate({"title": "line", "nodes": NODES, "links": LINKS})
    demand = {"name": "load", "from": "a", "to": "c", "rate": rate, "arrival": "constant-rate"}
    profile = Profile.model_validate(
        {
            "title": "load",
            "topology": "line",
            "simulation": {"duration": duration, "seed": 1},
            "demands": [{**demand, "sizes": f"{frame_bytes}B"}],
        }
    )
    plan = plan_for(topology, profile)
    (stream,) = streams_of(topology, profile, plan)
    (owner,) = sources_of(topology, profile, plan)
    wiring = Wiring(topology)
    ends: list[WireEnd] = []
    cables: list[str] = []

    def end(kind: int, port: int = -1) -> int:
        ends.append(WireEnd(f"q{len(ends)}", kind, port))
        return len(ends) - 1

    into = entry = end(w.EDGE_END)
    for port in owner.ports:
        cables.append(f"{ends[into].interface} {ends[end(w.SWITCH_END, port.number)].interface}")
        into = end(w.SWITCH_END, wiring.reverse[port.name].number)
    leave = end(w.EDGE_END)
    cables.append(f"{ends[into].interface} {ends[leave].interface}")
    for cable in cables:
        near, far = cable.split()
        for command in (
            f"link add {near} mtu 9000 type veth peer name {far} mtu 9000",
            f"link set {near} up",
            f"link set {far} up",
        ):
            subprocess.run(["ip", *command.split()], check=True, stdin=subprocess.DEVNULL)
    template = (frame_bytes, -1, host_frame(wiring, stream, frame_bytes, 0))
    probe = Probe(0, 1, entry, leave, [template])
    return Emulator(topology, profile, plan, ends, [probe], EmulatorOptions(dilation=1))


def main() -> None:
    """Send frames of one length through the line; print what was measured as JSON."""
    frame_bytes, rate, duration = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    subprocess.run(
        [
            "sysctl",
            "-qw",
            "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1",
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    one = emulator(frame_bytes, rate, duration)
    one.open()
    try:
        one.start()
        be_quick()
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        before = one.wall_clock().came_out
        while not one.finished:
            one.step()
        one.drain(1_000_000_000)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    finally:
        as_usual()
        one.close()
    late = one.wall_clock()
    passages = late.came_out - before
    latencies = {arrival.time_ps - arrival.born_ps for arrival in one.arrivals}
    sys.stdout.write(
        json.dumps(
            {
                "frame_bytes": frame_bytes,
                "passages": passages,
                "violations": late.violations,
                "no_slot": late.no_slot,
                "cpu_s": cpu_s,
                "wall_s": wall_s,
                "per_cpu_s": passages / cpu_s,
                "served_s": late.busy_ns / 1e9,
                "inside_us": [(quantile_ps(late.inside, share) or 0) / 1e6 for share in SHARES_PPB],
                "latency_ps": [min(latencies), max(latencies)],
            }
        )
    )


if __name__ == "__main__":
    main()
