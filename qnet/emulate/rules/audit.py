"""Judge a network's rules: does every stream go the way, and in the cycles, that the plan says.

The judge sends model frames through the rules and compares each hop with the plan. It knows no more
of the rules than where streams enter and what the plan says of ports and cycles, so it can judge
another controller's rules as well as ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from qnet.emulate.openflow.frame import UDP, FrameHeaders, Label
from qnet.emulate.openflow.nouns import IPV4, Rule, Switch
from qnet.emulate.openflow.table import Sent, Tables
from qnet.emulate.openflow.text import show
from qnet.emulate.rules.streams import LabelledPath, SwitchedStream
from qnet.emulate.rules.wiring import HOST_PORT, Wiring


class RuleFinding(NamedTuple):
    """What is wrong with one stream at one switch, and the rule that does it (None: no rule).

    `stream` is empty for what may concern any of them: a rule that is not understood.
    """

    stream: str
    switch: str
    rule: Rule | None
    message: str

    def __str__(self) -> str:
        if not self.stream:
            return f"{self.switch}: {self.message}"
        by = "no rule matches" if self.rule is None else f"by the rule {show(self.rule)}"
        return f"{self.stream}: {self.switch}: {self.message}; {by}"


def audit_streams(
    wiring: Wiring, streams: Iterable[SwitchedStream], switches: Iterable[Switch]
) -> tuple[RuleFinding, ...]:
    """Follow a frame of every stream in each of its cycles over each of its paths.

    A hop is judged by itself: after a fault the frame goes on as it should have been, so that one
    wrong rule is one finding for each stream and cycle, and none for the switches behind it.
    """
    switches = tuple(switches)
    found: dict[RuleFinding, None] = {}
    for switch in switches:
        for line in switch.unread:
            found.setdefault(RuleFinding("", switch.name, None, f"not understood: {line}"))
    tables = {switch.name: Tables(switch) for switch in switches}
    for stream in streams:
        for interval in stream.intervals:
            for finding in _follow(wiring, tables, stream, interval):
                found.setdefault(finding)
    return tuple(found)


def host_frame(wiring: Wiring, stream: SwitchedStream, interval: int) -> FrameHeaders:
    """Return the headers of a frame as the talker's host sends it."""
    inner = {
        "ip_dscp": stream.dscp(interval),
        "ip_ecn": 0,
        "ttl": 64,
        "ip_proto": UDP,
        "ipv4_src": wiring.host_ip(stream.talker),
        "ipv4_dst": wiring.host_ip(stream.listener),
    }
    return FrameHeaders(
        stream.mac, wiring.host_mac(stream.talker), IPV4, inner=tuple(inner.items())
    )


def _follow(
    wiring: Wiring, tables: Mapping[str, Tables], stream: SwitchedStream, interval: int
) -> Iterable[RuleFinding]:
    sent = _sent(tables, stream.talker, host_frame(wiring, stream, interval), HOST_PORT)
    wanted = {wiring.openflow_port[path.ports[0]]: path for path in stream.paths}
    yield from _faults(wiring, stream, stream.talker, sent, set(wanted))
    for number, path in wanted.items():
        for port, frame in sent.copies:
            if port == number:
                yield from _tag_faults(stream, path, 0, interval, (stream.talker, frame, sent))
                yield from _along(wiring, tables, stream, path, interval, frame)
                break


def _along(
    wiring: Wiring,
    tables: Mapping[str, Tables],
    stream: SwitchedStream,
    path: LabelledPath,
    interval: int,
    frame: FrameHeaders,
) -> Iterable[RuleFinding]:
    """Follow a frame that has left the talker's switch to the listener's host."""
    ports = [wiring.topology.port_by_name[name] for name in path.ports]
    for hop, port in enumerate(ports):
        node = port.target
        last = hop == len(ports) - 1
        number = HOST_PORT if last else wiring.openflow_port[path.ports[hop + 1]]
        frame = _planned(frame, stream.tag(path, hop, interval))
        sent = _sent(tables, node, frame, wiring.in_port(port))
        yield from _faults(wiring, stream, node, sent, {number})
        copy = next((one for at, one in sent.copies if at == number), None)
        if copy is None:
            return
        if last:
            if copy.labels or copy.tags or copy.ether_type != IPV4:
                message = f"the host gets the frame as it was on the wire ({copy})"
                yield RuleFinding(stream.name, node, _culprit(sent), message)
            return
        yield from _tag_faults(stream, path, hop + 1, interval, (node, copy, sent))
        frame = copy


def _sent(tables: Mapping[str, Tables], node: str, frame: FrameHeaders, in_port: int) -> Sent:
    return tables[node].send(frame, in_port) if node in tables else Sent((), (), ())


def _planned(frame: FrameHeaders, tag: int | None) -> FrameHeaders:
    """Return the frame with the cycle tag that the plan wants."""
    if tag is None or not frame.labels:
        return frame
    top, *rest = frame.labels
    return frame._replace(labels=(Label(top.label, tag + 1, top.ttl), *rest))


def _faults(
    wiring: Wiring, stream: SwitchedStream, node: str, sent: Sent, wanted: set[int]
) -> Iterable[RuleFinding]:
    """Say where a switch sends the frame otherwise than to the wanted ports, once each."""
    culprit = _culprit(sent)
    for words in sent.unknown:
        yield RuleFinding(stream.name, node, culprit, f"the rules alone do not decide: {words}")
    count: dict[int, int] = {}
    for port, _ in sent.copies:
        count[port] = count.get(port, 0) + 1
    for port in sorted(wanted - count.keys()):
        name = _name(wiring, node, port)
        yield RuleFinding(stream.name, node, culprit, f"the frame is not sent to {name}")
    for port, times in sorted(count.items()):
        name = _name(wiring, node, port)
        if port not in wanted:
            message = f"the frame is sent to {name}, which is not on its path"
            yield RuleFinding(stream.name, node, culprit, message)
        elif times > 1:
            yield RuleFinding(
                stream.name, node, culprit, f"the frame is sent to {name} {times} times"
            )


def _tag_faults(
    stream: SwitchedStream,
    path: LabelledPath,
    hop: int,
    interval: int,
    at: tuple[str, FrameHeaders, Sent],
) -> Iterable[RuleFinding]:
    """Compare the cycle tag of a frame that leaves a switch with the plan's."""
    node, frame, sent = at
    tag = stream.tag(path, hop, interval)
    found = frame.labels[0].traffic_class - 1 if frame.labels else None
    if tag is None or found == tag:
        return
    shown = "no cycle tag" if found is None or found < 0 else f"the tag of cycle {found}"
    message = f"the frame leaves by {path.ports[hop]} with {shown}, the plan says cycle {tag}"
    yield RuleFinding(stream.name, node, _culprit(sent), message)


def _culprit(sent: Sent) -> Rule | None:
    return sent.rules[-1] if sent.rules else None


def _name(wiring: Wiring, node: str, port: int) -> str:
    if port == HOST_PORT:
        return f"the host of {node}"
    found = wiring.port_at.get((node, port))
    return f"port {port}, which has no wire" if found is None else found.name
