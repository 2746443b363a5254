"""The kinds of value that files hold: text with a unit in, exact integers out."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    WithJsonSchema,
)

from qnet.units import LENGTH, RATE, RATIO, SIZE, TIME, Dimension, UnitError, describe, parse


class Noun(BaseModel):
    """A frozen thing of the model; unknown keys are errors, file keys are in kebab-case."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True
    )


def _reads(dimension: Dimension, *, positive: bool = True) -> BeforeValidator:
    def read(value: object) -> int:
        amount = parse(dimension, value)
        if positive and amount == 0:
            raise UnitError(f"{value} is zero; a {dimension.name} here is more than zero")
        return amount

    return BeforeValidator(read)


def _shown(dimension: Dimension) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "description": f"a {dimension.name} with its unit",
            "examples": [dimension.example],
        }
    )


# The dimension itself is carried along for the key tables and for messages.
Time = Annotated[int, _reads(TIME), _shown(TIME), TIME]
TimeOrZero = Annotated[int, _reads(TIME, positive=False), _shown(TIME), TIME]
Rate = Annotated[int, _reads(RATE), _shown(RATE), RATE]
Size = Annotated[int, _reads(SIZE), _shown(SIZE), SIZE]
Length = Annotated[int, _reads(LENGTH), _shown(LENGTH), LENGTH]
Ratio = Annotated[int, _reads(RATIO, positive=False), _shown(RATIO), RATIO]


_ERROR_RATIO = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?(?:[eE]-[0-9]{1,2})?")


def _read_error_ratio(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not _ERROR_RATIO.fullmatch(text):
        raise UnitError(f"{describe(value)} is not a bit error ratio; write it like '1e-12'")
    exact = Fraction(text) * 10**18
    if exact.denominator != 1 or exact > 10**18:
        raise UnitError(f"{value} is out of range; from 1e-18 to 1")
    return int(exact)


ErrorRatio = Annotated[
    int,
    BeforeValidator(_read_error_ratio),
    WithJsonSchema(
        {"type": "string", "description": "a ratio without unit", "examples": ["1e-12"]}
    ),
]
"""Wrong bits in 10**18."""


class TimeRange(NamedTuple):
    """A time that lies between two bounds, both included."""

    low_ps: int
    high_ps: int


def _read_time_range(value: object) -> TimeRange:
    if isinstance(value, TimeRange):
        return value
    if not isinstance(value, str):
        raise UnitError(f"{describe(value)} is not a time or a range; write it like '2us..3us'")
    low, dots, high = value.partition("..")
    low_ps = parse(TIME, low)
    high_ps = parse(TIME, high) if dots else low_ps
    if high_ps < low_ps:
        raise UnitError(f"{value}: the range ends before it begins; write it like '2us..3us'")
    return TimeRange(low_ps, high_ps)


TimeSpan = Annotated[
    TimeRange,
    BeforeValidator(_read_time_range),
    WithJsonSchema(
        {
            "type": "string",
            "description": "a time with its unit, or a range",
            "examples": ["2us", "2us..3us"],
        }
    ),
]


class Position(NamedTuple):
    """A place on the globe, in millionths of a degree; north and east are positive."""

    latitude_microdegrees: int
    longitude_microdegrees: int


_POSITION = re.compile(
    r"([0-9]{1,2}(?:\.[0-9]{1,6})?)\s*([NS])[,\s]\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*([EW])"
)


def _read_position(value: object) -> Position:
    if isinstance(value, Position):
        return value
    match = _POSITION.fullmatch(str(value).strip()) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"{describe(value)} is not a position; write it like '35.71N 107.64E'")
    north, pole, east, side = match.groups()
    latitude = _microdegrees(north) * (1 if pole == "N" else -1)
    longitude = _microdegrees(east) * (1 if side == "E" else -1)
    if abs(latitude) > 90_000_000 or abs(longitude) > 180_000_000:
        raise UnitError(f"{value} is not on the globe; latitude ends at 90, longitude at 180")
    return Position(latitude, longitude)


def _microdegrees(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0") or "0")


Place = Annotated[
    Position,
    BeforeValidator(_read_position),
    WithJsonSchema(
        {
            "type": "string",
            "description": "latitude and longitude",
            "examples": ["35.71N 107.64E"],
        }
    ),
]

Name = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9\u4e00-\u9fff][A-Za-z0-9_.\u4e00-\u9fff-]*$", max_length=63
    ),
]
"""A name without spaces: letters, digits, Chinese characters, '-', '_' and '.'."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
