"""Place demands: how much goes over which route and, of each route, over which wires."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from qnet.graph.distances import distances
from qnet.graph.flows import Pair, RouteRate, place_flows
from qnet.graph.routes import Graph, Route
from qnet.model.plan import DemandPart, DemandPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile
from qnet.schedule.guards import OpenWays, frame_of
from qnet.schedule.microflows import Rooms, parts_of
from qnet.schedule.windows import ClassRooms
from qnet.units import ceil_div, show_rate

PART_LEAST_BPS = 10**6
"""Smaller parts join another part of their demand where its wires have room."""

LEVELS = 1 << 30
"""Parts that shares of a wire's size are counted in."""
PORTS_NAMED = 3


class WireLoads:
    """How much each wire has been given to carry, so that parallel wires are loaded alike.

    `quota_bps` is what a wire is to take of the flow over its edge and has not taken yet;
    `spare_bps` what it has left beyond that.
    """

    def __init__(self, ports: Sequence[Port], free_bps: Sequence[int]) -> None:
        self._ports = ports
        self.spare_bps = list(free_bps)
        self.quota_bps = [0] * len(ports)

    def share(self, ports: Sequence[Port], flow_bps: int) -> None:
        """Set the quotas of parallel wires for a flow over all of them."""
        free_bps = [self.spare_bps[port.number] for port in ports]
        sizes_bps = [port.reservable_bps for port in ports]
        for port, quota_bps in zip(ports, water_fill(flow_bps, free_bps, sizes_bps), strict=True):
            self.quota_bps[port.number] += quota_bps
            self.spare_bps[port.number] -= quota_bps

    def assign(self, route: Route, rate_bps: int) -> list[DemandPart]:
        """Spread what takes one route over wires, in few parts."""
        parts: dict[tuple[int, ...], int] = {}
        while rate_bps > 0:
            wires = tuple(self._emptiest(edge.ports) for edge in route.edges)
            amount = min(rate_bps, *(self.quota_bps[wire] for wire in wires))
            assert amount > 0, "the quotas of an edge add up to the flow over it"
            if amount < PART_LEAST_BPS:
                joined = (other for other in parts if self._room_bps(other) >= amount)
                wires = next(joined, wires)
            self._use(wires, amount)
            parts[wires] = parts.get(wires, 0) + amount
            rate_bps -= amount
        return [
            DemandPart(ports=tuple(self._ports[wire].name for wire in wires), rate_bps=part_bps)
            for wires, part_bps in parts.items()
        ]

    def _emptiest(self, ports: Sequence[Port]) -> int:
        return max(ports, key=lambda port: (self.quota_bps[port.number], -port.number)).number

    def _room_bps(self, wires: Sequence[int]) -> int:
        return min(self.quota_bps[wire] + self.spare_bps[wire] for wire in wires)

    def _use(self, wires: Sequence[int], amount_bps: int) -> None:
        for wire in wires:
            of_quota = min(amount_bps, self.quota_bps[wire])
            self.quota_bps[wire] -= of_quota
            self.spare_bps[wire] -= amount_bps - of_quota


def water_fill(flow_bps: int, free_bps: Sequence[int], sizes_bps: Sequence[int]) -> list[int]:
    """Divide a flow so that all wires that take some keep the same share of their size free.

    water_fill(300, [400, 200], [400, 400]) is [250, 50]: both keep 150.
    """
    assert flow_bps <= sum(free_bps), "the flow over an edge fits into its wires"
    if not flow_bps:
        return [0] * len(free_bps)

    def quotas(level: int) -> list[int]:
        return [
            max(free - ceil_div(level * size, LEVELS), 0)
            for free, size in zip(free_bps, sizes_bps, strict=True)
        ]

    def is_enough(level: int) -> bool:
        return sum(quotas(level)) >= flow_bps

    guess = _level(flow_bps, free_bps, sizes_bps)
    shares = quotas(_highest(is_enough, guess, LEVELS))
    excess = sum(shares) - flow_bps
    for place, share in enumerate(shares):
        cut = min(ceil_div(excess, len(shares) - place), share)
        shares[place] -= cut
        excess -= cut
    for place, share in reversed(list(enumerate(shares))):
        cut = min(excess, share)
        shares[place] -= cut
        excess -= cut
    return shares


