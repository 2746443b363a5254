"""Rules about who may use what that imports alone do not show."""

import ast
import importlib
import inspect
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from qnet import units
from qnet.check import line
from qnet.check.gates import check_gates
from qnet.model import gates as nouns
from qnet.model.gates import GatePlan, GatePort, GateProblem, GateStream
from qnet.schedule.qbv.solve import schedule_gates

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "qnet"
US = 10**6

LOOK_UPS = {
    # Where to find what a file says, under a name or in an order.
    "cable",
    "class_by_name",
    "entry",
    "every_stream",
    "legs",
    "link_name",
    "listener",
    "node_by_name",
    "port_by_name",
    "ports",
    "queue_by_class",
    "replace",
    "service",
    "strict_classes",
    "targets",
    "tree",
    # What kind of thing it is.
    "gated",
    "is_gated",
    "is_host",
    "is_lossy",
    "is_reserved",
    "may_wait",
    "reserves",
    "takes_cycles",
    # What the words of a file mean, said in docs/files.md: sizes, rates, ways, lengths.
    "asymmetry_ps",
    "cable_failures",
    "node_failures",
    "burst_bytes",
    "frame_bytes",
    "held_queues",
    "rate_bps",
    "sync_ways",
    # What is printed of a plan that was judged.
    "gate_lines",
    "lines",
    "show",
    "variation_ps",
    # What an event is called.
    "words",
}
"""Methods of nouns that the checker may use; none of them places or times a frame."""


