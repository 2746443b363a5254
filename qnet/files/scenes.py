"""Named scenes of a traffic file, written out before its values are judged.

A scene is a template: streams, demands and events with `${name}` where the traffic file says what
they are called, from where they go, and whatever else it sets otherwise. Each of its figures has a
source or is assumed; what is assumed is added to the assumptions of the traffic file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

from qnet.files.tree import Branch, Location, Source, compose
from qnet.units import INSTANT, RATE, UnitError, describe, format_quantity, parse

KEY = "scenes"
PAIRS = "pairs"
"""Of the key `symmetry`."""

PARTS = ("streams", "demands", "events", PAIRS)
ASSUMED = "assumed"
"""What a figure has for its source where there is none."""

NODES_HIGHEST = 300
"""Of a gravity matrix."""

DAYS_HIGHEST = 366

_EXAMPLE = "'- {scene: sampled-values, from: a, to: b}'"
_REFERENCE = re.compile(r"\$\{([^{}]+)\}")
_OWN = ("scene", "name")


class SourcedFigure(NamedTuple):
    """A figure of a scene, and where it is known from."""

    what: str
    value: str
    source: str


class Scene(NamedTuple):
    """A template of streams, demands and events."""

    name: str
    title: str
    figures: tuple[SourcedFigure, ...]
    parameters: Mapping[str, Branch]
    """What can be set otherwise, by name."""
    needs: tuple[str, ...]
    """What a traffic file must say, in the order of use."""
    inline: frozenset[str]
    """What stands within texts and must be one itself."""
    parts: Mapping[str, Branch]


def names_in(folder: Path) -> list[str]:
    """Return the names of the scenes in a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


@cache
def read_scene(path: Path) -> Scene:
    """Read a scene that comes with qnet; one that is not right is a fault of qnet's own."""
    source = Source(path.name)
    compose(source, path.read_bytes())
    root = source.root
    assert root is not None, source.problems
    assert isinstance(root.content, dict), source.problems
    data = root.value()
    assert isinstance(data, dict)
    given = root.content.get("parameters")
    parameters = given.content if given is not None else {}
    assert isinstance(parameters, dict)
    parts = {key: root.content[key] for key in PARTS if key in root.content}
    used = [match for part in parts.values() for text in _texts(part) for match in _uses(text)]
    needs = dict.fromkeys(name for name, _ in used if name not in parameters and name != "name")
    needs |= dict.fromkeys(data.get("needs", ()))
    figures = tuple(SourcedFigure(**one) for one in data["figures"])
    inline = frozenset(name for name, whole in used if not whole) | {"name"}
    return Scene(path.stem, data["title"], figures, parameters, tuple(needs), inline, parts)


def _texts(branch: Branch) -> Iterable[str]:
    if isinstance(branch.content, str):
        yield branch.content
        return
    inside = branch.content.values() if isinstance(branch.content, dict) else branch.content
    for child in inside:
        yield from _texts(child)


def _uses(text: str) -> Iterable[tuple[str, bool]]:
    """Yield what a text refers to, and whether it is nothing else."""
    for match in _REFERENCE.finditer(text):
        yield match.group(1), match.group() == text


def scenes_of(source: Source, folder: Path) -> list[Scene]:
    """Return the scenes that a file takes and that there are, each once, in the order of the file.

    They are there until `fill_scenes` has written them out.
    """
    root = source.root
    block = root.child(KEY) if root is not None else None
    items = block.content if block is not None and isinstance(block.content, list) else []
    named = (item.child("scene") for item in items)
    found = dict.fromkeys(str(one.content) for one in named if one is not None)
    known = set(names_in(folder)) if found else set()
    return [read_scene(folder / f"{one}.yaml") for one in found if one in known]


