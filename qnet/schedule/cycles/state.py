"""What a network has left in every cycle of every port, and where a stream has room in it.

The planner of whole profiles and the Scheduler of streams that come and go both stand on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible
from qnet.model.plan import PathPlan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Stream
from qnet.schedule.capacity import CELLS_MOST, cycle_capacity
from qnet.schedule.cycles.candidates import CandidatePath, CandidateTable, Pair, pair_of
from qnet.schedule.cycles.kernels.book import want_of
from qnet.schedule.cycles.kernels.phases import score_phases
from qnet.schedule.cycles.kernels.tables import (
    REQUEST_COLUMNS,
    Candidates,
    FreeBytes,
    Pairs,
    Request,
    Requests,
    ReservationRows,
    Scratch,
)
from qnet.schedule.cycles.kernels.waits import score_waits
from qnet.schedule.cycles.kernels.wires import best_wires, emptiest_wires
from qnet.schedule.kernels import WEIGHT_BITS, Int64s
from qnet.schedule.reasons import PathLimits, Reasons
from qnet.schedule.timing import send_ps
from qnet.units import ceil_div, show_time

KINDS_KEPT = 10_000
"""Kinds of streams whose reasons are remembered."""

NO_PAIRS = np.zeros(0, dtype=np.int64)


class Place(NamedTuple):
    """One stream's reservation in full: for each path its ports, and its cycles from phase on."""

    pair: Pair
    period: int
    packets: int
    frame_bytes: int
    ports: tuple[tuple[int, ...], ...]
    cycles: tuple[tuple[int, ...], ...]
    latency_ps_max: int


