"""The kinds of value that files hold: text with a unit in, exact integers out."""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache, reduce
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Self, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
)

from qnet.units import (
    DRIFT,
    FACTOR,
    INSTANT,
    LENGTH,
    OFFSET,
    RATE,
    RATIO,
    SIZE,
    TIME,
    Dimension,
    UnitError,
    describe,
    parse,
)


class Noun(BaseModel):
    """A frozen thing of the model; unknown keys are errors, file keys are in kebab-case."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True
    )

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values, in internal units, held to what the fields can hold.

        What the original has worked out and kept (`cached_property`) is worked out anew. Raises
        ValueError for a value that cannot be, TypeError for a field that there is not.
        """
        kind = type(self)
        checked = {
            name: _adapter(kind, name).validate_python(value, strict=True)
            for name, value in changes.items()
        }
        made = super().model_copy(update=checked)
        for kept in set(vars(made)) - set(kind.model_fields):
            del made.__dict__[kept]
        for name, validator in kind.__pydantic_decorators__.model_validators.items():
            if validator.info.mode == "after":
                getattr(made, name)()
        return made

    def repeat(self, values: Mapping[str, Any]) -> Self:
        """Return a copy with other values, in internal units, which are not judged again.

        Whoever makes a million of a kind has judged names and amounts once each. It takes a tenth
        of the time of `replace`.
        """
        made = object.__new__(type(self))
        object.__setattr__(made, "__dict__", {**self.__dict__, **values})
        object.__setattr__(made, "__pydantic_fields_set__", self.__pydantic_fields_set__)
        object.__setattr__(made, "__pydantic_extra__", None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made

    def model_copy(self, *_: object, **__: object) -> NoReturn:
        """Make none: pydantic's copy keeps what was worked out, and holds values to nothing."""
        raise TypeError("a noun's changed copies are made by 'replace'")


@cache
def _adapter(kind: type[Noun], name: str) -> TypeAdapter[Any]:
    """Return what judges a value of a field that is no text of a file any more."""
    info = kind.model_fields.get(name)
    if info is None:
        raise TypeError(f"{kind.__name__} has no field '{name}'")
    return TypeAdapter(_without_readers(info.annotation, info.metadata))


def _without_readers(annotation: Any, metadata: Iterable[Any] = ()) -> Any:
    """Return a type without what reads texts of files into it; quantities keep their bounds."""
    if get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
        return _without_readers(annotation, [*inner, *metadata])
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if arguments and origin is not Literal:
        changed = tuple(one if one is ... else _without_readers(one) for one in arguments)
        is_union = origin in (Union, UnionType)
        annotation = reduce(operator.or_, changed) if is_union else origin[changed]
    readers = (BeforeValidator, WithJsonSchema, Dimension)
    kept = [one for one in metadata if not isinstance(one, readers)]
    if annotation is int:
        kept += [
            Field(ge=one.lowest, le=one.highest) for one in metadata if isinstance(one, Dimension)
        ]
    return Annotated[(annotation, *kept)] if kept else annotation


def _reader(dimension: Dimension, *, positive: bool = True) -> Callable[[object], int]:
    def read(value: object) -> int:
        amount = parse(dimension, value)
        if positive and amount == 0:
            more = "not" if dimension.lowest else "more than zero"
            raise UnitError(f"{value} is zero; a {dimension.name} here is {more}")
        return amount

    return read


def reads(dimension: Dimension, *, positive: bool = True) -> BeforeValidator:
    """Return what reads texts of a dimension: `Annotated[int, reads(D), shown(D), D]`."""
    return BeforeValidator(_reader(dimension, positive=positive))


def shown(dimension: Dimension) -> WithJsonSchema:
    """Return what a schema says of texts of a dimension."""
    return WithJsonSchema(
        {
            "type": "string",
            "description": f"a {dimension.name} with its unit",
            "examples": [dimension.example],
        }
    )


# The dimension itself is carried along for the key tables and for messages.
Time = Annotated[int, reads(TIME), shown(TIME), TIME]
TimeOrZero = Annotated[int, reads(TIME, positive=False), shown(TIME), TIME]
Instant = Annotated[int, reads(INSTANT), shown(INSTANT), INSTANT]
InstantOrZero = Annotated[int, reads(INSTANT, positive=False), shown(INSTANT), INSTANT]
Rate = Annotated[int, reads(RATE), shown(RATE), RATE]
Size = Annotated[int, reads(SIZE), shown(SIZE), SIZE]
Ratio = Annotated[int, reads(RATIO, positive=False), shown(RATIO), RATIO]
Offset = Annotated[int, reads(OFFSET), shown(OFFSET), OFFSET]
Drift = Annotated[int, reads(DRIFT), shown(DRIFT), DRIFT]


class BothWays(NamedTuple):
    """A value of a link in either direction: from its first node to the second, and back."""

    there: int
    back: int


PER_DIRECTION = "for each direction"
"""Mark of a value that may be given for both directions of a link at once, or for each."""


def _both(read: Callable[[object], int]) -> BeforeValidator:
    def read_both(value: object) -> BothWays:
        if isinstance(value, BothWays):
            return value
        if not isinstance(value, list | tuple):
            only = read(value)
            return BothWays(only, only)
        if len(value) != len(BothWays._fields):
            raise UnitError(
                f"a list of {len(value)}; it has two values, from the first node to the second and "
                "back"
            )
        return BothWays(*map(read, value))

    return BeforeValidator(read_both)


def _both_shown(name: str, example: str) -> WithJsonSchema:
    one = {"type": "string", "description": f"a {name}", "examples": [example]}
    two = {"type": "array", "items": one, "minItems": 2, "maxItems": 2}
    return WithJsonSchema(
        {"anyOf": [one, {**two, "description": "there and back, in the order of 'between'"}]}
    )


_ERROR_RATIO = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?(?:[eE]-[0-9]{1,2})?")


def _read_error_ratio(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not _ERROR_RATIO.fullmatch(text):
        raise UnitError(f"{describe(value)} is not a bit error ratio; write it like '1e-12'")
    exact = Fraction(text) * 10**18
    if exact.denominator != 1 or exact > 10**18:
        raise UnitError(f"{value} is out of range; from 1e-18 to 1")
    return int(exact)


def _ways(dimension: Dimension, *, positive: bool = False) -> BeforeValidator:
    return _both(_reader(dimension, positive=positive))


def _ways_shown(dimension: Dimension) -> WithJsonSchema:
    return _both_shown(dimension.name, dimension.example)


RateWays = Annotated[BothWays, _ways(RATE, positive=True), _ways_shown(RATE), RATE, PER_DIRECTION]
LengthWays = Annotated[BothWays, _ways(LENGTH), _ways_shown(LENGTH), LENGTH, PER_DIRECTION]
TimeWays = Annotated[BothWays, _ways(TIME), _ways_shown(TIME), TIME, PER_DIRECTION]
RatioWays = Annotated[BothWays, _ways(RATIO), _ways_shown(RATIO), RATIO, PER_DIRECTION]
ErrorRatioWays = Annotated[
    BothWays, _both(_read_error_ratio), _both_shown("ratio without unit", "1e-12"), PER_DIRECTION
]


Length = Annotated[int, reads(LENGTH, positive=False), shown(LENGTH), LENGTH]
ErrorRatio = Annotated[
    int,
    BeforeValidator(_read_error_ratio),
    WithJsonSchema(
        {"type": "string", "description": "a ratio without unit", "examples": ["1e-12"]}
    ),
]


FRAME_BYTES_LOWEST = 64
FRAME_BYTES_HIGHEST = 16_000

IMIX: tuple[tuple[int, int], ...] = ((64, 7), (594, 4), (1518, 1))
"""Frame bytes and weights of the simple Internet mix; the mean frame has 362 bytes (361.8)."""

MIXES: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        "imix": IMIX,
        "imix-570": ((64, 7), (570, 4), (1518, 1)),
        "imix-standard": ((64, 6067), (594, 2366), (1518, 1567)),
        "imix-ipv6": ((64, 5867), (496, 200), (594, 2366), (1518, 1567)),
    }
)
"""Mixes of frame sizes that have a name.

`imix-570` is that of FD.io CSIT and the Open Traffic Generator's 'imix' (353.8 bytes in the mean).
`imix-standard` and `imix-ipv6` are OTG's predefined weight pairs, 58, 62, 594, 1518 at 58.67, 2,
23.66, 15.67 and 60, 496, 594, 1518 at the same; what is below Ethernet's least frame is that.
"""

