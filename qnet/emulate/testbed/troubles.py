"""Trouble that a controller is examined in: what hosts notice of it, and whether it comes back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from qnet.emulate.frames import packets
from qnet.emulate.frames.trips import Trip
from qnet.emulate.switches.talk import NOTHING_KNOWN, ControllerGone
from qnet.emulate.testbed import injections
from qnet.emulate.testbed.examiner import Examiner, NotKnown, Pair
from qnet.emulate.testbed.findings import in_words
from qnet.emulate.testbed.reach import ReachFinding
from qnet.emulate.testbed.refusals import RefusedRule, adds_entry
from qnet.emulate.testbed.scorecard import Amount, ExaminationResult

SLOW_S = 0.2
"""What a slow controller says comes so much later."""

AWAY_S = 1.0
"""A controller is away for so long before frames are sent, and a link is cut."""

STRANGERS = 8
"""New addresses that appear at a host when a table is full."""

STORM = 50
"""Entries sent to a full table for each frame, beyond which it is a storm."""

FRAMES = 3
"""Of each pair, sent while there is trouble."""


def mended(of: Examiner) -> ExaminationResult | None:
    """Cut a link for a while: when it is whole again frames find their way, and none goes round."""
    way = of.longest()
    link = of.testbed.wiring.first_link(way) if way else None
    if link is None:
        return None
    with of.testbed.cut(*link):
        of.testbed.wait(AWAY_S)
    took, findings = of.recover(of.pairs)
    when = f"after {link[0]} to {link[1]} was cut and mended"
    return ExaminationResult((took,), _when(findings, when))


def slow(of: Examiner) -> ExaminationResult:
    """Have a switch begin anew under a controller whose answers are late."""
    node = of.busiest()
    patience_s, before = of.testbed.patience_s, of.connections()
    try:
        of.testbed.patience_s = patience_s + 3 * SLOW_S
        with of.testbed.slow_controller(SLOW_S):
            of.testbed.restart_switch(node)
            took, findings = of.recover(of.through(node))
    except ControllerGone as error:
        words = str(error).removesuffix(f"; {NOTHING_KNOWN}")
        gone = ReachFinding("connection", "", "", (node,), 0, words)
        took, findings = Amount("reach after", None, "s"), [gone]
    finally:
        of.testbed.patience_s = patience_s
    after = of.connections()
    hung_up = sorted(
        {
            one[0]
            for one, talk in after.items()
            if talk.connections > before[one].connections or not talk.connected
        }
    )
    when = f"when its answers came {SLOW_S:g} s late"
    found = list(_when(findings, f"when {node} began anew and answers came {SLOW_S:g} s late"))
    if hung_up:
        words = f"the controller closed the connections of {', '.join(hung_up)} {when}"
        found.append(ReachFinding("connection", "", "", tuple(hung_up), 0, words))
    return ExaminationResult((Amount("late by", SLOW_S, "s"), took), tuple(found))


def away(of: Examiner) -> ExaminationResult:
    """Take the controller away: frames between hosts go on as they went, and it comes back."""
    findings, sent, lost = [], 0, 0
    with of.testbed.controller_away():
        of.testbed.wait(AWAY_S)
        for pair in of.pairs:
            trips = [of.testbed.udp(*pair) for _ in range(FRAMES)]
            gone = [one for one in trips if not one.at(pair[1])]
            sent, lost = sent + len(trips), lost + len(gone)
            if gone:
                findings.append(of.lost(pair, gone, "while the controller was away"))
    took, wrong = of.recover(of.pairs)
    figures = (Amount("frames", sent), Amount("lost", lost), took)
    return ExaminationResult(figures, (*findings, *_when(wrong, "after the controller was away")))


def restart(of: Examiner) -> ExaminationResult:
    """Start the controller anew while hosts send."""
    sent: list[tuple[Pair, Trip]] = []

    def send() -> None:
        sent.extend((pair, of.testbed.udp(*pair)) for pair in of.pairs)

    begun_s = time.monotonic()
    if of.course.restart:
        injections.restart_by(of.testbed, of.course.restart, send)
    else:
        of.testbed.restart_controller()
    back_s = time.monotonic() - begun_s
    took, findings = of.recover(of.pairs)
    lost = sum(not of.testbed.trip(trip.number).at(pair[1]) for pair, trip in sent)
    figures = (
        Amount("connected after", back_s, "s"),
        took,
        Amount("frames", len(sent)),
        Amount("lost", lost),
    )
    return ExaminationResult(figures, _when(findings, "after the controller began anew"))


def switch(of: Examiner) -> ExaminationResult:
    """Have a switch begin anew, without entries."""
    node = of.busiest()
    of.testbed.restart_switch(node)
    took, findings = of.recover(of.through(node))
    return ExaminationResult((took,), _when(findings, f"after {node} began anew"))


def full(of: Examiner) -> ExaminationResult:
    """Let new addresses appear when a switch has no room: all others go on."""
    node = of.busiest()
    pairs = of.through(node)
    begun_s = time.monotonic()
    own = next((pair for pair in pairs if of.ways[pair][0] == node), pairs[0])
    with of.testbed.full_tables(node) as limits:
        trips = _strangers(of, own)
        wrong = []
        for pair in pairs:
            again = [of.testbed.udp(*pair) for _ in range(FRAMES)]
            gone = [one for one in again if not one.at(pair[1])]
            wrong += [of.lost(pair, gone, f"when {node} was full")] if gone else []
        said = [one for one in of.testbed.channel.since(begun_s) if one.switch == node]
        refused = sum(one.kind == "error" and one.from_switch for one in said)
    tried = sum(not one.from_switch and adds_entry(one.data) for one in said)
    sent = len(trips) + FRAMES * len(pairs)
    if refused > STORM * sent:
        words = f"{node} was sent {tried} entries that it had no room for, for {sent} frames"
        wrong.append(ReachFinding("refused", "", "", (node,), tried, words))
    took, findings = of.recover(pairs)
    lost = sum(not of.testbed.trip(one.number).at(own[1]) for one in trips)
    figures = (
        Amount("entries before", sum(limits.values())),
        Amount("new ones sent", tried),
        Amount("refused", refused),
        Amount("frames of new addresses", len(trips)),
        Amount("lost", lost),
        took,
    )
    return ExaminationResult(figures, (*wrong, *_when(findings, f"after {node} had been full")))


def _strangers(of: Examiner, pair: Pair) -> list[Trip]:
    """Send a frame to a host from each of several addresses that nobody had before."""
    by, to = (packets.end_of(of.testbed.wiring, one) for one in pair)
    return [
        of.testbed.send(pair[0], packets.udp(by._replace(mac=by.mac ^ number << 16), to, number))
        for number in range(1, STRANGERS + 1)
    ]


def refused(of: Examiner) -> ExaminationResult:
    """Have a switch begin anew that refuses every entry when it comes first."""
    node = of.busiest()
    with of.testbed.refusing_switch(node) as refusals:
        took, findings = of.recover(of.through(node))
        refused = refusals.refused
    if not refused:
        raise NotKnown(f"{node} was sent no entry that it could refuse")
    again = sum(one.again_s is not None for one in refused)
    words = _first_refused(node, refused)
    figures = (
        Amount("entries refused", len(refused)),
        Amount("sent again", again),
        took,
    )
    return ExaminationResult(figures, _when(findings, words))


def _first_refused(node: str, refused: Sequence[RefusedRule]) -> str:
    """Say which entry a switch refused that was not sent again."""
    one = next((one for one in refused if one.again_s is None), refused[0])
    again = "not sent again" if one.again_s is None else f"sent again after {one.again_s:.1f} s"
    return f"after {node} had refused '{in_words([one.message])[0]}' (OFPFMFC_EPERM), {again}"


def _when(findings: Iterable[ReachFinding], when: str) -> tuple[ReachFinding, ...]:
    """Say of findings after what they were made."""
    return tuple(one._replace(message=f"{one.message}, {when}") for one in findings)
