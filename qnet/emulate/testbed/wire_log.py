"""Frames of a testbed's hosts as switches took them in, as a capture for Wireshark and tshark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qnet import __version__
from qnet.emulate.frames.trips import TRAILER_BYTES
from qnet.files.write import write_bytes
from qnet.formats import pcapng

if TYPE_CHECKING:
    from qnet.emulate.testbed.testbed import Testbed


class WireLog(NamedTuple):
    """Frames at ports of switches, in the order in which they came in."""

    ports: tuple[str, ...]
    """In the words of captures of switches: a->b for what leaves a, a:2 for a switch's port."""
    packets: tuple[pcapng.Packet, ...]

    def write(self, path: Path) -> None:
        """Write it as pcapng; times are the wall clock's, as in the capture of the channel."""
        interfaces = [pcapng.Interface(name, 0) for name in self.ports]
        comment = "each frame as it came into a switch; wires carry frames at once"
        application = f"qnet {__version__}"
        blocks = pcapng.capture(application, interfaces, self.packets, comment=comment, digits=9)
        write_bytes(path, blocks)


def wire_log(testbed: Testbed) -> WireLog:
    """Return what is known of the last frames that were followed."""
    found = sorted(_came_in(testbed))
    places = list(dict.fromkeys(place for _, place, _, _ in sorted(found, key=lambda one: one[1])))
    number = {place: at for at, place in enumerate(places)}
    packets = tuple(
        pcapng.Packet(
            number[place], testbed.channel.wall_ps(time_s), data, len(data), comment, pcapng.INBOUND
        )
        for time_s, place, comment, data in found
    )
    return WireLog(tuple(f"{node}:{port}" for node, port in places), packets)


def _came_in(testbed: Testbed) -> Iterator[tuple[float, tuple[str, int], str, bytes]]:
    for number in range(1, testbed.frames + 1):
        for one in testbed.passages(number):
            data = one.data[:-TRAILER_BYTES]
            yield one.time_s, (one.node, one.port), f"frame {number}", data