def _level(flow_bps: int, free_bps: Sequence[int], sizes_bps: Sequence[int]) -> int:
    """Return about what share of its size each wire keeps free that takes some of a flow."""
    taking = list(zip(free_bps, sizes_bps, strict=True))
    while True:
        left_bps = sum(free for free, _ in taking) - flow_bps
        level = left_bps * LEVELS // (sum(size for _, size in taking) or 1)
        still = [(free, size) for free, size in taking if free * LEVELS > level * size]
        if len(still) == len(taking):
            return min(level, LEVELS)
        taking = still


def _highest(holds: Callable[[int], bool], guess: int, most: int) -> int:
    """Return the highest number for which something holds that holds from 0 to there.

    It is looked for around a guess, in steps that double, and then between two of them.
    """
    low, high, step = 0, most, 1
    if holds(guess):
        low = guess
        while low < high and holds(probe := min(low + step, most)):
            low, step = probe, 2 * step
        high = min(high, low + step - 1)
    else:
        high = guess - 1
        while not holds(probe := max(high - step, 0)):
            high, step = probe - 1, 2 * step
        low = probe
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def place_demands(
    topology: Topology,
    profile: Profile,
    ways: OpenWays,
    free_bps: Sequence[int],
    rooms: ClassRooms | None = None,
) -> list[DemandPlan]:
    """Place the demands of a profile into what every port has free.

    Where ports have windows of classes, `rooms`, all are placed into the least that a class has
    there, or else, where that places more, class by class into what each has.
    """
    if rooms is None or not profile.demands:
        return _place(topology, profile, ways, free_bps, None)
    names = {one.traffic_class for one in profile.demands}
    least_bps = list(free_bps)
    for number in rooms.ports:
        least_bps[number] = min(free_bps[number], rooms.least_bps(names, number))
    together = _place(topology, profile, ways, least_bps, None)
    if len(names) == 1 or all(one.placed_bps == one.rate_bps for one in together):
        return together
    apart = _place(topology, profile, ways, free_bps, rooms)
    return max(together, apart, key=lambda made: sum(one.placed_bps for one in made))


def _place(
    topology: Topology,
    profile: Profile,
    ways: OpenWays,
    free_bps: Sequence[int],
    rooms: ClassRooms | None,
) -> list[DemandPlan]:
    """Place demands whose frames may use the same ports together, those with the fewest first.

    With `rooms`, by class, classes are placed apart, from the highest down.
    """
    left_bps = list(free_bps)
    groups: dict[tuple[frozenset[int], str], list[Demand]] = {}
    for demand in profile.demands:
        apart = "" if rooms is None else demand.traffic_class
        barred = ways.barred(frame_of(profile, demand))
        groups.setdefault((barred, apart), []).append(demand)
    pairs = {demand.name: (demand.source, demand.target) for demand in profile.demands}
    plans: dict[str, DemandPlan] = {}
    rank = {one.name: (-one.priority, one.name) for one in profile.classes} | {"": (0, "")}
    for (barred, apart), demands in sorted(
        groups.items(), key=lambda one: (-len(one[0][0]), sorted(one[0][0]), rank[one[0][1]])
    ):
        frame = frame_of(profile, demands[0])
        graph = ways.routes(frame).graph
        here_bps = list(left_bps)
        if rooms is not None:
            for number in rooms.ports:
                here_bps[number] = min(left_bps[number], rooms.free_bps(apart, number))
        for made in _place_together(topology, profile, demands, graph, here_bps):
            plans[made.name] = made
            if barred and made.reason is not None:
                source, target = pairs[made.name]
                reason = made.reason + ways.why_barred(frame, source, [target])
                plans[made.name] = made.replace(reason=reason)
            for part in made.parts:
                for name in part.ports:
                    number = topology.port_by_name[name].number
                    left_bps[number] = max(left_bps[number] - part.rate_bps, 0)
                    if rooms is not None and number in rooms.ports:
                        rooms.take(apart, number, part.rate_bps)
    return [plans[demand.name] for demand in profile.demands]


