"""A test waits for what a network comes to, and is told what it waited for."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether

from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.expectations import Unexpected
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.testbed.waiting import Stillness, seconds, wait_until
from qnet.emulate.tiers.probe import missing_tools
from qnet.files.read import read_topology
from qnet.model.emulation import Tier
from tests.emulate.imagined import imagine
from tests.emulate.test_testbed import LINE as LINE_FILE
from tests.emulate.test_trips import LINE, Learning

pytestmark = pytest.mark.xdist_group("mininet")
LACKING = missing_switch() or missing_controller()


def test_times() -> None:
    assert (seconds("500ms"), seconds("2s"), seconds(0.3)) == (0.5, 2, 0.3)
    with pytest.raises(ValueError, match="no unit"):
        seconds("3")


def test_what_holds_in_the_end_is_returned() -> None:
    numbers = count()
    found = wait_until(lambda: next(numbers) // 3, 10, "", lambda _: None, tuple)
    assert found == 1


def test_what_was_waited_for_is_told_and_how_it_stands() -> None:
    with pytest.raises(Unexpected) as caught:
        wait_until(lambda: [], 0.01, "a way back", lambda _: None, lambda: ("a has no entry",))
    assert str(caught.value).startswith("waited 0.0 s for a way back; it is []\n    a has no entry")

    def five_ways() -> bool:
        raise AssertionError("there are two")

    with pytest.raises(Unexpected, match="for five ways; its words: there are two"):
        wait_until(five_ways, 0.01, "", lambda _: None, tuple)
    with pytest.raises(Unexpected, match="for a rule; its words: 'b'"):
        wait_until(lambda: {"a": 1}["b"], 0.01, "a rule", lambda _: None, tuple)
    with pytest.raises(Unexpected, match=r"wait_until\(lambda: None, 0.01"):
        wait_until(lambda: None, 0.01, "", lambda _: None, tuple)


def test_a_number_that_never_stands_still() -> None:
    numbers = count(5)
    restless = Stillness(lambda: next(numbers), 0.01)
    assert not restless()
    assert not restless()
    assert str(restless).startswith("entries of all tables went 5, 6; 6 since 0.0 s ago")
    assert Stillness(lambda: 3, 0.0)()


def test_an_expectation_is_waited_for() -> None:
    testbed = imagine(LINE, Learning(LINE), patience_s=0.03)
    frame = Ether(dst="02:51:48:00:00:04", src="02:51:48:00:00:01", type=0x9000) / b"hello"
    testbed.send("a", frame)
    testbed.fabric.entry_count = lambda: 3  # type: ignore[method-assign]
    assert testbed.wait_until(lambda: testbed.expect("d", frame)).host == "d"
    with pytest.raises(
        Unexpected, match=r"for a second frame; its words: expected at d(.|\n)*3 en"
    ):
        testbed.wait_until(lambda: testbed.expect("d", frame), "60ms", what="a second frame")


@pytest.fixture(params=["lockstep", "mininet"])
def tier(request: pytest.FixtureRequest) -> Tier:
    chosen: Tier = request.param
    lacking = LACKING or (missing_tools() if chosen == "mininet" else None)
    if lacking:
        pytest.skip(lacking)
    return chosen


def test_wires_are_discovered_once_lldp_has_gone_over_them(tier: Tier) -> None:
    topology = read_topology(LINE_FILE)
    with (
        Controller(["os_ken.topology.switches"], ["--observe-links"]) as controller,
        Testbed(topology, controller.target, tier=tier) as testbed,
    ):
        testbed.wait_discovered("20s")
        testbed.wait_quiet("200ms")
        with testbed.cut("b", "c"), pytest.raises(Unexpected) as caught:
            testbed.wait_until(lambda: testbed.port("b", "c") == 7, "50ms", "another port")
        assert "for another port; it is False\n    all tables together have" in str(caught.value)
        testbed.wait_discovered("20s")


def test_a_controller_that_finds_no_wires_and_is_not_quiet(tmp_path: Path) -> None:
    if LACKING:
        pytest.skip(LACKING)
    with (
        Controller(["learning"]) as controller,
        Testbed(read_topology(LINE_FILE), controller.target) as testbed,
    ):
        every = r"for LLDP to go over every wire; .*\n    none has gone over a->b, b->a, .*d->c"
        with pytest.raises(Unexpected, match=every):
            testbed.wait_discovered("50ms")
        with pytest.raises(Unexpected, match=r"tables to be quiet for 9 s; .*\n    entries of all"):
            testbed.wait_quiet("9s", "100ms")
