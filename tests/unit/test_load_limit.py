"""The highest load: bounds by hand, halving, goals met and not, the same bytes whatever runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import log10
from typing import Any

import networkx as nx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import qnet
from qnet.cli import main
from qnet.errors import ArgumentError
from qnet.files.write import to_json
from qnet.loads.bound import GRAIN_PPM, FlowBound, port_bound
from qnet.loads.forecast import Forecast
from qnet.loads.goals import LoadQuestion, Losses
from qnet.loads.run import load_limit, read_load_ppm
from qnet.loads.search import Counted, RelevantBounds, highest, search_losses
from qnet.model.load_limit import LoadLimit, show_load
from qnet.model.scenario import Scenario
from qnet.report.curves import LoadCurve, plot
from tests.builders import network, plan_for, profile

LINE: list[Mapping[str, Any]] = [
    {"between": ["a", "b"], "rate": "1Gbps", "length": "1km"},
    {"between": ["b", "c"], "rate": "500Mbps", "length": "1km"},
]
CLASSES = [
    {"name": "reserved", "priority": 6, "mechanism": "tcqf"},
    {"name": "best-effort", "priority": 0, "mechanism": "strict-priority"},
]


def _case(*demands: Mapping[str, Any], links: Any = LINE, **more: Any) -> Scenario:
    topology = network(links)
    usual = {"class": "best-effort", "sizes": "1518B", "arrival": "constant-rate"}
    made = profile(
        more.pop("streams", ()),
        demands,
        classes=CLASSES,
        demand=usual,
        simulation={"duration": "2ms", "seed": 1},
        **more,
    )
    return qnet.load(made, topology=topology)


@given(st.integers(0, 300), st.integers(1, 300))
def test_halving_finds_the_largest_that_holds_and_asks_seldom(limit: int, top: int) -> None:
    asked = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number <= limit

    assert highest(holds, top) == min(limit, top)
    assert len(asked) <= 1 + (top - 1).bit_length()
    assert len(set(asked)) == len(asked)


def test_a_promise_goal_of_a_hundredth_takes_eight_trials_at_most() -> None:
    for limit in range(101):
        asked: list[int] = []

        def holds(number: int, limit: int = limit, asked: list[int] = asked) -> bool:
            asked.append(number)
            return number <= limit

        highest(holds, 100)
        assert len(asked) <= 8


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 9)), min_size=4, max_size=12
    ),
    st.integers(1, 900),
)
def test_the_bound_of_one_demand_is_the_maximum_flow(
    arcs: list[tuple[int, int, int]], share: int
) -> None:
    """networkx judges, which shares nothing with the linear programs."""
    rates: dict[tuple[str, str], int] = {}
    for near, far, rate in arcs:
        if near != far:
            rates[f"n{min(near, far)}", f"n{max(near, far)}"] = rate
    graph = nx.Graph()
    for (one, other), rate in rates.items():
        graph.add_edge(one, other, capacity=rate * 10**9)
    names = sorted(graph)
    if len(names) < 2 or not nx.is_connected(graph):
        return
    most_bps = nx.maximum_flow_value(graph, names[0], names[-1])
    links = [{"between": list(pair), "rate": f"{rate}Gbps"} for pair, rate in rates.items()]
    wanted_bps = share * 10**7
    case = _case(
        {"from": names[0], "to": names[-1], "rate": f"{wanted_bps}bps"},
        links=[{**link, "length": "1km"} for link in links],
    )
    found = FlowBound(case.topology, case.profile, lambda _: True).find()
    exact_ppm = most_bps * 10**6 / wanted_bps
    assert found.carried_ppm <= exact_ppm * (1 + 1e-8) + 1e4 / wanted_bps * 10**6 + 1
    assert found.excluded_ppm >= exact_ppm
    assert found.carried_ppm >= exact_ppm * (1 - 2e-8) - 2e4 / wanted_bps * 10**6 - GRAIN_PPM - 2


def test_what_is_not_scaled_keeps_its_room() -> None:
    """200 of 500 Mb/s are another's: 100 Mb/s may become 300."""
    case = _case(
        {"name": "mine", "from": "a", "to": "c", "rate": "100Mbps"},
        {"name": "other", "from": "b", "to": "c", "rate": "200Mbps"},
    )
    bound = FlowBound(case.topology, case.profile, lambda one: one.name == "mine").find()
    assert bound.carried_ppm <= 3_001_000
    assert bound.excluded_ppm >= 3_000_000
    assert bound.ports == ("b->c",)


