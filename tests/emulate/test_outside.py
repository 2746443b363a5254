"""Controllers that do wrong: what is said of each, and that nothing is left."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.switches.talk import ControllerGone
from qnet.emulate.testbed.channel import ChannelLog
from qnet.emulate.testbed.spoken import shown, spoken
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.testbed.topologies import drawn
from qnet.emulate.tiers.probe import missing_tools
from qnet.errors import EnvironmentMissing
from qnet.model.emulation import Tier

REASON = missing_switch()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]

HUB = Path(__file__).with_name("outside.py")


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "all"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert not list(folder.iterdir())


@contextmanager
def under(mode: str, tier: Tier = "lockstep") -> Iterator[Testbed]:
    topology = drawn("line:2")
    assert topology is not None
    with subprocess.Popen([sys.executable, str(HUB), mode], stdout=subprocess.PIPE) as hub:
        try:
            assert hub.stdout is not None
            port = int(hub.stdout.readline())
            with Testbed(topology, f"tcp:127.0.0.1:{port}", tier=tier, connect_s=10) as testbed:
                yield testbed
        finally:
            hub.kill()


@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_one_that_is_killed_says_nothing_of_frames(tier: Tier) -> None:
    reason = missing_tools()
    if tier == "mininet" and reason is not None:
        pytest.skip(reason)
    with under("killed=5", tier) as testbed, pytest.raises(ControllerGone, match="closed the conn"):
        testbed.ping("s1", "s2", count=9)


def test_garbage_is_named_though_the_switch_waits_for_its_end() -> None:
    with under("garbage=3") as testbed:
        assert not testbed.reaches("s1", "s2")
        words = testbed.control()
        assert words[0].startswith("the controller sent s")
        assert words[0].endswith("what is no OpenFlow: " + "de ad be ef " * 4 + "...")


def test_a_message_that_does_not_end_is_a_controller_that_says_nothing() -> None:
    with under("cut=3") as testbed:
        assert not testbed.reaches("s1", "s2")
        testbed.wait_until(lambda: len(testbed.control()) > 0, within="15s")


def test_garbage_for_a_hello_is_known_at_once() -> None:
    with pytest.raises(EnvironmentMissing) as caught, under("early"):
        pass
    assert str(caught.value).endswith(
        "what it says first is no hello of OpenFlow: " + " ".join(["de ad be ef"] * 4)
    )


def test_one_that_speaks_another_version_than_it_said() -> None:
    with under("version=6") as testbed:
        assert not testbed.reaches("s1", "s2")
        words = testbed.control()[0]
        assert words.startswith("s1, s2 refused ")
        assert words.endswith(
            " of the controller: OpenFlow 1.3 is not what its hello agreed on, 1.5"
        )
    found = pytest.raises(EnvironmentMissing, match=r"speaks OpenFlow 1\.0; the switches speak")
    with found, under("version=1"):
        pass


def test_a_thousand_rules_are_laid_and_read() -> None:
    with under("rules=1000") as testbed:
        assert testbed.reaches("s1", "s2")
        assert len(testbed.tables("s1").rules) == 1001
        assert testbed.control() == ()


def test_bytes_are_shown_as_what_they_are() -> None:
    assert shown(b"HTTP/1.1 400 Bad Request\r\n") == "'HTTP/1.1 400 Bad' ..."
    assert shown(b"\x00\xff") == "00 ff"
    log = ChannelLog({"a": 1}, controllers=["x", "y"])
    ears = dict(zip(log.controllers, log.ears(), strict=True))
    for one in ears.values():
        one.opened("a", 1, 0.0)
    ears["y"].came("a", 1, 1.0, False, b"\xff\xff\0\x08\0\0\0\0")
    ears["x"].came("a", 1, 1.0, True, b"\xff\xff\0\x08\0\0\0\0")
    assert list(spoken(log)) == [
        "the controller y sent a what is no OpenFlow: ff ff 00 08 00 00 00 00"
    ]
