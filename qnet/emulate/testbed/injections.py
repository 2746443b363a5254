"""Trouble between switches and their controller, made on purpose.

It is slow, gone, begun anew; a switch begins anew, has no room, refuses what it is sent.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qnet.emulate.switches.talk import ControllerGone
from qnet.emulate.testbed.refusals import RefusingSwitch, RuleRefusals
from qnet.errors import EnvironmentMissing

if TYPE_CHECKING:
    from qnet.emulate.process.relay import Relay
    from qnet.emulate.testbed.testbed import Testbed

BACK_S = 20.0
"""Longest wait for a controller to take switches back."""


Before = Mapping[tuple[str, str], int]
"""How many connections there have been, by switch and controller."""


@contextmanager
def slow_controller(testbed: Testbed, delay_s: float, name: str | None) -> Iterator[None]:
    """Have what controllers say come so much later."""
    relays = _relays(testbed, testbed.controllers.chosen(name))
    for relay in relays:
        relay.delay_s = delay_s
    try:
        yield
    finally:
        for relay in relays:
            relay.delay_s = 0.0


@contextmanager
def controller_away(testbed: Testbed, name: str | None) -> Iterator[None]:
    """Take controllers' connections away, and give them back; waits until all are there."""
    names = testbed.controllers.chosen(name)
    relays, before = _relays(testbed, names), _excuse(testbed, testbed.switches, names)
    places = [testbed.controllers.place(one) for one in names]
    with _away(testbed, names):
        for relay in relays:
            relay.send_away()
        try:
            while any(
                one.connected for place in places for one in testbed.fabric.talks(place).values()
            ):
                testbed.wait(0.01)  # a switch has not seen it yet
            yield
        finally:
            for relay in relays:
                relay.take_back()
        _wait_back(testbed, before, "it was away")


def restart_switch(testbed: Testbed, node: str) -> None:
    """Start a switch anew, without entries; returns when it is connected again."""
    before = _excuse(testbed, [node], testbed.controllers.names)
    testbed.fabric.restart_switch(node)
    _wait_back(testbed, before, f"{node} was started anew")


def restart_controller(testbed: Testbed, name: str | None) -> None:
    """End controllers that were started for the testbed and start them anew, at the same port."""
    names = testbed.controllers.chosen(name)
    apps = [testbed.controllers.apps.get(one) for one in names]
    if not all(apps):
        words = "the controller was not started here; nobody but who did can start it anew"
        raise EnvironmentMissing(words)
    before = _excuse(testbed, testbed.switches, names)
    for app in apps:
        assert app is not None
        app.restart()
    _wait_back(testbed, before, "it was started anew")


def restart_by(testbed: Testbed, command: str, meanwhile: Callable[[], None]) -> None:
    """Have a shell command start the controller anew; returns when switches are connected again.

    Until then `meanwhile` is called again and again. Raises EnvironmentMissing when the command
    fails, and ControllerGone when a switch is not taken back.
    """
    names = testbed.controllers.names
    before = _excuse(testbed, testbed.switches, names)
    nowhere = subprocess.DEVNULL  # a controller that it leaves running keeps its output open
    with (
        _away(testbed, names),
        subprocess.Popen(
            command, shell=True, stdin=nowhere, stdout=nowhere, stderr=nowhere
        ) as child,
    ):
        while child.poll() is None:
            meanwhile()
        if child.returncode:
            raise EnvironmentMissing(f"{command}: exit code {child.returncode}")
        _wait_back(testbed, before, "it was started anew", meanwhile)


@contextmanager
def _away(testbed: Testbed, names: Iterable[str]) -> Iterator[None]:
    """Have nobody be blamed when all controllers are away."""
    testbed.fabric.is_away = set(names) == set(testbed.controllers.names)
    try:
        yield
    finally:
        testbed.fabric.is_away = False


@contextmanager
def full_tables(testbed: Testbed, node: str) -> Iterator[Mapping[int, int]]:
    """Have a switch take no more entries than it has; gives how many that is, by table."""
    limits = testbed.fabric.close_tables(node)
    try:
        yield limits
    finally:
        testbed.fabric.open_tables(node)


@contextmanager
def refusing_switch(testbed: Testbed, node: str) -> Iterator[RefusingSwitch]:
    """Start a switch anew that refuses each entry once; gives what it has refused so far."""
    sieves = []
    for relay in _relays(testbed, testbed.controllers.names):
        if not isinstance(relay.sieve, RuleRefusals):
            relay.sieve = RuleRefusals(relay.count)
        sieves.append(relay.sieve)
    refusing = RefusingSwitch(sieves)
    refusing.begin(node)
    try:
        restart_switch(testbed, node)
        yield refusing
    finally:
        refusing.end()


def _relays(testbed: Testbed, names: Iterable[str]) -> list[Relay]:
    relays = testbed.fabric.relays
    assert relays, "use Testbed in a with statement"
    return [relays[testbed.controllers.place(name)] for name in names]


def _excuse(testbed: Testbed, nodes: Iterable[str], names: Iterable[str]) -> Before:
    """Have connections that end now be nobody's fault; return how many there have been."""
    nodes, before = list(nodes), {}
    for name in names:
        place = testbed.controllers.place(name)
        talks = testbed.fabric.logged_talks(place)
        for node in nodes:
            testbed.fabric.excused[node, place] += talks[node].connected
            before[node, name] = talks[node].connections
    return before


def _wait_back(
    testbed: Testbed, before: Before, when: str, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Wait until switches have one more connection; raises ControllerGone when one has not."""
    end = time.monotonic() + BACK_S
    names = dict.fromkeys(name for _, name in before)
    while True:
        absent: dict[str, list[str]] = {}
        for name in names:
            talks = testbed.fabric.logged_talks(testbed.controllers.place(name))
            for node, whose in before:
                is_new = talks[node].connections > before[node, whose]
                if whose == name and not (talks[node].connected and is_new):
                    absent.setdefault(name, []).append(node)
        if not absent:
            return
        if time.monotonic() > end:
            words = [
                f"the controller at {testbed.controllers.at(name)} has not taken back "
                f"{', '.join(nodes)} in {BACK_S:.0f} s after {when}"
                for name, nodes in absent.items()
            ]
            raise ControllerGone("; ".join(words))
        meanwhile()
        testbed.wait(0.05)
