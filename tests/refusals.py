"""A witness for refusals: is what a reason states true of the finished plan?

It counts room, latency and reach itself, from topology, profile and plan alone, and shares nothing
with the scheduler but the sentences.
"""

from __future__ import annotations

import re
from fractions import Fraction

from qnet.model.plan import Plan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.units import show_time

BYTE_PS = 8 * 10**12


def why_false(topology: Topology, profile: Profile, plan: Plan, name: str) -> str | None:
    """Return what is untrue of the reason for which a stream is refused, or None."""
    stream = next(one for one in profile.every_stream if one.name == name)
    reason = next(one.reason for one in plan.streams if one.name == name)
    assert reason is not None
    for pattern, judge in PATTERNS:
        found = re.fullmatch(pattern, reason)
        if found:
            good = judge(topology, profile, plan, stream, *found.groups())
            return None if good else f"{name}: {reason}"
    return f"{name}: nobody can judge '{reason}'"


def full(topology: Topology, profile: Profile, plan: Plan, stream: Stream, *said: str) -> bool:
    port, cycle = topology.port_by_name[said[0]], int(said[1])
    free = capacity(topology, profile, plan, port) - used(profile, plan, port.name, cycle)
    return (
        int(said[2]) == stream.max_packets * (stream.frame_bytes + 20)
        and int(said[3]) == free < int(said[2])
        and 0 <= cycle < plan.hypercycle
    )


def guard(profile: Profile, plan: Plan | None, port: Port) -> int:
    """Return the longest frame that reserves nothing and leaves by a port, or 0."""
    frames = {one.name: one.frame_bytes for one in profile.every_stream}
    sizes = {one.name: max(size for size, _ in one.sizes) for one in profile.demands}
    sent = [
        frames[one.name]
        for one in (plan.streams if plan else ())
        if one.status == "routed" and any(port.name in path.ports for path in one.paths)
    ]
    sent += [
        sizes[one.name]
        for one in (plan.demands if plan else ())
        if any(port.name in part.ports for part in one.parts)
    ]
    return max(sent, default=0)


