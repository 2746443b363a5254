"""What came of a run: frames, losses, captures, and what is wrong, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qnet.emulate.frames.captures import HOST, Sight, write_captures
from qnet.emulate.frames.hosts import HEADER_BYTES, host_frame, is_whole
from qnet.emulate.frames.kernels import TIME
from qnet.emulate.frames.ports import VirtualPorts
from qnet.emulate.frames.sample import Sample, SampledPath
from qnet.emulate.rules.audit import audit_streams
from qnet.emulate.rules.streams import dscp_of
from qnet.emulate.switches.net import SwitchNetwork
from qnet.emulate.switches.talk import explained
from qnet.emulate.tiers.compare import SHIPPED
from qnet.emulate.tiers.mininet import PORT_DOWN, Emulated, LostFrame
from qnet.emulate.tiers.mininet_child.attempt import Attempt
from qnet.emulate.tiers.mininet_child.job import Job, Laid
from qnet.emulate.wires.kernels import tables as w
from qnet.emulate.wires.records import Arrival, FrameFault, FrameLoss, WireEnd
from qnet.formats.pcapng import INBOUND, OUTBOUND
from qnet.simulate.ports.account import CAUSES, no_room


def result_of(
    job: Job,
    laid: Laid,
    made: Attempt,
    *,
    dilation: int,
    attempts: int,
    calibrated: str,
    void: str,
) -> Emulated:
    """Put into nouns what came of the last attempt; `void` says why it does not count."""
    emulator, net = made.emulator, laid.net
    reached_ps = emulator.end_ps if job.options.free_run else emulator.reached_ps
    arrivals = [
        one for one in emulator.arrivals if job.options.free_run or one.time_ps <= reached_ps
    ]
    damaged = [
        one
        for one in arrivals
        if not is_whole(job.stream_of[one.owner][0], one.frame)
        or int.from_bytes(one.frame[42:46], "big") != job.member_stream(one.owner)
        or int.from_bytes(one.frame[46:50], "big") != one.sequence
    ]
    captures: list[Path] = []
    if job.options.captures is not None:
        sights = [*_sent(job, reached_ps), *_received(job, net, arrivals)]
        captures = write_captures(
            job.options.captures, job.wiring, sights, job.options.capture_form
        )
    job.lap("result")
    return Emulated(
        latency_ps=tuple((one.owner, one.sequence, one.time_ps - one.born_ps) for one in arrivals),
        late={source: emulator.late(source) for source in job.strides},
        recovery={
            job.found[source].name: account
            for source in job.strides
            for account in (emulator.recovery(source),)
            if account is not None
        },
        losses=tuple(_lost(job, one) for one in emulator.losses),
        wall_clock=emulator.wall_clock(),
        dilation=dilation,
        attempts=attempts,
        reached_ps=reached_ps,
        cut_ps=min((one.at_ps for one in job.options.cuts), default=None),
        failover_s=made.failover_s,
        changes=made.changes,
        calibrated=calibrated,
        switches=len(net.nodes),
        rules=sum(len(one.rules) for one in job.rules(laid.involved)),
        damaged=len(damaged),
        findings=_findings(
            job,
            net.ends,
            [
                one
                for one in emulator.faults()
                # Of a void run the labels alone are what switches wrote, late or not.
                if (not void or one.kind == w.WRONG_LABEL)
                and one.kind != w.LATE_OR_LOST
                and not ((job.options.cuts or job.profile.events) and one.kind == w.CUT_OFF)
            ],
        ),
        void=void,
        commands=made.commands,
        captures=tuple(captures),
        seconds=job.seconds,
    )


def judged(job: Job, net: SwitchNetwork, emulated: Emulated) -> Emulated:
    """Judge the rules by themselves: those of a stranger's controller, or of a void run."""
    tables = [net.tables(node) for node in net.nodes]
    faults = audit_streams(job.wiring, job.streams, tables)
    findings: tuple[str, ...] = (*map(str, faults), *emulated.findings)
    outside = job.options.controller
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


