"""Folders of results that are all of one command at any moment, whatever happens to it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from qnet.errors import EnvironmentMissing
from qnet.files.write import Temporary, remove_leftovers

_HERE = -100
"""AT_FDCWD: names are relative to the current folder."""

_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""


@contextlib.contextmanager
def whole_folder(target: Path, own: Collection[str]) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` in one step when all in it has been written.

    `own` are names, such as inputs/traffic.yaml, that belong to the result: what lies in the old
    folder under one of them is replaced or taken away. All else there stays. Raises
    EnvironmentMissing when the disk is full or a folder may not be written.

    Where a folder cannot change places with another (it is mounted, or one stands in it), files are
    put in their places one by one, and the first of `own`, which says that there is a result, comes
    last.
    """
    held: Temporary | None = None
    try:
        place = Path(os.path.realpath(target))
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place.parent, place.name)
        inside = _must_stay(place)
        if inside:
            remove_leftovers(place, "inside")
        held = Temporary(place / "inside" if inside else place, folder=True)
        yield held.path
        if inside or not _swap(held.path, place, own):
            _move_in(held.path, place, own)
    except EnvironmentMissing as error:
        words = str(error) if held is None else str(error).replace(str(held.path), str(target))
        raise EnvironmentMissing(words) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentMissing(f"{target} cannot be written: {reason}") from error
    finally:
        if held is not None:
            held.close()


def _must_stay(place: Path) -> bool:
    """Say whether a folder has to keep its place: others would look at it where it is."""
    if not place.is_dir():
        return False
    here = Path(os.path.realpath(Path.cwd()))
    return (
        place in (here, *here.parents)
        or place.is_mount()
        or not os.access(place.parent, os.W_OK | os.X_OK)
    )


def _swap(new: Path, place: Path, own: Collection[str]) -> bool:
    """Put the new folder in the old one's place, with what is not the result's; or say no."""
    try:
        if not place.exists():
            new.replace(place)
            return True
        _give_to_owner(new, place)
        kept = _strangers(place, {*own, *_files(new)})
        for name in kept:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(place / name, new / name, follow_symlinks=False)
        for folder in _folders(place):
            if any(name.startswith(f"{folder}/") for name in kept) or not any(
                (place / folder).iterdir()
            ):
                (new / folder).mkdir(parents=True, exist_ok=True)
            if (new / folder).is_dir():
                shutil.copystat(place / folder, new / folder)
        _exchange(new, place)
    except (OSError, AttributeError):
        return False
    # What came between the links and the exchange is under the other name now.
    for name in _strangers(new, {*own, *_files(place)} - {*kept}):
        was, now = new / name, place / name
        if not now.exists() or not os.path.samestat(was.lstat(), now.lstat()):
            now.parent.mkdir(parents=True, exist_ok=True)
            was.replace(now)
    return True


def _give_to_owner(new: Path, old: Path) -> None:
    """Make a folder whose it was, with the rights that it had."""
    was, now = old.stat(), new.stat()
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        os.chown(new, was.st_uid, was.st_gid)
    new.chmod(stat.S_IMODE(was.st_mode))


def _exchange(one: Path, other: Path) -> None:
    """Exchange two names in one step; raises OSError or AttributeError where that cannot be."""
    rename: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "cannot be exchanged")


def _move_in(new: Path, place: Path, own: Collection[str]) -> None:
    """Put files in their places one by one; without the first of `own` there is no result."""
    place.mkdir(exist_ok=True)
    first = next(iter(own))
    (place / first).unlink(missing_ok=True)
    made = sorted(_files(new), key=lambda name: name == first)
    for name in own:
        if name not in made:
            (place / name).unlink(missing_ok=True)
    for name in made:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).replace(place / name)
    for folder in {name.rpartition("/")[0] for name in own} - {""}:
        with contextlib.suppress(OSError):  # something else lies there
            (place / folder).rmdir()


def _strangers(folder: Path, own: Collection[str]) -> list[str]:
    return [name for name in _files(folder) if name not in own]


def _files(folder: Path) -> list[str]:
    """Return all that is no folder, by its name from `folder` on."""
    return [
        str((Path(root) / name).relative_to(folder))
        for root, folders, names in os.walk(folder)
        for name in (*names, *(one for one in folders if (Path(root) / one).is_symlink()))
    ]


def _folders(folder: Path) -> list[str]:
    return [
        str((Path(root) / name).relative_to(folder))
        for root, folders, _ in os.walk(folder)
        for name in folders
        if not (Path(root) / name).is_symlink()
    ]
