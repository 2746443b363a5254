"""How many frames the link emulator carries, and how late it is. Printed, never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from qnet.emulate.tiers import probe
from tests.bench.wires import SHARES_PPB

REASON = probe.missing_tools()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

LOADS = ((128, "2Gbps"), (512, "4Gbps"), (1518, "8Gbps"))


def test_frames_through_the_link_emulator(benchmark: Any) -> None:
    sys.stdout.write(benchmark.pedantic(measured, rounds=1))


def measured() -> str:
    shares = [f"{share / 10**7:.4g} %" for share in SHARES_PPB]
    lines = ["frame   passages  a CPU second  time between putting in and coming out, us", ""]
    lines[1] = f"{'':33}" + "".join(f"{share:>10}" for share in shares)
    for size, rate in LOADS:
        command = ["unshare", "--net", sys.executable, "-m", "tests.bench.wires"]
        done = subprocess.run(
            [*command, str(size), rate, "300ms"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        seen = json.loads(done.stdout)
        assert seen["violations"] == seen["no_slot"] == 0
        assert seen["latency_ps"][0] == seen["latency_ps"][1], "a load with no queue"
        times = "".join(f"{one:>10.0f}" for one in seen["inside_us"])
        lines.append(f"{size:>5} {seen['passages']:>10,} {seen['per_cpu_s']:>13,.0f}   {times}")
    return "\n" + "\n".join(lines) + "\n"
