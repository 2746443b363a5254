"""What every question is about: a network, what it must carry, and for how long it is watched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Any

from qnet.errors import ArgumentError, Problem
from qnet.model.expand import with_drawn
from qnet.model.scale import mean_rate_bps, read_scale, scaled
from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.model.traffic import DURATION_PS_HIGHEST, Profile, recordings_of
from qnet.units import TIME, WHOLE_HIGHEST, UnitError, describe, format_quantity, parse, show_rate

NO_SETTINGS: Mapping[str, str] = MappingProxyType({})

FORMAT = "qnet-scenario-1"
"""Goes into every hash of meaning; it changes when what is hashed does."""

_PROSE = {"title", "description", "assumptions"}


@dataclass(frozen=True)
class Origin:
    """The file that a noun was read from, with the settings that replaced parameters of it."""

    file: str
    content: bytes
    settings: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def file_sha256(self) -> str:
        """Hash of the bytes, followed by the settings if any; a NUL keeps the two apart."""
        return hash_of(self.content, self.settings)


def hash_of(content: bytes, settings: Mapping[str, str] = NO_SETTINGS) -> str:
    """Return the hash that a plan has of a file, traffic with its settings."""
    if settings:
        content += b"\0" + json.dumps(sorted(settings.items())).encode()
    return hashlib.sha256(content).hexdigest()


def with_captured(file_sha256: str, captured_sha256: str | None) -> str:
    """Return the hash that a plan has of a traffic file with captures."""
    if captured_sha256 is None:
        return file_sha256
    return hashlib.sha256(f"{file_sha256} {captured_sha256}".encode()).hexdigest()


@dataclass(frozen=True, repr=False)
class Scenario:
    """A network and what it must carry; `qnet.load` makes one whose parts fit together.

    The origins are those of the files that the nouns were read from as they are; what was made or
    changed in Python has none.
    """

    topology: Topology
    profile: Profile
    checked_by: Callable[[Scenario], None] = field(compare=False)
    """Raises InputError with all that does not fit together: whoever reads files knows how."""
    topology_origin: Origin | None = None
    profile_origin: Origin | None = None
    events_origin: Origin | None = None
    """Of the file of events whose events follow those of the traffic file, if there is one."""

    def __post_init__(self) -> None:
        """Draw the events of random processes for this network, seed and duration."""
        object.__setattr__(self, "profile", with_drawn(self.topology, self.profile))

    def with_(
        self,
        *,
        seed: int | None = None,
        duration: str | None = None,
        scale: float | str | Fraction | Decimal | None = None,
        topology: Topology | None = None,
        profile: Profile | None = None,
        events: Sequence[Event] | None = None,
    ) -> Scenario:
        """Return the scenario with another seed, duration, load, network, traffic or timeline.

        `duration` is text with a unit, such as '5ms'. `scale` is what the offered load is
        multiplied by, 1.2 or '6/5': rates of demands and numbers of streams, see
        `qnet.model.scale`. `events` take the place of all that there are, and of random processes.
        The copy is checked as files are, and keeps nothing that was worked out for the original.
        Raises ArgumentError where an argument is wrong, InputError with all that does not fit
        together.
        """
        problems: list[Problem] = []
        changes: dict[str, int] = {}
        if seed is not None:
            if type(seed) is not int or not 0 <= seed <= WHOLE_HIGHEST:
                words = f"{describe(seed)} is no seed; a whole number from 0 to {WHOLE_HIGHEST:,}"
                problems.append(Problem("seed", 0, 0, "", words))
            changes["seed"] = seed
        if duration is not None:
            try:
                changes["duration_ps"] = read_duration(duration)
            except UnitError as error:
                problems.append(Problem("duration", 0, 0, "", str(error)))
        try:
            factor = None if scale is None else read_scale(scale)
        except UnitError as error:
            problems.append(Problem("scale", 0, 0, "", str(error)))
        given: Sequence[object] = events or ()
        for number, one in enumerate(given):
            if not isinstance(one, Event):
                words = f"{describe(one)} is no event; qnet.cut and qnet.event make them"
                problems.append(Problem(f"events[{number}]", 0, 0, "", words))
        if problems:
            raise ArgumentError(problems)
        traffic = self.profile if profile is None else profile
        if factor is not None:
            traffic = scaled(traffic, factor)
        same_traffic = traffic == self.profile
        if changes:
            traffic = traffic.replace(simulation=traffic.simulation.replace(**changes))
        if events is not None:
            traffic = traffic.replace(events=tuple(events), processes=())
        made = Scenario(
            self.topology if topology is None else topology,
            traffic,
            self.checked_by,
            self.topology_origin if topology in (None, self.topology) else None,
            self.profile_origin if same_traffic else None,
            self.events_origin if events is None and same_traffic else None,
        )
        if not (same_traffic and made.topology is self.topology and events is None):
            made.check()
        return made

    def check(self) -> None:
        """Raise InputError with all that does not fit together, as reading files does."""
        self.checked_by(self)

    @cached_property
    def identity(self) -> str:
        """Hash of what the scenario means: SHA-256 of the nouns as JSON, defaults filled in.

        Scenarios of one identity have the same plan, proof and observation under one version of
        qnet, however their files were written: order of keys, comments, units, parameters. Titles,
        descriptions and assumptions are for readers and are not in it; the order of lists is.
        """
        return _hash(
            {
                "format": FORMAT,
                "topology": _meaning_of_topology(self.topology),
                "traffic": _meaning_of_profile(self.profile),
                "simulation": self.profile.simulation.model_dump(mode="json"),
            }
        )

    @property
    def topology_sha256(self) -> str:
        """Hash of the topology's file; without one, of what the topology means."""
        if self.topology_origin is not None:
            return self.topology_origin.file_sha256
        return _hash({"format": FORMAT, "topology": _meaning_of_topology(self.topology)})

    @property
    def traffic_sha256(self) -> str:
        """Hash of the traffic file with its settings; without one, of what the profile asks for.

        Duration, seed and events given beside the file are not in either: a plan is for any.
        """
        if self.profile_origin is not None:
            return with_captured(self.profile_origin.file_sha256, self.captured_sha256)
        asked = {**_meaning_of_profile(self.profile)}
        for happening in ("events", "epoch", "processes"):
            asked.pop(happening, None)
        return _hash({"format": FORMAT, "traffic": asked})

    @property
    def captured_sha256(self) -> str | None:
        """Hash of the frames of all captures; None without any."""
        hashes = [one.recording.fingerprint for one in recordings_of(self.profile)]
        return _hash({"captured": hashes}) if hashes else None

    @property
    def offered_bps(self) -> int:
        """Mean rate on the wire that all streams and demands offer, each counted once."""
        streams = sum(mean_rate_bps(one) * one.count for one in self.profile.streams)
        return round(streams) + sum(one.rate_bps for one in self.profile.demands)

    def __hash__(self) -> int:
        """Hash what it means; equal scenarios mean the same."""
        return hash(self.identity)

    def __repr__(self) -> str:
        """Say in a line what it is."""
        profile, simulation = self.profile, self.profile.simulation
        return (
            f"<Scenario: {profile.title} on {self.topology.title}; "
            f"{sum(one.count for one in profile.streams):,} streams, {len(profile.demands):,} "
            f"demands, {show_rate(self.offered_bps)} offered, "
            f"{format_quantity(TIME, simulation.duration_ps)}, seed {simulation.seed}, "
            f"identity {self.identity[:12]}>"
        )


