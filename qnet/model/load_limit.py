"""What a search for the highest load is about, and what it finds, in the terms of RFC 9971.

Loads are parts per million of the load that the profile itself offers. The largest load at which
the goal is met is the relevant lower bound, the smallest at which it is not, above that one, the
relevant upper bound. Without one of them, or where the highest load that was tried is met, a result
is irregular.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qnet.model.emulation import Tier
from qnet.model.fields import Noun
from qnet.model.verdict import Outcome

GoalKind = Literal["promises", "loss"]
"""That every promise is known to be kept; or that a share of the frames at most is lost."""

BoundBy = Literal["linear program", "rates of ports", "proof", "trial"]
"""What excludes the load above: no flow of any kind carries it, a port of its way cannot send it
for ever, the checker says that a promise is broken, or frames were sent and the goal was not met.
"""


PPM = 10**6

_AT_SHARES_PPM = (100_000, 500_000, 900_000, PPM)


def loads_looked_at(lower_ppm: int | None) -> dict[int, int]:
    """Return the loads at which latency is looked at, by their shares of a lower bound."""
    if not lower_ppm:
        return {}
    return {share: max(lower_ppm * share // PPM, 1) for share in _AT_SHARES_PPM}


class LoadTrial(Noun):
    """One load that frames were sent at. Frames are those of what is scaled.

    `lost` are those that were dropped, or were on links that lost them; what was under way when the
    time was over is neither lost nor offered.
    """

    scale_ppm: int
    offered_bps: int
    """Mean rate on the wire that all streams and demands offer."""
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    offered: int
    lost: int
    real_frames: int | None = Field(None, exclude_if=lambda frames: frames is None)
    """Frames that went through real switches, where trials are emulated, too."""
    real_lost: int | None = Field(None, exclude_if=lambda frames: frames is None)

    @property
    def loss_ppb(self) -> int:
        """Share that was lost, in parts per billion, rounded down."""
        return self.lost * 10**9 // self.offered if self.offered else 0


class ClassAtLoad(Noun):
    """What frames of one class met at one load: of all copies, whatever their streams."""

    traffic_class: str
    frames: int
    lost: int
    latency_ps_min: int | None
    latency_ps_mean: int | None
    latency_ps_max: int | None
    wait_ps_p50: int | None
    """Beyond the least latency that its route allows: the upper end of the histogram's bin; so are
    the next two."""
    wait_ps_p99: int | None
    wait_ps_p999: int | None
    variation_ps: int | None
    """Largest of any stream or demand: its largest latency less its smallest."""


class LoadPoint(Noun):
    """What was seen at one load, class by class."""

    scale_ppm: int
    offered_bps: int
    classes: tuple[ClassAtLoad, ...]


class SiteRate(Noun):
    """What leaves a site at the relevant lower bound, and the most that any plan could send."""

    site: str
    placed_bps: int
    bound_bps: int | None


class LoadLimit(Noun):
    """The answer: between which loads the limit is, who holds it there, what was seen below it."""

    format: Literal["qnet-load-1"] = "qnet-load-1"
    title: str
    scaled: str
    """What is scaled, in words."""
    goal: GoalKind
    loss_ppb: int | None = Field(None, exclude_if=lambda value: value is None)
    width_ppm: int
    """How far apart bounds may be, as a share of the upper one."""
    duration_ps: int
    seed: int
    emulated: Tier | None = Field(None, exclude_if=lambda tier: tier is None)
    """On what trials are emulated, too."""
    bound_ppm: int
    """What linear programs (goal promises) or the rates of ports (goal loss) allow at most."""
    bound_ports: tuple[str, ...]
    """Ports that set that bound."""
    proven_ppm: int | None = Field(None, exclude_if=lambda value: value is None)
    """The highest load tried of which the checker says that no promise is broken."""
    lower_ppm: int | None
    upper_ppm: int
    upper_by: BoundBy
    irregular: str | None
    """Why the result is irregular, or None where it is not."""
    limited_by: tuple[str, ...]
    """What is not kept at the upper bound, and the ports that have no room there."""
    egress: tuple[SiteRate, ...] = ()
    trials: tuple[LoadTrial, ...]
    points: tuple[LoadPoint, ...]


def show_load(scale_ppm: int) -> str:
    """Write a load as a share of the profile's own: 1012500 is '101.25%'."""
    whole, rest = divmod(scale_ppm, 10**4)
    return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + "%"
