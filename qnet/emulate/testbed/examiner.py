"""A testbed on which a controller is examined, and the pairs of hosts that are sent between."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from qnet.emulate.frames import packets
from qnet.emulate.frames.trips import Trip
from qnet.emulate.switches.switch_set import SETTLE_S
from qnet.emulate.switches.talk import ControllerGone, Talk
from qnet.emulate.testbed.findings import explain
from qnet.emulate.testbed.reach import (
    Judgement,
    PairJudge,
    ReachFinding,
    faults_of,
    has_way_round,
)
from qnet.emulate.testbed.scorecard import Amount
from qnet.emulate.testbed.testbed import Testbed

PAIRS_MOST = 6
"""Pairs of hosts that an examination sends between."""

QUIET_S = 0.3
"""Tables are read, and frames sent, when nothing has come into tables for so long."""

CONNECTED_S = 5.0
"""A controller has so long to be there when an examination begins."""

FAILED_MOST = 2
"""Pairs that are looked at when hosts do not reach each other again."""

AGAIN_S = 0.3
"""Pause before pairs of hosts are tried again."""

Pair = tuple[str, str]


class ExaminationTerms(NamedTuple):
    """What examinations go by."""

    recover_s: float = SETTLE_S
    """Longest wait for hosts to reach each other again after trouble."""
    isolated: tuple[Pair, ...] = ()
    """Pairs of hosts that are to get nothing of each other."""
    restart: str = ""
    """A shell command that starts the controller anew."""


class NotKnown(Exception):
    """An examination cannot come to a result."""


class Examiner:
    """A testbed under examination, and the pairs of hosts that reach each other on it."""

    def __init__(self, testbed: Testbed, reached: Judgement, course: ExaminationTerms) -> None:
        self.testbed, self.reached, self.course = testbed, reached, course
        wrong = {(one.source, one.target) for one in reached.faults if one.kind != "failover"}
        good = [pair for pair in reached.tried if pair not in wrong]
        self._good = good[:: -(-len(good) // PAIRS_MOST)] if good else []
        self._healed_until = 0.0
        self.ways: dict[Pair, tuple[str, ...]] = {}
        """The switches on the way of each pair that reaches each other now."""

    @property
    def pairs(self) -> list[Pair]:
        """Pairs of hosts that reached each other when the examination began."""
        return list(self.ways)

    def begin(self) -> None:
        """Find the pairs that reach each other; raises NotKnown when there is none."""
        end = time.monotonic() + CONNECTED_S
        while gone := self._unconnected():
            if time.monotonic() > end:
                raise NotKnown(f"{', '.join(gone)} had no controller when it began")
            self.testbed.wait(0.1)
        switches = self.testbed.switches
        self.ways = {}
        while not self.ways:
            for pair in self._good:
                found = self.testbed.ping(*pair, count=1)
                if not any(faults_of(*pair, found)):
                    self.ways[pair] = tuple(one for one in found.path if one in switches)
            if time.monotonic() > self._healed_until:
                break
        if not self.ways:
            raise NotKnown("no hosts reached each other when it began")

    def _unconnected(self) -> list[str]:
        connections = self.connections()
        connected = {node for (node, _), talk in connections.items() if talk.connected}
        return [node for node in self.testbed.switches if node not in connected]

    def connections(self) -> dict[tuple[str, int], Talk]:
        """Return what switches have with each controller, by switch and the controller's place."""
        every = enumerate(self.testbed.controllers.names)
        return {
            (node, place): talk
            for place, _ in every
            for node, talk in self.testbed.fabric.talks(place).items()
        }

    def busiest(self) -> str:
        """Return the switch that most ways go through, one in their middle where it can be."""
        through = Counter(node for way in self.ways.values() for node in way)
        inner = Counter(node for way in self.ways.values() for node in way[1:-1])
        return max(through, key=lambda node: (through[node], inner[node]))

    def through(self, node: str) -> list[Pair]:
        """Return the pairs whose ways go through a switch."""
        return [pair for pair, way in self.ways.items() if node in way]

    def longest(self) -> tuple[str, ...]:
        """Return the longest way that has another one beside it; () without one."""
        ways = sorted(self.ways.values(), key=len, reverse=True)
        return next((one for one in ways if has_way_round(self.testbed, one)), ())

    def recover(self, pairs: Sequence[Pair]) -> tuple[Amount, list[ReachFinding]]:
        """Wait until pairs reach each other, then judge them; tell how long it took."""
        begun = time.monotonic()
        left = list(pairs)
        while left:
            if not any(faults_of(*left[0], self.testbed.ping(*left[0], count=1))):
                del left[0]
                continue
            if time.monotonic() - begun > self.course.recover_s:
                break
            self.testbed.wait(AGAIN_S)
        took_s: float | None = time.monotonic() - begun
        judge = PairJudge(self.testbed, 0.0)
        judge.look(left[:FAILED_MOST] or pairs)
        findings = list(judge.findings())
        if left:
            took_s = None if findings else time.monotonic() - begun
        return Amount("reach after", took_s, "s"), findings

    def heal(self) -> None:
        """Start the busiest switch anew, for what is examined next."""
        with suppress(ControllerGone):
            self.testbed.restart_switch(self.busiest())
            self.testbed.fabric.wait_quiet(QUIET_S)
        self._healed_until = time.monotonic() + self.course.recover_s

    def lost(self, pair: Pair, trips: Sequence[Trip], when: str) -> ReachFinding:
        """Say of frames of a pair that they did not come, and where they ended."""
        why = explain(self.testbed, "lost", [(one.number, pair[1]) for one in trips], "")
        switches = () if why is None else (why.where,)
        words = f"{pair[0]} to {pair[1]}: {len(trips)} frames lost {when}"
        return ReachFinding("lost", *pair, switches, len(trips), words, why)

    def asked_since(self, time_s: float) -> dict[str, int]:
        """Count frames that switches have given to the controller, discovery aside."""
        counted: Counter[str] = Counter()
        for one in self.testbed.channel.since(time_s):
            packet = one.packet
            found = packet is not None and packets.is_discovery(packet.data)
            if one.kind == "packet-in" and not found:
                counted[one.switch] += 1
        return dict(counted)
