"""Judge plain forwarding: does every host reach every other one, and nobody else."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Literal, NamedTuple

from qnet.emulate.frames.trips import Stall
from qnet.emulate.switches.switch_set import SETTLE_S
from qnet.emulate.testbed.channel import ChannelLog
from qnet.emulate.testbed.cuts import CutUndone
from qnet.emulate.testbed.findings import Explanation, explanations, suspect
from qnet.emulate.testbed.pings import Ping
from qnet.emulate.testbed.takeovers import Absence, try_absences
from qnet.emulate.testbed.testbed import FAILOVER_S, Testbed
from qnet.emulate.testbed.wire_log import WireLog
from qnet.graph.distances import distances
from qnet.model.verdict import Outcome

if TYPE_CHECKING:
    from qnet.emulate.testbed.scorecard import Examined

LATE_AGAIN = 2
"""So often a pair is tried again whose frames come, but late: that is no matter of settling."""

AGAIN_S = 1.0
"""Pause before a pair of hosts is tried again."""

PAIRS_AWAY = 4
"""Pairs of hosts tried again while one of several controllers is away."""

PAIRS = 50
"""Pairs of hosts tried, unless another number is asked for."""


class ReachFinding(NamedTuple):
    """One finding: between whom, at which switches, of how many frames, and in a sentence."""

    kind: Literal[
        "address",
        "lost",
        "late",
        "copies",
        "others",
        "loop",
        "failover",
        "takeover",
        "leak",
        "asked",
        "entries",
        "refused",
        "connection",
    ]
    source: str
    target: str
    switches: tuple[str, ...]
    """Where it was seen, or the way of the last frame that came."""
    frames: int
    """Frames that it happened to, or that were sent when it did."""
    message: str
    why: Explanation | None = None
    """What explains it."""

    @property
    def cause(self) -> tuple[str, str]:
        """What findings of one cause have in common: loops, or what went wrong at one switch."""
        where = "" if self.kind == "loop" or self.why is None else self.why.where
        return self.kind, where

    def told(self) -> dict[str, object]:
        """Return it under the names that the answer in JSON has."""
        values = self._asdict()
        ends = {"from": values.pop("source"), "to": values.pop("target")}
        why = values.pop("why")
        explained = {} if why is None else {"why": why._asdict()}
        return {"kind": values.pop("kind"), **ends, **values, **explained}


class Judgement(NamedTuple):
    """What was found of a controller on a topology; good when there are no findings."""

    pairs: int
    frames: int
    lost: int
    findings: tuple[str, ...]
    failover_s: float | None
    """Wall clock; None where it was not tried, or nothing came."""
    rules: int
    late: int = 0
    """Frames that came, but were kept at a switch for longer than the patience."""
    failover_within_s: float | None = None
    """How far apart the frames were by which the failover was timed."""
    failover_lost: int | None = None
    """Frames sent meanwhile that never came."""
    at_first: tuple[str, ...] = ()
    """Findings of pairs that were right when they were tried again."""
    tried_again: int = 0
    """Pairs for which something was wrong and that were tried again."""
    unknown: tuple[str, ...] = ()
    """What this testbed could not find out, and why."""
    waited_s: float = 0.0
    """From the connection of the last switch to the last time that a pair was tried anew."""
    faults: tuple[ReachFinding, ...] = ()
    """The findings, with what each is about."""
    tried: tuple[tuple[str, str], ...] = ()
    """The pairs."""
    control: tuple[str, ...] = ()
    """What the switches say of the controller: messages refused, connections that were lost."""
    rules_most: int = 0
    """Rules of the switch that has most of them."""
    packet_ins: int = 0
    """Frames of which switches asked the controller, discovery included."""
    channel: ChannelLog | None = None
    """What switches and controller said to each other."""
    wires: WireLog | None = None
    """What came into switches."""
    absences: tuple[Absence, ...] = ()
    """What happened while each of several controllers was away."""
    scorecard: tuple[Examined, ...] = ()
    """What it was examined in, where that was asked for; reach is among it."""

    @property
    def outcome(self) -> Outcome:
        """Whether the controller passes: not known where this testbed could not find it out."""
        found = {one.outcome for one in self.scorecard}
        if self.findings or "fail" in found:
            return "fail"
        return "unknown" if self.unknown or "unknown" in found else "pass"

    def told(self) -> dict[str, object]:
        """Return it under the names that the answer in JSON has."""
        values = self._asdict()
        for name in ("faults", "channel", "wires", "absences", "scorecard"):
            del values[name]
        if self.absences:
            values["absences"] = [one.told() for one in self.absences]
        if self.scorecard:
            values["scorecard"] = [one.told() for one in self.scorecard]
        if self.channel is not None:
            values["messages"] = self.channel.counts()
        findings = [one.told() for one in self.faults]
        return {**values, "outcome": self.outcome, "findings": findings}


def judge_reach(
    testbed: Testbed,
    *,
    most_pairs: int = PAIRS,
    failover: bool = True,
    failover_s: float = FAILOVER_S,
    settle_s: float = SETTLE_S,
    isolated: Collection[tuple[str, str]] = (),
) -> Judgement:
    """Judge plain forwarding: every pair reached once, nobody else, no loops, a way round a cut.

    A pair for which something is wrong is tried again until switches have been connected for
    `settle_s`, since controllers take their time; 0 judges at once. For a way round a cut link,
    frames are sent for `failover_s`. Pairs that are to be `isolated` are not tried, either way.
    """
    apart = {frozenset(pair) for pair in isolated}
    pairs = [pair for pair in permutations(testbed.hosts, 2) if frozenset(pair) not in apart]
    pairs = pairs[:: -(-len(pairs) // most_pairs)]
    judge = PairJudge(testbed, testbed.connected_at + settle_s)
    judge.look(pairs)
    outage = judge.try_failover(failover_s) if failover else None
    if failover and len(testbed.controllers.names) > 1:
        judge.try_absences(failover_s)
    rules = [
        len(switch.rules) + len(switch.unread) for switch in map(testbed.tables, testbed.switches)
    ]
    found = judge.found.values()
    return Judgement(
        len(pairs),
        sum(one.sent for one in found),
        sum(one.lost for one in found),
        tuple(one.message for one in judge.findings()),
        None if outage is None else outage.seconds,
        sum(rules),
        sum(one.late for one in found),
        None if outage is None else outage.resolution_s,
        None if outage is None else outage.lost,
        tuple(judge.at_first),
        judge.tried_again,
        tuple(judge.unknown),
        judge.looked_at - testbed.connected_at,
        tuple(judge.findings()),
        tuple(pairs),
        testbed.control(),
        max(rules, default=0),
        sum(one.get("packet-in", 0) for one in testbed.channel.counts().values()),
        testbed.channel,
        absences=tuple(judge.absences),
    )


class PairJudge:
    """What is known of each pair of hosts, and which were tried again."""

    def __init__(self, testbed: Testbed, until: float) -> None:
        self.testbed, self.until = testbed, until
        self.found: dict[tuple[str, str], Ping] = {}
        self.looked_at = time.monotonic()
        self.at_first: dict[str, None] = {}
        self.tried_again = 0
        self._no_way: ReachFinding | None = None
        self._why: dict[tuple[str, str], dict[str, Explanation]] = {}
        self.unknown: list[str] = []
        self.absences: list[Absence] = []

    def look(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Try all pairs, those for which something is wrong again.

        Where the first frames fail and later ones do not, the controller has learnt from them: to
        try again would hide it. Only if that is so for one pair, which had not found its listener
        by the listener's own answer, it may have become ready in between.
        """
        learnt = []
        for pair in pairs:
            found = self.found[pair] = self.testbed.ping(*pair)
            if not any(faults_of(*pair, found)):
                continue
            if found.lost and found.good[-1]:
                learnt.append(pair)
            else:
                self._try_again(pair)
            self._explain(pair)
        if len(learnt) == 1 and not self.found[learnt[0]].answered:
            self._try_again(learnt[0])
            self._explain(learnt[0])

    def findings(self) -> Iterator[ReachFinding]:
        """Give everything that is wrong."""
        for pair, found in self.found.items():
            why = self._why.get(pair, {})
            for one in faults_of(*pair, found):
                yield one._replace(why=why.get(one.kind))
        if self._no_way:
            yield self._no_way
        for absence in self.absences:
            yield from _faults_while_away(absence)

    def _explain(self, pair: tuple[str, str]) -> None:
        """Keep what explains the findings of a pair, while switches and log still know of it."""
        of = suspect(*pair, self.found[pair])
        self._why[pair] = explanations(self.testbed, of) if of.kinds else {}

    def _try_again(self, pair: tuple[str, str]) -> None:
        """Send frames until the pair is right or the time is over; then judge it anew."""
        first = [one.message for one in faults_of(*pair, self.found[pair])]
        late = 0
        self.tried_again += time.monotonic() < self.until
        while time.monotonic() < self.until and late < LATE_AGAIN:
            self.testbed.wait(min(AGAIN_S, self.until - time.monotonic()))
            self.looked_at = time.monotonic()
            found = self.testbed.ping(*pair, count=1)
            if not any(faults_of(*pair, found)):
                found = self.testbed.ping(*pair)
            self.found[pair] = found
            if not any(faults_of(*pair, found)):
                self.at_first |= dict.fromkeys(first)
                return
            late += found.late == found.sent
        if self.found[pair].sent == 1:
            self.found[pair] = self.testbed.ping(*pair)

    def try_failover(self, most_s: float) -> Stall | None:
        """Cut the first link of the longest way that has another one beside it, and time it.

        Where nothing comes, and the controller may not have settled, it is done once more.
        """
        paths = sorted((one.path for one in self.found.values()), key=len, reverse=True)
        path = next((one for one in paths if has_way_round(self.testbed, one)), None)
        if path is None:
            return None
        try:
            return self._fail_over(path, most_s)
        except CutUndone as error:
            self.unknown.append(f"no failover was seen: {error}")
            return None

    def try_absences(self, most_s: float) -> None:
        """Take each of several controllers away in turn."""
        right = [pair for pair, found in self.found.items() if not any(faults_of(*pair, found))]
        pairs = right[:: -(-len(right) // PAIRS_AWAY)] if right else []
        self.absences += try_absences(self.testbed, pairs, most_s)

    def _fail_over(self, path: Sequence[str], most_s: float) -> Stall | None:
        outage = self.testbed.failover_on(path, most_s)
        if outage is None and time.monotonic() < self.until:
            self.testbed.wait(self.until - time.monotonic())
            self.looked_at = time.monotonic()
            again = self.testbed.ping(path[0], path[-1]).path
            if has_way_round(self.testbed, again):
                path, outage = again, self.testbed.failover_on(again, most_s)
        if outage is None:
            near, far = self.testbed.wiring.first_link(path) or ("", "")
            words = (
                f"{path[0]} to {path[-1]}: nothing came for {most_s:g} s when {near} to {far} "
                "was cut, though there is a way round (--failover)"
            )
            self._no_way = ReachFinding("failover", path[0], path[-1], tuple(path), 0, words)
        return outage


def faults_of(host: str, target: str, found: Ping) -> Iterator[ReachFinding]:
    """Give what is wrong with a ping between two hosts."""
    way = f"{host} to {target}"
    missing = found.lost
    if found.not_found:
        words = f"{host} cannot find {target}: {found.not_found}"
        yield ReachFinding("address", host, target, (), missing, words)
    elif found.lost:
        which = ", the first" if found.good[-1] else ""
        words = f"{way}: {found.lost} of {found.sent} frames lost{which}"
        yield ReachFinding("lost", host, target, found.path, missing, words)
    if found.late:
        words = (
            f"{way}: {found.late} of {found.sent} frames came after {found.slowest_s:.2f} s at one "
            f"switch, later than the {found.patience_s:g} s given (--patience)"
        )
        yield ReachFinding("late", host, target, found.path, found.late, words)
    if found.copies:
        words = f"{way}: {found.copies} copies too many"
        yield ReachFinding("copies", host, target, found.path, found.copies, words)
    if found.others:
        words = f"{way}: {', '.join(found.others)} got its frames too"
        yield ReachFinding("others", host, target, found.others, found.sent, words)
    if found.looped:
        where = ", ".join(found.looped)
        words = f"{way}: a loop: a frame passed the same port of {where} twice"
        yield ReachFinding("loop", host, target, found.looped, found.sent, words)


def _faults_while_away(absence: Absence) -> Iterator[ReachFinding]:
    """Give what went wrong while one of several controllers was away."""
    when = f"while the controller {absence.away} was away"
    if absence.orphans:
        words = f"{when}, of which it was master, nobody became master of"
        names = ", ".join(absence.orphans)
        yield ReachFinding("takeover", "", "", absence.orphans, 0, f"{words} {names} (--failover)")
    for pair, found in absence.pings:
        for one in faults_of(*pair, found):
            yield one._replace(kind="takeover", message=f"{one.message}, {when}")


def has_way_round(testbed: Testbed, path: Sequence[str]) -> bool:
    """Tell whether two switches of a path are joined without the first link between two."""
    first = testbed.wiring.first_link(path)
    if first is None:
        return False
    hosts = testbed.wiring.plain_hosts
    links = {frozenset((port.source, port.target)) for port in testbed.topology.ports}
    if frozenset(first) not in links:
        return False  # a controller has sent it out of another switch than it came to
    links = {one for one in links if hosts.isdisjoint(one)} - {frozenset(first)}
    last = next(node for node in reversed(path) if node not in hosts)
    return last in distances(
        first[0],
        lambda node: ((1, far) for link in links if node in link for far in link - {node}),
    )
