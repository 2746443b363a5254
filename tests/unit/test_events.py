"""Events: what they may say, what they take to the picosecond, and what is proven of each epoch."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import qnet
from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.cli import main
from qnet.errors import InputError, Interrupted
from qnet.files.read import load
from qnet.files.words import to_yaml
from qnet.model.observation import Observation
from qnet.model.outages import outages_of
from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.scenario import Scenario
from qnet.model.timeline import COMMON, KINDS, Change, Event, Timeline
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import outages, run
from qnet.simulate.checkpoint import Checkpoint
from qnet.simulate.explain import TracedRun, explain
from qnet.simulate.frame_sources import sources_of
from qnet.simulate.ports.parts import ON_THE_LINE
from qnet.simulate.run import simulate
from tests.slow_case import compare
from tests.unit.test_simulate import events

US = 10**6
LAST_BIT_PS = (1000 + 8) * 8 * 1000
"""Of a frame of 1000 bytes at 1 Gb/s."""

ONE_WAY_PS = 49 * US
"""10 km of fibre."""


def _net(**link: Any) -> dict[str, Any]:
    both = {"rate": "1Gbps", "length": "10km"} | link
    return {
        "title": "t",
        "nodes": [{"name": name, "processing": "2us"} for name in "abc"],
        "links": [
            {"between": ("a", "b"), **both},
            {"between": ("b", "c"), **both, "cable": "duct"},
        ],
    }


def _case(happening: list[dict[str, Any]], ways: str = "abc", *, members: int = 1) -> TracedRun:
    """Send a frame of 1000 bytes every 100 us, over one link or two."""
    profile = {
        "title": "p",
        "topology": "t",
        "classes": [{"name": "plain", "priority": 1, "mechanism": "strict-priority"}],
        "streams": [
            {"name": "s", "from": ways[0], "to": ways[-1], "class": "plain", "interval": "100us",
             "max-payload-size": "982B"}
        ],
        "events": happening,
        "simulation": {"duration": "1ms"},
    }  # fmt: skip
    ports = tuple(f"{one}->{other}" for one, other in itertools.pairwise(ways))
    plan = Plan(
        qnet_version="0",
        topology_sha256="",
        traffic_sha256="",
        cycle_ps=10 * US,
        buffers=4,
        hypercycle=1,
        streams=(StreamPlan(name="s", status="routed", paths=(PathPlan(ports=ports),)),),
        demands=(),
        egress=(),
    )
    return TracedRun(
        Topology.model_validate(_net(members=members)), Profile.model_validate(profile), plan
    )


def _born_ps(case: TracedRun) -> int:
    """When the fourth frame is born."""
    return sources_of(*case)[0].law.first_ps + 300 * US


def _lost(case: TracedRun) -> dict[str, int]:
    """Simulate and compare with the slow twin; return why frames were lost."""
    seen = simulate(*case, threads=1)
    compare(case, seen)
    (stream,) = seen.streams
    return {one.cause: one.frames for one in stream.lost_by}


@pytest.mark.parametrize(
    ("begins", "lasts", "lost"),
    [
        # The last bit of the fourth frame is at the point 8.064 us + 24.5 us after its birth.
        ("last", 1, 1),
        ("last+1", 1, 0),
        # Its first bit is there 24.5 us after its birth; what is mended then lets it through.
        ("first-10", 10, 0),
        ("first-10", 11, 1),
    ],
)
@pytest.mark.twin
def test_a_cut_takes_what_is_at_the_broken_point_to_the_picosecond(
    begins: str, lasts: int, lost: int
) -> None:
    born_ps = _born_ps(_case([]))
    half_ps = ONE_WAY_PS // 2
    places = {
        "last": born_ps + LAST_BIT_PS + half_ps,
        "last+1": born_ps + LAST_BIT_PS + half_ps + 1,
        "first-10": born_ps + half_ps - 10,
    }
    one = {"at": f"{places[begins]}ps", "change": "cut", "target": "a--b", "for": f"{lasts}ps"}
    assert _lost(_case([one], "ab")) == ({"link down": 1} if lost else {})


@pytest.mark.parametrize(("where", "far_ps"), [("0%", 0), ("25%", 12_250_000), ("100%", 49 * US)])
@pytest.mark.twin
def test_where_a_link_is_cut_counts_from_its_first_node(where: str, far_ps: int) -> None:
    born_ps = _born_ps(_case([]))
    for way, along_ps in (("ab", far_ps), ("ba", ONE_WAY_PS - far_ps)):
        at_ps = born_ps + LAST_BIT_PS + along_ps
        for late, lost in ((0, {"link down": 1}), (1, {})):
            one = {"at": f"{at_ps + late}ps", "change": "cut", "target": "a--b", "for": "1ps",
                   "where": where}  # fmt: skip
            assert _lost(_case([one], way)) == lost


@pytest.mark.parametrize(
    ("after_ps", "lost"),
    [
        (LAST_BIT_PS - 1, 1),  # of its bits one is still in the talker's node
        (LAST_BIT_PS + 1, 0),  # all have left
    ],
)
@pytest.mark.twin
def test_a_node_that_stops_loses_what_has_not_left_it(after_ps: int, lost: int) -> None:
    at_ps = _born_ps(_case([])) + after_ps
    one = {"at": f"{at_ps}ps", "change": "down", "target": "a", "for": "1us"}
    assert _lost(_case([one])) == ({"node down": 1} if lost else {})


@pytest.mark.parametrize(
    ("after_ps", "lost"),
    [
        (ONE_WAY_PS + LAST_BIT_PS, 1),  # its last bit comes to the middle node
        (ONE_WAY_PS + LAST_BIT_PS + 2 * US, 1),  # it is processed there, and queued
        (ONE_WAY_PS + 2 * LAST_BIT_PS + 2 * US, 1),  # its last bit is to leave it
        (ONE_WAY_PS + 2 * LAST_BIT_PS + 2 * US + 1, 0),  # it has left
        (ONE_WAY_PS - 1, 0),  # it is still on the fibre when the node is up again
    ],
)
@pytest.mark.twin
def test_a_node_loses_what_comes_is_in_it_and_leaves_it(after_ps: int, lost: int) -> None:
    at_ps = _born_ps(_case([])) + after_ps
    one = {"at": f"{at_ps}ps", "change": "down", "target": "b", "for": "1ps"}
    assert _lost(_case([one])) == ({"node down": 1} if lost else {})


@pytest.mark.parametrize("what", ["point", "stop", "doom"])
def test_planted_faults_are_seen_by_the_twin(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A point one picosecond too far, queues that survive, a node that is up too soon."""
    born_ps = _born_ps(_case([]))
    cut_ps = born_ps + LAST_BIT_PS + ONE_WAY_PS // 2
    queued_ps = born_ps + ONE_WAY_PS + LAST_BIT_PS + 2 * US
    cut = {"at": f"{cut_ps + 1}ps", "change": "cut", "target": "a--b", "for": "1ps"}
    stop = {"at": f"{queued_ps}ps", "change": "down", "target": "b", "for": "1ps"}
    if what == "point":
        right = outages._far_ps
        monkeypatch.setattr(outages, "_far_ps", lambda *one: right(*one) + 1)
        case = _case([cut])
    elif what == "stop":
        monkeypatch.setattr(run, "go_down", lambda *_: 0)
        case = _busy([{"at": "333us", "change": "down", "target": "a", "for": "1us"}])
    else:
        monkeypatch.setattr(outages, "IN_NEXT_NODE", ON_THE_LINE)
        case = _case([stop])
    with pytest.raises(AssertionError):
        compare(case, simulate(*case, threads=1))


