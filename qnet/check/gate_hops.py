"""What the judge of gates knows about the ways of frames, worked out frame by frame.

A frame of B bytes, preamble and gap included, holds a line of R bit/s for 8 B / R, in picoseconds
rounded up; frame i of some back to back has its first bit out i such times after the first frame's.
Its last bit is out with its preamble (8 bytes at most) and its own bytes, rounded up: the gap comes
after it. Devices count in steps, and what lasts a part of a step takes the whole of it: the frames
of a period together, a window, a way from port to port. Nothing here is taken from what schedulers
work with: positions are written down and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qnet.model.gates import ENTRY_BYTES, GatePort, GateProblem, GateStream

PS_BITS_PER_BYTE = 8 * 10**12
"""A number of bytes times this, divided by bit/s, is picoseconds."""


class GatedHop(NamedTuple):
    """What holds for every period of a stream at one port of its way, in picoseconds.

    `way_least` and `way_most` pass from the first bit out of the port before to its being in the
    queue here at the earliest, and between the first bits out of both ports when nothing waits.
    `rounding` is what a start may be later than that and still count as not waiting.
    """

    port: GatePort
    window: int
    last_bit: int
    way_least: int
    way_most: int
    rounding: int


def hops_of(
    problem: GateProblem, stream: GateStream, route: Sequence[GatePort], behind: Sequence[int]
) -> list[GatedHop]:
    """Go along a route, or a tree, with the frames of one period.

    `behind[h]` is the place of the port that frames come by to port h, -1 at the talker.

    1000 B and 20 B more at 1 Gb/s hold the line for 8.16 us and are out after 8.064 us; with 1 us
    of wire and 2 us of processing they leave the next port 11.064 us after they left this one, or
    later.
    """
    hops: list[GatedHop] = []
    for port, place in zip(route, behind, strict=True):
        near = None if place < 0 else route[place]
        line = _one_frame(problem.overhead_bytes + stream.frame_bytes, port)
        sent = _positions(problem, stream, port)
        least = most = 0
        if near is not None:
            way = whole_steps(problem, near.propagation_ps + port.processing_ps)
            spread = near.propagation_spread_ps + port.processing_spread_ps
            least = way - whole_steps(problem, spread)
            # No frame may leave before all of it is there. From frame to frame that changes by the
            # same time, so none between the first and the last is behind by more than both.
            before = _positions(problem, stream, near)
            lag = max(there - here for (_, there), (here, _) in zip(before, sent, strict=True))
            most = whole_steps(problem, lag) + way
        hops.append(
            GatedHop(
                port=port,
                window=whole_steps(problem, sent[-1][0] + line + port.margin_ps),
                last_bit=whole_steps(problem, sent[-1][1]),
                way_least=least,
                way_most=most,
                # Planners may round the first and the last of some frames, each to a whole step.
                rounding=problem.step_ps if stream.packets > 1 else 0,
            )
        )
    return hops


def guard_of(problem: GateProblem, port: GatePort) -> int:
    """Return how long before a window a frame of `guard_bytes` must not begin any more."""
    longest = problem.guard_bytes
    if longest is not None:
        longest = longest if port.guard_bytes is None else port.guard_bytes
    if not longest:
        return 0
    return whole_steps(problem, _one_frame(problem.overhead_bytes + longest, port))


def shortest_of(problem: GateProblem, port: GatePort) -> int:
    """Return how long 60 bytes are on the line, the shortest entry that bridges surely take."""
    bits = 8 * 10**12 * ENTRY_BYTES
    return whole_steps(problem, (bits + port.rate_bps - 1) // port.rate_bps)


def whole_steps(problem: GateProblem, time: int) -> int:
    """Return the least number of picoseconds from `time` on that is a whole number of steps."""
    over = time % problem.step_ps
    return time - over + problem.step_ps if over else time


def _positions(problem: GateProblem, stream: GateStream, port: GatePort) -> list[tuple[int, int]]:
    """Return first and last bit of the first and the last frame of a period on the line.

    They count from the begin of the first. What overhead there is beyond a preamble of 8 bytes
    follows the last bit.
    """
    line = _one_frame(problem.overhead_bytes + stream.frame_bytes, port)
    out = _one_frame(min(problem.overhead_bytes, 8) + stream.frame_bytes, port)
    return [(number * line, number * line + out) for number in (0, stream.packets - 1)]


def _one_frame(all_bytes: int, port: GatePort) -> int:
    bits, rest = divmod(all_bytes * PS_BITS_PER_BYTE, port.rate_bps)
    return bits + 1 if rest else bits
