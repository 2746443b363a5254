"""For what share of the time streams have a way: by hand, by all states, planned for, refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qnet import api
from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.model.plan import PathPlan, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.result import Result
from qnet.schedule.reservations.book import Reservations
from qnet.simulate.years import _covered_ms
from qnet.units import show_availabilities, show_availability
from tests.builders import network, plan_for, profile

STEPS = 10**15
STREAM = {"from": "a", "to": "b", "interval": "1ms", "max-payload-size": "100B"}
MECHANISMS = ("tcqf", "csqf", "cqf", "qbv")


def two_cables(*lengths: int, **failures: str) -> Topology:
    links: list[dict[str, Any]] = [
        {"name": f"way{number}", "between": ["a", "b"], "length": f"{km}km"}
        for number, km in enumerate(lengths)
    ]
    return network(links, link={"rate": "10Gbps"}, failures={"cables": failures})


def answered(net: Topology, *streams: Mapping[str, Any], **more: Any) -> Result:
    traffic = profile(list(streams), stream=STREAM, **more)
    return api.run(api.load(traffic, topology=net), simulate=False)


def share_of(net: Topology, **stream: Any) -> int:
    share = answered(net, stream).proof.streams[0].availability
    assert share is not None
    return share


PAIRS = ((347, 600), (900, 900), (1240, 1600), (2474, 3000))


@pytest.mark.parametrize(
    ("rate", "repair", "paths", "said"),
    [
        ("3/1000km/y", "3h", 1, ("99.9643", "99.9075", "99.8726", "99.7458")),
        ("3/1000km/y", "3h", 2, ("99.99998", "99.99991", "99.99979", "99.99922")),
        ("3/1000km/y", "8.2h", 2, ("99.99984", "99.99936", "99.99844", "99.99415")),
        ("2.13/1000km/y", "12h", 2, ("99.99982", "99.99931", "99.99831", "99.99368")),
    ],
)
def test_the_table_of_four_pairs_of_cables(
    rate: str, repair: str, paths: int, said: Sequence[str]
) -> None:
    for (one, other), figure in zip(PAIRS, said, strict=True):
        net = two_cables(one, other, rate=rate, repair=repair)
        exact = Decimal(share_of(net, paths=paths)).scaleb(-13)
        step = Decimal(figure)
        assert exact.quantize(step, rounding=ROUND_HALF_UP) == step, (one, other)


def test_a_pair_is_without_a_way_for_as_many_seconds_a_year_as_by_hand() -> None:
    for (one, other), seconds in zip(PAIRS, (7, 27, 66, 247), strict=True):
        (row,) = (r for r in _rows(two_cables(one, other), paths=2) if r.kind == "availability")
        assert row.reason == f"two paths give it; without a way for {seconds} s a year on average"


def _rows(net: Topology, **stream: Any) -> Sequence[Any]:
    return answered(net, stream).verdict.rows


def test_six_nines_to_shanghai_are_refused_with_both_figures() -> None:
    result = answered(two_cables(2474, 3000), {"availability": "99.9999%"})
    assert result.outcome == "fail"
    assert result.plan.streams[0].reason == "two paths give 99.9992 %, 99.9999 % asked"
    assert "s0: two paths give 99.9992 %, 99.9999 % asked" in result.reasons[0]


def test_the_profile_of_qingyang_is_refused_six_nines_to_shanghai_too() -> None:
    ends = {"name": "far", "from": "qy-c2", "to": "shanghai", "interval": "1ms"}
    stream = {**ends, "max-payload-size": "1000B", "availability": "99.9999%"}
    traffic = {"title": "t", "topology": "qingyang", "streams": [stream]}
    (entry,) = api.plan(api.load(traffic)).streams
    assert entry.status == "refused"
    assert entry.reason == "two paths give 99.9993 %, 99.9999 % asked"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_as_many_paths_as_the_promise_needs(mechanism: str) -> None:
    net = two_cables(10, 12)
    given = {"mechanisms": {"reserved": mechanism}}
    asked = [("99.99%", 1), ("99.9989%", 1), ("99.999%", 2), ("99.99999%", 2)]
    if mechanism == "cqf":
        # A cycle of CQF is longer than its links.
        net = net.replace(
            links=tuple(one.replace(failures=None, delay_ps=None) for one in net.links),
            tcqf=net.tcqf.replace(cycle_ps=250 * 10**6),
        )
    for promise, paths in asked:
        result = answered(net, {"availability": promise}, **given)
        assert [len(one.paths) for one in result.plan.streams] == [paths], promise
        assert result.row("s0", "availability").outcome == "pass"
        assert result.row("s0", "availability").basis == "proven"
    result = answered(net, {"availability": "99.99999999%"}, **given)
    words = "two paths give 99.99999998 %, 99.99999999 % asked"
    assert (result.plan.streams[0].reason or "").startswith(words)


def test_a_longer_way_that_breaks_less_is_taken() -> None:
    links: list[dict[str, Any]] = [
        {"between": ["a", "b"], "length": "100km", "failures": {"rate": "50/1000km/y"}},
        {"between": ["a", "c"], "length": "200km"},
        {"between": ["c", "b"], "length": "200km"},
    ]
    net = network(links, link={"rate": "10Gbps"})
    for asked, hops in (("99.8%", 1), ("99.95%", 2)):
        for reserving in ("reserved", "best-effort"):
            result = answered(net, {"availability": asked, "class": reserving})
            ways = [len(path.ports) for path in result.plan.streams[0].paths]
            assert ways == [hops], (asked, reserving)
            assert result.row("s0", "availability").outcome == "pass"


def test_why_one_path_is_all_there_is() -> None:
    line = network(
        [{"between": pair, "length": "1000km"} for pair in (("a", "b"), ("b", "c"))],
        link={"rate": "1Gbps"},
    )
    (entry,) = answered(line, {"availability": "99.99%"}).plan.streams
    assert entry.reason == (
        "one path gives 99.8972 %, 99.99 % asked; no disjoint second path: every route uses "
        "cable a--b"
    )
    (first, _) = answered(line, {"to": ["b", "c"], "availability": "99.99%"}).plan.streams
    assert first.reason is not None
    assert first.reason.endswith("with several listeners one path leads to each")


def test_what_reserves_nothing_keeps_its_way_and_fails_with_the_figure() -> None:
    result = answered(two_cables(2474, 3000), {"availability": "99.9%", "class": "best-effort"})
    row = result.row("s0", "availability")
    assert (row.outcome, row.broken, row.reason) == (
        "fail", 1, "one path gives 99.7458 %, 99.9 % asked"
    )  # fmt: skip


def test_a_service_shows_its_worst_member_beside_its_promise() -> None:
    net = two_cables(100, 3000)
    wire = net.ports[2].name
    streams = [
        {"name": "near", "group": "g", "availability": "99.9%"},
        {"name": "none", "group": "g"},
        {"name": "far", "group": "g", "availability": "99.8%"},
    ]
    traffic = profile(streams, stream=STREAM)
    plan = plan_for(net, traffic)
    longer = [
        one.replace(paths=(one.paths[0].replace(ports=(wire,)),)) if one.name == "far" else one
        for one in plan.streams
    ]
    moved = plan.replace(streams=tuple(longer))
    row = next(one for one in _judged(net, traffic, moved) if one.kind == "availability")
    assert (row.outcome, row.worst, row.broken, row.members) == ("fail", "far", 1, 3)
    assert row.reason == "one path gives 99.6917 %, 99.8 % asked"


def _judged(net: Topology, traffic: Profile, plan: Plan) -> Sequence[Any]:
    return judge(net, traffic, plan, prove(net, traffic, plan), ()).rows


def test_nothing_is_said_where_nobody_asks() -> None:
    net = network([{"between": ["a", "b"], "length": "100km"}], link={"rate": "1Gbps"})
    result = answered(net, {})
    assert [one.kind for one in result.verdict.rows if one.kind == "availability"] == []
    assert "availability" not in result.proof.streams[0].model_dump()


def test_the_page_has_it_beside_latency_and_only_where_it_is_known(tmp_path: Path) -> None:
    asked = answered(two_cables(2474, 3000), {"availability": "99.99%"})
    page = asked.save(tmp_path / "asked").read_text()
    assert "availability proven" in page
    assert page.count("99.999216 %") >= 2  # of the service, and of the stream
    net = network([{"between": ["a", "b"], "length": "100km"}], link={"rate": "1Gbps"})
    assert "availability" not in answered(net, {}).save(tmp_path / "plain").read_text()


# All states of all parts, one by one


def by_states(net: Topology, plan: Plan, parts: Sequence[tuple[str, str]], *, clocked: bool) -> int:
    """Add up the chances of all states in which a path of the first stream works."""
    failing = {
        **{("cable", name): one for name, one in net.cable_failures.items()},
        **{("node", name): one for name, one in net.node_failures.items()},
    }
    broken = {part: failing[part].per_year * failing[part].repair_s / 31_536_000 for part in parts}
    ways = []
    for path in plan.streams[0].paths:
        ports = [net.port_by_name[name] for name in path.ports]
        way = {("cable", net.cable(net.links[port.link])) for port in ports}
        way |= {("node", end) for port in ports for end in (port.source, port.target)}
        if clocked and net.sync is not None:
            way.add(("node", net.sync.grandmaster))
        ways.append(way)
    total = Fraction(0)
    for states in product((True, False), repeat=len(parts)):
        down = {part for part, works in zip(parts, states, strict=True) if not works}
        if any(not way & down for way in ways):
            chance = Fraction(1)
            for part in parts:
                chance *= broken[part] if part in down else 1 - broken[part]
            total += chance
    return int(total * STEPS)


FOUR: list[Any] = [
    {"name": "a", "failures": {"mtbf": "1y"}},
    {"name": "b", "failures": {"mtbf": "500d", "repair": "7h"}},
    "c",
    {"name": "d", "failures": {"mtbf": "90d", "repair": "1h"}},
    {"name": "g", "failures": {"mtbf": "30d", "repair": "20min"}},
]
AROUND: list[dict[str, Any]] = [
    {"between": ["a", "c"], "length": "900km"},
    {"between": ["c", "b"], "length": "400km", "failures": {"mtbf": "17d", "repair": "1d"}},
    {"between": ["a", "d"], "length": "1200km"},
    {"between": ["d", "b"], "length": "300km", "cable": "shared"},
    {"between": ["c", "d"], "length": "50km", "cable": "shared"},
    {"between": ["d", "g"], "length": "5km"},
]


def around(**more: Any) -> tuple[Topology, list[tuple[str, str]]]:
    net = network(AROUND, nodes=FOUR, link={"rate": "10Gbps"}, **more)
    parts = [("cable", name) for name in net.cable_failures]
    return net, [*parts, *(("node", name) for name in net.node_failures)]


@pytest.mark.parametrize("sync", [{}, {"sync": {"grandmaster": "g"}}], ids=["alone", "clocked"])
@pytest.mark.parametrize("paths", [1, 2])
def test_every_state_of_a_small_network_adds_up_to_the_proof(
    paths: int, sync: dict[str, Any]
) -> None:
    net, parts = around(failures={}, **sync)
    for reserving in ("reserved",) if paths == 2 else ("reserved", "best-effort"):
        traffic = profile([{"paths": paths, "class": reserving}], stream=STREAM)
        plan = plan_for(net, traffic)
        share = prove(net, traffic, plan).streams[0].availability
        clocked = reserving == "reserved"
        assert share == by_states(net, plan, parts, clocked=clocked)


def test_paths_that_share_parts_count_them_once() -> None:
    """No plan of qnet's has such paths, and the checker has a finding on them; it counts right."""
    net, parts = around(failures={}, sync={"grandmaster": "g"})
    traffic = profile([{"paths": 2}], stream=STREAM)
    plan = plan_for(net, traffic)
    for ways in (
        (("a->c", "c->b"), ("a->d", "d->c", "c->b")),
        (("a->c", "c->d", "d->b"), ("a->d", "d->b")),
        (("a->c", "c->b"), ("a->c", "c->b")),
    ):
        paths = tuple(PathPlan(ports=ports, cycles=tuple(range(len(ports)))) for ports in ways)
        (entry,) = plan.streams
        made = plan.replace(streams=(entry.replace(paths=paths),))
        share = prove(net, traffic, made).streams[0].availability
        assert share == by_states(net, made, parts, clocked=True), ways


