"""The layer symmetry: two streams, there and back, that take as long as each other but for so much.

Differential protection of lines asks for it: both ends compare currents of the same moment, and
take half of the round trip for the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from qnet.layers import Faults, FileKind, Layer
from qnet.model.fields import Name, Noun, Time
from qnet.model.loads import names_of
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Finding, Proof
from qnet.model.requirement import Figure, Requirement, Unit, Witness
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.units import describe

KIND = "asymmetry"

Bounds = Mapping[str, tuple[int, int] | None]
"""Least and largest latency of each stream in ps, None where one of them is not known."""


class SymmetricPair(Noun):
    """Two streams and what their latencies may differ by."""

    between: Annotated[tuple[Name, ...], Field(min_length=2, max_length=2)] = Field(
        description="two entries of streams with as many each; the first of the one goes with the "
        "first of the other, and so on"
    )
    most_ps: Time = Field(
        alias="most", description="most that any two frames of them may differ by in latency"
    )


class Symmetry(Noun):
    """Streams that take as long as each other (layer symmetry)."""

    pairs: tuple[SymmetricPair, ...] = Field((), description="pairs of streams")


class SymmetryLayer(Layer):
    """A pair is a requirement: the larger latency of either, less the smaller of the other."""

    name = "symmetry"
    models = MappingProxyType({"traffic": Symmetry})

    def check(
        self, topology: Topology, profile: Profile, faults: Mapping[FileKind, Faults]
    ) -> None:
        """Refuse pairs of what are no streams, or not as many."""
        entries = {one.name: one for one in profile.streams}
        at = faults["traffic"]
        for index, pair in enumerate(self.of(profile).pairs):
            where = ("symmetry", "pairs", index, "between")
            lost = [name for name in pair.between if name not in entries]
            for name in lost:
                at.fault(where, f"no stream {describe(name)}{at.guess(name, entries)}")
            if lost:
                continue
            one, other = (entries[name] for name in pair.between)
            if one.count != other.count:
                at.fault(where, f"{one.count} streams and {other.count}; a pair has as many each")
            elif len(one.listeners) + len(other.listeners) > 2:
                at.fault(where, "a stream with several listeners; it has no one latency")

    def require(self, topology: Topology, profile: Profile, plan: Plan) -> Iterator[Requirement]:
        """Promise each pair of entries what it asks for."""
        for pair in self.of(profile).pairs:
            count = len(self._members(profile, pair))
            if count:
                yield Requirement(
                    subject=_subject(pair),
                    kind=KIND,
                    unit=Unit(name="ps"),
                    promised=pair.most_ps,
                    members=count,
                )

    def prove(
        self, topology: Topology, profile: Profile, plan: Plan, proof: Proof
    ) -> Iterable[Figure | Finding]:
        """Take what is proven of both, in all epochs together."""
        bounds: dict[str, tuple[int, int] | None] = {}
        parts = (part for one in proof.epochs for part in (one.reduced, one.moved, one.changed))
        for one in (*proof.streams, *(stream for part in parts for stream in part)):
            bounds[one.name] = _wider(
                bounds.get(one.name, (one.latency_ps_min or 0, 0)),
                one.latency_ps_min,
                one.latency_ps_max,
            )
        return self._figures("proven", profile, bounds)

    def observe(
        self, topology: Topology, profile: Profile, plan: Plan, observation: Observation
    ) -> Iterable[Figure]:
        """Take the least and the largest latency that were seen of both."""
        bounds = {
            one.name: _wider((one.latency_ps_min or 0, 0), one.latency_ps_min, one.latency_ps_max)
            for one in observation.streams
        }
        return self._figures(observation.witness, profile, bounds)

    def _members(self, profile: Profile, pair: SymmetricPair) -> list[tuple[str, str]]:
        """Return the streams of a pair of entries, two by two."""
        entries = {one.name: one for one in profile.streams}
        one, other = (names_of(entries[name]) for name in pair.between)
        return list(zip(one, other, strict=True))

    def _figures(self, witness: Witness, profile: Profile, bounds: Bounds) -> Iterator[Figure]:
        for pair in self.of(profile).pairs:
            worst: list[int] = []
            members = self._members(profile, pair)
            for one, other in members:
                first, second = bounds.get(one), bounds.get(other)
                if first is not None and second is not None:
                    worst.append(max(first[1] - second[0], second[1] - first[0]))
            if members and len(worst) == len(members):
                subject = _subject(pair)
                yield Figure(subject=subject, kind=KIND, witness=witness, value=max(worst))


def _subject(pair: SymmetricPair) -> str:
    return " and ".join(pair.between)


def _wider(
    bounds: tuple[int, int] | None, least_ps: int | None, most_ps: int | None
) -> tuple[int, int] | None:
    if bounds is None or least_ps is None or most_ps is None:
        return None
    return min(bounds[0], least_ps), max(bounds[1], most_ps)


layer = SymmetryLayer()
