"""Text with a unit to exact integers, and back.

Inside qnet time is integer picoseconds, size bytes, rate bits per second, length millimetres and a
ratio parts per billion. A value that is not a whole number of those is refused, not rounded.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

PS_PER_NS = 10**3
PS_PER_US = 10**6
PS_PER_MS = 10**9
PS_PER_S = 10**12
PPB = 10**9

WHOLE_HIGHEST = 10**18 - 1
"""The largest whole number that is taken, in files and options alike: 18 digits."""

PREAMBLE_BYTES = 8
"""Preamble and start delimiter: IEEE 802.3 clause 3.1.1."""

GAP_BYTES = 12
"""Inter-packet gap: IEEE 802.3 clause 4.4.2. It follows the last bit of a frame."""

WIRE_OVERHEAD_BYTES = PREAMBLE_BYTES + GAP_BYTES


@dataclass(frozen=True, eq=False)
class Dimension:
    """A physical dimension: its units as multiples of the internal one, and an example."""

    name: str
    base: str
    units: Mapping[str, Fraction]
    example: str
    highest: int
    lowest: int = 0


def powers(*pairs: tuple[str, int]) -> dict[str, Fraction]:
    """Return units that are powers of ten of the internal one, which is the first of them."""
    return {unit: Fraction(10) ** exponent for unit, exponent in pairs}


TIME = Dimension(
    "time",
    "ps",
    powers(("ps", 0), ("ns", 3), ("us", 6), ("µs", 6), ("μs", 6), ("ms", 9), ("s", 12)),
    "10us",
    10**17,
)
YEAR_S = 8760 * 3600
"""A year of failures and repairs: 365 days."""

INSTANT = Dimension(
    "time",
    "ps",
    {
        **TIME.units,
        **{unit: Fraction(s * PS_PER_S) for unit, s in (("min", 60), ("h", 3600), ("d", 86_400))},
        "y": Fraction(YEAR_S * PS_PER_S),
    },
    "10us",
    10**24,
)
"""Of events: up to thirty thousand years, far beyond what picoseconds in 64 bits can hold."""

RATE = Dimension(
    "rate",
    "bps",
    powers(("bps", 0), ("kbps", 3), ("Mbps", 6), ("Gbps", 9), ("Tbps", 12)),
    "400Gbps",
    10**15,
)
SIZE = Dimension(
    "size",
    "byte",
    {
        **powers(("B", 0), ("kB", 3), ("MB", 6), ("GB", 9)),
        "KiB": Fraction(2**10),
        "MiB": Fraction(2**20),
        "GiB": Fraction(2**30),
    },
    "1500B",
    10**12,
)
LENGTH = Dimension("length", "mm", powers(("mm", 0), ("m", 3), ("km", 6)), "560km", 10**14)
RATIO = Dimension("ratio", "ppb", powers(("ppb", 0), ("ppm", 3), ("%", 7)), "0.1%", PPB)
FACTOR = Dimension("factor", "ppb", RATIO.units, "250%", 10**6 * PPB)
"""What something is multiplied by; a plain number is one too."""
OFFSET = Dimension("time", "ps", TIME.units, "-5us", PS_PER_S, -PS_PER_S)
"""By how much a clock is set ahead, or back: a leap second at most."""
DRIFT = Dimension("ratio", "ppb", RATIO.units, "-20ppm", PPB // 10, -PPB // 10)
"""By how much a clock is too fast, or too slow."""
AVAILABILITY = Dimension("share of time", "1e-13 %", powers(("%", 13)), "99.999%", 10**15)
"""Whole numbers of 1e-15: a ratio's parts per billion are nine nines and no more."""

DURATION = Dimension(
    "duration",
    "s",
    {unit: Fraction(s) for unit, s in (("s", 1), ("min", 60), ("h", 3600), ("d", 86_400))}
    | {"y": Fraction(YEAR_S)},
    "3h",
    10**12,
)
"""Of repairs and between failures: far longer than what picoseconds in 64 bits can hold."""

