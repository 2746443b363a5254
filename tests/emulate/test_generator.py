"""The traffic generator between two namespaces: what is sent comes, as tshark and scapy see it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qnet.cli import main
from qnet.emulate.process.namespaces import Inside
from qnet.errors import ArgumentError, EnvironmentMissing, InputError
from qnet.generator.frames import Look, build
from qnet.generator.iperf3 import read_iperf3
from qnet.generator.kernels import MAGIC, WINDOW
from qnet.generator.run import FramePace, FrameReceiver, receive_for, send
from qnet.model.generated import ReceivedStream, SentFrames
from qnet.simulate.draws import words_of
from tests.emulate.breaking import QNET

pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not here"),
]
scapy = pytest.importorskip("scapy.all")


class Draw:
    """Numbers that are the same everywhere."""

    def __init__(self, seed: int) -> None:
        self._words = words_of(seed, "a test of the generator")

    def randrange(self, span: int) -> int:
        return int(self._words.random_raw()) % span


LOOK = Look("02:00:00:00:00:01", "02:00:00:00:00:02")
IPERF = shutil.which("iperf3")


def _ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[str, str]]:
    """Two namespaces, `va` in the first joined with `vb` in the second."""
    names = [f"generator-{os.getpid()}-{end}" for end in "ab"]
    try:
        for name in names:
            _ip(f"netns add {name}")
        _ip(
            f"link add va mtu 9000 netns {names[0]} type veth "
            f"peer name vb mtu 9000 netns {names[1]}"
        )
        for name, device, number in zip(names, ("va", "vb"), (1, 2), strict=True):
            for quiet in ("all", device):
                what = f"net.ipv6.conf.{quiet}.disable_ipv6=1"
                _ip(f"netns exec {name} sysctl -qw {what}")
            _ip(f"-n {name} address add 10.77.0.{number}/24 dev {device}")
            _ip(f"-n {name} link set lo up")
            _ip(f"-n {name} link set {device} up")
        yield f"/run/netns/{names[0]}", f"/run/netns/{names[1]}"
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def _run(
    pair: tuple[str, str], count: int, look: Look = LOOK, **how: Any
) -> tuple[SentFrames, ReceivedStream]:
    """Send and receive at once."""
    sizes = how.pop("sizes", ((64, 1),))
    pace = how.pop("pace", FramePace(Fraction(50_000)))
    sent: list[SentFrames] = []
    with FrameReceiver("vb", namespace=pair[1], longest=9100) as receiver:
        work = threading.Thread(
            target=lambda: sent.append(
                send("va", look, sizes, pace, count, namespace=pair[0], **how)
            )
        )
        work.start()
        receive_for(receiver, 60 * 10**9, 10**9)
        work.join()
        made = receiver.report(count)
    assert made.dropped == 0
    (stream,) = made.streams
    return sent[0], stream


@pytest.mark.parametrize(
    "look",
    [
        LOOK,
        LOOK._replace(vlan=7, priority=5),
        LOOK._replace(source_ip="10.77.0.1", target_ip="10.77.0.2", dscp=46),
        LOOK._replace(vlan=1, source_ip="10.77.0.1", target_ip="10.77.0.2"),
    ],
)
def test_what_is_sent_comes_whatever_is_on_the_frame(pair: tuple[str, str], look: Look) -> None:
    sizes = ((90, 7), (594, 4), (1518, 1), (9000, 1))
    sent, seen = _run(pair, 13 * 200, look, sizes=sizes, stream=9)
    assert (sent.frames, sent.ended) == (2600, None)
    assert (seen.stream, seen.frames, seen.lost, seen.duplicates, seen.reordered) == (
        9, 2600, 0, 0, 0,
    )  # fmt: skip
    assert sent.frame_bytes == 200 * sum((size - 4) * weight for size, weight in sizes)
    tags = 0 if look.vlan is None else 4 * 2600  # the kernel takes them off
    assert seen.frame_bytes == sent.frame_bytes - tags
    assert seen.latency_ns_min is not None
    assert 0 < seen.latency_ns_min <= (seen.latency_ns_mean or 0) <= (seen.latency_ns_max or 0)


def test_frames_are_never_early_and_bursts_come_at_once(pair: tuple[str, str]) -> None:
    sent, seen = _run(pair, 400, pace=FramePace(Fraction(4000)), burst=20)
    assert seen.lost == 0
    # 20 bursts, 19 gaps of 5 ms: however late frames are, the last burst is not due before.
    assert sent.late_ns_max is not None
    assert sent.last_ns - sent.first_ns >= 19 * 5_000_000 - sent.late_ns_max
    assert (sent.late_ns_mean or 0) <= sent.late_ns_max
    assert (sent.late_ns_p50 or 0) <= (sent.late_ns_p99 or 0) <= (sent.late_ns_p999 or 0)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not here")
def test_tshark_sees_the_same_frames(pair: tuple[str, str], tmp_path: Path) -> None:
    """Counts, sizes, tags, addresses, numbers and stamps, by a program that is not ours."""
    look = LOOK._replace(vlan=42, priority=3, source_ip="10.77.0.1", target_ip="10.77.0.2", dscp=10)
    file = tmp_path / "seen.pcap"
    tmp_path.chmod(0o777)
    name = Path(pair[1]).name
    command = ["ip", "netns", "exec", name, "tshark", "-q", "-i", "vb", "-w", str(file)]
    capture = subprocess.Popen(
        [*command, "-c", "300", "-a", "duration:30"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert capture.stderr is not None
    for line in capture.stderr:
        if "Capturing" in line:
            break
    sent, _ = _run(pair, 300, look, sizes=((100, 1), (300, 2)), stream=5)
    capture.communicate(timeout=60)
    fields = ("frame.len", "vlan.id", "vlan.priority", "ip.dst", "ip.dsfield.dscp", "udp.payload")
    read = ["tshark", "-r", str(file), "-T", "fields", *(f"-e{one}" for one in fields)]
    lines = subprocess.run(read, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 300
    numbers, stamps, lengths = [], [], []
    for line in lines:
        length, vlan, priority, target, dscp, payload = line.split("\t")
        assert (vlan, priority, target, dscp) == ("42", "3", "10.77.0.2", "10")
        magic, stream, number, stamp = struct.unpack(">IIQQ", bytes.fromhex(payload)[:24])
        assert (magic, stream) == (MAGIC, 5)
        numbers.append(number)
        stamps.append(stamp)
        lengths.append(int(length))
    assert numbers == list(range(300))
    assert sorted(stamps) == stamps
    assert (stamps[0], stamps[-1]) == (sent.first_ns, sent.last_ns)
    assert sum(lengths) == sent.frame_bytes
    assert lengths.count(96) == 100


def test_loss_order_duplicates_and_variation_are_those_of_the_books(pair: tuple[str, str]) -> None:
    """Frames are sent by hand in a drawn order, and a slow reading of the RFCs judges."""
    draw = Draw(5)
    order = [number for number in range(3000) if draw.randrange(20)]
    for _ in range(200):
        place = draw.randrange(len(order) - 12)
        order.insert(place + draw.randrange(12), order.pop(place))
    for _ in range(100):
        place = draw.randrange(len(order))
        order.insert(min(place + draw.randrange(30), len(order)), order[place])
    template, at = build(LOOK, 3, 64)
    came: list[tuple[int, int]] = []
    with FrameReceiver("vb", namespace=pair[1]) as receiver, Inside(pair[0]):
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        one.bind(("va", 0))
        begun = time.time_ns() - 10**9
        for place, number in enumerate(order):
            stamp = begun + place * 1000 + draw.randrange(500)
            frame = template[: at + 8] + struct.pack(">QQ", number, stamp) + template[at + 24 :]
            one.send(frame)
            came.append((number, stamp))
        one.close()
        receive_for(receiver, 10 * 10**9, 3 * 10**8)
        (seen,) = receiver.report().streams
    fresh, highest, reordered = set[int](), -1, 0
    for number, _ in came:
        if number not in fresh:
            reordered += number < highest
        highest = max(highest, number)
        fresh.add(number)
    assert seen.frames == len(fresh)
    assert seen.duplicates == len(came) - len(fresh) == 100
    assert seen.reordered == reordered > 0
    assert seen.expected == highest + 1
    assert seen.lost == highest + 1 - len(fresh)
    assert seen.latency_ns_min is not None
    assert seen.latency_ns_min >= 0


def test_jitter_is_that_of_rfc_3550_by_its_own_sample_code() -> None:
    """Appendix A.8, in integers, on latencies that jump; by the kernel that the receiver calls."""
    from qnet.generator.kernels import _count  # noqa: PLC0415
    from qnet.model.histogram import BIN_COUNT  # noqa: PLC0415

    draw = Draw(2)
    seen, known = np.zeros((1, 16), np.int64), np.zeros((1, WINDOW >> 5), np.int64)
    bins = np.zeros((1, BIN_COUNT), np.int64)
    jitter, steps, before = 0, [], None
    for number in range(5000):
        latency = 10_000 + draw.randrange(50_000) * (number % 7 == 0)
        _count(0, number, 60, latency, number * 10**6 + latency, seen, known, bins)
        if before is not None:
            step = abs(latency - before)
            jitter += step - ((jitter + 8) >> 4)
            steps.append(step)
        before = latency
    assert seen[0, 9] == jitter
    assert seen[0, 10] == sum(steps)
    assert seen[0, 11] == max(steps)
    assert bins.sum() == seen[0, 0] == 5000


def test_numbers_older_than_the_window_are_counted_apart() -> None:
    from qnet.generator.kernels import _count  # noqa: PLC0415
    from qnet.model.histogram import BIN_COUNT  # noqa: PLC0415

    seen, known = np.zeros((1, 16), np.int64), np.zeros((1, WINDOW >> 5), np.int64)
    bins = np.zeros((1, BIN_COUNT), np.int64)
    for number in (0, WINDOW, WINDOW, 1, 0, 5 * WINDOW, WINDOW + 1):
        _count(0, number, 60, 10, 10, seen, known, bins)
    frames, duplicates, reordered, too_old = (int(seen[0, one]) for one in (0, 3, 4, 14))
    assert (frames, duplicates, reordered, too_old) == (4, 1, 1, 2)


@pytest.mark.skipif(IPERF is None, reason="iperf3 is not here")
def test_what_iperf3_says_is_read_as_it_is(pair: tuple[str, str], tmp_path: Path) -> None:
    server = ["ip", "netns", "exec", Path(pair[1]).name, str(IPERF), "-s", "-1", "-B", "10.77.0.2"]
    client = ["ip", "netns", "exec", Path(pair[0]).name, str(IPERF), "-c", "10.77.0.2"]
    running = subprocess.Popen(
        [*server, "--forceflush"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if "listening" in line:
                break
        asked = ["-u", "-b", "2M", "-l", "1000", "-k", "200", "--json"]
        done = subprocess.run(
            [*client, *asked], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        running.terminate()
        running.communicate(timeout=30)
    file = tmp_path / "iperf3.json"
    file.write_text(done.stdout)
    made = read_iperf3(str(file))
    end = json.loads(done.stdout)["end"]
    sums = end["sum_received"] if "lost_packets" in end["sum_received"] else end["sum"]
    assert made.frames == sums["packets"]
    assert made.lost == sums["lost_packets"]
    assert made.jitter_ns == round(sums["jitter_ms"] * 1e6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "end.sum.packets"),
        ('{"error": "unable to connect"}', "unable to connect"),
        ('{"end": {"sum": {"packets": true}}}', "end.sum.packets"),
    ],
)
def test_what_is_no_iperf3_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read_iperf3(str(tmp_path / "x.json"))


def test_commands_send_and_receive(pair: tuple[str, str], tmp_path: Path) -> None:
    names = [Path(one).name for one in pair]
    runner = CliRunner()
    file = str(tmp_path / "seen.json")
    listening = subprocess.Popen(
        [QNET, "receive", "vb", "--netns", names[1], "--duration", "30s", "--quiet-after",
         "2s", "--expect", "500", "-o", file, "--json"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not _listens(names[1]):
        assert listening.poll() is None
    sent = runner.invoke(
        main,
        ["send", "va", "--netns", names[0], "--to-mac", LOOK.target_mac, "--sizes", "imix-570",
         "--rate", "50Mbps", "--count", "500"],
    )  # fmt: skip
    assert sent.exit_code == 0, sent.output
    assert "500 of 500 frames sent" in sent.output
    said, _ = listening.communicate(timeout=60)
    assert listening.returncode == 0, said
    assert json.loads(said) == json.loads(Path(file).read_text())
    assert json.loads(said)["streams"][0]["frames"] == 500


def _listens(name: str) -> bool:
    """Tell whether a packet socket of a namespace hears all frames."""
    command = ["ip", "netns", "exec", name, "cat", "/proc/net/packet"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return any(line.split()[3] == "0003" for line in lines[1:])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "one of '--rate 500Mbps' and '--frames-per-s"),
        (["--rate", "1Mbps"], "one of '--count 1000' and '--duration 1s'"),
        (["--rate", "fast", "--count", "1"], "--rate: fast"),
        (["--frames-per-s", "0", "--count", "1"], "no number of frames"),
        (["--rate", "1Mbps", "--count", "1", "--sizes", "63B"], "out of range"),
        (["--rate", "1Mbps", "--count", "1", "--from-ip", "10.0.0.1"], "both addresses"),
        (["--rate", "1Mbps", "--count", "1", "--from-mac", "x"], "is no MAC address"),
        (["--rate", "400Gbps", "--duration", "1y"], "--duration: 1y"),
    ],
)
def test_wrong_options_are_refused(options: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["send", "va", "--to-mac", LOOK.target_mac, *options])
    assert done.exit_code == 2, done.output
    assert words in done.output


def test_an_interface_that_is_not_there_is_named(pair: tuple[str, str]) -> None:
    with pytest.raises(EnvironmentMissing, match=r"a packet socket of vx in .*: No such device"):
        send("vx", LOOK, ((64, 1),), FramePace(Fraction(1)), 1, namespace=pair[0])
    look = LOOK._replace(source_ip="1.1.1.1", target_ip="1.1.1.2")
    with pytest.raises(ArgumentError, match="no room for what is on each test frame; at least 70"):
        send("va", look, ((64, 1),), FramePace(Fraction(1)), 1, namespace=pair[0])
