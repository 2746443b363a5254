"""Functions that processes of a sweep are given in tests: some of them die of a case."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from qnet.model.sweep import CaseResult, SweepCase
from qnet.sweeps.look import Work
from qnet.sweeps.look import look as answer

FATAL = "cable b--c"
"""The case that every process dies of."""


def look(work: Work, case: SweepCase) -> CaseResult:
    """Answer a case, or die of it."""
    if case.failure.title == FATAL:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(work, case)


def look_until_killed(work: Work, case: SweepCase) -> CaseResult:
    """Die of one case the first time that somebody tries it; a file says that it was."""
    place = Path(os.environ["QNET_TEST_DIED"])
    if case.failure.title == FATAL and not place.exists():
        place.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return answer(work, case)


def wrong(work: Work, case: SweepCase) -> CaseResult:
    """Answer otherwise than `look`."""
    return answer(work, case).replace(outcome="fail", wires=())


def slow(work: Any, item: float) -> float:
    """Take some seconds."""
    del work
    time.sleep(item)
    return item