FAILURE_RATE = Dimension(
    "failure rate",
    "/1e9km/y",
    powers(("/1e9km/y", 0), ("/1000km/y", 6), ("/km/y", 9)),
    "3/1000km/y",
    10**15,
)

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*(\S*)")


LENGTH_HIGHEST = 40
"""Characters of a quantity; the largest one, to the last picosecond, has fewer."""


class UnitError(ValueError):
    """A text that is not a quantity of the wanted dimension."""


def parse(dimension: Dimension, value: object) -> int:
    """Read `value`, such as '400Gbps', as a whole number of the internal unit.

    Raises UnitError when there is no unit, another dimension's unit, a fraction of the internal
    unit, a sign, or more than qnet can hold.
    """
    example = f"write it like '{dimension.example}'"
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise UnitError(f"{describe(value)} is not a {dimension.name}; {example}")
    text = str(value).strip()
    if len(text) > LENGTH_HIGHEST:
        raise UnitError(f"{describe(text)} is too long for a {dimension.name}; {example}")
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"{describe(value)} is not a {dimension.name}; {example}")
    number, unit = match.groups()
    if not unit:
        raise UnitError(f"{text} has no unit; {example}")
    if unit not in dimension.units:
        raise UnitError(_unknown_unit(dimension, text, unit))
    exact = Fraction(number) * dimension.units[unit]
    if exact < 0 and not dimension.lowest:
        raise UnitError(f"{text} is negative; a {dimension.name} is zero or more")
    if exact.denominator != 1:
        raise UnitError(
            f"{text} is not a whole number of {dimension.base}, the finest step there is; round it"
        )
    if exact > dimension.highest:
        most = format_quantity(dimension, dimension.highest)
        raise UnitError(f"{text} is out of range; at most {most}")
    if exact < dimension.lowest:
        least = format_quantity(dimension, dimension.lowest)
        raise UnitError(f"{text} is out of range; at least {least}")
    return int(exact)


def _unknown_unit(dimension: Dimension, text: str, unit: str) -> str:
    close = [known for known in dimension.units if known.lower() == unit.lower()]
    elsewhere = any(unit in other.units for other in (TIME, RATE, SIZE, LENGTH, RATIO))
    if not close and not elsewhere:
        close = difflib.get_close_matches(unit, dimension.units, n=1)
    if close:
        return f"{text}: no unit '{unit}'; did you mean '{close[0]}'?"
    known = ", ".join(unit for unit in dimension.units if unit.isascii())
    return f"{text}: '{unit}' is not a unit of {dimension.name}; use one of {known}"


