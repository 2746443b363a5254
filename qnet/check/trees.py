"""Streams with several listeners: a frame is sent once over each wire, and copied where ways part.

The ways of a tree's legs are a tree: they come to each node over one port, and leave a port that
they share at the same times and in the same queue, since it is one frame that is sent there. What
is reserved, sent or offered at a port counts once then, for the leg that the plan has first; the
others *ride*. Legs that break the rule are frames of their own where they differ, so that nothing
is counted too low.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from qnet.check.findings import Findings, exact_number, exact_time, is_sane
from qnet.model.plan import PathPlan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Stream

Placed = tuple[Stream, StreamPlan]


class _Step(NamedTuple):
    """What a plan says of a leg at one port; empty where it says nothing."""

    port: str
    cycle: tuple[int, ...]
    queue: tuple[int, ...]
    starts_ps: tuple[tuple[int, ...], ...]


class _Branch(dict[_Step, "_Branch"]):
    """How the ways of a tree go on from a port."""


def ridden(pairs: Iterable[Placed]) -> dict[str, int]:
    """Return how many ports of its way each leg rides over, from the talker on.

    Of `s@one` over a->b, b->one and `s@two` over a->b, b->two the second rides over one port.
    """
    roots: dict[tuple[str, int | None], _Branch] = defaultdict(_Branch)
    found: dict[str, int] = {}
    for stream, entry in pairs:
        if stream.tree == stream.name or stream.name in found or not entry.paths:
            continue
        branch, found[stream.name] = roots[stream.tree, entry.send_ps], 0
        is_shared = True
        for step in _steps(entry.paths[0]):
            is_shared = is_shared and step in branch
            found[stream.name] += is_shared
            branch = branch.setdefault(step, _Branch())
    return found


def own_ports(pairs: Sequence[Placed]) -> Iterator[tuple[Stream, Sequence[str]]]:
    """Yield the ports of each way at which frames count for this stream, not for a leg before."""
    rides = ridden(pairs)
    for stream, entry in pairs:
        for path in entry.paths:
            yield stream, path.ports[rides.get(stream.name, 0) :]


def _steps(path: PathPlan) -> Iterator[_Step]:
    for place, port in enumerate(path.ports):
        here = slice(place, place + 1)
        starts_ps = tuple(frame[here] for frame in path.starts_ps)
        yield _Step(port, path.cycles[here], path.queues[here], starts_ps)


def check_trees(topology: Topology, pairs: Iterable[Placed], findings: Findings) -> set[str]:
    """See that the legs of each tree are one frame where they share a port; return those at fault.

    All legs of a tree are then at fault.
    """
    trees: dict[str, list[Placed]] = defaultdict(list)
    for stream, entry in pairs:
        if stream.tree != stream.name:
            trees[stream.tree].append((stream, entry))
    broken = set()
    for tree, legs in trees.items():
        before = findings.total
        _check_together(tree, legs, findings)
        _check_ways(topology, legs, findings)
        if findings.total > before:
            broken |= {stream.name for stream, _ in legs}
    return broken


def _check_together(tree: str, legs: Sequence[Placed], findings: Findings) -> None:
    """See that all legs have a way or none, and that one frame is sent at one time."""
    refused = [stream.name for stream, entry in legs if entry.status == "refused"]
    placed = [(stream, entry) for stream, entry in legs if entry.status != "refused"]
    if not placed:
        return
    first, known = placed[0]
    if refused:
        what = f"{first.name} is {known.status} and {refused[0]} refused; all are, or none is"
        findings.add("tree", tree, what)
    for stream, entry in placed[1:]:
        if entry.send_ps != known.send_ps:
            what = f"is sent {_when(entry.send_ps)}, {first.name} {_when(known.send_ps)}"
            findings.add("tree", stream.name, f"{what}; it is one frame")


def _when(time_ps: int | None) -> str:
    return "at no time" if time_ps is None else f"at {_time(time_ps)}"


def _time(time_ps: int) -> str:
    return exact_time(time_ps) if is_sane([time_ps]) else f"{exact_number(time_ps)} ps"


def _check_ways(topology: Topology, legs: Iterable[Placed], findings: Findings) -> None:
    """See that each node is come to over one port, and each port left at the same times."""
    entered: dict[str, tuple[str, str]] = {}
    known: dict[str, tuple[str, _Step]] = {}
    for stream, entry in legs:
        for step in _steps(entry.paths[0]) if entry.paths else ():
            port = topology.port_by_name.get(step.port)
            if port is None:
                break  # the route is a finding of its own
            whose, over = entered.setdefault(port.target, (stream.name, port.name))
            if over != port.name:
                # From here on they are two frames.
                what = f"comes to {port.target} over {port.name}, {whose} over {over}"
                findings.add("tree", stream.name, f"{what}; a node gets one frame", port.name)
                break
            whose, same = known.setdefault(port.name, (stream.name, step))
            if step != same:
                words = f"{_difference(step, same, whose)}; one frame is sent there"
                findings.add("tree", stream.name, words, port.name)


def _difference(step: _Step, same: _Step, whose: str) -> str:
    """Say in what two legs differ at a port."""
    if step.cycle != same.cycle:
        mine, others = (exact_number(sum(one.cycle)) for one in (step, same))
        return f"leaves {step.port} in cycle {mine}, {whose} in cycle {others}"
    if step.queue != same.queue:
        mine, others = (exact_number(sum(one.queue)) for one in (step, same))
        return f"is in queue {mine} of {step.port}, {whose} in queue {others}"
    pairs = zip(step.starts_ps, same.starts_ps, strict=False)
    frame = next((number for number, (one, other) in enumerate(pairs) if one != other), None)
    if frame is None:
        counts = f"{len(step.starts_ps)} frames", f"{len(same.starts_ps)}"
        return f"has {counts[0]} at {step.port}, {whose} {counts[1]}"
    mine, others = (_time(sum(one.starts_ps[frame])) for one in (step, same))
    return f"starts frame {frame} at {step.port} at {mine}, {whose} at {others}"
