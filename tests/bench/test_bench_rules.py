"""How fast rules come from the plan to the switch. Printed, never asserted: `make bench`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from qnet.emulate.openflow.messages import Command, encode
from qnet.emulate.openflow.nouns import MPLS, OWNER, Rule, Switch, match, to_text
from qnet.emulate.process import controller
from qnet.emulate.process.controller import Controller
from qnet.emulate.rules.audit import audit_streams
from qnet.emulate.rules.plan_rules import rules_of
from qnet.emulate.switches import ovs
from tests.emulate.networks import Case, case

RULES = 50_000
ROUNDS = 5

Benchmark = Any
"""The fixture of pytest-benchmark, which has no types of its own."""


@pytest.fixture(scope="module")
def qingyang() -> Case:
    return case("qingyang")


@pytest.fixture(scope="module")
def switch() -> Switch:
    """Return a switch that many paths cross."""
    rules = (
        Rule(
            0,
            200,
            match(in_port=2 + number % 7, eth_type=MPLS, mpls_label=16 + number),
            goto=1,
            metadata=(2 + number % 5, 2**64 - 1),
            cookie=OWNER | number,
        )
        for number in range(RULES)
    )
    return Switch("switch", 1, tuple(rules))


def test_rules_from_a_plan(benchmark: Benchmark, qingyang: Case) -> None:
    made = benchmark(rules_of, qingyang.topology, qingyang.streams)
    say(f"{sum(len(one.rules) for one in made):,} rules")


def test_judging_all_rules(benchmark: Benchmark, qingyang: Case) -> None:
    assert benchmark(audit_streams, qingyang.wiring, qingyang.streams, qingyang.switches) == ()


def test_messages_from_rules(benchmark: Benchmark, switch: Switch) -> None:
    def make() -> None:
        for place, rule in enumerate(switch.rules):
            encode(rule, Command.ADD, place)

    benchmark(make)
    say(f"{RULES / benchmark.stats['min']:,.0f} messages a second at best")


@pytest.mark.skipif(ovs.missing_switch() is not None, reason=ovs.missing_switch() or "")
@pytest.mark.skipif(bool(controller.missing_controller()), reason=controller.missing_controller())
def test_rules_to_an_empty_switch(benchmark: Benchmark, switch: Switch, tmp_path: Path) -> None:
    """From the first question to the switch until the last barrier, as the app tells it."""
    path = tmp_path / "rules.json"
    path.write_text(to_text([switch]))
    seconds: list[float] = []

    def install() -> None:
        with ovs.Ovs() as running, Controller(["reservation"], ["--rules-file", str(path)]) as app:
            running.add_bridges([ovs.Bridge("s", 1, (ovs.SwitchPort("p", 1),), (app.target,))])
            (event,) = app.wait_converged([1], 60)
            assert event["added"] == RULES
            seconds.append(event["seconds"])

    benchmark.pedantic(install, rounds=ROUNDS)
    rates = ", ".join(f"{RULES / one:,.0f}" for one in sorted(seconds))
    say(f"rules a second, {ROUNDS} runs: {rates}")


def say(words: str) -> None:
    sys.stdout.write(f"\n{words}\n")
