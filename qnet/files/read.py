"""Files to nouns, or all faults of all files at once."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import yaml
from pydantic import ValidationError

from qnet.errors import ArgumentError, InputError, Problem
from qnet.files.consistency import (
    Draft,
    File,
    check_profile,
    check_scenario,
    check_topology,
    refuse_twins,
)
from qnet.files.failure_data import compose_failures
from qnet.files.faults import file_keys, translate
from qnet.files.fill import fill_defaults, fill_parameters
from qnet.files.instants import fill_instants
from qnet.files.scenes import Scene, fill_scenes, names_in, read_scene, scenes_of
from qnet.files.tree import Source, compose, guess, printable
from qnet.files.words import dump_yaml, file_data
from qnet.layers import FileKind, extended, keys, models
from qnet.model.gates import GatePlan, GateProblem
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.record import Record
from qnet.model.scenario import NO_SETTINGS, Origin, Scenario
from qnet.model.sweep import Sweep
from qnet.model.timeline import Timeline
from qnet.model.topology import Link, Node, Topology
from qnet.model.traffic import Demand, Profile, Stream, recordings_of
from qnet.units import INSTANT, RATE, TIME, WHOLE_HIGHEST, describe

Kind = FileKind
Written = TypeVar("Written", Plan, GateProblem, GatePlan, Observation, Record, Sweep)

FILE_BYTES_HIGHEST = 32 * 2**20
OTHERS_BYTES_HIGHEST = 64 * 2**20
PLAN_BYTES_HIGHEST = 512 * 2**20
INTEGER_DIGITS_HIGHEST = len(str(WHOLE_HIGHEST))

FOLDERS: Mapping[Kind, str] = MappingProxyType({"topology": "topologies", "traffic": "traffic"})

TIMELINES = "timelines"
"""Beside the traffic files: what happened, with its sources."""

SCENES = "scenes"
"""Beside the traffic files: templates of streams and demands, with their sources."""

DEFAULTS: Mapping[Kind, Mapping[str, type[Node | Link | Stream | Demand]]] = MappingProxyType(
    {
        "topology": {"node": Node, "link": Link},
        "traffic": {"stream": Stream, "demand": Demand},
    }
)
"""Parts of the block `defaults:` in either kind of file; each fills the list named after it."""

_NEITHER = "neither a topology, which has 'nodes', nor a traffic file, which has 'topology'"
_NO_TRAFFIC = "a topology, where a traffic file is due; a topology is given with '--topology'"
_NO_MAPPING = "not a mapping; a file begins like 'title: my network'"


Given = str | Path | Mapping[str, object]
"""A bundled name, the path of a YAML file, or what such a file would say."""


def load(
    traffic: Given | Profile,
    *,
    topology: Given | Topology | None = None,
    settings: Mapping[str, str] = NO_SETTINGS,
    events: Given | Timeline | None = None,
    folder: str | Path | None = None,
) -> Scenario:
    """Read a traffic file and the topology that it names, or another one.

    `traffic` and `topology` are bundled names ('qingyang') or paths of YAML files; or what such
    files would say, as mappings; or nouns. `settings` replace parameters of the traffic file.
    `events` is a file of events, or the name of a bundled timeline, which follow those of the
    traffic file; the name of a timeline in place of `traffic` is the traffic that it goes with and
    its events. Captures are named from the traffic file's folder on, or from `folder`; of what is
    no file, from the current one. Raises InputError with all faults of all of them.
    """
    if events is None and isinstance(traffic, str) and traffic in bundled_timelines():
        events, traffic = traffic, read_timeline(traffic).traffic or traffic
    if isinstance(traffic, Profile):
        made = _of_profile(traffic, topology, settings, Path(folder or "."))
        if events is None:
            return made
        return _with_events(made, *_open_timeline(events, traffic.epoch, made.topology))
    path, source, raw = _open_traffic(traffic)
    if _is_topology(source):
        source.fault((), _NO_TRAFFIC)
        other = _network_of(traffic)
        problems, unlisted = [*source.problems, *other.problems], source.unlisted + other.unlisted
        raise InputError(problems, unlisted)
    at = folder if folder is not None else path.parent if path is not None else "."
    profile = _with_captured(_draft_profile(source, settings), Path(at))
    network = _network_for(profile, path, topology)
    happening, timeline = None, None
    if events is not None:
        known = network.draft.whole if network.draft is not None else None
        happening, timeline = _open_timeline(events, profile.data.get("epoch"), known)
    check_profile(profile, network.draft, happening)
    problems = [*source.problems, *network.problems]
    unlisted = source.unlisted + network.unlisted
    if network.draft is not None:
        problems += network.draft.source.problems
    if happening is not None:
        problems += happening.source.problems
        unlisted += happening.source.unlisted
    if problems:
        raise InputError(problems, unlisted)
    assert profile.whole is not None
    assert network.draft is not None
    assert network.draft.whole is not None
    origin = None if raw is None else Origin(source.display, raw, settings)
    whole = profile.whole
    if happening is not None and happening.whole is not None:
        whole = _joined(whole, happening.whole)
    made = Scenario(network.draft.whole, whole, check_scenario, network.origin, origin, timeline)
    if whole.processes:  # what is drawn is to fit, too
        made.check()
    return made


def _open_timeline(
    given: Given | Timeline, epoch: object = None, topology: Topology | None = None
) -> tuple[Draft[Timeline], Origin | None]:
    """Read a file of events, or a table of failures; what they are of is looked at later.

    `epoch` is that of the traffic file, for a file that has none of its own.
    """
    if isinstance(given, Timeline):
        return Draft(Source("events"), file_data(given), given), None
    if isinstance(given, str) and not _is_path(given) and not given.endswith(".csv"):
        given = _timeline_path(given)
    if isinstance(given, Mapping):
        source, raw = _tree_of("events", given), None
    elif Path(given).suffix.lower() == ".csv":
        source = Source(_display(Path(given)))
        raw = _read_bytes(source, Path(given), FILE_BYTES_HIGHEST)
        if raw is not None:
            compose_failures(source, raw, epoch, topology)
    else:
        source, raw = _open_yaml(Path(given))
    fill_instants(source, epoch)
    origin = None if raw is None else Origin(source.display, raw)
    if source.root is None:
        raise InputError(source.problems, source.unlisted)
    return _draft(source, Timeline), origin


def read_timeline(path: str) -> Timeline:
    """Read a file of events, whatever network they are of. Raises InputError with its faults."""
    draft, _ = _open_timeline(path)
    if draft.whole is None or draft.source.problems:
        raise InputError(draft.source.problems, draft.source.unlisted)
    return draft.whole


def _with_events(scenario: Scenario, happening: Draft[Timeline], origin: Origin | None) -> Scenario:
    """Add the events of a file to a profile that was read before."""
    check_profile(
        Draft(Source("traffic"), file_data(scenario.profile), scenario.profile),
        Draft(Source("topology"), file_data(scenario.topology), scenario.topology),
        happening,
    )
    if happening.source.problems or happening.whole is None:
        raise InputError(happening.source.problems, happening.source.unlisted)
    profile = _joined(scenario.profile, happening.whole)
    made = replace(scenario, profile=profile, profile_origin=None, events_origin=origin)
    if profile.processes:
        made.check()
    return made


def _joined(profile: Profile, happening: Timeline) -> Profile:
    """Add what happens by a file of events to what happens by a traffic file."""
    return profile.replace(
        epoch=profile.epoch or happening.epoch,
        events=(*profile.events, *happening.events),
        processes=(*profile.processes, *happening.processes),
    )


def _with_captured(draft: Draft[Profile], folder: Path) -> Draft[Profile]:
    """Add the conversations of its captures to a traffic file, and report their faults."""
    whole = draft.whole
    if whole is None or not whole.captures or recordings_of(whole):
        return draft
    from qnet.files.captures.recordings import take_all  # noqa: PLC0415

    taken, faults = take_all(whole.captures, folder)
    for error in faults:
        draft.source.problems.extend(error.problems)
    known = set(whole.assumptions)
    notes = tuple(note for note in taken.notes if note not in known)
    whole = whole.replace(
        demands=(*whole.demands, *taken.demands), assumptions=(*whole.assumptions, *notes)
    )
    return replace(draft, whole=whole)


def _of_profile(
    profile: Profile,
    topology: Given | Topology | None,
    settings: Mapping[str, str],
    folder: Path,
) -> Scenario:
    """Put a profile and a topology together, as `load` does."""
    if settings:
        what = "a profile has no parameters any more; settings go with a file or a mapping"
        raise ArgumentError([Problem("settings", 0, 0, "", what)])
    network = _network_of(profile.topology if topology is None else topology)
    if network.problems or network.draft is None or network.draft.whole is None:
        raise InputError(network.problems, network.unlisted)
    draft = _with_captured(Draft(Source("traffic"), {}, profile), folder)
    if draft.source.problems or draft.whole is None:
        raise InputError(draft.source.problems)
    made = Scenario(network.draft.whole, draft.whole, check_scenario, network.origin)
    made.check()
    return made


def _open_traffic(given: Given) -> tuple[Path | None, Source, bytes | None]:
    """Read what a traffic file says; without a file there are neither path nor bytes."""
    if isinstance(given, Mapping):
        return None, _tree_of("traffic", given), None
    path = _find("traffic", str(given))
    source, raw = _open_yaml(path)
    return path, source, raw


def _tree_of(display: str, data: Mapping[str, object]) -> Source:
    """Read a mapping as a file that says the same; nothing in it has a line."""
    source = Source(display)
    try:
        text = dump_yaml(data)
    except yaml.YAMLError as error:
        source.report(0, 0, "", f"not what a file can hold: {error}".partition("\n")[0])
        raise InputError(source.problems) from None
    compose(source, text.encode())
    if source.root is not None:
        source.root.forget_places()
    return source


def _network_for(
    profile: Draft[Profile], traffic: Path | None, given: Given | Topology | None
) -> _Network:
    """Read the topology that is given, or that the profile names."""
    if given is None:
        path = _named_topology(profile, traffic)
        return _EMPTY if path is None else _open_topology(path)
    try:
        return _network_of(given)
    except InputError as error:
        profile.source.problems.extend(error.problems)
        return _EMPTY


def _network_of(given: Given | Topology) -> _Network:
    """Read a topology; raises InputError when there is none of that name."""
    if isinstance(given, Topology):
        draft = Draft(Source("topology"), file_data(given), given)
        check_topology(draft)
        return _Network(draft, tuple(draft.source.problems), None)
    if isinstance(given, Mapping):
        return _draft_topology(_tree_of("topology", given), None)
    return _open_topology(_find("topology", str(given)))


def read_topology(name: str) -> Topology:
    """Read a topology, bundled or from a file. Raises InputError with all its faults."""
    network = _network_of(name)
    if network.problems:
        raise InputError(network.problems, network.unlisted)
    assert network.draft is not None
    assert network.draft.whole is not None
    return network.draft.whole


def kind_of(name: str) -> Kind:
    """Say whether a path or a bundled name is a topology or a traffic file.

    A topology has the key 'nodes', a traffic file has 'topology'. Raises InputError when the file
    cannot be read or is neither.
    """
    if not _is_path(name):
        kind: Kind = "topology" if name in bundled_names("topology") else "traffic"
        _find(kind, name)
        return kind
    source, _ = _open_yaml(Path(name))
    content = source.root.content if source.root is not None else None
    keys = set(content) if isinstance(content, dict) else set()
    if keys & {"nodes", "links"}:
        return "topology"
    if keys & {"topology", "streams", "demands"}:
        return "traffic"
    if not source.problems:
        source.fault((), _NEITHER if isinstance(content, dict) else _NO_MAPPING)
    raise InputError(source.problems, source.unlisted)


def _is_topology(source: Source) -> bool:
    """Tell a topology given as traffic; its own faults are then of more use than missing keys."""
    content = source.root.content if source.root is not None else None
    keys = set(content) if isinstance(content, dict) else set()
    return "nodes" in keys and not keys & {"topology", "streams", "demands"}


def bundled_names(kind: Kind) -> list[str]:
    """Return the names of the topologies or traffic files that come with qnet, sorted."""
    return sorted(path.stem for path in _bundled_folder(kind).glob("*.yaml"))


def bundled_timelines() -> list[str]:
    """Return the names of the timelines that come with qnet, sorted."""
    return sorted(path.stem for path in (_bundled_folder("traffic") / TIMELINES).glob("*.yaml"))


def bundled_scenes() -> list[Scene]:
    """Return the scenes that come with qnet, by name."""
    folder = _scenes_folder()
    return [read_scene(folder / f"{name}.yaml") for name in names_in(folder)]


def scenes_in(traffic: Given) -> list[Scene]:
    """Return the scenes that a traffic file takes, each once. Raises InputError without a file."""
    _, source, _ = _open_traffic(traffic)
    return scenes_of(source, _scenes_folder())


def _scenes_folder() -> Path:
    return _bundled_folder("traffic") / SCENES


def title_of(traffic: str, events: str | None) -> str | None:
    """Return the title of the timeline that a command names, by itself or beside its traffic.

    What is wrong with the file is for `load` to say, which knows the traffic that it goes with.
    """
    name = traffic if events is None and traffic in bundled_timelines() else events
    if name is None or name.lower().endswith(".csv"):
        return None
    source, _ = _open_yaml(Path(name) if _is_path(name) else _timeline_path(name))
    title = None if source.root is None else source.root.child("title")
    return title.content if title is not None and isinstance(title.content, str) else None


def _timeline_path(name: str) -> Path:
    names = bundled_timelines()
    if name not in names:
        hint = guess(name, names) or f"; bundled are {', '.join(names)}"
        words = f"no timeline of that name{hint}; a path ends in '.yaml' or '.csv'"
        raise InputError([Problem(printable(name) or "''", 0, 0, "", printable(words))])
    return _bundled_folder("traffic") / TIMELINES / f"{name}.yaml"


def read_plan(path: str) -> Plan:
    """Read a plan. Raises InputError with all its faults; JSON has lines for syntax only."""
    return _read_json(path, Plan)


def read_gate_problem(path: str) -> GateProblem:
    """Read an 802.1Qbv problem, as `read_plan` reads a plan; a name in it stands for one thing."""
    problem = _read_json(path, GateProblem)
    source = Source(_display(Path(path)))
    refuse_twins(source, "ports", dict(enumerate(one.name for one in problem.ports)))
    refuse_twins(source, "streams", dict(enumerate(one.name for one in problem.streams)))
    if source.problems:
        raise InputError(source.problems, source.unlisted)
    return problem


def read_gate_plan(path: str) -> GatePlan:
    """Read a plan for an 802.1Qbv problem, as `read_plan` reads a plan."""
    return _read_json(path, GatePlan)


def read_sweep(path: str) -> Sweep:
    """Read a sweep, or a shard of one, as `read_plan` reads a plan."""
    return _read_json(path, Sweep)


def read_observation(path: str) -> Observation:
    """Read what a run saw, as `read_plan` reads a plan."""
    return _read_json(path, Observation)


def read_record(path: str) -> Record:
    """Read what a run was made from, as `read_plan` reads a plan."""
    return _read_json(path, Record)


def read_text(path: str) -> str:
    """Read a text file of another program. Raises InputError when that cannot be done."""
    source = Source(_display(Path(path)))
    raw = _read_bytes(source, Path(path), FILE_BYTES_HIGHEST)
    if raw is not None:
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            source.report(0, 0, "", "not a text file in UTF-8")
    raise InputError(source.problems, source.unlisted)


def open_file(path: Path) -> tuple[Source, bytes | None]:
    """Read the bytes of a file of another program; without them its source has the fault."""
    source = Source(_display(path))
    return source, _read_bytes(source, path, OTHERS_BYTES_HIGHEST)


def _read_json(path: str, model: type[Written]) -> Written:
    source = Source(_display(Path(path)))
    raw = _read_bytes(source, Path(path), PLAN_BYTES_HIGHEST)
    text = _check_json(source, raw) if raw is not None else None
    if text is not None and not source.problems:
        try:
            return model.model_validate_json(text, strict=True)
        except ValidationError as error:
            translate(source, model, error)
    raise InputError(source.problems, source.unlisted)


def twice(items: Iterable[tuple[str, object]]) -> str:
    """Return the first key that comes again."""
    seen: set[str] = set()
    for key, _ in items:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("one does")


def _check_json(source: Source, raw: bytes) -> str | None:
    """Refuse what JSON readers differ about, before the validator reads the same text."""

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(items)
        if len(made) < len(items):
            source.report(0, 0, "", f"key '{twice(items)[:40]}' twice in one object")
        for key, value in items:
            highest = _highest(key)
            if highest is not None and _beyond(value, highest):
                most = f"at most {highest:,}, as in any file"
                source.report(0, 0, key[:40], f"{describe(value)} is out of range; {most}")
        return made

    def number(text: str) -> int:
        if len(text.lstrip("-")) > INTEGER_DIGITS_HIGHEST:
            source.report(0, 0, "", f"{text[:40]} is too large a number")
            return 0
        return int(text)

    def refuse(text: str) -> int:
        source.report(0, 0, "", f"{text[:40]} is not a whole number; a plan has no others")
        return 0

    try:
        text = raw.decode("utf-8")
        json.loads(
            text,
            object_pairs_hook=pairs,
            parse_int=number,
            parse_float=refuse,
            parse_constant=refuse,
        )
    except UnicodeDecodeError:
        source.report(0, 0, "", "not a text file in UTF-8")
    except json.JSONDecodeError as error:
        source.report(error.lineno, error.colno, "", f"not JSON: {error.msg}")
    except RecursionError:
        source.report(0, 0, "", "nested too deeply")
    else:
        return text
    return None


def _highest(key: str) -> int | None:
    """Return how large a value can be in files of any kind, by what ends its key."""
    if key == "at_ps":
        return INSTANT.highest
    if key.endswith("_ps"):
        return TIME.highest
    return RATE.highest if key.endswith("_bps") else None


def _beyond(value: object, highest: int) -> bool:
    """Say whether a number, or one of a list, is too large or too small for its kind."""
    if isinstance(value, list):
        return any(_beyond(one, highest) for one in value)
    return isinstance(value, int) and abs(value) > highest


@dataclass(frozen=True)
class _Network:
    """A topology as far as it could be read; without a readable file there is no draft."""

    draft: Draft[Topology] | None
    problems: tuple[Problem, ...]
    origin: Origin | None
    unlisted: int = 0


_EMPTY = _Network(None, (), None)


def _open_topology(path: Path) -> _Network:
    try:
        source, raw = _open_yaml(path)
    except InputError as error:
        return _Network(None, tuple(error.problems), None, error.unlisted)
    return _draft_topology(source, Origin(source.display, raw))


def _draft_topology(source: Source, origin: Origin | None) -> _Network:
    _fill(source, "topology")
    draft = _draft(source, Topology, "topology")
    check_topology(draft)
    known = draft if source.root is not None else None
    return _Network(known, tuple(source.problems), origin, source.unlisted)


def _draft_profile(source: Source, settings: Mapping[str, str]) -> Draft[Profile]:
    fill_parameters(source, settings)
    _fill(source, "traffic")
    fill_scenes(source, _scenes_folder())
    fill_instants(source)
    return _draft(source, Profile, "traffic")


def _fill(source: Source, kind: Kind) -> None:
    keys = {
        part: [key for key in file_keys(model) if key not in {"name", "between"}]
        for part, model in DEFAULTS[kind].items()
    }
    fill_defaults(source, {part: f"{part}s" for part in keys}, keys)


def _draft(source: Source, base: type[File], kind: Kind | None = None) -> Draft[File]:
    """Judge the values of a file; one of a `kind` may have keys of layers."""
    if source.root is None:
        return Draft(source, {}, None)
    data = source.root.value()
    if not isinstance(data, dict):
        source.fault((), _NO_MAPPING)
        return Draft(source, {}, None)
    model = base if kind is None else extended(base, models(kind, data))
    try:
        whole = model.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        translate(source, model, error, lambda: [] if kind is None else keys(kind))
        return Draft(source, data, None)
    return Draft(source, data, whole)


def _named_topology(profile: Draft[Profile], traffic: Path | None) -> Path | None:
    """Return the topology's path; None when the traffic file's word for it is no help."""
    name = profile.data.get("topology")
    place = profile.source
    if not isinstance(name, str) or any(one.where == "topology" for one in place.problems):
        return None
    beside = [] if traffic is None else [traffic.parent.parent / "topologies", traffic.parent]
    for folder in [*beside, _bundled_folder("topology")]:
        path = folder / f"{name}.yaml"
        if path.is_file() and not _looks_like_traffic(path):
            return path
    where = "beside this file" if beside else "among the bundled ones; give 'topology'"
    place.fault(("topology",), f"no topology '{name}' {where}{_bundled_hint(name)}")
    return None


def _looks_like_traffic(path: Path) -> bool:
    """Tell a traffic file that has the topology's name, as the bundled ones have."""
    raw = _read_bytes(Source(""), path, FILE_BYTES_HIGHEST)
    return raw is not None and re.search(rb"^topology[ \t]*:", raw, re.MULTILINE) is not None


