"""Wall-clock times, counted from the start of a run in picoseconds.

A moment has a date, a time of day and a time zone, like '2001-06-15T08:40+08:00' (ISO 8601). What
it is in picoseconds follows from the `epoch` of its file: the moment at which the run starts. Leap
seconds are not counted.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from qnet.units import PS_PER_US, UnitError, describe

EXAMPLE = "2001-06-15T08:40+08:00"

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
_BEGINS = re.compile(r"[0-9]{4}-[0-9]")


def is_moment(text: str) -> bool:
    """Tell whether a text is meant as a wall-clock time: it begins with a year and a month."""
    return _BEGINS.match(text) is not None


def read_moment(text: str) -> datetime:
    """Return a wall-clock time with its zone; raises UnitError for what is none."""
    if _MOMENT.fullmatch(text) is None:
        named = re.fullmatch(r"[0-9-]+[T ][0-9:.]+", text)
        what = "has no time zone" if named else "is not a wall-clock time"
        raise UnitError(f"{describe(text)} {what}; write it like '{EXAMPLE}'")
    try:
        moment = datetime.fromisoformat(text)
        moment.utctimetuple()
    except (ValueError, OverflowError):
        raise UnitError(f"{describe(text)} is not in the calendar") from None
    return moment


def ps_since(epoch: datetime, moment: datetime) -> int:
    """Return how long after an epoch a moment is; below 0 where it is before."""
    return (moment - epoch) // timedelta(microseconds=1) * PS_PER_US


def _check(text: str) -> str:
    read_moment(text)
    return text


Moment = Annotated[
    str,
    StringConstraints(max_length=40),
    AfterValidator(_check),
    WithJsonSchema(
        {"type": "string", "description": "a wall-clock time and its zone", "examples": [EXAMPLE]}
    ),
]
