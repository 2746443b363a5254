"""Reserve cycles for the streams of a profile, and say exactly why one is refused.

Streams are placed one after the other, each on the quickest of its ways that has room; among ways
of the same proven latency on the one with the most room left, and there in the phase and over the
wires with the most. So load spreads over wires and cycles, and nobody takes a longer way while the
shortest has room. With a search, rounds follow that look for room for more (`repair`).

Streams of an earlier plan may be kept: they stay where they are to the bit. What a failure cuts of
them is given a new place before the old one is given up.

A refusal speaks of the finished plan: beside all that is admitted, no candidate way has room for
the stream in any phase, over any choice of wires, with any waits it may make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.graph.bounds import SERVED_ERROR, Class, Load, Most, most_streams
from qnet.graph.routes import ROUTE_COUNT, Routes
from qnet.model.plan import ChangesPlan, Plan, ReservedPlan, SearchPlan, Stopped, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.schedule.capacity import hypercycle, mean_rate_bps, need_bytes
from qnet.schedule.cycles import exact
from qnet.schedule.cycles.keep import kept_legs
from qnet.schedule.cycles.kernels.admit import place_rows
from qnet.schedule.cycles.kernels.book import use
from qnet.schedule.cycles.kernels.tables import Request
from qnet.schedule.cycles.table import Placing, ReservationTable
from qnet.schedule.kernels import Int64s
from qnet.schedule.repair.kernels import RUINED, remove_rows
from qnet.schedule.repair.search import Search, improve, priced
from qnet.units import PS_PER_S, ceil_div, show_rate, show_time

PROGRESS_STEP = 256

SEARCHED = "every way, wire, cycle and wait of the streams was looked at"


class Reserved(NamedTuple):
    """Plans by stream name, what they come to, and what is left for all else."""

    plans: Mapping[str, StreamPlan]
    reserved: ReservedPlan
    changes: ChangesPlan | None
    routes: Routes
    hypercycle: int
    mean_bps: list[int]
    """Largest mean rate reserved on each port, rounded up."""
    most_bytes: list[int]
    """Bytes reserved in the fullest cycle of each port."""
    guards: list[int]


def placing_order(profile: Profile, routes: Routes) -> list[Stream]:
    """Sort the reserved streams: low rank first, then little slack, then large, then by name.

    The order of the file plays no part.
    """

    def slack_ps(stream: Stream) -> int:
        found = [routes.candidate(stream.talker, one, 0) for one in stream.listeners]
        delays_ps = [route.delay_ps for route in found if route is not None]
        if stream.max_latency_ps is None or len(delays_ps) < len(found):
            return 2**63
        return stream.max_latency_ps - max(delays_ps)

    reserved = [stream for stream in profile.every_tree if profile.takes_cycles(stream)]
    return sorted(
        reserved,
        key=lambda stream: (stream.rank, slack_ps(stream), -need_bytes(stream), stream.name),
    )


class Keeping:
    """A plan whose admitted streams keep their places, whatever else is asked, and whatever fails.

    It is for one topology and profile. By the guards of all ports it has a planner in which the
    streams are in place, so that many failures of one plan begin with a copy.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._planners: dict[tuple[int, ...], _Planner] = {}

    def planner(self, topology: Topology, profile: Profile, guards: Sequence[int]) -> _Planner:
        """Return a planner that has the streams of the plan in place, and no others."""
        key = tuple(guards)
        if key not in self._planners:
            self._planners[key] = _begin(topology, profile, self.plan, guards)
        return self._planners[key].copy()


def _begin(
    topology: Topology, profile: Profile, keep: Plan | None, guards: Sequence[int]
) -> _Planner:
    """Return a planner that has put the streams of an earlier plan in place, if there is one."""
    table = ReservationTable(topology, hypercycle(topology, profile), guards)
    planner = _Planner(table, profile, placing_order(profile, table.routes))
    if keep is not None:
        room = table.room
        planner.keep(keep)
        room.narrow_guards({*guards, *(size for one in profile.demands for size, _ in one.sizes)})
        assert room.grid.free.min() >= 0, "a plan that is kept was proven"
    return planner


