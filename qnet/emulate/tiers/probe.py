"""What this machine can emulate, measured and not guessed: for `qnet doctor`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from qnet.emulate.process import controller, namespaces
from qnet.emulate.process.cleanup import private_prefix
from qnet.emulate.switches import ovs

NOISE_S = 0.3
FRAMES = 500
FRAME_BYTES = 1000
ANSWER_S = 5.0
"""How long a frame may be in a switch before the switch counts as broken."""

PROBE_S = 60.0
"""How long the probe of the tier mininet may take; it takes about a second."""


class Lack(NamedTuple):
    """What is missing, and the packages of Debian or of Python that have it."""

    words: str
    apt: str = ""
    pip: str = ""


class TierReport(NamedTuple):
    """Whether a tier runs here, and why not with what to do."""

    name: str
    good: bool
    detail: str
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


class Noise(NamedTuple):
    """How long a busy loop was held up: nanoseconds."""

    p99_ns: int
    most_ns: int


class Rate(NamedTuple):
    """Frames through one switch, one after the other, and how long they were in it."""

    per_s: int
    median_ns: int
    p99_ns: int


def missing_tools() -> str | None:
    """Say what keeps Mininet's hosts and switches from running here, or None when nothing does."""
    from qnet.emulate.switches import net  # noqa: PLC0415, it brings the compiler

    if os.geteuid() != 0:
        return "the mininet tier makes network namespaces and devices: run it as root"
    for name, package in (("unshare", "util-linux"), ("ip", "iproute2"), ("mnexec", "mininet")):
        if shutil.which(name) is None:
            return f"{name} is not here; it comes with: apt-get install {package}"
    return ovs.missing_switch() or net.missing_namespaces()


def lockstep() -> TierReport:
    """Probe the tier that needs no root."""
    lacks = _common()
    if lacks:
        return _absent("lockstep", lacks)
    try:
        rate = frames_per_s()
    except (ovs.SwitchFailure, OSError) as error:
        return TierReport("lockstep", False, f"a private switch does not run: {error}")
    detail = f"{rate.per_s:,} frames/s through one switch, one after the other; needs no root"
    return TierReport("lockstep", True, detail)


def mininet() -> TierReport:
    """Probe the tier with hosts, wires and namespaces."""
    lacks = _common()
    if find_spec("mininet") is None:
        lacks.append(Lack("the Python package mininet is not here", pip="qnet-emulator[emulate]"))
    for name, package in (("mnexec", "mininet"), ("ip", "iproute2"), ("unshare", "util-linux")):
        if shutil.which(name) is None:
            lacks.append(Lack(f"{name} is not here", apt=package))
    if os.geteuid() != 0:
        lacks.append(Lack("not root, and it makes network namespaces: use sudo, or lockstep"))
    elif not lacks:
        lacks += map(Lack, _powers())
    if lacks:
        return _absent("mininet", lacks)
    try:
        rate = frames_per_s_between_devices()
    except (ovs.SwitchFailure, OSError) as error:
        return TierReport("mininet", False, f"no switch runs in a namespace of its own: {error}")
    extras = [tool for tool in ("tshark", "iperf3") if shutil.which(tool) is None]
    more = f"; {' and '.join(extras)}, for captures and load, not here" if extras else ""
    detail = (
        f"{rate.per_s:,} frames/s through one switch, one after the other; "
        f"half of them in it for {rate.median_ns / 1000:,.0f} us, "
        f"a hundredth for {rate.p99_ns / 1000:,.0f} us and more"
    )
    return TierReport("mininet", True, f"{detail}{more}", tuple(extras))


def _common() -> list[Lack]:
    """Say what both tiers lack."""
    apps = controller.missing_controller()
    return [
        *([Lack(words, apt="openvswitch-switch")] if (words := ovs.missing_switch()) else []),
        *([Lack(apps, pip="qnet-emulator[emulate]")] if apps else []),
    ]


