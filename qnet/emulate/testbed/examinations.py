"""Examine a controller beyond reach: its load, its tables, and what it does when there is trouble.

Examinations run one after the other on one testbed. Each begins with pairs of hosts that reach each
other then, so that a fault is told where it was made; one that finds none of them, or no
controller, is not known.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from qnet.emulate.frames import packets
from qnet.emulate.frames.trips import Trip
from qnet.emulate.openflow.nouns import VLAN, VLAN_SERVICE, Switch
from qnet.emulate.openflow.text import show
from qnet.emulate.switches.talk import NOTHING_KNOWN, ControllerGone
from qnet.emulate.testbed import troubles
from qnet.emulate.testbed.cuts import CutUndone
from qnet.emulate.testbed.examiner import QUIET_S, ExaminationTerms, Examiner, NotKnown, Pair
from qnet.emulate.testbed.findings import entries, explain, explanations
from qnet.emulate.testbed.reach import Judgement, ReachFinding
from qnet.emulate.testbed.scorecard import (
    REACH,
    Amount,
    Examination,
    ExaminationResult,
    Examined,
    scored,
)
from qnet.emulate.testbed.testbed import Testbed
from qnet.errors import ArgumentError, EnvironmentMissing, Problem

LEARN, STEADY = 3, 10
"""Frames of a pair that a controller may be asked about, and those after them."""

KINDS_SHOWN = 4
"""Of frames that came to an isolated host."""

REST_S = 2.0
"""Nothing is sent for so long when it is counted what is asked then."""

ALL = "all"


def chosen(
    names: Iterable[str],
    course: ExaminationTerms,
    hosts: Collection[str],
    *,
    started_here: bool = False,
) -> tuple[str, ...]:
    """Return the examinations that are named, in their order; 'all' leaves out what cannot be.

    `started_here` says that the controller was started for the testbed. Raises ArgumentError with
    names that are none, of examinations and of hosts, and where something is not given.
    """
    names, known = list(names), (*REACH, *EXAMINATIONS)
    lacks = {}
    if not course.isolated:
        lacks["isolation"] = "give the pairs that are to be isolated (isolated)"
    if not (course.restart or started_here):
        lacks["restart"] = "give a command that starts the controller anew (restart)"
    problems = [
        Problem("judge", 0, 0, "", f"no examination '{name}'; there are {', '.join((ALL, *known))}")
        for name in names
        if name not in (ALL, *known)
    ]
    problems += [
        Problem("judge", 0, 0, "", f"{name}: {lacks[name]}") for name in names if name in lacks
    ]
    for pair in course.isolated:
        if len({*pair}) != 2 or not set(pair) <= set(hosts):
            words = f"'{','.join(pair)}' is no pair of hosts; there are {', '.join(hosts)}"
            problems.append(Problem("isolated", 0, 0, "", words))
    if problems:
        raise ArgumentError(problems)
    wanted = known if ALL in names else names
    return tuple(name for name in known if name in wanted and name not in lacks)


def examine(
    testbed: Testbed, reached: Judgement, names: Sequence[str], course: ExaminationTerms
) -> Judgement:
    """Examine a controller of which reach was judged in what is named, in the order of the list."""
    of = Examiner(testbed, reached, course)
    lines = scored(reached)
    for name, one in EXAMINATIONS.items():
        if name in names:
            found = _examined(of, one)
            lines += [] if found is None else [Examined(name, one.about, found)]
    return reached._replace(scorecard=tuple(lines))


def _examined(of: Examiner, one: Examination) -> ExaminationResult | None:
    """Examine a controller in one thing; a controller that is gone by it has failed."""
    begun = False
    try:
        of.begin()
        begun = True
        found = one.examine(of)
    except ControllerGone as error:
        words = str(error).removesuffix(f"; {NOTHING_KNOWN}")
        if not begun:
            return ExaminationResult((), (), (words,))
        return ExaminationResult((), (ReachFinding("connection", "", "", (), 0, words),))
    except (NotKnown, CutUndone, EnvironmentMissing) as error:
        return ExaminationResult((), (), (str(error),))
    if found is not None and found.findings and one.is_trouble:
        of.heal()
    return found


def _kinds(of: Examiner) -> ExaminationResult:
    """Send frames of every kind: those for one host are nobody else's, and none goes round."""
    findings: dict[tuple[str, Pair], ReachFinding] = {}
    count = 0
    for pair in of.pairs:
        of.testbed.every_kind(*pair)  # the first one may be what a controller makes a rule of
        tried = of.testbed.every_kind(*pair)
        mine = _for_one_host(of.testbed, pair)
        count += len(tried)
        for kind, trip in tried.items():
            others = sorted({one.host for one in trip.deliveries if one.path} - {pair[1]})
            way = f"{pair[0]} to {pair[1]}: {kind}"
            if others and kind in mine:
                words = f"{way} came to {', '.join(others)} too"
                findings.setdefault(("others", pair), _astray(of, "others", pair, trip, words))
            if trip.looped:
                words = f"{way} went in circles: a loop at {', '.join(trip.looped)}"
                findings.setdefault(("loop", pair), _astray(of, "loop", pair, trip, words))
    return ExaminationResult((Amount("frames", count),), tuple(findings.values()))


