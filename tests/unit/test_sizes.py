"""No function is longer than can be read at once, or takes more than can be told apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES, ARGUMENTS = 100, 10

LONG = {
    # What it needs of a frame stays in registers from one to the next: cut up it takes longer.
    "qnet/simulate/kernels/in_order.py: serve_in_order",
}
"""Each is measured in docs/performance.md, under its name."""

MANY = {
    # The settings of a run, a replay, a sweep ...: each by its keyword, one by one or not at all.
    "qnet/api.py: run",
    "qnet/interchange.py: import_network",
    "qnet/loads/activation.py: activation_test",
    "qnet/loads/benchmark.py: benchmark",
    "qnet/loads/run.py: load_limit",
    "qnet/machine.py: reach",
    "qnet/replays/run.py: replay",
    "qnet/sweeps/run.py: sweep",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Yield every function of the package, with its file and name."""
    for path in sorted((ROOT / "qnet").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT).as_posix()}: {node.name}", node


def lines(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def arguments(node: Function) -> int:
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len([one for one in named if one.arg not in ("self", "cls")])


def test_functions_are_short() -> None:
    assert {name for name, node in functions() if lines(node) > LINES} == LONG


def test_functions_take_few_arguments() -> None:
    assert {name for name, node in functions() if arguments(node) > ARGUMENTS} == MANY


def test_what_is_long_for_speed_is_measured() -> None:
    measured = (ROOT / "docs/performance.md").read_text()
    for name in LONG:
        assert f"`{name.split(': ')[1]}`" in measured, name
