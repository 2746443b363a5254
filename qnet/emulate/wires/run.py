"""Lay out and drive the link emulator: the simulator's world, wire ends, probes, a socket."""

from __future__ import annotations

import mmap
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.emulate.process.namespaces import Inside
from qnet.emulate.wires.arrays import law_of, messages_of, pool_of, stride_of, wires_of
from qnet.emulate.wires.kernels import tables as w
from qnet.emulate.wires.kernels.loop import run
from qnet.emulate.wires.kernels.packets import receive
from qnet.emulate.wires.kernels.ports import follow, give_up_dark, let_meet
from qnet.emulate.wires.kernels.slots import note_fault
from qnet.emulate.wires.kernels.talkers import generate
from qnet.emulate.wires.layout import with_edges, with_room
from qnet.emulate.wires.records import (
    Arrival,
    EmulatorOptions,
    FrameFault,
    FrameLoss,
    Probe,
    WallClock,
    WireEnd,
)
from qnet.model.observation import Copies
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.layout import lay_out
from qnet.simulate.outages import ports_going_down
from qnet.simulate.ports.account import copies_at
from qnet.simulate.ports.kernels.outages import go_down
from qnet.simulate.run import make_room
from qnet.simulate.settings import PortChanges
from qnet.simulate.turns import Change, apply_turns
from qnet.simulate.world import DONE, NEVER, SourceHeap, World

Ints = NDArray[np.int64]

RING_FRAMES = 4096
RING_BLOCK_BYTES = 1 << 16
SOCKET_BUFFER_BYTES = 256 << 20

STEP_NS = 100_000_000
"""The kernel comes back to the interpreter after this long, for records, stops and signals."""

START_NS = 50_000_000
"""From the first call to virtual time zero."""

# linux/if_packet.h and linux/if_ether.h
SOL_PACKET = 263
PACKET_RX_RING = 5
PACKET_VERSION = 10
PACKET_QDISC_BYPASS = 20
PACKET_IGNORE_OUTGOING = 23
SO_SNDBUFFORCE = 32
ETH_P_ALL = 3
TPACKET_V2 = 1


