"""The controllers of a testbed, by name: whether they are there, and what switches say of each.

Every switch is connected to all of them. What becomes of frames says nothing of controllers that
have gone; of several, one that is left has to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from qnet.emulate.process.address import stopped_listener
from qnet.emulate.process.tls import TlsFiles
from qnet.emulate.switches.switch_set import STOPPED, SwitchSet
from qnet.emulate.switches.talk import NOTHING_KNOWN, ControllerGone, Talk, hung_up, told
from qnet.emulate.testbed.cuts import check_names

if TYPE_CHECKING:
    from qnet.emulate.process.controller import Controller

RECONNECT_S = 2.0
"""A controller that has hung up has this long to be there again."""

Given = str | Sequence[str] | Mapping[str, str]
"""Where one controller listens, or several; with names, or their addresses are their names."""


class ControllerSet:
    """One controller of a testbed's switches, or several."""

    def __init__(self, given: Given, tls: TlsFiles | None = None) -> None:
        if isinstance(given, str):
            given = [given]
        named = given if isinstance(given, Mapping) else dict(zip(given, given, strict=True))
        self.addresses = dict(named)
        """Where each listens, by its name."""
        self.tls = tls
        """What those at ssl:HOST:PORT need."""
        self.names = tuple(self.addresses)
        self.apps: dict[str, Controller] = {}
        """Those that were started for the testbed, by name."""

    def chosen(self, name: str | None) -> tuple[str, ...]:
        """Return the names of those that are meant: all of them by None. Raises NotThere."""
        if name is None:
            return self.names
        check_names("controller", self.names, name)
        return (name,)

    def place(self, name: str) -> int:
        """Return the place of a controller among all."""
        return self.names.index(name)

    def at(self, name: str) -> str:
        """Return where a controller listens, and its name if it has one, for a message."""
        address = self.addresses[name]
        return address if name == address or len(self.names) == 1 else f"{address} ({name})"

    def wait_connected(self, switches: SwitchSet, most_s: float) -> None:
        """Wait for every switch's connection to all; raises EnvironmentMissing without one."""
        for place, name in enumerate(self.names):
            switches.wait_connected(self.at(name), most_s, place=place)

    def control(self, switches: SwitchSet) -> tuple[str, ...]:
        """Say what the switches have to say of controllers that explains a failure."""
        found: list[str] = []
        for name, talks in self._talks(switches):
            gone = hung_up(talks, self.at(name))
            whose = "the controller" if len(self.names) == 1 else f"the controller {name}"
            found += [*([gone] if gone else []), *told(talks, whose)]
        return tuple(found)

    def confirm(self, switches: SwitchSet, after: str) -> None:
        """Raise ControllerGone where none is left for a switch, or all stand still.

        One that hangs up has a moment to be there again, as it has when it is started anew.
        """
        end = time.monotonic() + RECONNECT_S
        while (words := self._gone(switches, after)) is not None:
            if time.monotonic() > end:
                raise ControllerGone(f"{words}; {NOTHING_KNOWN}")
            switches.pump(0.05)
        stopped = {name: stopped_listener(one) for name, one in self.addresses.items()}
        if None not in stopped.values():
            words = "; ".join(
                f"the controller at {self.at(name)} (process {process}) {STOPPED}"
                for name, process in stopped.items()
            )
            raise ControllerGone(f"{words}; {NOTHING_KNOWN}")

    def _gone(self, switches: SwitchSet, after: str) -> str | None:
        """Say who has gone, where a switch has no controller any more."""
        if switches.is_away:
            return None
        every = dict(self._talks(switches))
        has_one = [
            any(talks[node].connected for talks in every.values())
            for node in next(iter(every.values()))
        ]
        if all(has_one):
            return None
        words = [hung_up(talks, self.at(name), after) for name, talks in every.items()]
        return "; ".join(one for one in words if one is not None) or None

    def _talks(self, switches: SwitchSet) -> Iterator[tuple[str, Mapping[str, Talk]]]:
        for place, name in enumerate(self.names):
            yield name, switches.talks(place)

    # What those that were started here have written

    def written(self) -> tuple[int, ...]:
        """Return how many bytes each app has written so far, for `words_since`."""
        return tuple(one.written() for one in self.apps.values())

    def words_since(self, written: Sequence[int]) -> str:
        """Return what apps wrote after so many bytes; of several, each line with the app's name."""
        found = [
            (name, one.words_since(begin))
            for (name, one), begin in zip(self.apps.items(), written, strict=False)
        ]
        if len(self.names) == 1:
            return "".join(words for _, words in found)
        return "\n".join(f"{name}: {line}" for name, words in found for line in words.splitlines())
