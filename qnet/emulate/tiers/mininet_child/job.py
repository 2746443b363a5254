"""What a run of tier `mininet` is asked, and what follows from it before anything is built."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qnet.emulate.openflow.nouns import Switch
from qnet.emulate.process.controller import Controller
from qnet.emulate.process.watch import Guard
from qnet.emulate.rules.plan_rules import rules_of
from qnet.emulate.rules.streams import LabelledPath, SwitchedStream, streams_of
from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.switches.net import SwitchNetwork
from qnet.emulate.tiers.mininet import PROGRESS
from qnet.emulate.tiers.mininet_child.happenings import Happening, happenings
from qnet.emulate.tiers.tier import Options
from qnet.emulate.wires.records import EmulatorOptions, Probe, WireEnd
from qnet.emulate.wires.run import Emulator
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.frame_sources import sources_of


class Job:
    """What is asked, who sends what by which labels, and how far the work is."""

    def __init__(
        self,
        folder: Path,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        strides: Mapping[int, int],
        options: Options,
        guard: Guard,
    ) -> None:
        self.folder, self.options = folder, options
        self.strides = strides
        self.guard = guard
        self.topology, self.profile, self.plan = topology, profile, plan
        self.found = sources_of(topology, profile, plan)
        names = {self.found[source].name for source in strides}
        self.streams = streams_of(topology, profile, plan, sample=names)
        self.wiring = Wiring(topology)
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()
        members = [source for source, owner in enumerate(self.found) if owner.name in names]
        paths = [(stream, path) for stream in self.streams for path in stream.paths]
        self.stream_of: dict[int, tuple[SwitchedStream, LabelledPath]] = dict(
            zip(members, paths, strict=True)
        )
        self.hosts = {one.host for one in options.commands}
        self.happenings: Mapping[int, Happening] = {}
        """By virtual time, what is done to devices and rules."""

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

    def member_stream(self, source: int) -> int:
        """Return the source in the payload of a frame: that of the first path."""
        return min(self._copies(source))

    def _copies(self, source: int) -> set[int]:
        stream = self.stream_of[source][0]
        return {other for other, (one, _) in self.stream_of.items() if one.number == stream.number}

    def emulator(self, ends: Sequence[WireEnd], probes: Sequence[Probe], dilation: int) -> Emulator:
        """Lay out the link emulator for the network's wire ends; nothing is opened yet."""
        options = EmulatorOptions(
            dilation,
            free_run=self.options.free_run,
            skips=not (self.options.cuts or self.options.commands or self.options.cli),
        )
        return Emulator(self.topology, self.profile, self.plan, ends, probes, options)

    def plan_ahead(self, involved: Involved, window_ps: int) -> None:
        """Choose what is done to devices and rules, and when."""
        ports = {
            port.name
            for number in involved.ports
            for port in self.wiring.both(self.topology.ports[number])
        }
        self.happenings = happenings(self.topology, self.profile, self.plan, ports, window_ps)

    def involved(self) -> Involved:
        """Return which hosts and wires take part, and the rules of the switches between."""
        ports = {port.number for source in self.stream_of for port in self.found[source].ports}
        nodes = {node for one in self.streams for node in (one.talker, one.listener)} | self.hosts
        if self.options.free_run or self.options.cli or self.hosts:
            nodes |= {node.name for node in self.topology.nodes}
            ports |= {port.number for port in self.topology.ports}
        touched = nodes | {
            node
            for number in ports
            for node in (self.topology.ports[number].source, self.topology.ports[number].target)
        }
        hosts = nodes if self.options.free_run or self.hosts or self.options.cli else ()
        return Involved(nodes, ports, touched, hosts)

    def rules(self, involved: Involved, versions: Collection[int] | None = None) -> list[Switch]:
        """Return the rules of all switches for these entries of streams and demands, or for all.

        Those by which a demand is sent at another rate are always among them. Where events happen
        the plan says who is moved, and no switch sends anything another way by itself.
        """
        moves = range(1, len(self.plan.moves) + 1)
        later = () if versions is None else {*moves} - {*versions}
        wanted = [one for one in self.streams if one.version not in later]
        events = self.profile.events
        rules = rules_of(self.topology, wanted, hosts=involved.reached, failover=not events)
        return [one for one in rules if one.name in involved.touched]


class Involved(NamedTuple):
    """The hosts, numbers of egress ports and switches that take part in a run.

    Hosts that are `reached` have rules for frames to their own address.
    """

    hosts: set[str]
    ports: set[int]
    touched: set[str]
    reached: Collection[str]


class Laid(NamedTuple):
    """A network whose switches have their rules; `change_over` are those with a second way."""

    net: SwitchNetwork
    involved: Involved
    change_over: frozenset[str]
    app: Controller | None
    """The shipped one, unless it is somebody's own."""