@pytest.mark.twin
def test_what_is_broken_twice_is_broken_once_and_a_repair_mends_all_of_it() -> None:
    twice = [
        {"at": "150us", "change": "cut", "target": "b--c", "for": "300us"},
        {"at": "250us", "change": "cut", "target": "duct"},
    ]
    both = _case([*twice, {"at": "750us", "change": "repair", "target": "b--c"}])
    one = _case([{"at": "150us", "change": "cut", "target": "duct", "for": "600us"}])
    assert _lost(both) == _lost(one)
    seen = simulate(*both, threads=1)
    assert sum(taken.frames for use in seen.events for taken in use.lost) == 6
    (stream,) = seen.streams
    assert stream.sent == stream.received + stream.lost + stream.in_flight
    for port in seen.ports:
        assert port.came == port.sent_frames + port.dropped - port.lost_on_link + port.waiting


@pytest.mark.twin
def test_events_of_one_instant_are_applied_in_the_order_of_the_file() -> None:
    at = {"at": "500us", "target": "a--b"}
    cut, mend = {**at, "change": "cut"}, {**at, "change": "repair"}
    assert _lost(_case([cut, mend])) == {}
    again = [{"at": "500us", "change": "cut", "target": "a--b"}, mend, cut]
    assert _lost(_case(again)) == _lost(_case([cut]))
    events_read = [Event.model_validate(one) for one in (mend, cut)]
    _, misfits = outages_of(_case([]).topology, events_read)
    assert [one.message for one in misfits] == ["'a--b' is not cut at 500us"]