def _for_one_host(testbed: Testbed, pair: Pair) -> set[str]:
    """Return the kinds of frames that are for the host alone, by its address, and have no tag.

    In a VLAN of its own a host is not known yet, and so frames for it are flooded there.
    """
    by, to = (packets.end_of(testbed.wiring, one) for one in pair)
    heads = {kind: data[:14] for kind, data in packets.kinds(by, to, 0)}
    addresses = to.mac.to_bytes(6, "big") + by.mac.to_bytes(6, "big")
    tags = {one.to_bytes(2, "big") for one in (VLAN, VLAN_SERVICE)}
    return {
        kind for kind, head in heads.items() if head[:12] == addresses and head[12:] not in tags
    }


def _astray(
    of: Examiner, kind: Literal["others", "loop"], pair: Pair, trip: Trip, words: str
) -> ReachFinding:
    why = explain(of.testbed, kind, [(trip.number, pair[1])], "")
    switches = trip.looped if why is None else (why.where,)
    return ReachFinding(kind, *pair, switches, 1, words, why)


def _isolation(of: Examiner) -> ExaminationResult:
    """Try to get anything from one isolated host to another, either way."""
    findings = []
    for one, two in of.course.isolated:
        for pair in ((one, two), (two, one)):
            found = of.testbed.isolated(*pair)
            if found or of.testbed.suspect is None:
                continue
            why = explanations(of.testbed, of.testbed.suspect).get("leak")
            more = len(found.came) - KINDS_SHOWN
            such = ", ".join(found.came[:KINDS_SHOWN]) + (f" and {more} more" if more > 0 else "")
            words = f"{pair[0]} to {pair[1]}: {such} came, though they are to be isolated"
            switches = () if why is None else (why.where,)
            findings.append(ReachFinding("leak", *pair, switches, len(found.came), words, why))
    return ExaminationResult((Amount("directions", 2 * len(of.course.isolated)),), tuple(findings))


def _packet_ins(of: Examiner) -> ExaminationResult:
    """Count what a controller is asked about: of hosts that know each other, nothing."""
    begun_s = time.monotonic()
    of.testbed.wait(REST_S)
    at_rest = sum(of.asked_since(begun_s).values()) / REST_S
    steady = sent = 0
    findings = []
    for pair in of.pairs:
        of.testbed.ping(*pair, LEARN)  # it is heard of either host
        begun_s = time.monotonic()
        trips = [of.testbed.udp(*pair) for _ in range(STEADY)]
        asked = of.asked_since(begun_s)
        steady, sent = steady + sum(asked.values()), sent + STEADY
        node = next((one for one in of.ways[pair] if one in asked), "")
        if node:
            findings.append(_asked(of, pair, node, asked[node], trips[-1]))
    figures = (
        Amount("for reach", of.reached.packet_ins),
        Amount("a frame later", steady / sent),
        Amount("at rest", at_rest, "1/s"),
    )
    return ExaminationResult(figures, tuple(findings))


