"""Flows of the Open Traffic Generator model, JSON or YAML, for a topology that is there.

The model is that of github.com/open-traffic-generator/models. A flow becomes a demand: it goes on
at its rate, and nothing is reserved for it. Sizes are of Ethernet frames with their check
sequence; rates in bits a second are those on the wire, as the least that the model allows (672,
one frame of 64 bytes with preamble and gap) has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from qnet.files.tree import Branch, guess, printable
from qnet.formats.networks.flow_demands import (
    GAP_BITS,
    FlowDemand,
    Sizes,
    add_demand,
    given_topology,
    imported,
    mean_wire_bits,
    only_rate_bps,
    open_values,
    sending_rates_bps,
)
from qnet.formats.networks.found import FoundNetwork, Spot
from qnet.formats.networks.naming import plain_name
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.otg_sizes import read_sizes
from qnet.formats.networks.texts import open_all
from qnet.formats.networks.values import Values
from qnet.model.topology import Topology
from qnet.model.traffic import BURST_PACKETS_HIGHEST
from qnet.units import RATE, describe, format_quantity

SPEEDS: Mapping[str, int] = MappingProxyType(
    {
        "speed_10_fd_mbps": 10**7,
        "speed_10_hd_mbps": 10**7,
        "speed_100_fd_mbps": 10**8,
        "speed_100_hd_mbps": 10**8,
        **{f"speed_{one}_gbps": one * 10**9 for one in (1, 10, 25, 40, 50, 100, 200, 400, 800)},
    }
)
"""Speeds of Layer 1, in bit/s."""

_PARTS = (
    *("lags", "layer1", "captures", "devices", "events", "options", "lldp"),
    *("stateful_flows", "egress_only_tracking"),
)
_HEADERS = (
    *("custom", "ethernet", "vlan", "vxlan", "ipv4", "ipv6", "pfcpause", "ethernetpause", "tcp"),
    *("udp", "gre", "gtpv1", "gtpv2", "arp", "icmp", "icmpv6", "ppp", "igmpv1", "mpls"),
    *("snmpv2c", "rsvp", "macsec", "lacp", "ipv6_extension_header", "cfm"),
)
_SCALES = {"bps": 1, "kbps": 10**3, "mbps": 10**6, "gbps": 10**9}
_RATES = ("pps", *_SCALES, "percentage")
_DEFAULT_RATES = {"pps": 1000, "bps": 10**9, "kbps": 10**6, "mbps": 1000, "gbps": 1}
_DURATIONS = ("continuous", "fixed_packets", "fixed_seconds", "burst")
_GAPS = {
    "bytes": Fraction(0),
    "nanoseconds": Fraction(1, 10**9),
    "microseconds": Fraction(1, 10**6),
}
_DEFAULT_GAPS = {
    "bytes": Fraction(12),
    "nanoseconds": Fraction(96),
    "microseconds": Fraction(96, 1000),
}
_UINT32, _UINT64 = 2**32 - 1, 2**64 - 1
_ENDS = "ends of flows left out; they go on for the whole run"


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read flows. Raises InputError with all faults."""
    topology = given_topology(files, options, "flows are")
    source, raw = open_all(files)[0]
    found = FoundNetwork(Path(files[0]).stem, source)
    root = open_values(found, source, raw)
    reading = _Reading(found, topology, options.ports)
    reading.read(root)
    return imported(found, topology, reading.demands)


@dataclass
class _Port:
    """Where flows begin and end; the node is looked for when a flow needs it."""

    values: Values
    location: str
    node: str | None = None
    looked_for: bool = False
    speed_bps: int | None = None


@dataclass
class _Ends:
    """The ports of a flow, and how many of them each frame reaches."""

    source: _Port
    targets: list[_Port] = field(default_factory=list)