def _methods_of_nouns() -> tuple[set[str], set[str]]:
    """Return their names, and which of them some noun has as a field, too."""
    names, fields = set(), set()
    for path in (PACKAGE / "model").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names |= {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
                fields |= {
                    one.target.id
                    for one in node.body
                    if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
                }
    names = {name for name in names if not name.startswith("__")}
    return names, names & fields


def _borrowed(text: str, methods: set[str], fields: set[str]) -> Iterator[str]:
    """Yield names of methods that a text asks for, also through getattr and the like.

    To read what is also a field says nothing; to call it does.
    """
    for node in ast.walk(ast.parse(text)):
        asked = node.func if isinstance(node, ast.Call) else None
        if isinstance(asked, ast.Attribute) and asked.attr in methods & fields:
            yield asked.attr
        if isinstance(node, ast.Attribute) and node.attr in methods - fields:
            yield node.attr
        if isinstance(node, ast.Constant) and node.value in methods - fields:
            yield str(node.value)


def test_the_checker_borrows_no_arithmetic_from_the_nouns() -> None:
    """An import of a noun is allowed, so what is asked of it is looked at."""
    methods, fields = _methods_of_nouns()
    assert {"ready_ps", "reach_ps", "window_ps", "lead_ps", "sent_ps", "guard_ps"} <= methods
    found = {
        (name, path.name)
        for path in (PACKAGE / "check").rglob("*.py")
        for name in _borrowed(path.read_text(), methods, fields)
        if name not in LOOK_UPS
    }
    assert not found
    planted = "def f(problem, near, far): return getattr(problem, 'lead_ps')(near, far)"
    assert set(_borrowed(planted, methods, fields)) == {"lead_ps"}
    planted = "def f(problem, proof): return problem.window_ps(1) + proof.window_ps"
    assert list(_borrowed(planted, methods, methods)) == ["window_ps"]


WORDS = {
    "ask",
    "describe",
    "format_quantity",
    "row_of",
    "show_availabilities",
    "show_availability",
    "show_rate",
    "show_share",
    "show_time",
}
"""Functions outside of the checker that it may use: how a number is written, how a row is made of
a requirement."""


def _functions_from_outside(text: str) -> Iterator[str]:
    """Yield what a text imports of qnet, outside of the checker, that can be called to work."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.split(".")[0] == "qnet")
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if node.module.split(".")[0] != "qnet" or node.module.startswith("qnet.check"):
            continue
        module = importlib.import_module(node.module)
        for one in node.names:
            found = getattr(module, one.name, None)
            if found is None or inspect.ismodule(found) or inspect.isroutine(found):
                yield one.name


def test_the_checker_borrows_no_functions() -> None:
    """What divides, rounds and counts bytes on a line is its own: `qnet.check.line`."""
    for path in (PACKAGE / "check").rglob("*.py"):
        assert set(_functions_from_outside(path.read_text())) <= WORDS, path.name
    for planted, name in (
        ("from qnet.units import PPB, ceil_div as up", "ceil_div"),
        ("from qnet import units", "units"),
        ("import qnet.units", "qnet.units"),
        ("def f():\n from qnet.model.topology import propagation_ps", "propagation_ps"),
    ):
        assert set(_functions_from_outside(planted)) == {name}


def test_two_ways_to_count_a_line_come_to_the_same() -> None:
    for name in ("ceil_div", "wire_bytes", "serialisation_ps", "last_bit_ps"):
        for amount in (1, 64, 1518, 9216, 10**15):
            for rate in (1, 3, 10**9, 999_999_937, 8 * 10**11):
                asked = (amount,) if name == "wire_bytes" else (amount, rate)
                assert getattr(line, name)(*asked) == getattr(units, name)(*asked)


def _defined(noun: type) -> list[str]:
    return [
        name
        for name, value in vars(noun).items()
        if inspect.isfunction(value) and value.__module__ == nouns.__name__
    ]


def _ports(**more: int) -> tuple[GatePort, ...]:
    return tuple(
        GatePort(
            name=f"{source}->{target}",
            source=source,
            target=target,
            rate_bps=10**9,
            processing_ps=2 * US,
            propagation_ps=5 * US,
            **more,
        )
        for source, target in (("a", "s"), ("b", "s"), ("s", "t"))
    )


def _problem(ports: tuple[GatePort, ...], packets: int = 1, **more: int) -> GateProblem:
    streams = tuple(
        GateStream(
            name=f"from-{source}",
            source=source,
            target="t",
            frame_bytes=980,
            period_ps=100 * US,
            deadline_ps=90 * US,
            jitter_ps=0,
            packets=packets,
        )
        for source in "ab"
    )
    return GateProblem(ports=ports, streams=streams, **more)


PROBLEMS = {
    "sent_ps": _problem(_ports(), packets=3),
    "window_ps": _problem(_ports(margin_ps=200_000)),
    "ready_ps": _problem(_ports()),
    "reach_ps": _problem(_ports(queues=1)),
    "guard_ps": _problem(_ports(), guard_bytes=480),
    "lead_ps": _problem(_ports()),
}
"""For each method of a problem that schedulers work with, a set in which it matters."""


def _burst(problem: GateProblem, stream: GateStream, port: GatePort) -> int:
    return problem.line_ps(stream.frame_bytes, port.rate_bps)


def _ready(problem: GateProblem, stream: GateStream, port: GatePort, following: GatePort) -> int:
    return problem.sent_ps(stream, port)


def _reach(problem: GateProblem, port: GatePort, following: GatePort) -> int:
    return problem.lead_ps(port, following) + problem.line_ps(980, port.rate_bps)


def _guard(problem: GateProblem, port: GatePort) -> int:
    return 0


def _lead(problem: GateProblem, port: GatePort, following: GatePort) -> int:
    return port.propagation_ps


PLANTED = {
    "sent_ps": _burst,  # the frames of a period but the first forgotten
    "window_ps": _burst,  # the step of a clock forgotten
    "ready_ps": _ready,  # the way forgotten
    "reach_ps": _reach,  # a queue that is taken by whole frames only
    "guard_ps": _guard,  # the frame that still is on the line forgotten
    "lead_ps": _lead,  # processing forgotten
}


@pytest.mark.parametrize("method", PLANTED)
def test_the_judge_notices_what_the_scheduler_forgets(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = PROBLEMS[method]
    plan = schedule_gates(problem)
    assert plan.complete
    assert not check_gates(problem, plan).findings
    monkeypatch.setattr(GateProblem, method, PLANTED[method])
    faulty = schedule_gates(problem)
    assert faulty.complete
    assert check_gates(problem, faulty).findings
    assert not check_gates(problem, plan).findings


def test_the_judge_of_gates_asks_nouns_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = {method: schedule_gates(problem) for method, problem in PROBLEMS.items()}
    asked = []
    for noun in (GateProblem, GatePlan, GateStream, GatePort):
        for name in _defined(noun):
            asked.append(name)
            monkeypatch.delattr(noun, name)
    assert set(PLANTED) <= set(asked)
    for method, problem in PROBLEMS.items():
        assert not check_gates(problem, plans[method]).findings


# Kernels


def _kernel_modules() -> set[str]:
    found = {*PACKAGE.rglob("kernels.py"), *PACKAGE.rglob("kernels/__init__.py")}
    names = set()
    for path in found:
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.add(".".join(part for part in parts if part != "__init__"))
    return names


def test_the_contract_of_kernels_finds_them_all() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    of_kernels = next(one for one in contracts["contracts"] if one["name"].startswith("Kernels"))
    assert of_kernels["source_modules"] == ["qnet.**.kernels"]
    modules = _kernel_modules()
    assert {"qnet.simulate.windows.kernels", "qnet.emulate.wires.kernels"} <= modules
    # A pattern matches packages only where each folder on the way is one.
    for name in modules:
        assert importlib.util.find_spec(name) is not None


COMPILERS = {"numba", "llvmlite"}
UNCOMPILED = {"aligned", "columns", "zeros"}
"""What `qnet.kernel` has for those who lay arrays out; all else there is for kernels."""


def _compiles(text: str) -> set[str]:
    """Return what a text imports that compiles, under whatever name, or that is called by it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            roots = {one.name.split(".")[0] for one in node.names}
            found |= roots & COMPILERS
            found |= {one.name for one in node.names if one.name == "qnet.kernel"}
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = {one.name for one in node.names}
            if node.module.split(".")[0] in COMPILERS:
                found |= names
            if node.module == "qnet.kernel":
                found |= names - UNCOMPILED
            if node.module == "qnet":
                found |= names & {"kernel"}
    return found


def test_what_is_compiled_lives_in_kernels_and_knows_arrays_only() -> None:
    """The contract of kernels goes by their modules' name, so nothing is compiled elsewhere."""
    fronts = ROOT / "tests" / "bench" / "fronts"
    for path in (*PACKAGE.rglob("*.py"), *fronts.rglob("*.py")):
        text = path.read_text()
        if "kernels" not in path.relative_to(ROOT).with_suffix("").parts:
            assert path == PACKAGE / "kernel.py" or not _compiles(text), path
        elif fronts in path.parents:
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("qnet."):
                    assert {"kernel", "kernels"} & set(str(node.module).split(".")), path
    for planted in (
        "from qnet.kernel import bare_kernel as quick",
        "import numba as nb",
        "from numba.extending import intrinsic",
        "from qnet import kernel",
        "def f():\n import qnet.kernel",
    ):
        assert _compiles(planted)
    assert not _compiles("from qnet.kernel import aligned, zeros")


# Nothing without a user


def _named(text: str) -> set[str]:
    """Return every name that a text uses; what it defines or imports is not used by that."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # names that are loaded when they are asked for
        elif isinstance(node, ast.ImportFrom):
            found |= {one.name for one in node.names if one.asname is not None}
    return found


def _defined_in(text: str) -> Iterator[str]:
    """Yield the functions, classes and values of a module; a command registers itself."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if not any(map(_registers, node.decorator_list)):
                yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (one.id for one in targets if isinstance(one, ast.Name))


def _registers(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr in ("command", "group", "fixture")


def test_every_name_of_a_module_has_a_user_in_the_product() -> None:
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    apps = [path.read_text() for path in (ROOT / "controllers").rglob("*.py")]
    used = set().union(*map(_named, [*texts.values(), *apps]))
    alone = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path, text in texts.items()
        for name in _defined_in(text)
        if name not in used and not name.startswith(("__", "pytest_"))
    }
    assert not alone
    planted = "LEFT = 1\ndef old(): return 2\n@main.command()\ndef verb(): pass\n"
    assert set(_defined_in(planted)) - _named(planted) == {"LEFT", "old"}


# The map


def _rooms(table: str) -> set[str]:
    """Return the names in the first column of a table of docs/design.md, by its heading."""
    lines = (ROOT / "docs" / "design.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {table} |"))
    rows = takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return {row.split("`")[1] for row in rows}


def _packages(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def test_the_map_names_every_room_and_no_other() -> None:
    assert _rooms("Room") == _packages(PACKAGE)
    assert _rooms("Room of `emulate`") == _packages(PACKAGE / "emulate")


def test_every_folder_of_modules_is_a_package_that_says_what_it_is() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = path.parent / "__init__.py"
        assert ast.get_docstring(ast.parse(room.read_text())), path


def test_the_layers_name_every_room_and_module() -> None:
    """A room or module that no contract knows could import what it likes."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    named = {name.strip().removeprefix("qnet.") for line in layers for name in line.split("|")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert named == _packages(PACKAGE) | modules - {"pytest_plugin"}


def test_what_is_asked_of_both_tiers_has_one_noun_each() -> None:
    places = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(PACKAGE).as_posix())
    assert places["Cut"] == places["Options"] == places["Tier"] == ["emulate/tiers/tier.py"]
    assert places["Lateness"] == ["model/emulation.py"]
