"""What a sweep is about and what it finds: a case for each failure, setting and seed."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from qnet.model.fields import Noun

Depth = Literal["lp", "planned", "simulated"]
"""How closely each case is looked at; each depth has what the one before it has, but for `lp`."""

FailureOf = Literal["cable", "link", "wire", "node", "site"]
"""What can fail: wires are members of links, cables are links that are cut together."""

KINDS_OF_FAILURE: tuple[FailureOf, ...] = ("cable", "link", "wire", "node", "site")

CaseOutcome = Literal["pass", "fail", "killed", "error"]
"""Whether every promise that was looked at is kept once it is planned anew; `killed` where the
process that looked at the case died each time, `error` where qnet itself is at fault.
"""


class Failure(Noun):
    """What fails at one time: nothing, one thing, or two.

    Names are 'cable ix-xian', 'node qy-ix1': all that take along the same wires are one failure.
    `targets` are what events call it, a name for each thing that fails.
    """

    names: tuple[str, ...] = ()
    targets: tuple[tuple[FailureOf, str], ...] = ()
    ports: tuple[int, ...] = ()
    broken_us_per_year: int | None = None
    """How long it is broken in a year on average; None where nothing gives a rate."""

    @property
    def title(self) -> str:
        """Name it in few words: the things that fail, with a plus between two."""
        return " + ".join(f"{kind} {name}" for kind, name in self.targets) or "nothing fails"


class SweepCase(Noun):
    """One question of a sweep: settings of the traffic file, a seed, and what fails."""

    number: int
    variant: int
    """Which combination of settings and seed, counted from 0."""
    settings: tuple[tuple[str, str], ...] = ()
    seed: int
    failure: Failure

    @property
    def title(self) -> str:
        """Name it in few words."""
        set_to = [f"{name}={value}" for name, value in self.settings]
        return ", ".join([self.failure.title, *set_to])


class SiteEgress(Noun):
    """What a site still sends to the outside, and what no plan can exceed, where that is known."""

    site: str
    placed_bps: int
    bound_bps: int | None = None


class CaseState(Noun):
    """What is left of the services in one state of the network.

    Streams count once, whatever listeners they have. `promises_broken` are streams without a whole
    path, or of which the checker says that they can be late, demands that have not all of their
    rate, and sites below their egress; `lost_bps` is the mean rate of theirs that has no place.
    """

    streams_cut: int
    streams_reduced: int
    """With one path left of two."""
    streams_moved: int = 0
    demands_short: int
    promises_broken: int
    lost_bps: int
    egress: tuple[SiteEgress, ...] = ()
    services: tuple[tuple[str, int], ...] = ()
    """Services with a broken promise, and how many of their streams and demands that is."""
    findings: tuple[str, ...] = ()
    """The first of what the checker finds wrong with the plan, but for paths that are missing."""


class CaseLoss(Noun):
    """What was lost when it failed in the middle of a run with the plan as it is, frame by frame.

    What the failure took and what was lost otherwise are apart; `streams` and `demands` are those
    that the failure took frames of.
    """

    duration_ps: int
    at_ps: int
    frames_sent: int
    frames_taken: int
    frames_lost_otherwise: int
    late: int
    streams: int
    demands: int


class WireValue(Noun):
    """How much more could be placed with one more wire of a link, by the duals of the program.

    The figure is at most what it would be: a wire is not more useful the more there are of it.
    """

    link: str
    gain_bps: int


class CaseResult(Noun):
    """The answer of one case; `key` is the hash of all that it follows from."""

    key: str
    case: SweepCase
    outcome: CaseOutcome
    kept: CaseState | None = None
    """With the plan as it was, until anybody reacts."""
    replanned: CaseState | None = None
    seen: CaseLoss | None = None
    wires: tuple[WireValue, ...] = ()
    reason: str | None = None


class WeakPoint(Noun):
    """A place in the ranking: the number of a case."""

    case: int
    expected_lost_bps: int | None = None
    """Rate lost until repair or reaction, times the share of the time for which it is broken."""


class Survivable(Noun):
    """The least that plans send out of a site over all cases of one variant, and in which.

    Any failure counts, also of who was to receive it; what wires let out at most when a cable or a
    node of the site fails is `SurvivableEgress`.
    """

    variant: int
    site: str
    required_bps: int
    kept_bps: int
    kept_case: int
    replanned_bps: int
    replanned_case: int


class WireRank(Noun):
    """What one more wire of a link is worth: when nothing fails, at most, and in how many cases."""

    link: str
    intact_bps: int
    most_bps: int
    most_case: int
    cases: int


class Shard(Noun):
    """One of several parts of a sweep: the cases whose number leaves `index - 1` by `count`."""

    index: int = Field(ge=1)
    count: int = Field(ge=1)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


SHARD = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


class Sweep(Noun):
    """A whole sweep, or a shard of one: what was asked, and the cases in order of their numbers.

    Nothing in it depends on how many processes worked on it, where, and for how long.
    """

    format: Literal["qnet-sweep-1"] = "qnet-sweep-1"
    qnet_version: str
    title: str
    identity: str
    """Hash of all that was asked; shards of one sweep have the same."""
    depth: Depth
    duration_ps: int | None = None
    """Of each simulated case; what fails does so at half of it."""
    failures: tuple[FailureOf, ...] = ()
    names: int
    """How many things of these kinds there are by name; names of one kind are told apart."""
    distinct: int
    """How many of them take along other wires than all the others."""
    unlisted_ppt: int | None = None
    """Share of the time, in parts per 10^12, in which two or more things are broken at once that no
    case is about; None where doubles were not asked for.
    """
    cases: int
    shard: Shard | None = None
    results: tuple[CaseResult, ...]
    ranking: tuple[WeakPoint, ...] = ()
    survivable: tuple[Survivable, ...] = ()
    wires: tuple[WireRank, ...] = ()
    required: tuple[tuple[str, int], ...] = ()
    """Sites with an egress requirement, in bit/s."""

    @property
    def unfinished(self) -> list[CaseResult]:
        """Return the cases that have no answer: their process died, or qnet is at fault."""
        return [one for one in self.results if one.outcome in ("killed", "error")]
