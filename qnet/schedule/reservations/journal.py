"""A file of records, each on the disk before anybody is told of it.

The file begins with a line `qnet-reservations 1`. A record is a mark, the length of its content,
the CRC-32 of the content and that of all these, and then the content. The first record is a whole
state, each further one a change. Of a writer that was killed, or a machine that lost its power, the
last record may be there in part: it was told to nobody, and is cut off. What is damaged anywhere
else is refused. One process at a time has the file: it is locked by another beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from pathlib import Path
from typing import NoReturn

from qnet.errors import EnvironmentMissing, InputError, Problem
from qnet.files.read import read_bytes
from qnet.files.write import writing

MAGIC = b"qnet-reservations 1\n"
MARK = b"\x89qnR"
HEAD = struct.Struct("<4sQI")
CHECK = struct.Struct("<I")
BYTES_MOST = 2**33
SIZE_FREE = 2**20
"""Bytes that a file may have beyond twice its first record before it is written anew."""


class Journal:
    """A file of records that is open for writing."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._handle = -1
        self._size = 0
        self._first = 0
        self._whole = False
        """Whether all that was told is in the file, and nothing else."""

    @classmethod
    def create(cls, path: Path | str, record: bytes) -> Journal:
        """Make a file with its first record; raises InputError when there is one already."""
        journal = cls(*_locked(path))
        try:
            if journal.path.exists():
                words = "is there already; 'Reservations.open' goes on with it"
                raise InputError([Problem(str(path), 0, 0, "", words)])
            journal.rewrite(record)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open(cls, path: Path | str) -> tuple[Journal, list[bytes]]:
        """Open a file to go on with, and return its records; what is torn at its end is cut off.

        Raises InputError for a file that is damaged or none of these, EnvironmentMissing for one
        that another process has open.
        """
        if not Path(path).exists():
            refuse(path, "no such file")
        journal = cls(*_locked(path))
        try:
            raw = read_bytes(path, BYTES_MOST)
            records, size = read(raw, path)
            journal._begin(size, HEAD.size + CHECK.size + len(records[0]))
            if size < len(raw):
                os.ftruncate(journal._handle, size)
                os.fsync(journal._handle)
        except OSError as error:
            journal.close()
            raise _unwritten(path, error) from error
        except BaseException:
            journal.close()
            raise
        return journal, records

    @property
    def is_closed(self) -> bool:
        """Whether others may have the file."""
        return self._lock < 0

    @property
    def wants_rewriting(self) -> bool:
        """Whether the next record should be a whole state, in place of all that is there."""
        return not self._whole or self._size > 2 * self._first + SIZE_FREE

    def append(self, record: bytes) -> None:
        """Write a record; it is on the disk when this returns.

        Raises EnvironmentMissing when it is not; then the next one must be a whole state.
        """
        raw = _frame(record)
        self._whole = False
        try:
            left = memoryview(raw)
            while left:
                left = left[os.write(self._handle, left) :]
            os.fsync(self._handle)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
                os.fsync(self._handle)
            raise _unwritten(self.path, error) from error
        self._size += len(raw)
        self._whole = True

    def rewrite(self, record: bytes) -> None:
        """Put a file with this record alone in the place of what is there, in one step."""
        raw = _frame(record)
        self._whole = False
        with writing(self.path, durable=True) as file:
            file.writelines([MAGIC, raw])
        self._begin(len(MAGIC) + len(raw), len(raw))

    def _begin(self, size: int, first: int) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size, self._first, self._whole = size, first, True

    def close(self) -> None:
        """Let others have the file."""
        for handle in (self._handle, self._lock):
            if handle >= 0:
                os.close(handle)
        self._handle = self._lock = -1


def read(raw: bytes, path: Path | str) -> tuple[list[bytes], int]:
    """Return the records of a file, and the bytes that they take; behind them one may be torn."""
    if not raw.startswith(MAGIC):
        refuse(path, f"is no journal of reservations of version 1; it begins with {raw[:40]!r}")
    place = len(MAGIC)
    records = []
    while (end := _end(raw, place)) is not None:
        records.append(raw[place + HEAD.size + CHECK.size : end])
        place = end
    later = raw.find(MARK, place + 1)
    while later >= 0:
        if _end(raw, later) is not None:
            refuse(path, f"is damaged at byte {place}: what follows is whole")
        later = raw.find(MARK, later + 1)
    if not records:
        refuse(path, "is damaged: its first record is not whole")
    return records, place


def _end(raw: bytes, place: int) -> int | None:
    """Return where a record ends, or None where none begins or it is not whole."""
    start = place + HEAD.size + CHECK.size
    head = raw[place : place + HEAD.size]
    if len(raw) < start or CHECK.unpack(raw[place + HEAD.size : start])[0] != zlib.crc32(head):
        return None
    mark, length, check = HEAD.unpack(head)
    content = raw[start : start + length]
    if mark != MARK or len(content) < length or zlib.crc32(content) != check:
        return None
    return int(start + length)


def _frame(record: bytes) -> bytes:
    head = HEAD.pack(MARK, len(record), zlib.crc32(record))
    return head + CHECK.pack(zlib.crc32(head)) + record


def _locked(path: Path | str) -> tuple[Path, int]:
    """Return the file itself, behind all links, and a handle of its lock; nobody else has it."""
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.lock")
    try:
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise EnvironmentMissing(f"{path} is open already, here or in another process") from None
    return target, handle


def _unwritten(path: Path | str, error: OSError) -> EnvironmentMissing:
    reason = (error.strerror or str(error)).lower()
    return EnvironmentMissing(f"{path} cannot be written: {reason}")


def refuse(path: Path | str, message: str) -> NoReturn:
    """Refuse a file."""
    raise InputError([Problem(str(path), 0, 0, "", message)])
