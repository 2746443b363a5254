"""A process that answers case after case: `python -m qnet.sweeps.worker`, spoken to over pipes.

Each message is its length in eight bytes and a pickle. It ends when nobody speaks to it any more,
so nothing is left of a sweep that was killed.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
from typing import IO, Any

LENGTH_BYTES = 8


def send(stream: IO[bytes], message: object) -> None:
    """Write a message."""
    data = pickle.dumps(message)
    stream.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read a message; raises EOFError where there is none any more."""
    length = stream.read(LENGTH_BYTES)
    data = stream.read(int.from_bytes(length, "big")) if len(length) == LENGTH_BYTES else b""
    if not data:
        raise EOFError
    return pickle.loads(data)


def _answer(function: Any, work: object, item: object) -> object:
    """Answer an item; what is in circles is looked for once, after it, not time and again in it.

    What is still there then, such as the work, is not looked at any more.
    """
    gc.disable()
    try:
        return function(work, item)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def main() -> None:
    """Answer until the other end is closed; what is printed meanwhile goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    function: Any = None
    work: object = None
    while True:
        try:
            kind, message = receive(questions)
        except EOFError:
            return
        if kind == "work":
            function, work = message
        else:
            send(answers, _answer(function, work, message))


if __name__ == "__main__":
    main()
