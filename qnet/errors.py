"""Every error that qnet raises on purpose.

QnetError                   70   exit code; only a verdict ends with 1
├── InputError               2   a file or an option is wrong: a list of Problems
│   └── ArgumentError        2   an argument of a call is; the file of its Problems is its name
├── Infeasible               1   the network cannot do what was asked
├── EnvironmentMissing       3   this machine lacks something
├── Interrupted            130   a run that is kept was asked to end; 143 by SIGTERM
└── Cancelled              130   the progress of a call asked it to end

Mistakes of our own are assertions and keep their traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, order=True)
class Problem:
    """One fault of one input file, at its line, with a way out.

    `line` and `column` are 1-based; 0 means that the fault has no place in the file.
    """

    file: str
    line: int
    column: int
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return (
            f"{place}: {self.where}: {self.message}" if self.where else f"{place}: {self.message}"
        )


class QnetError(Exception):
    """Base of every deliberate error."""

    exit_code = 70


PROBLEMS_SHOWN = 100
"""Of very many faults the first say enough; the others are counted."""


class InputError(QnetError):
    """Files or options that cannot be used; carries the problems found, sorted by place.

    `unlisted` is how many more there are that nobody has written down.
    """

    exit_code = 2

    def __init__(self, problems: Iterable[Problem], unlisted: int = 0) -> None:
        self.problems = sorted(set(problems))
        self.unlisted = unlisted
        assert self.problems, "an InputError needs at least one problem"
        count = len(self.problems) + unlisted
        lines = [str(problem) for problem in self.problems[:PROBLEMS_SHOWN]]
        if count > len(lines):
            lines.append(f"and {count - len(lines):,} more")
        tail = f"{count} problem{'' if count == 1 else 's'}; nothing was run"
        super().__init__("\n".join([*lines, tail]))


class ArgumentError(InputError):
    """Arguments of a call that cannot be used: `Problem.file` is the argument's name."""

    def as_options(self) -> InputError:
        """Return the same for somebody who gave options: 'duration' is '--duration' there."""
        return InputError(
            replace(one, file=f"--{one.file.replace('_', '-')}") for one in self.problems
        )


class Infeasible(QnetError):
    """The network cannot do what was asked of it, for the reason given."""

    exit_code = 1


class EnvironmentMissing(QnetError):
    """Something that the command needs is missing on this machine."""

    exit_code = 3


class Interrupted(QnetError):
    """A run was asked to end before it was over; `checkpoint` has it, unless that failed."""

    exit_code = 130

    def __init__(self, now_ps: int, end_ps: int, checkpoint: Path | None) -> None:
        self.now_ps = now_ps
        self.checkpoint = checkpoint
        where = f"{now_ps / 10**9:.3f} of {end_ps / 10**9:.3f} ms"
        rest = f"{checkpoint} has it; '--resume' goes on" if checkpoint else "nothing was kept"
        super().__init__(f"interrupted at {where}; {rest}")


class Cancelled(QnetError):
    """The progress of a call asked it to end; nothing of it is left, and nothing was written."""

    exit_code = 130

    def __init__(self, stage: str) -> None:
        self.stage = stage
        super().__init__(f"cancelled{f' ({stage})' if stage else ''}; nothing was written")