def test_a_port_excludes_a_load_by_its_rate_less_what_may_be_lost() -> None:
    case = _case({"name": "mine", "from": "a", "to": "c", "rate": "100Mbps"})
    plan = plan_for(case.topology, case.profile)
    every = port_bound(case.topology, case.profile, plan, lambda _: True, 0)
    assert (every.carried_ppm, every.ports) == (5_000_000, ("b->c",))
    # x - 500 > 0.2 x once x is above 625 Mb/s.
    some = port_bound(case.topology, case.profile, plan, lambda _: True, 200_000_000)
    assert some.carried_ppm == 6_250_000


def test_a_network_of_demands_carries_what_its_narrowest_wire_does() -> None:
    limit = load_limit(_case({"name": "mine", "from": "a", "to": "c", "rate": "100Mbps"}))
    assert limit.upper_by == "linear program"
    assert limit.lower_ppm is not None
    assert 4_995_000 <= limit.lower_ppm <= 5_001_000
    assert limit.limited_by == ("no room at b->c",)
    assert [one.outcome for one in limit.trials] == ["pass"]
    assert [one.scale_ppm for one in limit.points] == [
        limit.lower_ppm * share // 10 for share in (1, 5, 9, 10)
    ]


def test_a_promise_of_loss_is_what_holds_the_load_where_bursts_meet_a_small_buffer() -> None:
    """What the linear program allows is not what a queue of 20 kB bears; each trial says why."""
    case = _case(
        {
            "name": "mine", "from": "a", "to": "c", "rate": "100Mbps", "arrival": "bursts",
            "burst": 10, "max-loss": "0%",
        },
        {"name": "other", "from": "b", "to": "c", "rate": "100Mbps", "arrival": "poisson"},
        links=LINE,
    )  # fmt: skip
    small = [one.replace(buffer_bytes=20_000) for one in case.topology.nodes]
    case = case.with_(topology=case.topology.replace(nodes=tuple(small)), duration="20ms")
    limit = load_limit(case)
    assert limit.upper_by == "trial"
    assert len(limit.trials) <= 8
    assert limit.lower_ppm is None or limit.lower_ppm < limit.upper_ppm < limit.bound_ppm
    failed = [one for one in limit.trials if one.outcome != "pass"]
    assert failed
    assert all(one.reasons for one in failed)
    assert any("mine" in words for words in limit.limited_by)


def test_streams_are_scaled_by_their_number_and_refused_by_the_plan() -> None:
    stream = {
        "name": "voice", "from": "a", "to": "c", "class": "reserved", "interval": "100us",
        "max-payload-size": "500B", "max-latency": "5ms", "count": 2,
    }  # fmt: skip
    limit = load_limit(_case(streams=[stream]))
    # Ten cycles of 10 us have room for one frame each at 500 Mb/s; of two streams ten are 500 %.
    assert limit.lower_ppm is not None
    assert 4_750_000 < limit.lower_ppm < 5_250_000
    assert limit.upper_by == "proof"
    assert any("voice" in words for words in limit.limited_by)
    assert limit.egress == ()


def test_the_loss_goal_finds_what_a_port_carries() -> None:
    case = _case({"name": "mine", "from": "a", "to": "c", "rate": "100Mbps"})
    limit = load_limit(case, goal="loss")
    assert limit.lower_ppm == 5_000_000
    assert limit.upper_by == "rates of ports"
    assert len(limit.trials) == 1
    assert limit.irregular is not None, "no trial did not meet the goal"


def test_only_frames_of_what_is_scaled_count_in_the_loss_goal() -> None:
    """Streams keep their number; asked for with the demands, they are in no count of losses."""
    stream = {
        "name": "voice", "from": "a", "to": "c", "class": "reserved", "interval": "100us",
        "max-payload-size": "300B",
    }  # fmt: skip
    demand = {"name": "mine", "from": "a", "to": "c", "rate": "100Mbps", "sizes": "64B"}
    case = _case(demand, streams=[stream])
    every = load_limit(case, goal="loss")
    demands = load_limit(case, goal="loss", traffic_class="best-effort")
    assert [one.traffic_class for one in every.points[-1].classes] == ["reserved", "best-effort"]
    assert [one.offered for one in every.trials] == [one.offered for one in demands.trials]


def _searched(law: Callable[[int], int], most: int = 1_234_567) -> tuple[RelevantBounds, list[int]]:
    """Search where nothing but the share that is lost says where the limit may be."""
    asked: list[int] = []

    def measure(scale_ppm: int) -> Counted:
        asked.append(scale_ppm)
        return Counted(scale_ppm, law(scale_ppm))

    return search_losses(measure, lambda _: lambda low, high: None, most, 0, 5000), asked


