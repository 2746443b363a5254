"""The command: the group of all verbs, and what errors look like from outside.

A verdict alone may end with 1. Whatever nobody foresaw keeps its traceback and ends with 70.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from qnet import __version__
from qnet.cli.output import Streams, say
from qnet.errors import ArgumentError, QnetError

INPUT, MACHINE, OURS, UNREAD = 2, 3, 70, 141
"""Exit codes: the input is wrong, the machine lacks something, qnet is at fault (EX_SOFTWARE), and
nobody read the answer of a verb that has no verdict (128 + SIGPIPE).
"""

NOT_KNOWN = 4
"""Exit code: no promise is broken, and at least one is not known to be kept."""

JUDGES = {"run", "plan", "check", "simulate", "gates", "emulate"}
JUDGES |= {"replay", "sweep", "merge", "load", "diff", "receive"}
"""Verbs whose exit code is a verdict."""

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a command to end: Ctrl-C, what services and batch systems send, a terminal
that is closed.
"""


class Stopped(KeyboardInterrupt):
    """Somebody asked the command to end."""


class _Passed(BaseException):
    """Carries past click what it would end with 1 and without a word."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Stops:
    """Hears the signals that ask a command to end."""

    def __init__(self) -> None:
        self.number = 0
        self.over = False

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Raise Stopped where the command is at work; one that a shell has it ignore is ignored."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        usual = {number: signal.getsignal(number) for number in ENDS}
        hook = sys.unraisablehook
        for number, handler in usual.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, self._stop)
        sys.unraisablehook = self._again
        try:
            yield
        finally:
            sys.unraisablehook = hook
            for number, handler in usual.items() if not self.over else ():
                signal.signal(number, handler)

    def ignore(self, *, for_good: bool = False) -> None:
        """Hear nothing any more: the command is at its end, and perhaps the process is."""
        self.over = for_good
        if threading.current_thread() is threading.main_thread():
            for number in ENDS:
                signal.signal(number, signal.SIG_IGN)

    def _stop(self, number: int, _: object) -> NoReturn:
        self.number = number
        raise Stopped

    def _again(self, lost: Any) -> None:
        """Ask once more, where the interpreter could not raise what it was asked to."""
        if lost.exc_type is Stopped:
            timer = threading.Timer(0.01, os.kill, (os.getpid(), self.number))
            timer.daemon = True
            timer.start()
        else:
            sys.__unraisablehook__(lost)


class Door(click.Group):
    """Turns whatever ends a verb into words and an exit code."""

    def main(self, *arguments: Any, **how: Any) -> NoReturn:
        """Run the verb that the command line names, and end with its exit code."""
        stops, streams = Stops(), Streams()
        self.judged = False
        how["standalone_mode"] = False
        with streams.steady(), stops.heard():
            try:
                code = super().main(*arguments, **how) or 0
            except BaseException as error:
                stops.ignore()
                code = _tell(error.error if isinstance(error, _Passed) else error, stops.number)
            stops.ignore(for_good=streams.are_own)
            code = _hand_over(streams, code, self.judged)
        sys.exit(code)

    def make_context(self, *arguments: Any, **how: Any) -> click.Context:
        """Read the command line."""
        with _passing():
            return super().make_context(*arguments, **how)

    def invoke(self, context: click.Context) -> Any:
        """Run the verb."""
        with _passing():
            result = super().invoke(context)
            self.judged = context.invoked_subcommand in JUDGES
            return result


@contextlib.contextmanager
def _passing() -> Iterator[None]:
    try:
        yield
    except (EOFError, KeyboardInterrupt, OSError) as error:
        raise _Passed(error) from error


def _hand_over(streams: Streams, code: int, judged: bool) -> int:
    """Return the exit code once all that was written has gone where it belongs."""
    try:
        streams.flush()
    except OSError as error:
        code = MACHINE
        with contextlib.suppress(OSError):
            say(cannot_be_written("the output", error), err=True)
            streams.flush()
    return UNREAD if streams.reader_left and code == 0 and not judged else code


def _tell(error: BaseException, stopped: int) -> int:
    """Say what ended a command, and return its exit code."""
    words, code = _words(error, stopped)
    with contextlib.suppress(OSError):
        if code == OURS and words:
            trace = "".join(traceback.format_exception(error))
            say(f"{trace}\n{words}", err=True)
        elif words:
            say(words, err=True)
        elif isinstance(error, click.ClickException):
            error.show()
    return code


def _words(error: BaseException, stopped: int) -> tuple[str, int]:
    words, code = "", MACHINE
    if isinstance(error, ArgumentError):
        error = error.as_options()
    if isinstance(error, QnetError):
        words, code = str(error), error.exit_code
    elif isinstance(error, SystemExit) and _is_ours(error) and isinstance(error.code, int | None):
        code = error.code or 0
    elif stopped or isinstance(error, (KeyboardInterrupt, click.Abort)):
        # Libraries make other errors of an interruption; a note on one says what was kept.
        kept = "; ".join(getattr(error, "__notes__", ())) or "nothing was written"
        words, code = f"interrupted; {kept}", 128 + (stopped or signal.SIGINT)
    elif isinstance(error, click.ClickException):
        code = INPUT
    elif isinstance(error, BrokenPipeError):
        code = UNREAD
    elif isinstance(error, OSError):
        # Files that cannot be read are InputErrors; what remains are results that do not fit.
        words = cannot_be_written(error.filename or "the output", error)
    elif isinstance(error, MemoryError):
        words = "this machine's memory does not suffice; fewer streams or a shorter run may fit"
    else:
        kind = type(error).__name__
        words, code = f"an error of qnet's own, and no verdict ({kind}); please report it", OURS
    return words, code


def _is_ours(error: SystemExit) -> bool:
    """Say whether qnet wanted to end, and not a library in its place."""
    last = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        last = frame.f_globals.get("__name__", "")
    return last.partition(".")[0] == "qnet"


def cannot_be_written(path: object, error: OSError) -> str:
    """Say that a result cannot be written, and why."""
    return f"{path} cannot be written: {(error.strerror or str(error)).lower()}"


@click.group(cls=Door, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qnet")
def main() -> None:
    """Ask a network whether it keeps its microsecond promises and its ten terabits.

    PROFILE is the name of a bundled traffic profile (see 'qnet list') or a traffic file.
    """