class _Reading:
    """One file of the model, with the topology that it is for."""

    def __init__(self, found: FoundNetwork, topology: Topology, given: Mapping[str, str]) -> None:
        self.found = found
        self.topology = topology
        self.rates_bps = sending_rates_bps(topology)
        self.given = given
        self.ports: dict[str, _Port] = {}
        self.lags: set[str] = set()
        self.endpoints: dict[str, str] = {}
        self.demands: list[FlowDemand] = []

    def read(self, root: Values) -> None:
        """Read ports, speeds, devices and flows, in this order."""
        for port in root.each("ports"):
            self._add_port(port)
        for name, node in self.given.items():
            if name not in self.ports:
                more = guess(name, self.ports)
                self.found.fault(Spot(), f"'--map {name}={node}': no such port in the file{more}")
            elif node not in self.topology.node_by_name:
                more = guess(node, self.topology.node_by_name)
                self.found.fault(Spot(), f"'--map {name}={node}': no such node{more}")
        for one in root.each("layer1"):
            self._add_speed(one)
        for one in root.each("lags"):
            self.lags.add(one.text("name"))
        for device in root.each("devices"):
            self._add_device(device.branch)
        names: dict[str, int] = {}
        for flow in root.each("flows"):
            name = flow.text("name", needed=True)
            line = names.setdefault(name, flow.spot().line)
            if name and line != flow.spot().line:
                flow.fault(
                    "name", f"flow {describe(name)} again; it is there already on line {line}"
                )
            self._add_flow(flow, name)
        root.list_rest("the file", _PARTS)

    def _add_port(self, port: Values) -> None:
        name, location = port.text("name", needed=True), port.text("location")
        port.list_rest("ports", example=name)
        first = self.ports.setdefault(name, _Port(port, location))
        if name and first.values is not port:
            words = f"port {describe(name)} again; it is there already on line"
            port.fault("name", f"{words} {first.values.spot().line}")

    def _add_speed(self, given: Values) -> None:
        name = given.text("name")
        speed = given.word("speed", SPEEDS, None)
        for port in given.texts("port_names"):
            if port not in self.ports:
                given.fault("port_names", f"no port {describe(port)}{guess(port, self.ports)}")
            elif speed is not None:
                self.ports[port].speed_bps = SPEEDS[speed]
        given.list_rest("layer1", example=name)

    def _add_device(self, device: Branch) -> None:
        """Remember the port of each name within a device."""
        ethernets = device.child("ethernets")
        ports = set()
        for ethernet in ethernets.content if ethernets is not None else ():
            if not isinstance(ethernet, Branch):
                continue
            connection = ethernet.child("connection") or ethernet
            port = connection.child("port_name")
            if port is None or not isinstance(port.content, str):
                continue
            ports.add(port.content)
            self.endpoints |= dict.fromkeys(_names(ethernet), port.content)
        if len(ports) == 1:
            (only,) = ports
            self.endpoints |= dict.fromkeys(_names(device), only)

    def _add_flow(self, flow: Values, name: str) -> None:
        sizes = read_sizes(flow.inner("size"), name)
        priority, to_all = self._headers(flow, name)
        ends = self._ends(flow.inner("tx_rx"), name)
        rate = self._rate(flow.inner("rate"), ends, sizes, name)
        burst, rate = self._duration(flow.inner("duration"), ends, sizes, rate, name)
        metrics = flow.inner("metrics")
        for key in ("enable", "loss", "timestamps"):
            metrics.flag(key, default=False)
        metrics.inner("latency").word("mode", ("store_forward", "cut_through"), None)
        metrics.list_rest("metrics", example=name)
        flow.list_rest("flows", ("egress_packet", "payload"), name)
        if ends is None:
            return
        source = self._node(ends.source)
        targets = [self._node(one) for one in ends.targets]
        if source is None or None in targets:
            return
        share = Fraction(1 if to_all else len(targets))
        if len(targets) > 1:
            how = "a copy" if to_all else "an equal share"
            self.found.note(
                f"flows to several ports, of which each gets {how}", name, of_demands=True
            )
        for target in targets:
            assert target is not None, "just looked at"
            if target == source:
                self.found.note("flows from a node to itself left out", name, of_demands=True)
            elif not round(rate / share):
                self.found.note("flows of no rate left out", name, of_demands=True)
            else:
                made = FlowDemand(name, source, target, priority, rate / share, sizes, burst)
                add_demand(self.demands, made, flow)

    # Ports

    def _ends(self, given: Values, flow: str) -> _Ends | None:
        """Return the ports of a flow; None, and a fault or a note, where it is none of qnet's."""
        kind = given.choice(("port", "device"), "port")
        if kind is None:
            return None
        inner = given.inner(kind)
        tx = [inner.text("tx_name", needed=True)] if kind == "port" else inner.texts("tx_names")
        rx = inner.texts("rx_names")
        if kind == "port" and inner.has("rx_name"):
            rx = list(dict.fromkeys([*rx, inner.text("rx_name")]))
        if kind == "device":
            inner.word("mode", ("mesh", "one_to_one"), None)
            both = inner.flag("bidirectional", default=False)
            tx, rx = (
                self._of_devices(inner, tx, "tx_names"),
                self._of_devices(inner, rx, "rx_names"),
            )
            if both or len(tx) > 1 or len(rx) > 1:
                words = "flows among several devices left out; say them port by port"
                self.found.note(words, flow, of_demands=True)
                tx = []
        given.list_rest("'tx_rx'", example=flow)
        inner.list_rest("'tx_rx'", example=flow)
        if not all(tx) or not all(rx) or not tx:
            return None
        where = ("tx_name", "rx_names") if kind == "port" else ("tx_names", "rx_names")
        if self.lags.intersection([*tx, *rx]) - set(self.ports):
            words = "flows of link aggregation groups left out; say them port by port"
            self.found.note(words, flow, of_demands=True)
            return None
        ends = [
            self._port(inner, name, key)
            for name, key in ((tx[0], where[0]), *((name, where[1]) for name in rx))
        ]
        if not rx:
            words = "flows without a port that receives left out"
            self.found.note(words, flow, of_demands=True)
            return None
        source, *targets = ends
        known = [one for one in targets if one is not None]
        return None if source is None or len(known) < len(targets) else _Ends(source, known)

    def _of_devices(self, given: Values, names: Sequence[str], key: str) -> list[str]:
        """Return the ports of devices, each once; or report devices that are not there."""
        ports = []
        for name in names:
            if name in self.endpoints:
                ports.append(self.endpoints[name])
            else:
                more = guess(name, self.endpoints)
                given.fault(key, f"no device {describe(name)} of one port{more}")
                ports.append("")
        return list(dict.fromkeys(ports))

    def _port(self, given: Values, name: str, key: str) -> _Port | None:
        if name in self.ports:
            return self.ports[name]
        given.fault(key, f"no port {describe(name)}{guess(name, self.ports)}")
        return None

    def _node(self, port: _Port) -> str | None:
        """Return the node of a port, or report once that there is none."""
        if port.looked_for:
            return port.node
        port.looked_for = True
        name, nodes = port.values.text("name"), self.topology.node_by_name
        wanted = [port.location, name]
        if name in self.given:
            port.node = self.given[name] if self.given[name] in nodes else None
            return port.node
        port.node = next((one for one in wanted if one in nodes), None)
        if port.node is None:
            port.node = next((plain_name(one) for one in wanted if plain_name(one) in nodes), None)
            if port.node is not None:
                words = "names taken as they are in the topology"
                self.found.note(words, f"'{name}' is {port.node}")
        if port.node is None:
            at = f" at {describe(port.location)}" if port.location else ""
            words = f"port {describe(name)}{at} is no node of the topology; write '--map"
            port.values.fault("", f"{words} {printable(name)[:40]}=NODE'{guess(name, nodes)}")
            return None
        link_bps = only_rate_bps(self.rates_bps, port.node)
        if port.speed_bps is not None and link_bps not in (None, port.speed_bps):
            words = "ports of another speed than the links of their node"
            assert link_bps is not None, "just looked at"
            shown = f"{format_quantity(RATE, port.speed_bps)}, {format_quantity(RATE, link_bps)}"
            self.found.note(words, f"'{name}': {shown}")
        return port.node

    def _line_bps(self, port: _Port) -> int | None:
        """Return the speed of a port: what the file says, else that of its node's links."""
        if port.speed_bps is not None:
            return port.speed_bps
        node = self._node(port)
        return None if node is None else only_rate_bps(self.rates_bps, node)

    # Rates

    def _rate(self, given: Values, ends: _Ends | None, sizes: Sizes, flow: str) -> Fraction:
        """Return the rate on the wire, as if a flow never paused."""
        kind = given.choice(_RATES, "pps")
        rate = Fraction(0)
        if kind == "pps":
            rate = given.whole(kind, _DEFAULT_RATES[kind], 1, _UINT64) * mean_wire_bits(sizes)
        elif kind == "percentage":
            share = given.amount(kind, Fraction(100), 0, 100) / 100
            line_bps = None if ends is None else self._line_bps(ends.source)
            if line_bps is not None and ends is not None:
                rate = share * line_bps
                if ends.source.speed_bps is None:
                    words = "shares of a port taken as of the links of its node"
                    self.found.note(words, flow, of_demands=True)
            elif ends is not None and ends.source.node is not None:
                words = "a share of a port whose speed nothing says; write it in 'layer1'"
                given.fault(kind, words)
        elif kind is not None:
            least = 672 if kind == "bps" else 1
            rate = Fraction(given.whole(kind, _DEFAULT_RATES[kind], least, _UINT64) * _SCALES[kind])
            self.found.note("rates taken as those on the wire, with gaps", flow, of_demands=True)
        given.list_rest("rates", example=flow)
        speed = None if ends is None else ends.source.speed_bps
        if speed is not None and rate > speed:
            self.found.note("flows of more than their port can send", flow, of_demands=True)
        return rate

    def _duration(
        self, given: Values, ends: _Ends | None, sizes: Sizes, rate: Fraction, flow: str
    ) -> tuple[int, Fraction]:
        """Return the frames of a burst, and the mean rate over bursts and pauses."""
        kind = given.choice(_DURATIONS, "continuous")
        if kind is None:
            return 1, rate
        inner = given.inner(kind)
        given.list_rest("durations", example=flow)
        packets = 1
        if kind == "fixed_packets":
            inner.whole("packets", 1, 1, _UINT32)
        elif kind == "fixed_seconds":
            inner.amount("seconds", Fraction(1))
        elif kind == "burst":
            packets = inner.whole("packets", 1, 1, BURST_PACKETS_HIGHEST)
        bursts = inner.whole("bursts", 0, 0, _UINT32) if kind == "burst" else 0
        if kind in ("fixed_packets", "fixed_seconds") or bursts:
            self.found.note(_ENDS, flow, of_demands=True)
        gap = inner.whole("gap", 12, 0, _UINT32)
        if gap != 12:
            self.found.note("least gaps between frames left out", flow, of_demands=True)
        if kind == "burst":
            line_bps = Fraction((None if ends is None else self._line_bps(ends.source)) or rate)
            in_burst, rate = rate, self._mean(inner, packets, line_bps, sizes, rate)
            if packets > 1 and in_burst != line_bps:
                words = "frames of a burst sent one right after the other"
                self.found.note(words, flow, of_demands=True)
        inner.list_rest("durations", ("delay",), flow)
        return packets, rate

    def _mean(
        self, given: Values, packets: int, line_bps: Fraction, sizes: Sizes, rate: Fraction
    ) -> Fraction:
        """Return the mean rate of bursts: from the first bit of one to that of the next."""
        pause = given.inner("inter_burst_gap")
        kind = pause.choice(tuple(_GAPS), "bytes") or "bytes"
        amount = pause.amount(kind, _DEFAULT_GAPS[kind])
        pause.list_rest("gaps")
        if not rate or not line_bps:
            return rate
        pause_s = amount * _GAPS[kind] if kind != "bytes" else amount * 8 / line_bps
        bits = mean_wire_bits(sizes)
        burst_s = (packets - 1) * bits / rate + (bits - GAP_BITS) / line_bps
        return packets * bits / (burst_s + pause_s)

    # Headers

    def _headers(self, flow: Values, name: str) -> tuple[int, bool]:
        """Return the priority of a flow's frames, and whether they are for a group of receivers."""
        priority: int | None = None
        to_all = False
        for header in flow.each("packet"):
            kind = header.choice(_HEADERS, "ethernet")
            if kind is None:
                continue
            inner = header.inner(kind)
            if kind == "vlan" and priority is None:
                priority = self._priority(inner.inner("priority"), name)
                inner.list_rest("'vlan'", ("id", "cfi", "tpid"), name)
                continue
            if kind == "ethernet":
                to_all |= _is_group(inner)
            words = "headers of frames left out, but for the priority of a VLAN tag"
            self.found.note(words, kind, of_demands=True)
        return priority or 0, to_all

    def _priority(self, given: Values, flow: str) -> int:
        kind = given.choice(("value", "values", "increment", "decrement"), "value")
        made = 0
        if kind == "value":
            made = given.whole(kind, 0, 0, 7)
        elif kind is not None:
            given.take(kind)
            words = "priorities that change from frame to frame taken as 0"
            self.found.note(words, flow, of_demands=True)
        given.list_rest("priorities", ("metric_tags",), flow)
        return made


def _is_group(ethernet: Values) -> bool:
    """Say whether the destination is a group address, whose first bit on the wire is 1."""
    target = ethernet.branch.child("dst")
    value = None if target is None else target.child("value")
    first = value.content[:2] if value is not None and isinstance(value.content, str) else ""
    return (
        len(first) == 2
        and all(one in "0123456789abcdefABCDEF" for one in first)
        and (int(first, 16) % 2 == 1)
    )


def _names(branch: Branch) -> Iterator[str]:
    """Yield every name within a device."""
    open_ = [branch]
    while open_:
        one = open_.pop()
        if isinstance(one.content, str):
            continue
        name = one.child("name")
        if name is not None and isinstance(name.content, str):
            yield name.content
        open_ += one.content.values() if isinstance(one.content, dict) else one.content
