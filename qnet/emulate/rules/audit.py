"""Judge a network's rules: does every flow go the way, and in the cycles, that the plan says.

The judge sends model frames through the rules and compares each hop with the plan. It knows no more
of the rules than where flows enter and what the plan says of ports and cycles, so it can judge
another controller's rules as well as ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from qnet.emulate.openflow.frame import UDP, Frame, Label
from qnet.emulate.openflow.nouns import IPV4, Rule, Switch
from qnet.emulate.openflow.table import Sent, Tables
from qnet.emulate.openflow.text import show
from qnet.emulate.rules.flows import Flow, Lane
from qnet.emulate.rules.wiring import HOST_PORT, Wiring


class Finding(NamedTuple):
    """What is wrong with one flow at one switch, and the rule that does it (None: no rule).

    `flow` is empty for what may concern any of them: a rule that is not understood.
    """

    flow: str
    switch: str
    rule: Rule | None
    message: str

    def __str__(self) -> str:
        if not self.flow:
            return f"{self.switch}: {self.message}"
        by = "no rule matches" if self.rule is None else f"by the rule {show(self.rule)}"
        return f"{self.flow}: {self.switch}: {self.message}; {by}"


def audit(wiring: Wiring, flows: Iterable[Flow], switches: Iterable[Switch]) -> tuple[Finding, ...]:
    """Follow a frame of every flow in each of its cycles over each of its paths.

    A hop is judged by itself: after a fault the frame goes on as it should have been, so that one
    wrong rule is one finding for each flow and cycle, and none for the switches behind it.
    """
    switches = tuple(switches)
    found: dict[Finding, None] = {}
    for switch in switches:
        for line in switch.unread:
            found.setdefault(Finding("", switch.name, None, f"not understood: {line}"))
    tables = {switch.name: Tables(switch) for switch in switches}
    for flow in flows:
        for interval in flow.intervals:
            for finding in _follow(wiring, tables, flow, interval):
                found.setdefault(finding)
    return tuple(found)


def host_frame(wiring: Wiring, flow: Flow, interval: int) -> Frame:
    """Return the headers of a frame as the talker's host sends it."""
    inner = {
        "ip_dscp": flow.dscp(interval),
        "ip_ecn": 0,
        "ttl": 64,
        "ip_proto": UDP,
        "ipv4_src": wiring.host_ip(flow.talker),
        "ipv4_dst": wiring.host_ip(flow.listener),
    }
    return Frame(flow.mac, wiring.host_mac(flow.talker), IPV4, inner=tuple(inner.items()))


def _follow(
    wiring: Wiring, tables: Mapping[str, Tables], flow: Flow, interval: int
) -> Iterable[Finding]:
    sent = _sent(tables, flow.talker, host_frame(wiring, flow, interval), HOST_PORT)
    wanted = {wiring.openflow_port[lane.ports[0]]: lane for lane in flow.lanes}
    yield from _faults(wiring, flow, flow.talker, sent, set(wanted))
    for number, lane in wanted.items():
        for port, frame in sent.copies:
            if port == number:
                yield from _tag_faults(flow, lane, 0, interval, (flow.talker, frame, sent))
                yield from _along(wiring, tables, flow, lane, interval, frame)
                break


def _along(
    wiring: Wiring,
    tables: Mapping[str, Tables],
    flow: Flow,
    lane: Lane,
    interval: int,
    frame: Frame,
) -> Iterable[Finding]:
    """Follow a frame that has left the talker's switch to the listener's host."""
    ports = [wiring.topology.port_by_name[name] for name in lane.ports]
    for hop, port in enumerate(ports):
        node = port.target
        last = hop == len(ports) - 1
        number = HOST_PORT if last else wiring.openflow_port[lane.ports[hop + 1]]
        frame = _planned(frame, flow.tag(lane, hop, interval))
        sent = _sent(tables, node, frame, wiring.in_port(port))
        yield from _faults(wiring, flow, node, sent, {number})
        copy = next((one for at, one in sent.copies if at == number), None)
        if copy is None:
            return
        if last:
            if copy.labels or copy.tags or copy.ether_type != IPV4:
                message = f"the host gets the frame as it was on the wire ({copy})"
                yield Finding(flow.name, node, _culprit(sent), message)
            return
        yield from _tag_faults(flow, lane, hop + 1, interval, (node, copy, sent))
        frame = copy


def _sent(tables: Mapping[str, Tables], node: str, frame: Frame, in_port: int) -> Sent:
    return tables[node].send(frame, in_port) if node in tables else Sent((), (), ())


def _planned(frame: Frame, tag: int | None) -> Frame:
    """Return the frame with the cycle tag that the plan wants."""
    if tag is None or not frame.labels:
        return frame
    top, *rest = frame.labels
    return frame._replace(labels=(Label(top.label, tag + 1, top.ttl), *rest))


def _faults(
    wiring: Wiring, flow: Flow, node: str, sent: Sent, wanted: set[int]
) -> Iterable[Finding]:
    """Say where a switch sends the frame otherwise than to the wanted ports, once each."""
    culprit = _culprit(sent)
    for words in sent.unknown:
        yield Finding(flow.name, node, culprit, f"the rules alone do not decide: {words}")
    count: dict[int, int] = {}
    for port, _ in sent.copies:
        count[port] = count.get(port, 0) + 1
    for port in sorted(wanted - count.keys()):
        name = _name(wiring, node, port)
        yield Finding(flow.name, node, culprit, f"the frame is not sent to {name}")
    for port, times in sorted(count.items()):
        name = _name(wiring, node, port)
        if port not in wanted:
            message = f"the frame is sent to {name}, which is not on its path"
            yield Finding(flow.name, node, culprit, message)
        elif times > 1:
            yield Finding(flow.name, node, culprit, f"the frame is sent to {name} {times} times")


def _tag_faults(
    flow: Flow, lane: Lane, hop: int, interval: int, at: tuple[str, Frame, Sent]
) -> Iterable[Finding]:
    """Compare the cycle tag of a frame that leaves a switch with the plan's."""
    node, frame, sent = at
    tag = flow.tag(lane, hop, interval)
    found = frame.labels[0].traffic_class - 1 if frame.labels else None
    if tag is None or found == tag:
        return
    shown = "no cycle tag" if found is None or found < 0 else f"the tag of cycle {found}"
    message = f"the frame leaves by {lane.ports[hop]} with {shown}, the plan says cycle {tag}"
    yield Finding(flow.name, node, _culprit(sent), message)


def _culprit(sent: Sent) -> Rule | None:
    return sent.rules[-1] if sent.rules else None


def _name(wiring: Wiring, node: str, port: int) -> str:
    if port == HOST_PORT:
        return f"the host of {node}"
    found = wiring.port_at.get((node, port))
    return f"port {port}, which has no wire" if found is None else found.name
