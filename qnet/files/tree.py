"""YAML text to a tree that remembers where everything stands.

The tree is built from the parser's events, not by PyYAML's own composer: that one recurses, and
knows neither duplicate keys nor a limit of depth. Everything that YAML offers beyond mappings,
lists and scalars is refused here, with its place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field

import yaml

from qnet.errors import Problem
from qnet.units import describe

DEPTH_HIGHEST = 32
VALUES_HIGHEST = 2_000_000
PROBLEMS_HIGHEST = 10_000
COMPARISONS_HIGHEST = 50_000
"""Looking for a similar name takes long in a large file; the first faults get a suggestion."""

LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_FORBIDDEN = re.compile(
    "[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff"
)

Location = tuple[str | int, ...]
"""Keys and list indices from the root of a file to a value: ('links', 1, 'rate')."""


@dataclass(slots=True, eq=False)
class Branch:
    """A value of a file with its place; lines and columns are 1-based.

    `origin` is set when a value came from somewhere other than where it is used, and names that
    place. A `broken` value has been reported already; nothing more is said about it.
    """

    line: int
    column: int
    content: str | list[Branch] | dict[str, Branch]
    plain: bool = False
    key_line: int = 0
    key_column: int = 0
    origin: str = ""
    broken: bool = False

    def value(self) -> object:
        """Return what the file says: text, whole number, truth value, nothing, list or mapping."""
        if self.broken:
            return None
        if isinstance(self.content, dict):
            return {key: branch.value() for key, branch in self.content.items()}
        if isinstance(self.content, list):
            return [branch.value() for branch in self.content]
        return _resolve(self.content) if self.plain else self.content

    def forget_places(self) -> None:
        """Forget all lines and columns: there is no file that anybody could look at."""
        self.line = self.column = self.key_line = self.key_column = 0
        inner = self.content.values() if isinstance(self.content, dict) else self.content
        for branch in () if isinstance(inner, str) else inner:
            branch.forget_places()

    def child(self, step: str | int) -> Branch | None:
        """Return the value under a key or at an index, or None."""
        if isinstance(self.content, dict) and isinstance(step, str):
            return self.content.get(step)
        if isinstance(self.content, list) and isinstance(step, int):
            return self.content[step] if 0 <= step < len(self.content) else None
        return None


def _resolve(text: str) -> str | int | bool | None:
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if _INTEGER.fullmatch(text) else text


@dataclass
class Source:
    """One input file: its name for messages, its tree, and the faults found so far."""

    display: str
    root: Branch | None = None
    problems: list[Problem] = field(default_factory=list)
    unlisted: int = 0
    _compared: int = 0

    def report(self, line: int, column: int, where: str, message: str) -> None:
        """Note a fault at a place of the file, or count it where very many are noted already."""
        if len(self.problems) >= PROBLEMS_HIGHEST:
            self.unlisted += 1
            return
        self.problems.append(
            Problem(printable(self.display), line, column, printable(where), printable(message))
        )

    def fault(self, location: Location, message: str, *, at_key: bool = False) -> None:
        """Note a fault of the value at `location`, or of its key.

        What is missing is placed at the nearest value around it.
        """
        branch, where = self.root, ""
        found = True
        for step in location:
            where = _join(where, step)
            child = branch.child(step) if branch and found else None
            found = child is not None
            branch = child or branch
            where = child.origin if child and child.origin else where
        if branch is None:
            self.report(0, 0, where, message)
        elif not branch.broken:
            at_key = at_key and found and branch.key_line > 0
            line = branch.key_line if at_key else branch.line
            column = branch.key_column if at_key else branch.column
            self.report(line, column, where, message)

    def line_of(self, location: Location) -> int:
        """Return the line of the value at `location`, 0 where there is none."""
        branch = self.root
        for step in location:
            branch = branch.child(step) if branch else None
        return branch.line if branch else 0

    def guess(self, word: str, known: Collection[str]) -> str:
        """Return "; did you mean 'x'?" when a known word resembles `word`, else nothing."""
        self._compared += len(known)
        if self._compared > COMPARISONS_HIGHEST:
            return ""
        return guess(word, known)


def guess(word: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """Return "; did you mean 'x'?" when a known word resembles `word`, else nothing.

    `cutoff` is the least likeness, as `difflib` counts it.
    """
    close = difflib.get_close_matches(word[:80], sorted(known), n=1, cutoff=cutoff)
    return f"; did you mean '{close[0]}'?" if close else ""


def show_location(location: Location) -> str:
    """Write a location as messages do: 'links[1].rate'."""
    where = ""
    for step in location:
        where = _join(where, step)
    return where


def _join(where: str, step: str | int) -> str:
    if isinstance(step, int):
        return f"{where}[{step}]"
    key = step if len(step) <= 40 else step[:37] + "..."
    return f"{where}.{key}" if where else key


def printable(text: str) -> str:
    """Escape what would break a line or a terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def compose(source: Source, raw: bytes) -> None:
    """Read the bytes of a YAML file into `source.root`; it stays None when they cannot be used."""
    text = decode(source, raw)
    if text is None:
        return
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            builder.take(event)
    except _Stop:
        return
    except yaml.MarkedYAMLError as error:
        _report_syntax(source, text, error)
        return
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        source.report(0, 0, "", f"not YAML: {str(error).splitlines()[0]}")
        return
    if builder.root is None:
        source.report(1, 1, "", "the file is empty")
    source.root = builder.root


