"""Send and receive test frames: `qnet send`, `qnet receive`."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.emulate.process.namespaces import Inside
from qnet.emulate.wires.run import (
    ETH_P_ALL,
    PACKET_IGNORE_OUTGOING,
    PACKET_QDISC_BYPASS,
    SOL_PACKET,
    receive_ring,
)
from qnet.errors import EnvironmentMissing
from qnet.generator.frames import Look, build
from qnet.generator.kernels import (
    BATCH,
    STALLED_NS,
    WINDOW,
    Bytes,
    Ints,
    SendState,
    StreamSeen,
    send_due,
    take,
)
from qnet.model.generated import ReceivedFrames, ReceivedStream, SentFrames
from qnet.model.histogram import BIN_COUNT, quantile_ps
from qnet.simulate.draws import integers
from qnet.units import PPB, PS_PER_S, wire_bytes

PATTERN = 4096
"""Frames after which the order of sizes repeats, or one round where that is longer."""

START_NS = 20_000_000
"""From the call to the first frame."""

LOOK_NS = 50_000_000
"""How often whoever asked is heard while frames are sent or awaited."""

RING_FRAMES = 1 << 14
STREAMS = 256
PACKET_STATISTICS = 6
TPACKET_HEADER = 96

SHARES_PPB = (PPB // 2, PPB * 99 // 100, PPB * 999 // 1000)


class FramePace(NamedTuple):
    """How fast frames follow each other: by their number, or by bits on the wire."""

    frames_per_s: Fraction | None = None
    rate_bps: int | None = None
    """With preamble and gap."""

    def gap_ps(self, frame_bytes: int) -> int:
        """Return the time from one frame to the next."""
        if self.frames_per_s is not None:
            return int(PS_PER_S / self.frames_per_s)
        assert self.rate_bps is not None, "one of the two"
        return 8 * wire_bytes(frame_bytes) * PS_PER_S // self.rate_bps


def send(
    interface: str,
    look: Look,
    sizes: Sequence[tuple[int, int]],
    pace: FramePace,
    count: int,
    *,
    stream: int = 0,
    burst: int = 1,
    seed: int = 1,
    namespace: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> SentFrames:
    """Send test frames when they are due, and say how late each was.

    `sizes` are pairs of frame bytes, check sequence included, and weight, in an order that the seed
    draws. `namespace` is the path of a network namespace. Raises ArgumentError, and
    EnvironmentMissing without the right to, without scapy, or without the interface.
    """
    shot = _loaded(look, sizes, pace, stream, seed)
    shot.law[SendState.COUNT], shot.law[SendState.BURST] = count, burst
    with _open(interface, namespace) as one:
        one.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        shot.law[SendState.SOCKET] = one.fileno()
        send_due(0, *shot)  # compiled, or read from the cache, before time counts
        shot.law[SendState.ORIGIN_NS] = time.time_ns() + START_NS
        ended = None
        while not send_due(time.time_ns() + LOOK_NS, *shot):
            if stopped():
                ended = "stopped"
                break
            last_ns = max(shot.law[SendState.LAST_NS], shot.law[SendState.ORIGIN_NS])
            if shot.law[SendState.REFUSED] and time.time_ns() - last_ns > STALLED_NS:
                ended = "the interface takes no more frames"
                break
    law, late = shot.law, shot.late
    sent = int(law[SendState.SENT])
    quantiles = _quantiles(late)
    return SentFrames(
        interface=interface,
        stream=stream,
        asked=count,
        frames=sent,
        frame_bytes=int(law[SendState.SENT_BYTES]),
        first_ns=int(law[SendState.FIRST_NS]),
        last_ns=int(law[SendState.LAST_NS]),
        late_ns_mean=int(law[SendState.LATE_SUM_NS]) // sent if sent else None,
        late_ns_p50=quantiles[0],
        late_ns_p99=quantiles[1],
        late_ns_p999=quantiles[2],
        late_ns_max=int(law[SendState.LATE_MOST_NS]) if sent else None,
        refused=int(law[SendState.REFUSED]),
        ended=ended,
    )


class _Shot(NamedTuple):
    """The arrays of `send_due`, in their order."""

    law: Ints
    clock: Ints
    pattern: Ints
    sizes: Ints
    templates: Bytes
    frames: Bytes
    vectors: Ints
    messages: Ints
    late: Ints


def _loaded(
    look: Look, sizes: Sequence[tuple[int, int]], pace: FramePace, stream: int, seed: int
) -> _Shot:
    """Lay out frames, and the message headers that point to their copies."""
    built = [(*build(look, stream, size), pace.gap_ps(size)) for size, _ in sizes]
    stride = max(len(frame) for frame, _, _ in built) + 63 & ~63
    templates = np.zeros(len(built) * stride, dtype=np.uint8)
    for place, (frame, _, _) in enumerate(built):
        templates[place * stride : place * stride + len(frame)] = np.frombuffer(frame, np.uint8)
    rows = np.array([[len(frame), gap_ps] for frame, _, gap_ps in built], dtype=np.int64)
    frames = np.zeros(BATCH * stride, dtype=np.uint8)
    vectors = np.zeros((BATCH, 5), dtype=np.int64)
    vectors[:, 0] = frames.ctypes.data + np.arange(BATCH) * stride
    messages = np.zeros((BATCH, 8), dtype=np.int64)
    messages[:, 2] = vectors.ctypes.data + np.arange(BATCH) * vectors.strides[0]
    messages[:, 3] = 1
    law, clock = np.zeros(16, dtype=np.int64), np.zeros(8, dtype=np.int64)
    law[SendState.STRIDE], law[SendState.AT] = stride, built[0][1]
    late = np.zeros(BIN_COUNT, dtype=np.int64)
    order = _pattern(sizes, seed)
    return _Shot(law, clock, order, rows, templates, frames, vectors, messages, late)


def _pattern(sizes: Sequence[tuple[int, int]], seed: int) -> Ints:
    """Return the row of each frame: rounds in which each size comes as often as its weight says.

    The order within a round is drawn.
    """
    once = np.repeat(np.arange(len(sizes), dtype=np.int64), [weight for _, weight in sizes])
    rounds = max(PATTERN // len(once), 1) if len(sizes) > 1 else 1
    keys = np.array(integers(seed, "order of frame sizes", rounds * len(once), 1 << 62))
    order = np.argsort(keys.reshape(rounds, len(once)), axis=1, kind="stable")
    return once[order.ravel()]


def _quantiles(bins: Ints) -> list[int | None]:
    found = [(number, count) for number, count in enumerate(bins.tolist()) if count]
    every = [quantile_ps(found, share) for share in SHARES_PPB]
    return [None if one is None else one // 1000 for one in every]


def _open(interface: str, namespace: str | None) -> socket.socket:
    """Return a packet socket that hears nothing yet, of an interface in a namespace."""
    one = None
    try:
        with Inside(namespace):
            one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            one.bind((interface, 0))
    except OSError as error:
        if one is not None:
            one.close()
        where = f" in {namespace}" if namespace else ""
        what = "needs root" if isinstance(error, PermissionError) else error.strerror
        raise EnvironmentMissing(f"a packet socket of {interface}{where}: {what}") from None
    return one


def receive_for(
    receiver: FrameReceiver,
    for_ns: int,
    quiet_ns: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Take in frames for so long, or until none has come for `quiet_ns` after the first."""
    begun_ns = last_ns = time.monotonic_ns()
    has_begun = False
    while (now := time.monotonic_ns()) - begun_ns < for_ns and not stopped():
        if receiver.take(min(LOOK_NS, for_ns - (now - begun_ns))):
            has_begun, last_ns = True, time.monotonic_ns()
        elif quiet_ns is not None and has_begun and now - last_ns > quiet_ns:
            return


