"""Start the controller apps that a test names, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from qnet.emulate.process.controller import Controller

Named = str | Sequence[str] | Mapping[str, str]
"""An app, or several, also by names of their own."""


def named(given: Named) -> dict[str, str]:
    """Return modules by name; one that is there twice is called learning and learning-2."""
    if isinstance(given, Mapping):
        return dict(given)
    found: dict[str, str] = {}
    for one in [given] if isinstance(given, str) else given:
        count = sum(has == one for has in found.values()) + 1
        found[one if count == 1 else f"{one}-{count}"] = one
    return found


@contextmanager
def started(
    apps: Mapping[str, str],
    arguments: Sequence[str] | Mapping[str, Sequence[str]],
    modules: Path,
    chosen: Mapping[str, Any],
) -> Iterator[dict[str, Controller]]:
    """Start apps with their arguments, or those of each by its name; they end with the context.

    `chosen` are `framework` and `python`, where a test says them.
    """
    with ExitStack() as stack:
        found = {}
        for name, module in apps.items():
            own = arguments.get(name, ()) if isinstance(arguments, Mapping) else arguments
            found[name] = stack.enter_context(Controller([module], own, modules=modules, **chosen))
        yield found
