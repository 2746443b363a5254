"""What iperf3 says of a UDP test (`iperf3 --udp --json`), to be put beside what qnet counts."""

from __future__ import annotations

import json
from typing import Any

from qnet.errors import InputError, Problem
from qnet.files.read import read_text
from qnet.model.fields import Noun


class Iperf3Result(Noun):
    """The sums of one test. Its jitter is that of RFC 3550."""

    frames: int
    lost: int
    bits_per_second: int
    jitter_ns: int
    seconds_ms: int


def read_iperf3(path: str) -> Iperf3Result:
    """Read the sums at the end of a UDP test. Raises InputError where there are none."""
    try:
        data = json.loads(read_text(path))
    except ValueError as error:
        raise InputError([Problem(path, 0, 0, "", f"is no JSON: {error}")]) from None
    if isinstance(data, dict) and data.get("error"):
        raise InputError([Problem(path, 0, 0, "error", f"iperf3 says: {data['error']}")])
    sums = _sums(data)
    names = ("packets", "lost_packets", "bits_per_second", "jitter_ms", "seconds")
    missing = [
        Problem(path, 0, 0, f"end.sum.{name}", "is not there; a UDP test has it (iperf3 --udp)")
        for name in names
        if not isinstance(sums.get(name), (int, float)) or isinstance(sums.get(name), bool)
    ]
    if missing:
        raise InputError(missing)
    return Iperf3Result(
        frames=int(sums["packets"]),
        lost=int(sums["lost_packets"]),
        bits_per_second=round(sums["bits_per_second"]),
        jitter_ns=round(sums["jitter_ms"] * 1e6),
        seconds_ms=round(sums["seconds"] * 1e3),
    )


def _sums(data: Any) -> dict[str, Any]:
    """Return the sums of what was received, or else of all."""
    end = data.get("end") if isinstance(data, dict) else None
    if not isinstance(end, dict):
        return {}
    for name in ("sum_received", "sum"):
        found = end.get(name)
        if isinstance(found, dict) and "lost_packets" in found:
            return found
    return {}
