"""What a plan to keep says of its streams, as rows and ways have it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from qnet.errors import Infeasible
from qnet.graph.routes import Edge
from qnet.model.plan import Plan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.schedule.cycles.candidates import CandidateHop, CandidatePath
from qnet.schedule.timing import cycle_shift


def kept_legs(
    topology: Topology, profile: Profile, plan: Plan, streams: Sequence[Stream]
) -> dict[int, list[StreamPlan]]:
    """Return where a plan has streams: of each all its legs, by its place among the streams.

    Raises Infeasible for what cannot stay there.
    """
    entries = {entry.name: entry for entry in plan.streams if entry.status == "admitted"}
    kept = {}
    for place, stream in enumerate(streams):
        missing = [leg.name for leg in stream.legs if leg.name not in entries]
        legs = [entries[leg.name] for leg in stream.legs if leg.name in entries]
        if missing and legs:
            raise Infeasible(
                f"{stream.name}: the plan to keep has a place for {legs[0].name} and none for "
                f"{missing[0]}; a stream with several listeners is kept with all of them. "
                "Give it another name, and it is placed anew"
            )
        if legs:
            if not profile.may_wait(stream):
                check_shifts(topology, legs)
            kept[place] = legs
    return kept


def planned_way(topology: Topology, pair: int, legs: Sequence[StreamPlan]) -> CandidatePath:
    """Return the paths of a planned stream, or of all legs of one, as a way without choices.

    Its cycles are counted from the first one of the first path.
    """
    cycle_ps = topology.tcqf.cycle_ps
    first = legs[0].paths[0].cycles[0]
    hops: list[CandidateHop] = []
    before: list[int] = []
    place_of: dict[str, int] = {}
    ends: list[int] = []
    latest_ps: list[int] = []
    window_ps: list[int] = []
    for entry in legs:
        for path in entry.paths:
            place = -1
            ports = [topology.port_by_name[name] for name in path.ports]
            for port, cycle in zip(ports, path.cycles, strict=True):
                if port.name not in place_of:
                    place_of[port.name] = len(hops)
                    hops.append(CandidateHop(cycle - first, -1, -1, 0, (port.number,)))
                    before.append(place)
                place = place_of[port.name]
            ends.append(place)
            clock = topology.node_by_name[ports[-1].source].clock
            end_ps = clock.phase_ps + (path.cycles[-1] + 1) * cycle_ps + clock.error_ps
            assert entry.send_ps is not None, "a plan that is kept was proven"
            latest_ps.append(end_ps + ports[-1].propagation_ps - entry.send_ps)
            window_ps.append(cycle_ps + 2 * clock.error_ps)
    for end, late, window in zip(ends, latest_ps, window_ps, strict=True):
        hops[end] = hops[end]._replace(skew_ps=max(latest_ps) - late, window_ps=window)
    way = CandidatePath(pair, max(latest_ps), tuple(hops))
    if len(legs) == 1:
        return way
    return way._replace(before=tuple(before), ends=tuple(ends))


def check_shifts(topology: Topology, legs: Sequence[StreamPlan]) -> None:
    """Refuse waits where the class has none: new streams would need the same mapping of cycles."""
    for entry in legs:
        for path in entry.paths:
            edges = [edge_of(topology.port_by_name[name]) for name in path.ports]
            for (edge, following), (cycle, then) in zip(
                pairwise(edges), pairwise(path.cycles), strict=True
            ):
                least = cycle_shift(topology, edge, following)
                if then - cycle != least:
                    raise Infeasible(
                        f"{entry.name}: goes {then - cycle} cycles on from {edge.ports[0].name}, "
                        f"{least} are due; its class lets no frame wait"
                    )


def edge_of(port: Port) -> Edge:
    """Return a port as an edge without choices."""
    return Edge(0, port.source, port.target, None, port.propagation_ps, 0, (port,))
