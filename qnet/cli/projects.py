"""The verb that writes what somebody begins with: new."""

from __future__ import annotations

from pathlib import Path

import click

from qnet.cli.command import main
from qnet.cli.output import say


@main.group()
def new() -> None:
    """Begin a project: write its files into a new folder."""


@new.command("controller-project")
@click.argument("folder", metavar="NAME", type=click.Path(path_type=Path))
def controller_project(folder: Path) -> None:
    """Begin a controller's project: an app of os-ken, three tests, a CI file, a README.

    NAME is the folder, which must not be there yet. One of the tests is red; the README leads on.
    """
    from qnet.files.project import write_project

    written = write_project("controller", folder)
    for one in written:
        say(str(folder / one))
    say(f"one test is red by intent: {folder / 'README.md'} leads to green")
