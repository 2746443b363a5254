"""Topology, plan and the streams to carry -> the OpenFlow rules of every switch.

Table 0 knows streams: at a host port it puts the label
of the path in front of the frame, between wires it finds the port that the label leaves by, and at
the listener's switch it takes the label off. Table 1 knows cycles: it holds TCQF's `cycle_map`, one
row per port in, port out and cycle tag, whatever the number of streams.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from qnet.emulate.openflow.nouns import (
    IN_PORT,
    IPV4,
    MPLS,
    OWNER,
    Action,
    Bucket,
    Group,
    Match,
    Meter,
    Rule,
    Switch,
    match,
    output,
    pop_mpls,
    push_mpls,
    set_field,
    to_group,
)
from qnet.emulate.rules.streams import LabelledPath, SwitchedStream, dscp_of, path_mac
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.graph.distances import distances
from qnet.model.topology import Port, Topology
from qnet.units import ceil_div

FLOW_TABLE = 0
CYCLE_TABLE = 1

FLOW_PRIORITY = 200
HOST_PRIORITY = 100

BURST_MS = 10
"""A policed demand may burst for as long as this at the rate of its meter."""

BURST_KBITS_LEAST = 512


class Policing(NamedTuple):
    """Best effort is cut at `percent` of its placed rate; clocks run `dilation` times slower."""

    percent: int = 200
    dilation: int = 1


def rules_of(
    topology: Topology,
    streams: Sequence[SwitchedStream],
    *,
    hosts: Collection[str] = (),
    policing: Policing | None = None,
    generation: int = 0,
    failover: bool = True,
) -> tuple[Switch, ...]:
    """Return what each switch is told, in the order of the topology's nodes.

    Between the nodes in `hosts`, frames to the host's own address are forwarded over the path of
    least delay, with a loop-free alternate (RFC 5286) where there is one. With `policing`, every
    demand passes a meter at its talker's switch. `generation`, as given to `flows_of`, keeps the
    numbers of groups and meters apart from those of the plan before. Without `failover` a talker's
    switch sends no part of a demand another part's way.
    """
    makers = {node.name: _Maker(generation) for node in topology.nodes}
    wiring = Wiring(topology)
    alternates = alternatives(streams) if failover else {}
    for stream in streams:
        _enter(makers[stream.talker], wiring, stream, alternates, policing)
        for path in stream.paths:
            for hop in range(1, len(path.ports)):
                _pass(makers, wiring, stream, path, hop)
            _leave(makers[stream.listener], wiring, stream, path)
    if hosts:
        delays = {node.name: _delays_to(topology, node.name) for node in topology.nodes}
        for host in hosts:
            _reach(makers, wiring, delays, host)
    return tuple(
        makers[node.name].switch(node.name, wiring.datapath_id(node.name))
        for node in topology.nodes
    )


class _Maker:
    """Rules of one switch while they come together; equal cycle rows become one."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.rules: dict[tuple[int, int, Match], Rule] = {}
        self.groups: list[Group] = []
        self.meters: dict[str, Meter] = {}

    def add(self, rule: Rule) -> None:
        known = self.rules.setdefault(rule.key, rule)
        assert known[:8] == rule[:8], f"two rules for one match: {known} and {rule}"

    def group(self, kind: str, buckets: Iterable[Bucket], why: str) -> Action:
        number = self.number(len(self.groups))
        self.groups.append(Group(number, kind, tuple(buckets), why))
        return to_group(number)

    def number(self, place: int) -> int:
        return 1 + 2 * place + self.generation

    def switch(self, name: str, datapath_id: int) -> Switch:
        return Switch(
            name,
            datapath_id,
            tuple(self.rules.values()),
            tuple(self.groups),
            tuple(self.meters.values()),
        )


