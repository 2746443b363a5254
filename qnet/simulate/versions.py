"""By which entry each stream and demand is sent, and from when to before when.

A plan with moves has several entries of one thing. Each is a *version*: it has sources of its own,
of which what is born in the *spans* of the version is sent. The plan's own entries come first, in
the plan's order, also where they never send; then every other in the order in which it begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from qnet.errors import Infeasible, InputError, Problem
from qnet.model.loads import offer_of
from qnet.model.plan import Entry, Move, Plan
from qnet.model.traffic import Profile
from qnet.simulate.world import NEVER

Span = tuple[int, int]
"""From when to before when."""

ALWAYS: tuple[Span, ...] = ((0, NEVER),)


class Version(NamedTuple):
    """One entry of a stream or a demand, and when it is in force."""

    entry: Entry
    number: int
    """0 is the plan's own; that of a move is one more than the move's place."""
    spans: tuple[Span, ...] = ALWAYS


def versions_of(profile: Profile, plan: Plan) -> list[Version]:
    """List all versions of all streams and demands; raises InputError for a move that cannot be."""
    if any(offer_of(profile)):
        raise Infeasible("events that start, stop or scale, and attacks, are not simulated yet")
    moves = _moves_by_thing(profile, plan)
    end_ps = profile.simulation.duration_ps
    own: list[Version] = []
    later: list[tuple[int, int, Version]] = []
    every: tuple[Entry, ...] = (*plan.streams, *plan.demands)
    for place, entry in enumerate(every):
        mine = moves.get((type(entry), entry.name))
        if mine is None:
            own.append(Version(entry, 0))
            continue
        spans = _spans(entry, mine, end_ps)
        own.append(Version(entry, 0, spans.pop(0, ())))
        later += (
            (begins[0][0], place, Version(plan.moves[number - 1].entry, number, begins))
            for number, begins in spans.items()
        )
    return own + [version for _, _, version in sorted(later, key=lambda one: one[:2])]


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
