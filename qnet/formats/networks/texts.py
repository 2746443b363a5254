"""Files of other programs to text, JSON and XML, or a fault at its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax import ContentHandler, SAXException, SAXParseException
from xml.sax.handler import feature_namespaces

from qnet.errors import EnvironmentMissing, InputError
from qnet.files.read import open_file, twice
from qnet.files.tree import Branch, Source, compose
from qnet.formats.networks.found import FoundNetwork, Spot
from qnet.units import describe

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DEPTH_HIGHEST = 100
_ELEMENTS_HIGHEST = 5_000_000
INTEGER_DIGITS_HIGHEST = 18
VALUES_HIGHEST = 4_000_000
"""Of a JSON file; what has more is no network of as many edges as qnet takes."""


def open_all(files: Sequence[str | Path]) -> list[tuple[Source, bytes]]:
    """Read files; raises InputError with the faults of all."""
    opened = [open_file(Path(file)) for file in files]
    refuse([source for source, _ in opened])
    return [(source, raw) for source, raw in opened if raw is not None]


def refuse(sources: Iterable[Source]) -> None:
    """Raise InputError when any of the files has a fault."""
    sources = list(sources)
    problems = [one for source in sources for one in source.problems]
    if problems:
        raise InputError(problems, sum(source.unlisted for source in sources))


def decode(source: Source, raw: bytes) -> str:
    """Return the text of a file in UTF-8. Raises InputError where it is none."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start - raw.rfind(b"\n", 0, error.start)
        source.report(raw.count(b"\n", 0, error.start) + 1, place, "", "not a text file in UTF-8")
        raise InputError(source.problems) from None
    wrong = _FORBIDDEN.search(text)
    if wrong is not None:
        at = wrong.start()
        words = f"character U+{ord(wrong.group()):04X} does not belong in a text file; remove it"
        source.report(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at), "", words)
        raise InputError(source.problems)
    return text


def read_json(source: Source, raw: bytes) -> Any:
    """Read JSON; a key twice in one object, and what is no number, are faults."""
    return parse_json(source, decode(source, raw))


def parse_json(source: Source, text: str) -> Any:
    """Read JSON as `read_json` does, of what is decoded."""
    if text.count(",") >= VALUES_HIGHEST:
        source.report(0, 0, "", f"more than {VALUES_HIGHEST:,} values")
        raise InputError(source.problems)

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(items)
        if len(made) < len(items):
            source.report(0, 0, "", f"key {describe(twice(items))} twice in one object")
        return made

    def whole(digits: str) -> int:
        if len(digits) > INTEGER_DIGITS_HIGHEST + 1:
            source.report(0, 0, "", f"{describe(digits)} is too large a number")
            return 0
        return int(digits)

    def refuse_constant(word: str) -> None:
        source.report(0, 0, "", f"{word} is not a number")

    found = None
    try:
        found = json.loads(
            text, object_pairs_hook=pairs, parse_int=whole, parse_constant=refuse_constant
        )
    except json.JSONDecodeError as error:
        source.report(error.lineno, error.colno, "", f"not JSON: {error.msg}")
    except RecursionError:
        source.report(0, 0, "", "nested too deeply")
    refuse([source])
    return found


def read_yaml(source: Source, raw: bytes) -> Branch:
    """Read YAML with its places. Raises InputError for what is none, and for aliases and tags."""
    compose(source, raw)
    refuse([source])
    assert source.root is not None, "what cannot be read is a fault"
    return source.root


def spot_of(branch: Branch, where: str) -> Spot:
    """Say where a value of YAML stands."""
    return Spot(branch.line, branch.column, where)


def there(branch: Branch, key: str) -> Branch | None:
    """Return what stands under a key; None where there is nothing, or null."""
    inner = branch.child(key)
    return None if inner is None or (inner.plain and inner.value() is None) else inner


def part(
    found: FoundNetwork, branch: Branch, key: str, where: str, *, needed: bool = True
) -> Branch:
    """Return the mapping under a key, or an empty one; a fault where that is wrong."""
    inner = there(branch, key)
    nothing = Branch(branch.line, branch.column, {})
    if inner is None:
        if needed:
            found.fault(spot_of(branch, where), f"no '{key}'")
        return nothing
    if not isinstance(inner.content, dict):
        at = f"{where}.{key}" if where else key
        found.fault(spot_of(inner, at), f"{describe(inner.value())}, not a mapping")
        return nothing
    return inner


def items(branch: Branch) -> Iterator[tuple[str, Branch]]:
    """Yield keys and values of a mapping."""
    if isinstance(branch.content, dict):
        yield from branch.content.items()


def elements(found: FoundNetwork, branch: Branch, key: str, where: str) -> list[Branch]:
    """Return the elements of a list under a key; none, and a fault, where it is no list."""
    inner = there(branch, key)
    if inner is None:
        return []
    if not isinstance(inner.content, list):
        found.fault(spot_of(inner, where), f"{describe(inner.value())}, not a list")
        return []
    return inner.content


