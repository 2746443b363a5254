"""Where frames waited: against the slow twin's own log, by hand, and from the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings

from qnet.cli import main
from qnet.errors import InputError
from qnet.model.journey import Journey
from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.report.journey import journey_lines
from qnet.simulate.explain import TracedRun, Which, explain
from qnet.simulate.run import simulate
from tests.slow_case import slow_run as _slow
from tests.slow_simulator import SlowSimulator
from tests.unit.test_simulate import _busy_case, _plan, cases

GOLDEN = Path(__file__).parents[1] / "golden"


def agrees_with(slow: SlowSimulator, journey: Journey, source: int, case: TracedRun) -> None:
    """Check every hop against the twin's log, and that its waits name just what was on the wire."""
    names = [entry.name.partition("@")[0] for entry in case.plan.streams for _ in entry.paths]
    reserved = case.profile.is_reserved(
        next(one for one in case.profile.every_stream if one.name == journey.name)
    )
    for number, hop in enumerate(journey.hops):
        log = slow.log[case.topology.port_by_name[hop.port].number]
        (mine,) = (
            one
            for one in log
            if source in one.legs
            and (one.hop, one.birth) == (number, journey.birth_ps)
            and one.started == hop.started_ps
        )
        assert (mine.queued, mine.ended) == (hop.queued_ps, hop.ended_ps)
        assert sum(wait.wait_ps for wait in hop.waits) == hop.started_ps - hop.queued_ps
        begin = hop.queued_ps
        if reserved:
            begin += sum(wait.wait_ps for wait in hop.waits if wait.cause in ("cycle", "turn"))
        for wait in hop.waits:
            if wait.of is not None:
                shares = [
                    min(one.free, hop.started_ps) - max(one.started, begin)
                    for one in log
                    if names[one.source] == wait.of
                    and (one.started < begin) == (wait.cause == "wire")
                    and one.started < hop.started_ps
                    and one.free > begin
                ]
                assert (sum(shares), len(shares)) == (wait.wait_ps, wait.frames)