class CycleState:
    """The state of a network: bytes left, ways, and what is out of use.

    `hypercycle` is how many cycles all intervals must divide; `guards` has for each port the
    longest frame of any class that is not reserved, which may be in a cycle's way (rule 4).
    """

    def __init__(self, topology: Topology, hypercycle: int, guards: Sequence[int]) -> None:
        if not 0 < hypercycle * len(topology.ports) <= CELLS_MOST:
            raise Infeasible(
                f"a hypercycle of {hypercycle} cycles is not one that can be counted for "
                f"{len(topology.ports)} ports"
            )
        self.topology = topology
        self.hypercycle = hypercycle
        self.guards = list(guards)
        capacity = [
            cycle_capacity(topology, *pair) for pair in zip(topology.ports, guards, strict=True)
        ]
        assert max(capacity) < 2**WEIGHT_BITS, "scores would not fit into 64 bits"
        self.capacity: Int64s = np.array(capacity, dtype=np.int64)
        self.grid = FreeBytes(
            np.repeat(self.capacity[:, np.newaxis], hypercycle, axis=1),
            self.capacity * hypercycle,
            2**WEIGHT_BITS // np.maximum(self.capacity, 1),
            np.array([port.rate_bps for port in topology.ports], dtype=np.int64),
            np.ones(len(topology.ports), dtype=np.int64),
        )
        self.table = CandidateTable(topology)
        self.scratch = make_scratch(hypercycle, 1)
        self._hopeless: dict[PathLimits, str | None] = {}

    def copy(self) -> CycleState:
        """Return a state that goes its own way from here."""
        made = copy(self)
        made.guards, made.capacity = [*self.guards], self.capacity.copy()
        made.grid = FreeBytes(*(column.copy() for column in self.grid))
        made.table = self.table.copy()
        made.scratch = make_scratch(self.hypercycle, self.scratch.ports.size)
        made._hopeless = {**self._hopeless}
        return made

    def arrays(self, wanted: NDArray[np.integer[Any]] = NO_PAIRS) -> tuple[Candidates, Pairs]:
        """Return all ways, and which of them each of the wanted pairs may use now."""
        arrays = self.table.arrays(wanted)
        if self.scratch.ports.size < self.table.hop_count_most:
            self.scratch = make_scratch(self.hypercycle, self.table.hop_count_most)
        return arrays

    def narrow_guards(self, sizes: Iterable[int]) -> None:
        """Have each port guard for frames no longer than go beside what it has reserved.

        `sizes` are those that there are.
        """
        tried = sorted({0, *sizes})
        for port in np.flatnonzero(self.grid.free.min(axis=1) < 0).tolist():
            booked = int(self.capacity[port] - self.grid.free[port].min())
            held = [
                (cycle_capacity(self.topology, self.topology.ports[port], size), size)
                for size in tried
            ]
            capacity, size = [pair for pair in held if pair[0] >= booked or pair[1] == 0][-1]
            more = capacity - int(self.capacity[port])
            self.guards[port] = size
            self.capacity[port] = capacity
            self.grid.free[port] += more
            self.grid.spare[port] += more * self.hypercycle
            self.grid.weight[port] = 2**WEIGHT_BITS // max(capacity, 1)

    def set_down(self, ports: Collection[int]) -> None:
        """Say which ports are out of use from now on."""
        self.grid.up[:] = 1
        self.grid.up[sorted(ports)] = 0
        self.table.fail(ports)
        self._hopeless = {}

    def requests(
        self, streams: Iterable[Stream], may_wait: Callable[[Stream], bool] = lambda stream: False
    ) -> Requests:
        """Return the requests of streams as a traffic file has them; counts are written out."""
        cycle_ps = self.topology.tcqf.cycle_ps
        rows = []
        for stream in streams:
            if stream.interval_ps % cycle_ps:
                raise Infeasible(
                    f"{stream.name}: its interval of {show_time(stream.interval_ps)} is not a "
                    f"multiple of the cycle of {show_time(cycle_ps)}"
                )
            row = [
                self.table.number_of(pair_of(stream)),
                stream.interval_ps // cycle_ps,
                stream.max_packets,
                stream.frame_bytes,
                -1 if stream.max_latency_ps is None else stream.max_latency_ps,
                -1 if stream.max_latency_variation_ps is None else stream.max_latency_variation_ps,
                stream.rank,
                int(may_wait(stream)),
                int(stream.damper),
            ]
            rows += [row] * stream.count
        return np.array(rows, dtype=np.int64).reshape(-1, REQUEST_COLUMNS)

    # Why a stream has none

    def why_not(self, asked: Requests, row: int) -> str | None:
        """Say why a request does not fit now, or None when it does.

        What no empty network could give comes first; then the fullest cycle of the phase, the wires
        and the waits that leave the most on the best way.
        """
        hopeless = self.hopeless(asked, row)
        return hopeless or self._fullest(asked, row)

    def hopeless(self, asked: Requests, row: int) -> str | None:
        """Say why a request would not even fit into the empty network, or None when it would."""
        one = asked[row].tolist()
        limits = one[Request.LATENCY_PS_MOST], one[Request.VARIATION_PS_MOST]
        latency_ps, variation_ps = (None if limit < 0 else limit for limit in limits)
        kind = PathLimits(
            self.table.pairs[one[Request.PAIR]],
            one[Request.PACKETS],
            one[Request.FRAME_BYTES],
            latency_ps,
            variation_ps,
            bool(one[Request.DAMPER]),
        )
        if kind not in self._hopeless:
            if len(self._hopeless) >= KINDS_KEPT:
                self._hopeless = {}
            looked = Reasons(self.topology, self.table.routes, self.capacity, self.guards, kind)
            self._hopeless[kind] = looked.reason()
        return self._hopeless[kind]

    def _fullest(self, asked: Requests, row: int) -> str | None:
        ways, pairs = self.arrays(asked[row : row + 1, Request.PAIR])
        grid, scratch = self.grid, self.scratch
        want, pair = want_of(asked, pairs, row), int(asked[row, Request.PAIR])
        best: tuple[int, int, int] | None = None
        tried = 0
        waits: Int64s = scratch.waits
        for way in range(int(pairs.low[pair]), int(pairs.high[pair])):
            if ways.latency_ps_max[way] > want.latency_ps_most or not self._holds(
                ways, want.need, way
            ):
                continue
            if emptiest_wires(grid, ways, want, way, scratch) < 0:
                continue
            tried += 1
            phase = int(score_phases(grid, ways, want, way, scratch))
            if want.waits and scratch.score[phase] < 0:
                phase = int(score_waits(grid, ways, want, way, scratch))
            score = int(scratch.score[phase])
            if best is None or score > best[0]:
                best = (score, way, phase)
                waits = scratch.waits.copy()
        assert best is not None, "a stream with a way in time has one to try"
        if best[0] >= 0:
            return None
        _, way, phase = best
        scratch.waits[:] = waits
        binding = int(best_wires(grid, ways, want, way, phase, scratch))
        hop = int(ways.hop[way]) + binding
        port = int(scratch.ports[binding])
        start = phase + int(ways.shift[hop] + waits[binding])
        cycles = (start + np.arange(0, self.hypercycle, want.period)) % self.hypercycle
        cycle = int(cycles[np.argmin(grid.free[port, cycles])])
        wires = int(ways.wire[hop + 1] - ways.wire[hop])
        noun = "tree" if self.table.pairs[pair].others else "route"
        routes = f"{tried} {noun}{'' if tried == 1 else 's'} tried"
        return (
            f"port {self.topology.ports[port].name}, cycle {cycle}: {want.need} bytes needed, "
            f"{int(grid.free[port, cycle])} free; "
            f"{routes if wires == 1 else f'best of {wires} wires, {routes}'}"
        )

    def _holds(self, ways: Candidates, need: int, way: int) -> bool:
        """Say whether every hop of a way has a wire whose cycles are large enough when empty."""
        return all(
            int(self.capacity[ways.port[ways.wire[hop] : ways.wire[hop + 1]]].max()) >= need
            for hop in range(int(ways.hop[way]), int(ways.hop[way + 1]))
        )


