"""Small networks whose rules are judged: from the golden cases, and drawn at random."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from qnet.emulate.openflow.nouns import IPV4, Switch
from qnet.emulate.rules.plan_rules import Policing, rules_of
from qnet.emulate.rules.streams import SwitchedStream, streams_of
from qnet.emulate.rules.wiring import Wiring
from qnet.files.read import load
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule import schedule
from tests.asking import Answer, ask

TRAILER = bytes(range(200, 224))
"""What the link emulator puts behind a frame, as long as it may be."""

GOLDEN = Path(__file__).parents[1] / "golden"


class Case(NamedTuple):
    """A plan and the rules that follow from it."""

    topology: Topology
    profile: Profile
    plan: Plan
    wiring: Wiring
    streams: tuple[SwitchedStream, ...]
    switches: tuple[Switch, ...]

    def switch(self, name: str) -> Switch:
        return next(one for one in self.switches if one.name == name)

    def stream(self, name: str) -> SwitchedStream:
        return next(one for one in self.streams if one.name == name)

    def again(self, generation: int) -> Case:
        return rules_for(self.topology, self.profile, self.plan, generation)


def golden(name: str) -> Case:
    return case(str(GOLDEN / name / "traffic.yaml"))


def case(profile: str) -> Case:
    scenario = load(profile)
    plan = schedule(
        scenario.topology,
        scenario.profile,
        topology_sha256=scenario.topology_sha256,
        traffic_sha256=scenario.traffic_sha256,
    )
    return rules_for(scenario.topology, scenario.profile, plan)


def rules_for(topology: Topology, profile: Profile, plan: Plan, generation: int = 0) -> Case:
    streams = streams_of(topology, profile, plan, generation=generation)
    hosts = [node.name for node in topology.nodes]
    switches = rules_of(topology, streams, hosts=hosts, policing=Policing(), generation=generation)
    return Case(topology, profile, plan, Wiring(topology), streams, switches)


WAITING = """
title: A line of three
tcqf: {{cycle: 10us, buffers: {buffers}}}
nodes:
  - {{name: a}}
  - {{name: b, processing: 1us..2us, clock: {{phase: 3us}}}}
  - {{name: c, clock: {{phase: 4us}}}}
links:
  - {{between: [a, b], rate: 10Gbps, length: 7km}}
  - {{between: [b, c], rate: 10Gbps, length: 5km}}
"""

WAITING_TRAFFIC = """
title: Two streams and two demands
topology: net
classes:
  - {name: reserved, priority: 6, mechanism: csqf}
  - {name: best-effort, priority: 0, mechanism: strict-priority}
defaults:
  stream: {from: a, to: c, interval: 40us, max-payload-size: 1400B}
streams:
  - {name: first, from: b, interval: 20us, max-pkts-per-interval: 6, rank: 1}
  - {name: before, to: b, interval: 20us, max-pkts-per-interval: 6, rank: 1}
  - {name: small, max-payload-size: 500B, rank: 2}
  - {name: s, max-pkts-per-interval: 3, count: 4}
  - {name: plain, class: best-effort, interval: 1ms, max-payload-size: 500B}
demands:
  - {name: d, from: a, to: c, rate: 100Mbps}
"""


def waiting(folder: Path, buffers: int = 7) -> Case:
    """Streams of three frames wait an extra cycle at b, where `first` fills every other one."""
    (folder / "net.yaml").write_text(WAITING.format(buffers=buffers))
    (folder / "traffic.yaml").write_text(WAITING_TRAFFIC)
    return case(str(folder / "traffic.yaml"))


def host_bytes(case: Case, stream: SwitchedStream, interval: int, payload: int) -> bytes:
    """Build a UDP frame of a talker, shorter than its trailer lets it look."""
    udp = struct.pack("!HHHH", 5000, 5001, 8 + payload, 0) + bytes(payload)
    head = struct.pack(
        "!BBHHHBBHII",
        0x45,
        stream.dscp(interval) << 2,
        20 + len(udp),
        interval,
        0,
        64,
        17,
        0,
        case.wiring.host_ip(stream.talker),
        case.wiring.host_ip(stream.listener),
    )
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", 0xFFFF ^ (total + (total >> 16)) & 0xFFFF) + head[12:]
    addresses = stream.mac.to_bytes(6, "big") + case.wiring.host_mac(stream.talker).to_bytes(
        6, "big"
    )
    return addresses + struct.pack("!H", IPV4) + head + udp + TRAILER


def all_but(*down: int) -> Callable[[int], bool]:
    """Say of a switch's ports that all are up but these."""
    return lambda port: port not in down