def _asked(of: Examiner, pair: Pair, node: str, count: int, trip: Trip) -> ReachFinding:
    """Say by which entry a switch asks of frames, when the controller has had time to learn."""
    passage = next((one for one in of.testbed.passages(trip.number) if one.node == node), None)
    by = ""
    if passage is not None:
        by = f" by {entries(of.testbed.trace(node, passage.port, passage.data))}"
    words = (
        f"{pair[0]} to {pair[1]}: {node} gave {count} of {STEADY} frames to the controller{by}, "
        f"after {LEARN} had gone the same way"
    )
    why = explain(of.testbed, "leak", [(trip.number, pair[1])], "")
    why = None if why is None else why._replace(where=node)
    return ReachFinding("asked", *pair, (node,), count, words, why)


def _tables(of: Examiner) -> ExaminationResult:
    """Count entries: the same frames once more make no new ones."""
    findings = []
    rounds = [_entries_after(of) for _ in range(3)]
    counts = [{node: _size(one) for node, one in every.items()} for every in rounds]
    for node, size in counts[-1].items():
        first, second = counts[0][node], counts[1][node]
        if first < second < size:
            new = [one for one in rounds[2][node].rules if one not in rounds[1][node].rules]
            such = f", such as {show(new[0])}" if new else ""
            words = (
                f"{node}: the same frames made new entries each time, {first}, {second} and then "
                f"{size}{such}"
            )
            findings.append(ReachFinding("entries", "", "", (node,), size - first, words))
    last = rounds[-1].values()
    in_table = [
        sum(rule.table == table for rule in one.rules)
        for one in last
        for table in {rule.table for rule in one.rules}
    ]
    figures = (
        Amount("entries", sum(counts[-1].values())),
        Amount("most in a switch", max(counts[-1].values(), default=0)),
        Amount("most in a table", max(in_table, default=0)),
        Amount("groups", sum(len(one.groups) for one in last)),
        Amount("meters", sum(len(one.meters) for one in last)),
    )
    return ExaminationResult(figures, tuple(findings))


def _entries_after(of: Examiner) -> dict[str, Switch]:
    """Send a few frames between all pairs and return what tables have then."""
    for pair in of.pairs:
        for _ in range(LEARN):
            of.testbed.udp(*pair)
    of.testbed.fabric.wait_quiet(QUIET_S)
    return {node: of.testbed.tables(node) for node in of.testbed.switches}


def _size(switch: Switch) -> int:
    return len(switch.rules) + len(switch.unread)


EXAMINATIONS: Mapping[str, Examination] = {
    "ethertypes": Examination("frames of every kind for one host are nobody else's", _kinds),
    "isolation": Examination("nothing comes from one isolated host to another", _isolation),
    "packet-ins": Examination("it is not asked about frames that it knows the way of", _packet_ins),
    "tables": Examination("the same frames make no new entries", _tables),
    "mended": Examination("hosts reach each other when a cut link is whole again", troubles.mended),
    "slow": Examination(
        "a switch that begins anew is served though late", troubles.slow, is_trouble=True
    ),
    "away": Examination(
        "frames go on while it is away, and it takes switches back", troubles.away, is_trouble=True
    ),
    "restart": Examination(
        "it takes up its work when it begins anew", troubles.restart, is_trouble=True
    ),
    "switch": Examination(
        "a switch that begins anew gets what it needs", troubles.switch, is_trouble=True
    ),
    "full": Examination(
        "what goes on goes on when a table is full", troubles.full, is_trouble=True
    ),
    "refused": Examination(
        "an entry that a switch refused is sent again", troubles.refused, is_trouble=True
    ),
}
"""In the order in which they are done: what may leave a switch astray comes last."""
