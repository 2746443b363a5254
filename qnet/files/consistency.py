"""Faults that no single value shows: names that do not meet, cycles that do not fit.

The checks work on drafts: what could be understood of a file, even when other parts of it are
wrong. So one run reports as many faults as possible, and never one that only follows from another.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Generic, TypeVar

from pydantic import ValidationError

from qnet.errors import InputError
from qnet.files.event_faults import (
    KnownTraffic,
    PlacedEvent,
    PlacedProcess,
    check_events,
    check_processes,
)
from qnet.files.tree import Source
from qnet.files.words import file_data
from qnet.layers import hooks
from qnet.model.fields import Noun
from qnet.model.loads import Loads, takes_demands
from qnet.model.processes import Process
from qnet.model.recording import Capture
from qnet.model.scenario import Scenario
from qnet.model.timeline import Event, Timeline
from qnet.model.topology import Link, Node, Sync, Tcqf, Topology, propagation_ps
from qnet.model.traffic import (
    BEST_EFFORT,
    DURATION_PS_HIGHEST,
    RESERVED,
    Demand,
    Egress,
    GateControl,
    IdleSlope,
    Profile,
    RecordedDemand,
    Simulation,
    Stream,
    TrafficClass,
)
from qnet.units import DURATION, PS_PER_NS, PS_PER_S, TIME, describe, format_quantity

STREAMS_HIGHEST = 1_000_000
HYPERCYCLE_HIGHEST = 1_000_000
GATE_CYCLE_PS_HIGHEST = 4 * PS_PER_S
"""Gate control lists hold intervals below 2**32 ns."""

_NUMBER = re.compile("[1-9][0-9]{0,6}")

File = TypeVar("File", Topology, Profile, Timeline)
Part = TypeVar("Part", bound=Noun)


@dataclass(frozen=True)
class Draft(Generic[File]):
    """What could be understood of one file; `whole` is None when any value is wrong."""

    source: Source
    data: Mapping[str, object]
    whole: File | None

    def elements(self, key: str, model: type[Part]) -> dict[int, Part]:
        """Return the elements of a list that are right, by their index in the file."""
        if self.whole is not None:
            return dict(enumerate(getattr(self.whole, key)))
        listed = self.data.get(key)
        tried = enumerate(listed if isinstance(listed, list) else [])
        return {index: part for index, value in tried if (part := _try(model, value)) is not None}

    def part(self, key: str, model: type[Part]) -> Part | None:
        """Return a mapping of the file, or what it is by default, or None when it is wrong."""
        return _try(model, self.data.get(key, {}))

    def names(self, key: str) -> dict[int, str]:
        """Return the names in a list by index, also those of elements that are wrong otherwise."""
        listed = self.data.get(key)
        tried = enumerate(listed if isinstance(listed, list) else [])
        pairs = ((index, value.get("name")) for index, value in tried if isinstance(value, dict))
        found = {index: name for index, name in pairs if isinstance(name, str)}
        if key == "demands" and isinstance(self.whole, Profile):
            every = enumerate(self.whole.demands)
            found |= {i: one.name for i, one in every if isinstance(one, RecordedDemand)}
        return found

    def is_whole(self, key: str, right: Mapping[int, Noun]) -> bool:
        """Say whether all elements of a list are right."""
        if self.whole is not None:
            return True
        listed = self.data.get(key)
        return isinstance(listed, list) and len(listed) == len(right)


def _try(model: type[Part], value: object) -> Part | None:
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError:
        return None


def refuse_twins(source: Source, key: str, names: Mapping[int, str], field: str = "name") -> None:
    """Report each name that an earlier element of the list has already."""
    first: dict[str, int] = {}
    for index, name in names.items():
        if name in first:
            place = _place(source, (key, first[name], field))
            message = f"{describe(name)} again; {place} has that {field} already"
            source.fault((key, index, field), message)
        first.setdefault(name, index)


def _place(source: Source, location: tuple[str, int, str]) -> str:
    """Name an element of a list, and its line where that is known."""
    line = source.line_of(location)
    return f"{location[0]}[{location[1]}]" + (f" (line {line})" if line else "")


def _refuse_shared(source: Source, streams: Mapping[int, str], demands: Mapping[int, str]) -> None:
    """Refuse a demand with the name of a stream: results and questions go by name alone."""
    first: dict[str, int] = {}
    for index, name in streams.items():
        first.setdefault(name, index)
    for index, name in demands.items():
        if name in first:
            place = _place(source, ("streams", first[name], "name"))
            message = (
                f"{describe(name)} again; {place} has that name already, and streams and demands "
                "are told apart by name"
            )
            source.fault(("demands", index, "name"), message)


def check_scenario(scenario: Scenario) -> None:
    """Check nouns as files are checked; raises InputError with all that does not fit together."""
    origins = scenario.topology_origin, scenario.profile_origin
    network, traffic = (
        Source(name if origin is None else origin.file)
        for name, origin in zip(("topology", "traffic"), origins, strict=True)
    )
    topology = Draft(network, file_data(scenario.topology), scenario.topology)
    check_topology(topology)
    check_profile(Draft(traffic, file_data(scenario.profile), scenario.profile), topology)
    problems = [*network.problems, *traffic.problems]
    if problems:
        raise InputError(problems, network.unlisted + traffic.unlisted)


def check_topology(draft: Draft[Topology]) -> None:
    """Report what does not fit together inside one topology."""
    source = draft.source
    nodes, links = draft.elements("nodes", Node), draft.elements("links", Link)
    names = draft.names("nodes")
    refuse_twins(source, "nodes", names)
    known = set(names.values())
    by_name = {node.name: node for node in nodes.values()}
    for index, link in links.items():
        for end, name in enumerate(link.between):
            if name not in known:
                hint = source.guess(name, known)
                source.fault(("links", index, "between", end), f"no node {describe(name)}{hint}")
        _check_length(source, index, link, by_name)
    _check_link_names(source, links)
    _check_shared_names(source, links)
    master = draft.part("sync", Sync) if "sync" in draft.data else None
    if master is not None and master.grandmaster not in known:
        hint = source.guess(master.grandmaster, known)
        message = f"no node {describe(master.grandmaster)}{hint}"
        source.fault(("sync", "grandmaster"), message)
    _refuse_two_rates(source, links)
    if draft.whole is not None and not source.problems:
        _check_failures(source, draft.whole)


def _refuse_two_rates(source: Source, links: Mapping[int, Link]) -> None:
    """Refuse links of one cable that break at rates of their own: they are cut together."""
    first: dict[str, int] = {}
    for index, link in links.items():
        if link.cable is None:
            continue
        before = first.setdefault(link.cable, index)
        if links[before].failures != link.failures:
            place = _place(source, ("links", before, "between"))
            what = f"'{link.cable}' fails otherwise than {place} says, which is of it too"
            source.fault(("links", index), f"{what}; give both the same 'failures'")


def _check_failures(source: Source, topology: Topology) -> None:
    """See that nothing is broken all of the time."""
    at: dict[str, tuple[str | int, ...]] = {}
    for index, link in enumerate(topology.links):
        own = link.failures is not None
        at.setdefault(topology.cable(link), ("links", index, "failures") if own else ("failures",))
    for index, node in enumerate(topology.nodes):
        own = node.failures is not None
        at[f"node {node.name}"] = ("nodes", index, "failures") if own else ("failures",)
    nodes = {f"node {name}": one for name, one in topology.node_failures.items()}
    for name, one in {**topology.cable_failures, **nodes}.items():
        if one.broken_share >= 1:
            years = f"{format_quantity(DURATION, one.repair_s)} of repair"
            what = f"{float(one.per_year):,.0f} failures a year with {years} each"
            source.fault(at[name], f"{what}: '{name}' would never work")


def _check_length(source: Source, index: int, link: Link, by_name: Mapping[str, Node]) -> None:
    """See that a link has a length, and that neither way over it takes less than no time."""
    if link.length_mm is None and link.delay_ps is None:
        if not all(name in by_name for name in link.between):
            return
        lost = [name for name in link.between if by_name[name].position is None]
        if lost:
            message = (
                f"no length or delay, and node '{lost[0]}' has no position; give one of the three"
            )
            source.fault(("links", index), message)
            return
    there_ps, back_ps = propagation_ps(link, by_name)
    if link.asymmetry_ps and back_ps < 0:
        mean_ps = (there_ps + back_ps) // 2
        what = f"'asymmetry' is more than twice the link's {format_quantity(TIME, mean_ps)}"
        source.fault(("links", index, "asymmetry"), f"{what}; one way would take less than no time")


def _check_link_names(source: Source, links: Mapping[int, Link]) -> None:
    refuse_twins(source, "links", {i: link.name for i, link in links.items() if link.name})
    between: dict[frozenset[str], list[int]] = defaultdict(list)
    for index, link in links.items():
        between[frozenset(link.between)].append(index)
    for indices in between.values():
        unnamed = [index for index in indices if not links[index].name]
        ways = Counter(way for index in indices for way in links[index].directions)
        if max(ways.values()) == 1 or not unnamed:
            continue
        near, far = links[indices[0]].between
        for index in unnamed:
            source.fault(
                ("links", index),
                f"one of {len(indices)} parallel links between '{near}' and '{far}', without a "
                f"name; give each a 'name', or write 'members: {len(indices)}' for identical wires",
            )


def _check_shared_names(source: Source, links: Mapping[int, Link]) -> None:
    """Refuse names that two links, or a link and a cable of other links, would answer to.

    A link without a name is called after its ends, 'a--b'; what is cut is said by such a name or
    by that of a cable.
    """
    called: dict[str, int] = {}
    for index, link in links.items():
        name = link.name or "--".join(link.between)
        first = called.setdefault(name, index)
        other = links[first]
        # Parallel links without names have a fault of their own; links of other ends may share one.
        if set(other.between) != set(link.between) and not (link.name and other.name):
            place = _place(source, ("links", first, "between"))
            message = f"'{name}' is also what {place} is called; name one of them otherwise"
            source.fault(("links", index, "name" if link.name else "between"), message)
    for index, link in links.items():
        first = called.get(link.cable, index) if link.cable else index
        if links[first].cable != link.cable:
            place = _place(source, ("links", first, "between"))
            message = f"'{link.cable}' is what {place} is called, which is not of this cable"
            source.fault(("links", index, "cable"), f"{message}; rename one")


def check_profile(
    draft: Draft[Profile],
    topology: Draft[Topology] | None,
    timeline: Draft[Timeline] | None = None,
) -> None:
    """Report what does not fit together inside a traffic file, and with its topology if known.

    Events of a file of their own, the `timeline`, follow those of the traffic file.
    """
    source = draft.source
    for key in ("classes", "streams", "demands"):
        refuse_twins(source, key, draft.names(key))
    _refuse_shared(source, draft.names("streams"), draft.names("demands"))
    streams, demands = draft.elements("streams", Stream), draft.elements("demands", Demand)
    egress = draft.elements("egress", Egress)
    refuse_twins(source, "egress", {i: one.site for i, one in egress.items()}, "site")
    classes = _classes(draft)
    known = {one.name for one in classes.values()} | set(draft.names("classes").values())
    _check_classes(source, classes)
    captures = draft.elements("captures", Capture)
    if _misplaced(source, captures, classes, known, topology):
        demands = {i: one for i, one in demands.items() if not isinstance(one, RecordedDemand)}
    _check_class_use(source, streams, demands, classes, known)
    _check_counts(source, streams, draft.names("demands"))
    simulation = draft.part("simulation", Simulation)
    if simulation is not None and simulation.duration_ps > DURATION_PS_HIGHEST:
        shown = format_quantity(TIME, simulation.duration_ps)
        source.fault(("simulation", "duration"), f"{shown} is out of range; at most 1000s")
    if topology is not None:
        _check_ends(source, _ends(streams, demands), topology)
        _check_sites(source, egress, topology)
        tcqf = topology.part("tcqf", Tcqf)
        if tcqf is not None:
            cyclic = {one.name for one in classes.values() if one.takes_cycles}
            reserved = {i: one for i, one in streams.items() if one.traffic_class in cyclic}
            _check_intervals(source, reserved, tcqf.cycle_ps)
            users = [stream for stream in reserved.values() if stream.count]
            _check_clocks(topology, users, tcqf.cycle_ps)
    gates = draft.elements("gates", GateControl)
    _check_gate_classes(source, gates, classes, known)
    if topology is not None:
        _check_gate_places(source, gates, topology)
        end_ps = None if simulation is None else simulation.duration_ps
        carried = None
        if all(
            key not in draft.data or draft.is_whole(key, found)
            for key, found in (("streams", streams), ("demands", demands), ("classes", classes))
        ):
            loads = Loads([*streams.values()], [*demands.values()])
            carried = KnownTraffic(loads, {one.name: one for one in classes.values()})
        _check_events([draft] if timeline is None else [draft, timeline], topology, end_ps, carried)
    gated = {one.name for one in classes.values() if one.gated}
    _check_gate_cycle(
        source, {i: one for i, one in streams.items() if one.traffic_class in gated and one.count}
    )
    if draft.whole is not None and topology is not None and topology.whole is not None:
        hooks.check(topology.whole, draft.whole, {"topology": topology.source, "traffic": source})


def _check_events(
    drafts: Sequence[Draft[Profile] | Draft[Timeline]],
    topology: Draft[Topology],
    end_ps: int | None,
    carried: KnownTraffic | None,
) -> None:
    """See that events are of things that there are; not while some are not understood."""
    if topology.whole is None or topology.source.problems:
        return
    network = topology.source.display
    processes = [
        PlacedProcess(one, draft.source, ("processes", index))
        for draft in drafts
        for index, one in sorted(draft.elements("processes", Process).items())
    ]
    check_processes(processes, topology.whole, network)
    placed = []
    for draft in drafts:
        events = draft.elements("events", Event)
        if "events" in draft.data and not draft.is_whole("events", events):
            return
        placed += [
            PlacedEvent(one, draft.source, ("events", index))
            for index, one in sorted(events.items())
        ]
    if placed:
        check_events(placed, topology.whole, network, end_ps, carried)


def _classes(draft: Draft[Profile]) -> dict[int, TrafficClass]:
    if "classes" in draft.data:
        return draft.elements("classes", TrafficClass)
    return {0: RESERVED, 1: BEST_EFFORT}


def _check_classes(source: Source, classes: Mapping[int, TrafficClass]) -> None:
    first: dict[int, TrafficClass] = {}
    for index, one in classes.items():
        twin = first.get(one.priority)
        if twin is not None and (one.weight is None or twin.weight is None):
            message = f"{one.priority} again; class '{twin.name}' has it already"
            source.fault(("classes", index, "priority"), message)
        first.setdefault(one.priority, one)
    _check_express(source, classes)
    cyclic = {index: one for index, one in classes.items() if one.takes_cycles}
    gated = {index: one for index, one in classes.items() if one.gated}
    for index in list(cyclic)[1:]:
        what = f"a second class with {_mechanisms(cyclic)}"
        message = f"{what}; one class reserves cycles, the others are served after"
        source.fault(("classes", index, "mechanism"), message)
    for index in list(gated)[1:]:
        message = "a second class with qbv; one class has the gates, the others what they leave"
        source.fault(("classes", index, "mechanism"), message)
    for index, one in [*list(cyclic.items())[:1], *list(gated.items())[:1]]:
        plain = [other for other in classes.values() if not other.reserves]
        higher = [other for other in plain if other.priority > one.priority]
        if higher:
            what = f"{one.mechanism} needs the highest priority"
            message = f"class '{higher[0].name}' goes before; {what}"
            source.fault(("classes", index, "priority"), message)


def _check_express(source: Source, classes: Mapping[int, TrafficClass]) -> None:
    for index, one in classes.items():
        below = [
            other
            for other in classes.values()
            if not other.preemptable and other.priority <= one.priority and other is not one
        ]
        if one.preemptable and below:
            message = (
                f"class '{below[0].name}' is served after it and is not preemptable; "
                "preemptable classes have the lowest priorities"
            )
            source.fault(("classes", index, "preemptable"), message)


def _misplaced(
    source: Source,
    captures: Mapping[int, Capture],
    classes: Mapping[int, TrafficClass],
    known: set[str],
    topology: Draft[Topology] | None,
) -> bool:
    """Report nodes and classes of captures that there are not, and twins; say if there were any."""
    before = len(source.problems)
    refuse_twins(source, "captures", {i: one.name for i, one in captures.items()})
    nodes = set() if topology is None else set(topology.names("nodes").values())
    for index, one in captures.items():
        for address, node in one.endpoints.items() if nodes else ():
            if node not in nodes:
                hint = source.guess(node, nodes)
                message = f"no node {describe(node)}{hint}"
                source.fault(("captures", index, "endpoints", address), message)
        asked: dict[tuple[str, ...], str] = {("class",): one.traffic_class}
        asked |= {("priorities", str(key)): name for key, name in one.priorities.items()}
        for place, name in asked.items():
            if name not in known:
                hint = source.guess(name, known) or f"; one of {_listed(known)}"
                source.fault(("captures", index, *place), f"no class {describe(name)}{hint}")
            elif name not in {each.name for each in classes.values() if takes_demands(each)}:
                words = "reserves or shapes what it carries; captured frames reserve nothing"
                source.fault(("captures", index, *place), f"class '{name}' {words}")
    return len(source.problems) > before


def _mechanisms(classes: Mapping[int, TrafficClass]) -> str:
    return " or ".join(sorted({one.mechanism for one in classes.values()}))


def _check_class_use(
    source: Source,
    streams: Mapping[int, Stream],
    demands: Mapping[int, Demand],
    classes: Mapping[int, TrafficClass],
    known: set[str],
) -> None:
    mechanisms = {one.name: one.mechanism for one in classes.values()}
    users: tuple[tuple[str, Mapping[int, Stream | Demand]], ...] = (
        ("streams", streams),
        ("demands", demands),
    )
    for key, elements in users:
        for index, one in elements.items():
            if one.traffic_class not in known:
                hint = source.guess(one.traffic_class, known) or f"; one of {_listed(known)}"
                message = f"no class {describe(one.traffic_class)}{hint}"
                source.fault((key, index, "class"), message)
    for index, demand in demands.items():
        mechanism = mechanisms.get(demand.traffic_class, "strict-priority")
        if mechanism != "strict-priority":
            what = "gates" if mechanism == "qbv" else "cycles"
            message = (
                f"class '{demand.traffic_class}' reserves {what}; a demand has none to reserve"
            )
            source.fault(("demands", index, "class"), message)
    _check_excess(source, streams, mechanisms)
    slopes = {one.name for one in classes.values() if one.idle_slope == IdleSlope()}
    for index, demand in demands.items():
        if demand.traffic_class in slopes:
            what = f"class '{demand.traffic_class}' has the idle slope that its streams reserve"
            source.fault(("demands", index, "class"), f"{what}; a demand reserves none")
    shaped = {one.name for one in classes.values() if one.residence_ps is not None}
    for index, demand in demands.items():
        if demand.traffic_class in shaped:
            what = f"class '{demand.traffic_class}' shapes streams by their committed rates"
            message = f"{what}; a demand has none"
            source.fault(("demands", index, "class"), message)
    for index, stream in streams.items():
        if stream.paths == 2 and mechanisms.get(stream.traffic_class) == "strict-priority":
            message = f"two paths are for a class with tcqf; '{stream.traffic_class}' is not one"
            source.fault(("streams", index, "paths"), message)
        if stream.paths == 2 and stream.damper and mechanisms.get(stream.traffic_class) == "qbv":
            message = "the two copies of a gated stream have times of their own; a damper needs one"
            source.fault(("streams", index, "damper"), message)


def _check_excess(
    source: Source, streams: Mapping[int, Stream], mechanisms: Mapping[str, str]
) -> None:
    for index, stream in streams.items():
        mechanism = mechanisms.get(stream.traffic_class, "strict-priority")
        if stream.excess_rate_bps is not None and mechanism != "strict-priority":
            message = f"class '{stream.traffic_class}' reserves room, and yellow frames have none"
            source.fault(("streams", index, "excess-rate"), message)


def _listed(names: set[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)[:20])


def _check_counts(
    source: Source, streams: Mapping[int, Stream], demands: Mapping[int, str]
) -> None:
    """Streams are counted, not written out: a short file may ask for a million."""
    total = sum(stream.count * len(stream.listeners) for stream in streams.values())
    if total > STREAMS_HIGHEST:
        source.fault(("streams",), f"{total:,} streams in all; at most {STREAMS_HIGHEST:,}")
    counted = {one.name: index for index, one in streams.items() if one.count != 1}
    single = {index: one.name for index, one in streams.items() if one.count == 1}
    for key, names in (("streams", single), ("demands", demands)):
        for index, name in names.items():
            base, _, number = name.rpartition("-")
            if base not in counted or not _NUMBER.fullmatch(number):
                continue
            if int(number) <= streams[counted[base]].count:
                line = source.line_of(("streams", counted[base], "name"))
                place = f" (line {line})" if line else ""
                message = f"'{name}' is also a stream of '{base}'{place}, which has a count"
                source.fault((key, index, "name"), f"{message}; rename one")


@dataclass(frozen=True)
class _Ends:
    key: str
    index: int
    near: str
    far: str
    to: tuple[str | int, ...]
    """Place of the far end in the element."""


def _ends(streams: Mapping[int, Stream], demands: Mapping[int, Demand]) -> Iterator[_Ends]:
    for index, stream in streams.items():
        for place, listener in enumerate(stream.listeners):
            key = ("to",) if len(stream.listeners) == 1 else ("to", place)
            yield _Ends("streams", index, stream.talker, listener, key)
    for index, demand in demands.items():
        yield _Ends("demands", index, demand.source, demand.target, ("to",))


def _check_ends(source: Source, ends: Iterator[_Ends], topology: Draft[Topology]) -> None:
    known = set(topology.names("nodes").values())
    if not known:
        return
    links = topology.elements("links", Link)
    is_whole = topology.is_whole("links", links)
    island = _islands(known, links) if is_whole else {}
    one_way = is_whole and any(link.is_one_way for link in links.values())
    reached: dict[str, set[str]] = {}
    for one in ends:
        unknown = False
        for key, name in ((("from",), one.near), (one.to, one.far)):
            if name not in known:
                unknown = True
                message = f"no node {describe(name)} in {topology.source.display}"
                source.fault((one.key, one.index, *key), message + source.guess(name, known))
        if unknown or not island:
            continue
        joined = island[one.near] == island[one.far]
        if joined and one_way:
            if one.near not in reached:
                reached[one.near] = _reached_from(one.near, links)
            joined = one.far in reached[one.near]
        if not joined:
            message = f"no links in {topology.source.display} lead from '{one.near}' to '{one.far}'"
            source.fault((one.key, one.index), message)


def _islands(names: set[str], links: Mapping[int, Link]) -> dict[str, str]:
    """Give nodes that can reach each other the same label."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for link in links.values():
        near, far = link.between
        neighbours[near].append(far)
        neighbours[far].append(near)
    island: dict[str, str] = {}
    for start in names:
        waiting = [start] if start not in island else []
        while waiting:
            name = waiting.pop()
            if name not in island:
                island[name] = start
                waiting.extend(neighbours[name])
    return island


