"""The door: the group of all verbs, and what errors look like from outside."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from qnet import __version__
from qnet.errors import QnetError


class Door(click.Group):
    """Turns deliberate errors into their text and exit code, and Ctrl-C into 130."""

    def invoke(self, context: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(context)
        except QnetError as error:
            fail(str(error), error.exit_code)
        except BrokenPipeError:
            # The reader of our output (head, less) has left; there is nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except OSError as error:
            # Files that cannot be read are InputErrors; what remains are results that do not fit.
            fail(cannot_be_written(error.filename or "the output", error), 3)
        except KeyboardInterrupt:
            fail("interrupted; nothing was written", 130)


def cannot_be_written(path: object, error: OSError) -> str:
    """Say that a result cannot be written, and why."""
    return f"{path} cannot be written: {(error.strerror or str(error)).lower()}"


def fail(text: str, code: int) -> NoReturn:
    """End the command with a message and an exit code."""
    click.echo(text, err=True)
    sys.exit(code)


@click.group(cls=Door, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qnet")
def main() -> None:
    """Ask a network whether it keeps its microsecond promises and its ten terabits.

    PROFILE is the name of a bundled traffic profile (see 'qnet list') or a traffic file.
    """
