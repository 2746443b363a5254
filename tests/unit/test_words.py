"""One word for one thing: what the names of the code may not do (docs/terms.md)."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "qnet").rglob("*.py"))}

RETIRED = {
    "Attached": "SwitchSet",
    "Carrier": "TestbedAgent",
    "Distant": "RemoteSwitches",
    "WayTable": "CandidateTable",
    "admit_best": "best_fit",
    "admit_first": "first_fit",
    "apart": "namespaces",
    "asked": "requirements",
    "attached": "switch_set",
    "carrier": "agent",
    "child": "daemons",
    "desk": "scratch",
    "distant": "remote",
    "door": "command",
    "fabric": "dummy_switches",
    "held": "all_or_nothing",
    "inside": "mininet_child",
    "missing": "missing_tools, missing_switch, missing_controller",
    "walk": "follow_frames",
}
"""Names of modules, classes and functions that were given up, and what took their place."""


def defined(tree: ast.Module) -> Iterator[str]:
    """Yield the public classes and functions of a module, without those inside others."""
    for one in tree.body:
        if isinstance(one, ast.ClassDef | ast.FunctionDef) and not one.name.startswith("_"):
            yield one.name


def twice(modules: dict[Path, ast.Module]) -> dict[str, list[str]]:
    """Return the public classes that more than one module defines."""
    places = defaultdict(list)
    for path, tree in modules.items():
        for one in tree.body:
            if isinstance(one, ast.ClassDef) and not one.name.startswith("_"):
                places[one.name].append(str(path.relative_to(ROOT)))
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_public_class_has_the_name_of_another() -> None:
    assert twice(MODULES) == {}


def test_a_name_that_stands_twice_is_found() -> None:
    tree = ast.parse("class Twin: ...\nclass _Own: ...\n")
    made = {ROOT / "one.py": tree, ROOT / "other.py": tree}
    assert twice(made) == {"Twin": ["one.py", "other.py"]}


@pytest.mark.parametrize("word", RETIRED)
def test_no_word_that_was_given_up_comes_back(word: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path, tree in MODULES.items()
        if path.stem == word or word in defined(tree)
    ]
    assert found == [], f"the word is {RETIRED[word]}"
