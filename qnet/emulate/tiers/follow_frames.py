"""The way of every real frame: from host to host, through switches that are asked, by ports.

When a real frame has left a port and crossed its wire, the clock stops, the frame goes into the
next switch, and the port and the cycle for which the switch sends it out again are those where it
is queued. Frames go in by virtual time, port and order of leaving.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count, zip_longest
from typing import Literal

from qnet.emulate.frames.captures import HOST, Sight
from qnet.emulate.frames.hosts import host_frame, is_whole
from qnet.emulate.frames.kernels import FRAME_BYTES, TIME, TURN
from qnet.emulate.frames.ports import Passage, VirtualPorts
from qnet.emulate.frames.sample import Sample, SampledPath
from qnet.emulate.openflow.frame import FrameHeaders, read_frame
from qnet.emulate.rules.wiring import HOST_PORT
from qnet.emulate.switches.dummy_switches import Entry, Out
from qnet.emulate.tiers.tier import Cut
from qnet.formats.pcapng import INBOUND, OUTBOUND
from qnet.model.topology import Port
from qnet.progress import Heeded, Progress
from qnet.simulate.world import NEVER

TTL = 64
"""Hops after which a frame that goes astray is given up."""


Watch = Literal["nothing", "hosts", "switches"]
"""Whose frames are kept for captures: no one's, those of hosts, or those of switches as well."""

Forward = Callable[[Sequence[Entry]], Sequence[Sequence[Out]]]


@dataclass
class _Real:
    """A real frame on one path."""

    number: int
    member: SampledPath
    birth: int
    frame_bytes: int
    turn: int
    data: bytes = b""
    hop: int = 0
    """Ports that it has left."""
    left: bool = False
    """It was seen to leave a port."""
    astray: bool = False
    gone: bool = False
    met: bool = False
    """Its listener's host has it; of the copies that meet there one is passed on."""
    hops: int = 0


@dataclass
class Walk:
    """What became of the real frames of one run."""

    arrival_ps: dict[int, int] = field(default_factory=dict)
    """Frame number to the time at which its listener had it."""
    lost: set[int] = field(default_factory=set)
    met: set[int] = field(default_factory=set)
    """Frames that came to where copies meet, passed on or not."""
    findings: dict[tuple[str, str, str], str] = field(default_factory=dict)
    sights: list[Sight] = field(default_factory=list)
    hops: int = 0
    cut_s: float = 0.0
    """Wall clock: longest time in which a cut was made and all switches had turned to it."""


def follow(
    case: Sample,
    forward: Forward | None,
    progress: Progress | None = None,
    cuts: Sequence[Cut] = (),
    set_wire: Callable[[str], None] | None = None,
    watch: Watch = "nothing",
) -> tuple[Walk, VirtualPorts]:
    """Run to the end. Without `forward` switches are left out: the simulator's own course.

    `set_wire` takes both ends of a wire down, by the name of a port of it.
    """
    ports = VirtualPorts(case.topology, case.profile, case.plan, want=case.want)
    run = _Run(case, ports, forward, cuts, set_wire, watch)
    heeded = Heeded(progress)
    while not ports.done:
        run.window()
        heeded.step(ports.now_ps, case.profile.simulation.duration_ps)
    run.finish()
    return run.walk, ports


