"""Why a frame went astray: the way so far, what each switch did with it, what was said then.

A switch is asked by `ofproto/trace` what it does with the very frame that came into it, at the port
by which it came. What its controller was asked about that frame, and answered, is in the log of the
channel.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from qnet.emulate.frames.trips import TRAILER_BYTES, Exit, Traversal
from qnet.emulate.switches.ovs import program
from qnet.emulate.testbed.channel import CLOSED, OPENED, Message
from qnet.errors import QnetError
from qnet.graph.distances import distances

if TYPE_CHECKING:
    from qnet.emulate.testbed.pings import Ping
    from qnet.emulate.testbed.testbed import Testbed

AROUND_S = 1.0
"""What was said so long before a frame went astray, and after, is told."""

LINE_CHARACTERS = 180
"""Of a line for the terminal."""

MESSAGES_MOST = 100
"""Of those around it that are told."""

ASKED_MOST = 6
"""Packet-ins and packet-outs in a line for the terminal."""

LOGGED_LINES = 2
"""Of the controller's own, for the terminal."""

_TABLE = re.compile(r"^ *(?P<number>\d+)\. (?P<entry>.*)$")
_MESSAGE = re.compile(
    r"^(OFPT|OFPST|NXT|NXST|ONFT|ONFST)_(?P<kind>\w+).*\(xid=0x[0-9a-f]+\):? ?(?P<words>.*)$"
)
_IDLE = re.compile(
    r"(table_id=0|cookie=0x0|total_len=\d+|out_port:0) | data_len=\d+( \(unbuffered\))?$"
)
_NEVER = 0xFEEDFACE
_BETWEEN = struct.pack("!BBHI", 4, 2, 8, _NEVER)
"""An echo request, by which messages are told apart."""
_QUIET = ("echo-request", "echo-reply", OPENED, CLOSED)
_LEAVES = {
    "looped": "by which it was there before: a loop",
    "no wire": "by which nothing is sent",
    "wire down": "whose wire is down",
    "not followed": "and is not followed on",
}


class Explanation(NamedTuple):
    """What explains that a frame went astray."""

    where: str
    """The switch where it went wrong."""
    frame: str
    """What was sent, as Open vSwitch writes it."""
    way: tuple[str, ...]
    """Every switch on the way, and what it did."""
    ends: str
    """What became of the frame at last."""
    asked: tuple[str, ...]
    """Packet-ins and packet-outs with the frame, with times since it was sent."""
    refused: tuple[str, ...]
    """Messages that switches on the way have refused so far."""
    messages: tuple[str, ...]
    """What was said in the second before it went wrong, and in the one after."""
    logged: tuple[str, ...]
    """What the controller wrote since the frames were sent, where qnet started it."""

    def lines(self) -> list[str]:
        """Return the most important of it, in six short lines at most."""
        found = [f"way: {' -> '.join(self.way)}", f"ends: {self.ends}"]
        if self.asked:
            found.append(f"asked: {'; '.join(self.asked[-ASKED_MOST:])}")
        if self.refused:
            found.append(f"refused: {'; '.join(self.refused)}")
        found += [f"controller: {one}" for one in self.logged[-LOGGED_LINES:]]
        return [_cut(one) for one in found]


def _cut(line: str) -> str:
    half = (LINE_CHARACTERS - 5) // 2
    return line if len(line) <= LINE_CHARACTERS else f"{line[:half]} ... {line[-half:]}"


class Suspect(NamedTuple):
    """Frames of which something is to be explained."""

    who: str
    kinds: tuple[str, ...]
    """Kinds of finding: lost, late, copies, others, loop, address, leak."""
    followed: tuple[tuple[int, str], ...]
    """Numbers of frames, and for whom each was."""
    written: tuple[int, ...]
    """What controllers had written before, where qnet started them."""


def suspect(host: str, target: str, found: Ping) -> Suspect:
    """Say what is to be explained of the frames of a ping."""
    kinds = {
        "address": bool(found.not_found),
        "lost": found.lost > 0 and not found.not_found,
        "late": found.late > 0,
        "copies": found.copies > 0,
        "others": bool(found.others),
        "loop": bool(found.looped),
    }
    wrong = tuple(kind for kind, is_so in kinds.items() if is_so)
    return Suspect(f"{host} to {target}", wrong, found.followed, found.written)


def explanations(testbed: Testbed, of: Suspect) -> dict[str, Explanation]:
    """Explain what can be explained, by the kind of finding."""
    logged = testbed.controllers.words_since(of.written)
    found = {kind: explain(testbed, kind, of.followed, logged) for kind in of.kinds}
    return {kind: one for kind, one in found.items() if one is not None}


