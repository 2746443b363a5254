"""A finished state of a book: it never changes, so that any thread may read it.

The next state shares with it all parts in which nothing has changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple
from zlib import crc32

from qnet.model.plan import Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream, TrafficClass
from qnet.schedule.cycles.candidates import CandidatePath, pair_of
from qnet.schedule.cycles.state import Place, place_of, plans_of
from qnet.schedule.online.export import plan_of

SHARDS = 256
"""Parts that a change copies one by one."""


class Terms(NamedTuple):
    """What holds for all streams of a book, for good.

    `guards` has for each port the longest frame of any class that is not reserved, `closed` the
    ports that no stream may use.
    """

    hypercycle: int
    classes: tuple[TrafficClass, ...]
    guards: tuple[int, ...]
    closed: tuple[int, ...]

    @property
    def profile(self) -> Profile:
        """The profile without streams."""
        return Profile.model_construct(
            title="streams of a running network", topology="network", classes=self.classes
        )


class ReservedStream(NamedTuple):
    """One stream and where it is, as in `ReservationRows`: its row, its way (of pair 0), and so on.

    `waits` is empty where no frame waits.
    """

    row: int
    stream: Stream
    way: CandidatePath
    phase: int
    wires: tuple[int, ...]
    waits: tuple[int, ...]

    def place(self, cycle_ps: int) -> Place:
        """Return the reservation in full."""
        stream = self.stream
        asked = (stream.interval_ps // cycle_ps, stream.max_packets, stream.frame_bytes)
        return place_of(
            self.way, pair_of(stream), asked, self.phase, self.wires, self.waits, cycle_ps
        )


class View:
    """The streams of a book by name, and what was out of use, after one of its answers."""

    def __init__(
        self,
        topology: Topology,
        terms: Terms,
        down: tuple[str, ...] = (),
        shards: tuple[dict[str, ReservedStream], ...] = ({},) * SHARDS,
    ) -> None:
        self.topology = topology
        self.terms = terms
        self.down = down
        """Links, wires, cables, nodes and sites out of use."""
        self._shards = shards

    def changed(
        self, put: Iterable[ReservedStream], gone: Collection[str], down: tuple[str, ...]
    ) -> View:
        """Return the state after a change; this one stays as it is."""
        shards = list(self._shards)
        copied: dict[int, dict[str, ReservedStream]] = {}

        def own(name: str) -> dict[str, ReservedStream]:
            number = _shard(name)
            if number not in copied:
                shards[number] = copied[number] = dict(shards[number])
            return copied[number]

        for name in gone:
            del own(name)[name]
        for held in put:
            own(held.stream.name)[held.stream.name] = held
        return View(self.topology, self.terms, down, tuple(shards))

    def __len__(self) -> int:
        """Return how many streams there are."""
        return sum(map(len, self._shards))

    def __contains__(self, name: object) -> bool:
        """Say whether there is a stream of that name."""
        return isinstance(name, str) and name in self._shards[_shard(name)]

    def held(self, name: str) -> ReservedStream:
        """Return what the book has of a stream; raises KeyError."""
        return self._shards[_shard(name)][name]

    @property
    def everything(self) -> list[ReservedStream]:
        """All streams, by row."""
        found = [held for shard in self._shards for held in shard.values()]
        return sorted(found, key=lambda held: held.row)

    @property
    def names(self) -> list[str]:
        """The names of all streams."""
        return [held.stream.name for held in self.everything]

    def stream(self, name: str) -> Stream:
        """Return what was asked for; raises KeyError."""
        return self.held(name).stream

    def place(self, name: str) -> Place:
        """Return a stream's reservation in full; raises KeyError."""
        return self.held(name).place(self.topology.tcqf.cycle_ps)

    def plans(self, name: str) -> list[StreamPlan]:
        """Return what a plan says of a stream, of each leg; raises KeyError."""
        stream = self.stream(name)
        names = [leg.name for leg in stream.legs]
        return plans_of(self.topology, self.place(name), stream.damper, names)

    def to_plan(self) -> tuple[Profile, Plan]:
        """Return the streams as a profile, and the plan for it, for the judge and all witnesses.

        What a failure has cut and nothing could move is there with the place that it has.
        """
        names = self.names
        profile = self.terms.profile.replace(streams=tuple(self.stream(name) for name in names))
        plans = [one for name in names for one in self.plans(name)]
        return profile, plan_of(self.topology, self.terms.hypercycle, plans)


def _shard(name: str) -> int:
    return crc32(name.encode()) % SHARDS