def _reached_from(start: str, links: Mapping[int, Link]) -> set[str]:
    """Return the nodes that frames from one node can come to."""
    onward: dict[str, list[str]] = defaultdict(list)
    for link in links.values():
        for near, far in link.directions:
            onward[near].append(far)
    reached, waiting = {start}, [start]
    while waiting:
        for far in onward[waiting.pop()]:
            if far not in reached:
                reached.add(far)
                waiting.append(far)
    return reached


def _check_sites(source: Source, egress: Mapping[int, Egress], topology: Draft[Topology]) -> None:
    listed = topology.data.get("nodes")
    nodes = listed if isinstance(listed, list) else []
    rows = [node for node in nodes if isinstance(node, dict)]
    known = {site for row in rows if isinstance(site := row.get("site"), str)}
    named = [(row, name) for row in rows if isinstance(name := row.get("name"), str)]
    for index, one in egress.items():
        if one.site not in known:
            hint = source.guess(one.site, known)
            message = f"no site {describe(one.site)} in {topology.source.display}{hint}"
            source.fault(("egress", index, "site"), message)
        inside = {name for row, name in named if row.get("site") == one.site}
        for group, members in enumerate(one.together):
            for place, name in enumerate(members):
                if name not in inside:
                    what = f"no node {describe(name)} of site {describe(one.site)}"
                    message = f"{what}{source.guess(name, inside)}"
                    source.fault(("egress", index, "together", group, place), message)


