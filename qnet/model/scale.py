"""More or less of the same load, as a load tester asks for it: `Scenario.with_(scale=1.2)`.

What is offered grows, what single frames look like does not:

- a demand's rate is multiplied, to the nearest bit a second;
- streams become more or fewer: frames, intervals and promises of each stay. Of the streams of a
  class, in file order, so many are left or added that their number is the nearest whole one. Ten
  entries of one stream each are twelve streams at 1.2: every fifth entry has the count 2.

Promises, required egress, rates of links and shapers are the network's and stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from qnet.errors import ArgumentError, Problem
from qnet.model.traffic import Demand, Profile, RecordedDemand, Stream
from qnet.units import PS_PER_S, RATE, UnitError, describe, format_quantity, wire_bytes

SCALE_HIGHEST = 10**6


def read_scale(value: object) -> Fraction:
    """Return a factor exactly as it is written: 1.2 and '1.2' are 6/5. Raises UnitError."""
    known = isinstance(value, int | float | str | Fraction | Decimal) and value is not True
    try:
        factor = Fraction(str(value)) if known else Fraction(0)
    except (ValueError, ZeroDivisionError):  # neither 'nan' nor 'inf' is a fraction
        factor = Fraction(0)
    if not 0 < factor <= SCALE_HIGHEST:
        raise UnitError(
            f"{describe(value)} is no scale; a number above 0, at most {SCALE_HIGHEST:,}, like 1.2"
        )
    return factor


Chosen = Callable[[Stream | Demand], bool]
"""Tells of a stream or demand whether it is to be scaled."""


def scaled(profile: Profile, factor: Fraction, chosen: Chosen | None = None) -> Profile:
    """Return the profile with its load, or that of what is chosen, multiplied.

    Raises ArgumentError where that cannot be: a rate beyond what there is, or, where nothing is
    chosen, nothing but streams so few that their number stays as it is.
    """
    problems = []
    demands = []
    for one in profile.demands:
        if chosen is not None and not chosen(one):
            demands.append(one)
            continue
        if isinstance(one, RecordedDemand) and factor != 1:
            words = "it was captured: its frames have times of their own, and no scale"
            problems.append(Problem("scale", 0, 0, one.name, words))
            continue
        rate_bps = max(_nearest(one.rate_bps * factor), 1)
        if rate_bps > RATE.highest:
            most = format_quantity(RATE, RATE.highest)
            words = f"{format_quantity(RATE, rate_bps)} is out of range; at most {most}"
            problems.append(Problem("scale", 0, 0, one.name, words))
        elif one.access_rate_bps is not None and rate_bps >= one.access_rate_bps:
            words = f"{format_quantity(RATE, rate_bps)} is not below the access rate of its flows"
            problems.append(Problem("scale", 0, 0, one.name, words))
        elif one.microflows is not None and rate_bps < one.microflows:
            words = f"{one.microflows} microflows would share {rate_bps} bit/s; each needs 1 bit/s"
            problems.append(Problem("scale", 0, 0, one.name, words))
        else:
            demands.append(one.replace(rate_bps=rate_bps))
    streams = _more_streams(profile, factor, chosen, problems)
    stays = chosen is None and not demands and streams == profile.streams
    if factor != 1 and not problems and stays:
        count = sum(one.count for one in profile.streams)
        whole = f"{count} stream{'' if count == 1 else 's'}, which are whole, and no demand"
        words = f"changes nothing: the profile has {whole}; a larger step would"
        problems.append(Problem("scale", 0, 0, "", words))
    if problems:
        raise ArgumentError(problems)
    return profile.replace(streams=streams, demands=tuple(demands))


def _more_streams(
    profile: Profile, factor: Fraction, chosen: Chosen | None, problems: list[Problem]
) -> tuple[Stream, ...]:
    """Multiply the number of streams; what is rounded at one is made good at the next ones."""
    before: dict[str, int] = defaultdict(int)
    streams = []
    for one in profile.streams:
        if chosen is not None and not chosen(one):
            streams.append(one)
            continue
        so_far = before[one.traffic_class]
        before[one.traffic_class] += one.count
        count = _nearest((so_far + one.count) * factor) - _nearest(so_far * factor)
        if count > _COUNT_HIGHEST:
            words = f"{count:,} streams of one entry are out of range; at most {_COUNT_HIGHEST:,}"
            problems.append(Problem("scale", 0, 0, one.name, words))
        else:
            streams.append(one if count == one.count else one.replace(count=count))
    return tuple(streams)


_COUNT_HIGHEST = 10**6


def _nearest(exact: Fraction) -> int:
    """Round to the nearest whole number, and halves up."""
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def mean_rate_bps(stream: Stream) -> Fraction:
    """Return what one stream sends on the wire, on one path, what it sends too much included."""
    packets = stream.max_packets + stream.excess_packets
    bits = 8 * packets * wire_bytes(stream.frame_bytes)
    return Fraction(bits * PS_PER_S, stream.interval_ps)