def place_of(
    way: CandidatePath,
    pair: Pair,
    asked: tuple[int, int, int],
    phase: int,
    wires: Sequence[int],
    waits: Sequence[int],
    cycle_ps: int,
) -> Place:
    """Return a reservation in full: period, packets and frame bytes as asked, on a way."""
    ports = [hop.ports[wire] for hop, wire in zip(way.hops, wires, strict=False)]
    waited = waits or [0] * len(way.hops)
    cycles = [phase + hop.shift + wait for hop, wait in zip(way.hops, waited, strict=False)]
    latency_ps_max = way.latency_ps_max
    for path in way.paths:
        latest_ps = way.latency_ps_max - way.hops[path[-1]].skew_ps
        latency_ps_max = max(latency_ps_max, latest_ps + waited[path[-1]] * cycle_ps)
    return Place(
        pair,
        *asked,
        tuple(tuple(ports[at] for at in path) for path in way.paths),
        tuple(tuple(cycles[at] for at in path) for path in way.paths),
        latency_ps_max,
    )


def plans_of(
    topology: Topology, place: Place, damper: bool, names: Sequence[str]
) -> list[StreamPlan]:
    """Return what a plan says of an admitted stream, from the first interval that is sent, and
    uses cycles, from time zero on: by the names of its legs, where it is a tree.
    """
    talker = place.pair.talker
    cycle_ps = topology.tcqf.cycle_ps
    start = place.cycles[0][0]
    before = -min(min(cycles) for cycles in place.cycles)
    unsent = ceil_div(-send_ps(topology, talker, start), cycle_ps)
    wait = max(ceil_div(max(before, unsent), place.period), 0) * place.period
    sent_ps = send_ps(topology, talker, start + wait)
    paths = [
        PathPlan(
            ports=tuple(topology.ports[port].name for port in ports),
            cycles=tuple(cycle + wait for cycle in cycles),
        )
        for ports, cycles in zip(place.ports, place.cycles, strict=True)
    ]
    own = [[path] for path in paths] if place.pair.others else [paths]
    plans = []
    for name, listener, taken in zip(names, place.pair.listeners, own, strict=True):
        taken_ps = max(latest_ps(topology, path) for path in taken) - sent_ps
        error_ps = topology.node_by_name[listener].clock.error_ps
        plans.append(
            StreamPlan(
                name=name,
                status="admitted",
                send_ps=sent_ps,
                hold_ps=taken_ps + error_ps if damper else None,
                paths=tuple(taken),
            )
        )
    return plans


def latest_ps(topology: Topology, path: PathPlan) -> int:
    """Return when the last bit of a path's frames has surely come."""
    last = topology.port_by_name[path.ports[-1]]
    clock = topology.node_by_name[last.source].clock
    end_ps = clock.phase_ps + (path.cycles[-1] + 1) * topology.tcqf.cycle_ps
    return end_ps + clock.error_ps + last.propagation_ps


def make_scratch(hypercycle: int, width: int) -> Scratch:
    """Return room to work in for ways of so many hops."""
    sizes = [hypercycle] * 3 + [width] * 5
    return Scratch(*(np.zeros(size, dtype=np.int64) for size in sizes))


def needs(asked: Requests) -> Int64s:
    """Return the bytes of one interval of each stream, with preamble and gap."""
    need: Int64s = asked[:, Request.PACKETS] * (asked[:, Request.FRAME_BYTES] + 20)
    return need


def empty_book(rows: int, width: int, waits: bool = False) -> ReservationRows:
    """Return rows that hold no streams."""
    return ReservationRows(
        np.zeros((rows, REQUEST_COLUMNS), dtype=np.int64),
        np.full(rows, -1, dtype=np.int32),
        np.zeros(rows, dtype=np.int32),
        np.zeros((rows, width), dtype=np.int16),
        np.zeros((rows, width if waits else 0), dtype=np.int16),
    )


def widen(book: ReservationRows, width: int, waits: bool = False) -> ReservationRows:
    """Return the same streams with room for so many hops, and for waits."""
    wider = empty_book(len(book.way), width, waits)
    for new, old in ((wider.wires, book.wires), (wider.waits, book.waits)):
        most = min(new.shape[1], old.shape[1])
        new[:, :most] = old[:, :most]
    return book._replace(wires=wider.wires, waits=wider.waits)


def lengthen(book: ReservationRows, rows: int) -> ReservationRows:
    """Return the same streams with vacant rows behind them."""
    longer = empty_book(rows, book.wires.shape[1], book.waits.shape[1] > 0)
    tables: list[NDArray[Any]] = [*longer]
    for table, old in zip(tables, book, strict=True):
        table[: len(book.way)] = old
    return longer
