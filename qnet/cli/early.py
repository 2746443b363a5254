"""Ctrl-C while the verbs are being loaded; the interpreter would show what it was reading then."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """End on Ctrl-C, at once and in plain words: nothing has begun."""
    usual = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or usual is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _end(number: int, _: object) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted; nothing was written\n")
    os._exit(128 + number)
