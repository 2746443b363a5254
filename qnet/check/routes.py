"""Routes: ports that join up from one end to the other, and two of them that share nothing."""

from __future__ import annotations

from collections.abc import Sequence

from qnet.check.findings import Findings, quoted
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Stream

ONE_PATH_LEFT = "asked for 2 paths, the plan has 1"


def route_fault(
    topology: Topology,
    names: Sequence[str],
    ports: Sequence[Port | None],
    ends: tuple[str, str],
) -> str | None:
    """Say what keeps the ports from being a way between the two ends; None when they are one."""
    if not ports:
        return "a path without ports"
    at, seen = ends[0], {ends[0]}
    for index, port in enumerate(ports):
        if port is None:
            return f"port {quoted(names[index])} is not in the network"
        if index and topology.node_by_name[port.source].kind == "host":
            return f"port {port.name} goes on from {port.source}, a host, which forwards nothing"
        if port.source != at:
            start = f"begins at {ends[0]}" if index == 0 else f"has come to {at}"
            return f"port {port.name} does not join up: the path {start}"
        at = port.target
        if at in seen:
            return f"port {port.name} comes to {at} a second time"
        seen.add(at)
    return None if at == ends[1] else f"the path ends at {at}, not at {ends[1]}"


def most_paths(stream: Stream) -> int:
    """Return over how many paths a plan may send a stream: a promised availability may need two."""
    if stream.availability is not None and len(stream.listeners) == 1:
        return 2
    return stream.paths


def check_disjoint(
    topology: Topology, stream: Stream, paths: Sequence[Sequence[Port]], findings: Findings
) -> None:
    """Rule 6: two paths share nothing that can fail."""
    if len(paths) < 2:
        if stream.paths == 2:
            findings.add("disjoint", stream.name, ONE_PATH_LEFT)
        return
    first, second = paths
    links = _links(topology, first) & _links(topology, second)
    cables = _cables(topology, first) & _cables(topology, second)
    nodes = {port.target for port in first[:-1]} & {port.target for port in second[:-1]}
    # A shared link is in a shared cable too: one finding says it.
    for kind, shared in (("link", links), ("cable", cables if not links else ()), ("node", nodes)):
        if shared:
            findings.add("disjoint", stream.name, f"its two paths share {kind} {min(shared)}")


def _links(topology: Topology, ports: Sequence[Port]) -> set[str]:
    return {topology.link_name(topology.links[port.link]) for port in ports}


def _cables(topology: Topology, ports: Sequence[Port]) -> set[str]:
    return {topology.cable(topology.links[port.link]) for port in ports}
