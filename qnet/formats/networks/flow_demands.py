"""What importers of a traffic generator's flows share: each flow becomes a demand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from qnet.errors import InputError, Problem
from qnet.files.read import read_topology
from qnet.files.tree import Source, printable
from qnet.formats.networks.assemble import TOPOLOGY
from qnet.formats.networks.found import DEMANDS_HIGHEST, FoundNetwork, Spot
from qnet.formats.networks.naming import FreeNames, kept_name
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import read_yaml
from qnet.formats.networks.values import Values
from qnet.model.topology import Topology
from qnet.model.traffic import BEST_EFFORT, Demand, Profile, TrafficClass
from qnet.units import GAP_BYTES, RATE, describe, format_quantity, wire_bytes

Sizes = tuple[tuple[int, int], ...]
"""Frame bytes and weights."""

GAP_BITS = 8 * GAP_BYTES
"""The least gap between frames (IEEE 802.3 clause 4.4.2), which is part of a frame's line time."""

_NOTED_BPS = Fraction(1, 1000)
"""Times that a file has as binary fractions are not off by so much."""


def mean_wire_bits(sizes: Sizes) -> Fraction:
    """Return the bits of line time of a frame, in the mean over a mix."""
    total = sum(weight for _, weight in sizes)
    return Fraction(8 * sum(weight * wire_bytes(size) for size, weight in sizes), total)


def given_topology(files: Sequence[str], options: ImportOptions, what: str) -> Topology:
    """Read the topology that traffic is for. Raises InputError where none is given."""
    if options.topology is None:
        words = f"{what} read for a topology; write '--topology FILE', or a bundled name"
        raise InputError([Problem(files[0], 0, 0, "", words)])
    return read_topology(options.topology)


def open_values(found: FoundNetwork, source: Source, raw: bytes) -> Values:
    """Read YAML or JSON, which is YAML but for the tabs in it."""
    is_json = raw.lstrip()[:1] in (b"{", b"[")
    branch = read_yaml(source, raw.replace(b"\t", b" ") if is_json else raw)
    root = Values(found, branch, "")
    if not isinstance(branch.content, dict):
        found.stop(root.spot(), f"{describe(branch.value())}, not an object")
    return root


def imported(found: FoundNetwork, topology: Topology, demands: Sequence[FlowDemand]) -> Imported:
    """Make the profile of demands, with a class for each priority."""
    found.refuse_faults()
    if not demands:
        found.stop(Spot(), "no flow of a rate between two nodes")
    classes = [class_of(one) for one in sorted({demand.priority for demand in demands})]
    free = FreeNames()
    made = []
    for number, one in enumerate(demands, start=1):
        name = free.take(kept_name(one.name) or f"flow-{number}")
        if name != one.name:
            words = "names of flows written as names can be, each once"
            found.note(words, f"'{one.name}' is {name}", of_demands=True)
        rate_bps = round(one.rate_bps)
        if abs(rate_bps - one.rate_bps) > _NOTED_BPS:
            found.note("rates rounded to whole bits a second", name, of_demands=True)
        words_of = {
            "name": name,
            "from": one.source,
            "to": one.target,
            "class": class_of(one.priority).name,
            "rate": format_quantity(RATE, rate_bps),
            "arrival": "bursts" if one.burst > 1 else "constant-rate",
            "sizes": one.sizes,
            **({"burst": one.burst} if one.burst > 1 else {}),
        }
        made.append(Demand.model_validate(words_of))
    profile = Profile(
        title=f"Flows of {printable(found.title)[:150]}",
        topology=TOPOLOGY,
        assumptions=tuple(str(one) for one in found.listed),
        classes=tuple(classes),
        demands=tuple(made),
    )
    wires = sum(link.members for link in topology.links)
    return Imported(topology, profile, found.listed, wires)


def class_of(priority: int) -> TrafficClass:
    """Return the class of what has a priority: best effort for 0, else one that says it."""
    if priority == BEST_EFFORT.priority:
        return BEST_EFFORT
    name = f"priority-{priority}"
    return TrafficClass(name=name, priority=priority, mechanism="strict-priority")


class FlowDemand(NamedTuple):
    """A flow between two nodes, as far as it becomes a demand; `burst` is 1 where it has none."""

    name: str
    source: str
    target: str
    priority: int
    rate_bps: Fraction
    sizes: Sizes
    burst: int = 1


def add_demand(demands: list[FlowDemand], demand: FlowDemand, flow: Values) -> None:
    """Add what a flow becomes, or report that qnet does not take so much."""
    if demand.rate_bps > RATE.highest:
        most = format_quantity(RATE, RATE.highest)
        flow.fault("rate", f"a rate beyond {most}; qnet takes no more")
    demands.append(demand)
    if len(demands) > DEMANDS_HIGHEST:
        flow.found.stop(flow.spot(), f"more than {DEMANDS_HIGHEST:,} demands; qnet takes no more")


def sending_rates_bps(topology: Topology) -> Mapping[str, set[int]]:
    """Return the rates of the links by which each node sends."""
    rates: dict[str, set[int]] = defaultdict(set)
    for link in topology.links:
        for (source, _), rate_bps in zip(link.directions, link.rate_bps, strict=False):
            rates[source].add(rate_bps)
    return rates


def only_rate_bps(rates_bps: Mapping[str, set[int]], node: str) -> int | None:
    """Return the rate at which a node sends, where all its links have the same."""
    of_node = rates_bps.get(node, set())
    return min(of_node) if len(of_node) == 1 else None
