"""Put parameters and defaults into a file's tree, before its values are judged."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import islice

from qnet.files.tree import Branch, Location, Source, guess
from qnet.units import describe

PARAMETER_LENGTH_HIGHEST = 200
NAMES_SHOWN = 20
DEFAULT_VALUES_HIGHEST = 100
"""A larger block of defaults, filled into every element, could make a small file a huge one."""

_REFERENCE = re.compile(r"\$\{([^{}]+)\}")

_RIVALS = {"length": "delay", "delay": "length"}
"""A default length gives way to an element's own delay, and the other way round."""


def fill_parameters(source: Source, settings: Mapping[str, str]) -> None:
    """Replace every `${name}` of a traffic file by its parameter; `settings` go before the file."""
    root = source.root
    if root is None or not isinstance(root.content, dict):
        return
    given = root.content.get("parameters")
    values = _read_parameters(source, given)
    for name in sorted(set(settings) - set(values)):
        hint = guess(name, values) or f"; the file has {_listed(values)}"
        source.report(0, 0, f"--set {name}", f"no such parameter{hint}")
    for name in sorted(set(settings) & set(values)):
        _set_parameter(source, given, name, settings[name])
        values[name] = settings[name]
    for key, branch in root.content.items():
        if branch is not given:
            _replace(source, branch, (key,), values)


def _listed(names: Collection[str]) -> str:
    shown = sorted(islice(names, NAMES_SHOWN))
    return ", ".join([*shown, "..."] if len(names) > len(shown) else shown) or "none"


def _read_parameters(source: Source, given: Branch | None) -> dict[str, str]:
    if given is None or not isinstance(given.content, dict):
        return {}
    values = {}
    for name, branch in given.content.items():
        message = _parameter_fault(branch)
        if message:
            source.fault(("parameters", name), message)
            branch.content, branch.plain = "", False
        assert isinstance(branch.content, str)
        branch.plain = branch.plain and isinstance(branch.value(), int | str)
        values[name] = branch.content
    return values


def _parameter_fault(branch: Branch) -> str | None:
    value = branch.value()
    if value is None or not isinstance(branch.content, str):
        return f"{describe(value)} is not a parameter; write a number or a text"
    if "${" in branch.content:
        return "a parameter cannot refer to another; write its value"
    return _length_fault(branch.content)


def _length_fault(text: str) -> str | None:
    if len(text) <= PARAMETER_LENGTH_HIGHEST:
        return None
    return f"{describe(text)} is too long; at most {PARAMETER_LENGTH_HIGHEST} characters"


def _set_parameter(source: Source, given: Branch | None, name: str, value: str) -> None:
    message = _length_fault(value)
    if message:
        source.report(0, 0, f"--set {name}", message)
    branch = given.child(name) if given else None
    if branch is not None:
        branch.content, branch.plain, branch.broken = value, True, False


def _replace(source: Source, branch: Branch, location: Location, values: Mapping[str, str]) -> None:
    if isinstance(branch.content, dict):
        for key, child in branch.content.items():
            _replace(source, child, (*location, key), values)
    elif isinstance(branch.content, list):
        for index, child in enumerate(branch.content):
            _replace(source, child, (*location, index), values)
    elif "${" in branch.content:
        message = _reference_fault(source, branch.content, values)
        if message:
            source.fault(location, message)
            branch.broken = True
        else:
            branch.content = _REFERENCE.sub(lambda match: values[match.group(1)], branch.content)


def _reference_fault(source: Source, text: str, values: Mapping[str, str]) -> str | None:
    names = _REFERENCE.findall(text)
    if len(names) < text.count("${"):
        return f"{describe(text)} has '${{' without a name; write it like '${{count}}'"
    unknown = [name for name in names if name not in values]
    if not unknown:
        return None
    name = unknown[0] if len(unknown[0]) <= 40 else unknown[0][:37] + "..."
    hint = source.guess(name, values) or f"; the file has {_listed(values)}"
    return f"no parameter '{name}'{hint}"


def fill_defaults(
    source: Source, lists: Mapping[str, str], keys: Mapping[str, Collection[str]]
) -> None:
    """Fill the block `defaults:` into the elements that lack its keys, and take it away.

    `lists` says which list each part of the block fills, `keys` which keys it may have. A filled
    value keeps its place in the block, and its faults are named after the block.
    """
    root = source.root
    if root is None or not isinstance(root.content, dict) or "defaults" not in root.content:
        return
    block = root.content["defaults"]
    if _count(block) > DEFAULT_VALUES_HIGHEST:
        source.fault(
            ("defaults",), f"more than {DEFAULT_VALUES_HIGHEST} values; write fewer defaults"
        )
    elif not isinstance(block.content, dict):
        source.fault(("defaults",), "not a mapping; write it like 'node: {processing: 1us}'")
    else:
        for part, branch in block.content.items():
            if part not in lists:
                hint = source.guess(part, lists) or f"; one of {_listed(lists)}"
                source.fault(("defaults", part), f"no such key{hint}", at_key=True)
            elif not isinstance(branch.content, dict):
                source.fault(("defaults", part), f"{describe(branch.value())} is not a mapping")
            else:
                known = _known_defaults(source, part, branch.content, keys[part])
                _fill_list(root.content.get(lists[part]), known)
    del root.content["defaults"]


def _count(branch: Branch) -> int:
    if isinstance(branch.content, str):
        return 1
    inside = branch.content.values() if isinstance(branch.content, dict) else branch.content
    return 1 + sum(_count(child) for child in inside)


def _known_defaults(
    source: Source, part: str, content: dict[str, Branch], keys: Collection[str]
) -> dict[str, Branch]:
    known = {}
    for key, branch in content.items():
        if key in keys:
            branch.origin = f"defaults.{part}.{key}"
            known[key] = branch
        elif key in {"name", "between"}:
            message = f"no default for '{key}'; every {part} has its own"
            source.fault(("defaults", part, key), message, at_key=True)
        else:
            hint = source.guess(key, keys) or f"; one of {', '.join(keys)}"
            source.fault(("defaults", part, key), f"no such key{hint}", at_key=True)
    return known


def _fill_list(elements: Branch | None, defaults: Mapping[str, Branch]) -> None:
    if elements is None or not isinstance(elements.content, list):
        return
    for element in elements.content:
        if isinstance(element.content, dict):
            own = set(element.content)
            for key, branch in defaults.items():
                if key not in own and _RIVALS.get(key) not in own:
                    element.content[key] = branch
