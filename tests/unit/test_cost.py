"""The layer cost: the formula worked by hand, who pays what, limits, faults at their places."""

from fractions import Fraction
from typing import Any

import pytest
from rich.console import Console

from qnet import api
from qnet.errors import InputError
from qnet.layers.cost.bill import YEAR_S
from qnet.model.verdict import Row
from qnet.report.text import print_verdict
from qnet.result import Result

MICRO = 10**6


def network(*links: dict[str, Any]) -> dict[str, Any]:
    """Return a network of 400 Gb/s wires; those named in no link are not there."""
    names = dict.fromkeys(name for link in links for name in link["between"])
    sites = {"a": "here"}
    nodes = [{"name": one, **({"site": sites[one]} if one in sites else {})} for one in names]
    return {
        "title": "Wires",
        "nodes": nodes,
        "links": [{"rate": "400Gbps", "length": "1000km", **link} for link in links],
    }


def demand(name: str, way: str, rate: str) -> dict[str, str]:
    return {"name": name, "from": way[0], "to": way[1], "rate": rate, "class": "best-effort"}


def answer(net: dict[str, Any], cost: dict[str, Any], *demands: Any, **more: Any) -> Result:
    traffic = {"title": "Paid", "topology": "wires", "demands": list(demands), "cost": cost}
    scenario = api.load({**traffic, **more}, topology=net)
    return api.run(scenario, simulate=more.get("simulation") is not None)


def shown(result: Result) -> str:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as capture:
        print_verdict(result.verdict, console, result.case.sections)
    return capture.get()


@pytest.mark.parametrize(
    ("rate", "per_tb"),
    [("400Gbps", "0.63"), ("64Gbps", "3.96")],
    ids=["full", "at 16 % of it"],
)
def test_a_million_a_year_for_one_wire(rate: str, per_tb: str) -> None:
    """CNY 1 M a year on a wire of 400 Gb/s: 1.578e6 TB a year when it is full."""
    assert 400 * 10**9 * YEAR_S // (8 * 10**12) == 1_577_880
    net = network({"between": ["a", "b"]})
    result = answer(net, {"wire": "1MCNY"}, demand("d", "ab", rate))
    proven = result.row("d", "cost").proven
    assert proven is not None
    assert f"{proven / MICRO:.2f}" == per_tb