SIZES_HIGHEST = 64
"""Frame sizes of one mix."""

WEIGHT_HIGHEST = 10**6


def read_sizes(value: object) -> tuple[tuple[int, int], ...]:
    """Read frame sizes and their weights, as a file has them; raises UnitError."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, str) and value in MIXES:
        return MIXES[value]
    bounds = f"a frame has {FRAME_BYTES_LOWEST}B to {FRAME_BYTES_HIGHEST}B"
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise UnitError(f"{describe(value)} is not a frame size; write 'imix' or '1518B'; {bounds}")
    if not isinstance(value, str) or "x" not in value:
        return ((_frame_bytes(value, value, bounds), 1),)
    pairs = []
    for part in value.split("+"):
        weight, _, size = part.partition("x")
        if not (weight.strip().isascii() and weight.strip().isdecimal()):
            names = ", ".join(f"'{name}'" for name in MIXES)
            raise UnitError(f"{value} is no mix; write it like '7x64B+4x570B+1x1518B', or {names}")
        if not 0 < int(weight) <= WEIGHT_HIGHEST:
            raise UnitError(f"{value}: weights are whole numbers from 1 to {WEIGHT_HIGHEST:,}")
        pairs.append((_frame_bytes(size.strip(), value, bounds), int(weight)))
    if len({size for size, _ in pairs}) < len(pairs):
        raise UnitError(f"{value} has a size twice; add their weights up")
    if len(pairs) > SIZES_HIGHEST:
        raise UnitError(f"{len(pairs)} sizes of one mix are out of range; at most {SIZES_HIGHEST}")
    return tuple(pairs)


def _frame_bytes(text: str | int, value: object, bounds: str) -> int:
    frame_bytes = parse(SIZE, text)
    if not FRAME_BYTES_LOWEST <= frame_bytes <= FRAME_BYTES_HIGHEST:
        raise UnitError(f"{value} is out of range; {bounds}")
    return frame_bytes


FrameSizes = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(read_sizes),
    WithJsonSchema(
        {
            "type": "string",
            "description": "a size, or a mix: one of imix, imix-570, imix-standard, imix-ipv6, or "
            "sizes by their weights",
            "examples": ["imix", "1518B", "7x64B+4x570B+1x1518B"],
        }
    ),
]


_FACTOR = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,20})?")


def _read_factor(value: object) -> int:
    text = str(value).strip()
    is_plain = not isinstance(value, bool) and _FACTOR.fullmatch(text) is not None
    return parse(FACTOR, f"{Decimal(text) * 100:f}%" if is_plain else value)


Factor = Annotated[
    int,
    BeforeValidator(_read_factor),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "description": "a share with its unit, or a plain factor",
            "examples": [FACTOR.example, "2.5"],
        }
    ),
    FACTOR,
]


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

NAME_RULE = (
    "a name has letters and digits of any script, '-', '_' and '.', begins with a letter or a "
    "digit, and has at most 63 characters"
)
NAME_HIGHEST, NAME_BYTES_HIGHEST = 63, 200
"""The second is for scripts beyond the basic plane: names become names of files."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"
"""Hangul fillers: letters by their category, and nothing to be seen."""


