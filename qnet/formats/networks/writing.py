"""What all writers share: the wires with their interfaces, and the list of what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from re import fullmatch, sub
from typing import Any, NamedTuple

from qnet.files.words import given
from qnet.formats.networks.naming import FreeNames
from qnet.formats.networks.notes import Notes
from qnet.formats.networks.own_words import own_words, words_of
from qnet.model.fields import Noun
from qnet.model.topology import Link, Node, Topology, fibre_length_mm
from qnet.units import LENGTH, format_quantity


class WrittenWire(NamedTuple):
    """One member of a link, and the numbers of its interfaces at either end, from 1 on."""

    link: Link
    near: int
    far: int


def wires(topology: Topology) -> Iterator[WrittenWire]:
    """Yield the members of all links, in the order of the file."""
    last: Counter[str] = Counter()
    for link in topology.links:
        for _ in range(link.members):
            last.update(link.between)
            yield WrittenWire(link, *(last[end] for end in link.between))


def names_within(
    topology: Topology, pattern: str, highest: int, reserved: Collection[str] = ()
) -> dict[str, str]:
    """Return a name for each node that another program takes: its own where that fits.

    Others keep what fits `pattern` of their letters, such as '[A-Za-z0-9_-]', and get a number.
    """
    names = {
        node.name: node.name
        for node in topology.nodes
        if len(node.name) <= highest
        and node.name not in reserved
        and fullmatch(f"[A-Za-z]{pattern}*", node.name)
    }
    free = FreeNames([*names.values(), *reserved])
    for number, node in enumerate(topology.nodes, start=1):
        if node.name not in names:
            kept = "".join(char for char in node.name if fullmatch(pattern, char))
            made = kept[: highest - 8] if fullmatch(f"[A-Za-z]{pattern}*", kept) else f"n{number}"
            names[node.name] = free.take(made)
    return names


def word_of_title(topology: Topology, pattern: str, highest: int) -> str:
    """Return a name for a network where there is no room for its title."""
    kept = "".join(char if fullmatch(pattern, char) else "-" for char in topology.title)
    return sub("-{2,}", "-", kept)[:highest].strip("-") or "network"


def link_words(notes: Notes, topology: Topology, link: Link) -> dict[str, Any]:
    """Return what a file of qnet's says of a link, its length always: places do not say it."""
    words = own_words(link)
    if link.length_mm is None and link.delay_ps is None:
        near, far = (topology.node_by_name[end].position for end in link.between)
        assert near is not None, "read.py refuses links of unknown length"
        assert far is not None, "read.py refuses links of unknown length"
        words["length"] = format_quantity(LENGTH, fibre_length_mm(near, far))
        notes.note("lengths that follow from places written out", "--".join(link.between))
    return words


def degrees(microdegrees: int) -> str:
    """Write degrees as a decimal number: -2_500_000 is '-2.5'."""
    whole, rest = divmod(abs(microdegrees), 10**6)
    return f"{'-' * (microdegrees < 0)}{whole}.{rest:06d}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Says:
    """The keys of qnet's files that a format has a place for."""

    topology: frozenset[str] = frozenset({"title"})
    node: frozenset[str] = frozenset({"name"})
    link: frozenset[str] = frozenset({"name", "between", "direction", "members"})


def list_unsaid(notes: Notes, topology: Topology, says: Says) -> None:
    """Note whatever a topology says that a format cannot say, key by key."""
    list_keys(notes, topology, "the network", says.topology | {"nodes", "links"}, "")
    for node in topology.nodes:
        list_keys(notes, node, "nodes", says.node, node.name)
    for link in topology.links:
        list_keys(notes, link, "links", says.link, link.name or "--".join(link.between))


def list_keys(notes: Notes, noun: Noun, of: str, known: frozenset[str], example: str) -> None:
    """Note the keys of a noun that a format has no place for."""
    for key, value in given(noun).items():
        if key not in known:
            count = len(value) if isinstance(value, tuple) and not example else 1
            notes.note(f"'{key}' of {of} left out", example, count=count)


OWN_WORDS = Says(
    node=frozenset(words_of(Node)),
    link=frozenset({*words_of(Link), "between", "members"}),
)
"""Of formats with room for qnet's own words."""
