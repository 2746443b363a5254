"""Rules of gated streams: every frame of the gate cycle, every queue and every gate list.

With O, e and w the phase, error bound and step of a node's clock, a frame with start s there begins
to leave at a true time from O + s - e to O + s + e + w: its gate opens when the clock shows s, and
what may be in the way is a frame that a step of the clock let in, or its own talker's step. The
rules, for a frame of line time `ser` (docs/design.md says why):

- *release*: the first frame of interval i leaves its talker within interval i of true time,
  counted from some whole number of gate cycles; the others of the interval follow it.
- *order*: the latest that it can be in a queue is no later than the earliest that its gate opens.
- *overlap*: spans [s, s + ser + 2 w) of one port, up to whole nanoseconds, never meet.
- *queue*: from the earliest that a frame may be in its queue to the end of its span no frame of
  another interval or stream is in it; with isolation by stream no other stream ever is.
- *gates*: during a span its gate is open and no other; at other times the gates of all queues that
  gated streams use there are closed, and before a span, by the fixed guard, all are. Behind a span
  its gate may stay open for less than 120 bytes while no frame can be in its queue.
- *limit*: the list is not longer than the node holds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from qnet.check.findings import Findings, exact_number, exact_rate, exact_time, is_sane, quoted
from qnet.check.line import ceil_div, last_bit_ps, serialisation_ps
from qnet.model.gates import ENTRY_BYTES, HELD, GateEntry
from qnet.model.plan import QUEUES_MOST, Plan, StreamPlan
from qnet.model.topology import Node, Port, Topology
from qnet.model.traffic import Profile, Stream, TrafficClass
from qnet.units import PS_PER_NS, PS_PER_S

NOWAIT_ROUNDING_PS = 5_000
"""What whole nanoseconds add to a hop: its line time, its way, its phases, each rounded up."""


SHORTEST_PS_BITS = 8 * ENTRY_BYTES * PS_PER_S
"""The shortest entry times the rate."""


class GateHop(NamedTuple):
    """One port of a gated route, with its node and the queue there."""

    port: Port
    node: Node
    queue: int


class GatedPath(NamedTuple):
    """One path of a gated stream; `starts_ps[k]` has the start of frame k at each hop."""

    hops: tuple[GateHop, ...]
    starts_ps: tuple[tuple[int, ...], ...]


class GatedStream(NamedTuple):
    """An admitted stream whose times are worth checking."""

    stream: Stream
    paths: tuple[GatedPath, ...]
    hold_ps: int | None
    rides: int = 0
    """Hops at the begin of its way where its frames are those of a leg of its tree before it."""
    may_be_lost: bool = False
    """Whether links or events can take any of its frames."""

    @property
    def ports(self) -> list[Port]:
        """Ports of all paths at which its frames count."""
        return [hop.port for path in self.paths for hop in path.hops[self.rides :]]


class _Span(NamedTuple):
    """Something is taken from `start` to `end` of the gate cycle, by some frames of one interval.

    `owner` is (stream, path, interval).
    """

    start: int
    end: int
    queue: int
    owner: tuple[str, int, int]

    @property
    def label(self) -> str:
        return f"{self.owner[0]} interval {self.owner[2]}"


def gated_stream(
    topology: Topology,
    plan: Plan,
    pair: tuple[Stream, StreamPlan],
    routes: Sequence[tuple[Port, ...]],
    findings: Findings,
) -> GatedStream | None:
    """Return the times of an admitted stream, or None when they cannot be checked on."""
    stream, entry = pair
    before = findings.total
    if stream.damper != (entry.hold_ps is not None):
        what = "no hold time for its damper" if stream.damper else "a hold time, but no damper"
        findings.add("damper", stream.name, f"the plan has {what}")
    cycle_ps = plan.gate_cycle_ps
    if cycle_ps is None or not is_sane([cycle_ps]) or cycle_ps % stream.interval_ps:
        findings.add(
            "inputs",
            stream.name,
            f"its interval of {exact_time(stream.interval_ps)} does not divide the gate cycle of "
            f"{'none' if cycle_ps is None else exact_number(cycle_ps)} ps",
        )
        return None
    paths = []
    for ports, path in zip(routes, entry.paths, strict=True):
        hops, due = len(ports), cycle_ps // stream.interval_ps * stream.max_packets
        if len(path.queues) != hops or any(len(frame) != hops for frame in path.starts_ps):
            findings.add("inputs", stream.name, "has not one queue and one start for each port")
            continue
        if len(path.starts_ps) != due:
            found = len(path.starts_ps)
            findings.add("inputs", stream.name, f"has {found} frames, {due} are in a gate cycle")
            continue
        times = (start for frame in path.starts_ps for start in frame)
        if not is_sane([entry.hold_ps or 0, *times]):
            findings.add("inputs", stream.name, "a time beyond all sense; ignored")
            continue
        nodes = [topology.node_by_name[port.source] for port in ports]
        if any(not 0 <= queue < QUEUES_MOST for queue in path.queues):
            findings.add("inputs", stream.name, "has a queue that no port has")
            continue
        hop_list = tuple(GateHop(*hop) for hop in zip(ports, nodes, path.queues, strict=True))
        paths.append(GatedPath(hop_list, path.starts_ps))
    if findings.total > before:
        return None
    return GatedStream(stream, tuple(paths), entry.hold_ps)


def check_frames(
    topology: Topology, profile: Profile, plan: Plan, one: GatedStream, findings: Findings
) -> None:
    """Go along the route with every frame of one stream."""
    assert plan.gate_cycle_ps is not None, "gated_stream() refuses plans without"
    waiting = profile.class_by_name[one.stream.traffic_class].waiting
    lowest = len(profile.queue_by_class)
    for path in one.paths:
        for hop in path.hops:
            if not lowest <= hop.queue < hop.node.queues:
                findings.add(
                    "queue",
                    one.stream.name,
                    f"queue {exact_number(hop.queue)} of {hop.port.name}; its class has "
                    f"{lowest} to {hop.node.queues - 1}",
                    hop.port.name,
                )
        _check_release(one.stream, path, plan.gate_cycle_ps, findings)
        for number, (near, far) in enumerate(pairwise(path.hops)):
            slacks = [
                _slack_ps(one.stream, (near, far), (frame[number], frame[number + 1]))
                for frame in path.starts_ps
            ]
            _check_order(one.stream, far, slacks, waiting, findings)
    if one.hold_ps is not None:
        _, latest_ps = _arrivals(topology, one)
        early_ps = one.hold_ps - topology.node_by_name[one.stream.listener].clock.error_ps
        if early_ps < latest_ps:
            findings.add(
                "damper",
                one.stream.name,
                f"may be handed over {exact_time(early_ps)} after it was sent, and arrive "
                f"{exact_time(latest_ps - early_ps)} later",
            )


def _check_release(stream: Stream, path: GatedPath, cycle_ps: int, findings: Findings) -> None:
    """See that each interval's frames are sent in it, one after the other."""
    first = path.hops[0]
    sent = [frame[0] + first.node.clock.phase_ps for frame in path.starts_ps]
    if min(frame[0] for frame in path.starts_ps) < 0:
        findings.add("release", stream.name, "is sent before time zero", first.port.name)
    lift_ps = sent[0] // cycle_ps * cycle_ps
    count = stream.max_packets
    for interval in range(len(sent) // count):
        begins_ps = lift_ps + interval * stream.interval_ps
        frames = sent[interval * count : (interval + 1) * count]
        if not begins_ps <= frames[0] < begins_ps + stream.interval_ps:
            findings.add(
                "release",
                stream.name,
                f"the first frame of interval {interval} is sent at "
                f"{exact_time(frames[0])}, outside the interval",
                first.port.name,
            )
        following = (
            sent[(interval + 1) * count]
            if interval + 1 < len(sent) // count
            else (sent[0] + cycle_ps)
        )
        if any(later <= sooner for sooner, later in pairwise([*frames, following])):
            findings.add(
                "release",
                stream.name,
                f"the frames of interval {interval} do not follow each other",
                first.port.name,
            )


def _slack_ps(stream: Stream, hops: tuple[GateHop, GateHop], starts_ps: tuple[int, int]) -> int:
    """Return from when a frame is surely in a queue to when its gate may open first.

    1000 B at 1 Gb/s sent at 0, 5 us of wire, 2 us of processing, clocks within 0.1 us and a start
    of 16 us at the next node: 16 - 0.1 - (8.064 + 5 + 2 + 0.1) = 0.736 us.
    """
    near, far = hops
    queued_ps = (
        near.node.clock.phase_ps
        + starts_ps[0]
        + near.node.clock.error_ps
        + near.node.clock.wander_ps
        + last_bit_ps(stream.frame_bytes, near.port.rate_bps)
        + near.port.propagation_ps
        + far.node.processing.high_ps
    )
    return far.node.clock.phase_ps + starts_ps[1] - far.node.clock.error_ps - queued_ps


def _check_order(
    stream: Stream, far: GateHop, slacks_ps: Sequence[int], waiting: bool, findings: Findings
) -> None:
    for frame, slack_ps in enumerate(slacks_ps):
        if slack_ps < 0:
            findings.add(
                "order",
                stream.name,
                f"frame {frame} can be queued at {far.port.name} {exact_time(-slack_ps)} after its "
                "gate opens",
                far.port.name,
            )
    if waiting:
        return
    for interval in range(len(slacks_ps) // stream.max_packets):
        frames = slacks_ps[interval * stream.max_packets : (interval + 1) * stream.max_packets]
        if min(frames) > NOWAIT_ROUNDING_PS:
            findings.add(
                "order",
                stream.name,
                f"waits {exact_time(min(frames))} at {far.port.name} in interval {interval}; its "
                "class does not wait",
                far.port.name,
            )


def gated_bound(topology: Topology, one: GatedStream) -> tuple[int, int]:
    """Return the least and the largest latency; a damper leaves the errors of two clocks."""
    if one.hold_ps is None:
        return _arrivals(topology, one)
    error_ps = topology.node_by_name[one.stream.listener].clock.error_ps
    error_ps += topology.node_by_name[one.stream.talker].clock.error_ps
    return one.hold_ps - error_ps, one.hold_ps + error_ps


def apart_ps(topology: Topology, one: GatedStream) -> int:
    """Return how far apart the copies of a frame can arrive; each has a start of its own."""
    low, high = _arrivals(topology, one)
    starts = list(zip(*(path.starts_ps for path in one.paths), strict=False))
    return (
        high
        - low
        + max((max(f[0] for f in frame) - min(f[0] for f in frame) for frame in starts), default=0)
    )


def _arrivals(topology: Topology, one: GatedStream) -> tuple[int, int]:
    """Return the least and the largest time from a talker's start to arrival, over all paths.

    Over one port the talker's clock is the port's: only a step of it can come between. A frame that
    is lost leaves its place at a gate to the next one of its interval, if that has come.
    """
    low, high = [], []
    for path in one.paths:
        first, last = path.hops[0].node.clock, path.hops[-1].node.clock
        port = path.hops[-1].port
        fixed_ps = last.phase_ps - first.phase_ps + port.propagation_ps
        fixed_ps += last_bit_ps(one.stream.frame_bytes, port.rate_bps)
        passed = [fixed_ps + frame[-1] - frame[0] for frame in path.starts_ps]
        error_ps = first.error_ps + last.error_ps if len(path.hops) > 1 else 0
        sooner = passed
        if one.may_be_lost:
            count = one.stream.max_packets
            least_ps = _least_ps(topology, one.stream, path)
            opens = [path.starts_ps[at // count * count][-1] for at in range(len(passed))]
            sooner = [
                max(fixed_ps + open_ps - frame[0], least_ps + error_ps)
                for open_ps, frame in zip(opens, path.starts_ps, strict=True)
            ]
        low.append(min(sooner) - error_ps)
        high.append(max(passed) + error_ps + last.wander_ps)
    return min(low), max(high)


def _least_ps(topology: Topology, stream: Stream, path: GatedPath) -> int:
    """Return the least time from a frame's start to arrival, if it waits nowhere."""
    ports = [hop.port for hop in path.hops]
    stays_ps = sum(topology.node_by_name[port.source].processing.low_ps for port in ports[1:])
    lines_ps = sum(last_bit_ps(stream.frame_bytes, port.rate_bps) for port in ports)
    return stays_ps + lines_ps + sum(port.propagation_ps for port in ports)


# Ports: what is sent, what is queued, what the gates do


def check_gate_lists(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    streams: Sequence[GatedStream],
    others: tuple[Mapping[int, int], Mapping[int, int]],
    findings: Findings,
) -> set[int]:
    """Check every gated port over the gate cycle; return the numbers of those at fault.

    `others` has by port number what is placed of demands, and the longest frame without a gate of
    its own that cannot be cut.
    """
    placed_bps, other_bytes = others
    gated_class = next((one for one in profile.classes if one.gated), None)
    lists = {made.port: made for made in plan.gates}
    twice = {name for name, count in Counter(made.port for made in plan.gates).items() if count > 1}
    for name in sorted(twice):
        findings.add("gates", quoted(name), "has two gate lists", name)
    for name in sorted(lists.keys() - topology.port_by_name.keys()):
        findings.add("inputs", quoted(name), "a gate list for a port that is not in the network")
    if gated_class is None or plan.gate_cycle_ps is None:
        if plan.gates and not profile.gates:
            findings.add("gates", "plan", "gate lists without gated streams")
        return set()
    cycle_ps = plan.gate_cycle_ps
    sent: dict[str, list[_Span]] = defaultdict(list)
    queued: dict[tuple[str, int], list[_Span]] = defaultdict(list)
    for one in streams:
        _lay_out(one, cycle_ps, sent, queued)
    faulty = set()
    for name in sorted({*lists, *sent}):
        before = findings.total
        port = topology.port_by_name.get(name)
        made = lists.get(name)
        if port is None:
            continue
        if made is None:
            findings.add("gates", name, "gated streams use this port and it has no list", name)
        else:
            _check_uses(gated_class, port, (sent[name], queued), findings)
            other = other_bytes.get(port.number, 0)
            case = _ListCase(topology, profile, gated_class, port, cycle_ps, other)
            uses = (sent[name], queued)
            _check_list(case, made.entries, uses, placed_bps.get(port.number, 0), findings)
        if findings.total > before or name in twice:
            faulty.add(port.number)
    return faulty


def _lay_out(
    one: GatedStream,
    cycle_ps: int,
    sent: dict[str, list[_Span]],
    queued: dict[tuple[str, int], list[_Span]],
) -> None:
    """Write down when the frames of a stream take ports and queues, folded into the gate cycle.

    Where they are those of another leg of its tree, that one's spans are theirs.
    """
    count = one.stream.max_packets
    for copy, path in enumerate(one.paths):
        for interval in range(len(path.starts_ps) // count):
            frames = path.starts_ps[interval * count : (interval + 1) * count]
            owner = (one.stream.name, copy, interval)
            for number, hop in enumerate(path.hops[one.rides :], one.rides):
                line_ps = serialisation_ps(one.stream.frame_bytes, hop.port.rate_bps)
                margin_ps = 2 * hop.node.clock.wander_ps
                starts = [frame[number] for frame in frames]
                for start, end in _together(starts, line_ps):
                    length_ps = ceil_div(end + margin_ps - start, PS_PER_NS) * PS_PER_NS
                    for low, high in _folded(start, start + length_ps, cycle_ps):
                        sent[hop.port.name].append(_Span(low, high, hop.queue, owner))
                begin_ps = starts[0]
                if number > 0:
                    begin_ps = _earliest_ps(one.stream, path, number, frames[0][number - 1])
                for low, high in _folded(begin_ps, starts[-1] + line_ps + margin_ps, cycle_ps):
                    queued[hop.port.name, hop.queue].append(_Span(low, high, hop.queue, owner))


def _earliest_ps(stream: Stream, path: GatedPath, number: int, start_ps: int) -> int:
    """Return when a frame may first be in a queue, by the fastest clock of the queue's node."""
    near, far = path.hops[number - 1], path.hops[number]
    passed_ps = (
        last_bit_ps(stream.frame_bytes, near.port.rate_bps)
        + near.port.propagation_ps
        + far.node.processing.low_ps
    )
    begins_ps = near.node.clock.phase_ps + start_ps - near.node.clock.error_ps
    return begins_ps + passed_ps - far.node.clock.phase_ps - far.node.clock.error_ps


def _together(starts: Sequence[int], line_ps: int) -> Iterator[tuple[int, int]]:
    """Join frames that follow each other without a gap: one window serves them all."""
    begin, end = starts[0], starts[0] + line_ps
    for start in starts[1:]:
        if start != end:
            yield begin, end
            begin = start
        end = start + line_ps
    yield begin, end


def _folded(start: int, end: int, cycle_ps: int) -> Iterator[tuple[int, int]]:
    """Cut a time into pieces within the cycle; two whole cycles show that it meets itself."""
    end = min(end, start + 2 * cycle_ps)
    while start < end:
        low = start % cycle_ps
        length = min(end - start, cycle_ps - low)
        yield low, low + length
        start += length


def _check_uses(
    gated_class: TrafficClass,
    port: Port,
    uses: tuple[list[_Span], Mapping[tuple[str, int], list[_Span]]],
    findings: Findings,
) -> None:
    sent, queued = uses
    for first, second in _meetings(sent):
        what = f"{first.label} and {second.label} are both sent at {exact_time(second.start)}"
        findings.add("overlap", port.name, what, port.name)
    for queue in sorted({span.queue for span in sent}):
        spans = queued[port.name, queue]
        for first, second in _meetings(spans):
            what = f"{first.label} and {second.label} can both be in queue {queue} at "
            findings.add("queue", port.name, what + exact_time(second.start), port.name)
        owners = sorted({span.owner[0] for span in spans})
        if gated_class.isolation == "stream" and len(owners) > 1:
            what = f"queue {queue} serves {len(owners)} streams: {', '.join(owners[:5])}"
            findings.add("queue", port.name, what, port.name)


def _meetings(spans: Iterable[_Span]) -> Iterator[tuple[_Span, _Span]]:
    """Yield every span that begins before an earlier one has ended, with that one."""
    longest: _Span | None = None
    for span in sorted(spans):
        if longest is not None and span.start < longest.end:
            yield longest, span
        if longest is None or span.end > longest.end:
            longest = span


class _ListCase(NamedTuple):
    """A gate list's port and what it is judged by."""

    topology: Topology
    profile: Profile
    gated_class: TrafficClass
    port: Port
    cycle_ps: int
    other_bytes: int
    """The longest frame of other classes that is sent here and cannot be cut."""


def _check_list(
    case: _ListCase,
    entries: Sequence[GateEntry],
    uses: tuple[list[_Span], Mapping[tuple[str, int], list[_Span]]],
    placed_bps: int,
    findings: Findings,
) -> None:
    """Compare one list with the spans of its port."""
    port, name = case.port, case.port.name
    sent, queued = uses
    node = case.topology.node_by_name[port.source]
    if node.gate_entries is not None and len(entries) > node.gate_entries:
        what = f"its list has {len(entries)} entries, {node.name} holds {node.gate_entries}"
        findings.add("limit", name, what, name)
    if any(
        entry.interval_ps <= 0 or not 0 <= entry.states & ~HELD < 1 << node.queues
        for entry in entries
    ):
        findings.add("gates", name, "an entry has no length or gates that do not exist", name)
        return
    if sum(entry.interval_ps for entry in entries) != case.cycle_ps:
        what = f"its entries do not add up to {exact_time(case.cycle_ps)}"
        findings.add("gates", name, what, name)
        return
    if any(True for _ in _meetings(sent)):
        return
    used = 0
    for span in sent:
        used |= 1 << span.queue
    guard_ps = 0
    if case.gated_class.guard == "fixed" and case.other_bytes:
        guard_ps = serialisation_ps(case.other_bytes, port.rate_bps)
    open_ps = 0
    others = (1 << len(case.profile.queue_by_class)) - 1
    for moment in _moments(entries, sent, case.cycle_ps, guard_ps):
        if moment.states & others and not moment.states & HELD:
            open_ps += moment.high - moment.low
        wrong = _wrong(moment, used, case.profile.held_queues, guard_ps)
        if wrong is not None and not _lingers(case, moment, queued):
            what = f"gates {moment.states:08b} at {exact_time(moment.low)}, {wrong}"
            findings.add("gates", name, what, name)
    if placed_bps * case.cycle_ps > open_ps * port.rate_bps:
        most_bps = open_ps * port.rate_bps // case.cycle_ps
        findings.add(
            "rate",
            name,
            f"{exact_rate(placed_bps)} of demands; the gates leave them {exact_rate(most_bps)}",
            name,
        )


class _Moment(NamedTuple):
    """A piece of the cycle in which nothing changes; `ahead_ps` is when the next span begins.

    `behind` is the span that ended last.
    """

    low: int
    high: int
    states: int
    here: _Span | None
    behind: _Span | None
    ahead_ps: int | None


def _wrong(moment: _Moment, used: int, cut: int, guard_ps: int) -> str | None:
    """Say what is wrong with the gates; `cut` has the queues whose frames can be cut.

    These are stopped by no gate: outside of holds one may be on the wire at any time.
    """
    here, ahead_ps = moment.here, moment.ahead_ps
    gates = moment.states & ~HELD & ~cut
    if here is not None and gates != 1 << here.queue:
        return f"where only queue {here.queue} may send ({here.label})"
    if here is not None and cut and not moment.states & HELD:
        return f"where preemptable frames are not held ({here.label})"
    if here is None and gates & used:
        return "where no stream has a window"
    if here is None and gates and ahead_ps is not None and moment.high > ahead_ps - guard_ps:
        return "within the guard of the next window"
    return None


def _lingers(
    case: _ListCase, moment: _Moment, queued: Mapping[tuple[str, int], list[_Span]]
) -> bool:
    """Say whether only the gate of the span before is open still, and its queue is empty.

    That is a pause of less than 120 bytes: bridges refuse entries shorter than 60.
    """
    behind = moment.behind
    if moment.here is not None or behind is None:
        return False
    gates = moment.states & ~HELD & ~case.profile.held_queues
    lasts_ps = moment.high - behind.end
    if gates != 1 << behind.queue or lasts_ps * case.port.rate_bps >= 2 * SHORTEST_PS_BITS:
        return False
    taken = queued.get((case.port.name, behind.queue), [])
    return not any(span.start < moment.high and moment.low < span.end for span in taken)


def _moments(
    entries: Sequence[GateEntry], sent: Iterable[_Span], cycle_ps: int, guard_ps: int
) -> Iterator[_Moment]:
    """Cut the cycle wherever something changes; between two cuts nothing does."""
    spans = sorted(sent)
    changes = [0]
    for entry in entries:
        changes.append(changes[-1] + entry.interval_ps)
    edges = {*changes, *(span.start for span in spans), *(span.end for span in spans)}
    edges |= {(span.start - guard_ps) % cycle_ps for span in spans}
    edges.discard(cycle_ps)
    begins = [span.start for span in spans]
    begins += [begin + cycle_ps for begin in begins[:1]]
    place, entry_index, ahead = 0, 0, 0
    behind = None
    if spans:
        last = spans[-1]
        behind = last._replace(start=last.start - cycle_ps, end=last.end - cycle_ps)
    for low, high in pairwise([*sorted(edges), cycle_ps]):
        while changes[entry_index + 1] <= low:
            entry_index += 1
        while place < len(spans) and spans[place].end <= low:
            behind = spans[place]
            place += 1
        here = spans[place] if place < len(spans) and spans[place].start <= low else None
        while ahead < len(begins) and begins[ahead] <= low:
            ahead += 1
        ahead_ps = begins[ahead] if ahead < len(begins) else None
        yield _Moment(low, high, entries[entry_index].states, here, behind, ahead_ps)
