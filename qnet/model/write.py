"""Nouns to canonical JSON, and text to files that are whole or absent."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
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

    A durable one is on the disk, not only on its way there, before it does. Raises
    EnvironmentMissing as `write_text` does.
    """
    target = Path(path)
    temporary: str | None = None
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as device:
                yield device
            return
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(target)
        temporary = None
        if durable:
            _keep_name(target.parent)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentMissing(f"{target} cannot be written: {reason}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def _keep_name(folder: Path) -> None:
    """Have the disk keep a new name in a folder; not every file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    """Return the process's mask: temporary files are private, results are not."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
