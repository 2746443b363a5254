"""Demands of microflows: which wires the hash picks, counted one microflow after the other.

The hash is stated in `qnet.model.plan.DemandPart`; this is it in plain integers.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from qnet.check.findings import Findings, exact_number
from qnet.model.plan import DemandPart, DemandPlan, HashedPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand

_WORD = 2**64 - 1

Wires = tuple[Port, ...]
"""The wires of one link in one direction."""


def check_hashing(
    topology: Topology, demand: Demand, entry: DemandPlan, findings: Findings
) -> None:
    """See that every part of a demand carries the microflows that the hash puts on its wires.

    So what the parts put on a port is what hashing does, however uneven that is.
    """
    if demand.microflows is None:
        if any(part.hashed is not None for part in entry.parts):
            findings.add("inputs", demand.name, "its parts are hashed; it has no microflows")
        return
    together: dict[tuple[int, int], list[DemandPart]] = {}
    for part in entry.parts:
        if part.hashed is None:
            findings.add("inputs", demand.name, "a part does not say which microflows it is of")
            return
        together.setdefault((part.hashed.first, part.hashed.last), []).append(part)
    begin = 0
    for first, last in sorted(together):
        if not begin <= first < last <= demand.microflows:
            words = f"microflows {exact_number(first)} to {exact_number(last)} (without the last)"
            findings.add("inputs", demand.name, f"{words} are empty, in use, or more than it has")
            return
        begin = last
    for span, parts in together.items():
        _check_bundle(topology, demand, span, parts, findings)


def _check_bundle(
    topology: Topology,
    demand: Demand,
    span: tuple[int, int],
    parts: Sequence[DemandPart],
    findings: Findings,
) -> None:
    """See that the microflows of a span take the same links, by the wires of the hash."""
    wires_of = _wires_of(topology)
    ways = {_links(topology, wires_of, part) for part in parts}
    if len(ways) > 1:
        words = f"microflows {span[0]} to {span[1] - 1} take different links"
        findings.add("route", demand.name, words)
        return
    (links,) = ways
    if links is None:
        return  # a port that is not in the network: the route is a finding of its own
    found = {part.ports: (part.hashed, part.rate_bps) for part in parts}
    if len(found) < len(parts):
        findings.add("route", demand.name, "two parts of the same microflows take the same wires")
    expected = _count(demand, span, links)
    for ports in {**expected, **found}:
        if found.get(ports) != expected.get(ports):
            findings.add(
                "route",
                demand.name,
                f"of microflows {span[0]} to {span[1] - 1}, the hash sends "
                f"{_words(expected.get(ports))} over {', '.join(ports)}; the plan "
                f"{_words(found.get(ports))}",
            )


def _links(
    topology: Topology, wires_of: Mapping[tuple[int, str], Wires], part: DemandPart
) -> tuple[Wires, ...] | None:
    ports = [topology.port_by_name.get(name) for name in part.ports]
    known = [wires_of[port.link, port.source] for port in ports if port is not None]
    return tuple(known) if len(known) == len(ports) else None


def _wires_of(topology: Topology) -> Mapping[tuple[int, str], Wires]:
    wires: dict[tuple[int, str], list[Port]] = {}
    for port in topology.ports:
        wires.setdefault((port.link, port.source), []).append(port)
    return {key: tuple(ports) for key, ports in wires.items()}


def _count(
    demand: Demand, span: tuple[int, int], links: Sequence[Wires]
) -> dict[tuple[str, ...], tuple[HashedPlan, int]]:
    """Return for each way over wires the microflows that take it, and their rate."""
    assert demand.microflows is not None, "asked of demands with microflows"
    least_bps, larger = divmod(demand.rate_bps, demand.microflows)
    names = [[port.name for port in wires] for wires in links]
    seeds = [_key(wires[0].source) for wires in links]
    counts: Counter[tuple[str, ...]] = Counter()
    rates_bps: Counter[tuple[str, ...]] = Counter()
    start = _key(demand.name)
    for number in range(*span):
        header = _mix((start + number * 0x9E3779B97F4A7C15) & _WORD)
        ports = tuple(
            wires[_mix(header ^ seed) % len(wires)] if len(wires) > 1 else wires[0]
            for wires, seed in zip(names, seeds, strict=True)
        )
        counts[ports] += 1
        rates_bps[ports] += least_bps + (number < larger)
    return {
        ports: (HashedPlan(first=span[0], last=span[1], count=count), rates_bps[ports])
        for ports, count in counts.items()
    }


def _mix(word: int) -> int:
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _WORD
    return word ^ (word >> 31)


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _words(share: tuple[HashedPlan | None, int] | None) -> str:
    if share is None:
        return "none"
    count = share[0].count if share[0] is not None else 0
    return f"{exact_number(count)} of {share[1]} b/s together"