@pytest.mark.twin
@pytest.mark.parametrize(
    "happening",
    [
        {"at": "1ms", "change": "cut"},
        {"at": "400us", "change": "flap", "every": "300us", "duty": "20%", "for": "2ms"},
    ],
)
def test_what_breaks_as_a_run_ends_takes_nothing_in_any_witness(happening: dict[str, Any]) -> None:
    """Frames that are on the line then are in flight, though the broken point is before them."""
    topology, profile, plan = _case([happening | {"target": "a--b"}])
    (stream,) = profile.streams
    often = profile.replace(streams=(stream.replace(interval_ps=10 * US),))
    seen = simulate(topology, often, plan)
    compare(TracedRun(topology, often, plan), seen)
    (told,) = seen.streams
    proof = prove(topology, often, plan)
    assert told.in_flight > 4
    assert judge(topology, often, plan, proof, [seen]).findings == ()
    least = [one.frames_least for one in proof.event_losses]
    assert all(one <= told.lost for one in least)


def test_one_wire_of_several_is_cut_alone() -> None:
    case = _case([{"at": "0s", "change": "cut", "target": "a--b/2"}], members=2)
    ports = ("a->b/1", "b->c/1")
    plan = case.plan.replace(
        streams=(case.plan.streams[0].replace(paths=(PathPlan(ports=ports),)),)
    )
    assert _lost(case._replace(plan=plan)) == {}
    other = plan.replace(
        streams=(plan.streams[0].replace(paths=(PathPlan(ports=("a->b/2", "b->c/1")),)),)
    )
    assert _lost(case._replace(plan=other)) == {"link down": 10}


HAPPENING = [
    {"at": "150us", "change": "cut", "target": "a--b", "for": "120us"},
    {"at": "333us", "change": "down", "target": "b", "for": "50us"},
]


def _busy(happening: list[dict[str, Any]] = HAPPENING) -> TracedRun:
    """Send more than fits, of a class that can be cut, while a link and a node break."""
    case = _case(happening)
    stream = case.profile.streams[0]
    classes = (case.profile.classes[0].replace(preemptable=True),)
    streams = (stream.replace(max_packets=40, interval_ps=100 * US),)
    profile = case.profile.replace(classes=classes, streams=streams)
    return case._replace(profile=profile)


@pytest.mark.twin
def test_a_run_with_events_in_pieces_is_the_run_in_one(tmp_path: Path) -> None:
    case = _busy()
    whole = simulate(*case, threads=1)
    compare(case, whole)
    assert {one.cause for one in whole.streams[0].lost_by} == {"link down", "node down"}
    path, at, seen = tmp_path / "kept", [0], None
    while seen is None:
        counter = itertools.count(1)
        kept = Checkpoint(path, 7 * US, resume=True, asked=lambda c=counter: next(c) >= 9)  # type: ignore[misc]
        try:
            seen = simulate(*case, threads=1 + len(at) % 2, checkpoint=kept)
        except Interrupted as error:
            at.append(error.now_ps)
    assert seen == whole
    assert len(at) > 3