def describe(value: object) -> str:
    """Name a value from a file in words short enough for one line."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"


@lru_cache(maxsize=4096)
def format_quantity(dimension: Dimension, amount: int) -> str:
    """Write `amount` exactly, in the largest unit that leaves a short decimal.

    format_quantity(TIME, 12_500_000) is '12.5us'; parse() reads it back unchanged.
    """
    if amount < 0:
        return f"-{format_quantity(dimension, -amount)}"
    for unit, numerator, denominator in _largest_first(dimension):
        if numerator > max(amount, 1) * denominator:
            continue
        millionths, more = divmod(amount * 10**6 * denominator, numerator)
        if not more:
            return f"{_decimal(millionths)}{unit}"
    return f"{amount}{next(iter(dimension.units))}"


@cache
def _largest_first(dimension: Dimension) -> tuple[tuple[str, int, int], ...]:
    """Return the units that are written, each with how much it is as a fraction."""
    units = [(scale, unit) for unit, scale in dimension.units.items() if unit.isascii()]
    units.sort(key=lambda pair: pair[0])
    return tuple((unit, one.numerator, one.denominator) for one, unit in reversed(units))


def _decimal(millionths: int) -> str:
    whole, rest = divmod(millionths, 10**6)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(whole)


def show_time(time_ps: int | None, digits: int = 3) -> str:
    """Write a time for a reader, rounded: show_time(12_126_345_678) is '12.126 ms'."""
    if time_ps is None:
        return "-"
    for unit, scale in (("s", PS_PER_S), ("ms", PS_PER_MS), ("us", PS_PER_US)):
        if abs(time_ps) >= scale:
            return f"{time_ps / scale:.{digits}f} {unit}"
    return f"{time_ps / PS_PER_NS:.{digits}f} ns" if time_ps else "0 ns"


def show_rate(rate_bps: int, digits: int = 3) -> str:
    """Write a rate for a reader, rounded: show_rate(10**13) is '10.000 Tb/s'."""
    for unit, scale in (("Tb/s", 10**12), ("Gb/s", 10**9), ("Mb/s", 10**6), ("kb/s", 10**3)):
        if rate_bps >= scale:
            return f"{rate_bps / scale:.{digits}f} {unit}"
    return f"{rate_bps} b/s"


def show_share(share_ppb: int) -> str:
    """Write a ratio as a percentage; more than nothing never reads as nothing.

    show_share(1_000_000) is '0.1 %' and show_share(1) is '0.0000001 %'.
    """
    digits = 3 if share_ppb >= PPB // 100 else 7
    text = f"{share_ppb * 100 / PPB:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def show_availability(share: int) -> str:
    """Write a share of time, in steps of 1e-15, with three digits of what is left of it.

    Rounded down, since it is what can be relied on: 997_458_219_178_082 is '99.7458 %' and
    999_992_165_503_847 is '99.999216 %'; all of the time is '100 %'.
    """
    left = 10**15 - share
    digits = min(max(4, 16 - len(str(left))), 13) if left else 0
    return f"{_bare(_cut_off(share, digits))} %"


def show_availabilities(share: int, asked: int) -> tuple[str, str]:
    """Write a share of time and what was asked for, with as many digits as tell them apart.

    At least four and those of what was asked for: 999_992_165_503_847 and 999_999_000_000_000 are
    '99.9992 %' and '99.9999 %'.
    """
    own = len(f"{asked * 100:018d}"[-15:].rstrip("0"))
    digits = max(own, 4)
    while digits < 13 and share != asked and _cut_off(share, digits) == _cut_off(asked, digits):
        digits += 1
    return f"{_cut_off(share, digits)} %", f"{_bare(_cut_off(asked, digits))} %"


def _bare(decimal: str) -> str:
    """Leave out the noughts at the end of a decimal."""
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal


def _cut_off(share: int, digits: int) -> str:
    """Write a share in per cent with so many decimals, at most 13; what is behind them is lost."""
    whole, rest = divmod(share, 10**13)
    return f"{whole}.{rest:013d}"[: len(str(whole)) + 1 + digits].rstrip(".")


def show_size(size_bytes: int) -> str:
    """Write a size for a reader, rounded: show_size(1_538_000) is '1.54 MB'."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.2f} {unit}"
    return f"{size_bytes} B"


def ceil_div(dividend: int, divisor: int) -> int:
    """Divide and round up; every duration in qnet is rounded up through here."""
    return -(-dividend // divisor)


def wire_bytes(frame_bytes: int) -> int:
    """Bytes of line time that a frame takes: wire_bytes(1518) is 1538."""
    return frame_bytes + WIRE_OVERHEAD_BYTES


def serialisation_ps(frame_bytes: int, rate_bps: int) -> int:
    """Time that a frame holds the line, with its preamble and the gap after it, rounded up.

    serialisation_ps(64, 400 * 10**9) is 1680.
    """
    return ceil_div(wire_bytes(frame_bytes) * 8 * PS_PER_S, rate_bps)


def last_bit_ps(frame_bytes: int, rate_bps: int) -> int:
    """Time from the first bit of a frame's preamble to the frame's last bit, rounded up.

    The gap that follows holds the line for the next frame and delays this one by nothing.
    last_bit_ps(64, 400 * 10**9) is 1440.
    """
    return ceil_div((frame_bytes + PREAMBLE_BYTES) * 8 * PS_PER_S, rate_bps)
