"""What a generator sent and what was received, in lines for the terminal."""

from __future__ import annotations

from qnet.model.generated import ReceivedFrames, ReceivedStream, SentFrames
from qnet.units import show_rate, show_time


def sent_lines(made: SentFrames) -> list[str]:
    """Say what was sent, how fast, and how late behind its ideal time."""
    rate = made.frames_per_s
    fast = "" if rate is None else f", {rate:,.0f} frames/s"
    lines = [f"stream {made.stream}: {made.frames:,} of {made.asked:,} frames sent{fast}"]
    if made.frames:
        late = (made.late_ns_mean, made.late_ns_p50, made.late_ns_p99, made.late_ns_p999)
        mean, half, most, nearly = map(_time, late)
        lines.append(
            f"behind ideal time: mean {mean}, 50 % {half}, 99 % {most}, 99.9 % {nearly}, "
            f"most {_time(made.late_ns_max)}"
        )
    if made.refused:
        lines.append(f"the interface took nothing in {made.refused:,} calls")
    if made.ended:
        lines.append(f"not all were sent: {made.ended}")
    return lines


def received_lines(made: ReceivedFrames) -> list[str]:
    """Say what came of each stream."""
    lines = [line for one in made.streams for line in _stream(one)]
    if not lines:
        lines = [f"no test frame came to {made.interface}"]
    if made.dropped:
        lines.append(f"{made.dropped:,} frames found no room in the receiver's ring")
    return lines


def _stream(one: ReceivedStream) -> list[str]:
    spent_ns = one.last_at_ns - one.first_at_ns
    rate = "" if spent_ns <= 0 else f", {show_rate(8 * one.frame_bytes * 10**9 // spent_ns)}"
    share = 100 * one.lost / one.expected if one.expected else 0
    counts = (
        f"stream {one.stream}: {one.frames:,} of {one.expected:,} frames{rate}; lost {one.lost:,} "
        f"({share:.5g} %), duplicates {one.duplicates:,}, reordered {one.reordered:,}"
    )
    if one.too_old:
        counts += f", too old to tell {one.too_old:,}"
    latency = (one.latency_ns_min, one.latency_ns_mean, one.latency_ns_p99, one.latency_ns_max)
    least, mean, most, longest = map(_time, latency)
    return [
        counts,
        f"  latency {least} to {longest}, mean {mean}, 99 % {most}",
        f"  variation: RFC 3550 jitter {_time(one.jitter_ns)}; RFC 5481 PDV (99.9 %) "
        f"{_time(one.pdv_ns_p999)}, IPDV mean {_time(one.ipdv_ns_mean)}, "
        f"most {_time(one.ipdv_ns_max)}",
    ]


def _time(value_ns: int | None) -> str:
    return "-" if value_ns is None else show_time(value_ns * 1000)
