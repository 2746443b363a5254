"""The generator beside scapy's `sendp`, into a veth pair of its own, on one core.

    python -m tests.bench.generator_scapy [--frames 1000000] [--bytes 64] [--pace 100000]

prints frames a second of the sender's own CPU time (whatever else the machine does), and of the
wall, of both; and how late behind ideal time frames were at a pace.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from fractions import Fraction

from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp

from qnet.emulate.process.namespaces import Inside
from qnet.generator.frames import Look, build
from qnet.generator.run import FramePace, send

LOOK = Look("02:00:00:00:00:01", "02:00:00:00:00:02")


def _ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True)


def main() -> None:
    """Measure both in one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10**6)
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--pace", type=int, default=100_000)
    asked = parser.parse_args()
    name = f"qnet-bench-{os.getpid()}"
    try:
        _ip(f"netns add {name}")
        _ip(f"-n {name} link add va type veth peer name vb")
        _ip(f"-n {name} link set va up")
        _ip(f"-n {name} link set vb up")
        where = f"/run/netns/{name}"
        ours = _ours(where, asked.frames, asked.bytes)
        theirs = _theirs(where, max(asked.frames // 200, 1000), asked.bytes)
        _say(f"qnet send: {ours:,.0f} frames a CPU second; scapy's sendp: {theirs:,.0f}")
        _say(f"ratio {ours / theirs:.0f}")
        sizes = ((asked.bytes, 1),)
        paced = send(
            "va", LOOK, sizes, FramePace(Fraction(asked.pace)), asked.frames, namespace=where
        )
        _say(
            f"at {asked.pace:,} frames/s, late behind ideal time: mean {paced.late_ns_mean} ns, "
            f"50 % {paced.late_ns_p50}, 99 % {paced.late_ns_p99}, 99.9 % {paced.late_ns_p999}, "
            f"most {paced.late_ns_max} ns"
        )
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def _ours(where: str, frames: int, size: int) -> float:
    pace = FramePace(Fraction(10**9))
    send("va", LOOK, ((size, 1),), pace, 1000, namespace=where)  # compiled before time counts
    begun = time.thread_time()
    made = send("va", LOOK, ((size, 1),), pace, frames, namespace=where)
    spent = time.thread_time() - begun
    _say(f"qnet send: {made.frames:,} frames, {made.frames_per_s or 0:,.0f} a second on the wall")
    return made.frames / spent


def _theirs(where: str, frames: int, size: int) -> float:
    frame = Ether(build(LOOK, 0, size)[0])
    with Inside(where):
        begun = time.thread_time()
        sendp([frame] * frames, iface="va", verbose=False)
        spent = time.thread_time() - begun
    return frames / spent


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
