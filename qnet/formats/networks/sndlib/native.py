"""SNDlib's native format: sections of words and brackets below a line that says what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from qnet.formats.networks.attributes import number
from qnet.formats.networks.found import LINKS_HIGHEST, FoundNetwork, Spot
from qnet.formats.networks.sndlib.nouns import SndDemand, SndLink, SndNetwork
from qnet.formats.networks.tokens import Token, tokens
from qnet.units import describe

_TOKEN = re.compile(r"#[^\n]*|(?P<word>[()]|[^\s()#]+)|\s+")
_HEADER = re.compile(r"\s*\?SNDlib native format; type: network[^\n]*")


class NativeReader:
    """Reads the sections of the native format, each `NAME ( ... )`."""

    def __init__(self, found: FoundNetwork, text: str) -> None:
        self.found = found
        header = _HEADER.match(text)
        if header is None:
            words = "no '?SNDlib native format; type: network; version: 1.0' on top"
            found.stop(Spot(1, 1), words)
        blank = re.sub(r"[^\n]", " ", header.group())
        self._tokens = tokens(found, blank + text[header.end() :], _TOKEN)
        self._last = Token("", Spot(1, 1))
        self._next = next(self._tokens, None)
        self.network = SndNetwork()

    def read(self) -> SndNetwork:
        """Read all sections; one that nobody knows is a fault."""
        readers = {
            "META": self._meta,
            "NODES": self._nodes,
            "LINKS": self._links,
            "DEMANDS": self._demands,
            "ADMISSIBLE_PATHS": self._paths,
        }
        while self._next is not None:
            name = self._take()
            section = readers.get(name.text)
            if section is None:
                self.found.stop(
                    name.spot,
                    f"{describe(name.text)} is no section; there are {', '.join(readers)}",
                )
            self._expect("(")
            section()
        return self.network

    def _take(self) -> Token:
        if self._next is None:
            self.found.stop(self._last.spot, "the file ends here, in the middle of a section")
        self._last, self._next = self._next, next(self._tokens, None)
        return self._last

    def _at(self, text: str) -> bool:
        return self._next is not None and self._next.text == text

    def _expect(self, text: str) -> None:
        token = self._take()
        if token.text != text:
            self.found.stop(token.spot, f"{describe(token.text)}, where '{text}' is due")

    def _word(self) -> Token:
        token = self._take()
        if token.text in "()":
            self.found.stop(token.spot, f"'{token.text}', where a word is due")
        return token

    def _amount(self, what: str) -> Fraction:
        """Read a number that is zero or more."""
        token = self._word()
        read = number(token.text)
        if read is None or read < 0:
            words = f"{describe(token.text)} is not a {what}; it is a number, zero or more"
            self.found.fault(token.spot, words)
            return Fraction(0)
        return read

    def _entries(self) -> Iterator[Token]:
        """Yield the name of each entry up to the end of the section."""
        while not self._at(")"):
            yield self._word()
        self._take()

    def _ends(self) -> tuple[str, str]:
        self._expect("(")
        ends = self._word().text, self._word().text
        self._expect(")")
        return ends

    def _meta(self) -> None:
        """Read `key = value`; of several words that stand on one line."""
        for key in self._entries():
            self._expect("=")
            value = []
            while self._next is not None and self._next.spot.line == key.spot.line:
                if self._at(")"):
                    break
                value.append(self._take().text)
            if key.text.lower() == "unit":
                self.network.unit = " ".join(value)
            else:
                self.found.note("entries of META left out", key.text)

    def _nodes(self) -> None:
        for name in self._entries():
            self._expect("(")
            pair: list[Fraction | None] = []
            while not self._at(")"):
                token = self._word()
                pair.append(number(token.text))
                if pair[-1] is None:
                    words = f"{describe(token.text)} is not a coordinate; it is a number"
                    self.found.fault(token.spot, words)
            self._take()
            if len(pair) not in (0, 2):
                self.found.fault(name.spot, f"{len(pair)} coordinates; a node has two, x and y")
            x, y = pair if len(pair) == 2 else (None, None)
            self.network.nodes.append((name, x, y))

    def _links(self) -> None:
        for name in self._entries():
            ends = self._ends()
            installed = self._amount("capacity")
            for what in ("pre-installation", "routing", "setup"):
                if self._amount("cost"):
                    self.found.note("costs left out", f"of {what}")
            modules = []
            self._expect("(")
            while not self._at(")"):
                modules.append(self._amount("capacity"))
                self._amount("cost")
            self._take()
            if modules:
                self.found.note("costs left out", "of modules", count=len(modules))
            self.network.links.append(SndLink(name, ends, installed, modules))
            if len(self.network.links) > LINKS_HIGHEST:
                words = f"more than {LINKS_HIGHEST:,} links; qnet takes no more"
                self.found.stop(name.spot, words)

    def _demands(self) -> None:
        for name in self._entries():
            ends = self._ends()
            amount = self._amount("routing unit") * self._amount("demand")
            limit = self._word().text
            if limit != "UNLIMITED":
                what = "longest paths of demands left out"
                self.found.note(what, name.text, of_demands=True)
            self.network.demands.append(SndDemand(name, ends, amount))

    def _paths(self) -> None:
        depth = 1
        while depth:
            text = self._take().text
            depth += {"(": 1, ")": -1}.get(text, 0)
            if depth == 2 and text == "(":
                self.found.note("lists of admissible paths left out", of_demands=True)
