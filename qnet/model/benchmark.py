"""What the benchmarks of RFC 2544 find, size by size: throughput, latency, loss, back-to-back.

Loads are parts per million of what the profile itself offers. The *input rate* is the load at which
a first port of what is scaled is full: the medium that frames come in by carries no more.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.load_limit import LoadLimit


class LossStep(Noun):
    """Frame loss rate at one load (RFC 2544 clause 26.3)."""

    share_ppm: int
    """Of the input rate."""
    scale_ppm: int
    frames: int
    lost: int

    @property
    def loss_ppb(self) -> int:
        """Share that was lost, in parts per billion, rounded down."""
        return self.lost * 10**9 // self.frames if self.frames else 0


class BackToBack(Noun):
    """Longest bursts at the input rate without loss (RFC 9004), over trials of different seeds.

    Without a burst that loses frames there is none, and `irregular` says why.
    """

    repeats: int
    frames_min: int | None = None
    frames_mean: int | None = None
    """Rounded down; so is the next."""
    frames_deviation: int | None = None
    frames_max: int | None = None
    implied_ps: int | None = None
    """Implied buffer time: the mean burst at the input rate."""
    corrected_ps: int | None = None
    """Corrected buffer time: less what was sent on meanwhile, at the measured throughput."""
    irregular: str | None = Field(None, exclude_if=lambda why: why is None)


class SizeBenchmark(Noun):
    """All tests with frames of one size."""

    frame_bytes: int
    input_ppm: int
    input_frames_per_s: int
    throughput_frames_per_s: int | None
    throughput: LoadLimit
    """With what frames met at 10, 50, 90 and 100 % of the throughput: `points`."""
    loss: tuple[LossStep, ...]
    back_to_back: BackToBack


class Benchmark(Noun):
    """The answer."""

    format: Literal["qnet-rfc2544-1"] = "qnet-rfc2544-1"
    title: str
    scaled: str
    duration_ps: int
    seed: int
    sizes: tuple[SizeBenchmark, ...]
