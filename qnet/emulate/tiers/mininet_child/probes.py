"""The sources of which frames are real, with the frames that their hosts send."""

from __future__ import annotations

from qnet.emulate.frames.hosts import host_frame
from qnet.emulate.rules.flows import Flow, dscp_of
from qnet.emulate.rules.plan_rules import alternatives
from qnet.emulate.tiers.mininet_child.job import Job, Laid
from qnet.emulate.wires.records import Probe


def probes_of(job: Job, laid: Laid) -> list[Probe]:
    """Return the sources of which frames are real, as the link emulator wants them."""
    net = laid.net
    probes = []
    for source, every in job.strides.items():
        owner = job.found[source]
        flow, lane = job.flow_of[source]
        first = flow.lanes[0]
        tags = range(flow.buffers) if lane.cycles else [-1]
        templates = [
            (size, tag, host_frame(job.wiring, flow, size, 0 if tag < 0 else dscp_of(tag)))
            for size, _ in owner.law.sizes
            for tag in tags
        ]
        twins = [
            other
            for other, (one, _) in job.flow_of.items()
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
                job.leader(source),
                _beside(job, laid, flow),
            )
        )
    return probes


def _beside(job: Job, laid: Laid, flow: Flow) -> int:
    """Return the port by which a flow's frames leave their talker when their own is down."""
    other = alternatives(job.flows).get(flow.name)
    if other is None or flow.talker not in laid.change_over:
        return -1
    return job.topology.port_by_name[other.lanes[0].ports[0]].number
