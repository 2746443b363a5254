"""Kill a process that changes a book at random moments, and read what its journal has.

    python -m tests.book_kills 100

It is the state after the last answer, byte for byte, or that of the change under way, which was on
the disk before it could be told. What the states are is worked out by a book without a journal.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from qnet.files.read import read_topology
from qnet.model.traffic import Stream
from qnet.schedule.reservations import Reservations, journal

TOPOLOGY = read_topology("zheng-qing-ha")
NODES = [node.name for node in TOPOLOGY.nodes]
CABLES = sorted({TOPOLOGY.cable(link) for link in TOPOLOGY.links})
STREAMS_MOST = 60


def stream(name: str, draws: list[int]) -> Stream:
    """Return a stream of random ends, size and number of paths."""
    talker, listener, third = (NODES[one % len(NODES)] for one in draws[:3])
    listener = listener if listener != talker else NODES[NODES.index(talker) - 1]
    several = draws[3] % 4 == 0 and third not in (talker, listener)
    fields = {
        "name": name,
        "from": talker,
        "to": [listener, third] if several else listener,
        "interval": ("100us", "500us", "1ms")[draws[4] % 3],
        "max-payload-size": f"{46 + draws[5] % 1000}B",
        "paths": 2 if draws[6] % 3 == 0 and not several else 1,
        "rank": draws[7] % 3,
        "damper": draws[8] % 2 == 0,
    }
    return Stream.model_validate(fields)


def step(book: Reservations, number: int) -> None:
    """Make the change of that number: which one follows from it and the state alone."""
    draws = (np.random.PCG64(number).random_raw(40) >> np.uint64(1)).astype(np.int64).tolist()
    kind, names = draws[0] % 6, book.names
    if kind < 2 and len(names) > STREAMS_MOST:
        kind = 2
    if kind < 2:
        book.admit(stream(f"s{number}-{one}", draws[one * 9 + 1 :]) for one in range(1 + kind * 3))
    elif kind == 2 and names:
        book.release({names[one % len(names)] for one in draws[1 : 2 + draws[2] % 5]})
    elif kind == 3 and names:
        name = names[draws[1] % len(names)]
        if draws[2] % 2:
            book.reroute([name])
        else:
            book.change(stream(name, draws[3:]))
    elif book.down:
        book.repair(book.down[draws[1] % len(book.down)])
    else:
        book.fail(*{CABLES[one % len(CABLES)] for one in draws[1 : 2 + draws[3] % 2]})


def digest(book: Reservations) -> str:
    return hashlib.sha256(book.to_bytes()).hexdigest()


def work(path: Path, done: int, pipe: int) -> None:
    """Change the book until somebody puts an end to it; tell the number of every answer."""
    book = Reservations.open(path, TOPOLOGY)
    while True:
        step(book, done)
        done += 1
        os.write(pipe, done.to_bytes(8, "little"))


def kill(times: int, seed: int = 1, size_free: int = 5_000) -> dict[str, int]:
    """Kill so often; return what was found, counted."""
    with mock.patch.object(journal, "SIZE_FREE", size_free):
        return _kill(times, seed)


def _kill(times: int, seed: int) -> dict[str, int]:
    draws = iter(np.random.PCG64(seed).random_raw(times).tolist())
    found = {"last answer": 0, "one more": 0, "changes": 0, "rewritten": 0}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "journal"
        twin = Reservations(TOPOLOGY, 100)
        hashes = [digest(twin)]
        Reservations(TOPOLOGY, 100, journal=path).close()
        done = 0
        for _ in range(times):
            inode = path.stat().st_ino
            told = _killed(path, done, next(draws))
            while len(hashes) < told + 2:
                step(twin, len(hashes) - 1)
                hashes.append(digest(twin))
            with Reservations.open(path, TOPOLOGY) as book:
                now = digest(book)
            assert now in hashes[told : told + 2], f"not the state after {told} changes"
            # A change may leave all as it is: then both states are the same.
            done = told if now == hashes[told] else told + 1
            found["last answer" if done == told else "one more"] += 1
            found["rewritten"] += path.stat().st_ino != inode
            left = [one.name for one in path.parent.iterdir() if one.name.endswith("-part")]
            assert len(left) <= 1, "the next that writes takes leftovers away"
        found["changes"] = done
    return found


def _killed(path: Path, done: int, draw: int) -> int:
    """Have a process go on, kill it at a random moment, and return the number it told last."""
    ear, mouth = os.pipe()
    child = os.fork()
    if not child:
        try:
            work(path, done, mouth)
        finally:
            os._exit(1)
    os.close(mouth)
    if draw % 8:
        os.read(ear, 8)  # it has begun
        done += 1
    time.sleep(draw // 8 % 1000 / 1000 * 0.15)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, "it came to an end by itself"
    with os.fdopen(ear, "rb") as heard:
        told = heard.read()
    return int.from_bytes(told[-8:], "little") if told else done


if __name__ == "__main__":
    print(kill(int(sys.argv[1]) if len(sys.argv) > 1 else 100))  # noqa: T201
