"""Which wires of a way a stream may use, and which are the best."""

from __future__ import annotations

from qnet.kernel import bare_kernel, inline_kernel
from qnet.schedule.cycles.kernels.tables import Candidates, FreeBytes, Scratch, StreamRequest
from qnet.schedule.kernels import UNSEEN


@inline_kernel
def last_bit_ps(frame_bytes: int, rate_bps: int) -> int:
    """Return the time from a frame's begin to its last bit, rounded up; the gap comes after it."""
    return ((frame_bytes + 8) * 8_000_000_000_000 + rate_bps - 1) // rate_bps


@inline_kernel
def may_use(grid: FreeBytes, ways: Candidates, want: StreamRequest, hop: int, item: int) -> bool:
    """Say whether a wire is up, fits the cycle buffers and the stream's limit of variation."""
    port = ways.port[item]
    return (
        grid.up[port] == 1
        and (
            ways.slack_ps[hop] >= 0
            or ways.slack_ps[hop] + last_bit_ps(want.frame_bytes, grid.rate_bps[port]) >= 0
        )
        and (
            want.variation_ps_most == UNSEEN
            or ways.skew_ps[hop] < 0
            or ways.skew_ps[hop]
            + ways.window_ps[hop]
            - last_bit_ps(want.frame_bytes, grid.rate_bps[port])
            <= want.variation_ps_most
        )
    )


@bare_kernel
def wait_behind(grid: FreeBytes, ways: Candidates, want: StreamRequest, hop: int) -> int:
    """Return for how many extra cycles the buffers behind a hop hold frames, by whichever wire.

    That is UNSEEN where the stream may use none.
    """
    most = UNSEEN
    for item in range(ways.wire[hop], ways.wire[hop + 1]):
        if may_use(grid, ways, want, hop, item):
            sent = last_bit_ps(want.frame_bytes, grid.rate_bps[ways.port[item]])
            most = min(most, (ways.slack_ps[hop] + sent) // ways.cycle_ps)
    return most


@bare_kernel
def emptiest_wires(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, scratch: Scratch
) -> int:
    """Choose at each hop the usable wire with most left; return what all have left, or -1."""
    total = 0
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        place = hop - ways.hop[way]
        most = -1
        for item in range(ways.wire[hop], ways.wire[hop + 1]):
            spare = grid.spare[ways.port[item]]
            if spare > most and may_use(grid, ways, want, hop, item):
                most = spare
                scratch.ports[place] = ways.port[item]
                scratch.wires[place] = item - ways.wire[hop]
        if most < 0:
            return -1
        scratch.waits[place] = 0
        total += most
    return total


@bare_kernel
def best_wires(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, phase: int, scratch: Scratch
) -> int:
    """Choose at each hop the wire with the most room in a phase; return the hop with the least.

    Frames wait as `scratch.waits` says. Of equal wires the first is chosen, of equal hops the
    earliest.
    """
    length = grid.free.shape[1]
    period, need = want.period, want.need
    binding = 0
    lowest = UNSEEN
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        place = hop - ways.hop[way]
        start = phase + ways.shift[hop] + scratch.waits[place]
        most = -UNSEEN
        for item in range(ways.wire[hop], ways.wire[hop + 1]):
            if may_use(grid, ways, want, hop, item):
                port = ways.port[item]
                left = UNSEEN
                for turn in range(length // period):
                    left = min(left, grid.free[port, (start + turn * period) % length])
                room = (left - need) * grid.weight[port]
                if room > most:
                    most = room
                    scratch.ports[place] = port
                    scratch.wires[place] = item - ways.wire[hop]
        if most < lowest:
            lowest = most
            binding = place
    return binding