def _check_intervals(source: Source, reserved: Mapping[int, Stream], cycle_ps: int) -> None:
    fitting = {}
    for index, stream in reserved.items():
        below, rest = divmod(stream.interval_ps, cycle_ps)
        if rest:
            nearest = [n * cycle_ps for n in (below, below + 1) if n]
            shown = " or ".join(format_quantity(TIME, time_ps) for time_ps in nearest)
            given, cycle = (format_quantity(TIME, t) for t in (stream.interval_ps, cycle_ps))
            message = f"{given} is not a multiple of the cycle, {cycle}; write {shown}"
            source.fault(("streams", index, "interval"), message)
        else:
            fitting[index] = stream
    _check_hypercycle(source, fitting, cycle_ps)


def _between(ends: set[str], links: Iterable[Link]) -> set[str]:
    """Return nodes that may be on a way between these: not what hangs on one other node only."""
    neighbours: dict[str, set[str]] = defaultdict(set)
    for link in links:
        near, far = link.between
        neighbours[near].add(far)
        neighbours[far].add(near)
    waiting = sorted(neighbours)
    for name in waiting:
        if name not in ends and len(neighbours.get(name, ())) == 1:
            (other,) = neighbours.pop(name)
            neighbours[other].discard(name)
            waiting.append(other)
    return {name for name, others in neighbours.items() if others} if ends else set()


