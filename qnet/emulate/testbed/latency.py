"""What a frame's way takes on the network's own clock, where nothing else is sent.

A testbed carries frames at once. How long the wires and switches of the topology would have had a
frame for follows from its way: its bytes at each port's rate, propagation, and processing of the
nodes between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from qnet.emulate.frames.trips import TRAILER_BYTES, Traversal
from qnet.emulate.rules.wiring import Wiring
from qnet.model.fields import FRAME_BYTES_LOWEST
from qnet.model.topology import Port
from qnet.units import PREAMBLE_BYTES, PS_PER_S, TIME, ceil_div, parse, show_time

CHECK_SEQUENCE_BYTES = 4


class WayLatency(NamedTuple):
    """From the first bit into the first wire to the last bit out of the last one, in picoseconds.

    Least and most, by the least and most that nodes between take to process a frame. A node that
    cuts through is taken to store it. The talker's own node and the listener's are not counted, as
    in plan and simulation.
    """

    path: tuple[str, ...]
    least_ps: int
    most_ps: int

    @property
    def variation_ps(self) -> int:
        """What lies between the two."""
        return self.most_ps - self.least_ps

    def at_most(self, time: str) -> bool:
        """Tell whether it is never more than a time, as in '30us'."""
        return self.most_ps <= parse(TIME, time)

    def __str__(self) -> str:
        """Say it as a reader wants it."""
        times = " to ".join(dict.fromkeys(map(show_time, self[1:])))
        return f"{times} by {', '.join(self.path)}"


def way_latencies(
    wiring: Wiring, passages: Sequence[Traversal], host: str
) -> tuple[WayLatency, ...]:
    """Return the latency of each copy that a host got, in the order in which they came."""
    came = [
        (out.time_s, place)
        for place, one in enumerate(passages)
        for out in one.exits
        if out.end == "host" and out.node == host
    ]
    return tuple(_latency(wiring, _way(passages, place)) for _, place in sorted(came))


def _way(passages: Sequence[Traversal], place: int) -> list[Traversal]:
    found = []
    while place >= 0:
        found.append(passages[place])
        place = passages[place].before
    return found[::-1]


def _latency(wiring: Wiring, way: Sequence[Traversal]) -> WayLatency:
    least_ps = most_ps = 0
    for number, (port, frame) in enumerate(_wires(wiring, way)):
        bits = 8 * (PREAMBLE_BYTES + frame)
        taken_ps = ceil_div(bits * PS_PER_S, port.rate_bps) + port.propagation_ps
        least_ps, most_ps = least_ps + taken_ps, most_ps + taken_ps
        if number:
            shortest_ps, longest_ps = wiring.topology.node_by_name[port.source].processing
            least_ps, most_ps = least_ps + shortest_ps, most_ps + longest_ps
    return WayLatency(tuple(one.node for one in way), least_ps, most_ps)


def _wires(wiring: Wiring, way: Sequence[Traversal]) -> Iterator[tuple[Port, int]]:
    """Yield the port of each wire on a way, and the bytes of the frame on it."""
    for before, after in pairwise(way):
        sent_by = [wiring.port_at.get((one.node, one.port)) for one in before.exits]
        port = next(one for one in sent_by if one is not None and _leads(wiring, one, after))
        there = len(after.data) - TRAILER_BYTES + CHECK_SEQUENCE_BYTES
        yield port, max(there, FRAME_BYTES_LOWEST)


def _leads(wiring: Wiring, port: Port, after: Traversal) -> bool:
    return (port.target, wiring.in_port(port)) == (after.node, after.port)
