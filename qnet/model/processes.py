"""Random processes: how often cables break and nodes fail, and for how long, as files say it.

`qnet.model.expand` draws the events.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from qnet.model.failures import Duration, FailureRate
from qnet.model.fields import Instant, InstantOrZero, Name, Noun, Text
from qnet.units import UnitError, describe

MONTHS = 12

SEASONS = {"china": (7, 5, 8, 9, 11, 13, 16, 14, 12, 10, 8, 7)}
"""Weights of the months from January on. That trunk cables in China break least in February and
most in July is known (docs/sources.md); how much more often is an assumption of ours."""

WEIGHT_HIGHEST = 1000


def _read_season(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        if value in SEASONS:
            return SEASONS[value]
    elif isinstance(value, list | tuple):
        months = tuple(value)
        if len(months) != MONTHS:
            raise UnitError(f"a list of {len(months)}; a season has twelve months")
        for one in months:
            if type(one) is not int or not 0 <= one <= WEIGHT_HIGHEST:
                words = f"a month has a whole number from 0 to {WEIGHT_HIGHEST:,}"
                raise UnitError(f"{describe(one)} is no weight of a month; {words}")
        if not any(months):
            raise UnitError("no month has any weight; one at least has more than 0")
        return months
    names = " or ".join(f"'{name}'" for name in SEASONS)
    raise UnitError(f"{describe(value)} is no season; write {names}, or twelve whole numbers")


Season = Annotated[
    tuple[int, ...],
    BeforeValidator(_read_season),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": [*SEASONS], "examples": [*SEASONS]},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": WEIGHT_HIGHEST},
                    "minItems": MONTHS,
                    "maxItems": MONTHS,
                },
            ]
        }
    ),
]


class Repair(Noun):
    """How long repairs take."""

    law: Literal["fixed", "exponential", "lognormal"] = Field(
        "fixed", description="how they vary; fixed ones all take the mean"
    )
    mean_s: Duration | None = Field(
        None,
        alias="mean",
        description="how long one takes on average; default what the topology says, 3h",
    )
    deviation_s: Duration | None = Field(
        None,
        alias="deviation",
        description="standard deviation of lognormal ones; default as long as the mean",
    )

    @model_validator(mode="after")
    def _check(self) -> Repair:
        if self.mean_s == 0:
            raise ValueError("'mean' is zero; a repair takes time")
        if self.deviation_s is not None and self.law != "lognormal":
            raise ValueError(f"'deviation' does not go with {self.law}; leave it out")
        return self


class Process(Noun):
    """What breaks at random: a Poisson process for each cable or node, alone by itself."""

    name: Name | None = Field(
        None, description="what its events say they are drawn from; default as 'change'"
    )
    change: Literal["cut", "down"] = Field(description="cut breaks cables, down stops nodes")
    rate: FailureRate | None = Field(
        None,
        description="how often cables break, by length and year; default what the topology says",
    )
    mtbf_s: Duration | None = Field(
        None,
        alias="mtbf",
        description="mean time from one break of each to the next, in place of a rate",
    )
    repair: Repair = Field(Repair(), description="how long repairs take")
    season: Season | None = Field(
        None,
        description="weights of the months from January on, whose mean over a year is the rate; "
        "'china' is least in February and most in July",
    )
    targets: tuple[Text, ...] = Field(
        (),
        description="links, wires and cables, or nodes; default all cables that have a length, or "
        "all nodes whose 'failures' say how often",
    )
    from_ps: InstantOrZero = Field(0, alias="from", description="from when on; default the start")
    until_ps: Instant | None = Field(
        None, alias="until", description="before when; default to the end"
    )
    note: Text | None = Field(None, description="what there is to say of it")
    source: Text | None = Field(None, description="where it is known from")

    @property
    def called(self) -> str:
        """What its events name it."""
        return self.name or self.change

    @model_validator(mode="after")
    def _check(self) -> Process:
        if self.rate is not None and self.mtbf_s is not None:
            raise ValueError("'rate' and 'mtbf' both given; keep one")
        if self.rate is not None and self.change == "down":
            raise ValueError("'rate' does not go with down, a node has no length; give 'mtbf'")
        if self.mtbf_s == 0:
            raise ValueError("'mtbf' is zero; there is time between two failures")
        if self.until_ps is not None and self.until_ps <= self.from_ps:
            raise ValueError("'until' is not after 'from'; nothing would ever break")
        twins = sorted({one for one in self.targets if self.targets.count(one) > 1})
        if twins:
            raise ValueError(f"'{twins[0]}' twice in 'targets'; it breaks once")
        return self
