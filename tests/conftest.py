from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

# A shell that runs tests in the background has them, and whatever they start, ignore Ctrl-C; tests
# send it to commands that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A draw takes up to a hundred times as long with the compiler off; the compiled run has them all.
DRAWS = 15 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 60
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=DRAWS)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-expected",
        action="store_true",
        help="rewrite expected files from what qnet says now; read the diff before you commit it",
    )
    parser.addoption(
        "--long",
        action="store_true",
        help="judge controllers that others wrote on all networks, which takes minutes more",
    )
    parser.addini("time_limit_s", "seconds that a test may take, and its fixtures again so many")


class TooLong(Exception):
    """A test that takes longer than it may; one that waits for what never comes ends so."""


@contextlib.contextmanager
def _limited(item: pytest.Item) -> Iterator[None]:
    mark = item.get_closest_marker("time_limit")
    limit_s = float(mark.args[0] if mark else item.config.getini("time_limit_s"))

    def end(*_: object) -> None:
        raise TooLong(f"{item.nodeid}: no end in {limit_s:.0f} s")

    before = signal.signal(signal.SIGUSR2, end)
    timer = threading.Timer(limit_s, os.kill, (os.getpid(), signal.SIGUSR2))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR2, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _limited(item):
        return (yield)


def _group(item: pytest.Item) -> str | None:
    """Name the tests that one process runs, one after the other; None for one that any may run.

    What a module has made once serves its other tests. Situations from outside share nothing, nor
    do properties, of which some take a minute.
    """
    if item.path.parent.name == "property":
        return None
    if item.path.parent.name != "cases":
        return str(item.path.relative_to(item.config.rootpath))
    assert isinstance(item, pytest.Function)
    text = (item.path.parent / str(item.callspec.params["name"]) / "case.yaml").read_text()
    return "mininet" if "mininet" in text else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for processes side by side, and put the longest group first, small ones last."""

    def place(item: pytest.Item) -> int:
        mark = item.get_closest_marker("xdist_group")
        if mark is None and (group := _group(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))
        order = {"property": 1, "cases": 3}
        return 0 if mark is not None else order.get(item.path.parent.name, 2)

    items.sort(key=place)


@pytest.fixture
def update_expected(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-expected"))
