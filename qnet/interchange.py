"""Networks, sets of gated streams, and files of other programs: `qnet gates`, `import`, `export`.

A plan goes to others only when it keeps every rule.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from qnet.errors import ArgumentError, Infeasible, InputError, Problem

if TYPE_CHECKING:
    from qnet.formats.bridges import GateTable
    from qnet.formats.networks.nouns import Exported, Imported, ImportOptions
    from qnet.formats.networks.table import Export, Import
    from qnet.formats.otg_metrics import LatencyMode
    from qnet.model.gates import GatePlan, GateProblem, GateProof
    from qnet.model.plan import Plan
    from qnet.model.scenario import Scenario
    from qnet.model.topology import Topology
    from qnet.model.verdict import Outcome
    from qnet.result import Result

Texts = Mapping[str, str]
"""File name to contents."""


def plan_gates(problem: GateProblem, *, seed: int = 1, routes: int = 4) -> GatePlan:
    """Schedule 802.1Qbv gates; `routes` are tried for each stream."""
    from qnet.schedule.qbv.solve import schedule_gates

    return schedule_gates(problem, seed=seed, routes=routes)


def judge_gates(problem: GateProblem, plan: GatePlan, *, given: bool) -> tuple[GateProof, Outcome]:
    """Judge a plan; one that was `given`, and leaves streams out, fails."""
    from qnet.check.gates import check_gates
    from qnet.report.gates import gate_plan_outcome

    proof = check_gates(problem, plan)
    return proof, gate_plan_outcome(plan, proof, given=given)


def network_formats() -> Mapping[str, Import]:
    """Return the formats of networks that can be read, by name."""
    from qnet.formats.networks.table import FORMATS

    return {name: one.into for name, one in FORMATS.items() if one.into is not None}


def network_exports() -> Mapping[str, Export]:
    """Return the formats of networks that can be written, by name."""
    from qnet.formats.networks.table import FORMATS

    return {name: one.out for name, one in FORMATS.items() if one.out is not None}


@contextmanager
def _uncollected() -> Iterator[None]:
    """Have Python look for no cycles: of a million edges it takes two fifths of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


Hyperedge = Literal["switch", "clique", "drop"]
Coordinates = Literal["degrees", "drawing"]
INTERVAL_HIGHEST = 1_000_000
STRETCH_HIGHEST = 1_000_000


def import_network(
    format: str,
    *files: str,
    rate: str = "10Gbps",
    metro_length: str = "10km",
    detour: str = "1.8",
    largest: bool = False,
    hyperedge: Hyperedge | None = None,
    unit: str | None = None,
    coordinates: Coordinates | None = None,
    topology: str | None = None,
    interval: int | None = None,
    network: str | None = None,
    ports: Mapping[str, str] | None = None,
) -> Imported:
    """Read a network in another program's format: its topology, and its demands if it has any.

    `format` is one of `network_formats`, `files` what it takes. Links that say no rate have `rate`;
    fibre is `detour` times the great circle, and `metro_length` where places are missing or one and
    the same. `hyperedge` says what becomes of a bus or cloud, `largest` keeps the largest part of a
    network that falls into several; `unit` is that of capacities and demands, such as 'Mbps', or
    'none' to leave them out; `coordinates` may be those of a drawing; `network` is one of several
    in a file. A matrix or flows are read for a `topology`, a bundled name or a file; `interval`
    picks one of several, `ports` says at which nodes ports of a traffic generator are. Whatever was
    assumed is in `assumptions`, and in the `assumptions` of topology and profile.

    Raises InputError with all faults of the files, ArgumentError for wrong arguments, and
    EnvironmentMissing where the extra `networks` is not installed.
    """
    formats = network_formats()
    chosen = _chosen(formats, format)
    if not chosen.least <= len(files) <= len(chosen.arguments):
        words = f"{len(files)} given; {format} takes {' '.join(chosen.arguments)}"
        raise ArgumentError([Problem("files", 0, 0, "", words)])
    asked = {
        "hyperedge": hyperedge,
        "unit": unit,
        "coordinates": coordinates,
        "topology": topology,
        "interval": interval,
        "network": network,
        "ports": ports or None,
    }
    texts = {"rate": rate, "metro_length": metro_length, "detour": detour}
    options = _import_options(format, chosen.asks, asked, texts, largest)
    with _uncollected():
        return chosen.read(files, options)


Format = TypeVar("Format")


def _chosen(formats: Mapping[str, Format], name: str) -> Format:
    if name not in formats:
        words = f"'{name}' is not a format of networks; there are {', '.join(formats)}"
        raise ArgumentError([Problem("format", 0, 0, "", words)])
    return formats[name]


