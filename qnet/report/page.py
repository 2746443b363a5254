"""One HTML page that opens offline: verdict, map, latencies, cycles, ports, and what was refused.

Its neighbours compute what is shown and where it stands; `page.html.j2` says how it looks. The page
holds no clock, no address and nothing random: the same inputs give the same bytes.
"""

from __future__ import annotations

import difflib
from importlib.resources import files

import jinja2

from qnet.errors import InputError, Problem
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.verdict import Verdict
from qnet.report.case import Case, by_load, listed
from qnet.report.charts import services
from qnet.report.cycles import cycles
from qnet.report.drawing import px
from qnet.report.gate_chart import gate_chart
from qnet.report.map import network
from qnet.report.tables import (
    assumptions,
    demands,
    egress_lines,
    inputs,
    refused,
    requirement_table,
    show_load,
    streams,
    tiles,
)
from qnet.report.text import fill_ppb, headline, printable
from qnet.report.timeline import timelines, worst_frames
from qnet.units import show_rate, show_size, show_time

PORTS_LISTED = 20


def page(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    proof: Proof,
    observation: Observation | None,
    verdict: Verdict,
    port: str | None = None,
) -> str:
    """Write the page. `port` is the one whose cycles or gates are shown, by default the fullest."""
    case = Case(topology, profile, plan, proof, observation, verdict)
    chosen = _chosen_port(case, port)
    map_, panels = network(case)
    return _template().render(
        case=case,
        headline=headline(verdict),
        tiles=tiles(case),
        requirements=requirement_table(case),
        findings=listed(verdict.findings),
        map=map_,
        panels=panels,
        services=services(case),
        worst=worst_frames(case),
        timelines=timelines(case),
        cycles=cycles(case, chosen) if chosen else None,
        gates=gate_chart(case, _gated_port(case, port)),
        ports=listed(sorted(case.loads.values(), key=by_load), PORTS_LISTED),
        egress=egress_lines(case),
        demands=listed(demands(case)),
        refused=listed(refused(case)),
        streams=listed(streams(case)),
        assumptions=assumptions(case),
        inputs=inputs(case),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
    )
    environment.filters.update(
        time=show_time, rate=show_rate, load=show_load, size=show_size, px=px
    )
    return environment.from_string(files("qnet.report").joinpath("page.html.j2").read_text("utf-8"))


def _gated_port(case: Case, wanted: str | None) -> str | None:
    """Return the wanted port if it has gates, else the one with most of its time in windows."""
    shares = case.plan.window_shares_ppb()
    if wanted in shares:
        return wanted
    return max(shares, key=lambda port: shares[port], default=None)


def _chosen_port(case: Case, wanted: str | None) -> str | None:
    if wanted is None:
        fullest = max(case.proof.ports, key=fill_ppb, default=None)
        return fullest.port if fullest else None
    if wanted in case.topology.port_by_name:
        return wanted
    close = difflib.get_close_matches(wanted, case.topology.port_by_name, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "; write it like 'a->b'"
    raise InputError([Problem("--port", 0, 0, "", f"no port '{wanted}'{hint}")])
