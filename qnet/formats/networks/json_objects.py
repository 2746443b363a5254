"""A JSON file that is an object with lists of objects, as most formats of networks are."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qnet.errors import InputError, Problem
from qnet.files.tree import Source
from qnet.formats.networks.found import FoundNetwork, Spot
from qnet.formats.networks.texts import decode, parse_json
from qnet.units import describe

_MEMBER = re.compile(r"(?P<list>\w+)\[(?P<number>\d+)\]")
_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode

Item = Mapping[str, Any]


class Objects:
    """The lists of a file, each member with its line. Raises InputError where it is no object."""

    def __init__(self, found: FoundNetwork, source: Source, raw: bytes, due: str) -> None:
        self._found = found
        self._source = source
        self._text = decode(source, raw)
        self.data = parse_json(source, self._text)
        if not isinstance(self.data, dict):
            words = f"{describe(self.data)}, not an object with {due}"
            found.stop(Spot(1, 1), words, source)

    def text(self, key: str) -> str:
        """Return the text under a key, or nothing."""
        value = self.data.get(key)
        return value.strip() if isinstance(value, str) else ""

    def list_of(self, *path: str, may_lack: bool = False) -> Iterator[tuple[Spot, Item]]:
        """Yield the objects of a list under some keys; what is no list or no object is a fault."""
        where = ".".join(path)
        value: object = self.data
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, list):
            if value is not None or not may_lack:
                words = "no such key" if value is None else f"{describe(value)}, not a list"
                self._found.fault(Spot(1, 1, where), words, self._source)
            return
        try:
            spots = _places(self._text, path)
            for spot, one in zip(spots, value, strict=True):
                if isinstance(one, dict):
                    yield spot, one
                else:
                    self._found.fault(spot, f"{describe(one)}, not an object", self._source)
        except RecursionError:
            self._found.stop(Spot(1, 1, where), "nested too deeply", self._source)

    def list_rest(self, *used: str) -> None:
        """Note what stands beside the lists."""
        for name in self.data:
            if name not in used:
                self._found.note("parts of the file left out", name)


def with_places(error: InputError, file: str, text: str) -> InputError:
    """Return faults of a JSON file whose members of lists are named, as in links[3], with lines."""
    spots: dict[str, list[Spot]] = {}

    def placed(one: Problem) -> Problem:
        named = _MEMBER.match(one.where)
        if one.file != file or one.line or named is None:
            return one
        key = named["list"]
        if key not in spots:
            spots[key] = list(_places(text, (key,)))
        spot = spots[key][int(named["number"])]
        return replace(one, line=spot.line, column=spot.column)

    return InputError(map(placed, error.problems), error.unlisted)


def below(spot: Spot, name: str) -> Spot:
    """Return the place of a value of an object."""
    return spot._replace(where=f"{spot.where}.{name}")


def mapping(found: FoundNetwork, spot: Spot, item: Item, name: str) -> Item:
    """Return an object inside of another one, empty where there is none."""
    value = item.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        found.fault(below(spot, name), f"{describe(value)}, not an object")
        return {}
    return value


def _places(text: str, path: Sequence[str]) -> Iterator[Spot]:
    """Yield where each member of a list begins, in a text that is JSON."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    where = ".".join(path)
    at = _after_space(text, 0)
    for key in path:
        at = _value_of(text, at, key)
    for index, begin in enumerate(_members(text, at)):
        line = bisect_right(starts, begin)
        yield Spot(line, begin - starts[line - 1] + 1, f"{where}[{index}]")


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _value_of(text: str, at: int, wanted: str) -> int:
    """Return where the value of a key begins, in the object that begins at a place."""
    at = _after_space(text, at + 1)
    while True:
        key, at = _decode(text, at)
        at = _after_space(text, _after_space(text, at) + 1)
        if key == wanted:
            return at
        at = _after_value(text, at)


def _members(text: str, at: int) -> Iterator[int]:
    """Yield where each member begins of the list that begins at a place."""
    at = _after_space(text, at + 1)
    while text[at] != "]":
        yield at
        at = _after_value(text, at)


def _after_value(text: str, at: int) -> int:
    """Return where the next key or member begins, or the bracket that ends them."""
    at = _after_space(text, _decode(text, at)[1])
    return _after_space(text, at + 1) if text[at] == "," else at
