"""The reservation app: every switch has the rules that qnet computed from the plan.

The app decides nothing. `--rules-file` holds the wanted rules of every switch, as
`qnet.emulate.openflow.nouns.to_text` writes them; when the file changes, the switches follow. It
may come later than they do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compat import CONF, hub, options, read_file, spawn, tell
from reconcile import Reconciler

from qnet.emulate.openflow.nouns import from_text

CONF.register_cli_opts(
    [options.StrOpt("rules-file", help="rules of every switch, written by qnet")]
)


class Reservation(Reconciler):
    """Reconciles switches with the rules file."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._stamp = (0, 0)
        if CONF.rules_file is None or not _is_awaited(Path(CONF.rules_file)):
            read_file("rules-file", CONF.rules_file, from_text)
            self._path = Path(CONF.rules_file)
            self._load()
        else:
            self._path = Path(CONF.rules_file)
            tell("waiting", message=f"{self._path} is not there yet; rules are laid when it is")
        spawn(self._watch)

    def _load(self) -> None:
        """Read the rules file if it is another one than last time."""
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return
        switches = from_text(self._path.read_text(encoding="utf-8"))
        self._stamp = stamp
        tell("rules", switches=len(switches), rules=sum(len(one.rules) for one in switches))
        self.want(switches)

    def _watch(self) -> None:
        """Follow the rules file; one that cannot be read leaves the switches as they are."""
        reason = ""
        while True:
            hub.sleep(0.2)
            if self._stamp == (0, 0) and _is_awaited(self._path):
                continue
            try:
                self._load()
            except (OSError, ValueError) as error:
                if str(error) != reason:
                    tell("error", message=f"{self._path}: {error}")
                reason = str(error)


def _is_awaited(path: Path) -> bool:
    """Tell whether a rules file is still to come: none is there, or nothing in it, in a folder."""
    return path.parent.is_dir() and (
        not path.exists() or (path.is_file() and not path.stat().st_size)
    )
