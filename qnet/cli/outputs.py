"""What a command is to write, held against what it reads: no input is overwritten by its answer."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qnet.errors import InputError, Problem

if TYPE_CHECKING:
    from qnet.model.plan import Plan
    from qnet.model.scenario import Scenario

Place = tuple[str, Path | None]
"""An option, and a file that it has written, replaced or taken away."""


def check_outputs(
    inputs: Iterable[Path | str | None], *outputs: Place, scenario: Scenario | None = None
) -> None:
    """Refuse outputs that are inputs by whatever name, and files that two options would write.

    The files of a scenario are inputs, too. Raises InputError with all of them.
    """
    read = [Path(one) for one in inputs if one is not None]
    if scenario is not None:
        read += map(Path, files_of(scenario))
    problems, taken = [], dict[str, str]()
    for option, path in outputs:
        if path is None or _is_device(path):
            continue
        what = next((one for one in read if _is_same(path, one)), None)
        if what is not None:
            words = f"is an input of this command ({what}); write to another place"
            problems.append(Problem(option, 0, 0, str(path), words))
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            problems.append(Problem(option, 0, 0, str(path), f"{other} writes the same file"))
    if problems:
        raise InputError(problems)


def files_of(scenario: Scenario) -> list[str]:
    """Return the names of the files that a scenario was read from."""
    origins = scenario.profile_origin, scenario.topology_origin, scenario.events_origin
    traffic = scenario.profile_origin
    folder = Path() if traffic is None else Path(traffic.file).parent
    captures = [str(folder / one.file) for one in scenario.profile.captures]
    return [*(one.file for one in origins if one is not None), *captures]


def in_folder(option: str, folder: Path | None, names: Collection[str]) -> Iterator[Place]:
    """Yield the files that a command replaces or takes away in a folder."""
    if folder is not None and folder.is_dir():
        yield from ((option, folder / name) for name in names)


def of_report(
    out: Path | None, plan_file: Path | None = None, plan: Plan | None = None
) -> Iterator[Place]:
    """Yield what `--out` replaces; not a plan that is put back there to the byte."""
    from qnet.files.run_folder import OWN
    from qnet.files.write import to_json

    for option, path in in_folder("--out", out, OWN):
        if plan is not None and plan_file is not None and path is not None:
            again = path.name == "plan.json" and _is_same(path, plan_file)
            if again and path.read_bytes() == to_json(plan).encode():
                continue
        yield option, path


def of_captures(scenario: Scenario, folder: Path | None) -> Iterator[Place]:
    """Yield what `--captures` replaces."""
    from qnet.machine import captured_files

    yield from in_folder("--captures", folder, captured_files(scenario))


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


def _is_device(path: Path) -> bool:
    """Say whether something is no plain file: it is written into, and nothing is replaced."""
    return path.exists() and not path.is_file()
