"""What a site can still send when a cable is cut or a node is down, at most, whatever the plan.

The site's nodes that send are the sources, all that is outside is the sink, and each wire takes
what plans may fill of it: the most that flows then is the most that can leave (Ford and Fulkerson
1956). It is found by shortest augmenting paths, in whole bits per second, so it is exact. Who wants
what from whom is left out: no plan for any traffic can send more.

20 wires that take 10 Tb/s together, one of 780 Gb/s alone in its cable: 9.220 Tb/s without that.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from qnet.model.proof import SurvivableEgress
from qnet.model.topology import Topology
from qnet.model.traffic import Egress, Profile

SOURCE, SINK = "", "\0"
"""No node has such a name."""

Room = dict[str, dict[str, int]]
"""From where to where how many bits per second may flow."""


class _Edge(NamedTuple):
    """What may flow between two places of the site, or out of it, through one cable."""

    cable: str
    near: str
    far: str
    rate_bps: int


class _Site(NamedTuple):
    """The nodes of a site, those that send out of it, and what leads from one to the next."""

    nodes: tuple[str, ...]
    sources: tuple[str, ...]
    edges: tuple[_Edge, ...]


def survivable_egress(topology: Topology, profile: Profile) -> tuple[SurvivableEgress, ...]:
    """Return for each required egress what can leave after the worst single failure."""
    return tuple(_survives(topology, profile, one) for one in profile.egress)


def _survives(topology: Topology, profile: Profile, required: Egress) -> SurvivableEgress:
    site = _site(topology, profile, required.site)
    whole_bps, flows = _most(site.edges, site.sources)
    after_cable: dict[str, int] = {}
    for cable in dict.fromkeys(one.cable for one in site.edges):
        crossing = [one for one in site.edges if one.cable == cable]
        after_cable[cable] = whole_bps
        # Without a flow over it, the flow that was found is still there when it is cut.
        if any(flows[one.near][one.far] for one in crossing):
            kept = [one for one in site.edges if one.cable != cable]
            after_cable[cable], _ = _most(kept, site.sources)
    together = [tuple(one) for one in required.together]
    after_node: dict[str, int] = {}
    for group in [*((name,) for name in site.nodes), *together]:
        left = [name for name in site.sources if name not in group]
        # Without its only source a site sends nothing, whatever its wires are.
        if left:
            after_node["+".join(group)], _ = _most(_without(site.edges, group), left)
    return SurvivableEgress(
        site=required.site,
        whole_bps=whole_bps,
        cable_bps=min(after_cable.values(), default=None),
        cables=_least(after_cable),
        node_bps=min(after_node.values(), default=None),
        nodes=_least(after_node),
    )


def _least(left_bps: Mapping[str, int]) -> tuple[str, ...]:
    """Return all that leave the least when they fail, in the order of the files."""
    least = min(left_bps.values(), default=None)
    return tuple(name for name, rate_bps in left_bps.items() if rate_bps == least)


def _without(edges: Iterable[_Edge], nodes: Collection[str]) -> list[_Edge]:
    return [one for one in edges if one.near not in nodes and one.far not in nodes]


def _site(topology: Topology, profile: Profile, name: str) -> _Site:
    """Gather what a site has; where nobody is said to send out of it, all of its nodes may."""
    inside = {node.name: node for node in topology.nodes if node.site == name}
    ends = [(one.talker, end) for one in profile.streams if one.count for end in one.listeners]
    ends += [(one.source, one.target) for one in profile.demands]
    sending = {start for start, end in ends if start in inside and end not in inside}
    rates_bps: dict[tuple[str, str, str], int] = defaultdict(int)
    for port in topology.ports:
        far = port.target if port.target in inside else SINK
        # A host takes what is for it and passes nothing on.
        if port.source in inside and not (far != SINK and inside[far].is_host):
            cable = topology.cable(topology.links[port.link])
            rates_bps[cable, port.source, far] += port.reservable_bps
    edges = tuple(_Edge(*key, rate_bps) for key, rate_bps in rates_bps.items())
    sources = tuple(one for one in inside if one in sending) or tuple(inside)
    return _Site(tuple(inside), sources, edges)


def _most(edges: Iterable[_Edge], sources: Iterable[str]) -> tuple[int, Room]:
    """Return the most that flows from the sources out of the site, and what flows where."""
    room: Room = defaultdict(lambda: defaultdict(int))
    for one in edges:
        room[one.near][one.far] += one.rate_bps
    endless = sum(one.rate_bps for one in edges)
    for name in sources:
        room[SOURCE][name] = endless
    before = {near: dict(row) for near, row in room.items()}
    total = 0
    while way := _shortest(room):
        rate_bps = min(room[near][far] for near, far in way)
        total += rate_bps
        for near, far in way:
            room[near][far] -= rate_bps
            room[far][near] += rate_bps
    flows: Room = defaultdict(lambda: defaultdict(int))
    for near, row in before.items():
        for far, rate_bps in row.items():
            flows[near][far] = max(rate_bps - room[near][far], 0)
    return total, flows


def _shortest(room: Room) -> list[tuple[str, str]]:
    """Return the steps of a shortest way with room from the source to the sink; none if none is."""
    came: dict[str, str] = {SOURCE: SOURCE}
    waiting = deque([SOURCE])
    while waiting and SINK not in came:
        near = waiting.popleft()
        for far, rate_bps in room[near].items():
            if rate_bps > 0 and far not in came:
                came[far] = near
                waiting.append(far)
    return list(_back(came)) if SINK in came else []


def _back(came: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    far = SINK
    while far != SOURCE:
        yield came[far], far
        far = came[far]