def _check_clocks(topology: Draft[Topology], users: list[Stream], cycle_ps: int) -> None:
    """Hold what nodes' clocks begin late or err by against the cycle, where streams use cycles."""
    ends = {name for stream in users for name in (stream.talker, *stream.listeners)}
    passed = _between(ends, topology.elements("links", Link).values())
    tcqf = topology.data.get("tcqf")
    given = isinstance(tcqf, dict) and "cycle" in tcqf
    cycle = f"{format_quantity(TIME, cycle_ps)} ('tcqf.cycle'{'' if given else ', by default'})"
    for index, node in topology.elements("nodes", Node).items():
        for key, time_ps in (("phase", node.clock.phase_ps), ("error", node.clock.error_ps)):
            if time_ps >= cycle_ps and node.name in passed:
                shown = format_quantity(TIME, time_ps)
                message = f"{shown} is out of range; less than the cycle, {cycle}"
                topology.source.fault(("nodes", index, "clock", key), message)


def _check_gate_cycle(source: Source, gated: Mapping[int, Stream]) -> None:
    """Gate control lists count whole nanoseconds, and repeat after all intervals."""
    together = 1
    for index, stream in gated.items():
        shown = format_quantity(TIME, stream.interval_ps)
        if stream.interval_ps % PS_PER_NS:
            message = f"{shown} is not a whole number of nanoseconds, as gate control lists need"
            source.fault(("streams", index, "interval"), message)
            continue
        together = lcm(together, stream.interval_ps)
        if together > GATE_CYCLE_PS_HIGHEST:
            most = format_quantity(TIME, GATE_CYCLE_PS_HIGHEST)
            message = f"with {shown} all gated intervals repeat together after more than {most}"
            source.fault(("streams", index, "interval"), message)
            return