def _place_together(
    topology: Topology,
    profile: Profile,
    demands: Sequence[Demand],
    graph: Graph,
    free_bps: Sequence[int],
) -> list[DemandPlan]:
    by_priority = _by_priority(profile, demands)
    wants: dict[Pair, int] = {}
    for demand in demands:
        pair = (demand.source, demand.target)
        wants[pair] = wants.get(pair, 0) + demand.rate_bps
    edge_free_bps = [sum(free_bps[port.number] for port in edge.ports) for edge in graph.edges]
    flow_bps = list(edge_free_bps)
    placed = place_flows(graph, edge_free_bps, wants)
    drawn = {
        demand.name: _draw(placed[demand.source, demand.target], demand.rate_bps)
        for demand in by_priority
    }
    hashed = _hash(by_priority, drawn, free_bps, edge_free_bps)
    # The hash asks for no room: what may be split goes beside what it has put on each wire.
    left_bps = list(free_bps)
    for parts in hashed.values():
        for part in parts:
            for name in part.ports:
                number = topology.port_by_name[name].number
                left_bps[number] = max(left_bps[number] - part.rate_bps, 0)
    wires = WireLoads(topology.ports, left_bps)
    for name in hashed:
        for route, rate_bps in drawn[name]:
            for edge in route.edges:
                flow_bps[edge.number] -= rate_bps
    for edge in graph.edges:
        wires.share(edge.ports, flow_bps[edge.number] - edge_free_bps[edge.number])
    plans: dict[str, DemandPlan] = {}
    for demand in by_priority:
        parts = (
            hashed[demand.name]
            if demand.name in hashed
            else [
                part
                for route, rate_bps in drawn[demand.name]
                for part in wires.assign(route, rate_bps)
            ]
        )
        placed_bps = sum(part.rate_bps for part in parts)
        plans[demand.name] = DemandPlan(
            name=demand.name,
            rate_bps=demand.rate_bps,
            placed_bps=placed_bps,
            parts=tuple(parts),
            reason=None
            if placed_bps == demand.rate_bps
            else _why_not_whole(demand, placed_bps)
            if placed_bps < sum(one.rate_bps for one in drawn[demand.name])
            else _why_not_all(graph, edge_free_bps, demand, placed_bps),
        )
    return list(plans.values())


def _hash(
    demands: Sequence[Demand],
    drawn: Mapping[str, Sequence[RouteRate]],
    free_bps: Sequence[int],
    edge_free_bps: Sequence[int],
) -> dict[str, list[DemandPart]]:
    """Give every microflow its links, and see on which wires the hash puts it."""
    rooms = Rooms(free_bps, edge_free_bps)
    return {
        demand.name: [
            part
            for bundle in rooms.bundle(demand, drawn[demand.name])
            for part in parts_of(demand, bundle)
        ]
        for demand in demands
        if demand.microflows is not None
    }


def _why_not_whole(demand: Demand, placed_bps: int) -> str:
    assert demand.microflows is not None, "what can be split is placed as it was drawn"
    return (
        f"placed {show_rate(placed_bps)} of {show_rate(demand.rate_bps)}; no one route has room "
        f"for another microflow of {show_rate(ceil_div(demand.rate_bps, demand.microflows))}"
    )


def _by_priority(profile: Profile, demands: Iterable[Demand]) -> list[Demand]:
    """Sort demands so that of one pair of nodes the class that goes first is served first."""
    return sorted(demands, key=lambda one: -profile.class_by_name[one.traffic_class].priority)


def _draw(routes: list[RouteRate], wanted_bps: int) -> list[RouteRate]:
    """Draw a demand's rate from what its pair of nodes was given, shortest route first."""
    drawn = []
    for place, (route, rate_bps) in enumerate(routes):
        amount = min(rate_bps, wanted_bps)
        if amount:
            drawn.append(RouteRate(route, amount))
            routes[place] = RouteRate(route, rate_bps - amount)
            wanted_bps -= amount
    return drawn


def _why_not_all(
    graph: Graph, edge_free_bps: Sequence[int], demand: Demand, placed_bps: int
) -> str:
    """Name the full ports around what the source can still reach."""
    if graph.shortest(demand.source, demand.target) is None:
        return f"no route from {demand.source} to {demand.target}"
    reached = distances(
        demand.source,
        lambda node: (
            (1, edge.enters) for edge in graph.leaving(node) if edge_free_bps[edge.number] > 0
        ),
    )
    assert graph.end(demand.target) not in reached, "what fits is placed"
    full = [
        port.name
        for edge in graph.edges
        if edge.source in reached and edge.enters not in reached
        for port in edge.ports
    ]
    names = ", ".join(full[:PORTS_NAMED])
    more = f" and {len(full) - PORTS_NAMED} more" if len(full) > PORTS_NAMED else ""
    return (
        f"placed {show_rate(placed_bps)} of {show_rate(demand.rate_bps)}; "
        f"full: port{'s' if len(full) > 1 else ''} {names}{more}"
    )