class _Run:
    """The state of one walk."""

    def __init__(
        self,
        case: Sample,
        ports: VirtualPorts,
        forward: Forward | None,
        cuts: Sequence[Cut] = (),
        set_wire: Callable[[str], None] | None = None,
        watch: Watch = "nothing",
    ) -> None:
        self.watch = watch
        self.case, self.ports, self.forward = case, ports, forward
        self.wiring = case.wiring
        self.walk = Walk()
        self.end_ps = ports.end_ps
        self.real: list[_Real] = []
        for source, (first, last) in enumerate(ports.span.tolist()):
            member = case.by_source.get(source)
            for number in range(first, last):
                assert member is not None
                row = ports.frames[number]
                self.real.append(
                    _Real(number, member, int(row[TIME]), int(row[FRAME_BYTES]), int(row[TURN]))
                )
        self.replicas = self._replicas()
        self.born = sorted(
            (
                (min(one.birth for one in replicas), number)
                for number, replicas in self.replicas.items()
            ),
            reverse=True,
        )
        """When the talker's host hands over a frame, and the number of its first copy."""
        self.bodies: dict[tuple[int, int, int], bytes] = {}
        self.pending: list[tuple[int, int, int, Passage]] = []
        """Frames that have left a port, by when the next switch has them; a heap."""
        self.order = count()
        self.cuts = sorted(cuts, key=lambda one: -one.at_ps)
        self.cut_at: dict[int, int] = {}
        self.set_wire = set_wire
        self.waiting: dict[int, set[int]] = {}
        """Births of frames that are at a source's first port at the end of the run."""

    def _replicas(self) -> dict[int, list[_Real]]:
        """Frames that the talker's switch makes of one: a copy for each path of its stream.

        Where gates give each copy a start of its own, the frame comes for the first one, and a
        copy that would start after the run's end is missing.
        """
        by_flow: dict[int, list[list[_Real]]] = defaultdict(list)
        last: SampledPath | None = None
        for one in self.real:
            if one.member is not last:
                by_flow[one.member.stream.number].append([])
                last = one.member
            by_flow[one.member.stream.number][-1].append(one)
        return {
            together[0].number: together
            for rows in by_flow.values()
            for copies in zip_longest(*rows)
            for together in [[one for one in copies if one is not None]]
        }

    def window(self) -> None:
        """Do what comes up to the next window's end in order of time, then serve the ports."""
        pending = self.pending[0][0] if self.pending else NEVER
        self.ports.skip(min(pending, self.cuts[-1].at_ps if self.cuts else NEVER))
        if self.ports.done:
            return
        until = self.ports.window_end_ps()
        if self.forward is not None:
            while self.cuts and self.cuts[-1].at_ps < until:
                self._ask(self.cuts[-1].at_ps)
                self._cut(self.cuts.pop())
            self._ask(until)
        for one in self.ports.serve_window():
            real = self.real[one.frame]
            real.left = True
            planned = one.position < self.ports.stray_positions
            if self.ports.has_met(one):
                self._deliver(real, one.time_ps)
            elif self.forward is None:
                if one.lane >= self.ports.outputs[0]:
                    self._deliver(real, one.time_ps)
            elif one.is_doomed:
                self._lose(one)
            elif real.gone or (real.astray and planned):
                self.ports.withdraw(one)  # the simulator's course of a frame that went elsewhere
            else:
                heapq.heappush(self.pending, (one.time_ps, one.port, next(self.order), one))

    def finish(self) -> None:
        """Hand over what came in time, and find what was lost: neither delivered nor under way."""
        if self.forward is not None:
            self._ask(self.end_ps + 1)
        under_way = self.ports.under_way() | {one.frame for *_, one in self.pending}
        for real in self.real:
            if real.gone or real.met or real.number in under_way:
                continue
            # One that was not seen to leave its first port is in the queue there, or was dropped
            # if a later one of the same source was seen.
            if (
                real.left
                or self.ports.overtaken(real.member.source, real.number)
                or (self.case.profile.events and self._is_gone_at_first(real))
            ):
                self.walk.lost.add(real.number)
        discarded = self.walk.met - self.walk.arrival_ps.keys()
        self.walk.sights = [
            one._replace(comment=f"{one.comment}, discarded: another copy was passed on")
            if one.frame in discarded and (one.port, one.direction) == (HOST, INBOUND)
            else one
            for one in self.walk.sights
        ]

    def _is_gone_at_first(self, real: _Real) -> bool:
        """Tell whether a frame that was not seen to leave its first port is not there either."""
        source = real.member.source
        if source not in self.waiting:
            self.waiting[source] = self.ports.born_waiting(source)
        return real.birth < self.end_ps and real.birth not in self.waiting[source]

    def _ask(self, until: int) -> None:
        """Have the switches forward what comes to them before a time: from hosts, from wires."""
        entering, times = [], []
        while self.born and self.born[-1][0] < until:
            time_ps, number = self.born.pop()
            if self.ports.is_down(self.real[number].member.stream.talker, time_ps):
                for replica in self.replicas[number]:
                    replica.gone = True
                    self.walk.lost.add(replica.number)
                continue
            times.append(time_ps)
            entering.append(self.real[number])
        crossed = []
        while self.pending and self.pending[0][0] < until:
            *_, one = heapq.heappop(self.pending)
            if self._is_cut_off(one):
                self._lose(one)
            else:
                crossed.append(one)
        entries = [
            Entry(
                one.member.stream.talker, HOST_PORT, self._body(one), len(one.member.stream.paths)
            )
            for one in entering
        ]
        for one in crossed:
            wire = self.case.topology.ports[one.port]
            data = self.real[one.frame].data
            entries.append(Entry(wire.target, self.wiring.in_port(wire), data, 1))
        if not entries:
            return
        assert self.forward is not None
        outs_of = self.forward(entries)
        self.walk.hops += len(entries)
        if self.watch != "nothing":
            asked = [*entering, *(self.real[one.frame] for one in crossed)]
            times += [one.time_ps for one in crossed]
            for real, time_ps, entry, outs in zip(asked, times, entries, outs_of, strict=True):
                self._see(real, time_ps, entry, outs)
        for original, outs in zip(entering, outs_of, strict=False):
            self._entered(original, outs)
        for one, outs in zip(crossed, outs_of[len(entering) :], strict=True):
            self._crossed(one, outs)

    def _see(self, real: _Real, time_ps: int, entry: Entry, outs: Sequence[Out]) -> None:
        """Keep for captures what hosts, and switches if asked for, have of a frame."""
        member, node = real.member, entry.node
        place = (real.number - int(self.ports.span[member.source, 0])) * member.stride
        name = f"{member.stream.name}: frame {place}"
        seen = []
        if entry.port == HOST_PORT:
            seen.append((time_ps, HOST, OUTBOUND, entry.data, f"{name}, sent at {time_ps} ps"))
        else:
            name += f" by path {member.stream.paths.index(member.path) + 1}"
        seen.append((time_ps, entry.port, INBOUND, entry.data, name))
        for out in outs:
            seen.append((time_ps, out.port, OUTBOUND, out.data, name))
            if out.port == HOST_PORT:
                at_ps = time_ps
                if node == member.stream.listener:
                    at_ps = max(at_ps, self.ports.due_ps(member.source, real.birth, at_ps))
                words = f"{name}, {at_ps - real.birth} ps after it was sent"
                seen.append((at_ps, HOST, INBOUND, out.data, words))
        for at_ps, port, direction, data, words in seen:
            if port == HOST or self.watch == "switches":
                sight = Sight(at_ps, node, port, direction, data, words, real.number)
                self.walk.sights.append(sight)

    # Cuts

    def _cut(self, cut: Cut) -> None:
        start = time.perf_counter()
        if self.set_wire is not None:
            self.set_wire(cut.port)
        self.walk.cut_s = max(self.walk.cut_s, time.perf_counter() - start)
        for port in self.wiring.both(self.case.topology.port_by_name[cut.port]):
            self.cut_at[port.number] = cut.at_ps

    def _is_cut_off(self, one: Passage) -> bool:
        """Tell whether the wire was down before a frame was over it and in the next switch."""
        return self._whole_ps(one) >= self.cut_at.get(one.port, NEVER)

    def _whole_ps(self, one: Passage) -> int:
        real = self.real[one.frame]
        if real.astray or self.ports.meets(one) or one.lane >= self.ports.outputs[0]:
            return one.time_ps
        return self.ports.whole_ps(one, real.member.source, real.hop)

    def _lose(self, one: Passage) -> None:
        self.real[one.frame].gone = True
        self.walk.lost.add(one.frame)
        self.ports.withdraw(one)

    def _body(self, one: _Real) -> bytes:
        """Return the frame as the talker's host sends it, with its number in front."""
        stream = one.member.stream
        tag = one.turn % stream.buffers if one.member.path.cycles else None
        dscp = 0 if tag is None else tag << 2 | 0b11
        key = (stream.number, one.frame_bytes, dscp)
        if key not in self.bodies:
            self.bodies[key] = host_frame(self.wiring, stream, one.frame_bytes, dscp)
        body = self.bodies[key]
        return body[:42] + self.number_in_stream(one).to_bytes(8, "big") + body[50:]

    def _entered(self, original: _Real, outs: Sequence[Out]) -> None:
        """Compare what the talker's switch made of a frame with the plan, path by path."""
        left = list(outs)
        stream = original.member.stream
        for one in self.replicas[original.number]:
            port = one.member.ports[0]
            number = self.wiring.openflow_port[port.name]
            found = next((out for out in left if out.port == number), None)
            if found is not None:
                left.remove(found)
                one.data = found.data
                found_turn = self._turn_at(one, port, read_frame(found.data), one.turn, one.birth)
                if found_turn != one.turn:
                    self._tag_finding(one, stream.talker, port.name, one.turn, found.data)
                    self._astray(one, port, one.birth, found_turn)
            else:
                if port.number not in self.cut_at:
                    self._finding(one, stream.talker, f"not sent to {port.name}")
                one.gone = one.astray = True
                self.walk.lost.add(one.number)
        started = {one.member.path.label for one in self.replicas[original.number]}
        absent = {path.ports[0] for path in stream.paths if path.label not in started}
        for out in left:
            if self._port_name(stream.talker, out.port) in absent:
                continue
            if not self.cut_at:
                to = self._port_name(stream.talker, out.port)
                self._finding(original, stream.talker, f"sent to {to}, which is not on its path")
            lost = next((one for one in self.replicas[original.number] if one.gone), None)
            other = self.wiring.port_at.get((stream.talker, out.port))
            if lost is not None and other is not None:
                lost.gone, lost.data = False, out.data
                self.walk.lost.discard(lost.number)
                turn = self._turn_at(lost, other, read_frame(out.data), lost.turn, lost.birth)
                self._astray(lost, other, lost.birth, turn)

    # Switches

    def _crossed(self, one: Passage, outs: Sequence[Out]) -> None:
        """Queue, or hand over, a frame that has crossed a wire and the switch behind it."""
        real = self.real[one.frame]
        real.hops += 1
        node = self.case.topology.ports[one.port].target
        if real.astray:
            self._on_its_own(real, one, node, outs)
        elif one.lane >= self.ports.outputs[0] or self.ports.meets(one):
            self._leave(real, one, node, outs)
        elif self._on_its_way(real, one, node, outs):
            self.ports.withdraw(one)

    def _on_its_way(self, real: _Real, one: Passage, node: str, outs: Sequence[Out]) -> bool:
        """Keep a frame in the lane to its next port; return whether it must be taken out of it."""
        whole_ps = self._whole_ps(one)
        real.hop += 1
        port = real.member.ports[real.hop]
        number = self.wiring.openflow_port[port.name]
        found = next((out for out in outs if out.port == number), None)
        if found is None:
            if port.number not in self.cut_at:
                self._finding(real, node, f"not sent to {port.name}")
            self._elsewhere(real, whole_ps, node, outs)
            return True
        real.data = found.data
        turn = self._turn_at(real, port, read_frame(found.data), one.turn, one.time_ps)
        if turn != one.turn:
            self._tag_finding(real, node, port.name, one.turn, found.data)
            self.ports.retag(one, turn)
        for out in outs:
            if out is not found:
                to = self._port_name(node, out.port)
                self._finding(real, node, f"also sent to {to}")
        return False

    def _leave(self, real: _Real, one: Passage, node: str, outs: Sequence[Out]) -> None:
        """Hand a frame from its last wire to the listener's host."""
        found = next((out for out in outs if out.port == HOST_PORT), None)
        if found is None:
            self._finding(real, node, "not sent to the listener's host")
            self.ports.withdraw(one)
            self._elsewhere(real, one.time_ps, node, outs)
            return
        self._check_body(real, node, found)
        if self.ports.meets(one):
            self._meet(real)
            self.ports.renumber(one, self._sequence(real, found.data))
        else:
            self._deliver(real, one.time_ps)

    def _on_its_own(self, real: _Real, one: Passage, node: str, outs: Sequence[Out]) -> None:
        """Follow a frame off its planned course."""
        if any(out.port == HOST_PORT for out in outs) and node == real.member.stream.listener:
            found = next(out for out in outs if out.port == HOST_PORT)
            self._check_body(real, node, found)
            number = self._sequence(real, found.data)
            if self.ports.meet(
                real.member.source, one.time_ps, real.number, real.frame_bytes, number
            ):
                self._meet(real)
            else:
                self._deliver(real, one.time_ps)
        else:
            self._elsewhere(real, one.time_ps, node, outs, processing=True)

    def _elsewhere(
        self, real: _Real, time_ps: int, node: str, outs: Sequence[Out], *, processing: bool = False
    ) -> None:
        """Send a frame where the switch sends it, or count it lost where that is nowhere."""
        for out in outs:
            port = self.wiring.port_at.get((node, out.port))
            if port is None or real.hops > TTL:
                continue
            real.data = out.data
            if processing:
                time_ps += self.case.topology.node_by_name[node].processing.low_ps
            turn = self._turn_at(real, port, read_frame(out.data), -1, time_ps)
            self._astray(real, port, time_ps, turn)
            return
        real.gone = True
        self.walk.lost.add(real.number)
        if outs:
            self._finding(real, node, f"sent to {self._port_name(node, outs[0].port)}")

    def _astray(self, real: _Real, port: Port, time_ps: int, turn: int) -> None:
        """Queue a frame at a port where the simulator does not have it."""
        real.astray = True
        if not self.ports.has_queue(port.number):
            real.gone = True
            self.walk.lost.add(real.number)
            return
        position = self.ports.position(port.number, real.member.rank)
        time_ps = max(time_ps, self.ports.now_ps)
        label = position << 16 | real.frame_bytes
        self.ports.put(port.number, time_ps, real.number, label, turn)

    def _turn_at(
        self, real: _Real, port: Port, frame: FrameHeaders, planned: int, time_ps: int
    ) -> int:
        """Return the cycle that a frame's tag means at a port; `planned` where the tag agrees."""
        if not real.member.path.cycles:
            return planned
        tag = frame.labels[0].traffic_class - 1 if frame.labels else 0
        buffers = real.member.stream.buffers
        if planned >= 0 and planned % buffers == tag:
            return planned
        network = self.ports.world.network
        present = (time_ps - int(network.phase[port.number])) // network.cycle
        return int(present + 1 + (tag - present - 1) % buffers)

    # What is told

    def _check_body(self, real: _Real, node: str, out: Out) -> None:
        frame = read_frame(out.data)
        stream = real.member.stream
        number = int.from_bytes(out.data[42:50], "big")
        expected = self.number_in_stream(real)
        if frame.labels or frame.tags:
            self._finding(real, node, f"the host gets the frame as it was on the wire ({frame})")
        elif frame.eth_dst != self.wiring.host_mac(stream.listener):
            self._finding(real, node, f"the host gets a frame {frame}")
        elif number != expected or not is_whole(stream, out.data):
            self._finding(real, node, "the host gets another payload than was sent")

    def number_in_stream(self, real: _Real) -> int:
        """Return the number in the payload of a frame: that of the copy on the first path."""
        if real.member.path is real.member.stream.paths[0]:
            return real.number
        first = next(one for one in self.case.members if one.stream is real.member.stream)
        span = self.ports.span
        return int(real.number - span[real.member.source, 0] + span[first.source, 0])

    def _meet(self, real: _Real) -> None:
        """Note that a copy is at the listener, where recovery passes it on or not."""
        real.met = True
        self.walk.met.add(real.number)

    def _sequence(self, real: _Real, data: bytes) -> int:
        """Return the sequence number of a frame that came to its host, by what it carries."""
        if self.ports.found[real.member.source].elimination is None:
            return 0
        return self.ports.number_of(int.from_bytes(data[42:50], "big"))

    def _deliver(self, real: _Real, time_ps: int) -> None:
        arrival = self.ports.hand_over(real.member.source, real.birth, time_ps)
        real.gone = True
        if self.ports.stops(real.member.source, time_ps, arrival):
            self.walk.lost.add(real.number)
            return
        if arrival <= self.end_ps:
            self.walk.arrival_ps[real.number] = arrival

    def _tag_finding(self, real: _Real, node: str, port: str, planned: int, data: bytes) -> None:
        buffers = real.member.stream.buffers
        frame = read_frame(data)
        tag = frame.labels[0].traffic_class - 1 if frame.labels else "none"
        self._finding(
            real, node, f"leaves for {port} tagged for cycle {tag}, planned {planned % buffers}"
        )

    def _finding(self, real: _Real, node: str, words: str) -> None:
        """Keep the first of each kind of fault of a stream at a switch."""
        key = (real.member.stream.name, node, words.split(" tagged", maxsplit=1)[0])
        self.walk.findings.setdefault(
            key, f"{real.member.stream.name}: {node}: {words} (frame sent at {real.birth} ps)"
        )

    def _port_name(self, node: str, number: int) -> str:
        port = self.wiring.port_at.get((node, number))
        into = self.wiring.only_into.get((node, number))
        if port is None and into is not None:
            return f"against the only direction of {into.name}"
        return f"the host of {node}" if port is None else port.name
