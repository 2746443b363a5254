"""Go before other threads for a while, where that is permitted."""

from __future__ import annotations

import contextlib
import gc
import os

FIFO_PRIORITY = 10


def be_quick() -> None:
    """Run the calling thread before ordinary ones, where that is permitted.

    No garbage is collected meanwhile: what arrives is kept, and looking through it takes time.
    """
    gc.disable()
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))


def as_usual() -> None:
    """Take back `be_quick`."""
    gc.enable()
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
