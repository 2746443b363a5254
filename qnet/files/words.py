"""Nouns to the words of files: what a topology or a profile made in Python looks like as YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import yaml

from qnet.files.faults import dimension_of, file_keys
from qnet.model.fields import MIXES, BothWays, Noun, Position, TimeRange
from qnet.model.flow_sizes import spell_flow_sizes
from qnet.model.traffic import AS_RESERVED, IdleSlope, RecordedDemand
from qnet.units import RATE, RATIO, TIME, Dimension, format_quantity

_LEFT_OUT = {"parameters"}
"""Their values stand where they belong in a noun."""


class _Plain(yaml.SafeDumper):
    """Writes what qnet reads: no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        """Write everything where it stands."""
        return True


def to_yaml(noun: Noun) -> str:
    """Write a topology or a profile as a file; reading it gives the noun again.

    Raises InputError for what files cannot say.
    """
    return dump_yaml(file_data(noun))


def to_lines(noun: Noun) -> str:
    """Write a file as `to_yaml` does, with each element of a list on a line of its own."""
    lines = []
    for one, value in _given(noun):
        if type(value) is tuple:  # word by word: those of a million links are too large together
            lines.append(f"{one.key}:")
            lines += [f"  - {_line(one, each)}" for each in _told(value)]
        else:
            lines.append(f"{one.key}: {_flow(_word(one, value))}")
    return "\n".join(lines) + "\n"


def _line(column: _Column, value: Any) -> str:
    """Write an element of a list; keys that a million of a kind say alike are written once."""
    if not isinstance(value, Noun):
        return _flow(_word(column, value))
    fields, said = _sayings(type(value))
    words = [
        say(one)
        for (default, say), one in zip(said, fields(value.__dict__), strict=True)
        if one is not default
    ]
    return "{" + ", ".join(filter(None, words)) + "}"


@cache
def _sayings(kind: type[Noun]) -> tuple[_Fields, tuple[tuple[Any, _Saying], ...]]:
    """Return what takes the fields of a noun, and the default of each, and what writes it."""
    columns = _columns(kind)
    assert len(columns) > 1, "itemgetter gives no tuple of one"
    said = ((... if one.is_required else one.default, _saying(one)) for one in columns)
    return itemgetter(*(one.field for one in columns)), tuple(said)


def _saying(column: _Column) -> _Saying:
    """Return what writes a field as 'key: value', and its default as nothing."""

    def say(value: Any) -> str:
        if not column.is_required and value == column.default:
            return ""
        return f"{column.key}: {_flow(_word(column, value))}"

    kept = lru_cache(maxsize=1 << 12)(say)

    def say_kept(value: Any) -> str:
        if type(value) in _KEPT:
            return kept(value)
        if type(value) is tuple and all(type(one) is str for one in value):
            return f"{column.key}: [{', '.join(map(_quoted, value))}]"
        return say(value)

    return say_kept


_KEPT = {str, int, BothWays}
"""Values that are equal only where they are written alike."""

_Fields = Callable[[Any], tuple[Any, ...]]
_Saying = Callable[[Any], str]