def _bundled_hint(name: str, kind: Kind = "topology") -> str:
    names = bundled_names(kind)
    listed = f"bundled are {', '.join(names)}" if names else "none is bundled"
    return f"{guess(name, names)} ({listed})" if guess(name, names) else f"; {listed}"


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name


def _find(kind: Kind, name: str) -> Path:
    if _is_path(name):
        return Path(name)
    if name not in bundled_names(kind):
        message = f"no {kind} file of that name{_bundled_hint(name, kind)}; a path ends in '.yaml'"
        raise InputError([Problem(printable(name) or "''", 0, 0, "", printable(message))])
    return _bundled_folder(kind) / f"{name}.yaml"


def _bundled_folder(kind: Kind) -> Path:
    """Find the folder in the installed package, or beside it in a source tree."""
    package = Path(str(files("qnet")))
    installed = package / "bundled" / FOLDERS[kind]
    return installed if installed.is_dir() else package.parent / FOLDERS[kind]


def _display(path: Path) -> str:
    """Name a file from where the user stands."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _open_yaml(path: Path) -> tuple[Source, bytes]:
    source = Source(_display(path))
    raw = _read_bytes(source, path, FILE_BYTES_HIGHEST)
    if raw is None:
        raise InputError(source.problems, source.unlisted)
    compose(source, raw)
    return source, raw


def read_bytes(path: Path | str, bytes_highest: int) -> bytes:
    """Read a file of bytes; raises InputError when it cannot be read or is too large."""
    source = Source(_display(Path(path)))
    raw = _read_bytes(source, Path(path), bytes_highest)
    if raw is None:
        raise InputError(source.problems, source.unlisted)
    return raw


def _read_bytes(source: Source, path: Path, bytes_highest: int) -> bytes | None:
    """Read a regular file up to a size, or report why not."""
    try:
        status = path.stat()
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            source.report(0, 0, "", "a folder, not a file")
            return None
        if not stat.S_ISREG(mode):
            source.report(0, 0, "", "not a regular file")
            return None
        if status.st_size > bytes_highest:
            source.report(0, 0, "", _too_large(bytes_highest))
            return None
        with path.open("rb") as file:
            raw = file.read(bytes_highest + 1)  # it may have grown
    except FileNotFoundError:
        source.report(0, 0, "", "no such file")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        source.report(0, 0, "", f"cannot be read: {reason.lower()}")
    else:
        if len(raw) <= bytes_highest:
            return raw
        source.report(0, 0, "", _too_large(bytes_highest))
    return None


def _too_large(bytes_highest: int) -> str:
    return f"too large; at most {bytes_highest // 2**20} MiB"
