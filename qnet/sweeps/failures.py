"""Which failures there are: single things by name, merged by the wires they take, and doubles.

Two things that fail by themselves are broken together for the share of the time that is the product
of theirs. Doubles are taken in order of that, until the time in which two or more things are broken
that no case is about is below what was asked; so no time is spent on two that never meet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import NamedTuple

from qnet.errors import ArgumentError, Problem
from qnet.model.outages import nodes_by_name, ports_of, wires_by_name
from qnet.model.sweep import KINDS_OF_FAILURE, Failure, FailureOf
from qnet.model.topology import Topology
from qnet.units import YEAR_S

US_PER_YEAR = YEAR_S * 10**6
PPT = 10**12

DOUBLES_MOST = 100_000
"""Cases that a promise may ask for; a smaller share left out takes very many."""


class FailureList(NamedTuple):
    """Failures, how many names they have, and what of the time no case is about."""

    failures: tuple[Failure, ...]
    names: int
    unlisted_ppt: int | None = None


def single_failures(topology: Topology, kinds: Collection[FailureOf]) -> FailureList:
    """Return what fails alone, of some kinds; what takes along the same wires is one failure.

    The order is that of the kinds, and of the file.
    """
    shares = _broken_shares(topology)
    by_ports: dict[tuple[int, ...], list[tuple[FailureOf, str]]] = {}
    count = 0
    for kind in KINDS_OF_FAILURE:
        if kind not in kinds:
            continue
        for name, taken in _named(topology, kind).items():
            count += 1
            by_ports.setdefault(taken, []).append((kind, name))
    failures = []
    for taken, every in by_ports.items():
        known = [shares[one] for one in every if one in shares]
        failures.append(
            Failure(
                names=tuple(f"{kind} {name}" for kind, name in every),
                targets=(every[0],),
                ports=taken,
                broken_us_per_year=_us(1 - _none_broken(known)) if known else None,
            )
        )
    return FailureList(tuple(failures), count)


def double_failures(topology: Topology, left_out: float) -> FailureList:
    """Return pairs of cables and nodes that fail by themselves, the most likely first.

    What is left out is broken for less than a share `left_out` of the time, three and more at once
    included. Raises ArgumentError where that takes more than `DOUBLES_MOST` cases, or no number of
    pairs is enough since three at once are broken for longer.
    """
    ports = {kind: _named(topology, kind) for kind in ("cable", "node")}
    shares = _broken_shares(topology)
    things = [(one, share) for one, share in shares.items() if 0 < share < 1]
    odds = [share / (1 - share) for _, share in things]
    none = _none_broken([share for _, share in things])
    unlisted = max(1 - none - none * sum(odds), 0.0)
    pairs = sorted(
        (-odds[first] * odds[second], first, second)
        for second in range(len(things))
        for first in range(second)
    )
    failures: list[Failure] = []
    for both, first, second in pairs:
        if unlisted < left_out or len(failures) == DOUBLES_MOST:
            break
        exactly = -both * none
        unlisted = max(unlisted - exactly, 0.0)
        targets = (things[first][0], things[second][0])
        taken = {port for kind, name in targets for port in ports[kind][name]}
        failures.append(
            Failure(
                names=(" + ".join(f"{kind} {name}" for kind, name in targets),),
                targets=targets,
                ports=tuple(sorted(taken)),
                broken_us_per_year=_us(exactly),
            )
        )
    if unlisted >= left_out:
        words = (
            f"after {len(failures):,} pairs something else is broken for {unlisted:.2g} of the "
            "time; give a larger share"
        )
        raise ArgumentError([Problem("doubles", 0, 0, "", words)])
    return FailureList(tuple(failures), len(failures), int(unlisted * PPT))


def _named(topology: Topology, kind: FailureOf) -> Mapping[str, tuple[int, ...]]:
    """Return the ports that each thing of a kind takes along, in the order of the file."""
    if kind in ("node", "site"):
        nodes = nodes_by_name(topology)
        own = [node.name for node in topology.nodes]
        # A name that is a node's, too, means the node.
        names = own if kind == "node" else [name for name in nodes if name not in {*own}]
        return {name: _ports_at(topology, nodes[name]) for name in names}
    wires = wires_by_name(topology)
    every: dict[str, None] = {}
    for link in topology.links:
        name = topology.link_name(link)
        if kind == "cable":
            every[topology.cable(link)] = None
        elif kind == "link":
            every[name] = None
        elif link.members > 1:
            every |= dict.fromkeys(f"{name}/{member + 1}" for member in range(link.members))
    return {name: ports_of(topology, wires[name]) for name in every}


def _ports_at(topology: Topology, nodes: Collection[str]) -> tuple[int, ...]:
    ends = {*nodes}
    return tuple(one.number for one in topology.ports if ends & {one.source, one.target})


def _broken_shares(topology: Topology) -> Mapping[tuple[FailureOf, str], float]:
    """Return for what share of the time each cable and node is broken, where there is a rate."""
    found: dict[tuple[FailureOf, str], float] = {}
    for name, one in topology.cable_failures.items():
        found["cable", name] = min(float(one.broken_share), 1.0)
    for name, one in topology.node_failures.items():
        found["node", name] = min(float(one.broken_share), 1.0)
    return found


def _us(share: float) -> int:
    return round(share * US_PER_YEAR)


def _none_broken(shares: Sequence[float]) -> float:
    return prod(1 - share for share in shares)
