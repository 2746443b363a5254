"""A network as one Python program that builds it in Mininet, and needs nothing but Mininet.

Switches are called s1, s2 ... and hosts h1, h2 ..., as Mininet and Linux would have them; their own
names stand beside. A switch without a host beside it gets one, so that there is somebody to ping.
Frames go the way of least delay, by flows that the program installs: no controller, no loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import Exported
from qnet.formats.networks.writing import Says, list_unsaid
from qnet.model.topology import Link, Topology, propagation_ps
from qnet.units import PS_PER_US, ceil_div

BANDWIDTH_HIGHEST = 1000
"""Mbit/s: Mininet's TCIntf takes no notice of more."""

_BANDWIDTH_LOWEST = Fraction(1, 1000)
_DELAY_HIGHEST_US = 274 * 10**6
"""Older kernels count 32 bits of 64 ns."""

_QUEUE = 1000
"""Packets that netem holds if nothing else is said, beside those that are on their way."""

_SHORTEST_BITS = 84 * 8
_SAYS = Says(
    node=frozenset({"name", "kind"}),
    link=Says().link | {"rate", "length", "delay", "asymmetry", "loss"},
)


def write(topology: Topology, *, stretch: int = 1) -> Exported:
    """Write the program; time in it runs `stretch` times slower than in the network."""
    notes = Notes()
    list_unsaid(notes, topology, _SAYS)
    names = _names(topology)
    if stretch > 1:
        notes.note(f"rates divided and delays multiplied by {stretch}", count=len(topology.links))
    lines = ["LINKS = ["]
    used: set[str] = set()
    for link in topology.links:
        ends = [names[end] for end in link.between]
        ways = [_settings(topology, link, way, stretch, notes) for way in (0, 1)]
        carries = not _is_idle(topology, link, used, notes)
        shown = [_shown(ways[0]), "None" if link.is_one_way else _shown(ways[1])]
        lines.append(f"    ({ends[0]!r}, {ends[1]!r}, {', '.join(shown)}, {carries}),")
        if link.members > 1:
            what = "wires of links of several, written as one of all their rates"
            notes.note(what, "--".join(link.between), count=link.members)
        if link.is_one_way:
            notes.note("links of one direction, built with both", "->".join(link.between))
    hosts = {names[node.name]: node.name for node in topology.nodes if node.is_host}
    served = {end for link in topology.links if _has_host(topology, link) for end in link.between}
    for node in topology.nodes:
        if not node.is_host and node.name not in served:
            own = f"h{len(hosts) + 1}"
            hosts[own] = node.name
            lines.append(f"    ({own!r}, {names[node.name]!r}, {{}}, {{}}, True),")
            notes.note("hosts put beside switches, so that there is one to ping", node.name)
    lines.append("]")
    switches = {names[node.name]: node.name for node in topology.nodes if not node.is_host}
    head = [
        "#!/usr/bin/env python3",
        _HEAD,
        f"TITLE = {topology.title!r}",
        f"STRETCH = {stretch}",
        *_table("SWITCHES", switches),
        *_table("HOSTS", hosts),
        *lines,
    ]
    return Exported("\n".join(head) + "\n" + _PROGRAM, notes.listed)


def _names(topology: Topology) -> dict[str, str]:
    """Return what each node is called in Mininet."""
    names: dict[str, str] = {}
    for letter, is_host in (("s", False), ("h", True)):
        nodes = [node.name for node in topology.nodes if node.is_host == is_host]
        names |= {name: f"{letter}{number}" for number, name in enumerate(nodes, start=1)}
    return names


def _has_host(topology: Topology, link: Link) -> bool:
    return any(topology.node_by_name[end].is_host for end in link.between)


def _is_idle(topology: Topology, link: Link, used: set[str], notes: Notes) -> bool:
    """Say whether a link is one of a host that has its address at another one."""
    hosts = [end for end in link.between if topology.node_by_name[end].is_host]
    idle = any(host in used for host in hosts)
    used.update(hosts)
    if idle:
        what = "links of hosts after the first, which are built, and carry nothing"
        notes.note(what, "--".join(link.between))
    return idle


def _table(name: str, names: Mapping[str, str]) -> list[str]:
    return [f"{name} = {{", *(f"    {key!r}: {value!r}," for key, value in names.items()), "}"]


class _Settings(NamedTuple):
    """What Mininet is told of one direction: Mbit/s, microseconds, per cent, packets."""

    bw: float
    delay_us: int
    loss: float


def _shown(one: _Settings) -> str:
    """Write settings as the arguments of TCIntf."""
    parts = [f"'bw': {one.bw:.12g}"]
    if one.delay_us:
        parts.append(f"'delay': '{one.delay_us}us'")
    if one.loss:
        parts.append(f"'loss': {one.loss:.12g}")
    if one.delay_us or one.loss:
        under_way = ceil_div(round(one.bw * one.delay_us), _SHORTEST_BITS)
        parts.append(f"'max_queue_size': {_QUEUE + under_way}")
    return "{" + ", ".join(parts) + "}"


