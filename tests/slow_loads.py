"""What events make of what is sent, as the slow twin reads it: word for word, second by second."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from qnet.model.fields import IMIX
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.units import PPB

EVER = 10**18

Span = tuple[int, int]


def single_names(entry: Stream) -> list[str]:
    """The streams of one entry of a file; legs are all called after theirs."""
    if entry.count == 1:
        return [entry.name]
    return [f"{entry.name}-{number}" for number in range(1, entry.count + 1)]


def targets(profile: Profile, target: str) -> tuple[list[list[str]], list[str]]:
    """Streams, entry by entry, and demands that a target names."""
    streams = [single_names(one) for one in profile.streams if one.name == target]
    demands = [one.name for one in profile.demands if one.name == target]
    if not streams and not demands:
        streams = [[target] for one in profile.streams if target in single_names(one)]
    for key in ("service", "traffic_class"):
        if not streams and not demands:
            streams = [single_names(o) for o in profile.streams if getattr(o, key) == target]
            demands = [one.name for one in profile.demands if getattr(one, key) == target]
    return streams, demands


def end(event: Event) -> int:
    return EVER if event.duration_ps is None else event.at_ps + event.duration_ps


def silences(profile: Profile, name: str) -> list[Span]:
    """When nothing is born of a stream or demand; spans may overlap."""
    acts: list[tuple[int, int, int, str, int]] = []
    for number, event in enumerate(profile.events):
        if event.change not in ("start", "stop"):
            continue
        streams, demands = targets(profile, event.target or "")
        if not any(name in each for each in (*streams, demands)):
            continue
        acts.append((event.at_ps, 1, number, event.change, end(event)))
        if event.change == "start" and event.duration_ps is not None:
            acts.append((end(event), 0, number, "stop", EVER))
    acts.sort()
    if acts and acts[0][3] == "start":
        acts.insert(0, (0, 0, -1, "stop", EVER))
    spans = []
    for place, (begin, _, _, what, until) in enumerate(acts):
        starts = [at for at, _, _, other, _ in acts[place + 1 :] if other == "start"]
        if what == "stop":
            spans.append((begin, min([until, *starts[:1]])))
    if name in [one.name for one in profile.demands]:
        return spans
    return spans + [(a, b) for a, b, share in _shares(profile, name) if not share]


def factors(profile: Profile, name: str) -> list[tuple[int, int, int]]:
    """From when to before when the rate of a demand is another, and by how many billionths."""
    return _shares(profile, name)


def _shares(profile: Profile, name: str) -> list[tuple[int, int, int]]:
    """Of a demand its factors; of a stream 1 while it is among the first ones, or else 0."""
    mine: list[tuple[int, int, Event, int]] = []
    for number, event in enumerate(profile.events):
        if event.change != "scale":
            continue
        assert event.by_ppb is not None
        streams, demands = targets(profile, event.target or "")
        for each in streams:
            if name in each:
                active = -(-event.by_ppb * len(each) // PPB)
                mine.append((event.at_ps, number, event, int(each.index(name) < active)))
        if name in demands:
            mine.append((event.at_ps, number, event, event.by_ppb))
    times = sorted({0, *(at for at, *_ in mine), *(end(one) for _, _, one, _ in mine)})
    spans = []
    for begin, until in zip(times, [*times[1:], EVER], strict=True):
        lasting = [one for one in mine if one[0] <= begin < end(one[2])]
        if lasting:
            spans.append((begin, until, max(lasting, key=lambda one: one[:2])[3]))
    return spans


def attacks(topology: Topology, profile: Profile) -> Iterator[tuple[Demand, list[Port], Span]]:
    for number, event in enumerate(profile.events):
        if event.change == "attack" and event.at_ps < profile.simulation.duration_ps:
            demand = Demand.model_validate(
                {
                    "name": f"attack-{number + 1}",
                    "from": event.origin,
                    "to": event.sink,
                    "class": event.traffic_class or "best-effort",
                    "rate": f"{event.rate_bps}bps",
                    "arrival": "constant-rate",
                    "sizes": event.sizes or IMIX,
                }
            )
            yield (
                demand,
                _nearest(topology, demand.source, demand.target),
                (
                    event.at_ps,
                    end(event),
                ),
            )


def _nearest(topology: Topology, source: str, target: str) -> list[Port]:
    """Node by node the port of lowest number that brings it nearer."""

    def hops(start: str) -> int:
        seen, waiting = {start: 0}, deque([start])
        while waiting:
            node = waiting.popleft()
            for port in topology.ports:
                if port.source == node and port.target not in seen:
                    seen[port.target] = seen[node] + 1
                    waiting.append(port.target)
        return seen.get(target, 10**6)

    way: list[Port] = []
    while source != target:
        way.append(
            next(
                port
                for port in topology.ports
                if port.source == source and hops(port.target) == hops(source) - 1
            )
        )
        source = way[-1].target
    return way