def _check_gate_classes(
    source: Source,
    gates: Mapping[int, GateControl],
    classes: Mapping[int, TrafficClass],
    known: set[str],
) -> None:
    """See that given lists open gates of classes that are known and take no cycles."""
    by_name = {one.name: one for one in classes.values()}
    if gates and any(one.gated for one in classes.values()):
        message = "a class with 'mechanism: qbv' makes the lists of its ports; give lists or it"
        source.fault(("gates",), message)
    for index, control in gates.items():
        if control.cycle_ps > GATE_CYCLE_PS_HIGHEST:
            times_ps = control.cycle_ps, GATE_CYCLE_PS_HIGHEST
            shown, most = (format_quantity(TIME, time_ps) for time_ps in times_ps)
            message = f"the entries come to {shown}; a list repeats within {most}"
            source.fault(("gates", index, "entries"), message)
        for number, entry in enumerate(control.entries):
            place = ("gates", index, "entries", number)
            if entry.interval_ps % PS_PER_NS:
                shown = format_quantity(TIME, entry.interval_ps)
                message = f"{shown} is not a whole number of nanoseconds, as gate lists need"
                source.fault((*place, "for"), message)
            for which, name in enumerate(entry.open_classes):
                if name not in known:
                    hint = source.guess(name, known) or f"; one of {_listed(known)}"
                    source.fault((*place, "open", which), f"no class {describe(name)}{hint}")
                elif name in by_name and by_name[name].takes_cycles:
                    message = (
                        f"class '{name}' takes cycles; its frames go by ports without gate lists"
                    )
                    source.fault((*place, "open", which), message)