class FrameReceiver(AllOrNothing):
    """Takes in test frames from the moment that it is entered; a context.

    Raises EnvironmentMissing without the right to, or without the interface.
    """

    def __init__(
        self, interface: str, *, namespace: str | None = None, longest: int = 1600
    ) -> None:
        self._interface = interface
        self._namespace = namespace
        self._step = 1 << (longest + TPACKET_HEADER - 1).bit_length()
        self._socket: socket.socket | None = None
        self._seen = np.zeros((STREAMS, 16), dtype=np.int64)
        self._known = np.zeros((STREAMS, WINDOW >> 5), dtype=np.int64)
        self._bins = np.zeros((STREAMS, BIN_COUNT), dtype=np.int64)
        self._clock, self._turn = np.zeros(8, dtype=np.int64), np.zeros(1, dtype=np.int64)
        self._ring = np.zeros(0, dtype=np.uint8)
        self._dropped = 0

    def _start(self) -> None:
        one = self._socket = _open(self._interface, self._namespace)
        one.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._ring = np.frombuffer(receive_ring(one, self._step, RING_FRAMES), dtype=np.uint8)
        self.take(0)  # compiled, or read from the cache, before time counts
        with Inside(self._namespace):
            one.bind((self._interface, ETH_P_ALL))

    def close(self) -> None:
        """Close the socket; may be called again. The kernel keeps it for as long as its ring is."""
        self._ring = np.zeros(0, dtype=np.uint8)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def take(self, for_ns: int) -> int:
        """Take in frames for so long; return how many test frames there were."""
        assert self._socket is not None, "it is entered"
        arrays = (self._clock, self._ring, self._ring.view(np.int64), self._turn, self._step // 8)
        tables = (self._seen, self._known, self._bins)
        found = take(time.time_ns() + for_ns, self._socket.fileno(), *arrays, *tables)
        told = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self._dropped += int(struct.unpack("=II", told)[1])  # since it was asked last
        return int(found)

    def report(self, expected: int | None = None) -> ReceivedFrames:
        """Say what has come so far; `expected` is how many frames of each stream were sent."""
        streams = [
            self._report(number, expected)
            for number in range(STREAMS)
            if self._seen[number, StreamSeen.FRAMES]
        ]
        return ReceivedFrames(
            interface=self._interface, streams=tuple(streams), dropped=self._dropped
        )

    def _report(self, number: int, expected: int | None) -> ReceivedStream:
        seen = [int(one) for one in self._seen[number]]
        frames, steps = seen[StreamSeen.FRAMES], max(seen[StreamSeen.FRAMES] - 1, 1)
        due = seen[StreamSeen.NEXT] if expected is None else max(expected, seen[StreamSeen.NEXT])
        quantiles = _quantiles(self._bins[number])
        last = quantiles[-1]
        return ReceivedStream(
            stream=number,
            frames=frames,
            frame_bytes=seen[StreamSeen.BYTES],
            expected=due,
            lost=due - frames,
            duplicates=seen[StreamSeen.DUPLICATES],
            reordered=seen[StreamSeen.REORDERED],
            too_old=seen[StreamSeen.TOO_OLD],
            first_at_ns=seen[StreamSeen.FIRST_AT_NS],
            last_at_ns=seen[StreamSeen.LAST_AT_NS],
            latency_ns_min=seen[StreamSeen.LEAST_NS],
            latency_ns_mean=seen[StreamSeen.SUM_NS] // frames,
            latency_ns_p50=quantiles[0],
            latency_ns_p99=quantiles[1],
            latency_ns_p999=last,
            latency_ns_max=seen[StreamSeen.MOST_NS],
            jitter_ns=(seen[StreamSeen.JITTER] + 8) >> 4,
            pdv_ns_p999=None if last is None else max(last - seen[StreamSeen.LEAST_NS], 0),
            ipdv_ns_mean=seen[StreamSeen.STEP_SUM_NS] // steps,
            ipdv_ns_max=seen[StreamSeen.STEP_MOST_NS],
        )