@pytest.mark.twin
@pytest.mark.parametrize("several", [False, True])
def test_journeys_are_those_of_the_slow_twin(several: bool) -> None:
    @given(cases(several=several))
    @settings(max_examples=settings().max_examples // 4)
    def check(case: tuple[Topology, Profile, Plan]) -> None:
        _are_those_of_the_slow_twin(case)

    check()


def _are_those_of_the_slow_twin(case: tuple[Topology, Profile, Plan]) -> None:
    slow = _slow(*case)
    seen = simulate(*case, threads=1)
    for source, traffic in enumerate(seen.streams):
        if not traffic.received:
            continue
        extremes: tuple[tuple[Which, int | None], ...] = (
            ("worst", traffic.latency_ps_max),
            ("best", traffic.latency_ps_min),
        )
        for which, latency in extremes:
            (journey,) = explain(TracedRun(*case), seen, traffic.name, which)
            assert journey.latency_ps == journey.accounted_ps == latency
            agrees_with(slow, journey, source, TracedRun(*case))
        if traffic.lost:
            journeys = explain(TracedRun(*case), seen, traffic.name, "lost")
            assert all(one.loss is not None and one.latency_ps is None for one in journeys)
            gone = slow.counts[source].fates
            lost = [
                number for number, fate in gone.items() if fate not in ("received", "in flight")
            ]
            assert {one.number - 1 for one in journeys} & set(lost)


def test_every_kind_of_source_adds_up_and_lost_frames_are_found() -> None:
    case = TracedRun(*_busy_case("1ms"))
    seen = simulate(*case)
    kinds = set()
    for traffic in (*seen.streams, *seen.demands):
        asked: tuple[Which, ...] = ("worst", "best", 3)
        for which in asked:
            for journey in explain(case, seen, traffic.name, which):
                assert journey.latency_ps == journey.accounted_ps
                kinds |= {wait.cause for hop in journey.hops for wait in hop.waits}
        if traffic.lost:
            (journey,) = explain(case, seen, traffic.name, "lost")
            assert journey.loss is not None
            assert journey.latency_ps is None
            assert any("lost: no room" in line for line in journey_lines(journey))
    assert {"cycle", "wire", "ahead", "priority"} <= kinds


def test_a_wait_worked_by_hand() -> None:
    """Two frames of 1018 B handed over together at 1 Gb/s: one waits 1038 B x 8 ns = 8.304 us.

    Its own last bit is out before the gap of 96 ns.
    """
    topology = Topology.model_validate(
        {
            "title": "t",
            "nodes": [{"name": "a"}, {"name": "b"}],
            "links": [{"between": ("a", "b"), "rate": "1Gbps", "length": "1km"}],
        }
    )
    streams = [
        {"name": name, "from": "a", "to": "b", "class": "low", "interval": "100us",
         "max-payload-size": "1000B", "group": "g", "start": "together"}
        for name in ("first", "second")
    ]  # fmt: skip
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "streams": streams,
            "classes": [{"name": "low", "priority": 1, "mechanism": "strict-priority"}],
            "simulation": {"duration": "300us"},
        }
    )
    path = PathPlan(ports=("a->b",), cycles=())
    plan = _plan(
        tuple(StreamPlan(name=one, status="routed", paths=(path,)) for one in ("first", "second"))
    )
    case = TracedRun(topology, profile, plan)
    seen = simulate(*case)
    (journey,) = explain(case, seen, "second", "worst")
    (hop,) = journey.hops
    (wait,) = hop.waits
    assert (wait.cause, wait.of, wait.frames, wait.wait_ps) == ("ahead", "first", 1, 8_304_000)
    assert journey.latency_ps == 2 * 8_304_000 - 96_000 + 4_900_000
    assert journey_lines(journey)[1:] == [
        "a->b, from 0 ns on",
        "      8,304.000 ns  waits for 1 frame of first, ahead in the queue",
        "      8,208.000 ns  on the wire",
        "      4,900.000 ns  propagation",
        "     21,412.000 ns  latency",
    ]
    (second,) = explain(case, seen, "first", 2)
    (first,) = explain(case, seen, "first", 1)
    assert (second.number, second.birth_ps - first.birth_ps) == (2, 100 * 10**6)
    with pytest.raises(InputError, match="fewer than 9 frames"):
        explain(case, seen, "first", 9)
    with pytest.raises(InputError, match="did you mean 'first'"):
        explain(case, seen, "firts", "worst")


def test_the_command_explains_a_run_and_sees_what_has_changed(tmp_path: Path) -> None:
    for name in ("topology", "traffic"):
        text = (GOLDEN / "demands-over-lag" / f"{name}.yaml").read_text()
        (tmp_path / f"{name}.yaml").write_text(text)
    profile = tmp_path / "traffic.yaml"
    made = qnet("run", profile, "--duration", "2ms", "--out", tmp_path / "run")
    assert made.stderr == ""
    seen = json.loads((tmp_path / "run" / "observation.json").read_text())
    traffic = max((*seen["streams"], *seen["demands"]), key=lambda one: one["latency_ps_max"] or 0)
    ask = ("explain", tmp_path / "run", "--stream", traffic["name"])
    told = qnet(*ask)
    assert (told.exit_code, told.stderr) == (0, "")
    latency = traffic["latency_ps_max"]
    assert told.stdout.endswith(f"{latency // 1000:,}.{latency % 1000:03d} ns  latency\n")
    (journey,) = json.loads(qnet(*ask, "--json").stdout)["journeys"]
    assert journey["latency_ps"] == latency

    # The files have changed since: said, and the run is still explained as it was.
    profile.write_text(profile.read_text() + "# later\n")
    again = qnet(*ask)
    assert (again.exit_code, again.stdout) == (0, told.stdout)
    assert "traffic.yaml has changed since this run" in again.stderr
    # The run itself has changed: it cannot be played again.
    kept = tmp_path / "run" / "inputs" / "traffic.yaml"
    kept.write_text(kept.read_text() + "# later\n")
    for wrong, said in (
        (ask, "changed since the run"),
        (("explain", tmp_path, "--stream", "x"), "no run here"),
        ((*ask, "--frame", "0"), "'0' is no frame"),
    ):
        broken = qnet(*wrong)
        assert (broken.exit_code, broken.stdout) == (2, "")
        assert said in broken.stderr


def qnet(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])
