"""Controllers that others wrote get the verdicts that are right: the lines of `table.csv`.

All lines of tier lockstep are judged side by side, each in a process of its own, since they wait
most of the time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import filterfalse

import pytest

from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.tiers.probe import missing_tools
from qnet.files.read import read_topology
from tests.emulate.outside.judge import CONTROLLERS, ROOT, faucet_switches
from tests.emulate.outside.table import NETWORKS, ROWS, UNDECIDED, Row, differences, read

AT_ONCE = 3

LACKING = {
    "lockstep": missing_switch(),
    "mininet": missing_tools(),
    **{name: one.missing() for name, one in CONTROLLERS.items()},
}

Judged = Callable[[Row], subprocess.CompletedProcess[str]]


def ask(row: Row) -> subprocess.CompletedProcess[str]:
    """Judge a controller in a process of its own, whose end is the end of all it started."""
    command = [sys.executable, "-m", "tests.emulate.outside.judge", row.name]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=row.at_most_s
    )


def lacking(row: Row) -> str:
    """Say what this machine lacks for a line, or nothing."""
    return LACKING[row.tier] or LACKING[row.controller] or ""


@pytest.fixture(scope="module")
def judged(request: pytest.FixtureRequest) -> Iterator[Judged]:
    """Give what was found; lines of tier lockstep are all begun at once, those that wait first."""
    here = [item for item in request.session.items if item.path == request.path]
    names = {item.nodeid.partition("[")[2].rstrip("]") for item in here}
    wanted = [one for one in ROWS if one.tier == "lockstep" and one.name in names]
    wanted = sorted(filterfalse(lacking, wanted), key=lambda one: -one.settle_s)
    begun: dict[Row, Future[subprocess.CompletedProcess[str]]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def judge(row: Row) -> subprocess.CompletedProcess[str]:
            if row.tier == "mininet":
                return ask(row)  # alone, beside its like in other modules
            if not begun:
                begun.update((one, pool.submit(ask, one)) for one in wanted)
            return begun[row].result()

        yield judge
        for one in begun.values():
            one.cancel()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Take the lines that there is time for."""
    if "row" not in metafunc.fixturenames:
        return
    long = metafunc.config.getoption("--long")
    metafunc.parametrize(
        "row",
        [
            pytest.param(
                row,
                id=row.name,
                marks=[pytest.mark.xdist_group("mininet")] if row.tier == "mininet" else [],
            )
            for row in ROWS
            if long or row.run == "ci"
        ],
    )


def test_the_verdict_is_right(row: Row, judged: Judged) -> None:
    if reason := lacking(row):
        pytest.skip(reason)
    done = judged(row)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    words = "\n".join(found["words"])
    assert differences(row, found["verdict"], found["kinds"]) == [], f"{row.why}\n{words}"


# The table


def test_each_controller_is_judged_on_each_network() -> None:
    there = Counter((one.controller, one.network) for one in ROWS if one.tier == "lockstep")
    every = {(name, network) for name in CONTROLLERS for network in NETWORKS}
    assert there == Counter(every - UNDECIDED.keys())
    assert max(Counter(one.name for one in ROWS).values()) == 1


def test_each_line_says_what_and_why() -> None:
    for row in ROWS:
        assert row.run in {"ci", "long"}, row
        assert row.verdict in {"pass", "fail", "unknown"}, row
        assert bool(row.findings) == (row.verdict == "fail"), row
        assert row.why, row


def test_a_verdict_that_is_not_right_is_told() -> None:
    (row,) = read(
        [
            "controller,network,tier,run,settle_s,failover_s,verdict,findings,perhaps,why",
            "hub,ring:4,lockstep,ci,0,,fail,loop copies,lost,it floods",
        ]
    )
    assert differences(row, "fail", ["copies", "loop"]) == []
    assert differences(row, "fail", ["copies", "loop", "lost"]) == []
    assert differences(row, "fail", ["loop", "others"]) == [
        "no finding of kind copies",
        "a finding of kind others",
    ]
    assert differences(row, "pass", [])[0] == "pass, not fail"


def test_wires_of_a_stack_have_the_same_ends_at_both_switches() -> None:
    """Faucet is told of each wire twice."""
    topology = read_topology("zheng-qing-ha")
    switches = faucet_switches(topology, stacked=True)
    ends = {
        (name, number, port["stack"]["dp"], port["stack"]["port"])
        for name, one in switches.items()
        for number, port in one["interfaces"].items()
        if "stack" in port
    }
    assert len(ends) == len(topology.ports)
    assert ends == {(*end[2:], *end[:2]) for end in ends}


def test_an_environment_that_is_not_here_is_said() -> None:
    assert "make nowhere" in CONTROLLERS["faucet"]._replace(environment=".venv-nowhere").missing()
