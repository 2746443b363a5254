"""Real frames beside the simulator's own course of them: what each witness has of every stream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from qnet.emulate.frames.kernels import FRAME_BYTES, TIME
from qnet.emulate.frames.ports import VirtualPorts
from qnet.emulate.frames.sample import Sample, SampledPath
from qnet.emulate.tiers.follow_frames import Walk
from qnet.model.emulation import Emulation, Lateness, Witnesses
from qnet.model.histogram import BIN_COUNT, bin_low_ps
from qnet.model.loads import sent_by_name
from qnet.model.observation import Lost, Observation, Traffic
from qnet.model.proof import Proof
from qnet.model.traffic import Profile
from qnet.simulate.kernels.delivery import bin_of
from qnet.simulate.ports.account import copies_at
from qnet.simulate.world import NEVER, OwnerTally

SHIPPED = "qnet reservation app"

ROUNDING_PS = 0
"""Queues are served by the simulator's own arithmetic, in both tiers."""


def compare(
    case: Sample,
    proof: Proof,
    simulated: Observation,
    emulated: tuple[Walk, VirtualPorts],
    plain: Walk,
    findings: Sequence[str],
    until_ps: int = NEVER,
) -> Emulation:
    """Put what became of the real frames beside the simulator's own course, `plain`.

    Frames that one of both has before `until_ps` are compared, the others counted.
    """
    walk, ports = emulated
    walks = _before(until_ps, plain), _before(until_ps, walk)
    proofs = {one.name: one for one in proof.streams}
    seen = {one.name: one for one in (*simulated.streams, *simulated.demands)}
    rows: list[Witnesses] = []
    streams: list[Traffic] = []
    demands: list[Traffic] = []
    told = list(findings)
    groups: dict[str, list[SampledPath]] = defaultdict(list)
    for member in case.members:
        groups[member.stream.demand or member.stream.name].append(member)
    for name, members in groups.items():
        account = _account(name, members, walk, ports, case.profile)
        (demands if members[0].stream.demand else streams).append(account)
        went = [_latencies(members, one, ports) for one in walks]
        pairs = [(latency, went[1][n]) for n, latency in went[0].items() if n in went[1]]
        worst = max(pairs, key=lambda one: abs(one[1] - one[0]), default=None)
        proven, one = proofs.get(name), seen[name]
        rows.append(
            Witnesses(
                name=name,
                frames=account.sent,
                delivered=account.received,
                lost=account.lost,
                proven_latency_ps_max=proven and proven.latency_ps_max,
                proven_variation_ps=proven and proven.variation_ps,
                simulated_latency_ps_max=one.latency_ps_max,
                simulated_variation_ps=one.variation_ps,
                emulated_latency_ps_max=account.latency_ps_max,
                emulated_variation_ps=account.variation_ps,
                difference_ps=None if worst is None else abs(worst[1] - worst[0]),
                variation_difference_ps=_variation_difference(pairs),
            )
        )
        if worst is not None and abs(worst[1] - worst[0]) > ROUNDING_PS:
            told.append(f"{name}: a frame took {worst[1]} ps emulated and {worst[0]} ps simulated")
        missed = len(went[0].keys() - went[1].keys())
        if missed:
            told.append(f"{name}: {missed} frames came through simulated but not emulated")
        added = len(went[1].keys() - went[0].keys())
        if added:
            told.append(f"{name}: {added} frames came through emulated but not simulated")
    observation = Observation(
        witness="emulated",
        duration_ps=case.profile.simulation.duration_ps,
        steady_from_ps=min(simulated.steady_from_ps, case.profile.simulation.duration_ps),
        seed=case.profile.simulation.seed,
        frames=sum(one.sent for one in (*streams, *demands)),
        frame_hops=walk.hops,
        streams=tuple(streams),
        demands=tuple(demands),
        ports=(),
    )
    return Emulation(
        tier="lockstep",
        dilation=None,
        rounding_ps=ROUNDING_PS,
        controller=SHIPPED,
        switches=0,
        rules=0,
        frames=observation.frames,
        hops=walk.hops,
        lateness=Lateness(frames=walk.hops, violations=0, holds=0, held_ps=0),
        findings=tuple(told),
        streams=tuple(rows),
        observation=observation,
    )


def _before(until_ps: int, walk: Walk) -> Walk:
    return Walk(arrival_ps={n: at for n, at in walk.arrival_ps.items() if at < until_ps})


def _numbers(member: SampledPath, ports: VirtualPorts) -> range:
    first, last = ports.span[member.source].tolist()
    return range(first, last)


def _latencies(
    members: Sequence[SampledPath], walk: Walk, ports: VirtualPorts
) -> dict[tuple[int, int], int]:
    """Return the latency of every real frame that was delivered, by its entry and number.

    Where copies meet, the first one that was passed on is the frame's, whichever way it came.
    """
    meets = ports.found[members[0].source].elimination is not None
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for member in members:
        numbers = _numbers(member, ports)
        for n in numbers:
            if n in walk.arrival_ps:
                arrival_ps = walk.arrival_ps[n]
                one = arrival_ps, arrival_ps - int(ports.frames[n, TIME])
                key = member.stream.version, n - numbers.start if meets else n
                found[key] = min(found.get(key, one), one)
    return {key: latency for key, (_, latency) in found.items()}