def test_the_planner_and_the_checker_say_the_same() -> None:
    """A promise that is met to the last step is admitted, and one step more is refused."""
    for paths in (1, 2):
        net, _ = around(failures={}, sync={"grandmaster": "g"})
        exact = share_of(net, paths=paths)
        written = f"{exact // 10**13}.{exact % 10**13:013d}%"
        result = answered(net, {"paths": paths, "availability": written})
        assert result.row("s0", "availability").outcome == "pass"
        if paths == 2:
            more = f"{(exact + 1) // 10**13}.{(exact + 1) % 10**13:013d}%"
            (entry,) = answered(net, {"paths": 2, "availability": more}).plan.streams
            assert (entry.status, entry.reason) == (
                "refused",
                "two paths give {}, {} asked".format(*show_availabilities(exact, exact + 1)),
            )


def test_a_book_takes_two_paths_where_one_is_not_enough() -> None:
    net = two_cables(2474, 3000)
    book = Reservations(net, 100)
    stream = profile([{"availability": "99.99%"}], stream=STREAM).streams[0]
    assert isinstance(stream, Stream)
    (answer,) = book.admit([stream])
    assert answer.reason is None
    assert book.view.place("s0") == book.place("s0")
    assert len(book.place("s0").ports) == 2
    more = stream.replace(name="more", availability=STEPS - 10**9)
    assert book.why_not(more) == "two paths give 99.9992 %, 99.9999 % asked"
    again = Reservations.from_plan(
        api.load(profile([{"availability": "99.99%"}], stream=STREAM), topology=net),
        plan_for(net, profile([{"availability": "99.99%"}], stream=STREAM)),
    )
    assert len(again.place("s0").ports) == 2


