"""What qnet's own files say of nodes and links, within files of others that leave room for it.

A value has the words that it has in qnet's files, such as '10Gbps' for `rate`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from qnet.files.faults import file_keys, inner_model
from qnet.files.tree import guess
from qnet.files.words import file_data
from qnet.formats.networks.found import FoundNetwork, Spot
from qnet.model.fields import Noun, Position
from qnet.model.topology import Link, Node
from qnet.units import describe

Words = Mapping[str, tuple[Spot, object]]
"""By keys of qnet's files: what they are to say, and where it stands."""

_OF_FORM: Mapping[type, Collection[str]] = {Node: (), Link: ("between", "members")}
"""What the files of others say themselves."""


@cache
def words_of(kind: type[Node] | type[Link]) -> Collection[str]:
    """Return the keys that there may be: all whose values are no mappings."""
    return [
        key
        for key, info in file_keys(kind).items()
        if key not in _OF_FORM[kind] and inner_model(info) is None
    ]


def own_words(noun: Node | Link) -> dict[str, Any]:
    """Return what such a file says of a node or link."""
    known = words_of(type(noun))
    return {key: value for key, value in file_data(noun).items() if key in known}


class NodeWords(NamedTuple):
    """What a file says of a node in qnet's words, as far as readers need it apart."""

    name: str | None
    position: Position | None
    rest: dict[str, Any]


def read_node(found: FoundNetwork, words: Words) -> NodeWords:
    """Read what a file says of a node, and report what is wrong with it."""
    read = _read_words(found, Node, words)
    name, position = read.pop("name", None), read.pop("position", None)
    return NodeWords(name, _value(Node, "position", position), read)


def read_link(found: FoundNetwork, words: Words) -> dict[str, Any]:
    """Read what a file says of a link: the fields of a `FoundLink` that are known then."""
    read = _read_words(found, Link, words)
    if "length" in read and "delay" in read:
        what = "'length' and 'delay' both given; keep the one that was measured"
        found.fault(words["delay"][0], what)
    fields = {
        field: _value(Link, key, read.pop(key, None))
        for key, field in (("rate", "rate_bps"), ("length", "length_mm"), ("delay", "delay_ps"))
    }
    fields["name"], fields["cable"] = read.pop("name", ""), read.pop("cable", "")
    fields["is_directed"] = read.pop("direction", "both") == "one-way"
    return {**fields, "own": read or None}


def _value(kind: type[Noun], key: str, text: Any) -> Any:
    return None if text is None else _adapter(kind, key).validate_python(text)


def _read_words(found: FoundNetwork, kind: type[Node] | type[Link], words: Words) -> dict[str, Any]:
    """Return the words that are right, and report the others."""
    taken = {}
    for key, (spot, value) in words.items():
        if key not in words_of(kind):
            what = f"no word of qnet's for a {kind.__name__.lower()}{guess(key, words_of(kind))}"
            found.fault(spot, what)
            continue
        read = _read(kind, key, value)
        if isinstance(read, ValidationError):
            message = read.errors()[0]["msg"].removeprefix("Value error, ")
            found.fault(spot, f"{describe(value)}: {message}" if len(message) < 40 else message)
        else:
            taken[key] = read
    return taken


def _read(kind: type[Noun], key: str, value: object) -> Any:
    """Return what a file of qnet's would say; a whole number may stand in quotes."""
    fault = None
    for tried in (value, int(value) if isinstance(value, str) and _is_whole(value) else None):
        if tried is None:
            continue
        try:
            _adapter(kind, key).validate_python(tried)
        except ValidationError as error:
            fault = error
        else:
            return tried
    return fault


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


@cache
def _adapter(kind: type[Noun], key: str) -> TypeAdapter[Any]:
    info = file_keys(kind)[key]
    annotation: Any = info.annotation
    metadata = tuple(info.metadata)
    return TypeAdapter(Annotated[annotation, *metadata] if metadata else annotation)
