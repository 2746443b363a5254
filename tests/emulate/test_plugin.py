"""What qnet's pytest plugin makes of options and markers, in projects of their own."""

from __future__ import annotations

from collections import Counter

import pytest

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.topologies import drawn
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


# Several topologies


@needs_switches
def test_the_smallest_topology_that_fails_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        several = pytest.mark.qnet(topology=["ring:3..5", "line:3"], app="learning", arp=True)

        @several
        def test_no_frame_goes_round(qnet_testbed):
            hosts = qnet_testbed.hosts
            assert not qnet_testbed.arp(hosts[0], hosts[-1]).looped

        @several
        @pytest.mark.parametrize("count", [1])
        def test_is_good_on_all(qnet_testbed, count):
            assert len(qnet_testbed.topology.nodes) > count
        """
    )
    found = run(pytester, "-q", "-rs", "-k", "round or ring:3")
    found.assert_outcomes(passed=2, failed=1, skipped=2)
    found.stdout.fnmatch_lines(
        [
            "*= qnet: the smallest topologies that fail =*",
            "*::test_no_frame_goes_round fails from ring:3 on; it passes on line:3",
            "SKIPPED*2* fails from ring:3 on, the smallest of its topologies",
        ]
    )


@needs_switches
def test_tests_of_a_module_share_one_testbed_for_each_topology(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.qnet(topology="line:2..3", app="learning", scope="module")
        seen = []

        def test_first(qnet_testbed):
            seen.append(qnet_testbed)
            assert len(qnet_testbed.hosts) == len(seen) + 1

        def test_second(qnet_testbed):
            assert qnet_testbed is seen[-1]
        """
    )
    run(pytester, "-q").assert_outcomes(passed=4)


def collected(pytester: pytest.Pytester, marker: str) -> list[str]:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.qnet({marker}, controller="tcp:127.0.0.1:9")
        def test_one(qnet_testbed):
            pass
        """
    )
    found = run(pytester, "-q", "--collect-only")
    return [line.partition("::")[2] for line in found.outlines if "::" in line]


def test_topologies_are_ordered_by_size(pytester: pytest.Pytester) -> None:
    (pytester.path / "two.yaml").write_text(
        "title: Two\nnodes: [{name: a}, {name: b}]\n"
        "links: [{between: [a, b], rate: 1Gbps, length: 1km}]\n"
    )
    marker = 'topology=["dual-node", "ring:3..4", "two.yaml", "tree:1..2", "mesh:4"]'
    names = ["two.yaml", "tree:1", "ring:3", "ring:4", "mesh:4", "tree:2", "dual-node"]
    assert collected(pytester, marker) == [f"test_one[{name}]" for name in names]
    assert collected(pytester, 'topology="line:2..3"') == ["test_one[line:2]", "test_one[line:3]"]
    assert collected(pytester, 'topology="line:2"') == ["test_one"]


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        ("['rnig:3..4']", "no kind of topology 'rnig'; did you mean 'ring'*"),
        ("'ring:2'", "ring:2: a ring has a size from 3 to 64"),
        ("['line:9..3', 'line:2']", "line:9..3: a line has a size from 2 to 64"),
        ("[]", "topology=[[][]] is not names of topologies"),
        ("[3]", "topology=[[]3[]] is not names of topologies"),
    ],
)
def test_a_topology_that_is_none_is_refused(
    topology: str, words: str, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(PROJECT.replace(repr(LINE), topology))
    run(pytester).stdout.fnmatch_lines([f"*{words}"])


@pytest.mark.parametrize(
    ("name", "nodes", "links"),
    [("line:4", 4, 3), ("ring:4", 4, 4), ("star:4", 4, 3), ("tree:2", 7, 6), ("mesh:4", 4, 6)],
)
def test_drawn_topologies(name: str, nodes: int, links: int) -> None:
    topology = drawn(name)
    assert topology is not None
    assert (len(topology.nodes), len(topology.links)) == (nodes, links)
    degrees = Counter(end for link in topology.links for end in link.between)
    ends = {"line": [1, 1, 2, 2], "ring": [2] * 4, "star": [1, 1, 1, 3], "mesh": [3] * 4}
    assert sorted(degrees.values()) == ends.get(name[:-2], [1, 1, 1, 1, 2, 3, 3])


@needs_switches
def test_two_apps_both_answer_where_they_ask_for_no_role(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.qnet(topology="line:2", app={"x": "learning", "y": "learning"})
        def test_two(qnet_testbed):
            assert qnet_testbed.roles.of("x") == {"s1": "equal", "s2": "equal"}
            assert qnet_testbed.roles.master("s1") is None
            with qnet_testbed.controller_away("y"):
                assert qnet_testbed.reaches("s1", "s2")
            qnet_testbed.restart_controller("y")
            qnet_testbed.restart_switch("s1")
            assert qnet_testbed.ping("s1", "s2").copies

        @pytest.mark.qnet(topology="line:2", app={"x": 1}, arguments={"y": []}, controller=[])
        def test_none(qnet_testbed):
            pass
        """
    )
    found = run(pytester, "-q")
    found.assert_outcomes(passed=1, errors=1)
    found.stdout.fnmatch_lines(
        [
            "*give 'app', which is started, or 'controller'*",
            "app={'x': 1} is not one or several, nor several by their names",
            "controller=[[]] is not one or several, nor several by their names",
            "arguments: there is no app 'y'",
        ]
    )


@needs_switches
def test_apps_speak_tls_where_the_marker_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.qnet(topology="line:2", app="learning", tls=True)
        def test_secret(qnet_testbed):
            (address,) = qnet_testbed.controllers.addresses.values()
            assert address.startswith("ssl:")
            assert qnet_testbed.reaches("s1", "s2")

        @pytest.mark.qnet(topology="line:2", controller="ssl:127.0.0.1:9")
        def test_without_files(qnet_testbed):
            pass

        @pytest.mark.qnet(topology="line:2", controller="ssl:127.0.0.1:9", tls=True)
        def test_with_none_of_ours(qnet_testbed):
            pass
        """
    )
    found = run(pytester, "-q")
    found.assert_outcomes(passed=1, errors=2)
    found.stdout.fnmatch_lines(
        [
            "*tls-ca: ssl:127.0.0.1:9 needs the CA that has signed its certificate*",
            "*tls=True goes with 'app'; with 'controller' give tls={'ca': 'ca.pem'}*",
        ]
    )