def explain(
    testbed: Testbed, kind: str, followed: Sequence[tuple[int, str]], logged: str
) -> Explanation | None:
    """Explain what happened to the last of these frames that went astray on its way to a host.

    `kind` is that of the finding, and `logged` what the controller wrote meanwhile. None where
    nothing is known of such a frame, or switches cannot be asked any more.
    """
    try:
        for number, target in reversed(followed):
            passages = testbed.passages(number)
            chain = _chain(testbed, kind, target, passages)
            if chain is not None:
                return _Story(testbed, passages, chain).explanation(logged)
    except (QnetError, OSError):  # something is broken, and that is told instead
        pass
    return None


def steps(testbed: Testbed, number: int) -> list[str]:
    """Say what each switch did with each copy of a frame, by its entries: a line each.

    `number` is that of its trip. Empty where switches cannot be asked any more.
    """
    try:
        passages = testbed.passages(number)
        if not passages:
            return []
        story = _Story(testbed, passages, _Chain(tuple(range(len(passages))), None, ""))
        did = story.did(story.traces())
    except (QnetError, OSError):  # something is broken, and that is told instead
        return []
    return [
        f"{one.node}, in by port {one.port}: {words}"
        for one, words in zip(passages, did, strict=True)
    ]


class _Chain(NamedTuple):
    """Places of the passages on the way to where a frame went wrong, and how it came out there."""

    places: tuple[int, ...]
    exit: Exit | None
    """None where it did not."""
    where: str


class _Story:
    """One frame that went astray."""

    def __init__(self, testbed: Testbed, passages: Sequence[Traversal], chain: _Chain) -> None:
        self.testbed, self.chain = testbed, chain
        self.way = [passages[place] for place in chain.places]
        self.begun_s = passages[0].time_s
        end_s = self.way[-1].time_s if chain.exit is None else chain.exit.time_s
        said = testbed.channel.since(min(self.begun_s, end_s - AROUND_S))
        self.said = [one for one in said if one.time_s <= end_s + AROUND_S]
        marks = {one.mark for one in self.way}
        self.packets = [one for one in self.said if _mark(one) in marks]

    def explanation(self, logged: str) -> Explanation:
        """Put together all that explains it."""
        traces = self.traces()
        did = self.did(traces)
        way = [f"{one.node} ({words})" for one, words in zip(self.way, did, strict=True)]
        nodes = {one.node for one in self.way}
        channel = self.testbed.channel
        counts = channel.counts()
        has_errors = any("error" in counts.get(node, ()) for node in nodes)
        refused = [
            one
            for one in (channel.since(0.0) if has_errors else ())
            if one.kind == "error" and one.from_switch and one.switch in nodes
        ]
        around = [one for one in self.said if one.kind not in _QUIET]
        packets, errors, messages = self._words(
            self.packets, refused[-ASKED_MOST:], around[-MESSAGES_MOST:]
        )
        return Explanation(
            self.chain.where,
            traces[0].partition("\n")[0].removeprefix("Flow: "),
            (*way[:-1], self.way[-1].node),
            self._ends(did[-1]),
            packets,
            errors,
            messages,
            tuple(logged.splitlines()),
        )

    def traces(self) -> list[str]:
        """Ask each switch on the way what it does with the frame."""
        return [self.testbed.trace(one.node, one.port, one.data) for one in self.way]

    def did(self, traces: Sequence[str]) -> list[str]:
        """Say what each switch on the way did, from what it answered."""
        return [self._did(*one) for one in zip(self.way, traces, strict=True)]

    def _did(self, passage: Traversal, trace: str) -> str:
        """Say what a switch did with a copy: the entries that took it, or what it was told."""
        mine = [one for one in self.packets if _mark(one) == passage.mark]
        if not any(one.kind == "packet-in" for one in mine):
            return entries(trace)
        answers = [one for one in mine if one.kind == "packet-out"]
        if not answers:
            return f"{entries(trace)}; the controller has not sent it on"
        elsewhere = sorted({one.switch for one in answers} - {passage.node})
        out_of = f" out of {', '.join(elsewhere)}" if elsewhere else ""
        ports = ", ".join(str(one.port) for one in passage.exits)
        return f"the controller sent it{out_of} by {ports or 'no port'}"

    def _ends(self, did: str) -> str:
        passage, out = self.way[-1], self.chain.exit
        if out is None:
            return f"at {passage.node}, where it came in by port {passage.port}: {did}"
        if out.end == "host":
            return f"at the host of {out.node}: {did}"
        return f"at port {out.port} of {out.node}, {_LEAVES[out.end]}: {did}"

    def _words(self, *every: Sequence[Message]) -> list[tuple[str, ...]]:
        """Say what messages are, with the time since the frame was sent."""
        words = iter(in_words([one.data for some in every for one in some]))
        return [tuple(self._told(one, next(words)) for one in some) for some in every]

    def _told(self, one: Message, words: str) -> str:
        way = "from" if one.from_switch else "to"
        time = f"{(one.time_s - self.begun_s) * 1000:+.1f} ms"
        return f"{time} {one.kind} {way} {one.switch}{': ' if words else ''}{words}"


