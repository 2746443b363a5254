"""Switches that do with bytes what the model of the tables says: no Open vSwitch is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qnet.emulate.openflow.frame import FrameHeaders, read_frame
from qnet.emulate.openflow.nouns import MPLS, Switch
from qnet.emulate.openflow.table import Tables
from qnet.emulate.switches.dummy_switches import Entry, Out


class IdealSwitches:
    """`forward` as that of `qnet.emulate.switches.dummy_switches.Fabric`."""

    def __init__(self, switches: Iterable[Switch]) -> None:
        self.tables = {one.name: Tables(one) for one in switches}

    def forward(self, entries: Sequence[Entry]) -> list[list[Out]]:
        return [sorted(self._outs(one)) for one in entries]

    def _outs(self, entry: Entry) -> Iterable[Out]:
        frame = read_frame(entry.data)
        payload = entry.data[14 + 4 * len(frame.labels) :]
        for port, sent in self.tables[entry.node].send(frame, entry.port).copies:
            yield Out(port, _written(sent) + payload)


def _written(frame: FrameHeaders) -> bytes:
    """Write addresses, type and labels; the rest of a frame is not changed by our rules."""
    assert not frame.tags
    head = frame.eth_dst.to_bytes(6, "big") + frame.eth_src.to_bytes(6, "big")
    head += (MPLS if frame.labels else frame.ether_type).to_bytes(2, "big")
    for place, one in enumerate(frame.labels):
        bottom = place == len(frame.labels) - 1
        entry = one.label << 12 | one.traffic_class << 9 | bottom << 8 | one.ttl
        head += entry.to_bytes(4, "big")
    return head
