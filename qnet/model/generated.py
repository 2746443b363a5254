"""What a traffic generator sent, and what came of it, in the words of RFC 3550, 4737 and 5481."""

from __future__ import annotations

from typing import Literal

from qnet.model.fields import Noun


class SentFrames(Noun):
    """What was sent, and how late behind its ideal time each frame was handed to the kernel."""

    format: Literal["qnet-sent-1"] = "qnet-sent-1"
    interface: str
    stream: int
    asked: int
    frames: int
    frame_bytes: int
    """Without preamble, gap and frame check sequence, as a packet socket counts."""
    first_ns: int
    last_ns: int
    """When the first and the last call was made, of the clock on the wall."""
    late_ns_mean: int | None
    late_ns_p50: int | None
    """The upper end of the bin, as are the next two."""
    late_ns_p99: int | None
    late_ns_p999: int | None
    late_ns_max: int | None
    refused: int
    """Calls in which the device took nothing; its frames were offered again."""
    ended: str | None = None
    """Why not all were sent."""

    @property
    def frames_per_s(self) -> float | None:
        """Rate at which frames were sent."""
        spent_ns = self.last_ns - self.first_ns
        return (self.frames - 1) * 1e9 / spent_ns if spent_ns > 0 else None


class ReceivedStream(Noun):
    """What came of one stream. Latency is from the sender's stamp to the kernel's at the receiver.

    Both are of the clock on the wall: between two machines it is as right as their clocks are.
    """

    stream: int
    frames: int
    """Without duplicates."""
    frame_bytes: int
    expected: int
    """Up to the highest sequence number that came, or as many as were said to be sent."""
    lost: int
    duplicates: int
    reordered: int
    """Those behind one of a higher number (RFC 4737, type-P-reordered)."""
    too_old: int
    """Behind by so much that nobody knows whether they are duplicates."""
    first_at_ns: int
    last_at_ns: int
    latency_ns_min: int | None
    latency_ns_mean: int | None
    latency_ns_p50: int | None
    latency_ns_p99: int | None
    latency_ns_p999: int | None
    latency_ns_max: int | None
    jitter_ns: int | None
    """Interarrival jitter of RFC 3550 clause 6.4.1, at the end."""
    pdv_ns_p999: int | None
    """Packet delay variation of RFC 5481: 99.9 % quantile less the least latency."""
    ipdv_ns_mean: int | None
    """Inter-packet delay variation of RFC 5481: of its absolute values."""
    ipdv_ns_max: int | None


class ReceivedFrames(Noun):
    """What a receiver saw, stream by stream."""

    format: Literal["qnet-received-1"] = "qnet-received-1"
    interface: str
    streams: tuple[ReceivedStream, ...]
    dropped: int
    """Frames of any kind that the kernel had no room for in the ring."""
