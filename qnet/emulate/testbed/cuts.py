"""Take wires down and mend them; know of those that a controller has set up again meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.switches.dummy_switches import Fabric
from qnet.errors import EnvironmentMissing, QnetError

if TYPE_CHECKING:
    from qnet.emulate.testbed.remote import RemoteSwitches


class NotThere(QnetError):
    """A test names a host or a link that the topology does not have."""

    exit_code = 2


class CutUndone(EnvironmentMissing):
    """The controller has set a port up whose wire was cut: tier lockstep cannot prevent it."""


class Cuts:
    """The wires of a testbed, to be cut and mended."""

    def __init__(self, fabric: Fabric | RemoteSwitches, wiring: Wiring) -> None:
        self._fabric, self._wiring = fabric, wiring
        self.mended_at: dict[str, float] = {}
        """When a wire was last mended, by its port's name; monotonic clock."""

    def wires(self, first: str, second: str) -> list[str]:
        """Return the ports of a node to another one; raises NotThere without any."""
        topology = self._wiring.topology
        check_names("node", tuple(topology.node_by_name), first, second)
        ports = topology.ports
        wires = [one.name for one in ports if (one.source, one.target) == (first, second)]
        if not wires:
            near = ", ".join(dict.fromkeys(one.target for one in ports if one.source == first))
            has = f"{first} has wires to {near}" if near else f"{first} has no wires"
            raise NotThere(f"no wire between {first} and {second}; {has}")
        return wires

    @contextmanager
    def down(self, wires: Sequence[str]) -> Iterator[None]:
        """Take wires down for a while."""
        try:
            for name in wires:
                self._fabric.set_wire(name, up=False)
            yield
            self.check()
        except AssertionError as error:
            if words := self._undone():
                error.add_note(words)
            raise
        finally:
            self.mend(wires)

    def mend(self, wires: Sequence[str]) -> None:
        """Set wires up again."""
        for name in wires:
            self._fabric.set_wire(name, up=True)
            for one in self._wiring.both(self._wiring.topology.port_by_name[name]):
                self.mended_at[one.name] = time.monotonic()

    def check(self) -> None:
        """Raise CutUndone when a port is up though its wire is cut: the controller was deceived."""
        if words := self._undone():
            raise CutUndone(words)

    def _undone(self) -> str:
        """Say which port is up though its wire is cut, or nothing where none is."""
        for node, number in self._fabric.undone():
            place = node, number
            wire = self._wiring.port_at.get(place) or self._wiring.only_into[place]
            return (
                f"the controller set the port of {node} at the cut wire {wire.name} up again "
                "(OFPPC_PORT_DOWN of a port modification), so that it took the wire for whole; "
                "tier mininet cuts wires so that nobody can"
            )
        return ""


def check_names(kind: str, there: Sequence[str], *names: str) -> None:
    """Raise NotThere for a name that there is not, with those that there are."""
    for name in names:
        if name not in there:
            raise NotThere(f"no {kind} '{name}'; there are {', '.join(there)}")
