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

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-expected",
        action="store_true",
        help="rewrite expected files from what qnet says now; read the diff before you commit it",
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


@pytest.fixture
def update_expected(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-expected"))
