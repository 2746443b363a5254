"""How often cables and nodes break, and how long it takes until they are repaired.

What is given says how often something breaks in a year of the calendar, so it is broken for the
share `per_year x repair / year` of the time, with a year of 8,760 h: a cable of 2,474 km that
breaks 3 times per 1,000 km and year, for 3 h each, is broken for 0.254 % of it, 22.3 h a year.
Nothing else counts in the long run: not how repairs vary around their mean, not when they come.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from qnet.model.fields import Noun, reads, shown
from qnet.units import AVAILABILITY, DURATION, FAILURE_RATE, YEAR_S

Duration = Annotated[int, reads(DURATION), shown(DURATION), DURATION]
FailureRate = Annotated[int, reads(FAILURE_RATE), shown(FAILURE_RATE), FAILURE_RATE]
Availability = Annotated[int, reads(AVAILABILITY), shown(AVAILABILITY), AVAILABILITY]
"""A share of time in steps of 1e-15."""

RATE_DEFAULT = 3_000_000
"""Of trunk cables in China: 3 per 1,000 km and year (docs/sources.md)."""

REPAIR_S_DEFAULT = 3 * 3600

KM_PER_STEP = 10**9
"""A rate counts failures over so many kilometres in a year."""


class NodeFailures(Noun):
    """How often a node fails, and for how long."""

    mtbf_s: Duration | None = Field(
        None, alias="mtbf", description="mean time from one failure to the next"
    )
    repair_s: Duration | None = Field(
        None, alias="repair", description="mean time until it is repaired; default 3h"
    )


class CableFailures(NodeFailures):
    """How often a cable breaks, and for how long."""

    rate: FailureRate | None = Field(
        None,
        description="how often it breaks, by its length and the year, in place of a time between "
        "failures; default 3/1000km/y",
    )

    @model_validator(mode="after")
    def _check(self) -> CableFailures:
        if self.rate is not None and self.mtbf_s is not None:
            raise ValueError("'rate' and 'mtbf' both given; keep one")
        return self


class NetworkFailures(Noun):
    """How often cables break and nodes fail that say nothing themselves."""

    cables: CableFailures = Field(CableFailures(), description="how often cables break")
    nodes: NodeFailures = Field(
        NodeFailures(), description="how often nodes fail; without 'mtbf' they do not"
    )


class Failing(NamedTuple):
    """How often something breaks in a year, and how many seconds each repair takes."""

    per_year: Fraction
    repair_s: int

    @property
    def broken_share(self) -> Fraction:
        """Share of the time for which it is broken."""
        return self.per_year * self.repair_s / YEAR_S


def of_cable(length_km: Fraction, own: CableFailures | None, general: CableFailures) -> Failing:
    """Return how often a cable of a length breaks, by its own figures before the general ones."""
    own = own or CableFailures()
    repair_s = own.repair_s or general.repair_s or REPAIR_S_DEFAULT
    given = own if own.mtbf_s or own.rate else general
    if given.mtbf_s is not None:
        return Failing(Fraction(YEAR_S, given.mtbf_s), repair_s)
    return Failing((given.rate or RATE_DEFAULT) * length_km / KM_PER_STEP, repair_s)


def of_node(own: NodeFailures | None, general: NodeFailures) -> Failing | None:
    """Return how often a node fails; None where nothing gives its time between failures."""
    own = own or NodeFailures()
    mtbf_s = own.mtbf_s or general.mtbf_s
    if mtbf_s is None:
        return None
    return Failing(Fraction(YEAR_S, mtbf_s), own.repair_s or general.repair_s or REPAIR_S_DEFAULT)
