"""What `--out DIR` keeps of a run, so that it can be asked about afterwards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from qnet import __version__
from qnet.errors import InputError, Problem
from qnet.files.read import (
    FILE_BYTES_HIGHEST,
    load,
    read_bytes,
    read_observation,
    read_plan,
    read_record,
    read_timeline,
)
from qnet.files.words import to_yaml
from qnet.files.write import to_json, write_bytes, write_text
from qnet.model.fields import Noun
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.record import Record
from qnet.model.scenario import NO_SETTINGS, Origin, Scenario, hash_of, with_captured
from qnet.model.timeline import Timeline

TOPOLOGY, TRAFFIC = "inputs/topology.yaml", "inputs/traffic.yaml"
EVENTS = "inputs/events.yaml"
"""All events of the run, wherever they were given."""

TABLES = ("traffic", "latency", "ports", "series", "drops")
"""Files of measurements."""

OWN = (
    "verdict.json",
    "plan.json",
    "junit.xml",
    "report.html",
    "emulation.json",
    "run.json",
    "observation.json",
    "channel.pcapng",
    "wires.pcapng",
    TOPOLOGY,
    TRAFFIC,
    EVENTS,
    *(f"measurements/{name}.parquet" for name in TABLES),
)
"""What a command can leave in a folder; what one leaves there takes the place of all of it."""


class Run(NamedTuple):
    """A run that was left in a folder."""

    scenario: Scenario
    plan: Plan
    observation: Observation
    notes: tuple[str, ...]
    """What has changed since; none of it changes what the folder holds."""


def write_run(folder: Path, place: Path, scenario: Scenario, observation: Observation) -> None:
    """Write run.json, observation.json and the files that the run was made from.

    `place` is where the folder will be found.
    """
    simulation = scenario.profile.simulation
    network, traffic = scenario.topology_origin, scenario.profile_origin
    happening = _events(scenario)
    record = Record(
        qnet_version=__version__,
        topology_file=None if network is None else _from(place, network.file),
        traffic_file=None if traffic is None else _from(place, traffic.file),
        topology_sha256=scenario.topology_sha256,
        traffic_sha256=scenario.traffic_sha256,
        settings=() if traffic is None else tuple(sorted(traffic.settings.items())),
        duration_ps=simulation.duration_ps,
        seed=simulation.seed,
        events_sha256=None if happening is None else hash_of(happening),
        captured_sha256=scenario.captured_sha256,
    )
    (folder / TOPOLOGY).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / TOPOLOGY, [_content(network, scenario.topology)])
    write_bytes(folder / TRAFFIC, [_content(traffic, scenario.profile)])
    if happening is not None:
        write_bytes(folder / EVENTS, [happening])
    write_text(folder / "run.json", to_json(record))
    write_text(folder / "observation.json", to_json(observation))


def _events(scenario: Scenario) -> bytes | None:
    """Return all events of a scenario as a file, or nothing where there are none to tell of.

    An empty one says that a run goes without those that its traffic file may have.
    """
    profile, origin = scenario.profile, scenario.profile_origin
    content = b"" if origin is None else origin.content
    is_given = b"events" in content or b"processes" in content
    if not (profile.events or profile.processes or is_given):
        return None
    timeline = Timeline(
        title="events of this run",
        epoch=profile.epoch,
        events=profile.events,
        processes=profile.processes,
    )
    return to_yaml(timeline).encode()


def _content(origin: Origin | None, noun: Noun) -> bytes:
    """Return the file that a noun was read from, or one that says the same."""
    return to_yaml(noun).encode() if origin is None else origin.content


def _from(place: Path, name: str) -> str:
    """Name a file from a folder on, so that it is found wherever both are looked at from."""
    way = os.path.relpath(Path(name).resolve(), place.resolve())
    return way.encode("utf-8", "backslashreplace").decode()


def read_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises InputError when it holds none, or when its files are no longer those of the run.
    """
    if not (folder / "run.json").is_file():
        what = "no run here; 'qnet run ... --out DIR' leaves one, as 'qnet simulate' does"
        raise InputError([Problem(str(folder), 0, 0, "", what)])
    record = read_record(str(folder / "run.json"))
    settings, captured = dict(record.settings), record.captured_sha256
    problems = [
        Problem(str(folder / name), 0, 0, "", "changed since the run; it cannot be played again")
        for name, file, was, used, beside in (
            (TOPOLOGY, record.topology_file, record.topology_sha256, NO_SETTINGS, None),
            (TRAFFIC, record.traffic_file, record.traffic_sha256, settings, captured),
        )
        if file and _hash_of(folder / name, used, beside) != was
    ]
    was = record.events_sha256
    if was is not None and hash_of(read_bytes(folder / EVENTS, FILE_BYTES_HIGHEST)) != was:
        what = "changed since the run; it cannot be played again"
        problems.append(Problem(str(folder / EVENTS), 0, 0, "", what))
    plan = read_plan(str(folder / "plan.json"))
    hashes = plan.topology_sha256, plan.traffic_sha256
    if not problems and hashes != (record.topology_sha256, record.traffic_sha256):
        problems = [Problem(str(folder / "plan.json"), 0, 0, "", "a plan for other files")]
    if problems:
        raise InputError(problems)
    scenario = load(
        str(folder / TRAFFIC),
        topology=str(folder / TOPOLOGY),
        settings=settings,
        folder=_captures_folder(folder, record),
    )
    changes = {"duration_ps": record.duration_ps, "seed": record.seed}
    simulation = scenario.profile.simulation.replace(**changes)
    profile = scenario.profile.replace(simulation=simulation)
    if record.events_sha256 is not None:
        played = read_timeline(str(folder / EVENTS))
        profile = profile.replace(
            epoch=played.epoch, events=played.events, processes=played.processes
        )
    scenario = replace(
        scenario,
        profile=profile,
        topology_origin=scenario.topology_origin if record.topology_file else None,
        profile_origin=scenario.profile_origin if record.traffic_file else None,
    )
    if (scenario.topology_sha256, scenario.traffic_sha256) != hashes:
        what = "inputs changed since the run; it cannot be played again"
        raise InputError([Problem(str(folder), 0, 0, "", what)])
    observation = read_observation(str(folder / "observation.json"))
    notes = _notes(folder, record, settings)
    return Run(scenario, plan, observation, notes)


def _hash_of(path: Path, used: Mapping[str, str], captured_sha256: str | None) -> str:
    """Return the hash of a file, of a traffic file with its settings and captures."""
    return with_captured(hash_of(read_bytes(path, FILE_BYTES_HIGHEST), used), captured_sha256)


def _captures_folder(folder: Path, record: Record) -> Path:
    """Return where captures are: they stay where they were, and what made them was looked for."""
    return Path() if record.traffic_file is None else (folder / record.traffic_file).parent


def _notes(folder: Path, record: Record, settings: dict[str, str]) -> tuple[str, ...]:
    notes = []
    for name, was, used, beside in (
        (record.topology_file, record.topology_sha256, NO_SETTINGS, None),
        (record.traffic_file, record.traffic_sha256, settings, record.captured_sha256),
    ):
        if name is None:
            continue
        path = Path(os.path.normpath(folder.resolve() / name))
        if path.is_file() and _hash_of(path, used, beside) != was:
            shown = os.path.relpath(path)
            notes.append(f"{shown} has changed since this run; this is the run as it was")
    if record.qnet_version != __version__:
        notes.append(f"the run was made with qnet {record.qnet_version}, this is {__version__}")
    return tuple(notes)
