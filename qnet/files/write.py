"""Nouns to canonical JSON, and text to files that are whole or absent."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from qnet.errors import EnvironmentMissing
from qnet.model.fields import Noun


def to_json(noun: Noun) -> str:
    """Write a noun as JSON that is the same byte for byte every time.

    Keys are field names in the order of the model, numbers are integers in internal units.
    """
    return json.dumps(noun.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def write_text(path: Path | str, text: str) -> None:
    """Write a file in UTF-8 in one step: readers see the old text or the new, never a part.

    What is no plain file, such as /dev/stdout or a pipe, is written into and never replaced.
    Raises EnvironmentMissing when the disk is full, the folder is absent or may not be written.
    """
    write_bytes(path, [text.encode()])


def write_bytes(path: Path | str, parts: Iterable[bytes]) -> None:
    """Write a file of bytes as `write_text` writes text."""
    with writing(path) as file:
        file.writelines(parts)


@contextlib.contextmanager
def writing(path: Path | str, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` when all has been written, and only then.

    A durable one is on the disk, not only on its way there, before it does. What earlier writers of
    the same name left when they were killed is removed. Raises EnvironmentMissing as `write_text`.
    """
    target = Path(path)
    held: Temporary | None = None
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as device:
                yield device
            return
        target = Path(os.path.realpath(target))
        remove_leftovers(target.parent, target.name)
        held = Temporary(target)
        with os.fdopen(held.handle, "wb", closefd=False) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(held.handle)
        if target.exists():
            held.path.chmod(stat.S_IMODE(target.stat().st_mode))
        held.path.replace(target)
        if durable:
            _keep_name(target.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentMissing(f"{path} cannot be written: {reason}") from error
    finally:
        if held is not None:
            held.close()


_PART = ".qnet-part"
_RANDOM_BYTES = 6


class Temporary:
    """A file or folder beside its target, under a name of its own, while it is being written.

    It is locked for so long. The system unlocks it when the process ends, however that ends: what
    is not locked has no owner any more.
    """

    def __init__(self, target: Path, *, folder: bool = False) -> None:
        while True:
            mark = secrets.token_hex(_RANDOM_BYTES)
            self.path = target.with_name(f".{target.name[:40]}.{mark}{_PART}")
            if folder:
                self.path.mkdir()
                self.handle = os.open(self.path, os.O_RDONLY)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                self.handle = os.open(self.path, flags, 0o666)
            with contextlib.suppress(OSError):  # some file systems have no locks
                fcntl.flock(self.handle, fcntl.LOCK_EX)
            if self._is_there():
                return
            os.close(self.handle)  # it was taken for a leftover before it was locked

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.handle))
        except OSError:
            return False

    def close(self) -> None:
        """Remove what lies under the name still."""
        _remove(self.path)
        os.close(self.handle)


def remove_leftovers(folder: Path, name: str | None = None) -> list[Path]:
    """Remove what killed writers of `name`, or of any name, left in a folder; return what."""
    start = "." if name is None else f".{name[:40]}."
    length = 2 * _RANDOM_BYTES + len(_PART)
    removed = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            fits = entry.name.startswith(start) and entry.name.endswith(_PART)
            if not fits or (name is not None and len(entry.name) != len(start) + length):
                continue
            path = Path(entry.path)
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(path)
                    removed.append(path)
                finally:
                    os.close(handle)
    return removed


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _keep_name(folder: Path) -> None:
    """Have the disk keep a new name in a folder; not every file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
