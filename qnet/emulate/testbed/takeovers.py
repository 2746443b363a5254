"""Wait for one of several controllers to become master; see how the others do while one is away."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qnet.emulate.testbed.pings import Ping
from qnet.emulate.testbed.waiting import LOOK_AGAIN_S, wait_until

if TYPE_CHECKING:
    from qnet.emulate.testbed.testbed import Testbed


class Takeover(NamedTuple):
    """What it took until a controller was master of all switches."""

    seconds: float
    """Longest time that a switch had no master before it; wall clock."""
    without_s: dict[str, float]
    """The same, by switch."""


def wait_master(testbed: Testbed, controller: str, within_s: float) -> Takeover:
    """As `Testbed.wait_master`."""
    __tracebackhide__ = True
    testbed.controllers.chosen(controller)
    roles = testbed.roles
    wait_until(
        lambda: all(roles.master(one) == controller for one in testbed.switches),
        within_s,
        f"{controller} to be master of all switches",
        testbed.wait,
        lambda: (*role_lines(testbed), *testbed.control()),
    )
    without_s = {one: roles.without_s(one) for one in testbed.switches}
    return Takeover(max(without_s.values()), without_s)


def role_lines(testbed: Testbed) -> list[str]:
    """Say which role each controller has at which switches, and which requests were refused."""
    lines = []
    for name in testbed.controllers.names:
        by_role: dict[str, list[str]] = {}
        for switch in testbed.switches:
            role = testbed.roles.role(switch, name) or "not connected"
            by_role.setdefault(role, []).append(switch)
        told = "; ".join(f"{role}: {', '.join(some)}" for role, some in sorted(by_role.items()))
        lines.append(f"{name}: {told}")
    for one in testbed.roles.refused[-3:]:
        asked = f"{one.role or 'a role'} with generation id {one.generation_id}"
        has = testbed.roles.generation_id(one.switch)
        lines.append(f"{one.switch} refused {one.controller} {asked}: {one.reason}, it has {has}")
    return lines


class Absence(NamedTuple):
    """What happened while one of several controllers was away."""

    away: str
    seconds: float | None
    """Longest time that a switch of which it was master had none; None where it was of none."""
    masters: tuple[str, ...]
    """Who was master in its place."""
    orphans: tuple[str, ...]
    """Switches of which it was master and that got no other one in time."""
    pings: tuple[tuple[tuple[str, str], Ping], ...]
    """Frames of pairs of hosts meanwhile."""

    def told(self) -> dict[str, object]:
        """Return it under the names that the answer in JSON has."""
        values = self._asdict()
        del values["pings"]
        return {**values, "pairs": len(self.pings)}


def try_absences(
    testbed: Testbed, pairs: Sequence[tuple[str, str]], most_s: float
) -> Iterator[Absence]:
    """Take each of several controllers away in turn, and send frames when others took over.

    Switches of which it was master have `most_s` for another one.
    """
    for name in testbed.controllers.names:
        roles = testbed.roles
        led = [one for one in testbed.switches if roles.master(one) == name]
        with testbed.controller_away(name):
            end = time.monotonic() + most_s
            while any(roles.master(one) is None for one in led) and time.monotonic() < end:
                testbed.wait(LOOK_AGAIN_S)
            orphans = tuple(one for one in led if roles.master(one) is None)
            masters = {found for one in led if (found := roles.master(one)) is not None}
            without_s = [roles.without_s(one) for one in led if one not in orphans]
            seconds = max(without_s) if without_s else None
            pings = tuple((pair, testbed.ping(*pair)) for pair in pairs)
            yield Absence(name, seconds, tuple(sorted(masters)), orphans, pings)
