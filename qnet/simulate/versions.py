"""By which entry each stream and demand is sent, and from when to before when.

A plan with moves has several entries of one thing, and a demand that is scaled is sent at several
rates. Each is a *version*: it has sources of its own, of which what is born in the *spans* of the
version is sent. The plan's own entries come first, in the plan's order, also where they never send;
then every other in the order in which it begins. While a thing is silent no version of it sends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count, pairwise
from typing import NamedTuple

from qnet.errors import InputError, Problem
from qnet.model.loads import attack_entry, attacks_of, offer_of
from qnet.model.outages import Span
from qnet.model.plan import DemandPlan, Entry, Move, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import LEG, Profile
from qnet.simulate.world import NEVER
from qnet.units import PPB

ALWAYS: tuple[Span, ...] = ((0, NEVER),)


class Version(NamedTuple):
    """One entry of a stream or a demand, and when it is in force."""

    entry: Entry
    number: int
    """0 is the plan's own; that of a move is one more than the move's place. Those at other rates
    follow behind all moves.
    """
    spans: tuple[Span, ...] = ALWAYS
    by_ppb: int = PPB
    """What the rates of a demand are multiplied by."""

    def rate_bps(self, planned_bps: int) -> int:
        """Return the rate of a part of a demand, rounded down."""
        return planned_bps * self.by_ppb // PPB

    def is_sent(self, planned_bps: int) -> bool:
        """Tell whether a part of a demand has a source: what is scaled to nothing has none."""
        return self.by_ppb == PPB or self.rate_bps(planned_bps) > 0


def versions_of(profile: Profile, plan: Plan) -> list[Version]:
    """List all versions of all streams and demands; raises InputError for a move that cannot be."""
    moves = _moves_by_thing(profile, plan)
    offer = offer_of(profile)
    end_ps = profile.simulation.duration_ps
    numbers = count(len(plan.moves) + 1)
    own: list[Version] = []
    later: list[tuple[int, int, Version]] = []
    every: tuple[Entry, ...] = (*plan.streams, *plan.demands)
    for place, entry in enumerate(every):
        mine = moves.get((type(entry), entry.name), ())
        name = entry.name if isinstance(entry, DemandPlan) else entry.name.partition(LEG)[0]
        factors = offer.factors.get(name, ()) if isinstance(entry, DemandPlan) else ()
        silent = offer.silent.get(name, ())
        if not (mine or factors or silent):
            own.append(Version(entry, 0))
            continue
        spans = _at_rates(_spans(entry, mine, end_ps), factors, end_ps)
        own.append(Version(entry, 0, _outside(spans.pop((0, PPB), ()), silent, end_ps)))
        for (number, by_ppb), begins in sorted(spans.items(), key=lambda one: one[1][0]):
            version = Version(
                plan.moves[number - 1].entry if number else entry,
                number if by_ppb == PPB else next(numbers),
                _outside(begins, silent, end_ps),
                by_ppb,
            )
            later.append((begins[0][0], place, version))
    return own + [version for _, _, version in sorted(later, key=lambda one: one[:2])]


def attack_versions(topology: Topology, profile: Profile) -> list[Version]:
    """List what attacks send, as if a plan had them: it knows nothing of any."""
    return [
        Version(attack_entry(topology, one), 0, ((one.span[0], min(one.span[1], NEVER)),))
        for one in attacks_of(profile)
    ]


def _at_rates(
    spans: Mapping[int, Sequence[Span]], factors: Sequence[tuple[int, int, int]], end_ps: int
) -> dict[tuple[int, int], tuple[Span, ...]]:
    """Return when each entry of one thing is in force at each rate, before the end."""
    found: dict[tuple[int, int], tuple[Span, ...]] = {}
    changes = [(0, PPB)]
    for from_ps, until_ps, by_ppb in factors:
        changes += [(from_ps, by_ppb), (until_ps, PPB)]
    for number, every in spans.items():
        for (from_ps, by_ppb), (until_ps, _) in pairwise([*changes, (NEVER, PPB)]):
            parts = [(max(a, from_ps), min(b, until_ps)) for a, b in every]
            kept = tuple(one for one in parts if one[0] < one[1] and one[0] < end_ps)
            if kept:
                found[number, by_ppb] = (*found.get((number, by_ppb), ()), *kept)
    return {key: tuple(sorted(every)) for key, every in found.items()}


def _outside(spans: Sequence[Span], silent: Sequence[Span], end_ps: int) -> tuple[Span, ...]:
    """Return spans without the times in which all is silent."""
    kept: list[Span] = []
    for from_ps, until_ps in spans:
        begin_ps = from_ps
        for still_ps, over_ps in silent:
            if still_ps >= min(until_ps, end_ps):
                break
            if begin_ps < still_ps:
                kept.append((begin_ps, still_ps))
            begin_ps = max(begin_ps, over_ps)
        if begin_ps < until_ps and begin_ps < end_ps:
            kept.append((begin_ps, until_ps))
    return tuple(kept)


def _spans(
    own: Entry, moves: Sequence[tuple[int, Move]], end_ps: int
) -> dict[int, tuple[Span, ...]]:
    """Return when each entry of one thing is in force, by its number.

    An entry that comes again is the one that it was.
    """
    numbers = {0: own}
    begins = [(0, 0)]
    for number, move in moves:
        same = next((one for one, entry in numbers.items() if entry == move.entry), number)
        numbers.setdefault(same, move.entry)
        if move.at_ps < end_ps and begins[-1][0] == move.at_ps:
            begins[-1] = move.at_ps, same
        elif move.at_ps < end_ps:
            begins.append((move.at_ps, same))
    begins = [
        one for place, one in enumerate(begins) if not place or one[1] != begins[place - 1][1]
    ]
    spans: dict[int, tuple[Span, ...]] = {}
    for (from_ps, number), (until_ps, _) in pairwise([*begins, (NEVER, 0)]):
        spans[number] = (*spans.get(number, ()), (from_ps, until_ps))
    return spans


def _moves_by_thing(
    profile: Profile, plan: Plan
) -> Mapping[tuple[type, str], Sequence[tuple[int, Move]]]:
    """Return the moves of each stream and demand with their numbers, from 1, in order of time."""
    if not plan.moves:
        return {}
    stream_by_name = {one.name: one for one in profile.every_stream}
    every: tuple[Entry, ...] = (*plan.streams, *plan.demands)
    known = {(type(one), one.name) for one in every}
    found: dict[tuple[type, str], list[tuple[int, Move]]] = defaultdict(list)
    problems: list[Problem] = []
    latest_ps = 0
    for place, move in enumerate(plan.moves):
        entry = move.entry
        key = (type(entry), entry.name)
        stream = stream_by_name.get(entry.name) if move.stream is not None else None
        words = None
        if key not in known:
            words = f"the plan has no entry of '{entry.name}' that this could take the place of"
        elif move.at_ps < latest_ps:
            words = f"at {move.at_ps} ps, before the move ahead of it; moves are in order of time"
        elif stream is not None and profile.is_gated(stream):
            words = f"'{entry.name}' has its times in gate control lists; it cannot be moved"
        elif stream is not None and stream.tree != stream.name:
            words = f"'{entry.name}' is a leg to one of several listeners; it cannot be moved"
        if words is not None:
            problems.append(Problem("plan", 0, 0, f"moves[{place}]", words))
        latest_ps = max(latest_ps, move.at_ps)
        found[key].append((place + 1, move))
    if problems:
        raise InputError(problems)
    return found