def capacity(topology: Topology, profile: Profile, plan: Plan | None, port: Port) -> int:
    """Bytes of an empty cycle: what is open after wander and guard, a byte's time rounded up."""
    cycle_ps = topology.tcqf.cycle_ps
    wander_ps = topology.node_by_name[port.source].clock.wander_ps
    other = guard(profile, plan, port)
    open_ps = cycle_ps - wander_ps * -(-cycle_ps // 10**9)
    if other:
        open_ps -= -(-(other + 20) * BYTE_PS // port.rate_bps)
    by_time = open_ps // -(-BYTE_PS // port.rate_bps)
    by_share = Fraction(port.reservable_bps * cycle_ps, BYTE_PS).__floor__()
    return max(0, min(by_time, by_share))


def used(profile: Profile, plan: Plan, port: str, cycle: int) -> int:
    streams = {one.name: one for one in profile.every_stream}
    total = 0
    for entry in plan.streams:
        stream = streams[entry.name]
        period = stream.interval_ps // plan.cycle_ps
        for path in entry.paths:
            for name, at in zip(path.ports, path.cycles, strict=False):
                if name == port and (cycle - at) % period == 0:
                    total += stream.max_packets * (stream.frame_bytes + 20)
    return total


def reach(topology: Topology, source: str, skip: str = "") -> dict[str, int]:
    """Return the least propagation to every node that can be reached without a node or cable."""
    best = {source: 0}
    for _ in topology.nodes:
        for port in topology.ports:
            if skip in (port.target, topology.cable(topology.links[port.link])):
                continue
            if port.source in best:
                far = best[port.source] + port.propagation_ps
                best[port.target] = min(best.get(port.target, far), far)
    return best


def too_far(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, least: str, limit: str
) -> bool:
    least_ps = reach(topology, stream.talker)[stream.listener]
    most_ps = stream.max_latency_ps
    shown = (show_time(least_ps), show_time(most_ps))
    return most_ps is not None and least_ps > most_ps and shown == (least, limit)


def chains(topology: Topology, stream: Stream) -> list[list[Port]]:
    """Return all simple routes, over every wire."""
    found: list[list[Port]] = []

    def extend(chain: list[Port], at: str, seen: frozenset[str]) -> None:
        if at == stream.listener:
            found.append(chain)
            return
        for port in topology.ports:
            if port.source == at and port.target not in seen and port.member == 0:
                extend([*chain, port], port.target, seen | {port.target})

    extend([], stream.talker, frozenset({stream.talker}))
    return found


def latency_ps(topology: Topology, chain: list[Port]) -> tuple[int, int]:
    """Return the largest latency of a route without waits, and its variation without line time."""
    cycle_ps = topology.tcqf.cycle_ps
    clocks = [topology.node_by_name[port.source].clock for port in chain]
    cycle = 0
    for near, far, here, there in zip(chain, chain[1:], clocks, clocks[1:], strict=False):
        node = topology.node_by_name[far.source]
        ready_ps = here.phase_ps + (cycle + 1) * cycle_ps + here.error_ps
        ready_ps += near.propagation_ps + node.processing.high_ps
        cycle = -(-(ready_ps - there.phase_ps + there.error_ps) // cycle_ps)
    first, last = clocks[0], clocks[-1]
    end_ps = last.phase_ps + (cycle + 1) * cycle_ps + last.error_ps + chain[-1].propagation_ps
    return end_ps - (first.phase_ps - first.error_ps), cycle_ps + 2 * last.error_ps


def too_slow(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, least: str, limit: str
) -> bool:
    """All routes of one path are looked at; of two paths only the claim itself can be."""
    most_ps = stream.max_latency_ps
    assert most_ps is not None
    error_ps = 2 * topology.node_by_name[stream.listener].clock.error_ps if stream.damper else 0
    quickest = min(latency_ps(topology, chain)[0] for chain in chains(topology, stream)) + error_ps
    if stream.paths == 2:
        return show_time(most_ps) == limit
    return quickest > most_ps and (show_time(quickest), show_time(most_ps)) == (least, limit)


def too_unsteady(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, least: str, limit: str
) -> bool:
    most_ps = stream.max_latency_variation_ps
    assert most_ps is not None
    if stream.damper:
        error_ps = 2 * topology.node_by_name[stream.listener].clock.error_ps
        return error_ps > most_ps and show_time(error_ps) == least
    if stream.paths == 2:
        return show_time(most_ps) == limit
    for chain in chains(topology, stream):
        latest_ps, open_ps = latency_ps(topology, chain)
        slow_ps = -(-(stream.frame_bytes + 8) * BYTE_PS // chain[-1].rate_bps)
        in_time = stream.max_latency_ps is None or latest_ps <= stream.max_latency_ps
        if in_time and open_ps - slow_ps <= most_ps:
            return False
    return show_time(most_ps) == limit


def too_large(topology: Topology, profile: Profile, plan: Plan, stream: Stream, *said: str) -> bool:
    port = topology.port_by_name[said[4]]
    need = stream.max_packets * (stream.frame_bytes + 20)
    held = capacity(topology, profile, plan, port)
    blamed = said[5] is not None and int(said[6]) == guard(profile, plan, port)
    return (
        (int(said[0]), int(said[1])) == (stream.max_packets, stream.frame_bytes + 20)
        and (int(said[2]), int(said[3])) == (need, held)
        and held < need
        and blamed == (held < capacity(topology, profile, None, port))
    )


def no_buffers(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, *said: str
) -> bool:
    """Of the two ports, a frame that comes as early as can be finds its buffer in use."""
    one, two = (
        [p for p in topology.ports if f"{p.source}->{p.target}" == ends] for ends in said[2:4]
    )
    here, node = (topology.node_by_name[ports[0].source] for ports in (one, two))
    cycle_ps, buffers = topology.tcqf.cycle_ps, topology.tcqf.buffers
    for near in one:
        ready_ps = here.clock.phase_ps + cycle_ps + here.clock.error_ps
        ready_ps += near.propagation_ps + node.processing.high_ps
        shift = -(-(ready_ps - node.clock.phase_ps + node.clock.error_ps) // cycle_ps)
        early_ps = here.clock.phase_ps - here.clock.error_ps + near.propagation_ps
        early_ps += -(-(stream.frame_bytes + 8) * BYTE_PS // near.rate_bps)
        early_ps += node.processing.low_ps
        free_ps = node.clock.phase_ps + (shift - buffers + 1) * cycle_ps + node.clock.error_ps
        if early_ps < free_ps:
            return int(said[1]) == buffers < int(said[0])
    return False


def no_second(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, kind: str, name: str
) -> bool:
    return stream.paths == 2 and stream.listener not in reach(topology, stream.talker, name)


def no_route(topology: Topology, profile: Profile, plan: Plan, stream: Stream, *ends: str) -> bool:
    return stream.listener not in reach(topology, stream.talker)


def no_multiple(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, *said: str
) -> bool:
    return stream.interval_ps % topology.tcqf.cycle_ps != 0


def slow_clock(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, *said: str
) -> bool:
    room_ps = (topology.tcqf.buffers - 1) * topology.tcqf.cycle_ps
    return 2 * topology.node_by_name[stream.talker].clock.error_ps > room_ps


def shares_all(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, tried: str
) -> bool:
    return stream.paths == 2


PATTERNS = (
    (
        r"port (\S+), cycle (\d+): (\d+) bytes needed, (\d+) free; (?:best of \d+ wires, )?"
        r"\d+ routes? tried",
        full,
    ),
    (r"propagation alone is (.*) of (.*)", too_far),
    (
        r"the quickest (?:route|pair of routes) takes at least (.*) with its cycles, of (.*)",
        too_slow,
    ),
    (r"the steadiest (?:route|pair of routes) varies by (.*), of (.*)", too_unsteady),
    (
        r"(\d+) frames? x (\d+) bytes need (\d+) of at most (\d+) bytes in one cycle of port (\S+?)"
        r"(; a frame of (\d+) bytes of another class may hold the line for .*)?",
        too_large,
    ),
    (r"needs (\d+) cycle buffers of (\d+) between (\S+) and (\S+)", no_buffers),
    (r"no wire of (\S+) that is large enough keeps the variation within (.*)", lambda *_: True),
    (r"no disjoint second path: every route (uses cable|passes node) (\S+)", no_second),
    (r"no disjoint second path: each of the first (\d+) routes shares .*", shares_all),
    (r"no route from (\S+) to (\S+)", no_route),
    (r"its interval of (.*) is not a multiple of the cycle of (.*)", no_multiple),
    (r"the clock of (\S+) may be wrong by .*", slow_clock),
)
