"""What becomes of frames that are sent over two paths: received, lost, or under way.

A frame is received when one of its copies is, and lost when all are lost or discarded. The kernels
note the fate of every copy in a ring of its path (`follow`, `end_following`); here
the rings are made long enough for what will be born before they are looked at again, and frames
of which all copies have come to an end are taken out of them and counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import zeros
from qnet.simulate.clocks.events import is_set_otherwise, reached_ps
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.world import (
    FOLLOWED,
    NODE_DOWN,
    PASSED_ON,
    FateRing,
    SourceLaw,
    SourceState,
    World,
)

Ints = NDArray[np.int64]

LEAST_ROOM, MOST_ROOM = 64, 1 << 14
"""Copies for which a ring has room to begin with: those of the whole run, within these bounds."""

# Columns of `Tally.settled`. A set of fates is a number with a bit for each, 0 for a frame that was
# received.
STREAM, FATES, FRAMES = 0, 1, 2

_NEVER_SENT = -1 - 63
"""In place of the fate of a copy that its path never has: born in none of its turns."""


class Fates(NamedTuple):
    """Frames of one stream: sent, received, and lost by the fates of their copies."""

    sent: int
    received: int
    lost: Mapping[tuple[int, ...], int]


class Followed:
    """The streams that have two paths, and the numbers of their copies."""

    def __init__(self, found: Sequence[FrameSource]) -> None:
        by_name: dict[str, list[int]] = defaultdict(list)
        for number, owner in enumerate(found):
            if owner.has_copies:
                by_name[owner.name].append(number)
        self.found = found
        self.streams = list(by_name.values())
        self.members = np.array([one for pair in self.streams for one in pair], dtype=np.int64)
        self.stream_of = np.repeat(
            np.arange(len(self.streams)), [len(pair) for pair in self.streams]
        )
        laws = [found[number].law for number in self.members]
        self.gap = np.array([law.gap for law in laws], dtype=np.int64)
        self.in_gap = np.array(
            [law.packets * max(len(law.timetable), 1) for law in laws], dtype=np.int64
        )
        self.first: dict[int, int] = {
            pair[0]: min((turn.number for one in pair for turn in found[one].turns), default=0)
            for pair in self.streams
        }
        """Number of the first frame of each stream, by its first source."""
        self.ahead = np.zeros(self.members.size, dtype=np.int64)
        """How much sooner than in time what a clock shows may be there, where events set it."""

    def begin(self, world: World) -> World:
        """Mark the sources of these streams, and lay out the rings."""
        if not self.streams:
            return world
        clocks = world.network.clocks
        for row, number in enumerate(self.members.tolist()):
            node = int(world.network.clock[self.found[number].ports[0].number])
            if is_set_otherwise(clocks, node):
                least, most = reached_ps(clocks, node)
                self.ahead[row] = most - least
        # A port that sends frames on in the order in which they come looks at no numbers.
        only_rank = world.network.only_rank.copy()
        for pair in self.streams:
            for number in pair:
                world.sources.law[number, SourceLaw.START] |= FOLLOWED >> 16
                turns = self.found[number].turns
                first = turns[0].number if turns and turns[0].from_ps == 0 else self.first[pair[0]]
                world.sources.state[number, SourceState.NEXT_NUMBER] = first
                world.tally.followed[number, FateRing.LOW] = self.first[pair[0]]
                only_rank[list(self.found[number].servers)] = 0
        room = np.minimum(self._born_in(world.network.end), MOST_ROOM)
        tally = world.tally._replace(settled=np.zeros((0, 3), dtype=np.int64))
        network = world.network._replace(only_rank=only_rank)
        return self._lay_out(world._replace(network=network, tally=tally), room)

    def make_room(self, world: World, span_ps: int) -> World:
        """Make room for all copies that are born within so long a time."""
        if not self.streams:
            return world
        lacking = self._lacking(world, span_ps)
        if not lacking.any():
            return world
        settled = [world.tally.settled]
        for stream in np.unique(self.stream_of[lacking]).tolist():
            done, count = self._settle(world, stream)
            settled += [np.array([[stream, *one]]) for one in count.items()]
            world.tally.followed[self.streams[stream], FateRing.LOW] += done
        world = world._replace(tally=world.tally._replace(settled=_summed(settled)))
        if not self._lacking(world, span_ps).any():
            return world
        return self._lay_out(world, self._needed(world, span_ps))

    def fates(self, world: World) -> Iterator[tuple[str, Fates]]:
        """Yield what became of the frames of each stream."""
        settled: dict[int, Counter[int]] = defaultdict(Counter)
        for stream, fates, frames in world.tally.settled.tolist():
            settled[stream][fates] += frames
        for stream, pair in enumerate(self.streams):
            _, count = self._settle(world, stream, whole=True)
            count += settled[stream]
            ranges = [
                range(turn.number, min(turn.over, born))
                for one in pair
                for born in [int(world.sources.state[one, SourceState.NEXT_NUMBER])]
                for turn in self.found[one].turns
                if turn.number < born
            ]
            lost = {
                tuple(fate for fate in range(NODE_DOWN + 1) if fates >> fate & 1): frames
                for fates, frames in sorted(count.items())
                if fates
            }
            yield self.found[pair[0]].name, Fates(_union(ranges), count[0], lost)

    def _sends(self, number: int, numbers: Ints) -> NDArray[np.bool_]:
        """Tell of which numbers a path sends a copy, by when its turns are."""
        sends = np.zeros(numbers.size, dtype=np.bool_)
        for turn in self.found[number].turns:
            sends |= (numbers >= turn.number) & (numbers < turn.over)
        return sends

    def _born_in(self, span_ps: int) -> Ints:
        """Return the most copies of each path that are born in a time; clocks may be wrong."""
        return np.asarray(self.in_gap * ((span_ps + self.ahead) // self.gap + 2))

    def _needed(self, world: World, span_ps: int) -> Ints:
        held = world.sources.state[self.members, SourceState.NEXT_NUMBER]
        held = held - world.tally.followed[self.members, FateRing.LOW]
        return np.asarray(held + self._born_in(span_ps))

    def _lacking(self, world: World, span_ps: int) -> NDArray[np.bool_]:
        room = world.tally.followed[self.members, FateRing.MASK] + 1
        return np.asarray(self._needed(world, span_ps) > room)

    def _lay_out(self, world: World, room: Ints) -> World:
        """Return the world with rings that have at least so much room."""
        followed, old = world.tally.followed, world.tally.fates
        before = followed[self.members].copy()
        sizes = np.maximum(before[:, FateRing.MASK] + 1, LEAST_ROOM)
        small = sizes < room
        sizes[small] = [1 << int(one - 1).bit_length() for one in room[small]]
        base = np.cumsum(sizes) - sizes
        fates = zeros((int(sizes.sum()),))
        for row, number in enumerate(self.members.tolist()):
            low = int(before[row, FateRing.LOW])
            held = np.arange(low, world.sources.state[number, SourceState.NEXT_NUMBER])
            place = before[row, FateRing.BASE] + (held & before[row, FateRing.MASK])
            fates[base[row] + (held & (sizes[row] - 1))] = old[place]
            followed[number, [FateRing.BASE, FateRing.MASK]] = base[row], sizes[row] - 1
        return world._replace(tally=world.tally._replace(fates=fates))

    def _settle(
        self, world: World, stream: int, *, whole: bool = False
    ) -> tuple[int, Counter[int]]:
        """Count the frames of which all copies have come to an end, by the set of their fates.

        Only those are counted that no other frame before them keeps in the ring, and how many
        these are is returned too; with `whole`, all are that were received or lost.
        """
        pair, tally = self.streams[stream], world.tally
        low = int(tally.followed[pair[0], FateRing.LOW])
        born = world.sources.state[pair, SourceState.NEXT_NUMBER]
        numbers = np.arange(low, born.max())
        ended = np.ones(numbers.size, dtype=np.bool_)
        received = np.zeros(numbers.size, dtype=np.bool_)
        fates = np.zeros(numbers.size, dtype=np.int64)
        for number, end in zip(pair, born.tolist(), strict=True):
            base, mask = tally.followed[number, [FateRing.BASE, FateRing.MASK]]
            found = tally.fates[base + (numbers & mask)]
            found[numbers >= end] = 0
            found[~self._sends(number, numbers)] = _NEVER_SENT
            ended &= found < 0
            received |= found == -1 - PASSED_ON
            known = (found < 0) & (found != _NEVER_SENT)
            fates[known] |= 1 << (-1 - found[known])
        done = int(numbers.size if ended.all() else np.argmin(ended))
        counted = ended | received if whole else np.arange(numbers.size) < done
        fates[received] = 0
        values, frames = np.unique(fates[counted], return_counts=True)
        return done, Counter(dict(zip(values.tolist(), frames.tolist(), strict=True)))


def _summed(rows: Sequence[Ints]) -> Ints:
    """Add up the frames of rows with the same stream and fates."""
    every = np.concatenate(rows)
    keys, which = np.unique(every[:, :FRAMES], axis=0, return_inverse=True)
    frames = np.bincount(which.ravel(), every[:, FRAMES], len(keys)).astype(np.int64)
    return np.column_stack((keys, frames))


def _union(ranges: Sequence[range]) -> int:
    """Return how many numbers lie in any of the ranges."""
    total, reached = 0, min((one.start for one in ranges), default=0)
    for one in sorted(ranges, key=lambda one: one.start):
        total += max(one.stop - max(one.start, reached), 0)
        reached = max(reached, one.stop)
    return total