def _check_gate_places(
    source: Source, gates: Mapping[int, GateControl], topology: Draft[Topology]
) -> None:
    """See that given lists stand at nodes and ports that there are, one at each port."""
    if topology.whole is None or topology.source.problems:
        return
    nodes, ports = topology.whole.node_by_name, topology.whole.ports
    known = {*nodes, *(port.name for port in ports)}
    taken: dict[str, int] = {}
    for index, control in gates.items():
        for which, name in enumerate(control.at):
            if name not in known:
                message = f"no port or node {describe(name)} in {topology.source.display}"
                source.fault(("gates", index, "at", which), message + source.guess(name, known))
            here = [port for port in ports if name in (port.name, port.source)]
            twice = [port.name for port in here if port.name in taken]
            if twice:
                message = f"'{twice[0]}' has a list already, by gates[{taken[twice[0]]}]"
                source.fault(("gates", index, "at", which), message)
            taken.update((port.name, index) for port in here if port.name not in taken)


def _check_hypercycle(source: Source, fitting: Mapping[int, Stream], cycle_ps: int) -> None:
    together = 1
    earlier: list[int] = []
    for index, stream in fitting.items():
        cycles = stream.interval_ps // cycle_ps
        together = lcm(together, cycles)
        if together > HYPERCYCLE_HIGHEST:
            worst = max(earlier, key=lambda other: lcm(other, cycles), default=cycles)
            given, other = (format_quantity(TIME, n * cycle_ps) for n in (cycles, worst))
            what = f"{given} repeats"
            if worst != cycles:
                what = f"{given} clashes with {other}: all intervals repeat together"
            message = f"{what} after {together:,} cycles only; at most {HYPERCYCLE_HIGHEST:,}"
            source.fault(("streams", index, "interval"), message)
            return
        if cycles not in earlier:
            earlier.append(cycles)
