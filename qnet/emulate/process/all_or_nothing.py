"""What is held open for a while: switches, controllers, whole networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class AllOrNothing(ABC):
    """A context manager that is there whole or not at all: a start that fails is closed again."""

    @abstractmethod
    def _start(self) -> None:
        """Begin all of it; what has begun when this raises is for `close`."""

    @abstractmethod
    def close(self) -> None:
        """End all of it; may be called at any time, and again."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
