"""A process for each core, with the network loaded once, and one case at a time in each.

They are started afresh, not forked, with one thread for compiled code. When one dies its case is
tried again in another; a case of which every process dies is told, and the others go on.
"""

from __future__ import annotations

import os
import pickle
import selectors
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import qnet
from qnet.progress import Heeded
from qnet.sweeps.worker import LENGTH_BYTES, receive

TRIES = 3
"""How many processes may die of a case."""

LOOK_S = 0.2
"""How often the progress is asked whether anybody wants the rest."""


class Died(NamedTuple):
    """In place of an answer: every process that tried died."""

    reason: str


class _Process:
    """One process at work."""

    def __init__(self, hello: bytes) -> None:
        root = str(Path(qnet.__file__).parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        one_thread = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "qnet.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for who asked
        )
        assert self._child.stdin is not None, "asked for"
        assert self._child.stdout is not None, "asked for"
        self._questions, self.answers = self._child.stdin, self._child.stdout
        self.place = 0
        self._hello = hello

    def ask(self, place: int, item: object) -> None:
        """Have it answer; one that has died meanwhile is found out by its silence."""
        self.place = place
        question = pickle.dumps(("case", item))
        with suppress(BrokenPipeError):
            for data in filter(None, (self._hello, question)):
                self._questions.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
            self._questions.flush()
        self._hello = b""

    def answer(self) -> object:
        """Return the answer; raises EOFError where it has died."""
        return receive(self.answers)

    def end(self) -> int:
        """End it, if it has not ended, and return its exit code."""
        for pipe in (self._questions, self.answers):
            with suppress(BrokenPipeError):
                pipe.close()
        self._child.kill()
        return self._child.wait()


def in_processes(
    function: Callable[[Any, Any], object],
    work: object,
    items: Sequence[object],
    processes: int,
    heeded: Heeded,
) -> Iterator[tuple[int, object]]:
    """Yield the place of each item and its answer, or `Died`, as they come.

    `function(work, item)` must be importable by its name. Raises Cancelled; no process is left.
    """
    hello = pickle.dumps(("work", (function, work)))
    waiting = deque(range(len(items)))
    deaths: Counter[int] = Counter()
    selector = selectors.DefaultSelector()
    try:
        for _ in range(min(processes, len(items))):
            _begin(selector, _Process(hello), waiting, items)
        while selector.get_map():
            heeded.look()
            for key, _ in selector.select(LOOK_S):
                process: _Process = key.data
                place = process.place
                try:
                    found = process.answer()
                except (EOFError, pickle.UnpicklingError):
                    selector.unregister(process.answers)
                    code = process.end()
                    deaths[place] += 1
                    if deaths[place] < TRIES:
                        waiting.append(place)
                    else:
                        yield place, Died(_how_it_died(code))
                    process = _Process(hello)
                else:
                    yield place, found  # still registered, to be ended if nobody wants more
                    selector.unregister(process.answers)
                _begin(selector, process, waiting, items)
    finally:
        for key in list(selector.get_map().values()):
            key.data.end()
        selector.close()


def _begin(
    selector: selectors.BaseSelector,
    process: _Process,
    waiting: deque[int],
    items: Sequence[object],
) -> None:
    """Give a process what is to be done next, or end it."""
    if not waiting:
        process.end()
        return
    place = waiting.popleft()
    selector.register(process.answers, selectors.EVENT_READ, process)
    process.ask(place, items[place])


def _how_it_died(code: int) -> str:
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"kills its process: {TRIES} of {TRIES} died, the last one {how}"
