"""Objects of a YAML or JSON file, their keys taken one by one; faults have their lines."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from qnet.files.tree import Branch, guess
from qnet.formats.networks.attributes import number
from qnet.formats.networks.found import FoundNetwork, Spot
from qnet.formats.networks.texts import there
from qnet.units import describe

_ALIKE = 0.8
_DIGITS_HIGHEST = 20


class Values:
    """One object. Whatever is not taken of it is listed in the end (`list_rest`)."""

    def __init__(self, found: FoundNetwork, branch: Branch, where: str) -> None:
        self.found = found
        self.branch = branch
        self.where = where
        self._taken: set[str] = set()

    def spot(self, key: str = "") -> Spot:
        """Say where a value stands, or the object where it is not there."""
        inner = self.branch.child(key) or self.branch
        where = f"{self.where}.{key}" if self.where and key else self.where or key
        return Spot(inner.line, inner.column, where)

    def fault(self, key: str, message: str) -> None:
        """Report what is wrong with a value."""
        self.found.fault(self.spot(key), message)

    def take(self, key: str) -> Branch | None:
        """Return a value with its place, None where there is none."""
        self._taken.add(key)
        return there(self.branch, key)

    def has(self, key: str) -> bool:
        """Say whether there is a value, without taking it."""
        return there(self.branch, key) is not None

    def text(self, key: str, *, needed: bool = False) -> str:
        """Return a text, or nothing."""
        inner = self.take(key)
        if inner is None:
            if needed:
                self.fault("", f"no '{key}'")
            return ""
        value = inner.value()
        if not isinstance(value, str) or not value.strip():
            self.fault(key, f"{describe(value)}, not a text")
            return ""
        return value

    def texts(self, key: str) -> list[str]:
        """Return the texts of a list."""
        inner = self.take(key)
        if inner is None:
            return []
        if not isinstance(inner.content, list):
            self.fault(key, f"{describe(inner.value())}, not a list")
            return []
        made = []
        for index, one in enumerate(inner.content):
            value = one.value()
            if isinstance(value, str):
                made.append(value)
            else:
                spot = Spot(one.line, one.column, f"{self.spot(key).where}[{index}]")
                self.found.fault(spot, f"{describe(value)}, not a text")
        return made

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number, which may stand in quotes as protobuf writes large ones."""
        inner = self.take(key)
        if inner is None:
            return default
        value = inner.value()
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value) if len(value) <= _DIGITS_HIGHEST else value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            words = f"{describe(value)} is not a whole number from {low:,} to {high:,}"
            self.fault(key, words)
            return default
        return value

    def amount(self, key: str, default: Fraction, low: int = 0, high: int = 10**18) -> Fraction:
        """Return a number, to its last digit."""
        inner = self.take(key)
        if inner is None:
            return default
        is_plain = isinstance(inner.content, str) and inner.plain
        value = number(inner.value()) if is_plain else None
        if value is None or not low <= value <= high:
            to = f" to {high:,}" if high < 10**18 else " on"
            self.fault(key, f"{describe(inner.value())} is not a number from {low:,}{to}")
            return default
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a truth value."""
        inner = self.take(key)
        if inner is None:
            return default
        value = inner.value()
        if isinstance(value, str) and inner.plain and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            self.fault(key, f"{describe(value)} is neither true nor false")
            return default
        return value

    def word(self, key: str, words: Collection[str], default: str | None) -> str | None:
        """Return one of several words; None, and a fault, for another one."""
        inner = self.take(key)
        if inner is None:
            return default
        value = inner.value()
        if isinstance(value, str) and value in words:
            return value
        more = guess(value, words, _ALIKE) if isinstance(value, str) else ""
        self.fault(key, f"{describe(value)} is none of {', '.join(words)}{more}")
        return None

    def choice(self, words: Collection[str], default: str | None) -> str | None:
        """Return which of several keys counts: what 'choice' says, or else the only one there."""
        there = [word for word in words if self.has(word)]
        if self.has("choice"):
            made = self.word("choice", words, None)
            for word in there:
                if word != made and made is not None:
                    self._taken.add(word)
                    self.found.note("values left out that are not those of their 'choice'", word)
            return made
        if len(there) > 1:
            names = " and ".join(f"'{word}'" for word in there[:2])
            self.fault("", f"{names} both given; 'choice' says which one counts")
            self._taken.update(there)
            return None
        return there[0] if there else default

    def inner(self, key: str) -> Values:
        """Return an object, an empty one where there is none."""
        inner = self.take(key)
        where = self.spot(key).where
        if inner is not None and isinstance(inner.content, dict):
            return Values(self.found, inner, where)
        if inner is not None:
            self.fault(key, f"{describe(inner.value())}, not an object")
        return Values(self.found, Branch(*self.spot(key)[:2], {}), where)

    def each(self, key: str) -> list[Values]:
        """Return the objects of a list."""
        inner = self.take(key)
        where = self.spot(key).where
        if inner is None:
            return []
        if not isinstance(inner.content, list):
            self.fault(key, f"{describe(inner.value())}, not a list")
            return []
        made = []
        for index, one in enumerate(inner.content):
            if isinstance(one.content, dict):
                made.append(Values(self.found, one, f"{where}[{index}]"))
            else:
                spot = Spot(one.line, one.column, f"{where}[{index}]")
                self.found.fault(spot, f"{describe(one.value())}, not an object")
        return made

    def list_rest(self, of: str, known: Collection[str] = (), example: str = "") -> None:
        """Note what has not been taken; a key that is one of others but for a letter is a fault."""
        content = self.branch.content
        for key in content if isinstance(content, dict) else ():
            if key in self._taken or not self.has(key):
                continue
            more = "" if key in known else guess(key, {*self._taken, *known}, _ALIKE)
            if more:
                self.fault(key, f"no key of {of}{more}")
                continue
            inner = self.branch.child(key)
            assert inner is not None, "it is there"
            count = len(inner.content) if isinstance(inner.content, list) else 1
            if count:
                what = f"'{key}' of {of} left out"
                self.found.note(what, example, count=count, of_demands=True)