def receive_ring(one: socket.socket, frame_bytes: int, frames: int) -> mmap.mmap:
    """Let the kernel put what it receives into memory that both see: no call for each frame.

    Of version 2 of the ring, which shows every frame at once; version 3 keeps them for a while. A
    place for a frame has `frame_bytes`, a power of two.
    """
    block = max(frame_bytes, RING_BLOCK_BYTES)
    total = frame_bytes * frames
    one.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
    asked = struct.pack("=4I", block, total // block, frame_bytes, frames)
    one.setsockopt(SOL_PACKET, PACKET_RX_RING, asked)
    return mmap.mmap(one.fileno(), total)


class Emulator:
    """All wires and ports of a network, in virtual time stretched over the wall.

    Sources of the profile that are no probes are simulated only. The end of virtual time is the
    profile's duration.
    """

    def __init__(
        self,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        ends: Sequence[WireEnd],
        probes: Sequence[Probe],
        options: EmulatorOptions,
    ) -> None:
        """Lay out the arrays; nothing is opened yet."""
        self.topology = topology
        self.found, simulated, parts, turns, changes = lay_out(topology, profile, plan)
        if options.free_run:
            simulated = _still(simulated)
        self._happening = _Happening(
            {at_ps: change for at_ps, change in turns.items() if at_ps > 0},
            PortChanges(changes),
            ports_going_down(topology, profile),
        )
        self.at_stop: Callable[[int], None] = lambda _: None
        """Is told of every virtual time in `stops_ps` when ports have been served up to it."""
        self.ends = tuple(ends)
        self.dilation = options.dilation
        duration_ps = profile.simulation.duration_ps
        self.end_ps = min(options.end_ps or duration_ps, duration_ps)
        edged = with_edges(simulated, parts, topology, self.found, options.slots)
        self.window_ps = edged.window_ps
        window_ns = self.window_ps * options.dilation // 1000
        lag_ns = options.lag_ns
        if lag_ns is None:
            lag_ns = 0 if options.free_run else window_ns // 2
        lead = 3 + lag_ns // max(window_ns, 1)
        edged = with_room(edged, self.found, (lead + 2) * self.window_ps)
        self.world, self.parts = edged.world, edged.parts
        self._happening.settings.apply(0, self.world, self.parts)
        self.idle = edged.world.sources._replace(
            first=np.zeros(len(topology.ports) + 1, dtype=np.int64)
        )
        stride = stride_of(profile)
        law = law_of(options, self.end_ps, self.window_ps, stride, max(plan.buffers, 1))
        law[w.LAG_NS], law[w.LEAD] = lag_ns, lead
        law[w.BASE_POSITION], law[w.BASE_OWNER] = len(simulated.routes.hop), len(self.found)
        self.wires = wires_of(law, edged, topology, profile, self.found, self.ends, probes)
        self.pool = pool_of(options.slots, stride, len(self.found), edged)
        self.messages = messages_of(len(self.ends), self.pool.frames)
        self.socket: socket.socket | None = None
        self.finished = False
        self.stop_at(())
        self._set_turn()
        self._arrived: list[tuple[Ints, bytes]] = []
        self._lost: list[Ints] = []

    # Running

    def open(self, namespace: str | None = None) -> None:
        """Open one packet socket for all wire ends, in the network namespace of that path."""
        with Inside(namespace):
            one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            try:
                one.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
                one.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
                one.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES)
                ring = receive_ring(one, 8 * int(self.wires.law[w.RING_WORDS]), RING_FRAMES)
                numbers = [socket.if_nametoindex(end.interface) for end in self.ends]
            except BaseException:
                one.close()
                raise
        end_of = np.full(max(numbers, default=0) + 1, -1, dtype=np.int64)
        for place, number in enumerate(numbers):
            end_of[number] = place
            self.wires.end[place, w.INTERFACE] = number
            address = struct.pack("=HHiHBB8x", socket.AF_PACKET, 0, number, 0, 0, 6)
            self.messages.addresses[place, :20] = np.frombuffer(address, dtype=np.uint8)
        self.wires = self.wires._replace(end_of=end_of)
        view = np.frombuffer(ring, dtype=np.uint8)
        self.messages = self.messages._replace(ring=view, words=view.view(np.int64))
        self.wires.law[w.SOCKET] = one.fileno()
        self.socket = one

    def close(self) -> None:
        """Close the socket; may be called at any time, and again."""
        if self.socket is not None:
            # The kernel keeps the socket for as long as its ring is mapped.
            self.messages = messages_of(len(self.ends), self.pool.frames)
            self.socket.close()
            self.socket = None

    def stop_at(self, times_ps: Iterable[int]) -> None:
        """Tell `at_stop` of these virtual times, before the run begins."""
        here = {*times_ps, *self._happening.times_ps}
        self._stops_ps = sorted((one for one in here if 0 < one < self.end_ps), reverse=True)
        self._told_ps = frozenset(times_ps)
        self.wires.law[w.STOP_PS] = self._stops_ps[-1] if self._stops_ps else NEVER

    def _stop(self) -> None:
        """Do what happens at the time that all ports have been served up to."""
        now_ps = self._stops_ps.pop()
        self._happening.settings.apply(now_ps, self.world, self.parts)
        for port in self._happening.downs.get(now_ps, ()):
            assert self.parts is not None, "ports of nodes that go down are general"
            go_down(port, now_ps, self.world, None, self.parts)
        if now_ps in self._told_ps:
            self.at_stop(now_ps)
        self.wires.law[w.STOP_PS] = self._stops_ps[-1] if self._stops_ps else NEVER

    def _turn(self) -> None:
        """Let sources fall silent or begin that have sent all from before this time."""
        changes = self._happening.turns.pop(int(self.wires.law[w.TURN_PS]))
        apply_turns(changes, self.found, self.world, self.parts)
        self._set_turn()

    def _set_turn(self) -> None:
        self.wires.law[w.TURN_PS] = min(self._happening.turns, default=NEVER)

    def darken(self, ports: Iterable[int]) -> None:
        """Wait for no more frames out of ports whose devices are down from now on."""
        self.wires.dark[list(ports)] = self.reached_ps

    def lighten(self, ports: Iterable[int]) -> None:
        """Lose what switches were given for ports that are down, and count on them again."""
        give_up_dark(self.wires, self.pool, self.world.lanes)
        self.wires.dark[list(ports)] = NEVER
        self._fetch()

    def cut(self, port: int, from_ps: int, until_ps: int = NEVER) -> None:
        """Cut a wire in one direction: what is on the wire in between is lost."""
        self.wires.down[port] = from_ps, until_ps

    def entered_ns(self, virtual_ps: int) -> int:
        """Return when all that enters switches before a virtual time has been put into them.

        Windows are served whole, and with a lag. Virtual time may be held back yet.
        """
        law = self.wires.law
        last_ps = virtual_ps + self.window_ps
        return int(law[w.ORIGIN_NS] + law[w.LAG_NS]) + last_ps * self.dilation // 1000

    def settle(self, longest_ns: int) -> None:
        """Take in what switches still have, and put nothing more into them meanwhile."""
        give_up = time.monotonic_ns() + longest_ns
        while time.monotonic_ns() < give_up:
            self._receive()
            rows = self.pool.slot[self.pool.live[: self.pool.counts[w.LIVE_COUNT]]]
            dark = self.wires.dark[rows[:, w.EXPECTED]] <= rows[:, w.VIRTUAL]
            inside = (rows[:, w.STATE] == w.AWAY) | (rows[:, w.STATE] == w.LEAVING)
            if not np.any(inside & ~dark):
                break
            time.sleep(0.0005)
        self._fetch()

    def warm(self) -> None:
        """Have compiled what the loop needs, or read from the cache; nothing moves yet.

        Compiling takes a minute of a core, or two with the simulator's general server, which is
        used only where a port needs it. It must not be done by a thread that goes before others
        (`be_quick`), nor while switches and controllers wait.
        """
        self.wires.law[w.ORIGIN_NS] = NEVER >> 1
        self._generate(0)
        self._run(0)
        self._let_meet(0)
        self._receive()
        give_up_dark(self.wires, self.pool, self.world.lanes)

    def start(self, delay_ns: int = START_NS) -> None:
        """Set virtual time zero a little ahead and let the sources begin."""
        self.warm()
        self.wires.law[w.ORIGIN_NS] = time.monotonic_ns() + delay_ns
        self._generate(min(int(self.wires.law[w.LEAD]) * self.window_ps, self.end_ps))

    def _generate(self, until_ps: int) -> None:
        while not self.wires.law[w.FREE_RUN]:
            goal_ps = min(until_ps, int(self.wires.law[w.TURN_PS]))
            if generate(
                goal_ps, self.wires, self.pool, self.world.network, self.world.routes,
                self.world.lanes, self.world.sources, self.world.tally,
            ) != DONE:  # fmt: skip
                self.world = make_room(self.world)
            elif goal_ps < until_ps:
                self._turn()
            else:
                break

    def _receive(self) -> None:
        receive(
            self.wires, self.pool, self.messages, self.world.routes, self.world.lanes,
            self.world.tally,
        )  # fmt: skip

    def _run(self, stop_at_ns: int) -> int:
        return int(
            run(
                stop_at_ns, self.wires, self.pool, self.messages,
                self.world._replace(sources=self.idle), self.world.sources, self.parts,
            )
        )  # fmt: skip

    def step(self, until_ns: int | None = None) -> None:
        """Emulate for a tenth of a second at most, then fetch what has been recorded."""
        stop_at = until_ns or time.monotonic_ns() + STEP_NS
        while True:
            status = self._run(stop_at)
            if status == w.NO_ROOM:
                self.world = make_room(self.world)
                continue
            if status == w.AT_TURN:
                self._turn()
                continue
            if status == w.AT_STOP:
                self._stop()
                continue
            self.finished = self.finished or status == w.FINISHED
            break
        self._fetch()

    @property
    def reached_ps(self) -> int:
        """Up to when all ports have been served."""
        return int(self.pool.counts[w.COMPLETE])

    def end_here(self) -> None:
        """Let virtual time go no further; frames that have left their last port still arrive."""
        self.wires.law[w.END_PS] = self.reached_ps
        self.finished = True

    def on_its_way(self) -> int:
        """Return how many frames have left their last port and not yet come out to their hosts."""
        live = self.pool.live[: self.pool.counts[w.LIVE_COUNT]]
        rows = self.pool.slot[live]
        return int(self._leaving(rows).sum())

    def _leaving(self, rows: Ints) -> NDArray[np.bool_]:
        in_time = rows[:, w.VIRTUAL] <= self.wires.law[w.END_PS]
        inside = (rows[:, w.EXPECTED] < 0) & (rows[:, w.STATE] != w.QUEUED)
        leaving: NDArray[np.bool_] = inside & (rows[:, w.OWNER] >= 0) & in_time
        return leaving

    def drain(self, longest_ns: int) -> None:
        """After the end, wait for the frames that have left their last port."""
        give_up = time.monotonic_ns() + longest_ns
        while self.on_its_way() and time.monotonic_ns() < give_up:
            self.step(time.monotonic_ns() + STEP_NS // 10)
        rows = self.pool.slot[self.pool.live[: self.pool.counts[w.LIVE_COUNT]]]
        for row in rows[self._leaving(rows)]:
            self.pool.counts[w.VIOLATIONS] += 1
            note_fault(
                w.LATE_OR_LOST, row[w.OWNER], -1, row[w.STATE], row[w.HOP], row[w.VIRTUAL],
                self.pool,
            )  # fmt: skip
        self._let_meet(int(self.wires.law[w.END_PS]))

    def _let_meet(self, until_ps: int) -> None:
        """Pass on the first of the copies that have come to their listeners before a time."""
        if self.wires.eliminations.size == 0:
            return
        world = self.world
        while let_meet(until_ps, self.wires, world, self.parts) != DONE:
            world = self.world = make_room(world)
        follow(self.wires, self.pool, world.routes, world.lanes, world.tally, world.network)
        self._fetch()

    def _fetch(self) -> None:
        """Make room for records; what they mean is worked out when nothing waits for it."""
        count = self.pool.counts
        if count[w.LOSS_COUNT]:
            self._lost.append(self.pool.loss[: count[w.LOSS_COUNT]].copy())
        if count[w.RECORD_COUNT]:
            rows = self.pool.record[: count[w.RECORD_COUNT]].copy()
            self._arrived.append((rows, self.pool.capture[: count[w.CAPTURE_BYTES]].tobytes()))
        count[w.LOSS_COUNT] = 0
        count[w.RECORD_COUNT] = 0
        count[w.CAPTURE_BYTES] = 0

    # Afterwards

    @property
    def arrivals(self) -> list[Arrival]:
        """Return the real frames that have come out to their hosts, in order."""
        return [
            Arrival(
                row[w.RECORD_OWNER],
                row[w.RECORD_SEQUENCE],
                row[w.RECORD_BORN],
                row[w.RECORD_TIME],
                row[w.RECORD_WALL],
                row[w.RECORD_END],
                capture[row[w.RECORD_AT] : row[w.RECORD_AT] + row[w.RECORD_BYTES]],
            )
            for rows, capture in self._arrived
            for row in rows.tolist()
        ]

    @property
    def losses(self) -> list[FrameLoss]:
        """Return the real frames that ports dropped or links lost, in order."""
        return [FrameLoss(*row[:4]) for rows in self._lost for row in rows.tolist()]

    def late(self, source: int) -> int:
        """Return how often a real frame of a source came to a port too late, or left it so."""
        return int(self.wires.probe[source, w.LATE])

    def recovery(self, source: int) -> Copies | None:
        """Return the counters of the point where a source's copies meet others, if they do."""
        return copies_at(self.parts, self.found[source].elimination)

    def faults(self) -> list[FrameFault]:
        """Return what went wrong, the first few thousand of it."""
        count = int(self.pool.counts[w.FAULT_COUNT])
        return [FrameFault(*row[:6]) for row in self.pool.fault[:count].tolist()]

    def wall_clock(self) -> WallClock:
        """Return how real the run was."""
        count = self.pool.counts
        return WallClock(
            put_in=int(count[w.PUT_IN]),
            came_out=int(count[w.CAME_OUT]),
            violations=int(count[w.VIOLATIONS]),
            stale=int(count[w.STALE]),
            strays=int(count[w.STRAYS]),
            wrong_tags=int(count[w.WRONG_TAGS]),
            cut=int(count[w.CUT]),
            rerouted=int(count[w.REROUTED]),
            followed=int(count[w.FOLLOWED]),
            eliminated=int(count[w.ELIMINATED]),
            no_slot=int(count[w.NO_SLOT]),
            send_errors=int(count[w.SENT_ERRORS]),
            free_frames=int(count[w.FREE_FRAMES]),
            free_late=int(count[w.FREE_LATE]),
            margin_least_ns=int(count[w.MARGIN_LEAST]),
            busy_longest_ns=int(count[w.BUSY_LONGEST]),
            busy_ns=int(count[w.BUSY_NS]),
            held_ns=int(count[w.HELD_NS]),
            holds=int(count[w.HOLDS]),
            inside=_pairs(self.pool.histogram[w.INSIDE]),
            margin=_pairs(self.pool.histogram[w.MARGIN]),
        )


class _Happening(NamedTuple):
    """What happens in the simulator's world while it goes on."""

    turns: dict[int, Sequence[Change]]
    settings: PortChanges
    downs: Mapping[int, Sequence[int]]

    @property
    def times_ps(self) -> set[int]:
        """Up to when ports must have been served for it."""
        return {*self.settings.times_ps, *self.downs}


def _still(world: World) -> World:
    """Return a world in which no source sends and no clock moves."""
    heap = world.sources.heap.copy()
    heap[:, SourceHeap.TIME] = NEVER
    return world._replace(
        network=world.network._replace(block=NEVER, end=NEVER),
        sources=world.sources._replace(heap=heap),
    )


def _pairs(bins: Ints) -> tuple[tuple[int, int], ...]:
    return tuple((int(i), int(bins[i])) for i in np.flatnonzero(bins))
