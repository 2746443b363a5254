"""Which ports are general, and what their parts are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible
from qnet.model.fields import FRAME_BYTES_HIGHEST
from qnet.model.gates import HELD, GateList
from qnet.model.plan import Plan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream, TrafficClass
from qnet.simulate.clocks.events import is_set_otherwise
from qnet.simulate.draws import dice
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.outages import LATEST_PS, Epochs, Shadow, epochs, events_within
from qnet.simulate.ports.kernels.gates import open_by
from qnet.simulate.ports.kernels.preemption import FRAGMENT_LEAST, REST_LEAST
from qnet.simulate.ports.parts import (
    AT_LISTENER,
    BYTE_PS,
    GENERAL,
    IN_OWN_NODE,
    ON_THE_LINE,
    RECOVERY,
    MeterState,
    Parts,
    PortLaw,
    PositionLaw,
    RecoveryState,
    RingLaw,
    RingState,
    SourceTable,
)
from qnet.simulate.settings import PortChange, PortState
from qnet.simulate.setup import heads_ps, hops_of, number_by_node, positions, rates_of
from qnet.simulate.world import NEVER, Ring, World
from qnet.units import PPB, PS_PER_S, ceil_div, serialisation_ps

Ints = NDArray[np.int64]

GATES = 9
"""Of eight queues, and what holds preemptable frames."""

FINE = 10**6
"""Idle slopes behind gates are whole millionths of the port's rate."""

NEVER_CHANGES_PS = 1 << 60

UNCUT_BYTES = FRAGMENT_LEAST + REST_LEAST - 1
"""The longest frame, or rest of one, that is never cut: a held port is idle after so many bytes."""

_ONE = 1 << 128
"""Chances are fixed-point numbers of 128 bits: the same on every machine."""


class _Queue(NamedTuple):
    """One queue of a general port; the key that frames are sorted by is its number."""

    number: int
    traffic_class: TrafficClass

    @property
    def order(self) -> tuple[bool, int]:
        """Express queues first, then by falling number."""
        return self.traffic_class.preemptable, -self.number

    @property
    def group(self) -> tuple[int, int]:
        """Queues of one priority with weights take turns; all others stand alone."""
        one = self.traffic_class
        return (1, one.priority) if one.weight is not None else (0, self.number)


def _reserved_bps(stream: Stream, port: Port) -> int:
    """Return what SRP reserves for a stream: what its frames take of the port's time, as a rate."""
    line_ps = stream.max_packets * serialisation_ps(stream.frame_bytes, port.rate_bps)
    return max(
        ceil_div(line_ps * port.rate_bps, stream.interval_ps), stream.committed_rate_bps or 0
    )


def general_ports(
    topology: Topology, plan: Plan, found: Sequence[FrameSource], happening: Epochs
) -> set[int]:
    """Return the numbers of the ports that the plain server does not do justice to."""
    by_name = topology.port_by_name
    general = {by_name[one.port].number for one in plan.gates} | set(happening.shadows)
    general |= set(happening.states)
    for owner in found:
        one, stream = owner.traffic_class, owner.stream
        everywhere = owner.queues or owner.elimination is not None
        if everywhere or not one.is_plain or one.mechanism == "cqf":
            general |= {port.number for port in owner.ports}
        if stream is not None and stream.police:
            general.add(owner.ports[0].number)
        if owner.leads:
            general.add(owner.ports[len(owner.leads) - 1].number)
    for port in topology.ports:
        ends = (topology.node_by_name[name] for name in (port.source, port.target))
        if port.is_lossy or any(one.cut_through_bytes for one in ends):
            general.add(port.number)
    return general


