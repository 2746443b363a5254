"""The sources of which frames are real, with the frames that their hosts send."""

from __future__ import annotations

from qnet.emulate.frames.hosts import host_frame
from qnet.emulate.rules.plan_rules import alternatives
from qnet.emulate.rules.streams import SwitchedStream, dscp_of
from qnet.emulate.tiers.mininet_child.job import Job, Laid
from qnet.emulate.wires.records import Probe


def probes_of(job: Job, laid: Laid) -> list[Probe]:
    """Return the sources of which frames are real, as the link emulator wants them."""
    net = laid.net
    probes = []
    for source, every in job.strides.items():
        owner = job.found[source]
        stream, path = job.stream_of[source]
        first = stream.paths[0]
        tags = range(stream.buffers) if path.cycles else [-1]
        templates = [
            (size, tag, host_frame(job.wiring, stream, size, 0 if tag < 0 else dscp_of(tag)))
            for size, _ in owner.law.sizes
            for tag in tags
        ]
        replicas = [
            other
            for other, (one, _) in job.stream_of.items()
            if one.number == stream.number and other != source
        ]
        probes.append(
            Probe(
                source,
                every,
                net.edge[stream.talker],
                net.edge[stream.listener],
                templates,
                replicas[0] if replicas else -1,
                path.label,
                bool(path.cycles),
                first.cycles[0] - path.cycles[0] if path.cycles else 0,
                job.member_stream(source),
                _alternate(job, laid, stream),
            )
        )
    return probes


def _alternate(job: Job, laid: Laid, stream: SwitchedStream) -> int:
    """Return the port by which a stream's frames leave their talker when their own is down."""
    other = alternatives(job.streams).get(stream.name)
    if other is None or stream.talker not in laid.change_over:
        return -1
    return job.topology.port_by_name[other.paths[0].ports[0]].number