def test_every_price_by_hand() -> None:
    """A year of two wires of 1000 km.

    Each: 100 kCNY, 1000 km at 2 kCNY, two ports at 20 kCNY, two of 30 W for 8766 h at 0.6 CNY
    (526 kWh, 315.576 CNY): 2,140,315.576 CNY. 80 Gb/s from a to c are 315,576 TB a year, which
    have both wires alone: 13.564501 CNY/TB, rounded up in the sixth place.
    """
    net = network({"between": ["a", "b"]}, {"between": ["b", "c"]})
    cost = {"wire": "100kCNY", "km": "2kCNY", "port": "20kCNY", "power": "30W", "kwh": "0.6CNY"}
    result = answer(net, cost, demand("d", "ac", "80Gbps"))
    exact = 2 * Fraction("2140315.576") / 315_576
    assert result.row("d", "cost").proven == -(-exact * MICRO // 1) == 13_564_502
    text = shown(result)
    assert "A year of 2 wires, 2,000 km" in text
    assert "fibre 4,000,000 CNY" in text
    assert "energy 631 CNY" in text


def test_wires_are_shared_by_what_they_carry() -> None:
    """30 and 10 Gb/s one way and 40 the other pay three, one and four eighths of the wire.

    So a terabyte costs all of them the same: CNY 1 M by 80 Gb/s, 315,576 TB.
    """
    net = network({"between": ["a", "b"]}, {"between": ["b", "c"]})
    flows = [("x", "ab", "30Gbps"), ("y", "ab", "10Gbps"), ("z", "ba", "40Gbps")]
    result = answer(net, {"wire": "1MCNY"}, *(demand(*one) for one in flows))
    costs = {one.proven for one in result.verdict.rows if one.kind == "cost"}
    assert costs == {-(-(10**12) // 315_576)}
    assert "1,000,000 CNY are for wires that nothing uses" in " ".join(
        result.case.sections[0].lines
    )


def test_of_two_wires_each_is_paid_by_its_own() -> None:
    """40 Gb/s from a to c, 40 from a to b: the long way pays half of one wire and all of another.

    40 Gb/s are 157,788 TB a year; both leave the site of a.
    """
    net = network({"between": ["a", "b"]}, {"between": ["b", "c"]})
    flows = [("short", "ab", "40Gbps"), ("long", "ac", "40Gbps")]
    egress = [{"site": "here", "rate": "80Gbps"}]
    result = answer(net, {"wire": "1MCNY"}, *(demand(*one) for one in flows), egress=egress)
    rows = {one.subject: one.proven for one in result.verdict.rows if one.kind == "cost"}
    assert rows["short"] == -(-500_000 * MICRO // 157_788)
    assert rows["long"] == -(-1_500_000 * MICRO // 157_788)
    assert result.row("here", "egress-cost").proven == -(-2_000_000 * MICRO // 315_576)


def test_streams_pay_for_both_of_their_paths_and_a_tree_for_each_wire_once() -> None:
    """1000 B every 10 us are 822.4 Mb/s on the wire with their headers: 3,244.12 TB a year."""
    net = network(*({"between": list(way)} for way in ("ab", "bd", "ac", "cd")))
    stream = {"from": "a", "interval": "10us", "max-payload-size": "990B"}
    twice = answer(net, {"wire": "1MCNY"}, streams=[{**stream, "name": "s", "to": "d", "paths": 2}])
    exact = 4_000_000 / (Fraction(8224, 10) * 10**6 * YEAR_S / (8 * 10**12))
    assert twice.row("s", "cost").proven == -(-exact * MICRO // 1)
    tree = answer(net, {"wire": "1MCNY"}, streams=[{**stream, "name": "s", "to": ["b", "d"]}])
    legs = {port for one in tree.plan.streams for path in one.paths for port in path.ports}
    assert tree.row("s", "cost").proven == -(-exact * len(legs) * MICRO // 4)


def test_a_frame_over_two_paths_came_once() -> None:
    net = network(*({"between": list(way), "length": "10m"} for way in ("ab", "bd", "ac", "cd")))
    stream = {"name": "s", "from": "a", "to": "d", "interval": "10us", "max-payload-size": "990B"}
    cost = {"wire": "1MCNY"}
    more = {"streams": [{**stream, "paths": 2}], "simulation": {"duration": "5ms"}}
    row = answer(net, cost, **more).row("s", "cost")
    assert row.proven is not None
    assert row.simulated == pytest.approx(row.proven, rel=0.02)


def test_simulated_is_by_what_came() -> None:
    net = network({"between": ["a", "b"], "length": "10m"})
    result = answer(
        net, {"wire": "1MCNY"}, demand("d", "ab", "64Gbps"), simulation={"duration": "3ms"}
    )
    row = result.row("d", "cost")
    assert row.proven is not None
    assert row.simulated is not None
    got = next(one.steady_bytes for one in result.observation.demands)
    steady_ps = result.observation.duration_ps - result.observation.steady_from_ps
    assert row.simulated == -(-(10**12) * (10**12) * steady_ps // (got * YEAR_S * 10**12))
    assert row.simulated == pytest.approx(row.proven, rel=0.05)


@pytest.mark.parametrize(
    ("most", "outcome"), [("3.962CNY", "pass"), ("3.961CNY", "fail")], ids=["kept", "broken"]
)
def test_a_limit_is_a_requirement(most: str, outcome: str) -> None:
    net = network({"between": ["a", "b"]})
    cost = {"wire": "1MCNY", "limits": [{"service": "d", "per-tb": most}]}
    result = answer(net, cost, demand("d", "ab", "64Gbps"))
    row = result.row("d", "cost")
    assert row.outcome == result.row("d", "cost").outcome == outcome
    assert row.basis == ("proven" if outcome == "pass" else None)
    data = next(one for one in result.to_dict()["verdict"]["rows"] if one["kind"] == "cost")
    assert data["unit"] == {"name": "CNY/TB", "decimals": 6}
    if outcome == "fail":
        assert row.reason == "proven 0.000011 CNY/TB over the promise"


def test_nothing_but_that_there_are_no_prices() -> None:
    net = network({"between": ["a", "b"]})
    result = answer(net, {}, demand("d", "ab", "64Gbps"))
    assert not [one for one in result.verdict.rows if "cost" in one.kind]
    assert shown(result).endswith("\nCost\nno prices given\n")
    limit = {"limits": [{"service": "d", "per-tb": "1CNY"}]}
    row: Row = answer(net, limit, demand("d", "ab", "64Gbps")).row("d", "cost")
    assert (row.outcome, row.proven) == ("unknown", None)


def test_a_network_without_the_key_says_nothing_of_cost() -> None:
    net = network({"between": ["a", "b"]})
    traffic = {"title": "Free", "topology": "wires", "demands": [demand("d", "ab", "64Gbps")]}
    result = api.run(api.load(traffic, topology=net), simulate=False)
    assert not result.case.sections
    assert "unit" not in result.to_dict()["verdict"]["rows"][0]


@pytest.mark.parametrize(
    ("cost", "where", "words"),
    [
        ({"wire": "1M"}, "cost.wire", "'M' is not a unit of price; use one of uCNY, CNY, kCNY"),
        ({"wire": 5}, "cost.wire", "5 has no unit; write it like '20kCNY'"),
        ({"km": "-1CNY"}, "cost.km", "negative; a price is zero or more"),
        ({"port": "2GCNY"}, "cost.port", "'GCNY'"),
        ({"wire": "0.0000001CNY"}, "cost.wire", "not a whole number of uCNY"),
        ({"wire": "2000MCNY"}, "cost.wire", "out of range; at most 1000MCNY"),
        ({"kwh": "0.6CNY"}, "cost", "'power' and 'kwh' go together"),
        ({"mile": "1CNY"}, "cost.mile", "no such key; one of wire, km, port, power, kwh, limits"),
        ({"limits": [{"per-tb": "1CNY"}]}, "cost.limits[0]", "give one of them"),
        (
            {"limits": [{"service": "dd", "per-tb": "1CNY"}]},
            "cost.limits[0].service",
            "no service 'dd'",
        ),
        (
            {"limits": [{"site": "here", "per-tb": "1CNY"}]},
            "cost.limits[0].site",
            "no required egress of 'here'",
        ),
        (
            {"limits": 2 * [{"service": "d", "per-tb": "1CNY"}]},
            "cost.limits[1].service",
            "'d' again; it has a limit already",
        ),
        ("dear", "cost", "'dear' is not a mapping"),
    ],
)
def test_bad_prices_are_refused_at_their_place(cost: Any, where: str, words: str) -> None:
    net = network({"between": ["a", "b"]})
    with pytest.raises(InputError) as caught:
        answer(net, cost, demand("d", "ab", "64Gbps"))
    (problem,) = caught.value.problems
    assert problem.where == where
    assert words in problem.message