def decode(source: Source, raw: bytes) -> str | None:
    """Return the text of a file; None, and a fault at its place, where it is none."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        source.report(line, column, "", "not a text file in UTF-8")
        return None
    forbidden = _FORBIDDEN.search(text)
    if forbidden is None:
        return text
    place = forbidden.start()
    source.report(
        text.count("\n", 0, place) + 1,
        place - text.rfind("\n", 0, place),
        "",
        f"character U+{ord(forbidden.group()):04X} does not belong in a text file; remove it",
    )
    return None


def _report_syntax(source: Source, text: str, error: yaml.MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    assert mark is not None, "the parser always says where"
    message = f"not YAML: {error.problem or error.context}"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if line[: mark.column + 1].endswith("\t"):
        message += "; indent with spaces, not tabs"
    elif "${" in line:
        message += "; '${name}' cannot stand between braces, write the keys on lines of their own"
    elif error.context and error.context_mark and error.context_mark.line != mark.line:
        message += f" ({error.context} that begins on line {error.context_mark.line + 1})"
    source.report(mark.line + 1, mark.column + 1, "", message)


class _Stop(Exception):
    """The fault just reported leaves no tree to go on with."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    branch: Branch
    key: Branch | None = None
    wants_key: bool = True

    def step(self) -> str | int | None:
        if isinstance(self.branch.content, list):
            return len(self.branch.content)
        return str(self.key.content) if self.key else None


class _Builder:
    """Turn the parser's events into a tree, one by one."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.root: Branch | None = None
        self._open: list[_Open] = []
        self._count = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Add one event to the tree."""
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_extras(event)
            self._close(self._branch(event, event.value, plain=event.style in {None, ""}))
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._refuse_extras(event)
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            self._open.append(_Open(self._branch(event, {} if is_mapping else [])))
            if len(self._open) > DEPTH_HIGHEST:
                self.source.report(*_place(event), "", f"nested more than {DEPTH_HIGHEST} deep")
                raise _Stop
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(self._open.pop().branch)
        elif isinstance(event, yaml.AliasEvent):
            self._report(event, f"alias '*{event.anchor}': no aliases here; use 'defaults:'")
            self._close(self._branch(event, "", broken=True))
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._report(event, "a second document begins here; one file holds one document")
                raise _Stop

    def _branch(
        self,
        event: yaml.Event,
        content: str | list[Branch] | dict[str, Branch],
        *,
        plain: bool = False,
        broken: bool = False,
    ) -> Branch:
        self._count += 1
        if self._count > VALUES_HIGHEST:
            self._report(event, f"more than {VALUES_HIGHEST:,} values; that is too large a file")
            raise _Stop
        line, column = _place(event)
        return Branch(line, column, content, plain=plain, broken=broken)

    def _refuse_extras(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            self._report(event, f"anchor '&{event.anchor}': no anchors here; use 'defaults:'")
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            self._report(event, f"tag '{shown}': no tags here; leave it out")

    def _close(self, branch: Branch) -> None:
        """Put a finished value where it belongs."""
        if not self._open:
            self.root = branch
            return
        top = self._open[-1]
        if isinstance(top.branch.content, list):
            top.branch.content.append(branch)
        elif top.wants_key:
            top.wants_key = False
            top.key = branch if self._is_key(top.branch.content, branch) else None
        else:
            assert isinstance(top.branch.content, dict)
            if top.key is not None:
                branch.key_line, branch.key_column = top.key.line, top.key.column
                top.branch.content[str(top.key.content)] = branch
            top.wants_key, top.key = True, None

    def _is_key(self, content: object, key: Branch) -> bool:
        """Say whether `key` can stand in the mapping `content`; report why not."""
        assert isinstance(content, dict)
        if key.broken:
            return False
        value = key.value()
        if not isinstance(value, str):
            shown = describe(key.content) if isinstance(key.content, str) else describe(value)
            self._report(key, f"{shown} is not a key; a key is a word")
            return False
        if value in content:
            first = content[value].key_line
            self._report(key, f"key {describe(value)} again; it is on line {first} already")
            return False
        return True

    def _report(self, at: yaml.Event | Branch, message: str) -> None:
        steps = [step for step in (entry.step() for entry in self._open) if step is not None]
        where = show_location(tuple(steps))
        line, column = (at.line, at.column) if isinstance(at, Branch) else _place(at)
        self.source.report(line, column, where, message)


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None, "the parser always says where"
    return mark.line + 1, mark.column + 1
