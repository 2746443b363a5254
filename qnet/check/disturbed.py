"""Who is disturbed by what is done to links and ports, and from when on.

What comes otherwise to a port than the plan says may be in the way of all that passes there, and
that comes otherwise to its later ports. What reserves nothing is not in the way of what reserves,
whose guard is for it. Who meets no such port keeps what is proven; who does has no bound from then
on, to the end of the run. A link a->b that is slower from 9 ms on disturbs what goes a->b->c from
9 ms on, and so what goes d->b->c, but not what goes b->a.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from qnet.check.broken import EVER
from qnet.check.sequence import PlanSequence
from qnet.model.topology import Topology
from qnet.model.traffic import Profile


class Way(NamedTuple):
    """One way of an entry of a stream or demand, by the numbers of its ports."""

    name: str
    reserves: bool
    ports: Sequence[int]


class Disturbance(NamedTuple):
    """Something is otherwise at a port from a time on."""

    from_ps: int
    port: int
    reserved: bool
    """Whether for what reserves, too."""


def ways_of(topology: Topology, profile: Profile, sequence: PlanSequence) -> list[Way]:
    """Return all ways over which anything is sent at any time of a run."""
    ports = topology.port_by_name

    def numbers(names: Iterable[str]) -> list[int]:
        return [ports[name].number for name in names if name in ports]

    streams = {one.name: one for one in profile.every_stream}
    found = [
        Way(name, profile.is_reserved(streams[name]), numbers(path.ports))
        for name, versions in sequence.streams.items()
        for one in versions
        for path in one.entry.paths
    ]
    found += [
        Way(name, False, numbers(part.ports))
        for name, versions in sequence.demands.items()
        for one in versions
        for part in one.entry.parts
    ]
    return found


def behind(ways: Iterable[Way], changed: Iterable[int], at_ps: int, *, reserved: bool
           ) -> Iterator[Disturbance]:  # fmt: skip
    """Yield what is disturbed behind ports from which frames arrive at another time.

    Of what reserves, that is said only where its cycles or gates do not bear it.
    """
    ports = frozenset(changed)
    for way in ways:
        met = [place for place, port in enumerate(way.ports) if port in ports]
        if met and (reserved or not way.reserves):
            for port in way.ports[met[0] + 1 :]:
                yield Disturbance(at_ps, port, way.reserves)


def disturbed_from(ways: Sequence[Way], begins: Iterable[Disturbance]) -> dict[str, int]:
    """Return from when on each stream or demand is disturbed that ever is."""
    through: dict[int, list[tuple[Way, int]]] = defaultdict(list)
    for way in ways:
        for place, port in enumerate(way.ports):
            through[port].append((way, place))
    waiting = [(one.from_ps, not one.reserved, one.port) for one in begins]
    heapify(waiting)
    since_ps: dict[tuple[int, bool], int] = {}
    found: dict[str, int] = {}
    while waiting:
        from_ps, spares, port = heappop(waiting)
        # What disturbs reservations disturbs all.
        if min(since_ps.get((port, False), EVER), since_ps.get((port, spares), EVER)) <= from_ps:
            continue
        since_ps[port, spares] = from_ps
        for way, place in through[port]:
            if way.reserves and spares:
                continue
            found[way.name] = min(found.get(way.name, from_ps), from_ps)
            for later in way.ports[place + 1 :]:
                heappush(waiting, (from_ps, not way.reserves, later))
    return found
