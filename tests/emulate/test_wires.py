"""The link emulator's kernels: bytes of frames, the kernel's ring, and a line of cables."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.emulate.tiers import probe
from qnet.emulate.wires.kernels import tables as w
from qnet.emulate.wires.kernels.frames import has_trailer, label_of, put_trailer, read
from qnet.emulate.wires.records import EmulatorOptions, WireEnd
from qnet.emulate.wires.run import Emulator
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from tests.builders import plan_for

REASON = probe.missing_tools()

PLACE_BYTES = 2048
FRAME_AT = 66
"""Where the kernel puts a frame into its place of the ring."""

HOST, EDGE = 7, 9
"""Numbers of interfaces."""

words = st.integers(0, 2**16 - 1)


@pytest.mark.twin
@given(
    frame=st.binary(min_size=14, max_size=60),
    before=st.integers(0, 40),
    virtual_ps=st.integers(0, 2**62),
    slot=st.integers(0, 2**32 - 1),
    turn=st.integers(0, 2**31 - 1),
)
def test_the_trailer_is_what_the_page_says(
    frame: bytes, before: int, virtual_ps: int, slot: int, turn: int
) -> None:
    data = np.zeros(200, dtype=np.uint8)
    data[before : before + len(frame)] = np.frombuffer(frame, dtype=np.uint8)
    end = before + len(frame)
    put_trailer(data, end, virtual_ps, slot, turn)
    wanted = struct.pack(">IHHQII", 0x716E6574, 1, 0, virtual_ps, slot, turn)
    assert data.tobytes() == bytes(before) + frame + wanted + bytes(200 - end - len(wanted))
    assert has_trailer(data, before, len(frame) + len(wanted))
    assert not has_trailer(data, before, len(frame) + len(wanted) - 1)
    assert read(data, end + 8, 8) == virtual_ps


@pytest.mark.twin
@given(
    tags=st.lists(st.tuples(st.sampled_from([0x8100, 0x88A8]), words), max_size=3),
    kind=st.sampled_from([0x8847, 0x0800]),
    label=st.integers(0, 2**20 - 1),
    traffic_class=st.integers(0, 7),
)
def test_label_and_traffic_class_are_read_behind_tags(
    tags: list[tuple[int, int]], kind: int, label: int, traffic_class: int
) -> None:
    entry = label << 12 | traffic_class << 9 | 1 << 8 | 64
    stack = b"".join(struct.pack(">HH", *tag) for tag in tags)
    frame = bytes(12) + stack + struct.pack(">HI", kind, entry)
    wanted = label << 3 | traffic_class if kind == 0x8847 else -1
    data = np.frombuffer(bytes(5) + frame, dtype=np.uint8).copy()
    assert label_of(data, 5, len(frame)) == wanted


def emulator() -> Emulator:
    """Two nodes, no load: an end at a host and one at its switch."""
    topology = Topology.model_validate(
        {
            "title": "two",
            "nodes": [{"name": "a"}, {"name": "b"}],
            "links": [{"between": ["a", "b"], "rate": "10Gbps", "length": "20km"}],
        }
    )
    profile = Profile.model_validate(
        {"title": "none", "topology": "two", "simulation": {"duration": "1ms", "seed": 1}}
    )
    plan = plan_for(topology, profile)
    ends = [WireEnd("h", w.HOST_END, peer=1), WireEnd("e", w.EDGE_END, peer=0)]
    options = EmulatorOptions(dilation=1, free_run=True, slots=64)
    return Emulator(topology, profile, plan, ends, (), options)


def with_ring(one: Emulator, places: int) -> bytearray:
    """Give an emulator a ring in ordinary memory."""
    memory = bytearray(places * PLACE_BYTES)
    view = np.frombuffer(memory, dtype=np.uint8)
    one.messages = one.messages._replace(ring=view, words=view.view(np.int64))
    assert one.wires.law[w.RING_WORDS] * 8 == PLACE_BYTES
    end_of = np.full(EDGE + 1, -1, dtype=np.int64)
    end_of[HOST], end_of[EDGE] = 0, 1
    one.wires = one.wires._replace(end_of=end_of)
    return memory


def put(
    memory: bytearray, place: int, frame: bytes, interface: int, tag: tuple[int, int] | None
) -> None:
    """Do what the kernel does with a frame that has come in: struct tpacket2_hdr."""
    status = 1 if tag is None else 1 | 16 | 64
    kind, control = tag or (0, 0)
    at = place * PLACE_BYTES
    size = len(frame)
    struct.pack_into(
        "=IIIHHIIHH4x", memory, at, status, size, size, FRAME_AT, 80, 0, 0, control, kind
    )
    struct.pack_into("=HHiHBB8x", memory, at + 32, 17, 3, interface, 1, 0, 6)
    memory[at + FRAME_AT : at + FRAME_AT + size] = frame


@pytest.mark.twin
@given(
    rows=st.lists(
        st.tuples(
            st.binary(min_size=60, max_size=90),
            st.none() | st.tuples(st.sampled_from([0x8100, 0x88A8]), words),
            st.sampled_from([HOST, EDGE + 1]),
        ),
        min_size=1,
        max_size=7,
    )
)
def test_frames_come_out_of_the_ring_whole_and_in_order(
    rows: list[tuple[bytes, tuple[int, int] | None, int]],
) -> None:
    one = emulator()
    memory = with_ring(one, 4)
    came: list[bytes] = []
    place = 0
    for first in range(0, len(rows), 3):
        for frame, tag, interface in rows[first : first + 3]:
            put(memory, place, frame, interface, tag)
            place = (place + 1) % 4
        one._receive()
        heap = one.pool.heap[: one.pool.counts[w.HEAP_COUNT]]
        assert not one.messages.words[:: PLACE_BYTES // 8].any(), (
            "every place is the kernel's again"
        )
        stride = int(one.wires.law[w.STRIDE])
        known = {int(slot) for _, slot in heap}
        for slot in (int(one) for one in one.pool.live[len(came) : len(known)]):
            size = int(one.pool.slot[slot, w.BYTES_HELD])
            came.append(one.pool.frames[slot * stride : slot * stride + size].tobytes())
    tagged = [
        frame if tag is None else frame[:12] + struct.pack(">HH", *tag) + frame[12:]
        for frame, tag, interface in rows
        if interface == HOST
    ]
    assert came == tagged


@pytest.mark.twin
def test_a_frame_longer_than_its_slot_is_dropped() -> None:
    one = emulator()
    longest = int(one.wires.law[w.STRIDE]) - w.TRAILER_BYTES
    memory = with_ring(one, 2)
    put(memory, 0, bytes(longest), HOST, None)
    put(memory, 1, bytes(longest - 3), HOST, (0x8100, 5))
    one._receive()
    counts = one.pool.counts
    assert (counts[w.HEAP_COUNT], counts[w.DROPPED_FREE]) == (1, 1)


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_every_frame_of_a_line_of_cables_takes_the_time_of_its_wires() -> None:
    command = ["unshare", "--net", sys.executable, "-m", "tests.bench.wires"]
    done = subprocess.run(
        [*command, "512", "4Gbps", "2ms"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    seen = json.loads(done.stdout)
    assert seen["violations"] == seen["no_slot"] == 0
    assert seen["passages"] > 3000
    # Two wires of 20 km at 4.9 us/km, and twice 520 bytes to the last bit at 10 Gb/s.
    assert seen["latency_ps"] == [2 * (98_000_000 + 416_000)] * 2
