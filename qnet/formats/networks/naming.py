"""Labels of other programs to names that qnet's files can hold, each of one node only."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import TypeAdapter, ValidationError

from qnet.formats.networks.found import FoundNetwork, FoundNode
from qnet.model.fields import NAME_HIGHEST, Name

_NAME = TypeAdapter(Name)
_BETWEEN = re.compile(r"-{2,}")
_SUFFIX_HIGHEST = 8
"""Characters that are kept for what tells equal names apart."""


def give_names(found: FoundNetwork) -> dict[str, str]:
    """Return a name for each node by its key, and note those that are not its label."""
    nodes = list(found.nodes.values())
    wanted = [
        node.label if node.is_named else plain_name(node.label) or _of_key(node.key)
        for node in nodes
    ]
    names = _distinct(wanted)
    for node, plain, name in zip(nodes, wanted, names, strict=True):
        _note(found, node, plain, name)
    return {node.key: name for node, name in zip(nodes, names, strict=True)}


def give_cable_names(found: FoundNetwork, labels: Iterable[str]) -> dict[str, str]:
    """Return a name for each cable by its label, and note those that are not the label."""
    return _give(found, labels, "cable")


def give_link_names(found: FoundNetwork, labels: Iterable[str]) -> dict[str, str]:
    """Return a name for each link by its label, and note those that are not the label."""
    return _give(found, labels, "link")


def _give(found: FoundNetwork, labels: Iterable[str], kind: str) -> dict[str, str]:
    each = list(dict.fromkeys(labels))
    names = dict(zip(each, _distinct([kept_name(one) or kind for one in each]), strict=True))
    for label, name in names.items():
        if name != label:
            what = f"{kind}s whose names are written as names can be"
            found.note(what, f"'{label}' is {name}")
    return names


def is_name(text: str) -> bool:
    """Say whether a text can be a name as it is."""
    try:
        _NAME.validate_python(text)
    except ValidationError:
        return False
    return True


def kept_name(text: str) -> str:
    """Return a text as it is where it can be a name, else the name nearest to it, or nothing."""
    return text if is_name(text) else plain_name(text)


def _of_key(key: str) -> str:
    """Return a name for what has no label: '3' is node-3."""
    return plain_name(f"node-{key}" if key[:1].isdigit() else key) or "node"


def _note(found: FoundNetwork, node: FoundNode, plain: str, name: str) -> None:
    if not node.label.strip():
        found.note("nodes without a label, named after their ids", name)
    elif plain != node.label:
        found.note("labels written as names can be", f"'{node.label}' is {name}")
    if name != plain:
        found.note("equal names told apart by a number", name)


def plain_name(label: str) -> str:
    """Return the name nearest to a label, or nothing: 'New York, NY' is 'New-York-NY'."""
    text = unicodedata.normalize("NFC", label)
    kept = "".join(char if char in "_." or _is_of_a_word(char) else "-" for char in text)
    name = _BETWEEN.sub("-", kept).strip("-_.")[: NAME_HIGHEST - _SUFFIX_HIGHEST].rstrip("-_.")
    while name:
        try:
            return _NAME.validate_python(name)
        except ValidationError:  # too many bytes, or a mark that belongs to no letter
            name = name[:-1] if name[:1].isalnum() else name[1:]
    return ""


def _is_of_a_word(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] in "LM" or kind == "Nd"


def _distinct(wanted: Sequence[str]) -> list[str]:
    """Add '-2', '-3' to names that come again; no name that was wanted is given to another."""
    taken = set(wanted)
    last: Counter[str] = Counter()
    names = []
    for name in wanted:
        last[name] += 1
        made = name
        while last[name] > 1 and (made := numbered(name, last[name])) in taken:
            last[name] += 1
        taken.add(made)
        names.append(made)
    return names


class FreeNames:
    """Names that are taken, each once; how often one was asked for is remembered."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._last: Counter[str] = Counter()

    def take(self, name: str) -> str:
        """Take a name, with a number where it is taken."""
        number = max(self._last[name], 1)
        made = name if number == 1 else numbered(name, number)
        while made in self._taken:
            number += 1
            made = numbered(name, number)
        self._last[name] = number
        self._taken.add(made)
        return made


def numbered(name: str, number: int) -> str:
    """Return a name with a number after as much of it as there is room for."""
    made = f"{name}-{number}"
    while not is_name(made) and len(name) > 1:
        name = name[:-1]
        made = f"{name}-{number}"
    return made
