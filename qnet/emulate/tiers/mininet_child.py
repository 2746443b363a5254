"""The inside of a run of tier `mininet`: `python -m qnet.emulate.tiers.mininet_child FOLDER`.

It is the first process of its own namespaces. It builds the network, has the controller lay the
rules, calibrates, emulates, and writes the result into the folder.
"""

from __future__ import annotations

import math
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from qnet.emulate.frames.captures import HOST, Sight, write_captures
from qnet.emulate.frames.case import Case, Member
from qnet.emulate.frames.hosts import HEADER_BYTES, host_frame, is_whole
from qnet.emulate.frames.kernels import TIME
from qnet.emulate.frames.ports import Ports
from qnet.emulate.openflow.nouns import to_text
from qnet.emulate.process.quick import as_usual, be_quick
from qnet.emulate.process.relay import SOCKET
from qnet.emulate.process.watch import Guard, blaming
from qnet.emulate.rules.audit import audit
from qnet.emulate.rules.flows import Flow, Lane, dscp_of, flows_of
from qnet.emulate.rules.plan_rules import alternatives, rules_of
from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.switches.net import Net
from qnet.emulate.switches.talk import explained
from qnet.emulate.tiers.compare import SHIPPED
from qnet.emulate.tiers.lockstep import CONVERGE_S, reservation
from qnet.emulate.tiers.mininet import (
    JOB,
    PROGRESS,
    PROMPT,
    RESULT,
    CommandResult,
    Cut,
    Emulated,
    HostCommand,
    LostFrame,
    Options,
)
from qnet.emulate.wires.arrays import PATIENCE_NS
from qnet.emulate.wires.kernels import tables as w
from qnet.emulate.wires.records import Arrival, EmulatorOptions, Fault, Loss, Probe, WireEnd
from qnet.emulate.wires.run import STEP_NS, Emulator
from qnet.errors import QnetError
from qnet.formats.pcapng import INBOUND, OUTBOUND
from qnet.model.histogram import quantile_ps
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.write import write_text
from qnet.simulate.ports.account import CAUSES, no_room
from qnet.simulate.setup import owners

CALIBRATION_DILATION = 2000
CALIBRATION_NS = 6_000_000_000
"""Wall-clock time of the calibration at most."""

CALIBRATION_FRAMES = 2000
"""Passages through a switch that are enough to choose a dilation from."""

DILATIONS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)

SLACK_FACTOR = 2
"""A window lasts this many times as long, on the wall, as most frames are in a switch.

Virtual time waits for the others, so a dilation too small costs waits, not truth.
"""

MOST_PPB = 950_000_000
"""How many frames, in a billion, are most."""

BUDGET_SHARE = 0.9
"""How much of the wall-clock time is planned with; the rest is for when virtual time waits."""

DRAIN_NS = 2_000_000_000


