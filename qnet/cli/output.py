"""What is written for a reader: on streams that can fail, for terminals that must not be steered.

A stream whose reader has left takes the rest and forgets it, so that a command comes to its end and
to its exit code. What the encoding of a stream cannot say is written as JSON does.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ESCAPES = "qnet-escapes"


def say(text: str, *, err: bool = False) -> None:
    """Write lines; nothing in them steers a terminal."""
    _write(sys.stderr if err else sys.stdout, _tame(text))


def say_json(data: object) -> None:
    """Write data as JSON."""
    say_json_text(json.dumps(data, ensure_ascii=False, indent=1))


def say_json_text(text: str) -> None:
    """Write a text that is JSON already; signs that steer a terminal can only stand in its texts,
    and are escaped there.
    """
    if not text.isascii():
        from qnet.report.text import printable

        text = "".join(
            char if char.isascii() or printable(char) == char else _escaped(char) for char in text
        )
    _write(sys.stdout, text.removesuffix("\n"))


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # it is closed
        stream.write(text + "\n")
        stream.flush()


def _tame(text: str) -> str:
    if text.replace("\n", "").isprintable():
        return text
    from qnet.report.text import printable

    return printable(text)


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def _escape_rest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _escaped(error.object[error.start : error.end]), error.end


class Outlet(io.FileIO):
    """A standard stream that outlives its reader."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "wb", closefd=False)
        self.reader_left = False
        self.shut = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or forget, when nobody reads any more."""
        if self.reader_left or self.shut:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            self.reader_left = True
            return memoryview(data).nbytes
        except OSError:
            self.shut = True  # it is said once, and the interpreter does not try again at its end
            raise


class Streams:
    """Standard output and error of one command."""

    def __init__(self) -> None:
        self._open: list[tuple[TextIO, Outlet]] = []
        codecs.register_error(_ESCAPES, _escape_rest)

    @property
    def reader_left(self) -> bool:
        """Say whether somebody stopped reading."""
        return any(outlet.reader_left for _, outlet in self._open)

    @property
    def are_own(self) -> bool:
        """Say whether the command has a process to itself, as far as its streams tell."""
        return bool(self._open)

    def flush(self) -> None:
        """Hand over all that was written; raises OSError when it does not fit."""
        for stream, _ in self._open:
            stream.flush()

    @contextlib.contextmanager
    def steady(self) -> Iterator[None]:
        """Put steady streams in place of the interpreter's own; those of a caller stay."""
        out, err = sys.stdout, sys.stderr
        if _is_own(out, sys.__stdout__, 1):
            sys.stdout = self._replace(out, 1)
        if _is_own(err, sys.__stderr__, 2):
            sys.stderr = self._replace(err, 2)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = out, err

    def _replace(self, old: TextIO, number: int) -> TextIO:
        outlet = Outlet(number)
        stream = io.TextIOWrapper(
            io.BufferedWriter(outlet),
            encoding=old.encoding,
            errors=_ESCAPES,
            line_buffering=number == 2 or old.isatty(),
        )
        self._open.append((stream, outlet))
        return stream


def _is_own(stream: TextIO | None, original: TextIO | None, number: int) -> bool:
    if stream is None or stream is not original:
        return False
    try:
        return stream.fileno() == number
    except (OSError, ValueError):
        return False
