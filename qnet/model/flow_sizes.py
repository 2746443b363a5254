"""How long the flows of a demand are: distributions of their sizes, as files name them.

A distribution is a list of points, so many frames at most for such a share of flows; between two of
them all lengths are alike. A flow here is what one transfer sends, frame after frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from qnet.units import PPB, RATIO, UnitError, describe, format_quantity, parse

Points = tuple[tuple[int, int], ...]
"""Frames, and the share of flows that have so many at most, in ppb; both rise, the last is all."""

POINTS_HIGHEST = 64

FRAMES_HIGHEST = 10**6
"""Of one flow."""

FLOW_SIZES: Mapping[str, Points] = MappingProxyType(
    {
        name: tuple((frames, share * PPB // 100) for frames, share in points)
        for name, points in {
            "web-search": (
                (6, 15), (13, 20), (19, 30), (33, 40), (53, 53), (133, 60), (667, 70), (1333, 80),
                (3333, 90), (6667, 97), (20_000, 100),
            ),
            "data-mining": (
                (1, 50), (2, 60), (3, 70), (7, 80), (267, 90), (2107, 95), (66_667, 99),
                (666_667, 100),
            ),
        }.items()
    }
)  # fmt: skip
"""Those of DCTCP (Alizadeh and others, 2010) and VL2 (Greenberg and others, 2009), in packets of
1460 bytes, as they are handed on between simulators: means of 1138 and 5117 packets are told of
them."""


def read_flow_sizes(value: object) -> Points:
    """Read a distribution, as a file has it; raises UnitError."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, str) and value in FLOW_SIZES:
        return FLOW_SIZES[value]
    names = " or ".join(f"'{name}'" for name in FLOW_SIZES)
    if not isinstance(value, str) or ":" not in value:
        words = f"write {names}, or points like '1:50%+20:90%+100:100%'"
        raise UnitError(f"{describe(value)} is no distribution of flow sizes; {words}")
    points = []
    for part in value.split("+"):
        frames, _, share = part.partition(":")
        if not (frames.isascii() and frames.isdecimal()) or not 0 < int(frames) <= FRAMES_HIGHEST:
            most = f"{FRAMES_HIGHEST:,}"
            raise UnitError(f"{describe(frames)} are no frames of a flow; whole, from 1 to {most}")
        points.append((int(frames), parse(RATIO, share)))
    columns = [*zip(*points, strict=True)]
    if any(one >= other for column in columns for one, other in pairwise(column)):
        raise UnitError(f"{describe(value)} does not rise from point to point, in frames and share")
    if points[0][1] == 0 or points[-1][1] != PPB:
        raise UnitError(f"{describe(value)} does not go from more than 0% to 100%")
    if len(points) > POINTS_HIGHEST:
        raise UnitError(f"{len(points)} points are out of range; at most {POINTS_HIGHEST}")
    return tuple(points)


def spell_flow_sizes(points: Points) -> str:
    """Spell a distribution as a file has it."""
    named = {one: name for name, one in FLOW_SIZES.items()}
    spelled = (f"{frames}:{format_quantity(RATIO, share)}" for frames, share in points)
    return named.get(points) or "+".join(spelled)


def mean_frames(points: Points) -> Fraction:
    """Return how many frames a flow has on average; 1.75 for '1:50%+3:100%'."""
    low, below, mean = 0, 0, Fraction(0)
    for frames, share in points:
        least = frames if low == 0 else low + 1
        mean += Fraction((share - below) * (least + frames), 2 * PPB)
        low, below = frames, share
    return mean


FlowSizes = Annotated[
    Points,
    BeforeValidator(read_flow_sizes),
    WithJsonSchema(
        {
            "type": "string",
            "description": "a distribution by its name, or points of one: so many frames at most, "
            "and the share of flows",
            "examples": ["web-search", "data-mining", "1:50%+20:90%+100:100%"],
        }
    ),
]