def test_nines_are_shown_as_many_as_there_are_and_never_rounded_up() -> None:
    assert show_availability(997_458_219_178_082) == "99.7458 %"
    assert show_availability(999_992_165_503_847) == "99.999216 %"
    assert show_availability(STEPS - 1) == "99.9999999999999 %"
    assert show_availability(STEPS) == "100 %"
    asked = 999_999 * 10**9
    assert show_availabilities(999_992_165_503_847, asked) == ("99.9992 %", "99.9999 %")
    # What is asked for has eleven digits here; the difference is in the last.
    odd = asked + 10**4
    assert show_availabilities(odd - 10**4, odd) == ("99.999900000 %", "99.999900001 %")


# Failures drawn


def drawn(paths: int, seed: int, *, years: int = 10**6) -> tuple[int, int, Result]:
    simulation = {"years": years, "seed": seed, "duration": "30ms"}
    traffic = profile([{"paths": paths}], stream=STREAM, simulation=simulation)
    result = api.run(api.load(traffic, topology=two_cables(2474, 3000)))
    row = result.row("s0", "availability")
    assert row.proven is not None
    assert row.simulated is not None
    return row.proven, row.simulated, result


@pytest.mark.parametrize(("paths", "piece"), [(1, Fraction(1)), (2, Fraction(2, 3))])
def test_a_million_years_come_to_the_formula_within_three_sigma(
    paths: int, piece: Fraction
) -> None:
    """Repairs of 3 h: E[L^2] / E[L] is 3 h of single outages, and 2 h of pieces that two share."""
    exact, seen, result = drawn(paths, 1)
    variance = (1 - Fraction(exact, STEPS)) * piece * 3 / (10**6 * 8760)
    assert Fraction(seen - exact, STEPS) ** 2 <= 9 * variance
    assert seen != exact
    assert result.verdict.findings == ()
    assert result.streams["availability_proven"] == [exact]
    assert result.streams["availability_simulated"] == [seen]