def reserve(
    topology: Topology,
    profile: Profile,
    progress: Callable[[str, int, int], None],
    *,
    search: Search | None = None,
    keep: Keeping | None = None,
    down: Mapping[str, Collection[int]] | None = None,
    gated: Collection[int] = (),
    guards: Sequence[int],
) -> Reserved:
    """Place every stream that reserves cycles, around the ports of what is down and those gated.

    `keep` is a plan whose admitted streams keep their places; what the profile asks of them must
    hold there (`qnet.check.plan.prove` says so). `guards` has the longest frame that reserves
    nothing, by port number; beside what is kept the answer may have shorter ones.
    """
    if keep is None:
        planner = _begin(topology, profile, None, guards)
    else:
        planner = keep.planner(topology, profile, guards)
    table, room = planner.table, planner.table.room
    if down or gated:
        broken = {port for ports in (down or {}).values() for port in ports}
        room.set_down({*broken, *gated})
    if keep is not None:
        planner.reroute()
    planner.place(progress)
    planner.place_exactly()
    made = planner.search(search) if search is not None else None
    before = None if keep is None else keep.plan
    changes = planner.changes(before, tuple(down or ())) if before is not None or down else None
    return Reserved(
        planner.plans(),
        planner.sums(made),
        changes,
        table.routes,
        table.hypercycle,
        planner.mean_bps(),
        (room.capacity - room.grid.free.min(axis=1)).tolist(),
        room.guards,
    )


