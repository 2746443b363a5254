"""What all writers share: the wires with their interfaces, and the list of what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from qnet.files.words import given
from qnet.formats.networks.notes import Notes
from qnet.model.fields import Noun
from qnet.model.topology import Link, Topology


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