def test_the_same_seed_gives_the_same_years_and_another_others() -> None:
    _, first, _ = drawn(1, 1, years=1000)
    assert drawn(1, 1, years=1000)[1] == first
    assert drawn(1, 2, years=1000)[1] != first


def test_years_are_the_same_however_many_are_drawn_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, whole, _ = drawn(2, 3, years=4000)
    monkeypatch.setattr("qnet.simulate.years.BLOCK_YEARS", 7)
    assert drawn(2, 3, years=4000)[1] == whole


def test_outages_are_united_piece_by_piece() -> None:
    def of(*spans: tuple[int, int]) -> tuple[Any, Any]:
        starts, ends = zip(*spans, strict=True)
        return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)

    spans = {
        ("cable", "x"): of((0, 10), (20, 30), (50, 51)),
        ("cable", "y"): of((5, 12), (21, 22), (30, 31)),
    }
    assert _covered_ms(spans, [("cable", "x")]) == 21
    assert _covered_ms(spans, [("cable", "x"), ("cable", "y"), ("node", "never")]) == 24


def test_a_grandmaster_that_fails_takes_both_paths_along() -> None:
    net, _ = around(failures={}, sync={"grandmaster": "g"})
    simulation = {"years": 50_000, "duration": "30ms"}
    traffic = profile([{"paths": 2}], stream=STREAM, simulation=simulation)
    result = api.run(api.load(traffic, topology=net))
    row = result.row("s0", "availability")
    assert result.verdict.findings == ()
    assert row.simulated is not None
    # 20 min of every 30 days, and what a and b take.
    assert 1 - row.simulated / STEPS > 20 / (30 * 24 * 60)


def test_years_that_do_not_fit_the_proof_are_a_finding() -> None:
    exact, seen, result = drawn(2, 1)
    assert result.simulated is not None
    for off, is_finding in ((seen - exact, False), (exact - STEPS, True), (10**9, True)):
        figures = tuple(one.replace(value=exact + off) for one in result.simulated.figures)
        told = result.simulated.replace(figures=figures)
        topology, traffic = result.scenario.topology, result.scenario.profile
        verdict = judge(topology, traffic, result.plan, result.proof, [told])
        assert bool(verdict.findings) == is_finding, off
    assert verdict.findings[0].startswith(
        "witnesses disagree: s0: failures of 1,000,000 years leave it a way for 99.99"
    )
