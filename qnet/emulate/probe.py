"""What this machine can emulate, measured and not guessed: for `qnet doctor`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from qnet.emulate import controller, ovs

NOISE_S = 0.3
FRAMES = 500
FRAME_BYTES = 1000


class TierReport(NamedTuple):
    """Whether a tier runs here, and why not with what to do."""

    name: str
    good: bool
    detail: str


class Noise(NamedTuple):
    """How long a busy loop was held up: nanoseconds."""

    p99_ns: int
    most_ns: int


def lockstep() -> TierReport:
    """Probe the tier that needs no root."""
    reasons = [one for one in (ovs.missing(), controller.missing()) if one]
    if reasons:
        return TierReport("lockstep", False, "; ".join(reasons))
    try:
        rate = frames_per_s()
    except (ovs.SwitchFailure, OSError) as error:
        return TierReport("lockstep", False, f"a private switch does not run: {error}")
    return TierReport("lockstep", True, f"{rate:,} frames/s through one switch; needs no root")


def mininet() -> TierReport:
    """Probe the tier with hosts, wires and namespaces."""
    reasons = [one for one in (ovs.missing(), controller.missing()) if one]
    if shutil.which("mnexec") is None:
        reasons.append("mnexec is not here; it comes with: apt-get install mininet")
    if os.geteuid() != 0:
        reasons.append("not root: it makes network namespaces; use sudo, or lockstep")
    else:
        reasons += _powers()
    if reasons:
        return TierReport("mininet", False, "; ".join(reasons))
    extras = [tool for tool in ("tshark", "iperf3") if shutil.which(tool) is None]
    more = f"; for captures and load: apt-get install {' '.join(extras)}" if extras else ""
    return TierReport("mininet", True, f"root, namespaces and raw sockets are here{more}")


def _powers() -> list[str]:
    """Say what root may not do here, as in a container without privileges."""
    found = []
    unshare = shutil.which("unshare")
    if unshare is not None:
        made = subprocess.run(
            [unshare, "--net", "--mount", "true"], capture_output=True, check=False, timeout=20
        )
        if made.returncode:
            found.append("no network namespaces may be made: run a container with --privileged")
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except OSError as error:
        found.append(f"no raw sockets ({error.strerror}): run a container with --privileged")
    if not Path("/dev/net/tun").exists():
        found.append("/dev/net/tun is not here: modprobe tun, or give it to the container")
    return found


def noise_floor(seconds: float = NOISE_S) -> Noise:
    """Watch the clock in a busy loop: how long the machine itself holds a process up."""
    gaps = []
    before = time.perf_counter_ns()
    end = before + int(seconds * 1e9)
    while before < end:
        now = time.perf_counter_ns()
        gaps.append(now - before)
        before = now
    gaps.sort()
    return Noise(gaps[len(gaps) * 99 // 100], gaps[-1])


def frames_per_s() -> int:
    """Send frames through a private switch, one after the other, and return the rate."""
    ports = (ovs.SwitchPort("p1", 1), ovs.SwitchPort("p2", 2))
    with ovs.Ovs() as switch:
        switch.add_bridges([ovs.Bridge("br0", 1, ports)])
        switch.ofctl("add-flow", "br0", "in_port=1,actions=output:2")
        frame = bytes(6) + bytes([2]) + bytes(FRAME_BYTES - 7)
        message = len(frame).to_bytes(2, "big") + frame
        with switch.connect("p1") as entry, switch.connect("p2") as exit_:
            start = time.perf_counter()
            for _ in range(FRAMES):
                entry.sendall(message)
                left = len(message)
                while left:
                    left -= len(exit_.recv(left))
            return int(FRAMES / (time.perf_counter() - start))
