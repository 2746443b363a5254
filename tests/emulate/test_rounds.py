"""When a frame that a switch has counted is in the socket, however late this process is."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from functools import partial

import pytest

from qnet.emulate.switches import ovs
from qnet.emulate.switches.dummy_switches import OUTSTANDING

pytestmark = pytest.mark.skipif(ovs.missing_switch() is not None, reason=ovs.missing_switch() or "")

PORTS = (ovs.SwitchPort("p1", 1), ovs.SwitchPort("p2", 2))
ADDRESSES = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1])
PACKET = bytes.fromhex("4500005000000000401100000a0000010a000002") + bytes(60)
LABEL = bytes.fromhex("8847 00011140")


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def until(count: Callable[[], int], due: int) -> None:
    """Ask again and again; a frame that is lost is a failure, not a run without an end."""
    end = time.monotonic() + 60
    while count() < due:
        assert time.monotonic() < end, "a frame never came"


def ask_twice(control: socket.socket) -> int:
    """Ask for the count twice at once, which is answered in one round; return the first answer."""
    question = {"id": 0, "method": "dpif-netdev/pmd-stats-show", "params": []}
    control.sendall(2 * json.dumps(question).encode())
    answers = ""
    while answers.count('"result"') < 2 or not answers.endswith("}"):
        answers += control.recv(1 << 16).decode()
    counted = re.search(r"packets received: (\d+)", answers)
    assert counted
    return int(counted[1])


def test_after_a_turn_what_was_counted_is_in_the_socket() -> None:
    with ovs.Ovs() as running:
        running.add_bridges([ovs.Bridge("br0", 1, PORTS)])
        running.ofctl("add-flow", "br0", "in_port=1,actions=output:2")
        assert running.folder is not None
        with (
            running.connect("p1") as near,
            running.connect("p2") as far,
            socket.socket(socket.AF_UNIX) as control,
        ):
            control.connect(str(running.folder / "switch.ctl"))
            far.setblocking(False)
            for number in range(1, 501):
                near.sendall(framed(ADDRESSES + b"\x08\x00" + PACKET))
                until(partial(ask_twice, control), number)
                running.turn()
                assert far.recv(1 << 16)


def test_frames_for_one_port_are_there_when_a_turn_brings_no_more() -> None:
    frame = framed(ADDRESSES + b"\x08\x00" + PACKET)
    with ovs.Ovs() as running:
        running.add_bridges([ovs.Bridge("br0", 1, PORTS)])
        running.ofctl("add-flow", "br0", "in_port=1,actions=output:2,output:2")
        with running.connect("p1") as near, running.connect("p2") as far:
            far.setblocking(False)
            for burst in range(1, 21):
                near.sendall(OUTSTANDING * frame)
                until(running.frames_seen, burst * OUTSTANDING)
                out = b""
                running.turn()
                while more := arrived(far):
                    out += more
                    running.turn()
                assert out == 2 * OUTSTANDING * frame


def arrived(end: socket.socket) -> bytes:
    """Return what is in a socket by now."""
    try:
        return end.recv(1 << 16)
    except BlockingIOError:
        return b""


def test_a_frame_that_is_looked_up_twice_is_counted_once() -> None:
    with ovs.Ovs() as running:
        running.add_bridges([ovs.Bridge("br0", 1, PORTS)])
        rule = "eth_type=0x8847,in_port=1,actions=pop_mpls:0x0800,dec_ttl,output:2"
        running.ofctl("add-flow", "br0", rule)
        with running.connect("p1") as near, running.connect("p2") as far:
            for number in range(1, 11):
                near.sendall(framed(ADDRESSES + LABEL + PACKET))
                until(running.frames_seen, number)
                running.turn()
                assert len(far.recv(1 << 16)) == 2 + len(ADDRESSES) + 2 + len(PACKET)
                assert running.frames_seen() == number