def _check_name(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name) is None:
        fault = _name_fault(name)
        if fault:
            raise ValueError(f"{describe(name)} is not a name; {fault}")
    return name


def _name_fault(name: str) -> str:
    """Say what is wrong with a name that is not of plain letters only; nothing where it is none."""
    for place, char in enumerate(name):
        kind = unicodedata.category(char)
        letter = (kind[0] == "L" or kind == "Nd") and char not in _BLANK_LETTERS
        if not (letter or (place and (char in "_.-" or kind in ("Mn", "Mc")))):
            where = "cannot begin it" if char in "_.-" or kind[0] == "M" else "cannot be in it"
            return f"{_describe_character(char)} {where}: {NAME_RULE}"
    if not name or len(name) > NAME_HIGHEST or len(name.encode()) > NAME_BYTES_HIGHEST:
        return NAME_RULE
    composed = unicodedata.normalize("NFC", name)
    if composed != name:
        marks = [char for char in name if unicodedata.combining(char)]
        which = _describe_character(marks[0]) if marks else "a character"
        return f"{which} stands apart from its letter; write '{composed}', with both in one (NFC)"
    return ""


def _describe_character(char: str) -> str:
    title = unicodedata.name(char, "")
    shown = f"'{char}' " if char.isprintable() and not unicodedata.combining(char) else ""
    return f"{shown}U+{ord(char):04X}{f' {title}' if title else ''}"


NAME_SCHEMA: dict[str, object] = {
    "type": "string",
    "maxLength": NAME_HIGHEST,
    # No classes of characters: of those not all editors know the same.
    "pattern": r"^[^\s!-/:-@\[-`{-~][^\s!-,/:-@\[-^`{-~]*$",
}

Name = Annotated[str, AfterValidator(_check_name), WithJsonSchema(NAME_SCHEMA)]
"""A name without spaces, in letters of any script; two that look alike are one (NFC)."""


def _check_new_name(value: object) -> object:
    return _check_name(value) if isinstance(value, str) else value


NewName = Annotated[str, BeforeValidator(_check_new_name), WithJsonSchema(NAME_SCHEMA)]
"""A name that files are held to, and to which the program may add what no name in a file has."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