def fill_scenes(source: Source, folder: Path) -> None:
    """Write the scenes of a file out as streams, demands and events, and take the key away.

    What a scene says goes before the file's defaults. Faults of what is written out have the place
    of the scene, or of the value that it was given.
    """
    root = source.root
    if root is None or not isinstance(root.content, dict) or KEY not in root.content:
        return
    block = root.content[KEY]
    known = scenes_of(source, folder)
    if not isinstance(block.content, list):
        source.fault((KEY,), f"not a list; write it like {_EXAMPLE}")
        block.content = []
    taken: set[str] = set()
    written: dict[str, list[Branch]] = {}
    for place, item in enumerate(block.content):
        filler = _Filler(source, place, item, {one.name: one for one in known}, folder)
        if filler.is_right(taken):
            for part, made in filler.written().items():
                written.setdefault(part, []).extend(made)
    written["assumptions"] = [
        Branch(block.line, block.column, f"scene {one.name}: {figure.what}: {figure.value}")
        for one in known
        for figure in one.figures
        if figure.source.startswith(ASSUMED)
    ]
    del root.content[KEY]
    for part, more in written.items():
        around = root
        if part == PAIRS:
            around = root.content.setdefault("symmetry", Branch(block.line, block.column, {}))
        if isinstance(around.content, dict):
            there = around.content.setdefault(part, Branch(block.line, block.column, []))
            if isinstance(there.content, list):
                there.content.extend(more)


class _Filler:
    """Writes out one scene of a file."""

    def __init__(
        self, source: Source, place: int, item: Branch, known: Mapping[str, Scene], folder: Path
    ) -> None:
        self.source, self.item, self.folder = source, item, folder
        self.where: Location = (KEY, place)
        self.given = item.content if isinstance(item.content, dict) else {}
        named = self.given.get("scene")
        self.scene = known.get(str(named.content)) if named is not None else None
        self.values: dict[str, Branch] = {}

    def is_right(self, taken: set[str]) -> bool:
        """Report what is wrong with the keys of the item; note what the scene is called here."""
        if "scene" not in self.given:
            self._fault((), f"no scene; write it like {_EXAMPLE}")
            return False
        if self.scene is None:
            named = self.given["scene"].value()
            names = names_in(self.folder)
            hint = self.source.guess(str(named), names) or f"; there are {', '.join(names)}"
            self._fault(("scene",), f"no scene {describe(named)}{hint}")
            return False
        scene = self.scene
        self.values = {"name": self._text(scene.name), **scene.parameters, **self.given}
        called = str(self.values["name"].content)
        faults = len(self.source.problems)
        known = {*_OWN, *scene.parameters, *scene.needs}
        for key, branch in self.given.items():
            if key not in known:
                hint = self.source.guess(key, known) or f"; one of {', '.join(sorted(known))}"
                self._fault((key,), f"no such key{hint}", at_key=True)
            elif key in scene.inline and not isinstance(branch.content, str):
                self._fault((key,), f"{describe(branch.value())} is not a text")
        for key in scene.needs:
            if key not in self.given:
                self._fault((), f"no '{key}', which the scene '{scene.name}' asks for")
        if called in taken:
            self._fault((), f"a second scene called '{called}'; give it a 'name' of its own")
        taken.add(called)
        return len(self.source.problems) == faults

    def written(self) -> Mapping[str, list[Branch]]:
        """Return the elements of each list of the traffic file, every one a branch of its own."""
        assert self.scene is not None
        lists: dict[str, list[Branch]] = {}
        for part, template in self.scene.parts.items():
            made = self._written(template).content
            assert isinstance(made, list), "a part of a scene is a list"
            lists[part] = made
        maker = _MADE.get(self.scene.name)
        if maker is not None:
            lists |= maker(self)
        for event in lists.get("events", ()):
            _add_times(event.child("at"))
        return lists

    def _written(self, template: Branch) -> Branch:
        content = template.content
        if isinstance(content, dict):
            return self._branch({key: self._written(one) for key, one in content.items()})
        if isinstance(content, list):
            return self._branch([self._written(one) for one in content])
        whole = _REFERENCE.fullmatch(content)
        if whole is not None and whole.group(1) in self.values:
            return self.value(whole.group(1))
        text = _REFERENCE.sub(lambda match: str(self.values[match.group(1)].content), content)
        return replace(self._branch(text), plain=template.plain)

    def value(self, name: str) -> Branch:
        """Return a copy of what is given for a parameter, or of its default."""
        branch = self.values[name]
        if name not in self.given:
            return replace(branch, line=self.item.line, column=self.item.column, origin=self._at)
        return replace(branch, origin=f"{self._at}.{name}")

    @property
    def _at(self) -> str:
        return f"{KEY}[{self.where[1]}]"

    def _branch(self, content: str | list[Branch] | dict[str, Branch]) -> Branch:
        return Branch(self.item.line, self.item.column, content, origin=self._at)

    def _text(self, text: str) -> Branch:
        return replace(self._branch(text), plain=True)

    def mapping(self, **texts: str | Branch) -> Branch:
        """Return an element of a list; an underscore is a hyphen, or nothing at the end."""
        return self._branch(
            {
                key.rstrip("_").replace("_", "-"): self._text(one) if isinstance(one, str) else one
                for key, one in texts.items()
            }
        )

    def fault(self, name: str, message: str) -> None:
        """Report a fault of what is given for a parameter."""
        self._fault((name,) if name in self.given else (), message)

    def _fault(self, more: Location, message: str, *, at_key: bool = False) -> None:
        self.source.fault((*self.where, *more), message, at_key=at_key)