def _lost(job: Job, loss: FrameLoss) -> LostFrame:
    cause = no_room(job.found[loss.owner])
    if loss.cause == w.PORT_DOWN:
        cause = PORT_DOWN
    elif loss.cause == w.WIRE_CUT:
        cause = "the wire was cut"
    elif loss.cause != w.NO_QUEUE_ROOM:
        cause = list(CAUSES.values())[loss.cause - w.NO_QUEUE_ROOM - 1]
    return LostFrame(loss.owner, loss.sequence, job.topology.ports[loss.port].name, cause)


def _sent(job: Job, until_ps: int) -> Iterator[Sight]:
    """Yield the real frames that hosts sent, as `_probes` has them made."""
    case = Sample(job.topology, job.profile, job.plan, strides=job.strides)
    ports = VirtualPorts(job.topology, job.profile, job.plan, want=case.want)
    rows: dict[tuple[int, int], list[tuple[list[int], SampledPath]]] = defaultdict(list)
    for member in case.members:
        for place, row in enumerate(ports.frames[slice(*ports.span[member.source])].tolist()):
            rows[member.stream.number, member.number(place)].append((row, member))
    for (_, number), copies in rows.items():
        # The switch makes the other copy, if there is one; it may be due first.
        time_ps = min(row[TIME] for row, _ in copies)
        (_, size, turn, _), member = copies[0]
        stream = member.stream
        if time_ps > until_ps:
            continue
        dscp = dscp_of(turn % stream.buffers) if member.path.cycles else 0
        body = host_frame(job.wiring, stream, size, dscp)
        stamp = job.member_stream(member.source).to_bytes(4, "big") + number.to_bytes(4, "big")
        data = body[:HEADER_BYTES] + stamp + body[HEADER_BYTES + 8 :]
        words = f"{stream.name}: frame {number}, sent at {time_ps} ps"
        yield Sight(time_ps, stream.talker, HOST, OUTBOUND, data, words)


def _received(job: Job, net: SwitchNetwork, arrivals: Sequence[Arrival]) -> Iterator[Sight]:
    host_at = {place: node for node, place in net.edge.items()}
    for one in arrivals:
        stream, path = job.stream_of[one.owner]
        words = (
            f"{stream.name}: frame {one.sequence} by path {stream.paths.index(path) + 1}, "
            f"{one.time_ps - one.born_ps} ps after it was sent"
        )
        yield Sight(one.time_ps, host_at[one.end], HOST, INBOUND, one.frame, words)


def _findings(job: Job, ends: Sequence[WireEnd], faults: Sequence[FrameFault]) -> tuple[str, ...]:
    """Say what went wrong, once for each kind, stream and switch."""
    told: dict[tuple[int, int, int], str] = {}
    counts: dict[tuple[int, int, int], int] = defaultdict(int)
    for one in faults:
        key = (one.kind, one.owner, one.port)
        counts[key] += 1
        if key not in told and one.owner >= 0:
            told[key] = _fault(job, ends, one)
    return tuple(f"{text} ({counts[key]} frames)" for key, text in told.items())


def _end_name(job: Job, end: WireEnd) -> str:
    """Return the name of the port, or whose host, a wire end belongs to."""
    if max(end.port, end.goes_in) >= 0:
        return job.topology.ports[max(end.port, end.goes_in)].name
    return f"the host of {job.topology.nodes[int(end.interface[1:]) - 1].name}"


def _fault(job: Job, ends: Sequence[WireEnd], fault: FrameFault) -> str:
    name = job.found[fault.owner].name
    last = job.found[fault.owner].ports[-1]
    port = None if fault.port < 0 else job.topology.ports[fault.port]
    where = last.target if port is None else port.source
    to = f"the host of {where}" if port is None else port.name
    if fault.kind == w.WRONG_TAG:
        return (
            f"{name}: {where}: leaves for {to} tagged for cycle {fault.found}, "
            f"planned {fault.wanted}"
        )
    if fault.kind == w.WRONG_PORT:
        return f"{name}: {where}: came out at {_end_name(job, ends[fault.found])}, not at {to}"
    if fault.kind == w.CUT_OFF:
        return f"{name}: {to}: lost on a wire that was cut"
    return f"{name}: {where}: leaves for {to} with label {fault.found}, planned {fault.wanted}"
