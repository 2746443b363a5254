"""Trouble between switches and their controller, made on purpose: slow, gone, begun anew."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qnet.emulate.switches.talk import ControllerGone
from qnet.errors import EnvironmentMissing

if TYPE_CHECKING:
    from qnet.emulate.process.relay import Relay
    from qnet.emulate.testbed.testbed import Testbed

BACK_S = 20.0
"""Longest wait for a controller to take switches back."""


@contextmanager
def slow_controller(testbed: Testbed, delay_s: float) -> Iterator[None]:
    """Have what the controller says come so much later."""
    relay = _relay(testbed)
    relay.delay_s = delay_s
    try:
        yield
    finally:
        relay.delay_s = 0.0


@contextmanager
def controller_away(testbed: Testbed) -> Iterator[None]:
    """Take the controller's connections away, and give them back; waits until all are there."""
    relay, before = _relay(testbed), _excuse(testbed, testbed.switches)
    relay.send_away()
    try:
        while any(one.connected for one in testbed.fabric.talks().values()):
            testbed.wait(0.01)  # a switch has not seen it yet
        yield
    except BaseException:
        relay.take_back()
        raise
    relay.take_back()
    _wait_back(testbed, before, "it was away")


def restart_switch(testbed: Testbed, node: str) -> None:
    """Start a switch anew, without entries; returns when it is connected again."""
    before = _excuse(testbed, [node])
    testbed.fabric.restart_switch(node)
    _wait_back(testbed, before, f"{node} was started anew")


def restart_controller(testbed: Testbed) -> None:
    """End the controller that was started for the testbed and start it anew, at the same port."""
    if testbed.app is None:
        words = "the controller was not started here; nobody but who did can start it anew"
        raise EnvironmentMissing(words)
    before = _excuse(testbed, testbed.switches)
    testbed.app.restart()
    _wait_back(testbed, before, "it was started anew")


def _relay(testbed: Testbed) -> Relay:
    relay = testbed.fabric.relay
    assert relay is not None, "use Testbed in a with statement"
    return relay


def _excuse(testbed: Testbed, nodes: Iterable[str]) -> dict[str, int]:
    """Have connections that end now be nobody's fault; return how many there have been."""
    talks = testbed.fabric.logged_talks()
    for node in nodes:
        testbed.fabric.excused[node] += talks[node].connected
    return {node: talks[node].connections for node in nodes}


def _wait_back(testbed: Testbed, before: Mapping[str, int], when: str) -> None:
    """Wait until switches have one more connection; raises ControllerGone when one has not."""
    end = time.monotonic() + BACK_S
    while True:
        talks = testbed.fabric.logged_talks()
        absent = [
            node
            for node, connections in before.items()
            if not (talks[node].connected and talks[node].connections > connections)
        ]
        if not absent:
            return
        if time.monotonic() > end:
            raise ControllerGone(
                f"the controller at {testbed.controller} has not taken back {', '.join(absent)} "
                f"in {BACK_S:.0f} s after {when}"
            )
        testbed.wait(0.05)
