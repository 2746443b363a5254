"""What an emulation adds to an observation: how it was made, and frame by frame beside simulated.

Written as emulation.json. Wall-clock times are not in it: they differ from run to run.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.observation import Observation

Tier = Literal["lockstep", "mininet"]


class Witnesses(Noun):
    """One stream, or one part of a demand, as each witness has it.

    `simulated_*` are of every frame of the simulation, `emulated_*` of the frames that went through
    the real switches. `difference_ps` is the largest difference between the emulated and the
    simulated latency of one frame, and `variation_difference_ps` that between the variations of
    the frames that came through both; None where none did.
    """

    name: str
    frames: int
    """Frames that were sent through real switches."""
    delivered: int
    lost: int
    proven_latency_ps_max: int | None = None
    proven_variation_ps: int | None = None
    simulated_latency_ps_max: int | None
    simulated_variation_ps: int | None
    emulated_latency_ps_max: int | None
    emulated_variation_ps: int | None
    difference_ps: int | None
    variation_difference_ps: int | None = None


class Lateness(Noun):
    """How well switches kept up with virtual time, counted in passages through a switch.

    A frame that is still in a switch when its virtual time has come holds virtual time back; one
    that is too long in coming is a violation and counts no more. Under `lockstep` the clock waits
    for every frame, so there is neither.
    """

    frames: int
    violations: int
    holds: int
    """Times that virtual time was held back."""
    held_ps: int
    """For how long in all: wall-clock time, divided by the dilation."""


class Emulation(Noun):
    """One emulated run. Findings of one that is void are of the rules alone."""

    format: Literal["qnet-emulation-1"] = "qnet-emulation-1"
    tier: Tier
    dilation: int | None
    """Wall-clock time in parts of virtual time; None when the clock only follows the frames."""
    rounding_ps: int
    """Largest difference between emulated and simulated latency that the tier may make."""
    controller: str
    switches: int
    rules: int
    """Flow entries in all switches."""
    frames: int
    """Real frames sent by hosts."""
    hops: int
    """Times that a real frame went through a switch."""
    lateness: Lateness
    dropped_early: int = Field(0, exclude_if=lambda frames: not frames)
    """Frames that switches dropped at ports that events had down, and that the model keeps until
    the wire is mended: they come through simulated, and are not compared.
    """
    void: str = ""
    """Why nothing that frames did counts: the testbed could not keep up. Empty when it counts."""
    findings: tuple[str, ...]
    streams: tuple[Witnesses, ...]
    observation: Observation
