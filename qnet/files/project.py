"""Write the files of a project that somebody begins with: `qnet new`."""

from __future__ import annotations

import re
from pathlib import Path

from qnet.errors import InputError, Problem

TEMPLATES = Path(__file__).with_name("projects")

PLACES = {"tests.yml": ".github/workflows/tests.yml"}
"""Where files are in the project, if not at its top."""

_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def write_project(kind: str, folder: Path) -> list[Path]:
    """Write a project of a kind ('controller') into a new folder, whose name it has.

    Returns its files, as they are inside the folder. Raises InputError when the folder is there,
    cannot be made, or has a name that no project can have.
    """
    name = folder.name
    if not _NAME.fullmatch(name):
        words = (
            f"{name!r} names no project: letters, digits, '.', '_' and '-', the first a letter, "
            "the last no sign, as in my-controller"
        )
        raise InputError([Problem(str(folder), 0, 0, "", words)])
    written = []
    try:
        folder.mkdir()
        for template in sorted((TEMPLATES / kind).iterdir()):
            inside = Path(PLACES.get(template.stem, template.stem))
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            text = template.read_text(encoding="utf-8").replace("@NAME@", name)
            (folder / inside).write_text(text, encoding="utf-8")
            written.append(inside)
    except FileExistsError:
        words = "is there already, and nothing was written; give a folder that is not"
        raise InputError([Problem(str(folder), 0, 0, "", words)]) from None
    except OSError as error:
        words = f"cannot be written: {error.strerror}"
        raise InputError([Problem(str(folder), 0, 0, "", words)]) from None
    return written