def read_duration(text: str) -> int:
    """Return a duration in picoseconds; raises UnitError for what is none."""
    duration_ps = parse(TIME, text)
    if duration_ps == 0:
        raise UnitError("0 is no time; write it like '5ms'")
    if duration_ps > DURATION_PS_HIGHEST:
        most = format_quantity(TIME, DURATION_PS_HIGHEST)
        raise UnitError(f"{text} is out of range; at most {most}")
    return duration_ps


def _meaning_of_topology(topology: Topology) -> dict[str, Any]:
    data = topology.model_dump(mode="json", exclude=_PROSE)
    for link in data["links"]:
        link["reservable_bps"] = link["reservable_bps"] or link["rate_bps"]
    return data


def _meaning_of_profile(profile: Profile) -> dict[str, Any]:
    """Return what is asked for; the topology is a noun of its own, parameters are filled in.

    Of captures the demands that they were made of have all.
    """
    left_out = _PROSE | {"topology", "parameters", "simulation", "captures"}
    data = profile.model_dump(mode="json", exclude=left_out)
    for one in (*data["streams"], *data["demands"]):
        one["group"] = one["group"] or one["name"]
    for event in data.get("events", ()):
        for prose in ("name", "note", "source"):
            del event[prose]
        event.pop("process", None)
    for process in data.get("processes", ()):
        for prose in ("note", "source"):
            del process[prose]
    return data


def _hash(data: Mapping[str, object]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
