"""`import qnet`: the stages one by one, a result and its tables, progress, and no traces."""

from __future__ import annotations

import html.parser
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import qnet
from qnet.errors import ArgumentError, Cancelled, InputError
from tests.asking import command

NET = {
    "title": "Three in a row <b>",
    "nodes": [{"name": name, "site": name} for name in "abc"],
    "links": [
        {"between": ["a", "b"], "rate": "10Gbps", "length": "10km", "members": 2},
        {"between": ["b", "c"], "rate": "10Gbps", "length": "10km", "cable": "south"},
    ],
}
FLOW: dict[str, Any] = {
    "title": "A little of everything",
    "topology": "row",
    "streams": [
        {"name": "s", "group": "control", "from": "a", "to": "c", "interval": "100us", "count": 3,
         "max-payload-size": "300B", "max-latency": "1ms", "max-latency-variation": "50us"},
    ],
    "demands": [{"name": "d", "from": "a", "to": "b", "rate": "1Gbps"}],
    "simulation": {"duration": "1ms"},
}  # fmt: skip


@pytest.fixture(scope="module")
def case() -> qnet.Scenario:
    return qnet.load(FLOW, topology=NET)


@pytest.fixture(scope="module")
def result(case: qnet.Scenario) -> qnet.Result:
    return qnet.run(case)


def test_run_is_the_stages_one_after_the_other(case: qnet.Scenario, result: qnet.Result) -> None:
    plan = qnet.plan(case)
    proof = qnet.prove(case, plan)
    seen = qnet.observe(case, plan, threads=1)
    verdict = qnet.judge(case, plan, proof, seen)
    assert (plan, proof, seen, verdict) == (
        result.plan, result.proof, result.observation, result.verdict,
    )  # fmt: skip
    assert qnet.run(case, plan=plan) == result
    assert result.passed
    assert result.outcome == "pass"
    assert result.reasons == ()
    assert repr(result).startswith("<Result: PASS  A little of everything on Three in a row <b>:")


def test_a_result_says_why_it_did_not_pass(case: qnet.Scenario) -> None:
    (stream,) = case.profile.streams
    promised = stream.replace(max_latency_ps=10**6)
    broken = qnet.run(case.with_(profile=case.profile.replace(streams=(promised,))))
    assert not broken.passed
    assert broken.outcome == "fail"
    assert any(one.startswith("control x3: admitted: ") for one in broken.reasons), broken.reasons
    assert "propagation alone is" in str(broken.planned("s-1").reason)


def test_without_a_simulation_nothing_was_seen(case: qnet.Scenario) -> None:
    proven = qnet.run(case, simulate=False)
    assert proven.simulated is None
    with pytest.raises(ArgumentError, match="nothing was simulated"):
        _ = proven.observation
    with pytest.raises(ArgumentError, match="nothing was simulated"):
        qnet.explain(proven, "s-1")
    assert proven.streams["latency_ps_simulated"] == [None] * 3
    assert proven.ports["sent_frames"] == [None] * 6
    with pytest.raises(ArgumentError, match="simulate: what is emulated is compared"):
        qnet.run(case, simulate=False, emulate="lockstep")


def test_tables_are_columns_of_one_length(result: qnet.Result) -> None:
    for table in (
        result.streams, result.demands, result.services, result.ports, result.links,
        result.requirements,
    ):  # fmt: skip
        assert {len(column) for column in table.values()} == {table.rows}
        shown = table._repr_html_()
        assert shown.count("<tr>") == 1 + table.rows
        arrow = table.to_arrow()
        assert arrow.column_names == list(table)
        assert arrow.to_pydict() == table
        assert {str(one.type) for one in arrow.schema} <= {"string", "int64"}
    assert result.streams["name"] == ["s-1", "s-2", "s-3"]
    row = result.streams.row(0)
    seen, proof = result.seen("s-1"), result.proven("s-1")
    assert row["latency_ps_simulated"] == seen.latency_ps_max
    assert row["latency_ps_proven"] == proof.latency_ps_max
    assert row["latency_ps_simulated"] <= row["latency_ps_proven"] <= row["latency_ps_promised"]
    assert (row["sent"], row["received"], row["lost"]) == (seen.sent, seen.received, 0)
    services = dict(zip(result.services["service"], range(9), strict=False))
    control = result.services.row(services["control"])
    assert (control["streams"], control["streams_placed"], control["outcome"]) == (3, 3, "pass")
    assert control["sent"] == sum(result.streams["sent"])
    assert control["latency_ps_simulated"] == max(result.streams["latency_ps_simulated"])
    assert result.ports["name"][:2] == ["a->b/1", "a->b/2"]
    assert [result.links["wires"], result.links["cable"][2:]] == [[2, 2, 1, 1], ["south"] * 2]
    both = sum(result.ports["sent_frames"][:2])
    assert result.links["sent_frames"][0] == both > 0
    assert len(result.requirements["subject"]) == len(result.verdict.rows)