class _Planner:
    """Places the streams of a profile in a table: a row each, in placing order.

    One with several listeners is one row, and counts as one stream in all sums.
    """

    def __init__(self, table: ReservationTable, profile: Profile, order: list[Stream]) -> None:
        self.table = table
        self._profile = profile
        cycle_ps = table.topology.tcqf.cycle_ps
        self._unfit = [stream for stream in order if stream.interval_ps % cycle_ps]
        self._streams = [stream for stream in order if not stream.interval_ps % cycle_ps]
        self._every = np.arange(len(self._streams))
        table.streams = dict(enumerate(self._streams))
        table.lengthen(len(self._streams) + RUINED)
        table.write(self._every, self.table.room.requests(self._streams, profile.may_wait))
        self._kept: dict[int, list[StreamPlan]] = {}
        self._halved: list[int] = []
        """Rows that an earlier failure has left one path of two."""
        self._moved: dict[str, list[int]] = {"moved": [], "replaced": [], "reduced": [], "lost": []}
        nodes = sorted(node.name for node in table.topology.nodes)
        self._node_number = {name: number for number, name in enumerate(nodes)}
        self._excluded = False
        """Whether no plan holds all that could be placed one by one."""
        self._spare = table.grid.spare.copy()
        """What the ports have left beside the streams that are kept or moved."""

    def copy(self) -> _Planner:
        """Return a planner that goes its own way from here."""
        made = copy(self)
        made.table = self.table.copy()
        made._kept, made._halved = {**self._kept}, [*self._halved]
        return made

    @property
    def _count(self) -> int:
        return len(self._streams)

    def _field(self) -> Placing:
        return self.table.field(self.table.book.asked[self._every, Request.PAIR])

    # Streams of an earlier plan

    def keep(self, plan: Plan) -> None:
        """Put the admitted streams of a plan where it has them."""
        topology, streams = self.table.topology, self._streams
        self._kept = kept_legs(topology, self._profile, plan, streams)
        self.table.keep(list(self._kept), list(self._kept.values()))
        self._halved = [
            row for row, legs in self._kept.items() if len(legs[0].paths) < streams[row].paths
        ]

    def reroute(self) -> None:
        """Give what is cut new places; what finds none, and has no path left, loses its own."""
        cut = np.union1d(self.table.cut(), np.array(self._halved, dtype=np.int64))
        moves = self.table.move(cut, thorough=True)
        field = self._field()
        remove_rows(field.grid, field.ways, field.book, moves.lost)
        self._moved = {name: rows.tolist() for name, rows in moves._asdict().items()}
        for row in cut.tolist():
            del self._kept[row]

    # All others

    def _open_rows(self) -> Int64s:
        """Return the rows that may be placed anywhere: not those of the earlier plan."""
        fixed = {*self._kept, *(row for rows in self._moved.values() for row in rows)}
        fixed -= set(self._moved["lost"])
        return np.array([row for row in range(self._count) if row not in fixed], dtype=np.int64)

    def place(self, progress: Callable[[str, int, int], None]) -> None:
        """Place the rows that have none, in order."""
        rows = self._open_rows()
        self._spare = self.table.grid.spare.copy()
        done = self._count - len(rows)
        for start in range(0, len(rows), PROGRESS_STEP):
            progress("reserve", done + start, self._count)
            field = self._field()
            place_rows(*field[:4], rows[start : start + PROGRESS_STEP], field.scratch)
        progress("reserve", self._count, self._count)

    def place_exactly(self) -> None:
        """Search a small set to the end where not all that could be placed is: beside what is kept.

        Nothing is moved unless all find a place.
        """
        rows = self._open_rows()
        rows = rows[[not self._is_hopeless(row) for row in rows.tolist()]]
        if not 0 < len(rows) <= exact.STREAMS_MAX or self._placed(rows).all():
            return
        if self._most(rows).total + SERVED_ERROR < len(rows):
            return
        field = self._field()
        placed = rows[self._placed(rows)]
        for row in placed.tolist():
            use(field.grid, field.ways, field.book, row, -1)
        answer = exact.search(field, rows)
        if answer.places is not None:
            for row, place in answer.places.items():
                exact.put(field, row, place)
            placed = rows
        for row in placed.tolist():
            use(field.grid, field.ways, field.book, row, 1)
        self._excluded = answer.impossible and all(self._knows_all_ways(row) for row in rows)

    def _knows_all_ways(self, row: int) -> bool:
        """Say whether there are no routes but those that were tried."""
        stream = self._streams[row]
        routes = self.table.routes
        return (
            stream.paths == len(stream.listeners) == 1
            and routes.candidate(stream.talker, stream.listener, ROUTE_COUNT - 1) is None
        )

    def search(self, search: Search) -> SearchPlan:
        """Look for places for more streams, and say why the search came to its end."""
        rows = self._open_rows()
        rows = rows[[not self._is_hopeless(row) for row in rows.tolist()]]
        rounds, most = 0, len(rows)
        if not self._placed(rows).all():
            total, taken, edge_prices = self._most(rows)
            prices = np.ones(len(self._spare), dtype=np.int64)
            for edge, price in zip(self.table.routes.graph.edges, edge_prices, strict=True):
                prices[[port.number for port in edge.ports]] = price
            field = self._field()
            field = field._replace(ways=priced(field.ways, field.pairs, prices))
            most = min(int(total + SERVED_ERROR), len(rows))
            rounds = improve(field, rows, self._favoured(rows, taken), most, search)
        placed = int(self._placed(rows).sum())
        stopped: Stopped = "rounds used"
        if placed == self._count + len(self._unfit):
            stopped = "all placed"
        elif placed == len(rows):
            stopped = "the rest is impossible"
        elif placed >= most:
            stopped = "bound reached"
        return SearchPlan(seed=search.seed, rounds=rounds, stopped=stopped)

    def _placed(self, rows: Int64s) -> NDArray[np.bool_]:
        return self.table.book.way[rows] >= 0

    def _is_hopeless(self, row: int) -> bool:
        return self.table.room.hopeless(self.table.book.asked, row) is not None

    def _favoured(self, rows: Int64s, taken: dict[Class, int]) -> Int64s:
        """Return as many of the rows of each class as the bound takes, the smaller ones first."""
        left = dict(taken)
        favoured = []
        for row in sorted(rows.tolist(), key=lambda row: (need_bytes(self._streams[row]), row)):
            if left.get(self._class(row), 0) > 0:
                left[self._class(row)] -= 1
                favoured.append(row)
        return np.array(favoured, dtype=np.int64)

    # What no plan can exceed

    def _class(self, row: int) -> Class:
        stream = self._streams[row]
        turns = self.table.hypercycle * self.table.topology.tcqf.cycle_ps // stream.interval_ps
        number = self._node_number
        weight = need_bytes(stream) * turns * stream.paths
        # Any plan takes the way to one listener of a tree, whatever it takes for the others.
        return Class(number[stream.talker], number[stream.listeners[0]], weight)

    def _most(self, rows: Int64s, *, by_weight: bool = False) -> Most:
        """Bound what of some rows fits beside the streams that were kept or moved."""
        edges = self.table.routes.graph.edges
        number = self._node_number
        load = Load(
            [number[edge.source] for edge in edges],
            [number[edge.target] for edge in edges],
            [sum(int(self._spare[port.number]) for port in edge.ports) for edge in edges],
            Counter(self._class(row) for row in rows.tolist()),
        )
        return most_streams(load, by_weight=by_weight)

    def sums(self, made: SearchPlan | None) -> ReservedPlan:
        """Add up what is placed, and bound what could be."""
        opened = self._open_rows()
        rows = opened[[not self._is_hopeless(row) for row in opened.tolist()]]
        copies = np.array([stream.paths for stream in self._streams], dtype=np.int64)
        for row in self._moved["reduced"]:
            copies[row] = 1
        rates = [mean_rate_bps(stream) for stream in self._streams]
        there = np.flatnonzero(self._placed(self._every)).tolist()
        placed_bps = sum(rates[row] * int(copies[row]) for row in there)
        bound = bound_bps = 0
        overload = None
        for row in set(range(self._count)) - set(opened.tolist()):
            bound += 1
            bound_bps += rates[row] * int(copies[row])
        if self._placed(rows).all():
            bound += len(rows)
            bound_bps += sum(rates[row] * int(copies[row]) for row in rows.tolist())
        else:
            bound += min(int(self._most(rows).total + SERVED_ERROR), len(rows) - self._excluded)
            weight = self._most(rows, by_weight=True).total
            bound_bps += self._bps(int(weight * (1 + SERVED_ERROR)) + 1)
            overload = self._overload(rows) or (SEARCHED if self._excluded else None)
        offered_bps = sum(
            mean_rate_bps(one) * one.paths
            for one in self._profile.every_tree
            if self._profile.takes_cycles(one)
        )
        return ReservedPlan(
            streams=self._count + len(self._unfit),
            streams_placed=len(there),
            streams_bound=max(bound, len(there)),
            offered_bps=offered_bps,
            placed_bps=placed_bps,
            bound_bps=max(min(bound_bps, offered_bps), placed_bps),
            overload=overload,
            search=made,
        )

    def _overload(self, rows: Int64s) -> str | None:
        """Name the node whose own streams exceed most what its ports can reserve, if one does."""
        edges = self.table.routes.graph.edges
        worst: tuple[int, str] | None = None
        for leaving, words in ((True, "leave"), (False, "enter")):
            needed: Counter[str] = Counter()
            for row in rows.tolist():
                stream = self._streams[row]
                for node in (stream.talker,) if leaving else stream.listeners:
                    needed[node] += self._class(row).weight
            for node, weight in sorted(needed.items()):
                held = sum(
                    int(self._spare[port.number])
                    for edge in edges
                    if (edge.source if leaving else edge.target) == node
                    for port in edge.ports
                )
                text = (
                    f"{show_rate(self._bps(weight))} must {words} {node}, whose ports can reserve "
                    f"{show_rate(self._bps(held))}"
                )
                if weight > held and (worst is None or weight - held > worst[0]):
                    worst = (weight - held, text)
        return None if worst is None else worst[1]

    def _bps(self, weight: int) -> int:
        window_ps = self.table.hypercycle * self.table.topology.tcqf.cycle_ps
        return ceil_div(weight * 8 * PS_PER_S, window_ps)

    # Answers

    def plans(self) -> dict[str, StreamPlan]:
        """Return what became of every stream, by name."""
        cycle_ps = self.table.topology.tcqf.cycle_ps
        plans = {
            leg.name: _refused(
                leg.name,
                f"its interval of {show_time(stream.interval_ps)} is not a multiple "
                f"of the cycle of {show_time(cycle_ps)}",
            )
            for stream in self._unfit
            for leg in stream.legs
        }
        reduced = set(self._moved["reduced"])
        for row, stream in enumerate(self._streams):
            if row in self._kept:
                made = self._kept[row]
            elif self.table.book.way[row] < 0:
                reason = self.table.room.why_not(self.table.book.asked, row)
                assert reason is not None, "what fits was placed"
                made = [_refused(leg.name, reason) for leg in stream.legs]
            else:
                made = self.table.plans(row)
                if row in reduced:
                    why = self.table.room.why_not(self.table.book.asked, row)
                    reason = f"one path left; {why or 'there was no room for two'}"
                    made = [plan.replace(reason=reason) for plan in made]
            plans.update((plan.name, plan) for plan in made)
        return plans

    def mean_bps(self) -> list[int]:
        """Return the mean reserved rate of every port, rounded up."""
        taken = self.table.room.capacity * self.table.hypercycle - self.table.grid.spare
        return [self._bps(size) for size in taken.tolist()]

    def changes(self, keep: Plan | None, down: tuple[str, ...]) -> ChangesPlan:
        """Say what became of the streams of the earlier plan."""
        before = [] if keep is None else keep.streams
        known = {stream.name for stream in self._profile.every_stream}
        names = {what: self._legs_of(rows) for what, rows in self._moved.items()}
        lost = self._moved["lost"]
        names["lost"] = self._legs_of(row for row in lost if self.table.book.way[row] < 0)
        names["replaced"] += self._legs_of(row for row in lost if self.table.book.way[row] >= 0)
        hurt = [*(row for row in lost if self.table.book.way[row] < 0), *self._moved["reduced"]]
        ranks = Counter(self._streams[row].rank for row in hurt for _ in self._streams[row].legs)
        return ChangesPlan(
            lost_by_rank=tuple(sorted(ranks.items())),
            down=down,
            kept=len(self._legs_of(self._kept)),
            released=tuple(
                entry.name
                for entry in before
                if entry.name not in known and entry.status == "admitted"
            ),
            **names,
        )

    def _legs_of(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(leg.name for row in rows for leg in self._streams[row].legs)


def _refused(name: str, reason: str) -> StreamPlan:
    return StreamPlan(name=name, status="refused", reason=reason)
