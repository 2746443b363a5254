"""Frames of several pairs of hosts at an even distance, while wires go down and up: what came when.

It asks how a controller reacts, so all times are those of the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from qnet.emulate.frames.trips import Delivery, Follower

LEAD_S = 0.2
"""Frames go out so long before anything is changed."""

LATE_S = 0.5
"""What has not come so long after the last frame was sent is lost."""


class PacedPair(NamedTuple):
    """From whom to whom, and the frame."""

    source: str
    target: str
    data: bytes


class SentFrame(NamedTuple):
    """One frame: when it was sent and when it came, from when wires began to change; by which way.

    What did not come has no time and no way.
    """

    sent_s: float
    came_s: float | None
    path: tuple[str, ...]


class ChangeSeen(NamedTuple):
    """What became of all frames around one change."""

    took_s: float
    """Until switches had seen all wires change."""
    pairs: tuple[tuple[SentFrame, ...], ...]
    """By pair, in the order of sending; those before the change have negative times."""


class Pace(NamedTuple):
    """How frames are sent, and for how long."""

    gap_s: float
    steady_s: float
    """It is over when all pairs, or those that can, have had every frame for so long."""
    most_s: float
    """It is over after so long whatever comes."""


def stream_through(
    follower: Follower,
    pairs: Sequence[PacedPair],
    hopeless: Sequence[bool],
    change: Callable[[], None],
    pace: Pace,
) -> ChangeSeen:
    """Send frames, change wires meanwhile, and return what came when.

    Pairs that are `hopeless` have no way left: nobody waits for their frames.
    """
    run = _Run(follower, pairs)
    with ThreadPoolExecutor(1) as thread:
        begin = time.monotonic() + LEAD_S
        while time.monotonic() < begin:
            run.step(pace.gap_s)
        changing = thread.submit(_timed, change)
        while time.monotonic() < begin + pace.most_s:
            run.step(pace.gap_s)
            if changing.done() and run.is_steady(changing, hopeless, pace.steady_s):
                break
        begun, done = changing.result()
    give_up = time.monotonic() + LATE_S
    while run.waiting and time.monotonic() < give_up:
        run.look(0.01)
    return ChangeSeen(done - begun, run.told(begun))


def _timed(change: Callable[[], None]) -> tuple[float, float]:
    begun = time.monotonic()
    change()
    return begun, time.monotonic()


class _Run:
    """Frames so far."""

    def __init__(self, follower: Follower, pairs: Sequence[PacedPair]) -> None:
        self.follower, self.pairs = follower, pairs
        self.sent: list[list[float]] = [[] for _ in pairs]
        self.came: list[dict[int, tuple[float, tuple[str, ...]]]] = [{} for _ in pairs]
        self.waiting: dict[tuple[int, int], Sequence[Delivery]] = {}
        self._next_at = time.monotonic()

    def step(self, gap_s: float) -> None:
        """Send a frame of each pair if it is time, and look for what has come until it is again."""
        now = time.monotonic()
        if now >= self._next_at:
            for place, one in enumerate(self.pairs):
                deliveries = self.follower.send_paced(one.source, one.data).deliveries
                self.waiting[place, len(self.sent[place])] = deliveries
                self.sent[place].append(time.monotonic())
            self._next_at = now + gap_s
        self.look(max(self._next_at - time.monotonic(), 0))

    def look(self, seconds: float) -> None:
        """Wait so long for what comes out, and note what has come to its host."""
        self.follower.look(seconds)
        now = time.monotonic()
        for (place, number), deliveries in list(self.waiting.items()):
            target = self.pairs[place].target
            got = [one for one in deliveries if one.host == target and one.path]
            if got:
                self.came[place][number] = now, got[0].path
            if got or now - self.sent[place][number] > LATE_S:
                del self.waiting[place, number]

    def is_steady(
        self, changing: Future[tuple[float, float]], hopeless: Sequence[bool], steady_s: float
    ) -> bool:
        """Tell whether all that can come has come, without a gap, for a while."""
        now = time.monotonic()
        since = max(now - steady_s, 0.0)
        if changing.result()[1] > since:
            return False
        for place in range(len(self.pairs)):
            if not hopeless[place]:
                times = self.sent[place]
                recent = [n for n, at in enumerate(times) if since <= at <= now - steady_s / 4]
                if not recent or any(number not in self.came[place] for number in recent):
                    return False
        return True

    def told(self, begun: float) -> tuple[tuple[SentFrame, ...], ...]:
        """Return what became of every frame."""
        made = []
        for times, came in zip(self.sent, self.came, strict=True):
            rows = []
            for number, at in enumerate(times):
                came_at, path = came.get(number, (None, ()))
                rows.append(
                    SentFrame(at - begun, None if came_at is None else came_at - begun, path)
                )
            made.append(tuple(rows))
        return tuple(made)
