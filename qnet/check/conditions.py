"""What proofs take for granted, and where that does not hold.

The rules of a plan speak of talkers that keep to what they asked for, of clocks within their
bounds, of bridges that store a frame before they send it, and of listeners that take what comes.
What else a network or a profile may say is accounted for here, or nothing is proven:

- A talker that sends more than it reserved spoils all reservations, unless its first port polices
  it to them; of its own frames nothing is proven then.
- Clocks set by a grandmaster, running free, or counting in steps can leave their error bound.
- A gated frame can reach its queue too soon where a node cuts through.
- Sequence recovery must remember all frames that one copy may be ahead of the other.

Preemption needs no rule: a frame that was begun, or the part of it that cannot be cut, is never
longer than the longest frame of another class, which the guard is for. Links that lose frames do
not touch bounds of latency; that no frame is lost is then not proven (`may_lose`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from qnet.check.findings import Findings, exact_time
from qnet.check.least import passed_by_meter
from qnet.check.line import ceil_div, wire_bytes
from qnet.model.plan import StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.units import PPB, PS_PER_MS


def unproven(
    topology: Topology,
    profile: Profile,
    pairs: Sequence[tuple[Stream, StreamPlan]],
    findings: Findings,
) -> set[str]:
    """Return the streams of which nothing can be proven, whatever the plan says."""
    names = {stream.name for stream in profile.every_stream if profile.is_reserved(stream)}
    found = set()
    reserved = [pair for pair in pairs if pair[0].name in names and pair[1].status == "admitted"]
    if _check_clocks(topology, profile, reserved, findings):
        found |= names
    for stream, entry in reserved:
        if stream.excess_packets:
            found.add(stream.name)
            if not _is_held_to_its_share(stream):
                found |= names
                findings.add(
                    "ingress",
                    stream.name,
                    f"its talker sends {stream.excess_packets} frames more than it reserved in "
                    "each interval, and is not policed; nothing is proven of any reservation",
                )
        if profile.is_gated(stream) and _cuts_through(topology, entry):
            found.add(stream.name)
            findings.add(
                "queue",
                stream.name,
                "passes a node that cuts through; when it reaches its queues is not proven",
            )
    return found


def check_recovery(stream: Stream, apart_ps: int, findings: Findings) -> None:
    """See that a listener remembers enough, where copies of a frame come up to so far apart.

    With an interval of 10 us and one frame in each, copies 35 us apart need a history of 5.
    """
    if stream.recovery is None:
        return
    needed = (apart_ps // stream.interval_ps + 1) * stream.max_packets + 1
    if needed > stream.recovery.history:
        findings.add(
            "recovery",
            stream.name,
            f"copies can be {exact_time(apart_ps)} apart, so the listener must remember {needed} "
            f"frames; its history has {stream.recovery.history}",
        )
    longest_ps = stream.interval_ps + apart_ps
    if longest_ps >= stream.recovery.reset_ps:
        findings.add(
            "recovery",
            stream.name,
            f"frames can be {exact_time(longest_ps)} apart; its listener forgets what it has "
            f"passed on after {exact_time(stream.recovery.reset_ps)}",
        )


def may_lose(topology: Topology, stream: Stream, entry: StreamPlan | None) -> bool:
    """Say whether frames of a stream can be lost on a link, or at its meter, by the files."""
    ports = topology.port_by_name
    paths = entry.paths if entry is not None else ()
    used = [ports[name] for path in paths for name in path.ports if name in ports]
    lossy = any(port.is_lossy for port in used)
    sent = stream.max_packets + stream.excess_packets
    metered = passed_by_meter(stream, sent) < 1 or (stream.police and stream.excess_packets > 0)
    return lossy or metered


def _is_held_to_its_share(stream: Stream) -> bool:
    """Say whether a meter lets no more frames through than the stream reserved.

    All frames of an interval come at its start: a bucket that holds one interval's frames, and is
    filled no faster than they come, is empty after them.
    """
    frames = stream.max_packets * wire_bytes(stream.frame_bytes)
    reserved_bps = ceil_div(8 * frames * 10**12, stream.interval_ps)
    return stream.police and stream.burst_bytes <= frames and stream.rate_bps <= reserved_bps


def _cuts_through(topology: Topology, entry: StreamPlan) -> bool:
    ports = topology.port_by_name
    pairs = [
        (ports[near], ports[far])
        for path in entry.paths
        for near, far in pairwise(path.ports)
        if near in ports and far in ports
    ]
    return any(
        near.rate_bps == far.rate_bps
        and topology.node_by_name[far.source].cut_through_bytes is not None
        for near, far in pairs
    )


def _check_clocks(
    topology: Topology,
    profile: Profile,
    reserved: Sequence[tuple[Stream, StreamPlan]],
    findings: Findings,
) -> bool:
    """See that clocks keep within `error` and `wander` for the time that is simulated.

    Those count that a reserved stream meets on its way, from its talker to its listener, and those
    that have a gate list.
    """
    before = findings.total
    ports = topology.port_by_name
    lists = {name for control in profile.gates for name in control.at}
    met = {port.source for port in topology.ports if lists & {port.name, port.source}}
    met |= {stream.listener for stream, _ in reserved}
    met |= {
        ports[name].source
        for _, entry in reserved
        for path in entry.paths
        for name in path.ports
        if name in ports
    }
    for node in topology.nodes:
        if node.name not in met:
            continue
        error_ps, step_ps = clock_bounds(topology, node.name, profile.simulation.duration_ps)
        for what, reached_ps, bound_ps in (
            ("error", error_ps, node.clock.error_ps),
            ("wander", step_ps, node.clock.wander_ps),
        ):
            if reached_ps > bound_ps:
                findings.add(
                    "clock",
                    node.name,
                    f"the {what} of its clock can come to {exact_time(reached_ps)}, plans are made "
                    f"for {exact_time(bound_ps)}; nothing is proven of any reservation",
                )
    return findings.total > before


def clock_bounds(topology: Topology, name: str, duration_ps: int) -> tuple[int, int]:
    """Return the largest error of a clock in a run, and its largest change in a millisecond."""
    clock, sync = topology.node_by_name[name].clock, topology.sync
    error_ps, alone_ps = clock.error_ps, duration_ps
    if sync is not None and name in topology.sync_ways:
        ports = [topology.ports[number] for number in topology.sync_ways[name]]
        error_ps = len(ports) * sync.hop_error_ps
        error_ps += abs(sum(topology.asymmetry_ps(port) for port in ports))
        error_ps += max(clock.granularity_ps - 1, 0) if ports else 0
        alone_ps = max(duration_ps - sync.lost_at_ps, 0) if sync.lost_at_ps else 0
    if not alone_ps or not clock.frequency_ppb:
        return error_ps, clock.wander_ps
    drift_ps = ceil_div(clock.frequency_ppb * (alone_ps + PS_PER_MS), PPB) + clock.granularity_ps
    step_ps = ceil_div(clock.frequency_ppb * PS_PER_MS, PPB) + clock.granularity_ps
    return error_ps + drift_ps, step_ps + (0 if sync else clock.wander_ps)