def _import_options(
    format: str,
    takes: frozenset[str],
    asked: Mapping[str, str | int | Mapping[str, str] | None],
    texts: Mapping[str, str],
    largest: bool,
) -> ImportOptions:
    """Read the arguments of an import, or raise ArgumentError with all that are wrong."""
    from dataclasses import replace
    from fractions import Fraction
    from re import fullmatch
    from typing import Any

    from qnet.formats.networks.nouns import LEFT_OUT, ImportOptions
    from qnet.units import LENGTH, RATE, UnitError, describe, parse

    problems = []
    kinds = {"hyperedge": get_args(Hyperedge), "coordinates": get_args(Coordinates)}
    kinds["unit"] = (*RATE.units, LEFT_OUT)
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    for name, value in given.items():
        if name not in takes:
            problems.append(Problem(name, 0, 0, "", f"{format} has no use for it; leave it out"))
        elif name == "interval" and not 1 <= value <= INTERVAL_HIGHEST:
            words = f"{value} is no interval; they are counted from 1 on"
            problems.append(Problem(name, 0, 0, "", words))
        elif name in kinds and value not in kinds[name]:
            words = f"{describe(value)} is none of {', '.join(kinds[name])}"
            problems.append(Problem(name, 0, 0, "", words))
    for name, dimension, field in (
        ("rate", RATE, "rate_bps"),
        ("metro_length", LENGTH, "metro_mm"),
    ):
        try:
            given[field] = parse(dimension, texts[name])
            if not given[field]:
                problems.append(Problem(name, 0, 0, "", f"{texts[name]} is zero; it is more"))
        except UnitError as error:
            problems.append(Problem(name, 0, 0, "", str(error)))
    if fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", texts["detour"]) and Fraction(texts["detour"]) >= 1:
        given["detour"] = Fraction(texts["detour"])
    else:
        words = f"{describe(texts['detour'])} is not a ratio of 1 or more; write it like '1.8'"
        problems.append(Problem("detour", 0, 0, "", words))
    if problems:
        raise ArgumentError(problems)
    return replace(ImportOptions(), largest=largest, **given)


def network_files(imported: Imported) -> Texts:
    """Return an imported network as qnet's files: topology.yaml, and traffic.yaml with demands."""
    from qnet.files.words import to_lines

    with _uncollected():
        texts = {"topology.yaml": to_lines(imported.topology)}
    if imported.profile is not None:
        texts["traffic.yaml"] = to_lines(imported.profile)
    return texts


def export_network(
    format: str,
    what: Topology | Scenario | str,
    *,
    unit: str | None = None,
    stretch: int | None = None,
) -> Exported:
    """Write a network, or its demands, as the file of another program.

    `format` is one of `network_exports`. `what` is a topology, or a scenario where the format is of
    traffic (`of_traffic`): a noun, a bundled name or a file. Formats of rates without a unit need
    the `unit` that they are written in; what runs may have time `stretch` times slower. What the
    format cannot say is in `left_out`, with counts.

    Raises InputError with all faults of the file, and ArgumentError for wrong arguments.
    """
    from qnet.files.read import load, read_topology
    from qnet.units import RATE, describe

    chosen = _chosen(network_exports(), format)
    options = {
        name: value for name, value in (("unit", unit), ("stretch", stretch)) if value is not None
    }
    problems = [
        Problem(name, 0, 0, "", f"{format} has no use for it; leave it out")
        for name in options
        if name not in chosen.asks
    ]
    if "unit" in chosen.asks and unit is None:
        problems.append(Problem("unit", 0, 0, "", f"{format} needs it, such as 'Mbps'"))
    if stretch is not None and not 1 <= stretch <= STRETCH_HIGHEST:
        words = f"{stretch} is not from 1 to {STRETCH_HIGHEST:,}"
        problems.append(Problem("stretch", 0, 0, "", words))
    if unit is not None and unit not in RATE.units:
        words = f"{describe(unit)} is none of {', '.join(RATE.units)}"
        problems.append(Problem("unit", 0, 0, "", words))
    if problems:
        raise ArgumentError(problems)
    if isinstance(what, str):
        return chosen.write(load(what) if chosen.of_traffic else read_topology(what), **options)
    return chosen.write(what, **options)


def otg_metrics(run: Result | str, latency: LatencyMode = "store_forward") -> Exported:
    """Return what was simulated as flow metrics of the Open Traffic Generator model, JSON.

    `run` is a result, or the folder of a run. Latencies are those of the model: to the first bit
    out, from the last bit in (`store_forward`) or the first (`cut_through`). What is not known of
    a flow is left out, and listed in `left_out`.

    Raises InputError where the folder holds no run, ArgumentError for another mode and for a
    result without a simulation.
    """
    from pathlib import Path

    from qnet.files.run_folder import read_run
    from qnet.formats.otg_metrics import LATENCY_MODES, write
    from qnet.units import describe

    if latency not in LATENCY_MODES:
        words = f"{describe(latency)} is none of {', '.join(LATENCY_MODES)}"
        raise ArgumentError([Problem("latency", 0, 0, "", words)])
    if isinstance(run, str):
        saved = read_run(Path(run))
        return write(saved.scenario, saved.plan, saved.observation, latency)
    return write(run.scenario, run.plan, run.observation, latency)