RING = """
title: Two ways round, the nodes between cut through
tcqf: {cycle: 20us}
defaults:
  node: {processing: 500ns..1us}
nodes:
  - {name: a}
  - {name: b, cut-through: 64B}
  - {name: c, cut-through: 128B}
  - {name: d}
links:
  - {between: [a, b], rate: 1Gbps, length: 100m}
  - {between: [b, d], rate: 1Gbps, length: 200m}
  - {between: [a, c], rate: 1Gbps, length: 300m}
  - {between: [c, d], rate: 1Gbps, length: 400m}
"""
ROUND = """
title: Copies that meet, beside frames that are sent on before they are all in
topology: ring
classes:
  - {name: cyclic, priority: 6, mechanism: MECHANISM}
  - {name: high, priority: 5, mechanism: strict-priority}
  - {name: low, priority: 1, mechanism: strict-priority}
simulation: {duration: 2ms, seed: 3}
streams:
  - {name: twice, from: a, to: d, class: cyclic, interval: 40us, max-payload-size: 100B, paths: 2,
     max-pkts-per-interval: 2, recovery: {history: 16}}
  - {name: once, from: a, to: d, class: cyclic, interval: 60us, max-payload-size: 200B}
  - {name: early, from: a, to: d, class: high, interval: 70us, max-payload-size: 900B}
demands:
  - {name: load, from: a, to: d, class: low, rate: 100Mbps}
"""


def round_about(folder: Path, mechanism: str) -> Answer:
    """Ask about two copies that meet, behind nodes that cut through, in cycles of a mechanism."""
    (folder / "ring.yaml").write_text(RING)
    (folder / "round.yaml").write_text(ROUND.replace("MECHANISM", mechanism))
    return ask(folder / "round.yaml")


BRIDGES = """
title: Three bridges, one link of which loses frames
nodes:
  - {name: a, processing: 1us..2us}
  - {name: b, processing: 1us..2us, buffer: 100kB}
  - {name: c, processing: 1us..2us}
links:
  - {between: [a, b], rate: 1Gbps, length: 1km}
  - {between: [b, c], rate: 1Gbps, length: 1km, loss: 1%}
"""
EVERY_PART = """
title: Shaped, metered, weighted and cut
topology: topology
classes:
  - {name: audio, priority: 6, mechanism: strict-priority, idle-slope: 30%}
  - {name: control, priority: 5, mechanism: strict-priority, max-residence: 1ms}
  - {name: gold, priority: 2, mechanism: strict-priority, weight: 3}
  - {name: silver, priority: 2, mechanism: strict-priority, weight: 1}
  - {name: bulk, priority: 0, mechanism: strict-priority, preemptable: true}
simulation: {duration: 4ms, seed: 5}
streams:
  - {name: voice, from: a, to: c, class: audio, interval: 125us, max-payload-size: 600B}
  - {name: valve, from: a, to: c, class: control, interval: 100us, max-payload-size: 200B,
     max-pkts-per-interval: 2, excess-pkts-per-interval: 1, police: true}
demands:
  - {name: rich, from: a, to: c, class: gold, rate: 500Mbps}
  - {name: poor, from: b, to: c, class: silver, rate: 300Mbps}
  - {name: rest, from: a, to: c, class: bulk, rate: 90Mbps, sizes: 1518B}
"""


def every_part(folder: Path) -> Answer:
    """Ask about shapers, meters, weights, preemption and a link that loses frames."""
    (folder / "topology.yaml").write_text(BRIDGES)
    (folder / "traffic.yaml").write_text(EVERY_PART)
    return ask(folder / "traffic.yaml")
