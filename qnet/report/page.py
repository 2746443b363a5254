"""One HTML page that opens offline: verdict, map, latencies, cycles, ports, and what was refused.

Its neighbours compute what is shown and where it stands; `page.html.j2` says how it looks. The page
holds no clock, no address and nothing random: the same inputs give the same bytes.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from importlib.resources import files

import jinja2

from qnet.errors import InputError, Problem
from qnet.report.charts import services, summaries
from qnet.report.cycles import cycles
from qnet.report.drawable import drawable
from qnet.report.drawing import px
from qnet.report.gate_chart import gate_chart
from qnet.report.inputs import ReportInput, listed
from qnet.report.map import network
from qnet.report.sheets import (
    class_sheet,
    drop_sheet,
    layer_sheets,
    port_sheet,
    refused_sheet,
    service_sheet,
    stream_sheet,
    witness_sheet,
    worst_sheet,
)
from qnet.report.tables import (
    assumptions,
    demands,
    egress_lines,
    inputs,
    requirement_table,
    show_load,
    tiles,
)
from qnet.report.text import OUTCOME_WORD, fill_ppb, headline, printable
from qnet.report.timeline import timelines
from qnet.units import show_rate, show_size, show_time

ROWS_SHOWN = 20
"""Rows of a long table that stand in the page before the reader asks for more."""


def page(case: ReportInput, port: str | None = None) -> str:
    """Write the page. `port` is the one whose cycles or gates are shown, by default the fullest."""
    if case.proof.findings:
        case = replace(case, plan=drawable(case.topology, case.profile, case.plan))
    chosen = _chosen_port(case, port)
    map_, panels = network(case)
    return template("page.html.j2").render(
        rows_shown=ROWS_SHOWN,
        outcome=case.verdict.outcome,
        case=case,
        word=OUTCOME_WORD[case.verdict.outcome],
        headline=headline(case.verdict),
        tiles=tiles(case),
        requirements=requirement_table(case),
        findings=listed(case.verdict.findings),
        map=map_,
        panels=panels,
        services=services(case),
        summary=service_sheet(summaries(case)),
        witnesses=witness_sheet(case.emulation) if case.emulation else None,
        layers=layer_sheets(case),
        worst=worst_sheet(case),
        classes=class_sheet(case),
        drops=drop_sheet(case),
        timelines=timelines(case),
        cycles=cycles(case, chosen) if chosen else None,
        gates=gate_chart(case, _gated_port(case, port)),
        ports=port_sheet(case),
        egress=egress_lines(case),
        demands=listed(demands(case)),
        refused=refused_sheet(case),
        streams=stream_sheet(case),
        assumptions=assumptions(case),
        inputs=inputs(case),
    )


def template(name: str) -> jinja2.Template:
    """Return a page of this room, with the filters and the style that all of them have."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(
            lambda name: files("qnet.report").joinpath(name).read_text("utf-8")
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters.update(
        time=show_time, rate=show_rate, load=show_load, size=show_size, px=px
    )
    return environment.get_template(name)


def _gated_port(case: ReportInput, wanted: str | None) -> str | None:
    """Return the wanted port if it has gates, else the one with most of its time in windows."""
    shares = case.plan.window_shares_ppb()
    if wanted in shares:
        return wanted
    return max(shares, key=lambda port: shares[port], default=None)


def _chosen_port(case: ReportInput, wanted: str | None) -> str | None:
    if wanted is None:
        fullest = max(case.proof.ports, key=fill_ppb, default=None)
        return fullest.port if fullest else None
    if wanted in case.topology.port_by_name:
        return wanted
    close = difflib.get_close_matches(wanted, case.topology.port_by_name, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "; write it like 'a->b'"
    raise InputError([Problem("--port", 0, 0, "", f"no port '{wanted}'{hint}")])