def _enter(
    maker: _Maker,
    wiring: Wiring,
    stream: SwitchedStream,
    alternates: Mapping[str, SwitchedStream],
    policing: Policing | None,
) -> None:
    """Label the talker's frames: the DSCP says in which cycle they are to leave the first port."""
    for interval in stream.intervals:
        tag = stream.tag(stream.paths[0], 0, interval)
        why = f"{stream.name}: enters" + ("" if tag is None else f" in cycle {tag}")
        fields = {"in_port": HOST_PORT, "eth_type": IPV4, "eth_dst": stream.mac}
        if tag is not None:
            fields["ip_dscp"] = dscp_of(tag)
        branches = [_label(wiring, stream, path, interval) for path in stream.paths]
        other = None if stream.version else alternates.get(stream.name)
        if len(branches) > 1:
            actions: tuple[Action, ...] = (
                maker.group("all", (Bucket(one) for one in branches), f"{why}, sent twice"),
            )
        elif other is not None:
            choice = (stream.paths[0], other.paths[0])
            buckets = (
                Bucket(_label(wiring, stream, path, interval), wiring.openflow_port[path.ports[0]])
                for path in choice
            )
            actions = (maker.group("fast_failover", buckets, f"{why}, or by {other.name}"),)
        else:
            actions = branches[0]
        meter = None
        if policing is not None and stream.demand is not None:
            meter = _police(maker, stream.demand, policing)
        maker.add(
            Rule(
                FLOW_TABLE,
                FLOW_PRIORITY,
                match(**fields),
                actions,
                meter=meter,
                cookie=OWNER | stream.number,
                why=why,
            )
        )
    if policing is not None and stream.demand is not None:
        _widen(maker, stream, policing)


def _label(
    wiring: Wiring, stream: SwitchedStream, path: LabelledPath, interval: int
) -> tuple[Action, ...]:
    tag = stream.tag(path, 0, interval)
    return (
        push_mpls(),
        set_field("mpls_label", path.label),
        set_field("mpls_tc", 0 if tag is None else tag + 1),  # Open vSwitch would take the DSCP's
        output(wiring.openflow_port[path.ports[0]]),
    )


def _pass(
    makers: Mapping[str, _Maker],
    wiring: Wiring,
    stream: SwitchedStream,
    path: LabelledPath,
    hop: int,
) -> None:
    """Send a labelled frame on; what has a cycle goes through the cycle table."""
    before, port = (wiring.topology.port_by_name[name] for name in path.ports[hop - 1 : hop + 1])
    maker = makers[port.source]
    in_port, out_port = wiring.in_port(before), wiring.openflow_port[port.name]
    sent = output(IN_PORT if in_port == out_port else out_port)
    found = match(in_port=in_port, eth_type=MPLS, mpls_label=path.label)
    rule = Rule(
        FLOW_TABLE,
        FLOW_PRIORITY,
        found,
        cookie=OWNER | stream.number,
        why=f"{stream.name}: on to {port.name}",
    )
    if not path.cycles:
        maker.add(rule._replace(actions=(sent,)))
        return
    shift = (path.cycles[hop] - path.cycles[hop - 1]) % stream.buffers
    row = out_port | (shift + 1 << 32 if stream.waits else 0)
    maker.add(rule._replace(goto=CYCLE_TABLE, metadata=(row, 0xFFFFFFFFFFFFFFFF)))
    for tag in range(stream.buffers):
        turned = (tag + shift) % stream.buffers
        maker.add(
            Rule(
                CYCLE_TABLE,
                FLOW_PRIORITY,
                match(in_port=in_port, eth_type=MPLS, metadata=row, mpls_tc=tag + 1),
                (set_field("mpls_tc", turned + 1), sent),
                why=f"{before.name} to {port.name}: cycle {tag} becomes {turned}",
            )
        )


def _leave(maker: _Maker, wiring: Wiring, stream: SwitchedStream, path: LabelledPath) -> None:
    """Take the label off and hand the frame to the listener's host; its source tells the path."""
    last = wiring.topology.port_by_name[path.ports[-1]]
    maker.add(
        Rule(
            FLOW_TABLE,
            FLOW_PRIORITY,
            match(in_port=wiring.in_port(last), eth_type=MPLS, mpls_label=path.label),
            (
                pop_mpls(IPV4),
                set_field("eth_dst", wiring.host_mac(stream.listener)),
                set_field("eth_src", path_mac(path.label)),
                output(HOST_PORT),
            ),
            cookie=OWNER | stream.number,
            why=f"{stream.name}: to the host",
        )
    )


