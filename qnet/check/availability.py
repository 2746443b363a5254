"""For what share of the time a stream has a way that works, by how often things break.

Cables and nodes break by themselves, each for a share of the time (`qnet.model.failures`). A path
works while all that it goes over does: W(A) is the product of the shares for which the parts A
work. Over two paths of parts A and B one works for

    W(A) + W(B) - W(A and B together)

of the time, where what both have, such as an end or the grandmaster, counts once in the last. That
is exact, not the sum of small shares that it is close to. Two cables of 2,474 and 3,000 km, broken
for 0.254 and 0.308 % of the time: 99.99922 %.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache

from qnet.check.routes import most_paths
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import Proof
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.units import YEAR_S, show_availability

STEPS = 10**15

SIGMAS = 6
"""Standard deviations that a drawn figure may be from the proven one."""

Part = tuple[str, str]
"""'cable' or 'node', and its name."""


def with_availability(topology: Topology, profile: Profile, plan: Plan, proof: Proof) -> Proof:
    """Add to a proof each stream's availability, where the files ask for it."""
    if topology.failures is None and all(one.availability is None for one in profile.streams):
        return proof
    working = _Working(topology)
    entries = {one.name: one for one in plan.streams}
    shares = {
        stream.name: _share(topology, profile, stream, entries.get(stream.name), working)
        for stream in profile.every_stream
    }
    return proof.replace(
        streams=tuple(one.replace(availability=shares[one.name]) for one in proof.streams)
    )


class _Working:
    """For what share of the time parts of a network work, all of them at once."""

    def __init__(self, topology: Topology) -> None:
        kinds = (("cable", topology.cable_failures), ("node", topology.node_failures))
        self._broken: dict[Part, Fraction] = {
            (kind, name): one.per_year * one.repair_s / YEAR_S
            for kind, every in kinds
            for name, one in every.items()
        }
        self.together = cache(self._together)

    def _together(self, parts: frozenset[Part]) -> Fraction:
        share = Fraction(1)
        for part in parts:
            share *= 1 - self._broken.get(part, 0)
        return share


def drawn_otherwise(
    topology: Topology, profile: Profile, proof: Proof, drawn: Mapping[str, int]
) -> Iterator[str]:
    """Say where failures that were drawn leave a stream a way for more or less than is proven.

    Time without a way comes in pieces that no repair outlasts, at random: the share U of it in T
    years varies by U x longest repair / T at most (its variance). What is six standard deviations
    from it is no chance.
    """
    every = [*topology.cable_failures.values(), *topology.node_failures.values()]
    longest_s = max((one.repair_s for one in every), default=0)
    years = profile.simulation.years or 1
    for one in proof.streams:
        seen, share = drawn.get(one.name), one.availability
        if seen is None or share is None:
            continue
        # All of it in steps squared; rounding down takes one of each.
        most = SIGMAS**2 * (STEPS - share + 1) * STEPS * longest_s
        if max(abs(seen - share) - 2, 0) ** 2 * years * YEAR_S > most:
            given, due = show_availability(seen), show_availability(share)
            yield (
                f"{one.name}: failures of {years:,} years leave it a way for {given} of them, "
                f"proven {due}"
            )


def _share(
    topology: Topology,
    profile: Profile,
    stream: Stream,
    entry: StreamPlan | None,
    working: _Working,
) -> int | None:
    """Return the availability of a stream, rounded down; None where it has no way to speak of."""
    if entry is None or not 1 <= len(entry.paths) <= most_paths(stream):
        return None
    paths = [[topology.port_by_name.get(name) for name in path.ports] for path in entry.paths]
    ways = [[port for port in path if port is not None] for path in paths]
    if any(len(way) < len(path) or not path for way, path in zip(ways, paths, strict=True)):
        return None
    general = set(_clocks(topology, profile, stream))
    first, *rest = (frozenset({*general, *_parts(topology, way)}) for way in ways)
    share = working.together(first)
    for second in rest:
        share += working.together(second) - working.together(first | second)
    return int(share * STEPS)


def _clocks(topology: Topology, profile: Profile, stream: Stream) -> Iterator[Part]:
    """Yield the grandmaster, on which all depends that needs time: cycles, gates, dampers."""
    if topology.sync is not None and (profile.is_reserved(stream) or stream.damper):
        yield "node", topology.sync.grandmaster


def _parts(topology: Topology, way: Sequence[Port]) -> Collection[Part]:
    """Return all that a path goes over: cables, and nodes with both ends."""
    cables = {("cable", topology.cable(topology.links[port.link])) for port in way}
    return cables | {("node", name) for port in way for name in (port.source, port.target)}
