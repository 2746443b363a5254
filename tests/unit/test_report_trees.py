"""Streams with several listeners as reports, exports and emulations have them."""

import json
from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.emulate.rules.streams import check_listeners, streams_of
from qnet.emulate.tiers.mininet import run_sample
from qnet.emulate.tiers.tier import Options
from qnet.errors import InputError
from qnet.formats.bridges import tables_of_plan, taprio_lines
from qnet.formats.segments import segment_lists
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.traffic import Profile
from qnet.report.charts import summaries
from qnet.report.cycles import cycles
from qnet.report.gate_chart import gate_chart
from qnet.report.inputs import ReportInput
from qnet.report.junit import junit
from qnet.report.page import page
from qnet.report.sheets import port_sheet, refused_sheet, stream_sheet
from qnet.report.tables import tiles
from qnet.report.text import answer, plan_lines
from tests.unit.test_check_trees import (
    RESERVED,
    WAYS,
    behind_gates,
    gated_profile,
    in_cycles,
    network,
    planned,
    profile,
    seen,
)


def made(
    asked: Profile, data: dict[str, Any], rate: str = "10Gbps", *, run: bool = False
) -> ReportInput:
    topology, plan = network(rate), Plan.model_validate(data)
    proof = prove(topology, asked, plan)
    observation = None
    if run:
        observation = Observation.model_validate(
            {
                "witness": "simulated",
                "duration_ps": 5 * 10**9,
                "steady_from_ps": 10**9,
                "seed": 1,
                "frames": 100,
                "frame_hops": 400,
                "streams": [seen(name, 10**6, histogram=[(0, 100)]) for name in WAYS],
                "demands": [],
                "ports": [],
            }
        )
    verdict = judge(topology, asked, plan, proof, [observation] if observation else [])
    return ReportInput(topology, asked, plan, proof, observation, verdict)


def test_what_is_on_a_wire_is_summed_once() -> None:
    """307.6 Mb/s of 10 Gb/s at every port of the tree; 1,538 bytes in a cycle."""
    case = made(profile(RESERVED), in_cycles())
    loads = {row[0]: row[2] for row in port_sheet(case).rows}
    assert {name: load for name, load in loads.items() if load != "0.0 %"} == {
        "t->m": "3.1 %",
        "m->x": "3.1 %",
        "m->y": "3.1 %",
        "x->e": "3.1 %",
    }
    (tip, *_) = cycles(case, "t->m").tips
    assert tip[2].splitlines() == ["cycle 0: 1,538 of 12,500 B", "s: 1,538 B"]
    assert tiles(case)[0] == ("Streams planned", "1", "of 1; 0 refused")
    assert plan_lines(case.plan)[0].startswith("streams: 1 admitted, 0 routed, 0 refused")


def test_legs_have_rows_and_a_service_of_several_says_how_many_listen() -> None:
    case = made(profile(RESERVED), in_cycles(), run=True)
    rows = {row[0]: row[2] for row in stream_sheet(case).rows}
    assert rows == {"s@x": "t -> x", "s@y": "t -> y", "s@e": "t -> e"}
    (summary,) = summaries(case)
    assert (summary.name, summary.what) == ("s", "1 stream to 3 listeners")
    text = page(case)
    assert "s@e" in text
    assert "1 stream to 3 listeners" in text
    whole = answer(case.verdict, case.plan, case.proof, case.observation, case.topology)
    assert whole["plan"]["admitted_count"] == 1  # type: ignore[index]
    assert [one["name"] for one in whole["streams"]] == list(WAYS)  # type: ignore[attr-defined]
    assert 'name="s x3: latency"' in junit(case.verdict)


def test_a_refused_tree_is_one_refusal_with_all_its_listeners() -> None:
    refused = [{"name": name, "status": "refused", "reason": "no room"} for name in WAYS]
    case = made(profile(RESERVED), planned(refused))
    lines = plan_lines(case.plan)
    assert lines[0].startswith("streams: 0 admitted, 0 routed, 1 refused")
    assert lines[-1] == "s: no room"
    assert [row[0] for row in refused_sheet(case).rows] == list(WAYS)


def test_a_window_is_drawn_once_and_gate_lists_leave_as_they_are() -> None:
    case = made(gated_profile(), behind_gates(), "1Gbps")
    chart = gate_chart(case, "m->x")
    assert chart is not None
    assert [text for *_, text in chart.tips] == ["s frame 0, queue 1: 13.000 us"]
    lines = taprio_lines(tables_of_plan(case.topology, case.profile, case.plan))
    assert {node: text.count("taprio") for node, text in lines.items()} == {"t": 1, "m": 2, "x": 1}


def test_segment_lists_say_which_legs_are_one_frame() -> None:
    asked = profile({"name": "csqf", "priority": 6, "mechanism": "csqf"})
    data = json.loads(segment_lists(network(), asked, Plan.model_validate(in_cycles()), "mpls"))
    assert [(one["name"], one["tree"], one["to"]) for one in data["streams"]] == [
        ("s@x", "s", "x"),
        ("s@y", "s", "y"),
        ("s@e", "s", "e"),
    ]
    first, _, last = (one["paths"][0]["lists"][0] for one in data["streams"])
    assert last[:2] == first


def test_an_emulation_refuses_them_before_anything_starts() -> None:
    asked, plan = profile(RESERVED), Plan.model_validate(in_cycles())
    for refuse in (
        lambda: check_listeners(asked),
        lambda: streams_of(network(), asked, plan),
        lambda: run_sample(network(), asked, plan, {}, Options()),
    ):
        with pytest.raises(InputError, match="stream s: has 3 listeners"):
            refuse()
    check_listeners(profile(RESERVED, to="x"))
