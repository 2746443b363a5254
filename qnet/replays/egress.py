"""How much of a site's required egress is left at any time: by what is sent, and what is cut of it.

Windows measure an average over what is before a change and what is after it; this says when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from qnet.model.plan import StreamPlan
from qnet.model.traffic import Demand, Stream
from qnet.replays.course import Stretch, Timetable
from qnet.units import PPB, PS_PER_S, wire_bytes

ARRIVES_PPB = 995 * 10**6
"""Share of a required egress that must be left, as verdicts have it."""


class ShortEgress(NamedTuple):
    """A required egress that is not there at some time."""

    site: str
    spans: Sequence[tuple[int, int]]
    due_bps: int
    least_bps: int


def short_egress(
    table: Timetable, sent: Iterable[tuple[Stream | Demand, Sequence[Stretch]]]
) -> Iterable[ShortEgress]:
    """Yield each required egress that is short at some time, from when to when."""
    site = {node.name: node.site for node in table.topology.nodes}
    planned_bps = {one.site: one.placed_bps for one in table.plan.egress}
    left_bps: dict[str | None, Counter[int]] = {one.site: Counter() for one in table.profile.egress}
    trees: set[str] = set()
    for asked, stretches in sent:
        start, end = _ends(asked)
        if site[start] == site[end] or site[start] not in left_bps:
            continue
        if isinstance(asked, Stream) and asked.tree != asked.name:
            if asked.tree in trees:  # a frame leaves once, however many listen to it outside
                continue
            trees.add(asked.tree)
        for one in stretches:
            whole_bps = round(_rate_bps(asked, one) * (1 - one.cut_share))
            left_bps[site[start]][one.from_ps] += whole_bps
            left_bps[site[start]][one.until_ps] -= whole_bps
    for required in table.profile.egress:
        due_bps = min(required.rate_bps, planned_bps.get(required.site, required.rate_bps))
        yield from _short(required.site, due_bps, left_bps[required.site])


def _short(site: str, due_bps: int, changes_bps: Counter[int]) -> Iterable[ShortEgress]:
    spans, least_bps, now_bps = [], due_bps, 0
    for from_ps, until_ps in pairwise(sorted(changes_bps)):
        now_bps += changes_bps[from_ps]
        if now_bps * PPB < due_bps * ARRIVES_PPB:
            spans.append((from_ps, until_ps))
            least_bps = min(least_bps, now_bps)
    if spans:
        yield ShortEgress(site, spans, due_bps, least_bps)


def _ends(asked: Stream | Demand) -> tuple[str, str]:
    if isinstance(asked, Stream):
        return asked.talker, asked.listener
    return asked.source, asked.target


def _rate_bps(asked: Stream | Demand, one: Stretch) -> Fraction:
    """Return what is sent on the wire, all copies counted as plans do."""
    if isinstance(one.entry, StreamPlan):
        assert isinstance(asked, Stream)
        bits = 8 * wire_bytes(asked.frame_bytes) * asked.max_packets * len(one.entry.paths)
        return Fraction(bits * PS_PER_S, asked.interval_ps)
    return Fraction(sum(part.rate_bps for part in one.entry.parts))
