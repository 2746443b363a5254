"""Times that tests give."""

from __future__ import annotations

from qnet.units import PS_PER_S, TIME, parse


def seconds(value: float | str) -> float:
    """Return a time such as '500ms' in seconds; a number is one of seconds.

    Raises UnitError, a ValueError, for a text without a unit of time.
    """
    return parse(TIME, value) / PS_PER_S if isinstance(value, str) else float(value)
