"""The arrays that the link emulator's loop works on, from nouns and options."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qnet.emulate.wires.kernels import tables as w
from qnet.emulate.wires.layout import Edged
from qnet.emulate.wires.records import EmulatorOptions, Probe, WireEnd
from qnet.model.histogram import BIN_COUNT
from qnet.model.loads import every_demand
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.setup import hops_of, positions
from qnet.simulate.world import NEVER

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

RECORDS = 1 << 16
LOSSES = 1 << 14
CAPTURE_BYTES = 64 << 20
FAULTS = 4096
NAME_BYTES = 32
BATCH = 64

SPIN_NS = 30_000

MEETING_LAG_NS = 5_000_000
"""How long, on the wall, the points where copies meet are behind the ports, and two windows."""

RING_HEADER_BYTES = 128
"""More than what the kernel puts before a frame."""

PATIENCE_NS = 300_000_000
"""How long virtual time is held for a frame that a switch has; then it is a violation."""


def law_of(
    options: EmulatorOptions, end_ps: int, window_ps: int, stride: int, buffers: int
) -> Ints:
    """Return the numbers that hold for a whole run, but for those that follow from the layout."""
    law = np.zeros(24, dtype=np.int64)
    law[w.DILATION] = options.dilation
    law[w.FREE_RUN] = int(options.free_run)
    law[w.SPIN_NS] = SPIN_NS
    law[w.BUFFERS] = buffers
    law[w.STRIDE] = stride
    law[w.END_PS] = end_ps
    law[w.BATCH] = BATCH
    law[w.WINDOW_PS] = window_ps
    law[w.PATIENCE_NS] = PATIENCE_NS
    law[w.SKIPS] = int(options.skips)
    law[[w.STOP_PS, w.TURN_PS]] = NEVER
    law[w.MEETING_LAG_PS] = 2 * window_ps + MEETING_LAG_NS * 1000 // options.dilation
    law[w.RING_WORDS] = (1 << (stride + RING_HEADER_BYTES - 1).bit_length()) // 8
    return law


def wires_of(
    law: Ints,
    edged: Edged,
    topology: Topology,
    profile: Profile,
    found: Sequence[FrameSource],
    ends: Sequence[WireEnd],
    probes: Sequence[Probe],
) -> w.Wires:
    """Lay out wire ends, ports and probes."""
    ports = topology.ports
    reverse = {(p.link, p.member, p.source): p.number for p in ports}
    end_of_port = {end.port: place for place, end in enumerate(ends) if end.port >= 0}
    only_in = {end.goes_in: place for place, end in enumerate(ends) if end.goes_in >= 0}
    backs = [reverse.get((port.link, port.member, port.target), -1) for port in ports]
    into = [
        end_of_port.get(back, only_in.get(port.number, -1))
        for port, back in zip(ports, backs, strict=True)
    ]
    used = {port.number for owner in found for port in owner.ports}
    order = sorted(used | set(end_of_port))
    if law[w.FREE_RUN]:
        order = sorted(end_of_port)
    probe = np.zeros((len(found), 16), dtype=np.int64)
    probe[:, [w.REPLICA, w.ALTERNATE]] = -1
    probe[:, w.MADE] = [one.law.first_number for one in found]
    patterns: list[tuple[int, int, int]] = []
    templates: list[bytes] = []
    for one in probes:
        row = probe[one.source]
        row[w.EVERY], row[w.ENTRY], row[w.EXIT] = one.every, one.entry, one.exit
        row[w.TEMPLATE], row[w.TEMPLATES] = len(templates), len(one.templates)
        row[w.REPLICA], row[w.PATH] = one.replica, one.label
        row[w.TAGGED], row[w.TAG_AHEAD] = int(one.tagged), one.tag_ahead
        row[w.MEMBER_STREAM] = one.member_stream if one.member_stream >= 0 else one.source
        row[w.ALTERNATE] = one.alternate
        patterns += [(len(data), size, tag) for size, tag, data in one.templates]
        templates += [data for _, _, data in one.templates]
    template = np.zeros((max(len(templates), 1), int(law[w.STRIDE])), dtype=np.uint8)
    for place, data in enumerate(templates):
        template[place, : len(data)] = np.frombuffer(data, dtype=np.uint8)
    strict = profile.strict_classes
    rank_of = [
        max(
            (i + 1 for i, one in enumerate(strict) if one.priority >= priority),
            default=min(1, len(strict)),
        )
        for priority in range(8)
    ]
    parts = edged.parts
    none = np.zeros((0, 0), dtype=np.int64)
    servers = {owner.elimination for owner in found if owner.elimination is not None}
    return w.Wires(
        law=law,
        end=np.array([(one.kind, one.port, one.peer, 0) for one in ends], dtype=np.int64).reshape(
            -1, 4
        ),
        end_of=np.full(1, -1, dtype=np.int64),
        into=np.array(into, dtype=np.int64),
        out_first=edged.out_first,
        out_lane=edged.out_lane,
        edge_lane=edged.edge_lane,
        port_of=np.sort(hops_of(found).port),
        order=np.array(order, dtype=np.int64),
        eliminations=np.array(sorted(servers), dtype=np.int64),
        probe=probe,
        ways=_ways(found, probes),
        pattern=np.array(patterns or [(0, 0, 0)], dtype=np.int64),
        template=template,
        rank_of=np.array(rank_of, dtype=np.int64),
        down=np.full((len(ports), 2), NEVER, dtype=np.int64),
        dark=np.full(len(ports), NEVER, dtype=np.int64),
        ring_of=edged.ring_of,
        general=none if parts is None else parts.position,
        dropped=none if parts is None else parts.dropped,
        timer=np.zeros_like(probe) if parts is None else parts.source_state,
        timetable=np.zeros(0, dtype=np.int64) if parts is None else parts.timetable,
    )


def _ways(found: Sequence[FrameSource], probes: Sequence[Probe]) -> Ints:
    """Return label, port and position of every hop of the sources that have probes."""
    hops = hops_of(found)
    _, place = positions(hops)
    rows = [
        (one.label, port.number, place[hops.first[one.source] + hop])
        for one in probes
        for hop, port in enumerate(found[one.source].ports)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def messages_of(ends: int, frames: Bytes) -> w.Messages:
    """Return what frames are sent from, and where the kernel puts those that come."""
    sent = np.zeros((BATCH, 8), dtype=np.int64)
    sent_vector = np.zeros((BATCH, 2), dtype=np.int64)
    addresses = np.zeros((max(ends, 1), NAME_BYTES), dtype=np.uint8)
    for i in range(BATCH):
        sent[i, 1], sent[i, 2], sent[i, 3] = 20, sent_vector[i].ctypes.data, 1
    return w.Messages(
        ring=np.zeros(8, dtype=np.uint8),
        words=np.zeros(1, dtype=np.int64),
        turn=np.zeros(1, dtype=np.int64),
        sent=sent,
        sent_vector=sent_vector,
        addresses=addresses,
        places=np.array([frames.ctypes.data, addresses.ctypes.data], dtype=np.int64),
        poll=np.zeros(1, dtype=np.int64),
        clock=np.zeros(4, dtype=np.int64),
        sending=np.zeros(BATCH, dtype=np.int64),
    )


def stride_of(profile: Profile) -> int:
    """Return the bytes that a frame has room for, with what is put behind it."""
    longest = max(
        [
            1518,
            *(stream.frame_bytes for stream in profile.every_stream),
            *(size for demand in every_demand(profile) for size, _ in demand.sizes),
        ]
    )
    return (longest + 2 * w.TRAILER_BYTES + 64 + 63) // 64 * 64


def pool_of(slots: int, stride: int, sources: int, edged: Edged) -> w.Pool:
    """Return room for so many frames under way, and for what is noted of them."""
    count = np.zeros(40, dtype=np.int64)
    count[w.FREE_COUNT] = slots
    count[w.MARGIN_LEAST] = NEVER
    return w.Pool(
        slot=np.zeros((slots, 16), dtype=np.int64),
        frames=np.zeros(slots * stride, dtype=np.uint8),
        free=np.arange(slots, dtype=np.int64)[::-1].copy(),
        live=np.zeros(slots, dtype=np.int64),
        place=np.zeros(slots, dtype=np.int64),
        heap=np.zeros((slots + 1, 2), dtype=np.int64),
        scanned=np.zeros(edged.world.lanes.base.size, dtype=np.int64),
        sequences=np.full((max(sources, 1), 1024), -1, dtype=np.int64),
        counts=count,
        record=np.zeros((RECORDS, 8), dtype=np.int64),
        capture=np.zeros(CAPTURE_BYTES, dtype=np.uint8),
        fault=np.zeros((FAULTS, 8), dtype=np.int64),
        loss=np.zeros((LOSSES, 4), dtype=np.int64),
        histogram=np.zeros((2, BIN_COUNT), dtype=np.int64),
    )
