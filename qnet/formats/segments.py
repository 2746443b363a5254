"""Segment lists of streams whose cycles the sender names: CSQF over SRv6 and MPLS.

draft-chen-detnet-sr-based-bounded-latency-03: one SID a hop says by which port and in which cycle a
frame leaves. The draft leaves the numbers to the operator; these are qnet's:

- Nodes are numbered from 1 in the order of the topology file, the ports of a node from 0 in the
  order of its links and their members, cycles by the buffer that they use: cycle modulo buffers.
- SRv6 (RFC 8986): `5f00:0:<node>:<port>:<buffer>::`, in hexadecimal: locator 5f00:0:<node>::/48
  (5f00::/16 is for SIDs, RFC 9602), function <port>, argument <buffer>.
- MPLS (RFC 8660): label 15000 + 16 x port + buffer, of the node's local block (RFC 8402 SRLB); a
  node uses 15000 + 16 x its ports labels at most, and pops the one that it acts upon.

Frames of interval k leave each port k x period cycles later than those of interval 0, so their
buffers change unless the period is a multiple of the number of buffers. The lists of a stream
therefore repeat after some intervals, and there is one for each of these.

A stream with several listeners has lists for each leg, `name@listener`, with the stream's name as
`tree`. Lists of one tree are the same up to where their ways part: one frame is sent up to there,
and the node copies it (replication segments, RFC 9524, which are not written here).
"""

from __future__ import annotations

import json
from collections import defaultdict
from math import gcd
from typing import Literal

from qnet.errors import Infeasible
from qnet.model.plan import PathPlan, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

DRAFT = "draft-chen-detnet-sr-based-bounded-latency-03"
SRLB_FIRST = 15_000
BUFFERS_HIGHEST = 16
LABEL_HIGHEST = 2**20 - 1
SRV6_FIELD_HIGHEST = 2**16 - 1


def segment_lists(
    topology: Topology, profile: Profile, plan: Plan, kind: Literal["srv6", "mpls"]
) -> str:
    """Return the segment lists of all admitted streams with `mechanism: csqf`, as JSON.

    Raises Infeasible where there are none, or where a number does not fit.
    """
    numbers = _Numbers(topology)
    streams = []
    for stream, entry in zip(profile.every_stream, plan.streams, strict=True):
        if not profile.may_wait(stream) or entry.status != "admitted":
            continue
        period = stream.interval_ps // plan.cycle_ps
        turns = plan.buffers // gcd(plan.buffers, period)
        streams.append(
            {
                "name": stream.name,
                "from": stream.talker,
                "to": stream.listener,
                **({} if stream.tree == stream.name else {"tree": stream.tree}),
                "repeats-after-intervals": turns,
                "paths": [
                    {
                        "ports": list(path.ports),
                        "lists": [
                            numbers.segments(path, turn * period, plan.buffers, kind)
                            for turn in range(turns)
                        ],
                    }
                    for path in entry.paths
                ],
            }
        )
    if not streams:
        raise Infeasible("no stream of a class with 'mechanism: csqf' is admitted")
    data = {
        "format": f"qnet-{kind}-1",
        "draft": DRAFT,
        "cycle-ps": plan.cycle_ps,
        "buffers": plan.buffers,
        "nodes": numbers.node,
        "streams": streams,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


class _Numbers:
    """The numbers of nodes, and of ports at their nodes."""

    def __init__(self, topology: Topology) -> None:
        self.node = {node.name: number + 1 for number, node in enumerate(topology.nodes)}
        self._source = {port.name: port.source for port in topology.ports}
        self._port: dict[str, int] = {}
        count: dict[str, int] = defaultdict(int)
        for port in topology.ports:
            self._port[port.name] = count[port.source]
            count[port.source] += 1

    def segments(
        self, path: PathPlan, later: int, buffers: int, kind: Literal["srv6", "mpls"]
    ) -> list[str | int]:
        """Return one segment a hop for frames that leave so many cycles later than the first."""
        return [
            self._segment(name, (cycle + later) % buffers, kind)
            for name, cycle in zip(path.ports, path.cycles, strict=True)
        ]

    def _segment(self, name: str, buffer: int, kind: Literal["srv6", "mpls"]) -> str | int:
        node, port = self.node[self._source[name]], self._port[name]
        label = SRLB_FIRST + BUFFERS_HIGHEST * port + buffer
        if label > LABEL_HIGHEST or max(node, port) > SRV6_FIELD_HIGHEST:
            raise Infeasible(f"port {name} is number {port} of node {node}: no label is left")
        return f"5f00:0:{node:x}:{port:x}:{buffer:x}::" if kind == "srv6" else label