LIMITS = (1_000, 40_000, 333_333, 999_999, 1_000_000, 1_234_567)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    ("law", "most"),
    [
        (lambda load, limit: max(load - limit, 0), 6),
        (lambda load, limit: max(load - limit, 0) ** 2 // limit, 25),
        (lambda load, limit: int(load > limit), 25),
        (lambda load, limit: load if load > limit else 0, 25),
    ],
    ids=["fluid", "square", "one", "all"],
)
def test_a_search_keeps_to_its_width_and_asks_for_no_load_twice(
    law: Callable[[int, int], int], most: int, limit: int
) -> None:
    found, asked = _searched(lambda load: law(load, limit))
    assert len(set(asked)) == len(asked) <= most
    assert found.lower_ppm is not None
    assert not law(found.lower_ppm, limit)
    if found.upper_ppm is None:
        assert found.lower_ppm == limit == 1_234_567
    else:
        assert law(found.upper_ppm, limit)
        assert (found.upper_ppm - found.lower_ppm) * 10**6 <= 5000 * found.upper_ppm + 10**6


def test_there_is_no_lower_bound_where_the_lowest_load_fails() -> None:
    found, asked = _searched(lambda load: load)
    assert found == RelevantBounds(None, 1000)
    assert asked[-1] == 1000


@pytest.mark.parametrize("limit", LIMITS[:-1])
def test_another_search_of_rfc_9971_finds_the_same_limit(limit: int) -> None:
    """That of the package MLRsearch, which shares nothing with ours."""
    mlr = pytest.importorskip("MLRsearch")

    class Measurer(mlr.AbstractMeasurer):  # type: ignore[misc, name-defined]
        def measure(self, intended_duration: float, intended_load: float) -> Any:
            lost = max(intended_load - limit, 0)
            return mlr.MeasurementResult(
                intended_duration=intended_duration,
                intended_load=intended_load,
                offered_count=round(intended_load),
                forwarding_count=round(intended_load - lost),
            )

    config = mlr.Config()
    goal = {"loss_ratio": 0.0, "exceed_ratio": 0.0, "relative_width": 0.005, "fail_fast": False}
    durations = dict.fromkeys(
        ("initial_trial_duration", "final_trial_duration", "duration_sum"), 1.0
    )
    config.goals = [mlr.SearchGoal(**goal, **durations, preceding_targets=0)]
    config.max_load, config.min_load = 1_234_567.0, 1000.0
    config.search_duration_max, config.warmup_duration = 1e9, 0.0
    search = mlr.MultipleLossRatioSearch(config=config)
    (theirs,) = search.search(measurer=Measurer(), debug=lambda _: None).values()
    ours, _ = _searched(lambda load: max(load - limit, 0))
    assert ours.lower_ppm is not None
    assert ours.upper_ppm is not None
    assert ours.lower_ppm <= float(theirs.relevant_upper_bound)
    assert float(theirs.relevant_lower_bound) <= ours.upper_ppm


def _random(buffer: int, arrival: str, links: Any = LINE, **more: Any) -> Scenario:
    """A demand over the line whose arrivals are random, and that meets a small buffer."""
    case = _case(
        {"name": "mine", "from": "a", "to": "c", "rate": "100Mbps", "arrival": arrival, **more},
        links=links,
    )
    small = [one.replace(buffer_bytes=buffer) for one in case.topology.nodes]
    return case.with_(topology=case.topology.replace(nodes=tuple(small)), duration="20ms")


HARD: dict[str, Callable[[], Scenario]] = {
    "poisson, 3 frames": lambda: _random(5_000, "poisson", sizes="imix"),
    "poisson, 13 frames": lambda: _random(20_000, "poisson"),
    "poisson, small frames": lambda: _random(3_000, "poisson", sizes="512B"),
    "bursts that do not fit": lambda: _random(20_000, "bursts", burst=30),
    "flows": lambda: _random(
        200_000, "flows", **{"flow-sizes": "web-search", "access-rate": "1Gbps"}
    ).with_(duration="50ms", seed=3),
}


@pytest.mark.parametrize("loss", ["0%", "0.1%"])
@pytest.mark.parametrize("name", HARD)
def test_six_trials_are_enough_where_arrivals_are_random_and_buffers_small(
    name: str, loss: str
) -> None:
    limit = load_limit(HARD[name](), goal="loss", loss=loss)
    assert len(limit.trials) <= 6
    assert limit.upper_by == "trial"
    by_load = {one.scale_ppm: one.outcome for one in limit.trials}
    assert limit.lower_ppm is not None
    assert (by_load[limit.lower_ppm], by_load[limit.upper_ppm]) == ("pass", "fail")
    assert (limit.upper_ppm - limit.lower_ppm) * 10**6 <= 5000 * limit.upper_ppm + 10**6