def add_parts(
    topology: Topology, profile: Profile, plan: Plan, found: Sequence[FrameSource], world: World
) -> tuple[World, Parts | None, Sequence[PortChange]]:
    """Give general ports their rings and laws; None where all ports are plain.

    With what is written into their tables while the run goes on.

    Raises Infeasible where parts meet that are not simulated together.
    """
    happening = epochs(topology, profile)
    general = general_ports(topology, plan, found, happening)
    eliminations = sorted({owner.elimination for owner in found if owner.elimination is not None})
    if not general and not eliminations:
        return world, None, ()
    layout = _Layout(topology, profile, plan, found, world)
    for number in sorted(general):
        layout.add_port(topology.ports[number])
    for point, server in enumerate(eliminations):
        layout.port[server, [PortLaw.WHAT, PortLaw.FIRST]] = RECOVERY, point
    listeners = {
        one.elimination: one.ports[-1].target for one in found if one.elimination is not None
    }
    layout.add_outages(happening, listeners)
    changes = layout.changes(happening)
    return layout.world(), layout.parts(eliminations), changes


class _Layout:
    """Arrays of the general ports in the making."""

    def __init__(
        self,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        found: Sequence[FrameSource],
        world: World,
    ) -> None:
        self.topology, self.profile, self.plan = topology, profile, plan
        self.found, self.plain = found, world
        self.port = np.zeros((world.tally.port.shape[0], 16), dtype=np.int64)
        self.port[:, PortLaw.LOSS] = -1
        self.rings = world.queues.ring.shape[0]
        self.ring_law: list[list[int]] = []
        self.position = np.full((world.routes.owner.size, 4), -1, dtype=np.int64)
        self.gate_by_port = {one.port: one for one in plan.gates}
        self.fixed = any(one.gated and one.guard == "fixed" for one in profile.classes)
        self.gate_end: list[int] = []
        self.gate_change: list[list[int]] = []
        self.gate_open: list[list[int]] = []
        self.meters: list[list[int]] = []
        self.shapers: list[list[int]] = []
        self.meter_of: dict[tuple[str, int], int] = {}
        self.shaper_of: dict[tuple[str, int], int] = {}
        """By stream and port: a stream that is moved keeps its own."""
        self.groups: dict[tuple[object, ...], int] = {}
        self.losses: dict[tuple[int, int], int] = {}
        self.outages: list[list[int]] = []
        self.events = {number: place for place, number in enumerate(events_within(profile))}
        """Columns of `Parts.broken`, by the events' numbers."""
        self.users: dict[int, list[tuple[FrameSource, int, int]]] = defaultdict(list)
        """[port]: owners, their hop there, and its position."""
        self.hops = hops_of(found)
        _, position = positions(self.hops)
        self.fork = np.full(position.size, -1, dtype=np.int64)
        for first, owner in zip(self.hops.first, found, strict=True):
            for hop, number in enumerate(owner.servers):
                if hop >= len(owner.leads):
                    self.users[number].append((owner, hop, int(position[first + hop])))
            if owner.leads:
                # A list that begins with the leading leg: each part comes in as its second.
                parting = first + len(owner.leads) - 1
                leading, parted = position[self.hops.lead[parting]], position[parting]
                self.fork[parted], self.fork[leading] = self.fork[leading], parted
            if owner.elimination is not None:
                self.position[position[first + len(owner.ports)], PositionLaw.RING] = AT_LISTENER

    def add_port(self, port: Port) -> None:
        """Lay out the rings of one general port, and what its frames meet there."""
        row = self.port[port.number]
        row[PortLaw.WHAT] = GENERAL
        row[PortLaw.RATE] = port.rate_bps
        row[PortLaw.PHASE] = self.plain.network.phase[port.number]
        row[PortLaw.LOSS] = self._loss(port)
        row[PortLaw.BY_ARRIVAL] = any(one.mechanism == "cqf" for one in self.profile.classes)
        row[PortLaw.FIXED] = self.fixed
        row[PortLaw.GATE_FIRST] = len(self.gate_end)
        gates = self.gate_by_port.get(port.name)
        if gates is not None:
            self._add_gates(gates)
        row[PortLaw.GATE_LAST] = len(self.gate_end)
        users = self.users[port.number]
        queues = self._queues(users)
        cyclic = [owner for owner, _, _ in users if owner.cycles]
        row[PortLaw.FIRST] = self.rings + len(self.ring_law)
        if cyclic:
            bit = self.profile.queue_by_class[cyclic[0].traffic_class.name]
            for _ in range(self.plain.network.cycle_buffers):
                self.ring_law.append([bit, 0, 0, 0, 0, 0])
        row[PortLaw.QUEUES] = self.rings + len(self.ring_law)
        ring_by_queue = self._add_queues(queues, port)
        row[PortLaw.LAST] = self.rings + len(self.ring_law)
        row[PortLaw.PREEMPTABLE] = row[PortLaw.LAST] - sum(
            one.traffic_class.preemptable for one in queues
        )
        holds = gates is not None and any(entry.states & HELD for entry in gates.entries)
        if holds and row[PortLaw.PREEMPTABLE] < row[PortLaw.LAST]:
            row[PortLaw.HOLD_ADVANCE] = serialisation_ps(UNCUT_BYTES, port.rate_bps)
        for owner, hop, position in users:
            if not owner.cycles:
                self.position[position, PositionLaw.RING] = ring_by_queue[self._queue(owner, hop)]
            self._add_regulators(owner, hop, position, port)

    def add_outages(self, happening: Epochs, listeners: Mapping[int, str]) -> None:
        """Lay out what takes frames from each port, and from dampers where copies meet."""
        shadows = dict(happening.shadows)
        for server, name in listeners.items():
            shadows[server] = [
                Shadow(IN_OWN_NODE, 0, one.event, one.from_ps, one.until_ps)
                for one in happening.nodes.get(name, ())
            ]
        for number, mine in shadows.items():
            self.port[number, [PortLaw.OUT_FIRST, PortLaw.OUT_LAST]] = self._add_shadows(mine)

    def changes(self, happening: Epochs) -> list[PortChange]:
        """Lay out what ports become that events change."""
        made = []
        rates = rates_of(self.topology, happening.states)
        for number, states in happening.states.items():
            if len({one.rate_bps for one in states}) > 1:
                self._refuse_rates(self.topology.ports[number])
            is_lossy = any(any(one.losses) for one in states)
            before, torn_row, rows = states[0], -1, (0, 0)
            for state, mine in zip(states, happening.later[number], strict=True):
                if state.propagation_ps != before.propagation_ps:
                    torn_row = self._torn_row(rows, state)
                rows, before = self._add_shadows(mine), state
                row = rates.index(state.rate_bps)
                loss_row = self._loss_row(state.losses) if is_lossy else -1
                made.append(PortChange(state.at_ps, number, row, state, loss_row, rows, torn_row))
                torn_row = -1
        return made

    def _torn_row(self, rows: tuple[int, int], state: PortState) -> int:
        """Return which of some rows takes what is being sent when a state begins."""
        column = self.events[state.event]
        return next(
            row
            for row in range(*rows)
            if self.outages[row][1:4] == [LATEST_PS, ON_THE_LINE, column]
        )

    def _refuse_rates(self, port: Port) -> None:
        """Refuse another rate where more than times on the line would follow from it."""
        ends = (self.topology.node_by_name[name] for name in (port.source, port.target))
        law = self.port[port.number]
        shaped = any(self.ring_law[ring - self.rings][3]
                     for ring in range(law[PortLaw.FIRST], law[PortLaw.LAST]))  # fmt: skip
        what = "cuts frames through" if any(one.cut_through_bytes for one in ends) else ""
        what = "has credit-based shaping" if shaped else what
        what = "holds frames before its gates" if law[PortLaw.HOLD_ADVANCE] else what
        if what:
            raise Infeasible(
                f"port {port.name} {what}, and changes its rate: the two are not simulated together"
            )

    def _add_shadows(self, mine: Sequence[Shadow]) -> tuple[int, int]:
        """Add rows of outages that are in order; return the first, and the one after the last."""
        first = len(self.outages)
        for _, of_one in groupby(mine, lambda one: (one.place, one.far_ps, one.event)):
            rows = [*of_one]
            following = len(self.outages) + len(rows)
            self.outages += [
                [one.from_ps, one.until_ps, one.place, self.events[one.event], following]
                for one in rows
            ]
        return first, len(self.outages)

    def _queue(self, owner: FrameSource, hop: int) -> int:
        return owner.queues[hop] if owner.queues else self._class_queue(owner.traffic_class)

    def _class_queue(self, one: TrafficClass) -> int:
        return self.profile.queue_by_class[one.name]

    def _queues(self, users: Sequence[tuple[FrameSource, int, int]]) -> list[_Queue]:
        """Return the queues in use, in the order in which they are served."""
        used = {
            self._queue(owner, hop): owner.traffic_class
            for owner, hop, _ in users
            if not owner.cycles
        }
        return sorted((_Queue(*one) for one in used.items()), key=lambda one: one.order)

    def _add_queues(self, queues: Sequence[_Queue], port: Port) -> dict[int, int]:
        first = self.rings + len(self.ring_law)
        for place, queue in enumerate(queues):
            last = place
            while last < len(queues) and queues[last].group == queue.group:
                last += 1
            one = queue.traffic_class
            idle, line = 0, 0
            if one.idle_slope is not None:
                idle, line = self._slopes(self._share(one, port), queue.number, port)
            self.ring_law.append(
                [queue.number, first + last, one.weight or 0, idle, line,
                 one.residence_ps is not None]
            )  # fmt: skip
        return {queue.number: first + place for place, queue in enumerate(queues)}

    def _share(self, one: TrafficClass, port: Port) -> Fraction:
        """Return the share of a port's rate, at most all of it, that a class's idle slope is."""
        assert one.idle_slope is not None, "asked of classes with credit only"
        share_ppb, rate_bps = one.idle_slope
        if share_ppb is not None:
            return Fraction(share_ppb, PPB)
        if rate_bps is None:
            # A stream that is moved is one stream, by whichever of its entries it comes.
            streams = {
                owner.name: owner.stream
                for owner, _, _ in self.users[port.number]
                if owner.traffic_class is one and owner.stream is not None
            }
            rate_bps = sum(_reserved_bps(stream, port) for stream in streams.values())
        return min(Fraction(rate_bps, port.rate_bps), Fraction(1))

    def _slopes(self, idle: Fraction, gate: int, port: Port) -> tuple[int, int]:
        """Return idle slope and port rate of a credit-based shaper in a common unit.

        What is asked for is a share of all time; credit grows while the gate is open, so much
        faster, but no faster than the port (IEEE 802.1Q clause 8.6.8.2, operIdleSlope). A share
        of 20 % behind a gate that is open for half of the time is 40 % while it is.
        """
        if port.name not in self.gate_by_port:
            return idle.numerator, idle.denominator
        if self.profile.simulation.duration_ps * FINE >= NEVER:
            longest = NEVER // FINE // PS_PER_S
            raise Infeasible(
                f"port {port.name}: credit behind gates is counted for {longest} s at most"
            )
        open_ps, cycle_ps = self.gate_open[-1][gate], self.gate_end[-1]
        share = idle * FINE * cycle_ps // open_ps if open_ps else 0
        return min(max(share, 1), FINE), FINE

    def _add_regulators(self, owner: FrameSource, hop: int, position: int, port: Port) -> None:
        stream, one = owner.stream, owner.traffic_class
        if stream is not None and stream.police and hop == 0:
            full = stream.burst_bytes * BYTE_PS
            row = self.meter_of.setdefault((owner.name, port.number), len(self.meters))
            self.position[position, PositionLaw.METER] = row
            if row == len(self.meters):
                excess = stream.yellow_burst_bytes * BYTE_PS
                rates = (stream.rate_bps, full, full, stream.excess_rate_bps or 0, excess, excess)
                self.meters.append([*rates, 0, 0, 0, 0])
        if stream is not None and one.residence_ps is not None:
            rate_bps = stream.rate_bps
            filling = ceil_div(stream.burst_bytes * BYTE_PS, rate_bps)
            came = (owner.ports[hop - 1].number,) if hop else (-1, owner.name)
            group = (port.number, one.name, *came)
            row = self.shaper_of.setdefault((owner.name, port.number), len(self.shapers))
            self.position[position, PositionLaw.SHAPER] = row
            self.position[position, PositionLaw.GROUP] = self.groups.setdefault(
                group, len(self.groups)
            )
            if row == len(self.shapers):
                self.shapers.append([rate_bps, filling, one.residence_ps, -filling])

    def _add_gates(self, one: GateList) -> None:
        lengths = [entry.interval_ps for entry in one.entries]
        self.gate_end += accumulate(lengths)
        opens = [[entry.states >> gate & 1 > 0 for entry in one.entries] for gate in range(GATES)]
        open_ps = [0] * GATES
        changes = [
            _until(lengths, opens[gate], wanted)
            for gate in range(GATES)
            for wanted in (False, True)
        ]
        for entry in range(len(lengths)):
            self.gate_change.append([change[entry] for change in changes])
            open_ps = [
                passed + lengths[entry] * opens[gate][entry] for gate, passed in enumerate(open_ps)
            ]
            self.gate_open.append(open_ps)

    def _loss(self, port: Port) -> int:
        return self._loss_row((port.loss_ppb, port.bit_errors)) if port.is_lossy else -1

    def _loss_row(self, losses: tuple[int, int]) -> int:
        return self.losses.setdefault(losses, len(self.losses))

    def world(self) -> World:
        """Return the plain world with the rings of the general ports after its own."""
        queues = self.plain.queues
        added = len(self.ring_law)
        ring = np.zeros((added, queues.ring.shape[1]), dtype=np.int64)
        ring[:, Ring.BASE] = queues.cells.shape[0] + np.arange(added) * 64
        ring[:, Ring.MASK] = 63
        cells = np.zeros((added * 64, queues.cells.shape[1]), dtype=np.int64)
        queues = queues._replace(
            ring=np.vstack((queues.ring, ring)), cells=np.vstack((queues.cells, cells))
        )
        return self.plain._replace(queues=queues)

    def parts(self, eliminations: Sequence[int]) -> Parts:
        """Return all of it as arrays."""
        servers = self.port.shape[0]
        seed = self.profile.simulation.seed
        ring = np.zeros((self.rings + len(self.ring_law), 8), dtype=np.int64)
        if self.ring_law:
            ring[self.rings :, :6] = self.ring_law
        names = [one.name for one in self.topology.ports]
        names += [f"elimination {number}" for number in range(len(names), servers)]
        parts = Parts(
            port=self.port,
            ring=ring,
            ring_state=np.zeros_like(ring),
            position=self.position,
            fork=self.fork,
            dropped=np.zeros((self.position.shape[0], 8), dtype=np.int64),
            outage=_table(self.outages, 5),
            broken=np.zeros((self.position.shape[0], len(self.events)), dtype=np.int64),
            wire=np.zeros((servers, 16), dtype=np.int64),
            gate_end=_ints(self.gate_end),
            gate_change=_table(self.gate_change, 2 * GATES),
            gate_open=_table(self.gate_open, GATES),
            meter=_table(self.meters, MeterState.RED + 1),
            shaper=_table(self.shapers, 4),
            group=np.zeros(len(self.groups), dtype=np.int64),
            loss=_table([chances(*one) for one in self.losses], FRAME_BYTES_HIGHEST + 1),
            loss_dice=np.array([dice(seed, f"loss {name}") for name in names]),
            head=heads_ps(self.topology, self.hops),
            source_state=self._sources(),
            timetable=_ints(time for owner in self.found for time in owner.law.timetable),
            recovery=self._recovery(eliminations),
            remembered=np.zeros((len(eliminations), self._history), dtype=np.int64),
        )
        self._begin_credit(parts)
        return parts

    def _begin_credit(self, parts: Parts) -> None:
        """Set what gates have been open by time zero, which is before their clock shows zero."""
        network = self.plain.network
        for number in np.flatnonzero(
            self.port[:, PortLaw.GATE_FIRST] < self.port[:, PortLaw.GATE_LAST]
        ):
            law = parts.port[number]
            errors = network.clock_error[network.clock[number]]
            tables = parts.gate_end, parts.gate_change, parts.gate_open
            for ring in range(law[PortLaw.QUEUES], law[PortLaw.LAST]):
                if parts.ring[ring, RingLaw.IDLE] > 0:
                    if is_set_otherwise(network.clocks, int(network.clock[number])):
                        name = self.topology.ports[number].source
                        raise Infeasible(
                            f"an event of the clock of {name}, which has idle slopes behind gates"
                        )
                    parts.ring_state[ring, RingState.OPEN_AT] = open_by(
                        0, int(parts.ring[ring, RingLaw.BIT]), law, errors, network.block, *tables
                    )

    def _sources(self) -> Ints:
        """Set timed sources to their first frame; number the frames of streams with two paths.

        A general port writes the numbers, so that it is known which frame of a burst it drops.
        """
        state = np.zeros((len(self.found), 8), dtype=np.int64)
        nodes = number_by_node(self.topology)
        first = 0
        for row, owner in zip(state, self.found, strict=True):
            row[SourceTable.NUMBERED] = owner.has_copies
            if self.port[owner.ports[0].number, PortLaw.WHAT] != GENERAL:
                row[SourceTable.NUMBERED] = 0
            row[SourceTable.NUMBER] = owner.turns[0].number if owner.turns else 0
            table = owner.law.timetable
            if not table:
                continue
            row[[SourceTable.TABLE_FIRST, SourceTable.TABLE_COUNT]] = first, len(table)
            row[[SourceTable.ROUND, SourceTable.STEP]] = divmod(owner.law.first_step, len(table))
            row[SourceTable.CLOCK] = nodes[owner.ports[0].source]
            first += len(table)
        return state

    @property
    def _history(self) -> int:
        return max(
            (
                owner.stream.recovery.history
                for owner in self.found
                if owner.stream is not None and owner.stream.recovery is not None
            ),
            default=1,
        )

    def _recovery(self, eliminations: Sequence[int]) -> Ints:
        rows = np.zeros((len(eliminations), 16), dtype=np.int64)
        for owner in self.found:
            if owner.elimination is None:
                continue
            assert owner.stream is not None, "only streams have copies"
            assert owner.stream.recovery is not None, "copies meet where there is recovery"
            row = rows[eliminations.index(owner.elimination)]
            row[RecoveryState.LENGTH] = owner.stream.recovery.history
            row[RecoveryState.PATIENCE] = owner.stream.recovery.reset_ps
            row[RecoveryState.TAKE_ANY] = 1
        return rows


def _until(lengths: Sequence[int], opens: Sequence[bool], wanted: bool) -> list[int]:
    """Return how long after the begin of each entry a gate is first open, or closed."""
    if wanted not in opens:
        return [NEVER_CHANGES_PS] * len(lengths)
    # Twice round from behind: the first time finds what comes after the list's end.
    waited, found = 0, [0] * len(lengths)
    for entry in (*reversed(range(len(lengths))), *reversed(range(len(lengths)))):
        waited = 0 if opens[entry] == wanted else waited + lengths[entry]
        found[entry] = waited
    return found


def chances(loss_ppb: int, bit_errors: int) -> list[int]:
    """Return, for each number of frame bytes, the draws of 63 bits below which a frame is lost."""
    byte = _ONE
    for _ in range(8):
        byte = byte * (10**18 - bit_errors) // 10**18
    whole = _ONE * (PPB - loss_ppb) // PPB
    chances = []
    for _ in range(FRAME_BYTES_HIGHEST + 1):
        chances.append(((_ONE - whole) << 63) // _ONE)
        whole = whole * byte // _ONE
    return [min(one, 2**63 - 1) for one in chances]


def _table(rows: Sequence[Sequence[int]], columns: int) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(len(rows), columns)


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)