def read_tsnkit(task: str, network: str) -> GateProblem:
    """Read a problem from two CSV files of tsnkit's."""
    from qnet.files.read import read_text
    from qnet.formats.tsnkit import read_problem

    return read_problem(read_text(task), read_text(network), task_name=task, network_name=network)


def tsnkit_schedule_files(prefix: str) -> dict[str, str]:
    """Return the names of the files that a schedule of tsnkit's consists of, by their kinds."""
    from qnet.formats.tsnkit_schedule import COLUMNS

    return {kind: f"{prefix}-{kind}" for kind in COLUMNS}


def read_tsnkit_schedule(problem: GateProblem, prefix: str) -> GatePlan:
    """Read a schedule of tsnkit's; all that is wrong with any of its files is said at once."""
    from qnet.files.read import read_text
    from qnet.formats.tsnkit_schedule import read_schedule

    names = tsnkit_schedule_files(prefix)
    faults: list[Problem] = []
    texts = {}
    for kind, name in names.items():
        try:
            texts[kind] = read_text(name)
        except InputError as error:
            faults += error.problems
    if faults:
        raise InputError(faults)
    return read_schedule(problem, texts, names)


def to_tsnkit(problem_file: str, plan_file: str) -> Texts:
    """Return a problem and its plan as tsnkit's files, by the ends of their names."""
    from qnet.formats.tsnkit import write_problem, write_schedule

    problem, plan = _judged(problem_file, plan_file)
    try:
        return {**write_problem(problem), **write_schedule(problem, plan)}
    except Infeasible as error:
        raise InputError([Problem(plan_file, 0, 0, "", str(error))]) from None


def to_bridges(
    what: Scenario | str, plan_file: str, kind: Literal["yang", "taprio"], base_time_ns: int = 0
) -> Texts:
    """Return the gate lists of a plan as files, one a node; time 0 of the plan is `base_time_ns`.

    `what` the plan is for is a scenario, or the file of a problem.
    """
    from qnet.formats.bridges import gate_parameter_tables, taprio_lines

    write = gate_parameter_tables if kind == "yang" else taprio_lines
    end = "json" if kind == "yang" else "sh"
    texts = write(_tables(what, plan_file), base_time_ns, name=plan_file)
    return {f"{node}.{end}": text for node, text in texts.items()}


def to_segments(scenario: Scenario, plan_file: str, kind: Literal["srv6", "mpls"]) -> Texts:
    """Return the segment lists of streams whose class has 'mechanism: csqf' as a file."""
    from qnet.formats.segments import segment_lists

    plan = _proven(scenario, plan_file)
    return {f"{kind}.json": segment_lists(scenario.topology, scenario.profile, plan, kind)}


def _tables(what: Scenario | str, plan_file: str) -> list[GateTable]:
    from qnet.formats.bridges import tables_of_plan, tables_of_problem

    if isinstance(what, str):
        return tables_of_problem(*_judged(what, plan_file))
    plan = _proven(what, plan_file)
    if not plan.gates:
        message = "has no gates; they come from a class with 'mechanism: qbv', or from 'gates'"
        raise InputError([Problem(plan_file, 0, 0, "", message)])
    return tables_of_plan(what.topology, what.profile, plan)


def _proven(scenario: Scenario, plan_file: str) -> Plan:
    """Read a plan; raises InputError with every rule that it breaks."""
    from qnet.check.plan import prove
    from qnet.files.read import read_plan

    plan = read_plan(plan_file)
    findings = prove(scenario.topology, scenario.profile, plan).findings
    if findings:
        raise InputError(Problem(plan_file, 0, 0, one.subject, one.message) for one in findings)
    return plan


def _judged(problem_file: str, plan_file: str) -> tuple[GateProblem, GatePlan]:
    """Read a problem and its plan; raises InputError with every rule that the plan breaks."""
    from qnet.check.gates import check_gates
    from qnet.files.read import read_gate_plan, read_gate_problem

    problem, plan = read_gate_problem(problem_file), read_gate_plan(plan_file)
    findings = check_gates(problem, plan).findings
    if findings:
        raise InputError(Problem(plan_file, 0, 0, one.subject, one.message) for one in findings)
    return problem, plan