def _absent(name: str, lacks: Sequence[Lack]) -> TierReport:
    return TierReport(
        name,
        False,
        "; ".join(lack.words for lack in lacks),
        tuple(dict.fromkeys(lack.apt for lack in lacks if lack.apt)),
        tuple(dict.fromkeys(lack.pip for lack in lacks if lack.pip)),
    )


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


def frames_per_s() -> Rate:
    """Send frames through a private switch without devices, one after the other."""
    ports = (ovs.SwitchPort("p1", 1), ovs.SwitchPort("p2", 2))
    with ovs.Ovs() as switch:
        switch.add_bridges([ovs.Bridge("br0", 1, ports)])
        switch.ofctl("add-flow", "br0", "in_port=1,actions=output:2")
        with switch.connect("p1") as entry, switch.connect("p2") as exit_:
            exit_.settimeout(ANSWER_S)

            def pass_one(number: int) -> None:
                frame = _frame(number)
                entry.sendall(len(frame).to_bytes(2, "big") + frame)
                left = 2 + len(frame)
                while left:
                    left -= len(exit_.recv(left))

            return _rate(pass_one)


def frames_per_s_between_devices() -> Rate:
    """Send frames from wire to wire through a private switch, as the tier mininet does.

    It happens in a child with namespaces of its own, and ends with it. Raises SwitchFailure with
    what the child wrote last.
    """
    folder = Path(tempfile.mkdtemp(prefix=private_prefix()))
    try:
        with subprocess.Popen(
            namespaces.command("qnet.emulate.tiers.probe", str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as child:
            try:
                told, wrong = child.communicate(timeout=PROBE_S)
            except BaseException:
                os.killpg(child.pid, signal.SIGKILL)
                raise
    except subprocess.TimeoutExpired:
        raise ovs.SwitchFailure(f"not ready after {PROBE_S:.0f} s") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if child.returncode:
        last = wrong.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise ovs.SwitchFailure(last[0])
    return Rate(*json.loads(told))


def _between_devices(folder: Path) -> Rate:
    """Build the switch and its two wires in the namespace that this process is in."""
    no_ipv6 = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    if no_ipv6.exists():
        no_ipv6.write_text("1")
    lines = [
        line
        for number in (1, 2)
        for line in (
            f"link add p{number} type veth peer name e{number}",
            f"link set p{number} up",
            f"link set e{number} up",
        )
    ]
    subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, stdout=sys.stderr
    )
    ports = tuple(ovs.SwitchPort(f"p{number}", number, f"p{number}") for number in (1, 2))
    with (
        ovs.Ovs(dummy=False, folder=folder) as switch,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as entry,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as exit_,
    ):
        switch.add_bridges([ovs.Bridge("br0", 1, ports, datapath="netdev")])
        switch.ofctl("add-flow", "br0", "in_port=1,actions=output:2")
        entry.bind(("e1", 0))
        exit_.bind(("e2", 0x0003))
        exit_.settimeout(ANSWER_S)

        def pass_one(number: int) -> None:
            frame = _frame(number)
            entry.send(frame)
            while exit_.recv(2 * FRAME_BYTES) != frame:
                pass

        return _rate(pass_one)


def _frame(number: int) -> bytes:
    """Return a frame of a local address and an experimental type, told apart by its number."""
    head = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xB5])
    return head + number.to_bytes(4, "big") + bytes(FRAME_BYTES - 18)


def _rate(pass_one: Callable[[int], None]) -> Rate:
    """Have frames passed one after the other; the first few, which find no flow, do not count."""
    for number in range(FRAMES // 10):
        pass_one(number)
    spans = []
    start = before = time.perf_counter_ns()
    for number in range(FRAMES):
        pass_one(number)
        now = time.perf_counter_ns()
        spans.append(now - before)
        before = now
    spans.sort()
    per_s = FRAMES * 10**9 // (before - start)
    return Rate(per_s, spans[FRAMES // 2], spans[FRAMES * 99 // 100])


if __name__ == "__main__":
    print(json.dumps(_between_devices(Path(sys.argv[1]))))  # noqa: T201 (for the parent)