def test_pandas_can_read_the_tables(result: qnet.Result) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(result.streams)
    assert list(frame.columns) == list(result.streams)
    assert frame["sent"].sum() == sum(result.streams["sent"])


def test_a_notebook_shows_the_answer(result: qnet.Result) -> None:
    class Reader(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.text = ""

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.open += [] if tag == "br" else [tag]

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(result._repr_html_())
    assert reader.open == []
    assert "PASS A little of everything on Three in a row <b>" in reader.text
    assert "control x3" in reader.text


def test_a_saved_result_can_be_asked_about(result: qnet.Result, tmp_path: Path) -> None:
    report = result.save(tmp_path / "run")
    assert report.read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "run" / "verdict.json").read_text())["outcome"] == "pass"
    (journey,) = qnet.explain(tmp_path / "run", "s-2")
    assert qnet.explain(result, "s-2") == (journey,)
    seen = result.seen("s-2")
    assert journey.latency_ps == seen.latency_ps_max
    # What was made in Python is there as files that say the same.
    inputs = tmp_path / "run" / "inputs"
    again = qnet.load(inputs / "traffic.yaml", topology=inputs / "topology.yaml")
    assert again.identity == result.scenario.identity
    (inputs / "traffic.yaml").write_text(
        (inputs / "traffic.yaml").read_text().replace("300B", "301B")
    )
    with pytest.raises(InputError, match="inputs changed since the run"):
        qnet.explain(tmp_path / "run", "s-2")


def test_scaled_runs_are_kept_and_found_again(tmp_path: Path) -> None:
    more = qnet.run("dual-node", scale="3/2", seed=4, duration="300us")
    more.save(tmp_path)
    name = more.plan.streams[0].name
    assert qnet.explain(tmp_path, name)[0].latency_ps == more.seen(name).latency_ps_max
    assert more.plan.traffic_sha256 == more.scenario.traffic_sha256