_BARE = re.compile(
    r"[^\W\d_](?:[\w.>/-]|[ ](?=[\w]))*"  # a name or a title, or a quantity, or two of them
    r"|[0-9.]+[A-Za-z%]+(?:[ ][0-9.]+[A-Za-z]+)?"
)
_WORDS_OF_YAML = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def _flow(value: Any) -> str:
    """Write a value within one line; texts that YAML could take for something else are quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


@lru_cache(maxsize=1 << 16)
def _quoted(value: str) -> str:
    bare = _BARE.fullmatch(value) and value.lower() not in _WORDS_OF_YAML
    return value if bare else "".join(map(_shown, json.dumps(value, ensure_ascii=False)))


def _shown(char: str) -> str:
    """Escape what YAML reads otherwise, such as U+0085, which is a line's end to it."""
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def dump_yaml(data: Mapping[str, object]) -> str:
    """Write what a file says; raises yaml.YAMLError for what no file can hold."""
    plain = dict(data)
    return yaml.dump(plain, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


def file_data(noun: Noun) -> dict[str, Any]:
    """Return a noun as a file has it: its keys, quantities with units, defaults left out."""
    return {one.key: _word(one, value) for one, value in _given(noun)}


def given(noun: Noun) -> dict[str, Any]:
    """Return what a file of it would say, by its keys: values in internal units, no defaults."""
    return {one.key: value for one, value in _given(noun)}


def _given(noun: Noun) -> Iterator[tuple[_Column, Any]]:
    for one in _columns(type(noun)):
        value = getattr(noun, one.field)
        if one.is_required or value != one.default:
            yield one, value


class _Column(NamedTuple):
    """A field of a noun, as files have it."""

    key: str
    field: str
    is_required: bool
    default: Any
    dimension: Dimension | None


@cache
def _columns(kind: type[Noun]) -> tuple[_Column, ...]:
    fields = {id(info): name for name, info in kind.model_fields.items()}
    return tuple(
        _Column(
            key,
            fields[id(info)],
            info.is_required(),
            None if info.is_required() else info.get_default(),
            dimension_of(info),
        )
        for key, info in file_keys(kind).items()
        if fields[id(info)] not in _LEFT_OUT
    )


def _word(column: _Column, value: Any) -> Any:
    if isinstance(value, str):  # as most values are
        return value
    key = column.key
    word: Any
    match value:
        case Noun():
            word = file_data(value)
        case BothWays():
            ways = [_quantity(column, one) for one in value]
            word = ways[0] if value.there == value.back else ways
        case TimeRange():
            word = "..".join(format_quantity(TIME, one) for one in dict.fromkeys(value))
        case Position():
            word = f"{_degrees(value[0], 'NS')} {_degrees(value[1], 'EW')}"
        case IdleSlope():
            word = _idle_slope(value)
        case ((int(frame_bytes), 1),) if key == "sizes":
            word = f"{frame_bytes}B"
        case tuple() if key == "flow-sizes":
            word = spell_flow_sizes(value)
        case tuple() if key == "sizes":
            named = {mix: name for name, mix in MIXES.items()}
            word = named.get(value) or "+".join(f"{weight}x{size}B" for size, weight in value)
        case tuple():
            word = [_word(column, one) for one in _told(value)]
        case Mapping():
            word = dict(value)
        case _:
            word = _quantity(column, value)
    return word


def _told(every: tuple[Any, ...]) -> Iterator[Any]:
    """Yield what files have themselves: demands of captures come of their captures."""
    return (one for one in every if not isinstance(one, RecordedDemand))


def _idle_slope(slope: IdleSlope) -> str:
    if slope.share_ppb is not None:
        return format_quantity(RATIO, slope.share_ppb)
    return AS_RESERVED if slope.rate_bps is None else format_quantity(RATE, slope.rate_bps)


def _quantity(column: _Column, value: Any) -> Any:
    """Write a number with its unit; a share of bits has none."""
    if column.dimension is not None and isinstance(value, int):
        return format_quantity(column.dimension, value)
    return _error_ratio(value) if column.key == "bit-error-ratio" else value


def _error_ratio(attos: int) -> str:
    """Write parts of 10**18: 1_000_000 is '1e-12'."""
    digits = str(attos).rstrip("0")
    zeros = len(str(attos)) - len(digits)
    if attos in (0, 10**18):
        return str(attos // 10**18)
    lead = max(len(digits) - 6, 1)  # of nine digits at most six stand behind the point
    rest = digits[lead:]
    mantissa = f"{digits[:lead]}.{rest}" if rest else digits
    return f"{mantissa}e-{18 - zeros - len(rest)}"


def _degrees(microdegrees: int, signs: str) -> str:
    whole, part = divmod(abs(microdegrees), 10**6)
    degrees = f"{whole}.{part:06d}".rstrip("0").rstrip(".") if part else str(whole)
    return degrees + signs[microdegrees < 0]
