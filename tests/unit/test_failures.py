"""How often things break: rates by length, times between failures, and figures of their own."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from qnet.files.read import read_topology
from qnet.units import (
    DURATION,
    FAILURE_RATE,
    format_quantity,
    parse,
)
from tests.builders import network

LINE = {"between": ["a", "b"], "rate": "1Gbps", "length": "2474km"}


def test_a_cable_breaks_by_its_length() -> None:
    """3 per 1,000 km and year, 3 h each: 2,474 km are broken for 22.3 h a year."""
    (one,) = network([LINE]).cable_failures.values()
    assert (one.per_year, one.repair_s) == (Fraction("7.422"), 10_800)
    assert one.broken_share == Fraction("7.422") * 3 / 8760
    assert f"{float(one.broken_share * 8760):.1f}" == "22.3"


def test_routes_of_qingyang_are_cut_58_times_a_year() -> None:
    cables = read_topology("qingyang").cable_failures
    owners = ("ix-", "ct-", "cm-", "cu-")
    cuts = sum(one.per_year for name, one in cables.items() if name.startswith(owners))
    # Cables of 19,089 km: the one to Zhangjiakou has two links of 1,556 km in it.
    assert cuts == Fraction("57.267")


def test_a_cable_is_as_long_as_its_longest_link_and_nodes_do_not_fail() -> None:
    short = {"between": ["b", "c"], "length": "10km"}
    links = [{**LINE, "cable": "c"}, {**LINE, **short, "cable": "c"}]
    net = network(links)
    assert {name: one.per_year for name, one in net.cable_failures.items()} == {
        "c": Fraction("7.422")
    }
    assert net.node_failures == {}


def test_own_figures_come_before_those_of_the_network() -> None:
    general = {
        "cables": {"rate": "2.13/1000km/y", "repair": "12h"},
        "nodes": {"mtbf": "20y", "repair": "4h"},
    }
    links: list[dict[str, Any]] = [
        {**LINE, "length": "1000km", "name": "plain"},
        {**LINE, "name": "rate", "failures": {"rate": "1/km/y", "repair": "1s"}},
        {**LINE, "name": "mtbf", "failures": {"mtbf": "2y"}},
        {**LINE, "name": "repair", "length": "1000km", "failures": {"repair": "1d"}},
    ]
    nodes: list[Any] = ["a", {"name": "b", "failures": {"mtbf": "1y"}}]
    net = network(links, nodes=nodes, failures=general)
    assert net.cable_failures == {
        "plain": (Fraction("2.13"), 43_200),
        "rate": (2474, 1),
        "mtbf": (Fraction(1, 2), 43_200),
        "repair": (Fraction("2.13"), 86_400),
    }
    assert net.node_failures == {"a": (Fraction(1, 20), 14_400), "b": (1, 14_400)}


def test_units_are_read_and_written_back() -> None:
    assert parse(FAILURE_RATE, "2.13/1000km/y") == 2_130_000
    assert format_quantity(FAILURE_RATE, 3_000_000) == "3/1000km/y"
    assert parse(DURATION, "8.2h") == 29_520
    assert format_quantity(DURATION, 10_800) == "3h"