@dataclass(slots=True)
class Element:
    """An element of an XML file, with its line; names are without namespaces."""

    tag: str
    attributes: dict[str, str]
    spot: Spot
    children: list[Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text in it, without what surrounds it."""
        return "".join(self.parts).strip()

    def of(self, tag: str) -> list[Element]:
        """Return the children of a name."""
        return [child for child in self.children if child.tag == tag]

    def first(self, tag: str) -> Element | None:
        """Return the first child of a name."""
        return next((child for child in self.children if child.tag == tag), None)


def read_xml(source: Source, raw: bytes, root: str) -> Element:
    """Read XML whose outermost element is called `root`.

    A DTD is refused, and with it whatever entities could do. Raises InputError for that and for
    what is no XML, EnvironmentMissing without defusedxml.
    """
    try:
        from defusedxml.common import DefusedXmlException  # noqa: PLC0415 (an extra)
        from defusedxml.sax import make_parser  # noqa: PLC0415
    except ImportError:
        words = "XML needs defusedxml: pip install 'qnet-emulator[networks]'"
        raise EnvironmentMissing(words) from None
    _refuse_at_once(source, raw)
    parser = make_parser()
    parser.forbid_dtd = True
    parser.setFeature(feature_namespaces, False)
    tree = _Tree(source, parser)
    parser.setContentHandler(tree)
    try:
        parser.feed(raw)
        parser.close()
    except DefusedXmlException:
        line, column = parser.getLineNumber(), parser.getColumnNumber() + 1
        source.report(line, column, "", _NO_DTD)
    except SAXParseException as error:
        line, column = error.getLineNumber() or 0, (error.getColumnNumber() or 0) + 1
        source.report(line, column, "", f"not XML: {error.getMessage()}")
    except (SAXException, LookupError, ValueError) as error:
        source.report(0, 0, "", f"not XML: {str(error).partition(chr(10))[0]}")
    refuse([source])
    assert tree.root is not None, "the parser refuses what has no element"
    if tree.root.tag != root:
        words = f"the outermost element is '{tree.root.tag[:40]}', not '{root}'"
        source.report(*tree.root.spot, words)
        raise InputError(source.problems)
    return tree.root


_NO_DTD = "a document type (DTD), which may hold entities, is not read; remove it"
_MARKS = {b"<?": b"?>", b"<!--": b"-->"}
"""What may stand before a document type, and how each ends."""


def _refuse_at_once(source: Source, raw: bytes) -> None:
    """Refuse by a search of the bytes what the parser would come to after many seconds.

    Each element has one '<' or two. UTF-16, where any byte may be zero, is left to the parser.
    """
    if raw.count(b"<") > 2 * _ELEMENTS_HIGHEST:
        source.report(0, 0, "", f"more than {_ELEMENTS_HIGHEST:,} elements; qnet takes no more")
    elif not raw.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0")):
        nul, dtd = raw.find(b"\0"), _document_type(raw)
        if nul >= 0:
            words = "character U+0000 does not belong in a text file; remove it"
            source.report(*_line_and_column(raw, nul), "", words)
        elif dtd is not None:
            source.report(*_line_and_column(raw, dtd), "", _NO_DTD)
    refuse([source])


def _document_type(raw: bytes) -> int | None:
    """Return where a document type begins; None where the first element comes before one."""
    at = 3 if raw.startswith(b"\xef\xbb\xbf") else 0
    while True:
        space = _BLANKS.match(raw, at)
        at = at if space is None else space.end()
        end = next((end for begin, end in _MARKS.items() if raw.startswith(begin, at)), None)
        if end is None:
            return at if raw.startswith(b"<!DOCTYPE", at) else None
        at = raw.find(end, at) + len(end)
        if at < len(end):
            return None


_BLANKS = re.compile(rb"[ \t\r\n]*")


def _line_and_column(raw: bytes, at: int) -> tuple[int, int]:
    return raw.count(b"\n", 0, at) + 1, at - raw.rfind(b"\n", 0, at)


class _Tree(ContentHandler):
    """Makes elements of what the parser tells."""

    def __init__(self, source: Source, locator: Any) -> None:
        super().__init__()
        self.root: Element | None = None
        self._source = source
        self._locator = locator
        self._open: list[Element] = []
        self._count = 0

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802 (xml.sax calls it so)
        spot = Spot(self._locator.getLineNumber(), self._locator.getColumnNumber() + 1)
        made = Element(name.rpartition(":")[2], dict(attrs.items()), spot)
        if self._open:
            self._open[-1].children.append(made)
        elif self.root is None:
            self.root = made
        self._open.append(made)
        self._count += 1
        if self._count > _ELEMENTS_HIGHEST:
            words = f"more than {_ELEMENTS_HIGHEST:,} elements; qnet takes no more"
            self._source.report(*spot, words)
            raise InputError(self._source.problems)
        if len(self._open) > _DEPTH_HIGHEST:
            words = f"nested more than {_DEPTH_HIGHEST} deep"
            self._source.report(*spot, words)
            raise InputError(self._source.problems)

    def endElement(self, name: str) -> None:  # noqa: N802
        del name
        self._open.pop()

    def characters(self, content: str) -> None:
        if self._open and (content.strip() or self._open[-1].parts):
            self._open[-1].parts.append(content)
