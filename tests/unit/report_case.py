"""A case for the report's tests: twelve cities, one of them with six nodes, all made by hand."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from qnet.model.histogram import BIN_COUNT, bin_low_ps
from qnet.model.observation import Observation, PortUse, Traffic
from qnet.model.plan import DemandPart, DemandPlan, EgressPlan, PathPlan, Plan, StreamPlan
from qnet.model.proof import PortProof, Proof, StreamProof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.verdict import Row, Verdict
from qnet.units import wire_bytes

US = 10**6
MS = 10**9
CYCLE_PS = 10 * US
HYPERCYCLE = 100

CITIES = {
    "beijing": "39.90N 116.40E",
    "zhengzhou": "34.75N 113.62E",
    "harbin": "45.80N 126.53E",
    "shanghai": "31.23N 121.47E",
    "suzhou": "31.30N 120.62E",
    "guangzhou": "23.13N 113.26E",
    "chengdu": "30.57N 104.07E",
    "guiyang": "26.65N 106.63E",
    "hohhot": "40.84N 111.75E",
    "zhongwei": "37.51N 105.19E",
    "wuhu": "31.33N 118.38E",
    "xian": "34.27N 108.95E",
}
CAMPUS = {
    "qy-ixp-1": ("exchange", "35.71N 107.64E"),
    "qy-ixp-2": ("exchange", "35.73N 107.68E"),
    "qy-centre-1": ("centre", "35.70N 107.60E"),
    "qy-centre-2": ("centre", "35.72N 107.61E"),
    "qy-centre-3": ("centre", "35.74N 107.66E"),
    "qy-carrier": ("carrier", "35.71N 107.70E"),
}
ROUTES = (
    ("qy-ixp-1", "xian", 8, None),
    ("qy-ixp-2", "xian", 8, "south"),
    ("qy-ixp-1", "zhongwei", 4, None),
    ("qy-ixp-2", "hohhot", 4, None),
    ("qy-carrier", "chengdu", 4, None),
    ("xian", "zhengzhou", 8, "north"),
    ("xian", "zhengzhou", 4, "south"),
    ("xian", "chengdu", 4, None),
    ("zhengzhou", "beijing", 8, None),
    ("zhengzhou", "wuhu", 8, None),
    ("wuhu", "suzhou", 4, None),
    ("suzhou", "shanghai", 4, None),
    ("wuhu", "shanghai", 4, None),
    ("hohhot", "beijing", 4, None),
    ("beijing", "harbin", 2, None),
    ("chengdu", "guiyang", 4, None),
    ("guiyang", "guangzhou", 4, None),
    ("guangzhou", "shanghai", 2, None),
    ("zhongwei", "hohhot", 2, None),
)
INSIDE = (
    ("qy-ixp-1", "qy-ixp-2"),
    ("qy-centre-1", "qy-ixp-1"),
    ("qy-centre-1", "qy-ixp-2"),
    ("qy-centre-2", "qy-ixp-1"),
    ("qy-centre-2", "qy-ixp-2"),
    ("qy-centre-3", "qy-ixp-1"),
    ("qy-centre-3", "qy-ixp-2"),
    ("qy-carrier", "qy-ixp-1"),
    ("qy-carrier", "qy-ixp-2"),
)
SERVICES = (
    # name, from, to, count, interval, payload, promised latency, promised variation
    ("surgery", "qy-centre-1", "shanghai", 12, "1ms", "1400B", "25ms", "50us"),
    ("power-grid", "qy-centre-2", "chengdu", 20, "200us", "256B", "15ms", "20us"),
    ("factory", "beijing", "qy-centre-3", 8, "500us", "512B", "20ms", "30us"),
    ("exchange", "zhengzhou", "shanghai", 6, "100us", "1000B", "20ms", None),
    ("far", "harbin", "qy-centre-1", 3, "1ms", "1400B", "10ms", None),
)
DEMANDS = (
    ("train-north", "qy-centre-1", "beijing", "1.2Tbps"),
    ("train-east", "qy-centre-2", "shanghai", "1.5Tbps"),
    ("video", "qy-centre-3", "guangzhou", "900Gbps"),
    ("backup", "chengdu", "qy-centre-3", "300Gbps"),
)


class Case(NamedTuple):
    """What `page` and `write_report` take, in their order."""

    topology: Topology
    profile: Profile
    plan: Plan
    proof: Proof
    observation: Observation | None
    verdict: Verdict


def topology(*, positions: bool = True) -> Topology:
    def node(name: str, site: str, role: str, place: str) -> dict[str, object]:
        where = {"position": place} if positions else {}
        return {"name": name, "site": site, "role": role, "processing": "2us..3us", **where}

    length = {} if positions else {"length": "500km"}
    return Topology.model_validate(
        {
            "title": "Qingyang and eleven other cities (test network)",
            "assumptions": ("Fibre is 1.8 times the great circle.",),
            "nodes": (
                *(node(name, "qingyang", role, at) for name, (role, at) in CAMPUS.items()),
                *(node(name, name, "city", at) for name, at in CITIES.items()),
            ),
            "links": (
                *(
                    {"between": (a, b), "rate": "400Gbps", "members": 4, "length": "12km"}
                    for a, b in INSIDE
                ),
                *(
                    {"between": (a, b), "rate": "400Gbps", "members": members, **length}
                    | ({"name": name, "cable": f"{a}-{b}-{name}"} if name else {})
                    for a, b, members, name in ROUTES
                ),
            ),
        }
    )


def profile() -> Profile:
    return Profile.model_validate(
        {
            "title": "Five services and the training traffic of three centres",
            "topology": "test",
            "assumptions": ("Payload sizes are those of a survey.", "All talkers are in phase."),
            "streams": tuple(
                {
                    "name": name,
                    "from": talker,
                    "to": listener,
                    "count": count,
                    "interval": interval,
                    "max-payload-size": payload,
                    "max-latency": latency,
                    "max-loss": "0%",
                    "max-pkts-per-interval": 4,
                }
                | ({"max-latency-variation": variation} if variation else {})
                for name, talker, listener, count, interval, payload, latency, variation in SERVICES
            ),
            "demands": tuple(
                {"name": name, "from": source, "to": target, "rate": rate, "group": "bulk"}
                for name, source, target, rate in DEMANDS
            ),
            "egress": ({"site": "qingyang", "rate": "10Tbps"},),
        }
    )


def route(network: Topology, source: str, target: str, member: int) -> tuple[str, ...]:
    """Shortest route by hops; `member` spreads over the wires of each hop."""
    came: dict[str, str] = {source: ""}
    queue = deque([source])
    while queue:
        here = queue.popleft()
        for port in network.ports:
            if port.source == here and port.target not in came:
                came[port.target] = here
                queue.append(port.target)
    hops: list[str] = []
    here = target
    while came[here]:
        wires = [p.name for p in network.ports if (p.source, p.target) == (came[here], here)]
        hops.append(wires[member % len(wires)])
        here = came[here]
    return tuple(reversed(hops))


def latency_ps(network: Topology, ports: tuple[str, ...]) -> int:
    return sum(network.port_by_name[name].propagation_ps + 3 * US for name in ports)


def bin_above(excess_ps: int) -> int:
    return max(i for i in range(BIN_COUNT) if bin_low_ps(i) <= excess_ps)


def plan(network: Topology, traffic: Profile) -> Plan:
    streams = []
    for number, stream in enumerate(traffic.every_stream):
        if stream.service == "far":
            reason = "propagation alone is 21.4 ms of 10 ms"
            streams.append(StreamPlan(name=stream.name, status="refused", reason=reason))
            continue
        ports = route(network, stream.talker, stream.listener, number % 2)
        first = (number * 7) % (stream.interval_ps // CYCLE_PS)
        cycles = tuple(first + 3 * hop for hop in range(len(ports)))
        path = PathPlan(ports=ports, cycles=cycles)
        send_ps = first * CYCLE_PS
        streams.append(
            StreamPlan(name=stream.name, status="admitted", send_ps=send_ps, paths=(path,))
        )
    demands = []
    for demand in traffic.demands:
        parts = tuple(
            DemandPart(
                ports=route(network, demand.source, demand.target, wire),
                rate_bps=demand.rate_bps // 4,
            )
            for wire in range(4 if demand.name != "video" else 3)
        )
        placed = sum(part.rate_bps for part in parts)
        full = "the cable guiyang--guangzhou is full" if placed < demand.rate_bps else None
        demands.append(
            DemandPlan(
                name=demand.name,
                rate_bps=demand.rate_bps,
                placed_bps=placed,
                parts=parts,
                reason=full,
            )
        )
    return Plan(
        qnet_version="0.1.0",
        topology_sha256="4f" * 32,
        traffic_sha256="a7" * 32,
        cycle_ps=CYCLE_PS,
        buffers=4,
        hypercycle=HYPERCYCLE,
        streams=tuple(streams),
        demands=tuple(demands),
        egress=(
            EgressPlan(
                site="qingyang",
                required_bps=10 * 10**12,
                offered_bps=10_400 * 10**9,
                placed_bps=10_120 * 10**9,
                bound_bps=10_180 * 10**9,
            ),
        ),
    )


def proof(network: Topology, traffic: Profile, planned: Plan) -> Proof:
    streams = []
    used: set[str] = set()
    for stream in planned.streams:
        if not stream.paths:
            streams.append(StreamProof(name=stream.name, latency_ps_min=None, latency_ps_max=None))
            continue
        low = latency_ps(network, stream.paths[0].ports) + 18 * US
        streams.append(
            StreamProof(name=stream.name, latency_ps_min=low, latency_ps_max=low + 14 * US)
        )
        used.update(stream.paths[0].ports)
    ports = tuple(fullest_cycle(traffic, planned, name) for name in sorted(used))
    return Proof(streams=tuple(streams), ports=ports, findings=())


def fullest_cycle(traffic: Profile, planned: Plan, name: str) -> PortProof:
    reserved = [0] * HYPERCYCLE
    for stream, fate in zip(traffic.every_stream, planned.streams, strict=True):
        for path in fate.paths:
            for port, cycle in zip(path.ports, path.cycles, strict=True):
                if port == name:
                    for turn in range(cycle, cycle + HYPERCYCLE, stream.interval_ps // CYCLE_PS):
                        reserved[turn % HYPERCYCLE] += 4 * wire_bytes(stream.frame_bytes)
    cycle = reserved.index(max(reserved))
    return PortProof(port=name, cycle=cycle, reserved_bytes=reserved[cycle], capacity_bytes=12_500)


def observation(network: Topology, traffic: Profile, planned: Plan) -> Observation:
    streams = []
    for number, (stream, fate) in enumerate(
        zip(traffic.every_stream, planned.streams, strict=True)
    ):
        ports = fate.paths[0].ports if fate.paths else ()
        floor = latency_ps(network, ports)
        late = 3 if stream.name == "factory-5" else 0
        spread = [(20 * US + step * US, 10 + (step * 7 + number) % 9) for step in range(11)]
        streams.append(
            account(stream.name, stream.service, floor, spread if ports else [], 0, late)
        )
    demands = []
    for demand, placed in zip(traffic.demands, planned.demands, strict=True):
        floor = latency_ps(network, placed.parts[0].ports)
        tail = [(2**step * US // 4, 40_000 // (step * step + 1)) for step in range(14)]
        demands.append(account(demand.name, demand.service, floor, tail, 412, 0))
    ports_used = tuple(
        PortUse(
            port=port.name,
            came=40_000 + 977 * port.number + (412 if port.number % 61 == 3 else 0),
            sent_frames=40_000 + 977 * port.number,
            sent_bytes=10**8,
            steady_bytes=port.number * 37 % 101 * port.number * 53_000,
            queue_bytes_max=port.number * 37 % 101 * 9_120,
            dropped=412 if port.number % 61 == 3 else 0,
            lost_on_link=0,
            waiting=0,
        )
        for port in network.ports
        if port.number % 5
    )
    return Observation(
        witness="simulated",
        duration_ps=40 * MS,
        steady_from_ps=10 * MS,
        seed=7,
        frames=8_412_306,
        frame_hops=31_204_551,
        streams=tuple(streams),
        demands=tuple(demands),
        ports=ports_used,
    )


def account(
    name: str, service: str, floor: int, spread: list[tuple[int, int]], lost: int, late: int
) -> Traffic:
    frames = sum(count for _, count in spread)
    bins: dict[int, int] = {}
    for excess, count in spread:
        bins[bin_above(excess)] = bins.get(bin_above(excess), 0) + count
    return Traffic(
        name=name,
        service=service,
        sent=frames + lost,
        received=frames,
        copies=frames,
        lost=lost,
        in_flight=0,
        late=late,
        copies_sent=frames + lost,
        copies_lost=lost,
        sent_bytes=frames * 1000,
        received_bytes=frames * 1000,
        steady_bytes=frames * 700,
        latency_ps_min=floor + spread[0][0] if spread else None,
        latency_ps_sum=sum((floor + excess) * count for excess, count in spread),
        latency_ps_max=floor + spread[-1][0] if spread else None,
        floor_ps=floor,
        histogram=tuple(sorted(bins.items())),
    )


def row(subject: str, kind: str, *figures: int | None, **more: object) -> Row:
    promised, proven, simulated = figures
    outcome = "fail" if "reason" in more else "pass"
    values = {"members": 1, "outcome": outcome, "worst": None, "reason": None, "emulated": None}
    values |= {"promised": promised, "proven": proven, "simulated": simulated}
    return Row.model_validate({**values, **more, "subject": subject, "kind": kind})


def verdict() -> Verdict:
    late = "3 frames of factory-5 reached beijing->zhengzhou/2 after their cycle had begun"
    far = "propagation alone is 21.4 ms of 10 ms"
    full = "225 Gb/s of 900 Gb/s found no room: the cable guiyang--guangzhou is full"
    rows = (
        row("surgery", "latency", 25 * MS, 17_412_345_678, 17_409_001_234, members=12),
        row("surgery", "variation", 50 * US, 14 * US, 10 * US, members=12),
        row("power-grid", "latency", 15 * MS, 8_012_345_678, 8_009_001_234, members=20),
        row("power-grid", "variation", 20 * US, 14 * US, 10 * US, members=20),
        row("factory", "late", 0, None, 3, members=8, worst="factory-5", reason=late),
        row("exchange", "latency", 20 * MS, 9_312_345_678, 9_309_001_234, members=6),
        row("far", "admitted", 3, 0, None, members=3, worst="far-1", reason=far),
        row("bulk", "placed", 3900 * 10**9, 3675 * 10**9, None, members=4, reason=full),
        row("bulk", "loss", 10**6, None, 21_300, members=4),
        row("qingyang", "egress", 10**13, 10_120 * 10**9, 10_118_700_000_000),
    )
    return Verdict(
        title="Five services over twelve cities",
        outcome="fail",
        findings=(
            "power-grid-3: simulated latency 8.019 ms is above the proven 8.012 ms; "
            "one of the two witnesses is wrong",
        ),
        rows=rows,
        assumptions=("Fibre is 1.8 times the great circle.",),
        notes=("The run was 40 ms of network time; rarer events than that were not seen.",),
    )


def case(*, simulated: bool = True, positions: bool = True) -> Case:
    network, traffic = topology(positions=positions), profile()
    planned = plan(network, traffic)
    seen = observation(network, traffic, planned) if simulated else None
    return Case(network, traffic, planned, proof(network, traffic, planned), seen, verdict())


def test_the_case_hangs_together() -> None:
    whole = case()
    names = {stream.name for stream in whole.profile.every_stream}
    assert names == {stream.name for stream in whole.plan.streams}
    for stream in whole.plan.streams:
        for path in stream.paths:
            assert set(path.ports) <= set(whole.topology.port_by_name)
