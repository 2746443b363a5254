"""The headers of a frame: read from bytes, seen as match fields, rewritten by actions.

Standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from qnet.emulate.openflow.nouns import ARP, IPV4, IPV6, MPLS, VLAN, VLAN_SERVICE, Action, show_mac

VLAN_PRESENT = 0x1000
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58


class Label(NamedTuple):
    """One entry of an MPLS label stack (RFC 3032 clause 2.1)."""

    label: int
    traffic_class: int
    ttl: int


class Tag(NamedTuple):
    """One VLAN tag (IEEE 802.1Q clause 9)."""

    ether_type: int
    identifier: int
    priority: int


class FrameHeaders(NamedTuple):
    """The headers of a frame, outermost first.

    `ether_type` is that of the payload below tags and labels. `inner` holds the fields of the
    payload by their OXM names; they cannot be matched while there is a label.
    """

    eth_dst: int
    eth_src: int
    ether_type: int
    tags: tuple[Tag, ...] = ()
    labels: tuple[Label, ...] = ()
    inner: tuple[tuple[str, int], ...] = ()

    def fields(self) -> dict[str, int]:
        """Return the value of each OXM field that a switch sees."""
        seen = {"eth_dst": self.eth_dst, "eth_src": self.eth_src, "vlan_vid": 0}
        if self.tags:
            seen["vlan_vid"] = self.tags[0].identifier | VLAN_PRESENT
            seen["vlan_pcp"] = self.tags[0].priority
        if self.labels:
            top = self.labels[0]
            seen["eth_type"] = MPLS
            seen["mpls_label"] = top.label
            seen["mpls_tc"] = top.traffic_class
            seen["mpls_bos"] = int(len(self.labels) == 1)
        elif len(self.tags) > 1:
            seen["eth_type"] = self.tags[1].ether_type
        else:
            seen["eth_type"] = self.ether_type
            seen.update(self.inner)
        return seen

    def __str__(self) -> str:
        words = [f"to {show_mac(self.eth_dst)}"]
        words += [f"VLAN {tag.identifier} priority {tag.priority}" for tag in self.tags]
        words += [f"label {one.label} TC {one.traffic_class}" for one in self.labels]
        return ", ".join([*words, f"type 0x{self.ether_type:04x}"])


def rewrite(frame: FrameHeaders, action: Action) -> FrameHeaders | str:
    """Apply an action that changes the frame; a text says why it cannot be known."""
    changes: Mapping[str, Callable[[FrameHeaders, Action], FrameHeaders | str]] = {
        "push_mpls": _push_mpls,
        "pop_mpls": _pop_mpls,
        "push_vlan": _push_vlan,
        "pop_vlan": _pop_vlan,
        "set_field": _set_field,
        "set_queue": lambda frame, _: frame,
    }
    change = changes.get(action.kind)
    return f"does '{action.text or action.kind}'" if change is None else change(frame, action)


def _push_mpls(frame: FrameHeaders, _: Action) -> FrameHeaders:
    ttl = frame.labels[0].ttl if frame.labels else dict(frame.inner).get("ttl", 64)
    return frame._replace(labels=(Label(0, 0, ttl), *frame.labels))


def _pop_mpls(frame: FrameHeaders, action: Action) -> FrameHeaders | str:
    if not frame.labels:
        return "takes a label off where there is none"
    rest = frame.labels[1:]
    ether_type = frame.ether_type if rest else action.value
    inner = frame.inner if ether_type == frame.ether_type else ()
    return frame._replace(labels=rest, ether_type=ether_type, inner=inner)


def _push_vlan(frame: FrameHeaders, action: Action) -> FrameHeaders:
    old = frame.tags[0] if frame.tags else Tag(0, 0, 0)
    return frame._replace(tags=(old._replace(ether_type=action.value), *frame.tags))


def _pop_vlan(frame: FrameHeaders, _: Action) -> FrameHeaders | str:
    if not frame.tags:
        return "takes a VLAN tag off where there is none"
    return frame._replace(tags=frame.tags[1:])


def _set_field(frame: FrameHeaders, action: Action) -> FrameHeaders | str:
    name, value = action.text, action.value
    if name == "eth_dst":
        return frame._replace(eth_dst=value)
    if name == "eth_src":
        return frame._replace(eth_src=value)
    if name.startswith("mpls_") and frame.labels:
        top, *rest = frame.labels
        parts = {"mpls_label": 0, "mpls_tc": 1, "mpls_ttl": 2}
        if name in parts:
            values = [*top]
            values[parts[name]] = value
            return frame._replace(labels=(Label(*values), *rest))
    if name.startswith("vlan_") and frame.tags:
        tag = frame.tags[0]
        if name == "vlan_vid":
            tag = tag._replace(identifier=value & ~VLAN_PRESENT)
        else:
            tag = tag._replace(priority=value)
        return frame._replace(tags=(tag, *frame.tags[1:]))
    inner = dict(frame.inner)
    if name in inner and not frame.labels:
        return frame._replace(inner=tuple({**inner, name: value}.items()))
    return f"sets {name}, which the frame does not have"


def read_frame(data: bytes) -> FrameHeaders:
    """Read the headers of a frame. Raises ValueError when it ends inside one."""
    try:
        return _read_frame(data)
    except IndexError as error:
        raise ValueError("the frame ends inside its headers") from error


def _read_frame(data: bytes) -> FrameHeaders:
    eth_dst, eth_src = _number(data, 0, 6), _number(data, 6, 6)
    ether_type, at = _number(data, 12, 2), 14
    tags: list[Tag] = []
    while ether_type in (VLAN, VLAN_SERVICE):
        control = _number(data, at, 2)
        tags.append(Tag(ether_type, control & 0xFFF, control >> 13))
        ether_type, at = _number(data, at + 2, 2), at + 4
    labels: list[Label] = []
    if ether_type == MPLS:
        bottom = False
        while not bottom:
            entry = _number(data, at, 4)
            at += 4
            labels.append(Label(entry >> 12, entry >> 9 & 7, entry & 0xFF))
            bottom = bool(entry >> 8 & 1)
        version = data[at] >> 4 if at < len(data) else 0
        ether_type = {4: IPV4, 6: IPV6}.get(version, 0)
    reader = _READERS.get(ether_type)
    inner = {} if reader is None else reader(data, at)
    return FrameHeaders(
        eth_dst, eth_src, ether_type, tuple(tags), tuple(labels), tuple(inner.items())
    )


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + size], "big")


def _read_ipv4(data: bytes, at: int) -> dict[str, int]:
    protocol = _number(data, at + 9, 1)
    found = {
        "ip_dscp": _number(data, at + 1, 1) >> 2,
        "ip_ecn": _number(data, at + 1, 1) & 3,
        "ttl": _number(data, at + 8, 1),
        "ip_proto": protocol,
        "ipv4_src": _number(data, at + 12, 4),
        "ipv4_dst": _number(data, at + 16, 4),
    }
    return found | _read_ports(data, at + 4 * (data[at] & 0xF), protocol)


def _read_ipv6(data: bytes, at: int) -> dict[str, int]:
    head = _number(data, at, 4)
    protocol = _number(data, at + 6, 1)
    found = {
        "ip_dscp": head >> 22 & 0x3F,
        "ip_ecn": head >> 20 & 3,
        "ttl": _number(data, at + 7, 1),
        "ip_proto": protocol,
        "ipv6_src": _number(data, at + 8, 16),
        "ipv6_dst": _number(data, at + 24, 16),
    }
    more = _read_ports(data, at + 40, protocol)
    if more.get("icmpv6_type") in (135, 136):
        more["ipv6_nd_target"] = _number(data, at + 48, 16)
    return found | more


def _read_ports(data: bytes, at: int, protocol: int) -> dict[str, int]:
    if protocol in (TCP, UDP):
        name = "tcp" if protocol == TCP else "udp"
        return {f"{name}_src": _number(data, at, 2), f"{name}_dst": _number(data, at + 2, 2)}
    if protocol in (ICMP, ICMPV6):
        name = "icmpv4" if protocol == ICMP else "icmpv6"
        return {f"{name}_type": _number(data, at, 1), f"{name}_code": _number(data, at + 1, 1)}
    return {}


def _read_arp(data: bytes, at: int) -> dict[str, int]:
    return {
        "arp_op": _number(data, at + 6, 2),
        "arp_sha": _number(data, at + 8, 6),
        "arp_spa": _number(data, at + 14, 4),
        "arp_tha": _number(data, at + 18, 6),
        "arp_tpa": _number(data, at + 24, 4),
    }


_READERS: Mapping[int, Callable[[bytes, int], dict[str, int]]] = {
    IPV4: _read_ipv4,
    IPV6: _read_ipv6,
    ARP: _read_arp,
}


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
