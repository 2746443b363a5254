"""What a service activation test finds (ITU-T Y.1564): each service against what it was promised.

Information rates (IR) are those of the wire, with preamble and gap. FTD is frame transfer delay,
FDV its variation (largest less smallest), FLR the frame loss ratio. A service is a stream that is
policed: its committed information rate (CIR) is what it asks for, frames an interval, its excess
information rate (EIR) is `excess-rate`; committed rate and bursts of the meter are the network's.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.verdict import Outcome, worst_of

StepName = Literal["1", "2", "3", "performance"]
"""Of the configuration test: steps up to CIR, CIR + EIR, traffic policing; and the performance
test, all services together at CIR."""


class ServiceStep(Noun):
    """One step of one service: what was sent, what came, and whether that is accepted."""

    step: StepName
    share_ppm: int
    """What was to be sent, as a share of CIR in step 1 and the performance test, of CIR + EIR in
    steps 2 and 3."""
    duration_ps: int
    """For so long frames were sent."""
    ir_sent_bps: int
    ir_received_bps: int
    least_bps: int | None = None
    """Least rate that must be received, where the step is about that."""
    most_bps: int | None = None
    """Largest rate that may be received, with what the bursts of the meter are good for."""
    frames: int
    lost: int
    yellow: int
    """Frames beyond the committed rate that passed by the excess rate."""
    ftd_ps_min: int | None
    ftd_ps_mean: int | None
    ftd_ps_max: int | None
    fdv_ps: int | None
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    real_frames: int | None = Field(None, exclude_if=lambda frames: frames is None)
    """Frames that went through real switches, where trials are emulated, too."""
    real_lost: int | None = Field(None, exclude_if=lambda frames: frames is None)

    @property
    def flr_ppb(self) -> int:
        """Frame loss ratio, in parts per billion, rounded down."""
        return self.lost * 10**9 // self.frames if self.frames else 0


class ActivatedService(Noun):
    """One service: its bandwidth profile, its acceptance criteria, its steps."""

    name: str
    traffic_class: str
    cir_bps: int
    cbs_bytes: int
    eir_bps: int
    ebs_bytes: int
    ftd_ps: int | None
    """Largest delay that is accepted, of any frame; None where nothing is promised."""
    fdv_ps: int | None
    flr_ppb: int
    steps: tuple[ServiceStep, ...]

    @property
    def outcome(self) -> Outcome:
        """Outcome of all of its steps together."""
        every = (one.outcome for one in self.steps)
        return worst_of(every, has_failed=False, is_unknown=False)


class LeftOut(Noun):
    """A policed stream that is not tested, and why."""

    name: str
    reason: str
    fails: bool
    """Whether the test fails for it: it has no place in the plan."""


class ServiceActivation(Noun):
    """The answer of a service activation test."""

    format: Literal["qnet-y1564-1"] = "qnet-y1564-1"
    title: str
    scope: str
    """Which services were asked for, in words."""
    seed: int
    round_ps: int
    """After so long what all services send begins again; or the longest interval of any, where that
    would be too long."""
    rounds: int
    """So many of these the performance test lasts, at least."""
    outcome: Outcome
    services: tuple[ActivatedService, ...]
    left_out: tuple[LeftOut, ...] = Field((), exclude_if=lambda some: not some)