@pytest.mark.parametrize("name", HARD)
def test_a_forecast_counts_what_the_trial_lost_at_its_load_and_none_below_its_guess(
    name: str,
) -> None:
    search = Losses(LoadQuestion(HARD[name](), "all", lambda _: True, 5000, None, None), 0)
    load = search.bound.carried_ppm
    lost = search.measure(load).lost
    trial = (*search.at(load), search.seen[load][1])
    one, two = (Forecast(trial, load, search.is_scaled, threads) for threads in (1, 2))
    assert one.lost(load) == lost > 0
    guess = one.highest(1000, load, 0, 5000)
    assert guess == two.highest(1000, load, 0, 5000)
    assert one.lost(guess) == 0
    assert one.lost(guess * 101 // 100) > 0


def test_the_answer_does_not_depend_on_threads() -> None:
    case = _case(
        {"name": "mine", "from": "a", "to": "c", "rate": "100Mbps", "arrival": "poisson"},
        {"name": "back", "from": "c", "to": "a", "rate": "40Mbps", "arrival": "poisson"},
    )
    one, four = (to_json(load_limit(case, threads=threads)) for threads in (1, 4))
    assert one == four
    assert LoadLimit.model_validate_json(one) == LoadLimit.model_validate_json(four)


def test_trials_that_are_too_short_to_know_anything_are_refused() -> None:
    case = qnet.load("zheng-qing-ha", settings={}).with_(duration="1ms")
    with pytest.raises(ArgumentError, match=r"trials are too short.*--duration"):
        load_limit(case)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"traffic_class": "gold"}, "class gold: nothing is of it; known: best-effort"),
        ({"route": ("c", "a")}, "known: a to c"),
        ({"group": "g", "traffic_class": "best-effort"}, "keep one of them"),
        ({"width": "0%"}, "out of range"),
        ({"width": "wide"}, "width"),
        ({"goal": "loss", "loss": "200%"}, "loss"),
        ({"goal": "lost"}, "goal: .lost. is no goal; there are promises and loss"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], words: str) -> None:
    case = _case({"name": "mine", "from": "a", "to": "c", "rate": "100Mbps"})
    with pytest.raises(ArgumentError, match=words):
        load_limit(case, **options)


@pytest.mark.parametrize(
    ("text", "ppm"), [("120%", 1_200_000), ("0.5%", 5_000), ("33.33333%", 333_333)]
)
def test_loads_are_read_as_written(text: str, ppm: int) -> None:
    assert read_load_ppm("at_least", text) == ppm
    assert read_load_ppm("at_least", show_load(ppm)) == ppm


@pytest.mark.parametrize("text", ["1.2", "-5%", "%", "0%", "nan%"])
def test_what_is_no_load_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError):
        read_load_ppm("at_least", text)


def test_the_command_ends_with_1_where_the_load_is_less_than_asked(tmp_path: Any) -> None:
    (tmp_path / "t.yaml").write_text(
        "title: t\nnodes: [{name: a}, {name: b}]\n"
        "links: [{between: [a, b], rate: 1Gbps, length: 1km}]\n"
    )
    (tmp_path / "p.yaml").write_text(
        "title: p\ntopology: t\nsimulation: {duration: 1ms}\n"
        "demands: [{name: d, from: a, to: b, rate: 100Mbps, arrival: constant-rate}]\n"
    )
    command = ["load", str(tmp_path / "p.yaml"), "--json"]
    runner = CliRunner()
    enough = runner.invoke(main, [*command, "--at-least", "900%"])
    assert enough.exit_code == 0, enough.output
    assert json.loads(enough.stdout)["upper_by"] == "linear program"
    less = runner.invoke(main, [*command, "--at-least", "1001%", "--csv", str(tmp_path / "l.csv")])
    assert less.exit_code == 1, less.output
    head, *rows = (tmp_path / "l.csv").read_text().splitlines()
    assert head.startswith("scale_ppm,offered_bps,outcome,traffic_class,frames,lost")
    assert len(rows) == 4
    twice = runner.invoke(main, [*command, "--all", "--class", "best-effort"])
    assert twice.exit_code == 2
    assert "keep one of them" in twice.output


def test_curves_far_apart_are_drawn_by_decades_and_others_are_not() -> None:
    show = (str, str)
    near = LoadCurve("near", [(1, 2_000.0), (2, 4_000.0)])
    far = LoadCurve("far", [(1, 0.0), (2, 9_000_000.0)])
    both = plot("v", [near, far], show, decades=True)
    assert both is not None
    assert [text for text, _ in both.y_ticks] == [f"{10.0**power}"[:-2] for power in range(3, 8)]
    low, high = (dot[1] for dot in both.curves[0].dots)
    assert low - high == pytest.approx(log10(2) / 4 * (both.bottom - both.top), abs=0.11)
    assert both.curves[1].dots[0][1] == both.bottom, "zero is at the lower end"
    alone = plot("v", [near], show, decades=True)
    assert alone is not None
    assert alone.y_ticks == plot("v", [near], show).y_ticks  # type: ignore[union-attr]
