"""Captures in: all forms of the files, whose frames are whose, and that all witnesses send them."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
from array import array
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import qnet
from qnet.check.line import wire_bytes
from qnet.check.queues import BYTE, WHOLE, recorded_burst
from qnet.check.verdict import judge
from qnet.cli import main
from qnet.errors import ArgumentError, InputError
from qnet.files.captures.recordings import take
from qnet.files.run_folder import read_run, write_run
from qnet.files.words import dump_yaml, to_yaml
from qnet.files.write import to_json, write_text
from qnet.model.recording import Capture, CapturedFrames
from qnet.model.traffic import recordings_of
from qnet.replays.windows import _in_window
from qnet.simulate.run import simulate
from tests.captured import (
    PS,
    Card,
    Shot,
    block,
    described,
    frame,
    packet,
    pcap,
    pcapng,
    section,
)
from tests.random_sets import Dice
from tests.slow_case import compare

T0 = 10**6 * PS
US = 10**6

NET = {
    "title": "Line",
    "nodes": [{"name": name} for name in ("a", "s", "b", "c")],
    "links": [
        {"between": pair, "rate": "100Mbps", "length": "1km"}
        for pair in (["a", "s"], ["s", "b"], ["s", "c"])
    ],
}
ENDPOINTS = {"10.0.0.1": "a", "10.0.0.2": "b", "10.0.1.0/24": "c"}


def _taken(folder: Path, content: bytes, **keys: Any) -> list[tuple[str, list[int], list[int]]]:
    (folder / "x").write_bytes(content)
    asked = {"name": "x", "file": "x", "endpoints": ENDPOINTS, **keys}
    taken = take(Capture.model_validate(asked), folder)
    return [
        (one.name, [*one.recording.times_ps], [*one.recording.frame_bytes]) for one in taken.demands
    ]


def _load(folder: Path, content: bytes, *, more: Any = None, **keys: Any) -> qnet.Scenario:
    (folder / "x.pcapng").write_bytes(content)
    capture = {"name": "x", "file": "x.pcapng", "endpoints": ENDPOINTS, **keys}
    asked = {"title": "t", "topology": "net", "captures": [capture], **(more or {})}
    (folder / "t.yaml").write_text(dump_yaml(asked))
    return qnet.load(str(folder / "t.yaml"), topology=NET)


def _drawn(seed: int, frames: int, step_ps: int = 1) -> list[Shot]:
    """Frames at random, both ways and with tags, several of one instant among them."""
    dice = Dice("captures", seed)
    time_ps, shots = T0, []
    ends = [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1"), ("10.0.0.1", "10.0.1.9")]
    for _ in range(frames):
        time_ps += (0, 0, 3, 40, 40, 90)[dice.below(6)] * US + dice.below(2) * step_ps
        source, target = ends[dice.below(3)]
        tag = (None, None, 5 << 13 | 7)[dice.below(3)]
        data = frame(source, target, length=dice.between(60, 1400), tag=tag)
        shots.append(Shot(time_ps, data))
    return shots


# Forms


@pytest.mark.parametrize(("order", "digits"), [*product("<>", (6, 9))])
def test_pcap_of_both_orders_and_resolutions_says_the_same(
    tmp_path: Path, order: str, digits: int
) -> None:
    step = 10 ** (12 - digits)
    shots = [Shot(T0 + n * 7 * step, frame(length=60 + n)) for n in range(5)]
    [(name, times, sizes)] = _taken(tmp_path, pcap(shots, order=order, digits=digits))
    assert name == "x-1"
    assert times == [n * 7 * step for n in range(5)]
    assert sizes == [64 + n for n in range(5)]


@pytest.mark.parametrize(
    ("card", "exact_ps"),
    [
        (Card(), 10**6),
        (Card(9), 1000),
        (Card(12), 1),
        (Card(9, offset_s=600_000), 1000),
        (Card(12, offset_s=1_000_000), 1),
        (Card(0x80 | 20), None),
        (Card(15, offset_s=999_999), 1),
    ],
)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("is_old", [False, True])
def test_pcapng_of_any_resolution_and_offset(
    tmp_path: Path, card: Card, exact_ps: int | None, order: str, *, is_old: bool
) -> None:
    step = exact_ps or 10**6
    shots = [Shot(T0 + n * 7 * step, frame(length=60 + n)) for n in range(5)]
    content = pcapng(shots, [card], order=order, is_old=is_old)
    [(_, times, sizes)] = _taken(tmp_path, content)
    if exact_ps is None:  # ticks of 2**-20 s, counted by hand
        ticks = [one.time_ps * 2**20 // PS for one in shots]
        assert times == [tick * PS // 2**20 - ticks[0] * PS // 2**20 for tick in ticks]
    else:
        assert times == [n * 7 * step for n in range(5)]
    assert sizes == [64 + n for n in range(5)]


def test_interfaces_and_sections_have_resolutions_of_their_own(tmp_path: Path) -> None:
    fine, coarse = Card(12), Card(6)
    shots = [Shot(T0 + n * US, frame(), interface=n % 2) for n in range(6)]
    first = pcapng(shots, [fine, coarse])
    late = Shot(T0 + 9 * US, frame(length=300))
    # A comment, names of hosts and what nobody knows are passed over.
    other = block(4, struct.pack(">HH", 0, 0), ">") + block(0x40000BAD, bytes(8), ">")
    second = section(">") + described(Card(9), ">") + other + packet(Card(9), late, ">")
    [(_, times, sizes)] = _taken(tmp_path, first + second)
    assert times == [*(n * US for n in range(6)), 9 * US]
    assert sizes == [104] * 6 + [304]


def test_of_a_frame_that_was_cut_its_own_length_counts(tmp_path: Path) -> None:
    shots = [Shot(T0, frame()[:40], length=1400), Shot(T0 + US, frame()[:60], length=1500)]
    [(_, _, sizes)] = _taken(tmp_path, pcapng(shots))
    assert sizes == [1404, 1504]


@pytest.mark.parametrize(
    ("link", "data", "due"),
    [
        (101, frame(length=100)[14:], 104),
        (228, frame(length=100)[14:], 104),
        (113, bytes(14) + b"\x08\x00" + frame(length=100)[14:], 104),
        (276, b"\x08\x00" + bytes(18) + frame(length=100)[14:], 104),
    ],
)
def test_other_links_have_the_frames_of_ethernet(
    tmp_path: Path, link: int, data: bytes, due: int
) -> None:
    [(_, _, sizes)] = _taken(tmp_path, pcap([Shot(T0, data)], link=link))
    assert sizes == [due]


def test_a_check_sequence_that_was_captured_is_not_counted_twice(tmp_path: Path) -> None:
    shots = [Shot(T0, frame(length=104))]
    assert _taken(tmp_path, pcapng(shots, [Card(12, check_bytes=4)]))[0][2] == [104]
    assert _taken(tmp_path, pcap(shots, link=1 | 0x04000000 | 2 << 28))[0][2] == [104]


# Whose


def test_conversations_are_by_nodes_and_tags_in_the_order_of_first_frames(tmp_path: Path) -> None:
    shots = [
        Shot(T0, frame("10.0.0.2", "10.0.0.1", length=200)),
        Shot(T0 + US, frame("10.0.0.1", "10.0.0.2", tag=5 << 13 | 7)),
        Shot(T0 + 2 * US, frame("10.0.1.200", "10.0.0.2")),
        Shot(T0 + 3 * US, frame("10.0.0.2", "10.0.0.1", length=50)),
    ]
    classes = [
        {"name": "voice", "priority": 5, "mechanism": "strict-priority"},
        {"name": "best-effort", "priority": 0, "mechanism": "strict-priority"},
    ]
    made = _load(tmp_path, pcapng(shots), priorities={"5": "voice"}, more={"classes": classes})
    found = recordings_of(made.profile)
    assert [(one.name, one.source, one.target, one.traffic_class) for one in found] == [
        ("x-1", "b", "a", "best-effort"),
        ("x-2-vlan7-p5", "a", "b", "voice"),
        ("x-3", "c", "b", "best-effort"),
    ]
    assert [*found[0].recording.times_ps] == [0, 3 * US]
    assert [*found[0].recording.frame_bytes] == [204, 64]  # of 54 bytes, padded
    assert made.profile.assumptions == ("capture x: 1 frames are padded to 64 bytes",)
    # Two frames of 224 and 84 bytes on the wire in 3 us.
    assert found[0].rate_bps == -(-8 * PS * (224 + 84) // (3 * US))


@pytest.mark.parametrize(
    ("endpoints", "node"),
    [
        ({"10.0.0.0/8": "a", "10.0.0.0/30": "b", "0.0.0.0/0": "c"}, "b"),
        ({"10.0.0.0/8": "a", "10.0.0.1": "b", "02-00-00-00-00-01": "c"}, "b"),
        ({"00:00:00:00:00:01": "b", "0.0.0.0/32": "a"}, "b"),
    ],
)
def test_the_longest_prefix_counts_and_addresses_before_macs(
    tmp_path: Path, endpoints: dict[str, str], node: str
) -> None:
    made = _load(tmp_path, pcapng([Shot(T0, frame("10.0.0.1", "99.0.0.1"))]),
                 endpoints=endpoints | {"99.0.0.1": "s"})  # fmt: skip
    assert recordings_of(made.profile)[0].source == node


def test_ipv6_is_mapped_by_prefix(tmp_path: Path) -> None:
    source, target = bytes.fromhex("fd00" + "00" * 13 + "01"), bytes.fromhex("fd01" + "00" * 14)
    data = bytes(12) + b"\x86\xdd" + b"\x60" + bytes(7) + source + target
    made = _load(
        tmp_path, pcapng([Shot(T0, data, 500)]), endpoints={"fd00::/64": "a", "fd01::": "b"}
    )
    [one] = recordings_of(made.profile)
    assert (one.source, one.target, one.sizes) == ("a", "b", ((504, 1),))


def test_others_are_a_fault_or_left_out_with_counts(tmp_path: Path) -> None:
    shots = [Shot(T0, frame())]
    shots += [Shot(T0 + US, frame("10.9.9.9", "10.0.0.1"))] * 3
    shots += [Shot(T0 + US, bytes(12) + b"\x08\x06" + bytes(40)), Shot(T0 + 2 * US, b"", 70)]
    shots += [Shot(T0 + 3 * US, frame("10.0.1.1", "10.0.1.2"))]
    with pytest.raises(InputError) as caught:
        _load(tmp_path, pcapng(shots))
    [problem] = caught.value.problems
    assert problem.file == "x.pcapng"
    assert problem.where == f"byte {len(pcapng(shots[:1]))}"
    assert problem.message == (
        "5 frames without a node: 10.9.9.9 (3), 00:00:00:00:00:00 (1), no address, or cut before "
        "it (1); give their addresses nodes in 'endpoints', or write 'others: drop'"
    )
    made = _load(tmp_path, pcapng(shots), others="drop")
    assert len(made.profile.assumptions) == 2
    assert "left out are 5 frames without a node: 10.9.9.9 (3)" in made.profile.assumptions[0]
    assert made.profile.assumptions[1] == ("capture x: left out are 1 frames from a node to itself")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"endpoints": {"10.0.0.300": "a"}}, "'10.0.0.300' is not an IPv4 or IPv6 address"),
        ({"endpoints": {"10.0.0.1/8": "a"}}, "an address has no bits beyond its prefix"),
        ({"endpoints": {"10.0.0.1": "a", "10.0.0.1/32": "b"}}, "again; an address has one node"),
        ({"endpoints": {"10.0.0.1": "z", "10.0.0.2": "b"}}, "no node 'z'"),
        ({"endpoints": {}}, "at least 1"),
        ({"class": "gone"}, "no class 'gone'"),
        ({"class": "reserved"}, "captured frames reserve nothing"),
        ({"priorities": {"8": "best-effort"}}, "'8' is no priority; 0 to 7"),
        ({"file": "y"}, "no such file"),
        ({"file": "."}, "a folder, not a capture"),
        ({"name": "n" * 46}, "too long; at most 45"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        _load(tmp_path, pcapng([Shot(T0, frame())]), **keys)
    [problem] = caught.value.problems
    assert words in str(problem)


# Hostile


def _cut(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


GOOD = pcapng([Shot(T0, frame()), Shot(T0 + US, frame())])
FIRST = len(pcapng([]))
OLD = pcap([Shot(T0, frame()), Shot(T0 + US, frame())])

HOSTILE = {
    "empty": (b"", 0, "no capture: it is empty"),
    "nul": (bytes(1000), 0, "begins with 0x00000000"),
    "text": (b"title: x\n", 0, "neither pcap nor pcapng"),
    "gzip": (b"\x1f\x8b\x08\x00", 0, "compressed by gzip"),
    "pcap-header": (OLD[:20], 4, "cut short: 16 of 20 bytes"),
    "pcap-record": (OLD[:30], 24, "a record is cut short: 6 of its 16 bytes"),
    "pcap-frame": (OLD[:-1], 24 + 116, "99 of 100 bytes"),
    "pcap-version": (_cut(OLD, 4, b"\x09"), 4, "pcap of version 9"),
    "pcap-part": (_cut(OLD, 28, b"\xff" * 4), 24, "4,294,967,295 of 1,000,000,000 parts"),
    "pcap-kept": (_cut(OLD, 32, b"\xff" * 4), 24, "4,294,967,295 bytes of a frame captured"),
    "pcap-length": (_cut(OLD, 36, b"\x01\0\0\0"), 24, "100 bytes captured of a frame of 1"),
    "pcap-link": (pcap([Shot(T0, frame())], link=105), 24, "frames of link type 105"),
    "block-0": (_cut(GOOD, FIRST + 4, bytes(4)), FIRST, "a block of 0 bytes"),
    "block-huge": (_cut(GOOD, FIRST + 4, b"\xff" * 4), FIRST, "a block of 4,294,967,295 bytes"),
    "block-odd": (_cut(GOOD, FIRST + 4, b"\x85\0\0\0"), FIRST, "a multiple of 4"),
    "block-end": (_cut(GOOD, len(GOOD) - 4, bytes(4)), FIRST + 132, "ends with the length 0"),
    "block-cut": (GOOD[:-7], FIRST + 132 + 8, "is cut short"),
    "block-head": (GOOD + b"\x06\0", len(GOOD), "2 of its bytes"),
    "order": (_cut(GOOD, 8, bytes(4)), 0, "has the byte order 0x00000000"),
    "version": (_cut(GOOD, 12, b"\x07"), 0, "pcapng of version 7"),
    "interface": (_cut(GOOD, FIRST + 8, b"\x05"), FIRST, "of interface 5, and 1 are described"),
    "kept": (_cut(GOOD, FIRST + 20, b"\x68\0\0\0\x68\0\0\0"), FIRST, "its block has 100"),
    "simple": (
        section() + described(Card(12)) + block(3, struct.pack("<I", 60) + bytes(60)),
        FIRST,
        "a simple packet block, whose frame has no time",
    ),
    "option": (
        section() + block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 9, 900)),
        28,
        "option 9 of an interface goes beyond its block",
    ),
    "backwards": (
        pcapng([Shot(T0 + US, frame()), Shot(T0, frame())]),
        FIRST + 132,
        "a frame 1,000,000 ps before the one ahead of it; 'reordercap",
    ),
    "far": (
        pcapng([Shot(T0, frame()), Shot(T0 + 10**20, frame())], [Card(6)]),
        None,
        "more than 13 days after the first",
    ),
    "large": (pcapng([Shot(T0, frame(), 65_000)]), FIRST, "segmentation offload"),
    "nothing": (pcapng([]), FIRST, "no frame of the capture goes from one node to another"),
    "no-bytes": (pcapng([Shot(T0, b"")]), FIRST, "1 frame without a node: no address"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_captures_are_refused_at_their_byte(tmp_path: Path, name: str) -> None:
    content, offset, words = HOSTILE[name]
    with pytest.raises(InputError) as caught:
        _load(tmp_path, content)
    [problem] = caught.value.problems
    assert problem.file == "x.pcapng"
    assert words in problem.message
    assert "\n" not in str(problem)
    if offset is not None:
        assert problem.where == f"byte {offset:,}"


def test_a_pipe_is_no_capture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        _load(tmp_path, b"", file="pipe")


def test_any_end_and_any_byte_leaves_an_answer(tmp_path: Path) -> None:
    dice = Dice("captures", 1)
    for _ in range(300):
        content = bytearray((GOOD, OLD)[dice.below(2)])
        for _ in range(dice.between(1, 3)):
            content[dice.below(len(content))] = dice.below(256)
        del content[dice.between(len(content) // 2, len(content)) :]
        with contextlib.suppress(InputError):
            _load(tmp_path, bytes(content), others="drop")


# Rewritten by others


@pytest.mark.parametrize(
    ("form", "exact_ps"), [("pcap", 10**6), ("nsecpcap", 1000), ("pcapng", 1000)]
)
def test_what_editcap_writes_comes_back(tmp_path: Path, form: str, exact_ps: int) -> None:
    shots = _drawn(1, 200, step_ps=1000)
    (tmp_path / "in").write_bytes(pcap(shots))
    subprocess.run(["editcap", "-F", form, tmp_path / "in", tmp_path / "out"], check=True)
    subprocess.run(["editcap", "-F", form, "-s", "60", tmp_path / "in", tmp_path / "cut"],
                   check=True)  # fmt: skip
    was = _taken(tmp_path, (tmp_path / "in").read_bytes())
    again = _taken(tmp_path, (tmp_path / "out").read_bytes())
    first = T0 // exact_ps * exact_ps
    assert [one[0] for one in was] == [one[0] for one in again]
    for (_, times, sizes), (_, cut_times, same) in zip(was, again, strict=True):
        assert same == sizes
        assert cut_times == [(T0 + one) // exact_ps * exact_ps - first for one in times]
    assert _taken(tmp_path, (tmp_path / "cut").read_bytes()) == again


def test_what_mergecap_puts_together_comes_back(tmp_path: Path) -> None:
    shots = _drawn(2, 300, step_ps=1000)
    for number in (0, 1):
        (tmp_path / f"{number}.pcap").write_bytes(pcap(shots[number::2]))
    files = [tmp_path / "0.pcap", tmp_path / "1.pcap"]
    subprocess.run(["mergecap", "-w", tmp_path / "out", *files], check=True)
    merged = _taken(tmp_path, (tmp_path / "out").read_bytes())
    whole = _taken(tmp_path, pcap(shots))
    # Of one instant mergecap may take those of the other file first.
    assert _by_frames(merged) == _by_frames(whole)


def _by_frames(found: list[tuple[str, list[int], list[int]]]) -> list[list[tuple[int, int]]]:
    return sorted(sorted(zip(times, sizes, strict=True)) for _, times, sizes in found)


# Sent again


def _scenario(folder: Path, **more: Any) -> qnet.Scenario:
    simulation = {"duration": "12ms", "seed": 2}
    demands = [{"name": "d", "from": "c", "to": "b", "rate": "30Mbps"}]
    return _load(
        folder, pcapng(_drawn(3, 400)), rate="5Mbps", at="50us",
        more={"simulation": simulation, "demands": demands, **more},
    )  # fmt: skip


def test_frames_are_sent_at_their_times_as_the_twin_sends_them(tmp_path: Path) -> None:
    case = _scenario(tmp_path)
    plan = qnet.plan(case)
    seen = simulate(case.topology, case.profile, plan, threads=1)
    compare((case.topology, case.profile, plan), seen)
    for one in recordings_of(case.profile):
        [counted] = [each for each in seen.demands if each.name == one.name]
        assert counted.sent == sum(at < 12 * 10**9 for at in one.recording.times_ps)
        assert counted.sent > 20
    assert simulate(case.topology, case.profile, plan, threads=2) == seen


def test_the_twin_notices_a_frame_that_is_late_or_longer(tmp_path: Path) -> None:
    case = _scenario(tmp_path)
    plan = qnet.plan(case)
    seen = simulate(case.topology, case.profile, plan)
    first = recordings_of(case.profile)[0]
    for change in ("times_ps", "frame_bytes"):
        times, sizes = first.recording.times_ps[:], first.recording.frame_bytes[:]
        if change == "times_ps":
            times[0] = times[1]
        else:
            sizes[0] += 1
        other = first.replace(recording=CapturedFrames(times, sizes))
        profile = case.profile.replace(
            demands=tuple(other if one is first else one for one in case.profile.demands)
        )
        with pytest.raises(AssertionError):
            compare((case.topology, profile, plan), seen)


def test_silences_and_stops_cut_a_capture(tmp_path: Path) -> None:
    events = [
        {"change": "stop", "target": "x-5", "at": "2ms", "for": "3ms"},
        {"change": "cut", "target": "s--b", "at": "6ms", "for": "100us"},
    ]
    case = _scenario(tmp_path, events=events)
    plan = qnet.plan(case)
    seen = simulate(case.topology, case.profile, plan)
    compare((case.topology, case.profile, plan), seen)
    sent = {one.name: one.sent for one in seen.demands}["x-5"]
    [named] = [one for one in recordings_of(case.profile) if one.name == "x-5"]
    times = named.recording.times_ps
    ms = 10**9
    assert sent == sum(at < 2 * ms or 5 * ms <= at < 12 * ms for at in times)


def test_a_capture_has_no_scale(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its frames have times of their own"):
        _scenario(tmp_path, events=[{"change": "scale", "target": "x-5", "by": "50%", "at": "1ms"}])
    with pytest.raises(ArgumentError, match="no scale"):
        _scenario(tmp_path).with_(scale=2)


def test_a_window_goes_on_where_the_capture_is(tmp_path: Path) -> None:
    first = recordings_of(_scenario(tmp_path).profile)[0]
    later = _in_window(first, 10**9)
    assert isinstance(later, type(first))
    pairs = zip(first.recording.times_ps, first.recording.frame_bytes, strict=True)
    due = [(at - 10**9, size) for at, size in pairs if at >= 10**9]
    assert due == [*zip(later.recording.times_ps, later.recording.frame_bytes, strict=True)]
    assert len(later.recording.since(10**15).times_ps) == 0


# Proven


def test_no_window_has_more_than_the_proven_burst() -> None:
    dice = Dice("captures", 5)
    for _ in range(40):
        times = sorted(dice.below(10**6) for _ in range(12))
        sizes = [dice.between(64, 1518) for _ in times]
        rate = (0, WHOLE // 10**6, WHOLE // 300, WHOLE)[dice.below(4)]
        most = max(
            sum(map(wire_bytes, sizes[i : j + 1])) * WHOLE - rate * (times[j] - times[i])
            for i in range(12)
            for j in range(i, 12)
        )
        made = CapturedFrames(array("q", times), array("H", sizes))
        assert recorded_burst(made, rate) == -(-most * BYTE // WHOLE)


def test_a_stream_beside_a_capture_is_bounded_and_the_bound_holds(tmp_path: Path) -> None:
    stream = {"name": "s", "from": "a", "to": "b", "class": "best-effort", "interval": "1ms",
              "max-payload-size": "200B", "max-latency": "20ms"}  # fmt: skip
    shots = [one for one in _drawn(6, 300) if one.time_ps - T0 < 8 * 10**9]
    case = _load(tmp_path, pcapng(shots), more={"streams": [stream],
                 "simulation": {"duration": "10ms"}})  # fmt: skip
    result = qnet.run(case)
    [proven] = [one for one in result.proof.streams if one.name == "s"]
    [seen] = result.observation.streams
    assert proven.latency_ps_max is not None
    assert seen.latency_ps_max is not None
    assert 0 < seen.latency_ps_max <= proven.latency_ps_max


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_verdict_counts_what_was_sent_of_a_capture(tmp_path: Path, more: int) -> None:
    case = _scenario(tmp_path)
    plan = qnet.plan(case)
    seen = simulate(case.topology, case.profile, plan)
    first = recordings_of(case.profile)[0].name
    demands = tuple(
        one.replace(sent=one.sent + more, received=one.received + more)
        if one.name == first
        else one
        for one in seen.demands
    )
    made = judge(case.topology, case.profile, plan, qnet.prove(case, plan),
                 [seen.replace(demands=demands)])  # fmt: skip
    due = sum(at < 12 * 10**9 for at in recordings_of(case.profile)[0].recording.times_ps)
    words = f"witnesses disagree: {first}: simulated {due + more} frames sent, captured {due}"
    assert (words in made.findings) == bool(more)


# Kept


def test_identity_and_plan_are_of_the_frames_not_of_the_file(tmp_path: Path) -> None:
    shots = _drawn(7, 50)
    one = _load(tmp_path, pcapng(shots))
    again = _load(tmp_path, pcapng(shots, [Card(15, offset_s=999_999)], order=">"))
    assert one.identity == again.identity
    assert one.traffic_sha256 == again.traffic_sha256
    shots[9].time_ps += 1
    other = _load(tmp_path, pcapng(sorted(shots, key=lambda one: one.time_ps)))
    assert other.identity != one.identity
    assert other.traffic_sha256 != one.traffic_sha256


def test_a_profile_with_captures_is_written_and_read_again(tmp_path: Path) -> None:
    case = _scenario(tmp_path)
    (tmp_path / "t.yaml").write_text(to_yaml(case.profile))
    again = qnet.load(str(tmp_path / "t.yaml"), topology=NET)
    assert again.identity == case.identity
    assert recordings_of(again.profile) == recordings_of(case.profile)
    assert qnet.load(case.profile, topology=case.topology).identity == case.identity


def test_a_run_finds_its_capture_again_or_says_that_it_changed(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(dump_yaml(NET))
    _scenario(tmp_path)
    case = qnet.load(str(tmp_path / "t.yaml"))
    plan = qnet.plan(case)
    seen = simulate(case.topology, case.profile, plan)
    place = tmp_path / "run"
    write_run(place, place, case, seen)
    write_text(place / "plan.json", to_json(plan))
    assert read_run(place).scenario.identity == case.identity
    (tmp_path / "x.pcapng").write_bytes(pcapng(_drawn(4, 400)))
    with pytest.raises(InputError, match="inputs changed since the run"):
        read_run(place)


def test_a_capture_that_is_read_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(dump_yaml(NET))
    _scenario(tmp_path)
    was = (tmp_path / "x.pcapng").read_bytes()
    words = ["simulate", str(tmp_path / "t.yaml"), "--trace", str(tmp_path / "x.pcapng")]
    made = CliRunner().invoke(main, words)
    assert made.exit_code == 2
    assert "is an input of this command" in made.output
    assert (tmp_path / "x.pcapng").read_bytes() == was


def test_a_fault_is_one_line_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(dump_yaml(NET))
    _scenario(tmp_path)
    (tmp_path / "x.pcapng").write_bytes(GOOD[:-7])
    made = CliRunner().invoke(main, ["validate", str(tmp_path / "t.yaml")])
    assert made.exit_code == 2
    assert made.output.splitlines()[0].startswith("x.pcapng: byte ")
    assert "Traceback" not in made.output