def test_the_command_says_what_the_api_says(tmp_path: Path) -> None:
    result = qnet.run("dual-node", duration="300us", seed=3)
    arguments = ("--duration", "300us", "--seed", "3")
    done = command("run", "dual-node", *arguments, "--json", "--out", tmp_path / "command")
    assert json.loads(done.stdout) == json.loads(json.dumps(result.to_dict()))
    result.save(tmp_path / "api")
    files = {one.relative_to(tmp_path / "api") for one in (tmp_path / "api").rglob("*")}
    assert files == {
        one.relative_to(tmp_path / "command") for one in (tmp_path / "command").rglob("*")
    }
    for file in files:
        if (tmp_path / "api" / file).is_file():
            assert (tmp_path / "api" / file).read_bytes() == (
                tmp_path / "command" / file
            ).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"fail": ["nothing"]},
            "fail: nothing: no such link, wire, cable, node or site; a link is called 'a--b'",
        ),
        ({"fail": ["sout"]}, "did you mean 'south'"),
        ({"budget": "1s", "rounds": 1}, "budget: goes without a number of rounds"),
        ({"budget": "1"}, "budget: 1 has no unit"),
    ],
)
def test_arguments_are_refused_by_name(
    case: qnet.Scenario, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        qnet.plan(case, **arguments)


def test_other_arguments_are_refused_by_name(case: qnet.Scenario, result: qnet.Result) -> None:
    with pytest.raises(
        ArgumentError,
        match="cut: x@1ms: 'x' is no port, link or cable; write it like 'a->b/1@",
    ):
        qnet.run(case, cut=["x@1ms"])
    with pytest.raises(ArgumentError, match=r"events\[1\]: 'cut' is no event; qnet.cut and"):
        qnet.run(case, events=[qnet.cut("a--b", at="1ms"), "cut"])  # type: ignore[list-item]
    for wrong in (0, -1, "two", True):
        with pytest.raises(ArgumentError, match=r"threads: '.*' is no number of threads"):
            qnet.observe(case, result.plan, threads=wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="at_most: the run has some"):
        qnet.run(case, at_most=1)
    with pytest.raises(ArgumentError, match="topology: goes with what is still to be read"):
        qnet.run(case, topology="qingyang")
    with pytest.raises(ArgumentError, match="frame: 'second' is no frame"):
        qnet.explain(result, "s-1", "second")
    with pytest.raises(ArgumentError, match="stream: s: no stream or demand of that name"):
        qnet.explain(result, "s")
    with pytest.raises(InputError, match="plan: s-1: "):
        qnet.run(case, plan=result.plan.replace(streams=()))
    options = ArgumentError([qnet.errors.Problem("at_most", 0, 0, "", "x")]).as_options()
    assert [one.file for one in options.problems] == ["--at-most"]


def test_a_plan_is_kept_around_a_cut_cable(case: qnet.Scenario, result: qnet.Result) -> None:
    around = qnet.plan(case, keep=result.plan, fail=["south"])
    assert around.changes is not None
    assert around.changes.down == ("south",)
    assert set(around.changes.lost) == {"s-1", "s-2", "s-3"}


# Progress


class Listening(qnet.Quiet):
    def __init__(self, until: Callable[[str, int], bool] = lambda title, done: False) -> None:
        self.until, self.title, self.over = until, "", False
        self.stages: list[str] = []
        self.ends: dict[str, tuple[int, int]] = {}

    def stage(self, title: str) -> None:
        self.title = title
        self.stages.append(title)

    def step(self, done: int, total: int) -> None:
        self.over = self.over or self.until(self.title, done)
        self.ends[self.title] = done, total

    def cancelled(self) -> bool:
        return self.over


def test_every_stage_tells_how_far_it_is(case: qnet.Scenario) -> None:
    heard = Listening()
    qnet.run(case, progress=heard)
    assert heard.stages == [
        "plan: reserve",
        "plan: demands",
        "plan: egress",
        "prove",
        "simulate",
        "judge",
    ]
    assert all(done == total for done, total in heard.ends.values())


@pytest.mark.parametrize("stage", ["plan: reserve", "prove", "simulate", "judge", "replay"])
def test_a_run_ends_when_nobody_wants_it(
    case: qnet.Scenario, result: qnet.Result, stage: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    heard = Listening(lambda title, done: title == stage)
    ask = partial(qnet.explain, result, "s-1") if stage == "replay" else partial(qnet.run, case)
    with pytest.raises(Cancelled) as caught:
        ask(progress=heard)
    assert caught.value.stage == stage == heard.stages[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_long_run_is_cancelled_from_another_thread() -> None:
    class Asked(qnet.Quiet):
        def __init__(self) -> None:
            self.event, self.began = threading.Event(), threading.Event()

        def stage(self, title: str) -> None:
            if title == "simulate":
                self.began.set()

        def cancelled(self) -> bool:
            return self.event.is_set()

    asked, ended = Asked(), []

    def work() -> None:
        try:
            qnet.run("zheng-qing-ha", duration="100s", progress=asked)
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert asked.began.wait(timeout=600)
    asked.event.set()
    thread.join(timeout=600)  # to simulate it all would take hours
    assert [error.stage for error in ended] == ["simulate"]


SEARCH = """
import os, sys
import qnet
qnet.run("dual-node", duration="100us", scale=1.1)  # what is compiled is read
wrote = []
def audit(event, arguments):
    if event == "open" and isinstance(arguments[2], int):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            wrote.append(arguments[0])
    elif event.split(".")[0] in ("subprocess", "socket") or event in ("os.mkdir", "os.rename"):
        wrote.append((event, arguments))
sys.addaudithook(audit)
case = qnet.load("dual-node").with_(duration="100us")
answers = {qnet.run(case, seed=n, scale=1 + n / 10).outcome for n in range(1, 6)}
assert not wrote, wrote
assert answers <= {"pass", "fail", "unknown"}
open(sys.argv[1], "w").close()
assert wrote
"""


def test_a_search_touches_no_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, tmp_path / "touched"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=900,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# What `import qnet` loads


def test_rooms_are_loaded_when_they_are_asked_for() -> None:
    text = "import sys, qnet, qnet.cli; qnet.load; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"numba", "numpy", "pydantic", "rich", "yaml", "jinja2", "highspy"}
    assert "qnet.api" in loaded
    alone = "import sys; before = set(sys.modules); import qnet; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", alone], capture_output=True, text=True, check=True, timeout=60
    )
    assert {one for one in done.stdout.split() if one.startswith("qnet")} == {"qnet"}


def test_all_names_are_there() -> None:
    assert set(qnet.__all__) <= set(dir(qnet))
    for name in qnet.__all__:
        assert getattr(qnet, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        qnet.simulat  # noqa: B018


def test_a_row_that_the_verdict_does_not_have_is_named() -> None:
    """And no StopIteration, which a loop of the caller's would take for its end."""
    result = qnet.run("dual-node", simulate=False)
    with pytest.raises(KeyError, match="no row 'latency' of 'nobody'"):
        result.row("nobody", "latency")