def _add_times(branch: Branch | None) -> None:
    """Add up an instant like '3ms+4ms'; what is no such sum is left to be judged as it is."""
    if branch is None or not isinstance(branch.content, str) or "+" not in branch.content:
        return
    try:
        sum_ps = sum(parse(INSTANT, part) for part in branch.content.split("+"))
    except UnitError:
        return
    branch.content = format_quantity(INSTANT, sum_ps)


def _weights(value: object) -> dict[str, int]:
    """Return the weights of nodes; none where they are not all whole numbers from 1 on."""
    weights = value if isinstance(value, dict) else {}
    is_right = all(type(one) is int and one > 0 for one in weights.values())
    return weights if is_right else {}


def _gravity(filler: _Filler) -> dict[str, list[Branch]]:
    """Return a demand for every pair of nodes: of the rate its share by the product of weights."""
    weights = _weights(filler.values["weights"].value())
    if not 2 <= len(weights) <= NODES_HIGHEST:
        words = f"nodes with whole numbers from 1 on, two to {NODES_HIGHEST} of them"
        filler.fault("weights", f"'weights' are {words}, like '{{a: 3, b: 1}}'")
        return {}
    try:
        rate_bps = parse(RATE, filler.values["rate"].value())
    except UnitError as error:
        filler.fault("rate", str(error))
        return {}
    pairs = [(a, b) for a in weights for b in weights if a != b]
    total = sum(weights[a] * weights[b] for a, b in pairs)
    demands = []
    for a, b in pairs:
        share_bps = rate_bps * weights[a] * weights[b] // total
        if share_bps:
            demands.append(
                filler.mapping(
                    name=f"{filler.values['name'].content}-{a}-{b}",
                    from_=a,
                    to=b,
                    class_=filler.value("class"),
                    group=filler.value("name"),
                    rate=format_quantity(RATE, share_bps),
                    sizes=filler.value("sizes"),
                    max_loss=filler.value("max-loss"),
                )
            )
    return {"demands": demands}


def _day_and_night(filler: _Filler) -> dict[str, list[Branch]]:
    """Return a scale of the target for each part of the days, from the hour of the start on."""
    curve = filler.values["curve"].value()
    days, hour = filler.values["days"].value(), filler.values["hour"].value()
    if not isinstance(curve, list) or not curve:
        filler.fault("curve", "'curve' is a list of shares, one for each part of a day")
        return {}
    if type(days) is not int or not 1 <= days <= DAYS_HIGHEST:
        filler.fault("days", f"'days' is a whole number from 1 to {DAYS_HIGHEST}")
        return {}
    if type(hour) is not int or not 0 <= hour < len(curve):
        filler.fault("hour", f"'hour' is a whole number from 0 to {len(curve) - 1}")
        return {}
    try:
        day_ps = parse(INSTANT, filler.values["day"].value())
    except UnitError as error:
        filler.fault("day", str(error))
        return {}
    events = [
        filler.mapping(
            at=format_quantity(INSTANT, int(Fraction(day_ps * place, len(curve)))),
            change="scale",
            target=filler.value("target"),
            by=str(curve[(hour + place) % len(curve)]),
        )
        for place in range(days * len(curve))
    ]
    return {"events": events}


_MADE: Mapping[str, Callable[[_Filler], dict[str, list[Branch]]]] = {
    "gravity": _gravity,
    "day-and-night": _day_and_night,
}
"""Scenes of so many elements as their figures say."""