def _settings(topology: Topology, link: Link, way: int, stretch: int, notes: Notes) -> _Settings:
    if link.is_one_way and way:
        way = 0
        notes = Notes()  # told for the way there
    example = "->".join(link.between if way == 0 else link.between[::-1])
    bw = Fraction(link.rate_bps[way] * link.members, 10**6 * stretch)
    if bw > BANDWIDTH_HIGHEST:
        what = (
            "rates written as 1000 Mbit/s, the highest that Mininet keeps ('--stretch' slows time)"
        )
        notes.note(what, example)
    elif bw < _BANDWIDTH_LOWEST:
        notes.note("rates written as 1 kbit/s, the lowest", example)
    bw = min(max(bw, _BANDWIDTH_LOWEST), Fraction(BANDWIDTH_HIGHEST))
    delay_us, rest = divmod(propagation_ps(link, topology.node_by_name)[way] * stretch, PS_PER_US)
    if rest:
        notes.note("delays rounded to whole microseconds", example)
        delay_us += 2 * rest >= PS_PER_US
    if delay_us > _DELAY_HIGHEST_US:
        notes.note("delays left out that are more than 274 s", example)
        delay_us = 0
    steps, rest = divmod(link.loss_ppb[way], 100)
    if rest:
        notes.note("losses rounded to 0.00001 %, the steps of tc", example)
        steps += rest >= 50
    return _Settings(float(bw), delay_us, steps / 10**5)


_HEAD = '''"""A network for Mininet, written by qnet; needs Mininet, Open vSwitch, and to be root.

    python3 THIS_FILE --test pingall     # build it, ping between all hosts, and end: 0 all answered
    python3 THIS_FILE                    # build it, and ask for commands

Rates are those of Mininet's links, in Mbit/s; STRETCH says how many times slower time runs here
than in the network. Links are (node, node, from the first to the second, back, carries frames).
"""

import argparse
import heapq
import signal
import subprocess
import sys
import tempfile
from functools import partial

from mininet.cli import CLI
from mininet.link import TCLink
from mininet.log import info, setLogLevel
from mininet.net import Mininet
from mininet.node import OVSSwitch
'''

_PROGRAM = '''

def microseconds(settings):
    return int(settings.get("delay", "0us")[:-2])


def has_netem():
    """Say whether this kernel can delay and lose frames."""
    command = "unshare --net tc qdisc add dev lo root netem delay 1us"
    return subprocess.run(command.split(), capture_output=True).returncode == 0


def build(options):
    """Return the network, and for each direction of a link: (node, node, port, delay)."""
    switch = partial(OVSSwitch, failMode="secure", datapath=options.datapath)
    net = Mininet(
        controller=None, link=TCLink, switch=switch, autoSetMacs=True, autoStaticArp=True
    )
    for name in SWITCHES:
        net.addSwitch(name)
    for name in HOSTS:
        net.addHost(name)
    ways = []
    for near, far, there, back, carries in LINKS:
        both = [dict(there), dict(there if back is None else back)]
        if options.no_delay:
            both = [{key: one[key] for key in one if key == "bw"} for one in both]
        link = net.addLink(net[near], net[far], params1=both[0], params2=both[1])
        if carries:
            ways.append((near, far, net[near].ports[link.intf1], microseconds(there)))
        if carries and back is not None:
            ways.append((far, near, net[far].ports[link.intf2], microseconds(back)))
    return net, ways


def ports_towards(target, ways):
    """Return the port by which each switch sends to a host: least delay, then fewest hops."""
    before = {}
    for near, far, port, delay in ways:
        before.setdefault(far, []).append((near, port, delay))
    best, ports, waiting = {}, {}, [(0, 0, target, None)]
    while waiting:
        delay, hops, node, port = heapq.heappop(waiting)
        if node in best:
            continue
        best[node] = (delay, hops)
        if port is not None and node in SWITCHES:
            ports[node] = port
        if node == target or node in SWITCHES:
            for near, out, more in before.get(node, ()):
                heapq.heappush(waiting, (delay + more, hops + 1, near, out))
    return ports


def install(net, ways):
    """Give every switch a flow for each host."""
    flows = {name: [] for name in SWITCHES}
    for host in net.hosts:
        for name, port in ports_towards(host.name, ways).items():
            flows[name].append("priority=1,dl_dst=%s,actions=output:%d" % (host.MAC(), port))
    for name, lines in flows.items():
        with tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
            file.write("\\n".join(lines) + "\\n")
            file.flush()
            net[name].dpctl("add-flows", file.name)


def main():
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--test", choices=["pingall", "pingpair", "iperf"], help="then end")
    parser.add_argument("--datapath", choices=["kernel", "user"], default="kernel")
    parser.add_argument("--no-delay", action="store_true", help="neither delays nor losses")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    settings = [one for link in LINKS for one in link[2:4] if one]
    if any("max_queue_size" in one for one in settings) and not options.no_delay:
        if not has_netem():
            sys.exit("this kernel has no netem, which delays and loses frames; try --no-delay")
    setLogLevel("info")
    net, ways = build(options)
    patience_s = 1 + 4 * sum(map(microseconds, settings)) // 10**6
    lost = 0
    try:
        net.start()
        install(net, ways)
        for name, own in {**SWITCHES, **HOSTS}.items():
            info("%s: %s\\n" % (name, own))
        if options.test == "pingall":
            lost = net.pingAll(timeout=str(min(patience_s, 3600)))
        elif options.test == "pingpair":
            lost = net.ping(net.hosts[:2], timeout=str(min(patience_s, 3600)))
        elif options.test == "iperf":
            net.iperf(seconds=2)
        else:
            CLI(net)
    finally:
        for node in net.values():
            node.waiting = False  # a signal may have come in the middle of a command
        net.stop()
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
'''