def _mark(one: Message) -> bytes:
    packet = one.packet
    return b"" if packet is None else packet.data[-TRAILER_BYTES:]


def _chain(
    testbed: Testbed, kind: str, target: str, passages: Sequence[Traversal]
) -> _Chain | None:
    """Choose the way that shows what a finding is about."""
    ends = [(place, out) for place, one in enumerate(passages) for out in one.exits if out.end]
    came = [(place, out) for place, out in ends if out.end == "host" and out.node == target]
    if kind in {"lost", "address"}:
        return None if came else _lost(testbed, target, passages, ends)
    bad = {
        "loop": [one for one in ends if one[1].end == "looped"],
        "others": [one for one in ends if one[1].end == "host" and one[1].node != target],
        "copies": came[1:],
        "late": came[:1],
        "leak": came,
    }.get(kind, [])
    if not bad:
        return None
    place, out = bad[0]
    places = _back(passages, place)
    where = out.node
    if kind in {"copies", "others"} and came:
        right = _back(passages, came[0][0])
        where = passages[[one for one in places if one in right][-1]].node
    elif kind == "late":
        left = [*(passages[one].time_s for one in places[1:]), out.time_s]
        kept = {after - passages[one].time_s: one for one, after in zip(places, left, strict=True)}
        where = passages[kept[max(kept)]].node
    return _Chain(places, out, where)


def _lost(
    testbed: Testbed,
    target: str,
    passages: Sequence[Traversal],
    ends: Sequence[tuple[int, Exit]],
) -> _Chain | None:
    """Choose where a lost frame came nearest to its host: swallowed first, or led elsewhere."""
    links = [(port.source, port.target) for port in testbed.topology.ports]
    away = distances(target, lambda node: ((1, near) for near, far in links if far == node))
    ways: list[tuple[int, Exit | None]] = [
        (place, None) for place, one in enumerate(passages) if not one.exits
    ]
    ways += ends

    def rank(way: tuple[int, Exit | None]) -> tuple[bool, int, int]:
        place, out = way
        node = passages[place].node if out is None else out.node
        far = away.get(node, len(testbed.topology.nodes))
        return out is not None and out.end == "host", int(far), place

    if not ways:
        return None
    place, out = min(ways, key=rank)
    return _Chain(_back(passages, place), out, passages[place].node)


def _back(passages: Sequence[Traversal], place: int) -> tuple[int, ...]:
    """Return the places of the passages up to one."""
    found = []
    while place >= 0:
        found.append(place)
        place = passages[place].before
    return tuple(reversed(found))


def entries(trace: str) -> str:
    """Say in one line which entries took a frame and what they did, from `ofproto/trace`."""
    found: list[str] = []
    fresh = False
    for line in trace.splitlines():
        table = _TABLE.match(line)
        if line.startswith("Final flow"):
            break
        if table is not None:
            entry = re.sub(r", cookie 0x[0-9a-f]+", "", table["entry"]).rstrip(".")
            entry = "no entry matches" if entry == "No match" else entry
            found.append(f"table {table['number']}: {entry}")
            fresh = True
        elif found and line.startswith("  ") and line.strip():
            found[-1] += f"{' => ' if fresh else ', '}{line.strip()}"
            fresh = False
    return "; ".join(found) or "it says nothing of it"


def in_words(messages: Sequence[bytes]) -> list[str]:
    """Say what OpenFlow messages are, in the words of Open vSwitch, one line each."""
    done = subprocess.run(
        [program("ovs-ofctl"), "ofp-parse", "-"],
        input=b"".join(one + _BETWEEN for one in messages),
        capture_output=True,
        check=False,
    )
    between = re.compile(rf"^.*\(xid={_NEVER:#x}\).*\n?", re.MULTILINE)
    texts = between.split(done.stdout.decode(errors="replace"))
    texts = texts[: len(messages)] if len(texts) > len(messages) else [""] * len(messages)
    return [_line(*text.splitlines()[:2]) for text in texts]


def _line(first: str = "", second: str = "", *_: str) -> str:
    """Return the words of a message; with an error go those of the message that it is about."""
    head = _MESSAGE.match(first)
    words = "" if head is None else head["words"]
    about = _MESSAGE.match(second)
    if about is not None:
        kind = about["kind"].lower().replace("_", "-")
        words += f" for {kind}" + (f": {about['words']}" if about["words"] else "")
    return _IDLE.sub("", words)
