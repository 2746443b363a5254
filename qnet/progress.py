"""What long work says of itself while it is at it, and how it is asked to end.

    class Watch(qnet.Quiet):
        def cancelled(self) -> bool:
            return time.monotonic() > self.until

    qnet.run("qingyang", progress=Watch())

Planner, checker, simulator and emulator all take a `Progress`. Each asks it several times a second
whether anybody wants the rest, and raises `Cancelled` when nobody does. What one call to a library
or to a compiler does is not interrupted: one linear programme, or kernels that are compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from qnet.errors import Cancelled

Item = TypeVar("Item")

ITEMS_PER_STEP = 50
"""Of what takes up to a few milliseconds each."""


class Progress(Protocol):
    """Is told how far work has come."""

    def stage(self, title: str) -> None:
        """Hear that a stage begins: 'plan: reserve', 'prove', 'simulate', 'judge' ..."""

    def step(self, done: int, total: int) -> None:
        """Hear how much of the stage is done, and of how much; 0 of 0 where nobody knows."""

    def cancelled(self) -> bool:
        """Say whether the work is to end."""


class Quiet:
    """A progress that says nothing and lets work come to its end; to be derived from."""

    def stage(self, title: str) -> None:
        """Hear that a stage begins."""

    def step(self, done: int, total: int) -> None:
        """Hear how much of the stage is done."""

    def cancelled(self) -> bool:
        """Say whether the work is to end."""
        return False


class Heeded:
    """What a room tells its progress through: raises Cancelled once that wants no more.

    None is told nothing. A `stage` begins at once.
    """

    def __init__(self, progress: Progress | None, stage: str = "") -> None:
        self._progress = Quiet() if progress is None else progress
        self._title = ""
        if stage:
            self.stage(stage)

    def stage(self, title: str) -> None:
        """Tell that a stage begins."""
        self._title = title
        self._progress.stage(title)
        self.look()

    def step(self, done: int, total: int) -> None:
        """Tell how much of the stage is done."""
        self._progress.step(done, total)
        self.look()

    def cancelled(self) -> bool:
        """Say whether the work is to end."""
        return self._progress.cancelled()

    def each(self, items: Sequence[Item]) -> Iterator[Item]:
        """Yield the items, and tell now and then how many of them are done."""
        for done, item in enumerate(items):
            if done % ITEMS_PER_STEP == 0:
                self.step(done, len(items))
            yield item
        self.step(len(items), len(items))

    def wanted(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, as long as the work is not to end."""
        for item in items:
            self.look()
            yield item

    def look(self) -> None:
        """Raise Cancelled when the work is to end."""
        if self._progress.cancelled():
            raise Cancelled(self._title)
