"""What of other classes may be in the way at each port: what guards are made for (rule 4).

Where those frames go is known when all have their places, and places depend on guards. So a first
plan guards every port for any frame that there is. If that costs somebody a place where no such
frame is then sent, it is made again with guards for what it sends, and all else keeps to them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from qnet.graph.routes import Routes
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Demand, Profile, Stream


class LongestFrame(NamedTuple):
    """The longest frame of a stream or a demand that reserves nothing."""

    size: int
    is_cut: bool
    """Whether it can be cut (preemption)."""


class Guards(NamedTuple):
    """The longest frames that reserve nothing, by port number: that cannot and that can be cut."""

    uncut: tuple[int, ...]
    cut: tuple[int, ...]

    def longest(self, port: int) -> int:
        """Return the longest of both kinds at a port, or 0 where none comes."""
        return max(self.uncut[port], self.cut[port])

    def at(self, port: int) -> tuple[int, int]:
        """Return both guards of a port."""
        return self.uncut[port], self.cut[port]

    def of(self, port: int, frame: LongestFrame) -> int:
        """Return the guard of a port for frames of one kind."""
        return self.cut[port] if frame.is_cut else self.uncut[port]

    def with_frame(self, frame: LongestFrame, ports: Collection[int]) -> Guards:
        """Return guards that are long enough for a frame at some ports, too."""
        kind = list(self.cut if frame.is_cut else self.uncut)
        for port in ports:
            kind[port] = max(kind[port], frame.size)
        return self._replace(cut=tuple(kind)) if frame.is_cut else self._replace(uncut=tuple(kind))

    def within(self, longest: Sequence[int]) -> Guards:
        """Return the guards with none longer than given."""
        return Guards(
            tuple(map(min, self.uncut, longest)),
            tuple(map(min, self.cut, longest)),
        )

    @property
    def every_longest(self) -> tuple[int, ...]:
        """Return the longest of both kinds at every port."""
        return tuple(map(max, self.uncut, self.cut))


def frame_of(profile: Profile, one: Stream | Demand) -> LongestFrame:
    """Return the longest frame of a stream or demand."""
    sizes = [one.frame_bytes] if isinstance(one, Stream) else [size for size, _ in one.sizes]
    return LongestFrame(max(sizes), profile.class_by_name[one.traffic_class].preemptable)


def guards_anywhere(topology: Topology, profile: Profile) -> Guards:
    """Return guards for any frame at any port."""
    streams = [one for one in profile.streams if one.count and not profile.is_reserved(one)]
    frames = [frame_of(profile, one) for one in streams]
    frames += [frame_of(profile, one) for one in profile.demands]
    return Guards(
        *(
            (max((one.size for one in frames if one.is_cut == is_cut), default=0),)
            * len(topology.ports)
            for is_cut in (False, True)
        )
    )


def guards_of(topology: Topology, profile: Profile, plan: Plan) -> Guards:
    """Return guards for the frames that a plan sends over each port."""
    kinds = ([0] * len(topology.ports), [0] * len(topology.ports))
    frames = {
        **{("stream", one.name): frame_of(profile, one) for one in profile.every_stream},
        **{("demand", one.name): frame_of(profile, one) for one in profile.demands},
    }
    for key, names in _ways(plan.streams, plan.demands):
        frame = frames[key]
        for name in names:
            number = topology.port_by_name[name].number
            row = kinds[frame.is_cut]
            row[number] = max(row[number], frame.size)
    return Guards(tuple(kinds[False]), tuple(kinds[True]))


def _ways(
    streams: Iterable[StreamPlan], demands: Iterable[DemandPlan]
) -> Iterable[tuple[tuple[str, str], Sequence[str]]]:
    for entry in streams:
        if entry.status == "routed":
            for path in entry.paths:
                yield ("stream", entry.name), path.ports
    for placed in demands:
        for part in placed.parts:
            yield ("demand", placed.name), part.ports


class OpenWays:
    """Which ports the frames that reserve nothing may take, so that all guards hold.

    `routes` are those around what is down; `bears(frame, port)` says whether a port's guard is long
    enough for a frame.
    """

    def __init__(
        self,
        topology: Topology,
        routes: Routes,
        down: Collection[int],
        bears: Callable[[LongestFrame, int], bool],
    ) -> None:
        self._topology = topology
        self._down = frozenset(down)
        self._bears = bears
        self._barred: dict[LongestFrame, frozenset[int]] = {}
        self._routes = {self._down: routes}

    def barred(self, frame: LongestFrame) -> frozenset[int]:
        """Return the ports whose guards are too short for a frame."""
        if frame not in self._barred:
            ports = range(len(self._topology.ports))
            self._barred[frame] = frozenset(port for port in ports if not self._bears(frame, port))
        return self._barred[frame]

    def routes(self, frame: LongestFrame) -> Routes:
        """Return the routes that a frame may take."""
        closed = self.barred(frame) | self._down
        if closed not in self._routes:
            self._routes[closed] = Routes(self._topology, closed)
        return self._routes[closed]

    def why_barred(self, frame: LongestFrame, source: str, targets: Iterable[str]) -> str:
        """Say which ports on its ways a frame may not take, or nothing."""
        routes = self._routes[self._down]
        passed = {port for target in targets for port in routes.ports_of(source, target)}
        barred = self.barred(frame) & passed
        names = [self._topology.ports[port].name for port in sorted(barred)]
        if not names:
            return ""
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        what = f"beside what is reserved, no frame of {frame.size} bytes may use"
        return f"; {what} {', '.join(names[:3])}{more}"