def test_explain_says_where_and_why_a_frame_was_lost() -> None:
    case = _case([{"at": "500us", "change": "cut", "target": "duct"}])
    (journey,) = explain(case, simulate(*case), "s", "lost")
    assert journey.loss is not None
    assert (journey.loss.port, journey.loss.cause) == ("b->c", "link down b--c")
    stopped = _busy([{"at": "333us", "change": "down", "target": "a"}])
    (journey,) = explain(stopped, simulate(*stopped), "s", 130)
    assert journey.loss is not None
    assert (journey.loss.port, journey.loss.cause) == ("a->b", "node down")


# Files and the command


def test_events_are_part_of_what_a_scenario_is_and_not_of_what_a_plan_is_for() -> None:
    plain = load("dual-node")
    cable = plain.topology.cable(plain.topology.links[0])
    cut = plain.with_(events=[qnet.cut(cable, at="9ms", for_="3ms")])
    assert cut.identity != plain.identity
    assert cut.traffic_sha256 == plain.traffic_sha256
    named = plain.with_(events=[qnet.cut(cable, at="9ms", for_="3ms", name="a dig-up")])
    assert named.identity == cut.identity
    assert cut.with_(events=[]).identity == plain.identity
    assert "events" not in plain.profile.model_dump()


def test_a_file_of_events_follows_those_of_the_traffic_file(tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text(to_yaml(Timeline(title="mended", events=(qnet.repair("duct", at="7us"),))))
    happening = [{"at": "5us", "change": "cut", "target": "duct"}]
    profile = json.loads(json.dumps({"title": "p", "topology": "t", "events": happening}))
    both = load(profile, topology=_net(), events=more)
    assert [one.change for one in both.profile.events] == ["cut", "repair"]
    with pytest.raises(InputError) as caught:
        load({"title": "p", "topology": "t"}, topology=_net(), events=more)
    (problem,) = caught.value.problems
    assert problem.message == "'duct' is not cut at 7us"
    assert (problem.file, problem.line, problem.where) == (str(more), 5, "events[0].target")


def test_events_are_validated_with_the_traffic_that_they_go_with(tmp_path: Path) -> None:
    """All faults of all files at once, each at its line and once."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        "title: t\nevents:\n"
        "  - {at: 1ms, change: cut, target: nowhere}\n"
        "  - {at: 2ms, change: flap, target: zhengzhou--xian}\n"
        "  - {at: 3ms, change: brake, target: zhengzhou--xian}\n"
    )
    right = tmp_path / "right.yaml"
    right.write_text("title: t\nevents: [{at: 1ms, change: cut, target: zhengzhou--xian}]\n")
    net = tmp_path / "net.yaml"
    net.write_text(to_yaml(Topology.model_validate(_net())))

    def said(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["validate", *words])
        return done.exit_code, done.output

    traffic = ["zheng-qing-ha", "zheng-qing-ha"]
    assert said(*traffic, "--events", str(right))[0] == 0
    code, words = said(*traffic, "--events", str(wrong))
    assert code == 2
    lines = [int(one.split(":")[1]) for one in words.splitlines() if one.startswith(str(wrong))]
    assert lines == [4, 5]
    wrong.write_text("title: t\nevents:\n  - {at: 1ms, change: cut, target: nowhere}\n")
    code, words = said(*traffic, "--events", str(wrong))
    assert (code, words.count(f"{wrong}:3:")) == (2, 1)
    code, words = said(str(net), "--events", str(right))
    assert code == 2
    assert "events go with a traffic file, and none is given" in words


def test_what_takes_no_frame_by_nature_is_not_said_to_have_taken_none() -> None:
    """What is lost on a link that loses counts as wrong bits, and what was not sent nowhere."""
    happening = [
        {"at": "5us", "change": "loss", "target": "duct", "ratio": "50%"},
        {"at": "6us", "change": "stop", "target": "s"},
        {"at": "90us", "change": "cut", "target": "duct"},
    ]
    case = _case(happening)
    told = judge(*case, prove(*case), [simulate(*case)]).events
    (took,) = (one for one in told if "took" in one)
    assert took.startswith("cut of duct at 90us: simulated: took ")


NEEDED: dict[str, Any] = {
    "target": "a--b",
    "every_ps": "1us",
    "duration_ps": "1us",
    "groups": [["a"], ["b"]],
    "rate_bps": "1Gbps",
    "length_mm": "20km",
    "ratio_ppb": "1%",
    "lost": True,
    "by_ppb": "50%",
    "origin": "a",
    "sink": "b",
    "share_ppb": "40%",
    "step_ps": "-5us",
}


def test_a_kind_of_event_is_a_word_of_files_and_a_line_of_the_table() -> None:
    assert set(get_args(Change)) == set(KINDS)
    for name, kind in KINDS.items():
        assert kind.known <= set(Event.model_fields) | COMMON
        due = {*kind.needs, *kind.one_of[:1]} | (kind.known & {"target"})
        keys = {Event.model_fields[one].alias or one: NEEDED[one] for one in due}
        asked = qnet.event(name, at="1us", note="by any name", **keys)
        assert (asked.change, asked.at_ps, asked.note) == (name, 1_000_000, "by any name")
    assert qnet.event("cut", "a--b", at="1us", for_="2us") == qnet.cut("a--b", at="1us", for_="2us")
    with pytest.raises(InputError, match="'for' does not go with up; leave it out"):
        qnet.event("up", "a", at="1us", for_="1us")


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (
            {"at": "1us", "change": "cut", "target": "dukt"},
            "no link, wire or cable 'dukt' in topology; did you mean 'duct'?",
        ),
        (
            {"at": "1us", "change": "down", "target": "duct"},
            "'duct' is a link or cable, which is 'cut'",
        ),
        (
            {"at": "1us", "change": "cut", "target": "a"},
            "'a' is a node or a site, which goes 'down'",
        ),
        (
            {"at": "1us", "change": "up", "target": "a", "for": "1us"},
            "'for' does not go with up; leave it out",
        ),
        (
            {"at": "1us", "change": "down", "target": "a", "where": "1%"},
            "'where' does not go with down; leave it out",
        ),
        ({"at": "1us", "change": "up", "target": "a"}, "'a' is not down at 1us"),
        ({"at": "1", "change": "up", "target": "a"}, "1 has no unit; write it like '10us'"),
    ],
)
def test_events_that_cannot_be_are_refused_with_a_way_out(
    one: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        load({"title": "p", "topology": "t", "events": [one]}, topology=_net())
    assert [problem.message for problem in caught.value.problems] == [message]


def test_a_run_with_events_can_be_left_and_asked_again(tmp_path: Path) -> None:
    happening = tmp_path / "cut.yaml"
    happening.write_text("title: t\nevents:\n  - {at: 3ms, change: cut, target: duct}\n")
    (tmp_path / "net.yaml").write_text(to_yaml(Topology.model_validate(_net())))
    profile = _case([]).profile.replace(topology="net")
    (tmp_path / "flow.yaml").write_text(to_yaml(profile))
    out = tmp_path / "run"
    told = CliRunner().invoke(
        main, ["simulate", str(tmp_path / "flow.yaml"), "--events", str(happening), "--duration",
               "6ms", "--out", str(out)]
    )  # fmt: skip
    assert "took 30 frames: s 30" in told.output
    assert "3ms to 6ms: duct cut: 1 streams are cut" in told.output
    asked = CliRunner().invoke(main, ["explain", str(out), "--stream", "s", "--frame", "lost"])
    assert "link down b--c" in asked.output
    assert "took 30 frames" in (out / "report.html").read_text()


def test_tier_mininet_says_what_it_does_not_play(tmp_path: Path) -> None:
    happening = tmp_path / "clock.yaml"
    happening.write_text(
        "title: t\nevents:\n  - {at: 3ms, change: clock, target: qy-ix, drift: 5ppm}\n"
    )
    told = CliRunner().invoke(
        main, ["run", "zheng-qing-ha", "--events", str(happening), "--emulate", "mininet"]
    )
    assert told.exit_code == 2
    assert "losses and loads, no clock; use tier lockstep" in " ".join(told.output.split())


# What is proven


@pytest.fixture(scope="module")
def answered() -> tuple[Scenario, Plan]:
    scenario = load("zheng-qing-ha").with_(duration="12ms", scale="1/20")
    return scenario, qnet.plan(scenario)


def test_every_epoch_is_proven(answered: tuple[Scenario, Plan]) -> None:
    scenario, plan = answered
    cut = scenario.with_(events=[qnet.cut("zhengzhou--xian", at="9ms")])
    whole = prove(scenario.topology, scenario.profile, plan)
    proof = prove(cut.topology, cut.profile, plan)
    before, after = proof.epochs
    assert (before.cut, before.reduced, before.broken) == ((), (), ())
    assert (after.from_ps, after.until_ps) == (9 * 10**9, 12 * 10**9)
    ways = {
        entry.name: [any("xian" in port for port in path.ports) for path in entry.paths]
        for entry in plan.streams
    }
    assert set(after.cut) == {name for name, crossed in ways.items() if all(crossed)}
    assert {one.name for one in after.reduced} == {
        name for name, crossed in ways.items() if any(crossed) and not all(crossed)
    }
    bounds = {one.name: one for one in whole.streams}
    for one in after.reduced:
        both = bounds[one.name]
        assert one.latency_ps_min
        assert one.latency_ps_max
        assert both.latency_ps_min
        assert both.latency_ps_max
        assert both.latency_ps_min < one.latency_ps_min  # the longer way is left
        assert one.latency_ps_max <= both.latency_ps_max
    assert proof.streams == whole.streams
    assert "epochs" not in whole.model_dump()


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_what_is_seen_lies_within_what_is_proven(
    answered: tuple[Scenario, Plan], data: st.DataObject
) -> None:
    scenario, plan = answered
    drawn = [
        one | {"at": f"{int(one['at'].rstrip('nups')) % 12_000_000}ns"}
        for one in data.draw(st.composite(lambda draw: events(draw, scenario.topology))())
        if one["change"] in ("cut", "down")
    ]
    happened = scenario.with_(events=[Event.model_validate(one) for one in drawn])
    proof = prove(happened.topology, happened.profile, plan)
    seen = simulate(happened.topology, happened.profile, plan)
    verdict = judge(happened.topology, happened.profile, plan, proof, [seen])
    assert not verdict.findings
    losses = {one.name: one for one in proof.event_losses}
    for stream in seen.streams:
        least, most = 0, 0
        if stream.name in losses:
            least = losses[stream.name].frames_least
            most = losses[stream.name].frames_most or stream.lost
        assert least <= stream.lost <= most


def test_a_witness_that_loses_otherwise_is_a_finding(answered: tuple[Scenario, Plan]) -> None:
    scenario, plan = answered
    cut = scenario.with_(events=[qnet.cut("zhengzhou--xian", at="9ms")])
    proof = prove(cut.topology, cut.profile, plan)
    seen = simulate(cut.topology, cut.profile, plan)

    def judged(change: int) -> tuple[str, ...]:
        streams = tuple(
            one.replace(lost=one.lost + change) if one.name == "control-zhengzhou-1" else one
            for one in seen.streams
        )
        told: Observation = seen.replace(streams=streams)
        return judge(cut.topology, cut.profile, plan, proof, [told]).findings

    assert not judged(0)
    assert any("frames lost, proven at least" in one for one in judged(-1))
    assert any("frames lost, proven at most" in one for one in judged(+1))
