"""Which of several controllers is a switch's master: read off what switches tell them.

A switch tells its role to a controller that asked for one (OFPT_ROLE_REPLY, OpenFlow Switch
Specification 1.3.5, clauses 6.3.5 and 7.3.9). A controller that becomes master makes slaves of
those that were; a new connection has the role equal. OpenFlow before 1.2 has no roles.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Mapping
from typing import Literal, NamedTuple

Role = Literal["equal", "master", "slave"]

ROLES: Mapping[int, Role] = {1: "equal", 2: "master", 3: "slave"}
"""OFPCR_ROLE_NOCHANGE: only asks."""

FIRST = 3
"""Version 1.2 on the wire: the first with roles."""

FAILED = 11
"""OFPET_ROLE_REQUEST_FAILED"""

REASONS: Mapping[int, str] = {0: "stale", 1: "unsupported", 2: "bad role"}

NO_ID = (1 << 64) - 1
"""Generation id of a switch that has been given none."""

_ROLE = struct.Struct("!8xI4xQ")


class RoleChange(NamedTuple):
    """A switch has told a controller its role, or has made a slave of it, or lost it (None)."""

    time_s: float
    """Monotonic clock."""
    switch: str
    controller: str
    role: Role | None
    generation_id: int | None = None
    """The one that the role came with."""


class RoleRefusal(NamedTuple):
    """A switch has refused the role that a controller asked for."""

    time_s: float
    switch: str
    controller: str
    reason: str
    """stale, unsupported or bad role"""
    role: Role | None
    """What was asked for, where the switch says it."""
    generation_id: int | None


class Roles:
    """Roles of controllers, as they are and as they came about; may be asked by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._roles: dict[tuple[str, str], Role] = {}
        self._connections: dict[tuple[str, str], int] = {}
        self._ids: dict[str, int] = {}
        self._changes: list[RoleChange] = []
        self._refused: list[RoleRefusal] = []

    # What a channel tells

    def opened(self, time_s: float, switch: str, controller: str, connection: int) -> None:
        """Note that a switch has connected: the controller is one among equals."""
        with self._lock:
            self._connections[switch, controller] = connection
            self._set(RoleChange(time_s, switch, controller, "equal"))

    def closed(self, time_s: float, switch: str, controller: str, connection: int) -> None:
        """Note that a connection is over, if it is the one that there is."""
        with self._lock:
            if self._connections.get((switch, controller)) == connection:
                self._set(RoleChange(time_s, switch, controller, None))

    def came(self, time_s: float, switch: str, controller: str, kind: str, data: bytes) -> None:
        """Note a message of a switch."""
        if data[0] < FIRST:
            return
        if kind == "role-reply" and len(data) >= _ROLE.size:
            number, generation = _ROLE.unpack_from(data)
            if number in ROLES:
                self._told(time_s, switch, controller, ROLES[number], generation)
        elif kind == "error" and len(data) >= 12:
            error, reason = struct.unpack_from("!HH", data, 8)
            if error == FAILED:
                asked = data[12:]
                number, generation = (0, None)
                if len(asked) >= _ROLE.size:
                    number, generation = _ROLE.unpack_from(asked)
                words = REASONS.get(reason, str(reason))
                one = RoleRefusal(time_s, switch, controller, words, ROLES.get(number), generation)
                with self._lock:
                    self._refused.append(one)

    def _told(self, time_s: float, switch: str, controller: str, role: Role, given: int) -> None:
        generation = None if given == NO_ID else given
        with self._lock:
            if generation is not None:
                self._ids[switch] = generation
            if role == "master":
                for (other, name), has in list(self._roles.items()):
                    if other == switch and name != controller and has == "master":
                        self._set(RoleChange(time_s, switch, name, "slave", generation))
            self._set(RoleChange(time_s, switch, controller, role, generation))

    def _set(self, one: RoleChange) -> None:
        place = one.switch, one.controller
        if self._roles.get(place) == one.role:
            return
        if one.role is None:
            del self._roles[place]
        else:
            self._roles[place] = one.role
        self._changes.append(one)

    # What is asked

    @property
    def changes(self) -> tuple[RoleChange, ...]:
        """All changes so far, in order."""
        with self._lock:
            return tuple(self._changes)

    @property
    def refused(self) -> tuple[RoleRefusal, ...]:
        """Requests for a role that switches refused, in order."""
        with self._lock:
            return tuple(self._refused)

    def role(self, switch: str, controller: str) -> Role | None:
        """Return the role of a controller at a switch; None where it is not connected."""
        with self._lock:
            return self._roles.get((switch, controller))

    def of(self, controller: str) -> dict[str, Role]:
        """Return the roles of a controller, by the switches that are connected to it."""
        with self._lock:
            every = self._roles.items()
            return {switch: role for (switch, one), role in every if one == controller}

    def master(self, switch: str) -> str | None:
        """Return the master of a switch, if it has one."""
        with self._lock:
            every = self._roles.items()
            return next((one for (at, one), has in every if (at, has) == (switch, "master")), None)

    def generation_id(self, switch: str) -> int | None:
        """Return the last generation id that a switch took; None where it was given none."""
        with self._lock:
            return self._ids.get(switch)

    def without_s(self, switch: str) -> float:
        """Return for how long a switch had no master before the one that it has.

        Zero where that one was the first, or came while there was another one.
        """
        master, lost_s, gap_s = None, None, 0.0
        for one in self.changes:
            if one.switch != switch:
                continue
            if one.role == "master":
                gap_s = one.time_s - lost_s if master is None and lost_s is not None else 0.0
                master = one.controller
            elif one.controller == master:
                master, lost_s = None, one.time_s
        return gap_s
