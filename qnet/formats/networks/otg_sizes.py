"""Frame sizes of the Open Traffic Generator model as mixes of qnet's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import gcd, lcm
from types import MappingProxyType

from qnet.formats.networks.flow_demands import Sizes
from qnet.formats.networks.values import Values
from qnet.model.fields import (
    FRAME_BYTES_HIGHEST,
    FRAME_BYTES_LOWEST,
    SIZES_HIGHEST,
    WEIGHT_HIGHEST,
)

_RARE, _COMMON = (5867, 200, 2366, 1567), (64, 570, 1518)
PREDEFINED: Mapping[str, Sizes] = MappingProxyType(
    {
        "imix": tuple(zip(_COMMON, (7, 4, 1), strict=True)),
        "ipsec_imix": tuple(zip((90, 92, 594, 1418), _RARE, strict=True)),
        "ipv6_imix": tuple(zip((60, 496, 594, 1518), _RARE, strict=True)),
        "standard_imix": tuple(zip((58, 62, 594, 1518), _RARE, strict=True)),
        "tcp_imix": tuple(zip((90, 92, 594, 1518), _RARE, strict=True)),
    }
)
"""Weight pairs that the model has names for."""

_UINT32 = 2**32 - 1


def read_sizes(size: Values, flow: str) -> Sizes:
    """Read the sizes of a flow; what is wrong is reported, and the default in its place."""
    kind = size.choice(("fixed", "increment", "random", "weight_pairs"), "fixed")
    pairs: list[tuple[int, Fraction]] = [(FRAME_BYTES_LOWEST, Fraction(1))]
    if kind == "fixed":
        pairs = [(size.whole("fixed", 64, 1, FRAME_BYTES_HIGHEST), Fraction(1))]
    elif kind in ("increment", "random"):
        pairs = _range(size.inner(kind), kind, flow)
    elif kind == "weight_pairs":
        pairs = _weighted(size.inner(kind), flow) or pairs
    size.list_rest("sizes", example=flow)
    return _mix(size, pairs, flow)


def _range(given: Values, kind: str, flow: str) -> list[tuple[int, Fraction]]:
    """Read sizes that go from one to another, as so many of equal weight."""
    names = ("start", "end") if kind == "increment" else ("min", "max")
    low = given.whole(names[0], 64, 1, FRAME_BYTES_HIGHEST)
    high = given.whole(names[1], 1518, 1, FRAME_BYTES_HIGHEST)
    step = given.whole("step", 1, 1, _UINT32) if kind == "increment" else 1
    given.list_rest("sizes", example=flow)
    if high < low:
        given.fault(names[1], f"{high} is below '{names[0]}', {low}")
        high = low
    each = range(low, high + 1, step)
    if kind == "increment" and len(each) > 1:
        given.found.note("sizes one after the other taken at random", flow, of_demands=True)
    if len(each) > SIZES_HIGHEST:
        words = f"ranges of sizes taken as {SIZES_HIGHEST} of them, with the same mean"
        given.found.note(words, flow, of_demands=True)
        last = len(each) - 1
        lower = [last * i // (SIZES_HIGHEST - 1) for i in range(SIZES_HIGHEST // 2)]
        return [(each[i], Fraction(1)) for i in (*lower, *(last - i for i in reversed(lower)))]
    return [(one, Fraction(1)) for one in each]


def _weighted(given: Values, flow: str) -> list[tuple[int, Fraction]]:
    kind = given.choice(("predefined", "custom"), "predefined")
    made = []
    if kind == "predefined":
        name = given.word("predefined", PREDEFINED, "imix")
        made = [(size, Fraction(weight)) for size, weight in PREDEFINED.get(name or "", ())]
    elif kind == "custom":
        for pair in given.each("custom"):
            weight = pair.amount("weight", Fraction(1))
            made.append((pair.whole("size", 64, 1, FRAME_BYTES_HIGHEST), weight))
            pair.list_rest("sizes", example=flow)
        if not any(weight for _, weight in made):
            given.fault("custom", "no size of a weight above zero")
            made = []
        if len(made) > SIZES_HIGHEST:
            given.fault("custom", f"{len(made):,} sizes; qnet takes {SIZES_HIGHEST}")
            made = made[:1]
    given.list_rest("sizes", example=flow)
    return made


def _mix(size: Values, pairs: Iterable[tuple[int, Fraction]], flow: str) -> Sizes:
    """Return weights as whole numbers, the same ones where that is possible."""
    weights: Counter[int] = Counter()
    exact: dict[int, Fraction] = {}
    for frame_bytes, weight in pairs:
        if frame_bytes < FRAME_BYTES_LOWEST:
            words = f"frames of less than {FRAME_BYTES_LOWEST} bytes taken as of so many"
            size.found.note(words, flow, of_demands=True)
        if weight:
            longer = max(frame_bytes, FRAME_BYTES_LOWEST)
            exact[longer] = exact.get(longer, Fraction(0)) + weight
    exact = exact or {FRAME_BYTES_LOWEST: Fraction(1)}
    scale = lcm(*(weight.denominator for weight in exact.values()))
    scale_down = 1 if scale == 1 else gcd(*(int(weight * scale) for weight in exact.values()))
    weights.update({one: int(weight * scale) // scale_down for one, weight in exact.items()})
    highest = max(weights.values())
    if highest <= WEIGHT_HIGHEST:
        return tuple(weights.items())
    size.found.note("weights of sizes rounded to a millionth", flow, of_demands=True)
    return tuple(
        (one, max(1, round(Fraction(weight * WEIGHT_HIGHEST, highest))))
        for one, weight in weights.items()
    )
