"""The judgement of a controller as a page that opens offline, with a drawing of each way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import cos, pi, sin
from typing import NamedTuple

from qnet.emulate.testbed.findings import Explanation
from qnet.emulate.testbed.reach import Judgement, ReachFinding
from qnet.model.topology import Topology
from qnet.model.verdict import Outcome
from qnet.report import reach
from qnet.report.map import around
from qnet.report.page import template
from qnet.report.text import OUTCOME_WORD

WIDTH, HEIGHT, RADIUS, LABEL_AWAY = 560.0, 400.0, 150.0, 20.0

NODES_DRAWN = 60
"""Of a larger network those on the way are drawn, and those beside them as far as there is room."""

CAUSES_SHOWN = 40


class WayNode(NamedTuple):
    """A node of a drawing."""

    name: str
    kind: str
    """Its class in the style: way, where (the frame went wrong there), end, or other."""
    x: float
    y: float
    label_x: float
    label_y: float
    anchor: str


class WayLine(NamedTuple):
    """A link of a drawing, or a step of the frame."""

    is_step: bool
    x0: float
    y0: float
    x1: float
    y1: float


class WayDrawing(NamedTuple):
    """A network with the way that a frame took in it."""

    width: float
    height: float
    lines: Sequence[WayLine]
    nodes: Sequence[WayNode]
    label: str


class FindingCause(NamedTuple):
    """Findings of one cause, the first with all that explains it."""

    message: str
    kind: str
    where: str
    others: Sequence[str]
    steps: Sequence[tuple[str, str]]
    """Each switch on the way, and what it did."""
    ends: str
    details: Sequence[tuple[str, Sequence[str]]]
    drawing: WayDrawing | None


class ReachPage(NamedTuple):
    """What a page says."""

    title: str
    outcome: Outcome
    word: str
    headline: str
    tiles: Sequence[tuple[str, str, str]]
    notes: Sequence[str]
    card: Sequence[tuple[str, str, str, Outcome, str]]
    """Of each examination: name, figures, what a controller passes by, outcome and its word."""
    causes: Sequence[FindingCause]
    more: int
    """Causes that are not shown."""


def reach_page(title: str, topology: Topology, found: Judgement, settle_s: float | None) -> str:
    """Write the page of a controller's judgement."""
    faults = list(dict.fromkeys([*found.faults, *_beyond(found)]))
    causes = reach.by_cause(faults)
    made = ReachPage(
        title=title,
        outcome=found.outcome,
        word=OUTCOME_WORD[found.outcome],
        headline=_headline(len(faults), len(causes), found.outcome),
        tiles=list(_tiles(found)),
        notes=[*found.control, *found.unknown, *reach.waited(found, settle_s)],
        card=[
            (one.name, reach.amounts(one), one.about, one.outcome, OUTCOME_WORD[one.outcome])
            for one in found.scorecard
        ],
        causes=[_cause(topology, same) for same in causes[:CAUSES_SHOWN]],
        more=max(len(causes) - CAUSES_SHOWN, 0),
    )
    return template("reach.html.j2").render(page=made, outcome=made.outcome)


def _headline(findings: int, causes: int, outcome: Outcome) -> str:
    if outcome != "fail":
        return "nothing is wrong" if outcome == "pass" else "not all could be found out"
    if findings == 1:
        return "one finding"
    return f"{findings} findings of {'one cause' if causes == 1 else f'{causes} causes'}"


def _beyond(found: Judgement) -> Iterator[ReachFinding]:
    """Yield what examinations found beyond reach."""
    for one in found.scorecard:
        yield from one.found.findings


def _tiles(found: Judgement) -> Iterator[tuple[str, str, str]]:
    late = f", {found.late} late" if found.late else ""
    yield "frames", f"{found.frames:,}", f"{found.lost:,} lost{late}, {found.pairs} pairs of hosts"
    yield "entries", f"{found.rules:,}", f"at most {found.rules_most:,} in a switch"
    yield "packet-ins", f"{found.packet_ins:,}", "frames given to the controller"
    if found.failover_s is not None:
        within = f"of wall-clock time, to within {found.failover_within_s:.3f} s"
        yield "way round a cut link", f"{found.failover_s:.3f} s", within


def _cause(topology: Topology, same: Sequence[ReachFinding]) -> FindingCause:
    first, *others = same
    why = first.why
    if why is None:
        return FindingCause(
            first.message, first.kind, "", [one.message for one in others], (), "", (), None
        )
    steps = [_step(words) for words in why.way]
    details = [
        ("The frame", [why.frame]),
        ("Asked of the controller", why.asked),
        ("Refused by switches", why.refused),
        ("What the controller wrote", why.logged),
        ("Messages around it", why.messages),
    ]
    return FindingCause(
        first.message,
        first.kind,
        why.where,
        [one.message for one in others],
        steps,
        why.ends,
        [(name, lines) for name, lines in details if lines],
        _drawing(topology, why, [name for name, _ in steps], (first.source, first.target)),
    )


def _step(words: str) -> tuple[str, str]:
    """Divide what is told of a switch on the way into its name and what it did."""
    name, _, did = words.partition(" (")
    return name, did.removesuffix(")")


def _drawing(
    topology: Topology, why: Explanation, way: Sequence[str], ends: tuple[str, str]
) -> WayDrawing | None:
    """Draw the network in a circle, and the way in it."""
    known = topology.node_by_name
    seen = [name for name in dict.fromkeys([*way, *ends, why.where]) if name in known]
    names = around(topology)
    if len(names) > NODES_DRAWN:
        beside = [
            one.target for one in topology.ports if one.source in seen and one.target not in seen
        ]
        kept = set([*seen, *dict.fromkeys(beside)][:NODES_DRAWN])
        names = [name for name in names if name in kept]
    turns = {name: 2 * pi * number / len(names) - pi / 2 for number, name in enumerate(names)}
    spots = {
        name: (WIDTH / 2 + RADIUS * cos(turn), HEIGHT / 2 + RADIUS * sin(turn))
        for name, turn in turns.items()
    }
    links = {tuple(sorted(one.between)) for one in topology.links}
    lines = [
        WayLine(False, *spots[near], *spots[far])
        for near, far in sorted(links)
        if near in spots and far in spots
    ]
    pairs = [(near, far) for near, far in pairwise(way) if near != far]
    lines += [
        WayLine(True, *spots[near], *spots[far])
        for near, far in pairs
        if near in spots and far in spots
    ]
    nodes = []
    for name, (x, y) in spots.items():
        kind = "where" if name == why.where else "end" if name in ends else "other"
        kind = "way" if kind == "other" and name in way else kind
        side = cos(turns[name])
        anchor = "middle" if abs(side) < 0.2 else "start" if side > 0 else "end"
        label_x = x + LABEL_AWAY * side
        label_y = y + LABEL_AWAY * sin(turns[name]) + 4
        nodes.append(WayNode(name, kind, x, y, label_x, label_y, anchor))
    label = f"{' to '.join(dict.fromkeys(way))}; it went wrong at {why.where}"
    return WayDrawing(WIDTH, HEIGHT, lines, nodes, label) if nodes else None
