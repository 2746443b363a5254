"""What is left of a network while its plan changes: for reserved streams, and for all others.

What a stream leaves stays taken until it is given back: its frames are still under way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from qnet.graph.routes import Edge, Routes
from qnet.model.plan import DemandPlan, Entry, PathPlan, Plan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.schedule.capacity import mean_rate_bps, need_bytes
from qnet.schedule.cycles.keep import kept_legs
from qnet.schedule.cycles.kernels.admit import place_rows
from qnet.schedule.cycles.kernels.book import clear_row
from qnet.schedule.cycles.kernels.tables import Request
from qnet.schedule.cycles.table import ReservationTable
from qnet.schedule.demands import place_demands
from qnet.schedule.guards import LongestFrame, OpenWays, guards_anywhere
from qnet.schedule.reaction.detours import find_detour
from qnet.schedule.repair.kernels import remove_rows
from qnet.schedule.routed import most_bps, route_streams
from qnet.units import PS_PER_S, ceil_div

ROWS_MORE = 256


class RoomLeft:
    """The reservations of a plan, and the rates of what reserves nothing.

    Every port keeps room for the longest frame that reserves nothing wherever it may be sent, as
    far as the plan leaves that.
    """

    def __init__(self, topology: Topology, profile: Profile, plan: Plan) -> None:
        self._topology, self._profile = topology, profile
        guards = guards_anywhere(topology, profile).every_longest
        self._table = ReservationTable(topology, plan.hypercycle, guards)
        self._closed = {topology.port_by_name[one.port].number for one in plan.gates}
        streams = [one for one in profile.every_tree if profile.takes_cycles(one)]
        kept = kept_legs(topology, profile, plan, streams)
        self._rows: dict[StreamPlan, list[int]] = defaultdict(list)
        """Of each entry: two of one stream can be alike, the second beside the first."""
        self._table.lengthen(len(kept) + ROWS_MORE)
        rows = np.arange(len(kept))
        chosen = [streams[place] for place in kept]
        self._table.streams = dict(enumerate(chosen))
        self._table.write(rows, self._table.room.requests(chosen, profile.may_wait))
        self._table.keep(rows.tolist(), list(kept.values()))
        for row, legs in zip(rows.tolist(), kept.values(), strict=True):
            self._rows[legs[0]].append(row)
        sizes = {size for one in profile.demands for size, _ in one.sizes}
        self._table.room.narrow_guards({*guards, *sizes})
        self._down: frozenset[int] | None = None
        self._routes: dict[frozenset[int], Routes] = {}
        self.set_down(frozenset())

    def set_down(self, ports: Collection[int]) -> None:
        """Say which ports nothing new may use."""
        wanted = frozenset(ports)
        if wanted != self._down:
            self._down = wanted
            self._table.room.set_down(wanted | self._closed)

    # Reserved streams

    def place(self, stream: Stream) -> StreamPlan | str:
        """Reserve a place beside all that is reserved; return its entry, or why there is none."""
        table, row = self._table, self._asked_row(stream)
        rows = np.array([row])
        field = table.field(table.book.asked[rows, Request.PAIR])
        place_rows(*field[:4], rows, field.scratch)
        if table.book.way[row] < 0:
            reason = table.room.why_not(table.book.asked, row) or "there is no room for it"
            clear_row(table.book, row)
            return reason
        table.streams[row] = stream
        (entry,) = table.plans(row)
        self._rows[entry].append(row)
        return entry

    def _asked_row(self, stream: Stream) -> int:
        """Return a row that asks for a stream and has no place yet."""
        table = self._table
        vacant = np.flatnonzero(table.book.asked[:, Request.PERIOD] == 0)
        if not vacant.size:
            vacant = np.arange(len(table.book.way), len(table.book.way) + ROWS_MORE)
            table.lengthen(len(table.book.way) + ROWS_MORE)
        table.write(vacant[:1], table.room.requests([stream], self._profile.may_wait))
        return int(vacant[0])

    def detour(self, stream: Stream, entry: StreamPlan, hop: int) -> StreamPlan | str:
        """Reserve a detour of a stream around a port of its way, from the node before it on.

        Return the entry with it, or why there is none. The node behind the port is left out too,
        where that can be.
        """
        waits = self._profile.may_wait(stream)
        asked = (stream, entry, hop)
        whole = self._routes_without(frozenset())
        found = find_detour(self._topology, whole, asked, self._wire, waits=waits)
        if isinstance(found, str):
            return found
        (path,) = found.paths
        behind = PathPlan(ports=path.ports[hop:], cycles=path.cycles[hop:])
        row = self._asked_row(stream)
        self._table.keep([row], [[found.replace(paths=(behind,))]])
        self._table.streams[row] = stream
        self._rows[found].append(row)
        return found

    def _wire(self, stream: Stream, edge: Edge, cycle: int) -> Port | None:
        """Return the emptiest wire of those that have room for a stream in a cycle."""
        grid, length = self._table.grid, self._table.hypercycle
        period = stream.interval_ps // self._topology.tcqf.cycle_ps
        cycles = (cycle + np.arange(0, length, period)) % length
        need = need_bytes(stream)
        free = [
            port
            for port in edge.ports
            if port.number not in self._closed and grid.free[port.number, cycles].min() >= need
        ]
        return max(free, key=lambda port: int(grid.spare[port.number]), default=None)

    def give_back(self, entry: StreamPlan) -> None:
        """Give the place of an entry back."""
        rows = self._rows[entry]
        if rows:
            row = rows.pop()
            grid, ways, _, book, _ = self._table.field()
            remove_rows(grid, ways, book, np.array([row]))
            clear_row(book, row)

    def latency_ps(self, entry: StreamPlan) -> int:
        """Return how long frames of an entry are under way at most."""
        return self._table.place(self._rows[entry][-1]).latency_ps_max

    def drained_ps(self, entry: Entry, traffic_class: str) -> int:
        """Return after what time all that was sent by an entry has come.

        What reserves nothing may have met a full buffer at every port.
        """
        if isinstance(entry, StreamPlan) and entry.status == "admitted":
            return self.latency_ps(entry) + self._topology.tcqf.cycle_ps
        topology, asked = self._topology, self._profile.class_by_name[traffic_class]
        taken_ps = [0]
        for way in entry.routes:
            ports = [topology.port_by_name[name] for name in way]
            nodes = [topology.node_by_name[port.source] for port in ports]
            waits = [
                ceil_div(node.buffer_bytes * 8 * PS_PER_S, max(most_bps(asked, port), 1))
                for node, port in zip(nodes, ports, strict=True)
            ]
            held = sum(node.processing.high_ps for node in nodes)
            taken_ps.append(held + sum(waits) + sum(port.propagation_ps for port in ports))
        return max(taken_ps)

    def remembers(self, stream: Stream, old: StreamPlan, new: StreamPlan) -> str:
        """Say why the listener could not tell copies apart while a stream changes over, or nothing.

        Frames of the slower way come when so many of the quicker one have, and one interval more
        since it may be shorter at the change.
        """
        if stream.recovery is None or old.status != "admitted" or new.status != "admitted":
            return ""
        apart_ps = max(self.latency_ps(old), self.latency_ps(new))
        if not stream.damper:
            ports = self._topology.port_by_name
            ways = (*old.routes, *new.routes)
            apart_ps -= min(sum(ports[name].propagation_ps for name in way) for way in ways)
        needed = (apart_ps // stream.interval_ps + 2) * stream.max_packets + 1
        if needed <= stream.recovery.history:
            return ""
        return f"its listener would have to remember {needed} frames while it changes over"

    # All others

    def _routes_without(self, down: frozenset[int]) -> Routes:
        if down not in self._routes:
            self._routes[down] = Routes(self._topology, down)
        return self._routes[down]

    def route(
        self, wanted: Collection[str], in_force: Iterable[StreamPlan | DemandPlan]
    ) -> Mapping[str, StreamPlan | DemandPlan]:
        """Return other ways for what reserves nothing, beside all else that is in force."""
        topology, profile = self._topology, self._profile
        assert self._down is not None
        ways = OpenWays(topology, self._routes_without(self._down), self._down, self._bears)
        streams = tuple(one for one in profile.every_tree if one.name in wanted)
        demands = tuple(one for one in profile.demands if one.name in wanted)
        asked = profile.replace(streams=streams, demands=demands, gates=())
        free_bps = self._free_bps(one for one in in_force if one.name not in wanted)
        routed = route_streams(topology, asked, ways, free_bps)
        found: dict[str, StreamPlan | DemandPlan] = {
            name: entry for name, entry in routed.plans.items() if name in wanted
        }
        return found | {one.name: one for one in place_demands(topology, asked, ways, free_bps)}

    def _bears(self, frame: LongestFrame, port: int) -> bool:
        return frame.size <= self._table.room.guards[port] and port not in self._closed

    def _free_bps(self, in_force: Iterable[StreamPlan | DemandPlan]) -> list[int]:
        """Return what every port has left beside reservations and these entries."""
        topology, table = self._topology, self._table
        window_ps = table.hypercycle * topology.tcqf.cycle_ps
        taken = table.room.capacity * table.hypercycle - table.grid.spare
        free_bps = [
            port.reservable_bps - ceil_div(int(size) * 8 * PS_PER_S, window_ps)
            for port, size in zip(topology.ports, taken, strict=True)
        ]
        streams = {one.name: one for one in self._profile.every_stream}
        for entry in in_force:
            if isinstance(entry, DemandPlan):
                uses = [(part.ports, part.rate_bps) for part in entry.parts]
            elif entry.status == "routed":
                rate_bps = mean_rate_bps(streams[entry.name])
                uses = [(path.ports, rate_bps) for path in entry.paths]
            else:
                continue
            for names, rate_bps in uses:
                for name in names:
                    free_bps[topology.port_by_name[name].number] -= rate_bps
        return [max(one, 0) for one in free_bps]