class Run:
    """One run, from the network's first device to the result."""

    def __init__(
        self,
        folder: Path,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        options: Options,
        guard: Guard,
    ) -> None:
        self.folder, self.options = folder, options
        self.guard = guard
        self.topology, self.profile, self.plan = topology, profile, plan
        self.found = owners(topology, profile, plan)
        names = {self.found[source].name for source in options.sample}
        self.flows = flows_of(topology, profile, plan, sample=names)
        self.wiring = Wiring(topology)
        self.seconds: dict[str, float] = {}
        self.calibrated = ""
        self.failover_s = 0.0
        self._since = time.monotonic()
        members = [source for source, owner in enumerate(self.found) if owner.name in names]
        lanes = [(flow, lane) for flow in self.flows for lane in flow.lanes]
        self.flow_of: dict[int, tuple[Flow, Lane]] = dict(zip(members, lanes, strict=True))
        self.hosts = {one.host for one in options.commands}

    def lap(self, what: str) -> None:
        """Note how long a stage took."""
        now = time.monotonic()
        self.seconds[what] = now - self._since
        self._since = now

    def say(self, title: str, done: int = 0, total: int = 0) -> None:
        """Tell the process that waits for the result what is at work."""
        new = self.folder / (PROGRESS + ".new")
        new.write_text(f"{title}\t{done}\t{total}")
        new.replace(self.folder / PROGRESS)

    def go(self) -> Emulated:
        """Do all of it."""
        ports = {port.number for source in self.flow_of for port in self.found[source].ports}
        nodes = {node for one in self.flows for node in (one.talker, one.listener)} | self.hosts
        if self.options.free_run or self.options.cli or self.hosts:
            nodes |= {node.name for node in self.topology.nodes}
            ports |= {port.number for port in self.topology.ports}
        # The controller listens on this namespace's own loopback: no other can meet it.
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, stdin=subprocess.DEVNULL)
        rules = rules_of(
            self.topology,
            self.flows,
            hosts=nodes if self.options.free_run or self.hosts or self.options.cli else (),
        )
        touched = nodes | {
            node
            for number in ports
            for node in (self.topology.ports[number].source, self.topology.ports[number].target)
        }
        self.rules = [one for one in rules if one.name in touched]
        emulator = self._emulator([], [], 1)
        minutes = ", in minutes" if emulator.parts is not None else ""
        self.say(f"start the link emulator (the first time it is compiled{minutes})")
        emulator.warm()
        self.lap("kernels")
        self.say(f"build {len(self.rules)} switches and their hosts")
        outside = self.options.controller
        if self.options.rules_file is not None:
            write_text(self.options.rules_file, to_text(self.rules))
        with ExitStack() as stack:
            app = None
            if outside is None:
                app = stack.enter_context(reservation(self.rules, self.folder))
                self.guard.add(app.parts)
            target = f"unix:{self.folder / SOCKET}" if app is None else app.target
            asks = app is None and not self.options.arp
            net = Net(
                self.topology,
                nodes,
                ports,
                self.folder,
                [target],
                hosts_ask=asks,
                plain_hosts=app is None and not self.flows,
                versions=self.options.versions,
            )
            self.guard.add(net.parts)
            stack.enter_context(net)
            self.lap("network")
            if app is not None:
                self.say(f"lay {sum(len(one.rules) for one in self.rules)} rules")
                app.wait_converged([one.datapath_id for one in self.rules], CONVERGE_S)
            elif outside is not None:
                self.say(f"wait for the controller at {outside}")
                self._wait_for_rules(net, outside)
            for one in self.options.meddling:
                bridge = f"s{self.wiring.datapath_id(one.node)}"
                net.ovs.ofctl("mod-flows", bridge, f"{one.match},actions={one.actions}")
            net.ovs.fence()
            laid = self.rules if outside is None else [net.tables(node) for node in net.nodes]
            self.change_over = {
                one.name
                for one in laid
                if any(group.kind == "fast_failover" for group in one.groups)
            }
            self.ends = net.ends
            self.lap("rules")
            emulated = self._emulate(net)
            if outside is None and not emulated.void:
                return emulated
            return self._judged(net, emulated)

    def _wait_for_rules(self, net: Net, outside: str) -> None:
        """Wait until somebody's own controller has laid what the plan wants, or has been quiet."""
        connect_s, settle_s = self.options.connect_s, self.options.settle_s
        net.wait_connected(outside, connect_s)
        if not self.flows:
            net.wait_quiet()
            return
        most_s = connect_s if settle_s is None else settle_s
        if not net.wait_as_planned(self.flows, net.nodes, most_s):
            self.say(f"its rules are not the plan's after {most_s:.0f} s (--settle)")

    def _judged(self, net: Net, emulated: Emulated) -> Emulated:
        """Judge the rules by themselves: those of a stranger's controller, or of a void run."""
        tables = [net.tables(node) for node in net.nodes]
        faults = audit(self.wiring, self.flows, tables)
        findings: tuple[str, ...] = (*map(str, faults), *emulated.findings)
        outside = self.options.controller
        commands = [
            f"{one.host}: {one.command}: exit code {one.exit_code}"
            for one in emulated.commands
            if one.exit_code
        ]
        control: tuple[str, ...] = ()
        if outside is not None:
            findings = explained(findings, net.talks(), outside)
            control = explained(commands, net.talks(), outside)[: -len(commands) or None]
        return replace(
            emulated,
            controller=outside or SHIPPED,
            rules=sum(len(one.rules) + len(one.unread) for one in tables),
            findings=findings,
            control=control,
        )

    def _emulate(self, net: Net) -> Emulated:
        free = self.options.free_run
        dilation = self.options.dilation or (1 if free else 0)
        budget_s: float | None = None
        if self.options.controller is not None and not free:
            budget_s = self.options.budget_s  # virtual time waits for every frame that it loses
        if not dilation:
            dilation = self._calibrate(net)
            budget_s = self.options.budget_s
            self.lap("calibration")
        attempts = 0
        while True:
            attempts += 1
            emulator, commands = self._attempt(net, dilation, budget_s)
            self.guard.settle()
            late = emulator.wall_clock()
            share_ppm = late.violations * 1_000_000 // max(late.put_in, 1)
            self.lap(f"emulation at {dilation}")
            if share_ppm <= self.options.violations_ppm or attempts == 2 or self.options.dilation:
                break
            dilation *= 2
            budget_s = self.options.budget_s / 2
        void = ""
        if share_ppm > self.options.violations_ppm:
            void = (
                f"{late.violations} of {late.put_in} frames were late "
                f"(more than {self.options.violations_ppm} in a million) at dilation {dilation}"
            )
        return self._result(net, emulator, dilation, attempts, void, commands)

    def _probes(self, net: Net) -> list[Probe]:
        probes = []
        for source, every in self.options.sample.items():
            owner = self.found[source]
            flow, lane = self.flow_of[source]
            first = flow.lanes[0]
            tags = range(flow.buffers) if lane.cycles else [-1]
            templates = [
                (size, tag, host_frame(self.wiring, flow, size, 0 if tag < 0 else dscp_of(tag)))
                for size, _ in owner.law.sizes
                for tag in tags
            ]
            twins = [
                other
                for other, (one, _) in self.flow_of.items()
                if one.number == flow.number and other != source
            ]
            probes.append(
                Probe(
                    source,
                    every,
                    net.edge[flow.talker],
                    net.edge[flow.listener],
                    templates,
                    twins[0] if twins else -1,
                    lane.label,
                    bool(lane.cycles),
                    first.cycles[0] - lane.cycles[0] if lane.cycles else 0,
                    self._leader(source),
                    self._beside(flow),
                )
            )
        return probes

    def _beside(self, flow: Flow) -> int:
        """Return the port by which a flow's frames leave their talker when their own is down."""
        other = alternatives(self.flows).get(flow.name)
        if other is None or flow.talker not in self.change_over:
            return -1
        return self.topology.port_by_name[other.lanes[0].ports[0]].number

    def _calibrate(self, net: Net) -> int:
        """Send the first frames very slowly; return the dilation that their stay asks for.

        A window is to last as long as it takes to serve one and as most frames are in a switch, as
        far as there is time for that: virtual time waits for the others.
        """
        self.say("calibrate", 0, CALIBRATION_NS)
        sample = self._emulator(net.ends, self._probes(net), CALIBRATION_DILATION)
        sample.open(net.namespace)
        be_quick()
        self.guard.by_hand = True
        try:
            sample.start()
            begun_ns = time.monotonic_ns()
            spent_ns = 0
            while not sample.finished and spent_ns < CALIBRATION_NS:
                sample.step()
                self.guard.look()
                spent_ns = time.monotonic_ns() - begun_ns
                self.say("calibrate", spent_ns, CALIBRATION_NS)
                if sample.wall_clock().came_out >= CALIBRATION_FRAMES:
                    break
        finally:
            self.guard.by_hand = False
            as_usual()
            sample.close()
        self.guard.settle()
        late = sample.wall_clock()
        stay_ns = (quantile_ps(late.inside, MOST_PPB) or 0) // 1000
        windows = max(sample.reached_ps // sample.window_ps, 1)
        serve_ns = late.busy_ns // windows
        wanted = SLACK_FACTOR * (stay_ns + serve_ns) * 1000 // sample.window_ps
        afforded = int(BUDGET_SHARE * self.options.budget_s * 1e12) // sample.end_ps
        wanted = min(wanted, afforded)
        chosen = max((one for one in DILATIONS if one <= wanted), default=DILATIONS[0])
        self.calibrated = (
            f"calibration: of {late.came_out} passages {MOST_PPB // 10**7} % within "
            f"{stay_ns / 1e6:.2f} ms, a window of {sample.window_ps / 1e6:.0f} us served in "
            f"{serve_ns / 1e6:.2f} ms: dilation {chosen}"
        )
        return chosen

    def _emulator(
        self, ends: Sequence[WireEnd], probes: Sequence[Probe], dilation: int
    ) -> Emulator:
        options = EmulatorOptions(
            dilation,
            free_run=self.options.free_run,
            skips=not (self.options.cuts or self.options.commands or self.options.cli),
        )
        return Emulator(self.topology, self.profile, self.plan, ends, probes, options)

    def _attempt(
        self, net: Net, dilation: int, budget_s: float | None
    ) -> tuple[Emulator, tuple[CommandResult, ...]]:
        probes = [] if self.options.free_run else self._probes(net)
        emulator = self._emulator(net.ends, probes, dilation)
        for cut in self.options.cuts:
            port = self.topology.port_by_name[cut.port]
            for one in self.wiring.both(port):
                emulator.cut(one.number, cut.at_ps)
        emulator.open(net.namespace)
        commands: tuple[CommandResult, ...] = ()
        try:
            if not (self.options.free_run or self.options.cli or self.options.commands):
                self._follow(emulator, net, budget_s=budget_s)
                return emulator, commands
            begun, stop = threading.Event(), threading.Event()
            thread = threading.Thread(target=self._follow, args=(emulator, net, begun, stop))
            thread.start()
            begun.wait()
            try:
                if self.options.cli:
                    _open_command_line(net, self.folder / PROMPT)
                commands = _run_commands(net, self.options.commands)
            finally:
                stop.set()
                thread.join()
        finally:
            emulator.close()
        return emulator, commands

    def _follow(
        self,
        emulator: Emulator,
        net: Net,
        begun: threading.Event | None = None,
        stop: threading.Event | None = None,
        budget_s: float | None = None,
    ) -> None:
        """Emulate to the end, or until told to stop, before ordinary threads if permitted.

        When `budget_s` of wall-clock time is used up, the end is where virtual time is by then.
        """
        title = f"emulate at dilation {emulator.dilation}"
        self.say("hosts are at work" if stop is not None else title, 0, emulator.end_ps)
        cuts = sorted(self.options.cuts, key=lambda one: -one.at_ps)
        give_up = math.inf if budget_s is None else time.monotonic() + budget_s
        be_quick()
        self.guard.by_hand = True
        try:
            try:
                emulator.start()
            finally:
                if begun is not None:
                    begun.set()
            while not emulator.finished and not (stop is not None and stop.is_set()):
                if cuts and emulator.entered_ns(cuts[-1].at_ps) <= time.monotonic_ns():
                    self._take_down(net, emulator, cuts.pop())
                due_ns = emulator.entered_ns(cuts[-1].at_ps) if cuts else None
                soon_ns = time.monotonic_ns() + STEP_NS
                emulator.step(None if due_ns is None else min(due_ns, soon_ns))
                self.guard.look()
                if stop is None:
                    self.say(title, emulator.reached_ps, emulator.end_ps)
                if time.monotonic() > give_up:
                    emulator.end_here()
            if stop is None:
                emulator.drain(DRAIN_NS)
        finally:
            self.guard.by_hand = False
            as_usual()

    def _take_down(self, net: Net, emulator: Emulator, cut: Cut) -> None:
        """Take a wire's devices down when all frames before it are out of the switches.

        Virtual time is held until both switches have seen it; how long that took is wall-clock.
        """
        emulator.settle(PATIENCE_NS)
        port = self.topology.port_by_name[cut.port]
        begun = time.perf_counter()
        net.take_down(port)
        self.failover_s = max(self.failover_s, time.perf_counter() - begun)

    # The result

    def _result(
        self,
        net: Net,
        emulator: Emulator,
        dilation: int,
        attempts: int,
        void: str,
        commands: tuple[CommandResult, ...],
    ) -> Emulated:
        reached_ps = emulator.end_ps if self.options.free_run else emulator.reached_ps
        arrivals = [
            one for one in emulator.arrivals if self.options.free_run or one.time_ps <= reached_ps
        ]
        damaged = [
            one
            for one in arrivals
            if not is_whole(self.flow_of[one.owner][0], one.frame)
            or int.from_bytes(one.frame[42:46], "big") != self._leader(one.owner)
            or int.from_bytes(one.frame[46:50], "big") != one.sequence
        ]
        captures: list[Path] = []
        if self.options.captures is not None:
            sights = [*self._sent(reached_ps), *self._received(net, arrivals)]
            captures = write_captures(self.options.captures, self.wiring, sights)
        self.lap("result")
        return Emulated(
            latency_ps=tuple(
                (one.owner, one.sequence, one.time_ps - one.born_ps) for one in arrivals
            ),
            late={source: emulator.late(source) for source in self.options.sample},
            recovery={
                self.found[source].name: account
                for source in self.options.sample
                for account in (emulator.recovery(source),)
                if account is not None
            },
            losses=tuple(self._lost(one) for one in emulator.losses),
            wall_clock=emulator.wall_clock(),
            dilation=dilation,
            attempts=attempts,
            reached_ps=reached_ps,
            cut_ps=min((one.at_ps for one in self.options.cuts), default=None),
            failover_s=self.failover_s,
            calibrated=self.calibrated,
            switches=len(net.nodes),
            rules=sum(len(one.rules) for one in self.rules),
            damaged=len(damaged),
            findings=self._findings(
                [
                    one
                    for one in emulator.faults()
                    # Of a void run the labels alone are what switches wrote, late or not.
                    if (not void or one.kind == w.WRONG_LABEL)
                    and one.kind != w.LATE_OR_LOST
                    and not (self.options.cuts and one.kind == w.CUT_OFF)
                ]
            ),
            void=void,
            commands=commands,
            captures=tuple(captures),
            seconds=self.seconds,
        )

    def _lost(self, loss: Loss) -> LostFrame:
        cause = no_room(self.found[loss.owner])
        if loss.cause == w.WIRE_CUT:
            cause = "the wire was cut"
        elif loss.cause != w.NO_QUEUE_ROOM:
            cause = CAUSES[loss.cause - w.NO_QUEUE_ROOM - 1]
        return LostFrame(loss.owner, loss.sequence, self.topology.ports[loss.port].name, cause)

    def _sent(self, until_ps: int) -> Iterator[Sight]:
        """Yield the real frames that hosts sent, as `_probes` has them made."""
        case = Case(self.topology, self.profile, self.plan, strides=self.options.sample)
        ports = Ports(self.topology, self.profile, self.plan, want=case.want)
        rows: dict[tuple[int, int], list[tuple[list[int], Member]]] = defaultdict(list)
        for member in case.members:
            for place, row in enumerate(ports.frames[slice(*ports.span[member.source])].tolist()):
                rows[member.flow.number, member.number(place)].append((row, member))
        for (_, number), copies in rows.items():
            # The switch makes the other copy, if there is one; it may be due first.
            time_ps = min(row[TIME] for row, _ in copies)
            (_, size, turn, _), member = copies[0]
            flow = member.flow
            if time_ps > until_ps:
                continue
            dscp = dscp_of(turn % flow.buffers) if member.lane.cycles else 0
            body = host_frame(self.wiring, flow, size, dscp)
            stamp = self._leader(member.source).to_bytes(4, "big") + number.to_bytes(4, "big")
            data = body[:HEADER_BYTES] + stamp + body[HEADER_BYTES + 8 :]
            words = f"{flow.name}: frame {number}, sent at {time_ps} ps"
            yield Sight(time_ps, flow.talker, HOST, OUTBOUND, data, words)

    def _received(self, net: Net, arrivals: Sequence[Arrival]) -> Iterator[Sight]:
        host_at = {place: node for node, place in net.edge.items()}
        for one in arrivals:
            flow, lane = self.flow_of[one.owner]
            words = (
                f"{flow.name}: frame {one.sequence} by path {flow.lanes.index(lane) + 1}, "
                f"{one.time_ps - one.born_ps} ps after it was sent"
            )
            yield Sight(one.time_ps, host_at[one.end], HOST, INBOUND, one.frame, words)

    def _leader(self, source: int) -> int:
        """Return the source in the payload of a frame: that of the first path."""
        return min(self._copies(source))

    def _copies(self, source: int) -> set[int]:
        flow = self.flow_of[source][0]
        return {other for other, (one, _) in self.flow_of.items() if one.number == flow.number}

    def _findings(self, faults: Sequence[Fault]) -> tuple[str, ...]:
        """Say what went wrong, once for each kind, stream and switch."""
        told: dict[tuple[int, int, int], str] = {}
        counts: dict[tuple[int, int, int], int] = defaultdict(int)
        for one in faults:
            key = (one.kind, one.owner, one.port)
            counts[key] += 1
            if key not in told and one.owner >= 0:
                told[key] = self._fault(one)
        return tuple(f"{text} ({counts[key]} frames)" for key, text in told.items())

    def _end_name(self, place: int) -> str:
        """Return the name of the port, or whose host, a wire end belongs to."""
        end = self.ends[place]
        if max(end.port, end.goes_in) >= 0:
            return self.topology.ports[max(end.port, end.goes_in)].name
        return f"the host of {self.topology.nodes[int(end.interface[1:]) - 1].name}"

    def _fault(self, fault: Fault) -> str:
        name = self.found[fault.owner].name
        last = self.found[fault.owner].ports[-1]
        port = None if fault.port < 0 else self.topology.ports[fault.port]
        where = last.target if port is None else port.source
        to = f"the host of {where}" if port is None else port.name
        if fault.kind == w.WRONG_TAG:
            return (
                f"{name}: {where}: leaves for {to} tagged for cycle {fault.found}, "
                f"planned {fault.wanted}"
            )
        if fault.kind == w.WRONG_PORT:
            return f"{name}: {where}: came out at {self._end_name(fault.found)}, not at {to}"
        if fault.kind == w.CUT_OFF:
            return f"{name}: {to}: lost on a wire that was cut"
        return f"{name}: {where}: leaves for {to} with label {fault.found}, planned {fault.wanted}"


def _open_command_line(net: Net, prompt: Path) -> None:
    """Let the user at Mininet's command line until he leaves it; Ctrl-C is its own meanwhile."""
    from mininet.cli import CLI  # noqa: PLC0415

    CLI.readlineInited = True  # else it would leave a history in the user's home
    prompt.touch()
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        CLI(net.mininet)
    finally:
        signal.signal(signal.SIGINT, usual)
        prompt.unlink()


def _run_commands(net: Net, commands: Sequence[HostCommand]) -> tuple[CommandResult, ...]:
    """Run hosts' commands, all at once but for those of one host, which follow each other."""
    by_host: dict[str, list[HostCommand]] = defaultdict(list)
    for one in commands:
        by_host[one.host].append(one)
    results: dict[HostCommand, CommandResult] = {}

    def run(host: str, mine: Sequence[HostCommand]) -> None:
        for one in mine:
            done = subprocess.run(
                ["mnexec", "-a", str(net.host(host).pid), "sh", "-c", one.command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            results[one] = CommandResult(
                host, one.command, done.returncode, done.stdout + done.stderr
            )

    threads = [threading.Thread(target=run, args=item) for item in by_host.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(results[one] for one in commands)


def main() -> None:
    """Run the job in the folder that the command line names."""
    folder = Path(sys.argv[1])
    with (folder / JOB).open("rb") as file:
        topology, profile, plan, options = pickle.load(file)
    if options.cli:
        # It was blocked up to here. What is started from now on hears it again.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    result: Emulated | QnetError
    try:
        with Guard(folder) as guard, blaming(guard.parts):
            result = Run(folder, topology, profile, plan, options, guard).go()
    except QnetError as error:
        result = error
    new = folder / (RESULT + ".new")
    with new.open("wb") as file:
        pickle.dump(result, file)
    new.replace(folder / RESULT)


if __name__ == "__main__":
    main()