def _variation_difference(pairs: Sequence[tuple[int, int]]) -> int | None:
    """Compare the variations of simulated and emulated latencies of the same frames."""
    if not pairs:
        return None
    simulated, emulated = ([pair[who] for pair in pairs] for who in (0, 1))
    return abs((max(emulated) - min(emulated)) - (max(simulated) - min(simulated)))


def _account(
    name: str, members: Sequence[SampledPath], walk: Walk, ports: VirtualPorts, profile: Profile
) -> Traffic:
    """Sum up the real frames of a stream's paths or a demand's parts.

    A frame sent over two paths is received when one copy is, and lost when both are lost or
    discarded. What recovery counted is of all the stream's frames, simulated ones too.
    """
    copies = members[0].stream.demand is None
    versions = [member.stream.version for member in members]
    recovery = copies_at(ports.parts, ports.found[members[0].source].elimination)
    sent, received, late, sent_bytes, received_bytes, steady = [], [], 0, [], [], 0
    trips: list[list[tuple[int, int]]] = []
    came: list[set[tuple[int, int]]] = []
    gone: list[set[tuple[int, int]]] = []
    dropped: list[int] = []
    latencies: list[int] = []
    network = ports.world.network
    floor = min(int(ports.world.tally.owner[member.source, OwnerTally.FLOOR]) for member in members)
    for member in members:
        numbers = _numbers(member, ports)
        got = [n for n in numbers if n in walk.arrival_ps]
        sizes = ports.frames[:, FRAME_BYTES]
        sent.append(len(numbers))
        sent_bytes.append(int(sizes[numbers.start : numbers.stop].sum()))
        received.append(len(got))
        version = member.stream.version
        came.append({(version, n - numbers.start) for n in got})
        discarded = walk.met - walk.arrival_ps.keys()
        dropped.append(sum(n in walk.lost for n in numbers))
        gone.append(
            {(version, n - numbers.start) for n in numbers if n in walk.lost or n in discarded}
        )
        received_bytes.append(sum(int(sizes[n]) for n in got))
        born = ports.frames[:, TIME]
        trips.append([(walk.arrival_ps[n] - int(born[n]), int(born[n])) for n in got])
        latencies += [latency for latency, _ in trips[-1]]
        steady += sum(int(sizes[n]) + 20 for n in got if walk.arrival_ps[n] >= network.steady_from)
        late += _late(member, ports)
    bins = np.zeros(BIN_COUNT, dtype=np.int64)
    for member, trip in zip(members, trips, strict=True):
        # As the simulator merges them: those of longer routes are moved up by the difference.
        own = int(ports.world.tally.owner[member.source, OwnerTally.FLOOR])
        for latency, _ in trip:
            index = bin_of(latency - own)
            bins[bin_of(bin_low_ps(index) + own - floor) if own > floor else index] += 1
    arrived, lost, bytes_arrived = sum(received), sum(dropped), sum(received_bytes)
    if copies:
        ever = set.union(*came)
        lost = sum(
            len(
                set.intersection(*(gone[i] for i, one in enumerate(versions) if one == version))
                - ever
            )
            for version in set(versions)
        )
        size = max(sent_bytes) // max(*sent, 1)
        arrived, bytes_arrived = len(ever), len(ever) * size

    def once(counts: Sequence[int]) -> int:
        """Add up what is counted once for all copies of a frame."""
        if not copies:
            return sum(counts)
        most: dict[int, int] = {}
        for version, one in zip(versions, counts, strict=True):
            most[version] = max(one, most.get(version, 0))
        return sum(most.values())

    return Traffic(
        name=name,
        service=sent_by_name(profile)[name].service,
        sent=once(sent),
        received=arrived,
        copies=sum(received),
        lost=lost,
        in_flight=once(sent) - arrived - lost,
        late=late,
        copies_sent=sum(sent),
        copies_lost=sum(dropped),
        sent_bytes=once(sent_bytes),
        received_bytes=bytes_arrived,
        steady_bytes=steady,
        latency_ps_min=min(latencies, default=None),
        latency_ps_sum=sum(latencies),
        latency_ps_max=max(latencies, default=None),
        floor_ps=floor,
        histogram=tuple((int(i), int(bins[i])) for i in np.flatnonzero(bins)),
        best_birth_ps=_birth_of(min, trips),
        worst_birth_ps=_birth_of(max, trips),
        recovery=recovery,
        lost_by=(Lost(cause=UNSEEN, frames=lost),) if lost else (),
    )


UNSEEN = "not seen again"
"""Why an emulated frame was lost, where nobody saw it happen."""


def _birth_of(most: Callable[..., int], trips: Sequence[Sequence[tuple[int, int]]]) -> int | None:
    """Return the birth of the first frame that had the least or largest latency of all paths."""
    latencies = [latency for rows in trips for latency, _ in rows]
    if not latencies:
        return None
    wanted = most(latencies)
    return min(birth for rows in trips for latency, birth in rows if latency == wanted)


def _late(member: SampledPath, ports: VirtualPorts) -> int:
    """Count late events of real frames; at the first port those of the whole source."""
    late = ports.world.routes.late
    way = ports.servers(member.source)
    return int(late[way[0]] + sum(late[ports.planned_positions + one] for one in way))
