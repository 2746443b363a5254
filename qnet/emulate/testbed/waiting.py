"""Wait for what a network comes to, and say in words what was waited for when it does not."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import TypeVar

from qnet.emulate.testbed.expectations import Unexpected
from qnet.units import PS_PER_S, TIME, parse

LOOK_AGAIN_S = 0.1

WORDS_MOST = 400
"""Letters of a value that are shown."""

_T = TypeVar("_T")


def seconds(value: float | str) -> float:
    """Return a time such as '500ms' in seconds; a number is one of seconds.

    Raises UnitError, a ValueError, for a text without a unit of time.
    """
    return parse(TIME, value) / PS_PER_S if isinstance(value, str) else float(value)


def wait_until(
    condition: Callable[[], _T],
    within_s: float,
    what: str,
    wait: Callable[[float], None],
    stands: Callable[[], tuple[str, ...]],
) -> _T:
    """Return what a condition gives as soon as it holds; raise Unexpected when it does not in time.

    One that raises an AssertionError or a LookupError does not hold. Between two looks `wait` is
    called; `stands` says how things are in the end.
    """
    __tracebackhide__ = True
    begun = time.monotonic()
    while True:
        raised: AssertionError | LookupError | None = None
        value: _T | None = None
        try:
            value = condition()
        except (AssertionError, LookupError) as error:
            raised = error
        if raised is None and value:
            return value
        waited_s = time.monotonic() - begun
        if waited_s > within_s:
            words = f"its words: {raised}" if raised else f"it is {_short(repr(value))}"
            lines = [f"waited {waited_s:.1f} s for {what or _source(condition)}; {words}"]
            raise Unexpected("\n    ".join([*lines, *stands()])) from None
        wait(min(LOOK_AGAIN_S, max(within_s - waited_s, 0.001)))


class Stillness:
    """Whether a number has stayed what it is for a while."""

    def __init__(self, number: Callable[[], int], quiet_s: float) -> None:
        self._number, self._quiet_s = number, quiet_s
        self._seen: list[tuple[float, int]] = []

    def __call__(self) -> bool:
        """Look at it again."""
        now, number = time.monotonic(), self._number()
        if not self._seen or self._seen[-1][1] != number:
            self._seen.append((now, number))
        return now - self._seen[-1][0] >= self._quiet_s

    def __str__(self) -> str:
        last = [str(number) for _, number in self._seen[-8:]]
        ago_s = time.monotonic() - self._seen[-1][0]
        return f"entries of all tables went {', '.join(last)}; {last[-1]} since {ago_s:.1f} s ago"


def _short(words: str) -> str:
    return words if len(words) <= WORDS_MOST else words[:WORDS_MOST] + "..."


def _source(condition: Callable[[], object]) -> str:
    """Return a condition as its test has it, or its name."""
    name = str(getattr(condition, "__name__", type(condition).__name__))
    if name != "<lambda>":
        return name.strip("_").replace("_", " ")
    try:
        return _short(" ".join(inspect.getsource(condition).split()))
    except (OSError, TypeError):
        return "a condition"