def alternatives(streams: Iterable[SwitchedStream]) -> dict[str, SwitchedStream]:
    """For each part of a demand, another part that leaves the talker by another port.

    The switch changes over when the first port goes down. Further on there is no changing over:
    two parts that meet again could hand a frame back and forth.
    """
    parts: defaultdict[str, list[SwitchedStream]] = defaultdict(list)
    for stream in streams:
        if stream.demand is not None and not stream.version:
            parts[stream.demand].append(stream)
    found: dict[str, SwitchedStream] = {}
    for together in parts.values():
        for stream in together:
            others = (one for one in together if one.paths[0].ports[0] != stream.paths[0].ports[0])
            other = max(others, key=lambda one: one.rate_bps, default=None)
            if other is not None:
                found[stream.name] = other
    return found


def _police(maker: _Maker, demand: str, policing: Policing) -> int:
    """Return the number of the demand's meter, a new one if it has none yet."""
    meter = maker.meters.setdefault(
        demand,
        Meter(maker.number(len(maker.meters)), 0, 0, f"{demand}: {policing.percent} % of its rate"),
    )
    return meter.number


def _widen(maker: _Maker, stream: SwitchedStream, policing: Policing) -> None:
    """Add the rate of one more part to its demand's meter."""
    assert stream.demand is not None
    meter = maker.meters[stream.demand]
    more_kbps = ceil_div(stream.rate_bps * policing.percent, 100 * 1000 * policing.dilation)
    rate_kbps = meter.rate_kbps + more_kbps
    burst_kbits = max(ceil_div(rate_kbps * BURST_MS, 1000), BURST_KBITS_LEAST)
    maker.meters[stream.demand] = meter._replace(rate_kbps=rate_kbps, burst_kbits=burst_kbits)


def _reach(
    makers: Mapping[str, _Maker],
    wiring: Wiring,
    every_delay: Mapping[str, Mapping[str, int]],
    host: str,
) -> None:
    """Forward frames to one host's own address, from every node that can reach it."""
    topology = wiring.topology
    delays = every_delay[host]
    ports: defaultdict[str, list[Port]] = defaultdict(list)
    for port in topology.ports:
        ports[port.source].append(port)
    found = match(eth_dst=wiring.host_mac(host))
    why = f"to the host of {host}"
    for node, delay_ps in delays.items():
        maker = makers[node]
        if node == host:
            actions: tuple[Action, ...] = (output(HOST_PORT),)
        else:
            ways = sorted(
                (_delay_ps(topology, port) + delays[port.target], port.number, port)
                for port in ports[node]
                if port.target in delays
            )
            first = ways[0][2]
            back_ps = every_delay[node]
            loop_free = (
                port
                for _, _, port in ways[1:]
                if delays[port.target] < back_ps[port.target] + delay_ps
            )
            second = next(loop_free, None)
            numbers = [wiring.openflow_port[one.name] for one in (first, second) if one]
            if second is None:
                actions = (output(numbers[0]),)
            else:
                buckets = [Bucket((output(number),), number) for number in numbers]
                actions = (maker.group("fast_failover", buckets, why),)
        maker.add(Rule(FLOW_TABLE, HOST_PRIORITY, found, actions, why=why))


def _delay_ps(topology: Topology, port: Port) -> int:
    """Count at least a picosecond, so that a way round is never as short as none."""
    processing_ps = topology.node_by_name[port.target].processing.high_ps
    return port.propagation_ps + processing_ps + 1


def _delays_to(topology: Topology, host: str) -> dict[str, int]:
    """Return the least delay from every node to one."""
    into: defaultdict[str, list[Port]] = defaultdict(list)
    for port in topology.ports:
        into[port.target].append(port)
    return distances(
        host, lambda node: ((_delay_ps(topology, port), port.source) for port in into[node])
    )
