"""Tier `lockstep`: real switches and a real controller in exact virtual time, without root.

All frames of the profile load the ports, as in the simulator; a sample of them is real. When a real
frame has left a port and crossed its wire, the clock stops, the frame goes into the next switch,
and the port and the cycle for which the switch sends it out again are those where it is queued.
Same seed, same bytes out: what a switch does with a frame depends on its rules alone, and frames
go in by virtual time, port and order of leaving.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, zip_longest
from math import gcd
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from qnet.emulate.audit import audit
from qnet.emulate.cleanup import private_prefix
from qnet.emulate.controller import Controller
from qnet.emulate.fabric import Entry, Fabric, Out
from qnet.emulate.flows import Flow, Lane, flows_of
from qnet.emulate.frame import Frame, read_frame
from qnet.emulate.hosts import host_frame, is_whole
from qnet.emulate.kernels import FRAME_BYTES, TIME, TURN
from qnet.emulate.openflow import Switch, to_text
from qnet.emulate.ovs import unwinding
from qnet.emulate.ports import Passage, Ports, Want
from qnet.emulate.rules import rules_of
from qnet.emulate.wiring import HOST_PORT, Wiring
from qnet.model.emulation import Emulation, Lateness, Witnesses
from qnet.model.histogram import BIN_COUNT, bin_low_ps
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile
from qnet.simulate.kernels import FLOOR, NEVER, bin_of
from qnet.simulate.setup import Owner, owners

SAMPLE = 1000
"""Real frames of a run, unless another number is asked for."""

FRAMES_LEAST = 8
"""Frames of each sampled stream, where it sends as many; fewer streams are sampled rather."""

CONVERGE_S = 60.0

SHIPPED = "qnet reservation app"

TTL = 64
"""Hops after which a frame that goes astray is given up."""


Forward = Callable[[Sequence[Entry]], Sequence[Sequence[Out]]]


class Cut(NamedTuple):
    """A wire that goes down, in both directions, and stays so: by the name of a port of it.

    A real frame that is not over it and through the switch behind it by then is lost. The
    simulated load around the real frames goes on.
    """

    port: str
    at_ps: int


class Member(NamedTuple):
    """One path of a sampled stream or part of a demand: who sends, by which labels and ports."""

    source: int
    flow: Flow
    lane: Lane
    ports: tuple[Port, ...]
    rank: int
    stride: int


@dataclass
class _Real:
    """A real frame on one path."""

    number: int
    member: Member
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
    hops: int = 0


@dataclass
class Walk:
    """What became of the real frames of one run."""

    arrival_ps: dict[int, int] = field(default_factory=dict)
    """Frame number to the time at which its listener had it."""
    lost: set[int] = field(default_factory=set)
    findings: dict[tuple[str, str, str], str] = field(default_factory=dict)
    hops: int = 0
    cut_s: float = 0.0
    """Wall clock: longest time in which a cut was made and all switches had turned to it."""


def sample(
    topology: Topology, profile: Profile, plan: Plan, frames: int = SAMPLE
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Choose about `frames` frames to be real: names of streams and demands, stride per source.

    Every stream is in the sample while it has room for some frames of each; else streams at even
    distances are. Of each, frames at even distances in time are real.
    """
    found = owners(topology, profile, plan)
    streams = {one.name for one in plan.streams}
    by_name: dict[str, list[int]] = {}
    for source, owner in enumerate(found):
        by_name.setdefault(owner.name, []).append(source)
    chosen: dict[str, list[int]] = {}
    for kind in (True, False):  # streams first; demands get what they leave
        names = [name for name in by_name if (name in streams) == kind]
        room = max((frames - FRAMES_LEAST * len(chosen)) // FRAMES_LEAST, 1 if kind else 0)
        step = max(-(-len(names) // room), 1) if room else len(names) + 1
        chosen |= {name: by_name[name] for name in names[::step]} if room else {}
    share = max(frames // max(len(chosen), 1), 1)
    seconds = profile.simulation.duration_ps / 1e12
    strides: dict[int, int] = {}
    for sources in chosen.values():
        sent = max(found[source].law.frames_per_s * seconds for source in sources)
        stride = max(round(sent / share), 1)
        while gcd(stride, max(found[source].law.packets for source in sources)) > 1:
            stride += 1  # else the same places of every burst
        strides |= dict.fromkeys(sources, stride)
    return tuple(chosen), strides


class Lockstep:
    """One run: what is sampled, the ports, and how frames are asked about."""

    def __init__(
        self,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        *,
        frames: int = SAMPLE,
        strides: Mapping[int, int] | None = None,
    ) -> None:
        """Choose the sample, or take the given stride of each source, and compute the rules."""
        self.topology, self.profile, self.plan = topology, profile, plan
        self.wiring = Wiring(topology)
        found = owners(topology, profile, plan)
        names: Collection[str] = {found[source].name for source in strides or ()}
        if strides is None:
            names, strides = sample(topology, profile, plan, frames)
        self.flows = flows_of(topology, profile, plan, sample=names)
        self.rules = rules_of(topology, self.flows)
        self.members = self._members(found, set(names), strides)
        self.by_source = {one.source: one for one in self.members}
        self.want = [Want(one.source, stride=one.stride) for one in self.members]

    def _members(
        self, found: Sequence[Owner], names: set[str], strides: Mapping[int, int]
    ) -> tuple[Member, ...]:
        sources = [source for source, owner in enumerate(found) if owner.name in names]
        lanes = [(flow, lane) for flow in self.flows for lane in flow.lanes]
        made = []
        for source, (flow, lane) in zip(sources, lanes, strict=True):
            ports = found[source].ports
            assert tuple(port.name for port in ports) == lane.ports, "flows follow the owners"
            made.append(Member(source, flow, lane, ports, found[source].rank, strides[source]))
        return tuple(made)

    @property
    def node_ports(self) -> dict[str, set[int]]:
        """OpenFlow ports of each switch that the sampled routes use."""
        used: dict[str, set[int]] = defaultdict(lambda: {HOST_PORT})
        for member in self.members:
            for port in member.ports:
                used[port.source].add(self.wiring.openflow_port[port.name])
                used[port.target].add(self.wiring.in_port(port))
        return {node.name: used[node.name] for node in self.topology.nodes if node.name in used}

    def walk(
        self,
        forward: Forward | None,
        progress: Callable[[int, int], None] | None = None,
        cuts: Sequence[Cut] = (),
        set_wire: Callable[[str], None] | None = None,
    ) -> tuple[Walk, Ports]:
        """Run to the end. Without `forward` switches are left out: the simulator's own course.

        `set_wire` takes both ends of a wire down, by the name of a port of it.
        """
        ports = Ports(self.topology, self.profile, self.plan, want=self.want)
        run = _Run(self, ports, forward, cuts, set_wire)
        while not ports.done:
            run.window()
            if progress is not None:
                progress(ports.now_ps, self.profile.simulation.duration_ps)
        run.finish()
        return run.walk, ports


class _Run:
    """The state of one walk."""

    def __init__(
        self,
        case: Lockstep,
        ports: Ports,
        forward: Forward | None,
        cuts: Sequence[Cut] = (),
        set_wire: Callable[[str], None] | None = None,
    ) -> None:
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
        self.twins = self._twins()
        self.born = sorted(
            ((min(one.birth for one in twins), number) for number, twins in self.twins.items()),
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

    def _twins(self) -> dict[int, list[_Real]]:
        """Frames that the talker's switch makes of one: a copy for each path of its stream.

        Where gates give each copy a start of its own, the frame comes for the first one, and a
        copy that would start after the run's end is missing.
        """
        by_flow: dict[int, list[list[_Real]]] = defaultdict(list)
        last: Member | None = None
        for one in self.real:
            if one.member is not last:
                by_flow[one.member.flow.number].append([])
                last = one.member
            by_flow[one.member.flow.number][-1].append(one)
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
            planned = one.label >> 16 < self.ports.stray_positions
            if self.forward is None:
                if one.lane >= self.ports.outputs[0]:
                    self._deliver(real, one.time_ps)
            elif real.gone or (real.astray and planned):
                self.ports.withdraw(one)  # the simulator's course of a frame that went elsewhere
            else:
                heapq.heappush(self.pending, (one.time_ps, one.port, next(self.order), one))

    def finish(self) -> None:
        """Find what was lost: neither delivered nor under way."""
        under_way = self.ports.under_way() | {one.frame for *_, one in self.pending}
        for real in self.real:
            if real.gone or real.number in under_way:
                continue
            # One that was not seen to leave its first port is in the queue there, or was dropped
            # if a later one of the same source was seen.
            if real.left or self.ports.overtaken(real.member.source, real.number):
                self.walk.lost.add(real.number)

    def _ask(self, until: int) -> None:
        """Have the switches forward what comes to them before a time: from hosts, from wires."""
        entering = []
        while self.born and self.born[-1][0] < until:
            entering.append(self.real[self.born.pop()[1]])
        crossed = []
        while self.pending and self.pending[0][0] < until:
            *_, one = heapq.heappop(self.pending)
            if self._is_cut_off(one):
                self._lose(one)
            else:
                crossed.append(one)
        entries = [
            Entry(one.member.flow.talker, HOST_PORT, self._body(one), len(one.member.flow.lanes))
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
        for leader, outs in zip(entering, outs_of, strict=False):
            self._entered(leader, outs)
        for one, outs in zip(crossed, outs_of[len(entering) :], strict=True):
            self._crossed(one, outs)

    # Cuts

    def _cut(self, cut: Cut) -> None:
        start = time.perf_counter()
        if self.set_wire is not None:
            self.set_wire(cut.port)
        self.walk.cut_s = max(self.walk.cut_s, time.perf_counter() - start)
        for name in (cut.port, self.wiring.reverse[cut.port].name):
            self.cut_at[self.case.topology.port_by_name[name].number] = cut.at_ps

    def _is_cut_off(self, one: Passage) -> bool:
        """Tell whether the wire was down before a frame was over it and in the next switch."""
        return one.time_ps >= self.cut_at.get(one.port, NEVER)

    def _lose(self, one: Passage) -> None:
        self.real[one.frame].gone = True
        self.walk.lost.add(one.frame)
        self.ports.withdraw(one)

    def _body(self, one: _Real) -> bytes:
        """Return the frame as the talker's host sends it, with its number in front."""
        flow = one.member.flow
        tag = one.turn % flow.buffers if one.member.lane.cycles else None
        dscp = 0 if tag is None else tag << 2 | 0b11
        key = (flow.number, one.frame_bytes, dscp)
        if key not in self.bodies:
            self.bodies[key] = host_frame(self.wiring, flow, one.frame_bytes, dscp)
        body = self.bodies[key]
        return body[:42] + self.twins_leader(one).to_bytes(8, "big") + body[50:]

    def _entered(self, leader: _Real, outs: Sequence[Out]) -> None:
        """Compare what the talker's switch made of a frame with the plan, path by path."""
        left = list(outs)
        flow = leader.member.flow
        for one in self.twins[leader.number]:
            port = one.member.ports[0]
            number = self.wiring.openflow_port[port.name]
            found = next((out for out in left if out.port == number), None)
            if found is not None:
                left.remove(found)
                one.data = found.data
                found_turn = self._turn_at(one, port, read_frame(found.data), one.turn, one.birth)
                if found_turn != one.turn:
                    self._tag_finding(one, flow.talker, port.name, one.turn, found.data)
                    self._astray(one, port, one.birth, found_turn)
            else:
                if port.number not in self.cut_at:
                    self._finding(one, flow.talker, f"not sent to {port.name}")
                one.gone = one.astray = True
                self.walk.lost.add(one.number)
        started = {one.member.lane.label for one in self.twins[leader.number]}
        absent = {lane.ports[0] for lane in flow.lanes if lane.label not in started}
        for out in left:
            if self._port_name(flow.talker, out.port) in absent:
                continue
            if not self.cut_at:
                to = self._port_name(flow.talker, out.port)
                self._finding(leader, flow.talker, f"sent to {to}, which is not on its path")
            lost = next((one for one in self.twins[leader.number] if one.gone), None)
            other = self.wiring.port_at.get((flow.talker, out.port))
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
        elif one.lane >= self.ports.outputs[0]:
            self._leave(real, one, node, outs)
        elif self._on_its_way(real, one, node, outs):
            self.ports.withdraw(one)

    def _on_its_way(self, real: _Real, one: Passage, node: str, outs: Sequence[Out]) -> bool:
        """Keep a frame in the lane to its next port; return whether it must be taken out of it."""
        real.hop += 1
        port = real.member.ports[real.hop]
        number = self.wiring.openflow_port[port.name]
        found = next((out for out in outs if out.port == number), None)
        if found is None:
            if port.number not in self.cut_at:
                self._finding(real, node, f"not sent to {port.name}")
            self._elsewhere(real, one.time_ps, node, outs)
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
            self._elsewhere(real, one.time_ps, node, outs)
            return
        self._check_body(real, node, found)
        self._deliver(real, one.time_ps)

    def _on_its_own(self, real: _Real, one: Passage, node: str, outs: Sequence[Out]) -> None:
        """Follow a frame off its planned course."""
        if any(out.port == HOST_PORT for out in outs) and node == real.member.flow.listener:
            self._check_body(real, node, next(out for out in outs if out.port == HOST_PORT))
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

    def _turn_at(self, real: _Real, port: Port, frame: Frame, planned: int, time_ps: int) -> int:
        """Return the cycle that a frame's tag means at a port; `planned` where the tag agrees."""
        if not real.member.lane.cycles:
            return planned
        tag = frame.labels[0].traffic_class - 1 if frame.labels else 0
        buffers = real.member.flow.buffers
        if planned >= 0 and planned % buffers == tag:
            return planned
        network = self.ports.world.network
        present = (time_ps - int(network.phase[port.number])) // network.cycle
        return int(present + 1 + (tag - present - 1) % buffers)

    # What is told

    def _check_body(self, real: _Real, node: str, out: Out) -> None:
        frame = read_frame(out.data)
        flow = real.member.flow
        number = int.from_bytes(out.data[42:50], "big")
        leader = self.twins_leader(real)
        if frame.labels or frame.tags:
            self._finding(real, node, f"the host gets the frame as it was on the wire ({frame})")
        elif frame.eth_dst != self.wiring.host_mac(flow.listener):
            self._finding(real, node, f"the host gets a frame {frame}")
        elif number != leader or not is_whole(flow, out.data):
            self._finding(real, node, "the host gets another payload than was sent")

    def twins_leader(self, real: _Real) -> int:
        """Return the number in the payload of a frame: that of the copy on the first path."""
        if real.member.lane is real.member.flow.lanes[0]:
            return real.number
        first = next(one for one in self.case.members if one.flow is real.member.flow)
        span = self.ports.span
        return int(real.number - span[real.member.source, 0] + span[first.source, 0])

    def _deliver(self, real: _Real, time_ps: int) -> None:
        arrival = self.ports.due_ps(real.member.source, real.birth, time_ps)
        real.gone = True
        if arrival <= self.end_ps:
            self.walk.arrival_ps[real.number] = arrival

    def _tag_finding(self, real: _Real, node: str, port: str, planned: int, data: bytes) -> None:
        buffers = real.member.flow.buffers
        frame = read_frame(data)
        tag = frame.labels[0].traffic_class - 1 if frame.labels else "none"
        self._finding(
            real, node, f"leaves for {port} tagged for cycle {tag}, planned {planned % buffers}"
        )

    def _finding(self, real: _Real, node: str, words: str) -> None:
        """Keep the first of each kind of fault of a stream at a switch."""
        key = (real.member.flow.name, node, words.split(" tagged", maxsplit=1)[0])
        self.walk.findings.setdefault(
            key, f"{real.member.flow.name}: {node}: {words} (frame sent at {real.birth} ps)"
        )

    def _port_name(self, node: str, number: int) -> str:
        port = self.wiring.port_at.get((node, number))
        return f"the host of {node}" if port is None else port.name


@contextmanager
def reservation(rules: Iterable[Switch], base: Path | None = None) -> Iterator[Controller]:
    """Run the shipped reservation app with these rules, handed over in a folder in `base`."""
    with TemporaryDirectory(prefix=private_prefix(), dir=base) as folder:
        path = Path(folder) / "rules.jsonl"
        path.write_text(to_text(rules), encoding="utf-8")
        with Controller(["reservation"], ["--rules-file", str(path)]) as controller:
            yield controller


def emulate(
    case: Lockstep,
    proof: Proof,
    simulated: Observation,
    *,
    controller: str | None = None,
    rules_file: Path | None = None,
    cuts: Sequence[Cut] = (),
    progress: Callable[[int, int], None] | None = None,
    meddle: Callable[[Fabric], None] | None = None,
) -> tuple[Emulation, dict[str, float]]:
    """Run the tier; return the result and wall-clock seconds of the control plane.

    `simulated` is the simulator's observation of the same plan. The shipped reservation app lays
    the rules, or a `controller` that listens at an address such as tcp:127.0.0.1:6653; the rules
    wanted of it are written to `rules_file` first. `meddle` is called with the switches when they
    have their rules and nothing has been sent. With `cuts`, frames that the simulator has
    delivered before the first one are compared, the others counted.
    Raises EnvironmentMissing without Open vSwitch or a controller.
    """
    node_ports = case.node_ports
    rules = [one for one in case.rules if one.name in node_ports]
    plain, _ = case.walk(None)
    if rules_file is not None:
        rules_file.write_text(to_text(rules), encoding="utf-8")
    with ExitStack() as stack:
        stack.enter_context(unwinding())
        start = time.perf_counter()
        if controller is None:
            app = stack.enter_context(reservation(rules))
            fabric = stack.enter_context(Fabric(case.wiring, node_ports, controllers=[app.target]))
            events = app.wait_converged([one.datapath_id for one in rules], CONVERGE_S)
            seconds = max((float(one["seconds"]) for one in events), default=0.0)
        else:
            fabric = stack.enter_context(
                Fabric(case.wiring, node_ports, controllers=[controller], carry_control=True)
            )
            fabric.wait_connected(controller)
            fabric.wait_as_planned(case.flows, list(node_ports))
            seconds = time.perf_counter() - start
        fabric.fence()
        if meddle is not None:
            meddle(fabric)

        def set_wire(name: str) -> None:
            fabric.set_wire(name, up=False)
            fabric.fence()

        walk, ports = case.walk(fabric.forward, progress, cuts, set_wire)
        fabric.settle()
        for stray in fabric.strays:
            words = f"also sent to OpenFlow port {stray.out.port}"
            walk.findings.setdefault(("", stray.entry.node, words), f"{stray.entry.node}: {words}")
        tables = [fabric.tables(node) for node in node_ports]
    faults = audit(case.wiring, case.flows, tables)
    findings = [*map(str, faults), *walk.findings.values()]
    first_cut_ps = min((one.at_ps for one in cuts), default=NEVER)
    plain.arrival_ps = {n: at for n, at in plain.arrival_ps.items() if at < first_cut_ps}
    result = compare(case, proof, simulated, (walk, ports), plain, findings)
    made = result.model_copy(
        update={
            "switches": len(node_ports),
            "rules": sum(len(one.rules) for one in tables),
            "controller": controller or SHIPPED,
        }
    )
    wall_clock = {"rules installed": seconds}
    if cuts:
        wall_clock["cut followed by all switches"] = walk.cut_s
    return made, wall_clock


def compare(
    case: Lockstep,
    proof: Proof,
    simulated: Observation,
    emulated: tuple[Walk, Ports],
    plain: Walk,
    findings: Sequence[str],
) -> Emulation:
    """Put what became of the real frames beside the simulator's own course, `plain`."""
    walk, ports = emulated
    proofs = {one.name: one for one in proof.streams}
    seen = {one.name: one for one in (*simulated.streams, *simulated.demands)}
    rows: list[Witnesses] = []
    streams: list[Traffic] = []
    demands: list[Traffic] = []
    told = list(findings)
    groups: dict[str, list[Member]] = defaultdict(list)
    for member in case.members:
        groups[member.flow.demand or member.flow.name].append(member)
    for name, members in groups.items():
        account = _account(name, members, walk, ports, case.profile)
        (demands if members[0].flow.demand else streams).append(account)
        worst = _largest_difference(members, walk, plain, ports)
        proven, one = proofs.get(name), seen[name]
        rows.append(
            Witnesses(
                name=name,
                frames=account.sent,
                delivered=account.received,
                lost=account.lost,
                proven_latency_ps_max=proven and proven.latency_ps_max,
                proven_variation_ps=proven and proven.variation_ps,
                simulated_latency_ps_max=one.latency_ps_max,
                simulated_variation_ps=one.variation_ps,
                emulated_latency_ps_max=account.latency_ps_max,
                emulated_variation_ps=account.variation_ps,
                difference_ps=None if worst is None else abs(worst[1] - worst[0]),
            )
        )
        if worst is not None and worst[0] != worst[1]:
            told.append(f"{name}: a frame took {worst[1]} ps emulated and {worst[0]} ps simulated")
        missed = _missed(members, walk, plain, ports)
        if missed:
            told.append(f"{name}: {missed} frames came through simulated but not emulated")
    observation = Observation(
        witness="emulated",
        duration_ps=case.profile.simulation.duration_ps,
        steady_from_ps=min(simulated.steady_from_ps, case.profile.simulation.duration_ps),
        seed=case.profile.simulation.seed,
        frames=sum(one.sent for one in (*streams, *demands)),
        frame_hops=walk.hops,
        streams=tuple(streams),
        demands=tuple(demands),
        ports=(),
    )
    return Emulation(
        tier="lockstep",
        dilation=None,
        rounding_ps=0,
        controller=SHIPPED,
        switches=0,
        rules=0,
        frames=observation.frames,
        hops=walk.hops,
        lateness=Lateness(frames=walk.hops, violations=0, holds=0, held_ps=0),
        findings=tuple(told),
        streams=tuple(rows),
        observation=observation,
    )


def _numbers(member: Member, ports: Ports) -> range:
    first, last = ports.span[member.source].tolist()
    return range(first, last)


def _largest_difference(
    members: Sequence[Member], walk: Walk, plain: Walk, ports: Ports
) -> tuple[int, int] | None:
    """Return the simulated and the emulated latency of the frame for which they differ most."""
    pairs = [
        (plain.arrival_ps[n] - birth, walk.arrival_ps[n] - birth)
        for member in members
        for n in _numbers(member, ports)
        if n in plain.arrival_ps and n in walk.arrival_ps
        for birth in (int(ports.frames[n, TIME]),)
    ]
    return max(pairs, key=lambda one: abs(one[1] - one[0]), default=None)


def _missed(members: Sequence[Member], walk: Walk, plain: Walk, ports: Ports) -> int:
    return sum(
        n in plain.arrival_ps and n not in walk.arrival_ps
        for member in members
        for n in _numbers(member, ports)
    )


def _account(
    name: str, members: Sequence[Member], walk: Walk, ports: Ports, profile: Profile
) -> Traffic:
    """Sum up the real frames of a stream's paths or a demand's parts.

    A frame sent over two paths is received when one copy is, and lost when both are.
    """
    copies = members[0].flow.demand is None
    once = max if copies else sum
    service = {one.name: one.service for one in profile.every_stream}
    service |= {one.name: one.service for one in profile.demands}
    sent, received, late, sent_bytes, received_bytes, steady = [], [], 0, [], [], 0
    trips: list[list[tuple[int, int]]] = []
    came: list[set[int]] = []
    gone: list[set[int]] = []
    latencies: list[int] = []
    network = ports.world.network
    floor = min(int(ports.world.tally.owner[member.source, FLOOR]) for member in members)
    for member in members:
        numbers = _numbers(member, ports)
        got = [n for n in numbers if n in walk.arrival_ps]
        sizes = ports.frames[:, FRAME_BYTES]
        sent.append(len(numbers))
        sent_bytes.append(int(sizes[numbers.start : numbers.stop].sum()))
        received.append(len(got))
        came.append({n - numbers.start for n in got})
        gone.append({n - numbers.start for n in numbers if n in walk.lost})
        received_bytes.append(sum(int(sizes[n]) for n in got))
        born = ports.frames[:, TIME]
        trips.append([(walk.arrival_ps[n] - int(born[n]), int(born[n])) for n in got])
        latencies += [latency for latency, _ in trips[-1]]
        steady += sum(int(sizes[n]) + 20 for n in got if walk.arrival_ps[n] >= network.steady_from)
        late += _late(member, ports)
    bins = np.zeros(BIN_COUNT, dtype=np.int64)
    for member, trip in zip(members, trips, strict=True):
        # As the simulator merges them: those of longer routes are moved up by the difference.
        own = int(ports.world.tally.owner[member.source, FLOOR])
        for latency, _ in trip:
            index = bin_of(latency - own)
            bins[bin_of(bin_low_ps(index) + own - floor) if own > floor else index] += 1
    return Traffic(
        name=name,
        service=service[name],
        sent=once(sent),
        received=len(set.union(*came)) if copies else sum(received),
        copies=sum(received),
        lost=len(set.intersection(*gone)) if copies else sum(map(len, gone)),
        late=late,
        sent_bytes=once(sent_bytes),
        received_bytes=once(received_bytes),
        steady_bytes=steady,
        latency_ps_min=min(latencies, default=None),
        latency_ps_sum=sum(latencies),
        latency_ps_max=max(latencies, default=None),
        floor_ps=floor,
        histogram=tuple((int(i), int(bins[i])) for i in np.flatnonzero(bins)),
        best_birth_ps=_birth_of(min, trips),
        worst_birth_ps=_birth_of(max, trips),
    )


def _birth_of(most: Callable[..., int], trips: Sequence[Sequence[tuple[int, int]]]) -> int | None:
    """Return the birth of the first frame that had the least or largest latency of all paths."""
    latencies = [latency for rows in trips for latency, _ in rows]
    if not latencies:
        return None
    wanted = most(latencies)
    return min(birth for rows in trips for latency, birth in rows if latency == wanted)


def _late(member: Member, ports: Ports) -> int:
    """Count late events of real frames; at the first port those of the whole source."""
    late = ports.world.routes.late
    way = ports.positions(member.source)
    return int(late[way[0]] + sum(late[ports.planned_positions + one] for one in way))
