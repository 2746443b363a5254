"""What a plan for streams with several listeners must be, looked at the slow way.

Takes nothing from the planner but the plan: every frame on every port is written down one by one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from math import lcm

from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream

PS_PER_S = 10**12


def tree_faults(topology: Topology, profile: Profile, plan: Plan) -> list[str]:
    """Say what is wrong with the trees of a plan, and with what all its streams take of ports."""
    entries = {entry.name: entry for entry in plan.streams}
    faults = []
    for stream in profile.every_tree:
        if len(stream.listeners) > 1:
            faults += _of_tree(topology, stream, entries)
    return [*faults, *_cycles_too_full(topology, profile, plan), *_met(topology, profile, plan)]


def _of_tree(topology: Topology, stream: Stream, entries: dict[str, StreamPlan]) -> list[str]:
    names = [f"{stream.name}@{listener}" for listener in stream.listeners]
    legs = [entries[name] for name in names]
    if len({(leg.status, leg.reason, leg.send_ps) for leg in legs}) > 1:
        return [f"{stream.name}: its legs differ in status, reason or send time"]
    if legs[0].status == "refused":
        return [] if legs[0].reason else [f"{stream.name}: refused without a reason"]
    faults = []
    came: dict[str, tuple[object, ...]] = {}
    for leg, listener in zip(legs, stream.listeners, strict=True):
        if len(leg.paths) != 1:
            faults.append(f"{leg.name}: {len(leg.paths)} paths")
            continue
        (path,) = leg.paths
        at, seen = stream.talker, {stream.talker}
        for hop, name in enumerate(path.ports):
            port = topology.port_by_name[name]
            if port.source != at or port.target in seen:
                faults.append(f"{leg.name}: no way over {name}")
            at = port.target
            seen.add(at)
            if came.setdefault(name, _until(path, hop)) != _until(path, hop):
                faults.append(f"{leg.name}: comes to {name} in another way than another leg")
        if at != listener:
            faults.append(f"{leg.name}: ends at {at}")
    return faults


def _until(path: PathPlan, hop: int) -> tuple[object, ...]:
    end = hop + 1
    starts = tuple(frame[:end] for frame in path.starts_ps)
    return path.ports[:end], path.cycles[:end], path.queues[:end], starts


def _frames_at(profile: Profile, plan: Plan) -> dict[str, dict[str, tuple[Stream, PathPlan, int]]]:
    """Return who sends at each port: of a tree whichever leg comes first, once."""
    legs = {leg.name: leg for leg in profile.every_stream}
    at: dict[str, dict[str, tuple[Stream, PathPlan, int]]] = defaultdict(dict)
    for entry in plan.streams:
        leg = legs[entry.name]
        for copy, path in enumerate(entry.paths):
            for hop, name in enumerate(path.ports):
                key = f"{entry.name.split('@')[0]}/{copy}"
                at[name].setdefault(key, (leg, path, hop))
    return at


def _cycles_too_full(topology: Topology, profile: Profile, plan: Plan) -> list[str]:
    """Count the bytes of each cycle of each port over all that is reserved."""
    faults = []
    for name, taken in _frames_at(profile, plan).items():
        port = topology.port_by_name[name]
        booked: Counter[int] = Counter()
        for stream, path, hop in taken.values():
            if path.cycles:
                period = stream.interval_ps // plan.cycle_ps
                size = stream.max_packets * (stream.frame_bytes + 20)
                for turn in range(plan.hypercycle // period):
                    booked[(path.cycles[hop] + turn * period) % plan.hypercycle] += size
        most = Fraction(port.reservable_bps * plan.cycle_ps, 8 * PS_PER_S)
        faults += [f"{name}: {size} bytes in {at}" for at, size in booked.items() if size > most]
    return faults


def _met(topology: Topology, profile: Profile, plan: Plan) -> list[str]:
    """Compare every two gated frames of each port."""
    faults = []
    for name, taken in _frames_at(profile, plan).items():
        port = topology.port_by_name[name]
        gated = [one for one in taken.values() if one[1].starts_ps]
        cycle = plan.gate_cycle_ps or lcm(*(one.interval_ps for one, _, _ in gated))
        spans = [
            (frame[hop] % cycle, Fraction((one.frame_bytes + 20) * 8 * PS_PER_S, port.rate_bps))
            for one, path, hop in gated
            for frame in path.starts_ps
        ]
        for place, (start, length) in enumerate(spans):
            for other, _ in spans[:place] + spans[place + 1 :]:
                if (other - start) % cycle < length:
                    faults.append(f"{name}: two frames at {other}")
    return faults
