"""What qnet's pytest plugin makes of options and markers, in projects of their own."""

from __future__ import annotations

import pytest

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from tests.emulate.test_testbed import LINE

LACKING = missing_switch() or missing_controller()
pytestmark = pytest.mark.xdist_group("mininet")
needs_switches = pytest.mark.skipif(bool(LACKING), reason=str(LACKING))


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    known = pytester._request.config.pluginmanager.has_plugin("qnet")
    return pytester.runpytest(*options, *([] if known else ["-p", "qnet.pytest_plugin"]))


MORTAL = """
import os

from compat import handler, ofp_event, set_ev_cls
from learning import Learning

class Mortal(Learning):
    @set_ev_cls(ofp_event.EventOFPPacketIn, handler.MAIN_DISPATCHER)
    def packet_in(self, event):
        if event.msg.data[12:14] == b"\\x99\\x99":
            os._exit(3)
        super().packet_in(event)
"""


@needs_switches
def test_tests_of_a_module_share_one_testbed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(mortal=MORTAL)
    pytester.makepyfile(
        f"""
        import pytest

        pytestmark = pytest.mark.qnet(topology={LINE!r}, app="mortal", scope="module")
        seen = []

        def test_first(qnet_testbed):
            seen.append(qnet_testbed)
            qnet_testbed.send("a", bytes(60))

        def test_second_has_the_same_and_nothing_of_the_first_is_unexpected(qnet_testbed):
            assert [qnet_testbed] == seen
            qnet_testbed.nothing_else()

        def test_fails_and_is_told_of_the_controller(qnet_testbed):
            assert [qnet_testbed] == seen
            qnet_testbed.send("a", b"m" * 12 + b"\\x99\\x99" + bytes(46))

        def test_a_testbed_that_is_broken_is_made_anew(qnet_testbed):
            assert [qnet_testbed] != seen
            assert qnet_testbed.reaches("a", "d")
            seen.append(qnet_testbed)

        @pytest.mark.qnet(topology={LINE!r}, app="learning", arp=True)
        def test_another_marker_has_its_own(qnet_testbed):
            assert qnet_testbed is not seen[-1]
            assert qnet_testbed.knows_addresses
        """
    )
    found = run(pytester, "-q")
    found.assert_outcomes(passed=4, failed=1)
    found.stdout.fnmatch_lines(["*ControllerGone*", "*- controller -*", "*exit*3*"])


PROJECT = f"""
import pytest

@pytest.mark.qnet(topology={LINE!r}, app="learning")
def test_reach(qnet_testbed):
    assert qnet_testbed.reaches("a", "d")
"""


@pytest.mark.parametrize(
    ("options", "environment", "failed", "words"),
    [
        ((), "", False, "is not here"),
        ((), "ryu", False, "is not here"),
        (("--qnet-require",), "", True, "is not here; *(required by --qnet-require)"),
        ((), "ryu,lockstep", True, "is not here; *(lockstep is required by QNET_REQUIRE)"),
    ],
)
def test_what_is_required_is_not_skipped(
    options: tuple[str, ...],
    environment: str,
    failed: bool,
    words: str,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("QNET_REQUIRE", environment)
    pytester.makepyfile(PROJECT)
    found = run(pytester, "-rs", *options)
    found.assert_outcomes(errors=int(failed), skipped=int(not failed))
    found.stdout.fnmatch_lines([f"*{words}*"])


def test_a_requirement_that_nobody_knows_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QNET_REQUIRE", "lockstep,minnet")
    pytester.makepyfile(PROJECT)
    found = run(pytester)
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(["*QNET_REQUIRE: no 'minnet'; one of lockstep, mininet, os_ken*"])


def test_a_scope_that_nobody_knows_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT.replace('"learning"', '"learning", scope="session"'))
    run(pytester).stdout.fnmatch_lines(["*scope='session'; there are function and module*"])
