"""Proven, simulated and emulated of every sampled stream side by side, and a run that they fail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from qnet.check.verdict import judge
from qnet.cli import main, stages
from qnet.emulate.frames.sample import Sample
from qnet.emulate.openflow.nouns import Switch, set_field
from qnet.model.emulation import Emulation
from qnet.units import show_time
from tests.asking import Answer, ask
from tests.emulate.test_walk import emulated

LINE = Path(__file__).parents[1] / "golden" / "line" / "traffic.yaml"


@pytest.fixture(scope="module")
def answer() -> Answer:
    return ask(LINE, duration="500us")


def _case(answer: Answer) -> Sample:
    scenario = answer.scenario
    return Sample(scenario.topology, scenario.profile, answer.plan, frames=10_000)


def _with_a_wrong_cycle(switches: Sequence[Switch]) -> list[Switch]:
    """Have one row of switch c's cycle map say the next cycle but one."""
    changed = []
    for switch in switches:
        rules = list(switch.rules)
        if switch.name == "c":
            place = next(i for i, rule in enumerate(rules) if rule.table == 1)
            tag, sent = rules[place].actions
            other = set_field("mpls_tc", tag.value % 4 + 1)
            rules[place] = rules[place]._replace(actions=(other, sent))
        changed.append(switch._replace(rules=tuple(rules)))
    return changed


def _told(
    answer: Answer, result: Emulation, capsys: pytest.CaptureFixture[str], as_json: bool
) -> tuple[int, str]:
    """Return exit code and output, as the command has them."""
    code = 0
    try:
        stages.answer(
            answer.scenario, answer.plan, answer.proof, answer.observation, as_json,
            stages.Left(None, None), result,
        )  # fmt: skip
    except SystemExit as end:
        code = int(str(end.code))
    return code, capsys.readouterr().out


def _table(text: str) -> list[str]:
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.endswith(" difference"))
    return lines[first:]


def test_every_sampled_stream_is_in_the_table(
    answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    result = emulated(_case(answer), answer.observation)
    assert sum(one.delivered for one in result.streams) > 40
    assert len(result.streams) == len(answer.plan.streams) + len(answer.plan.demands)
    code, text = _told(answer, result, capsys, as_json=False)
    assert code == 0
    table = _table(text)
    for one in result.streams:
        row = next(i for i, line in enumerate(table) if line.startswith(f"{one.name} "))
        latency = (
            one.proven_latency_ps_max,
            one.simulated_latency_ps_max,
            one.emulated_latency_ps_max,
            one.difference_ps,
        )
        variation = (
            one.proven_variation_ps,
            one.simulated_variation_ps,
            one.emulated_variation_ps,
            one.variation_difference_ps,
        )
        for line, figures in zip(table[row : row + 2], (latency, variation), strict=True):
            assert " ".join(line.split()).endswith(" ".join(map(show_time, figures)))
    code, text = _told(answer, result, capsys, as_json=True)
    assert code == 0
    told = {one["name"]: one for one in json.loads(text)["emulation"]["streams"]}
    for one in result.streams:
        assert told[one.name] == one.model_dump(mode="json")
        apart = 0 if one.delivered else None
        assert (one.difference_ps, one.variation_difference_ps) == (apart, apart)
        if one.name in {stream.name for stream in answer.plan.streams}:
            assert one.emulated_latency_ps_max == one.simulated_latency_ps_max
            assert one.emulated_variation_ps == one.simulated_variation_ps


def test_a_wrong_cycle_fails_the_run(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    case = _case(answer)
    result = emulated(case, answer.observation, _with_a_wrong_cycle(case.rules))
    code, text = _told(answer, result, capsys, as_json=False)
    assert code == 1
    assert text.startswith("FAIL")
    late = [one for one in result.streams if one.difference_ps]
    # A cycle by the clock of its node, which wanders by less than 1 ns meanwhile.
    assert abs(max(one.difference_ps or 0 for one in late) - answer.plan.cycle_ps) < 1000
    table = _table(text)
    assert table[1].startswith(f"{late[0].name} "), "what differs is on top"
    assert show_time(answer.plan.cycle_ps) in table[1]
    code, text = _told(answer, result, capsys, as_json=True)
    told = json.loads(text)
    assert code == 1
    assert told["verdict"]["outcome"] == "fail"
    streams = {one["name"]: one for one in told["emulation"]["streams"]}
    for one in late:
        assert streams[one.name]["difference_ps"] == one.difference_ps
        words = f"witnesses disagree: {one.name}: emulated and simulated latency"
        assert any(line.startswith(words) for line in told["verdict"]["findings"])


@pytest.mark.parametrize("field", ["difference_ps", "variation_difference_ps"])
def test_differences_up_to_the_rounding_pass(answer: Answer, field: str) -> None:
    result = emulated(_case(answer), answer.observation)
    allowed_ps = 1000 if field == "difference_ps" else 2000
    for apart_ps, outcome in ((allowed_ps, "pass"), (allowed_ps + 1, "fail")):
        first = result.streams[0].replace(**{field: apart_ps})
        changes = {"rounding_ps": 1000, "streams": (first, *result.streams[1:])}
        verdict = judge(
            answer.scenario.topology,
            answer.scenario.profile,
            answer.plan,
            answer.proof,
            [answer.observation],
            result.replace(**changes),
        )
        assert verdict.outcome == outcome
        assert bool(verdict.findings) == (outcome == "fail")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--captures", "x"], "--captures: goes with --emulate"),
        (["--emulate", "lockstep", "--dilation", "7"], "goes with --emulate mininet"),
        (["--emulate", "lockstep", "--capture-switches"], "and --captures DIR"),
        (["--emulate", "mininet", "--captures", "x", "--capture-switches"], "--emulate lockstep"),
    ],
)
def test_options_that_nothing_would_heed_are_refused(options: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["run", str(LINE), *options])
    assert done.exit_code == 2
    assert words in done.output
