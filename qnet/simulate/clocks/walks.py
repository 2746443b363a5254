"""What a clock's error is at every full millisecond."""

from __future__ import annotations

from qnet.model.topology import Clock, Sync, Topology
from qnet.model.traffic import Profile
from qnet.simulate.draws import integers
from qnet.units import PPB, PS_PER_MS, ceil_div

CLOCK_BLOCK_PS = PS_PER_MS
"""`Clock.wander` is per millisecond; between two of them errors change evenly."""


def clock_walk(topology: Topology, profile: Profile, node: str) -> list[int]:
    """Return a clock's error at every full millisecond of a run, in whole steps of its counter."""
    blocks = ceil_div(profile.simulation.duration_ps, CLOCK_BLOCK_PS) + 1
    return error_walk(topology, node, blocks, profile.simulation.seed)


def error_walk(topology: Topology, node: str, blocks: int, seed: int) -> list[int]:
    """Return a clock's errors at the first `blocks` full milliseconds.

    Set by a grandmaster: what the hops from it add up to, until it is lost. Else a random walk
    between the bounds of the clock, and on top of it what its frequency offset makes of the time.
    """
    clock = topology.node_by_name[node].clock
    unit = max(clock.granularity_ps, 1)
    drift_ppb = _drawn_ppb(clock, node, seed)
    walk = _own_walk(clock, node, blocks, seed)
    lost = 0
    if topology.sync is not None and node in topology.sync_ways:
        walk = _followed_walk(topology, topology.sync, node, blocks, seed)
        lost = (topology.sync.lost_at_ps or blocks * CLOCK_BLOCK_PS) // CLOCK_BLOCK_PS
        walk = walk[: lost + 1] + [walk[min(lost, blocks - 1)]] * (blocks - lost - 1)
    drift = [max(block - lost, 0) * CLOCK_BLOCK_PS * drift_ppb // PPB for block in range(blocks)]
    return [error + away // unit * unit for error, away in zip(walk[:blocks], drift, strict=True)]


def own_drift_ppb(topology: Topology, profile: Profile, node: str) -> int:
    """Return how much a clock falls behind while nothing corrects it, as is drawn for it."""
    return _drawn_ppb(topology.node_by_name[node].clock, node, profile.simulation.seed)


def _drawn_ppb(clock: Clock, node: str, seed: int) -> int:
    drawn = integers(seed, f"frequency {node}", 1, 2 * clock.frequency_ppb + 1)
    return drawn[0] - clock.frequency_ppb


def _own_walk(clock: Clock, node: str, blocks: int, seed: int) -> list[int]:
    unit = max(clock.granularity_ps, 1)
    bound, most = clock.error_ps // unit, clock.wander_ps // unit
    starts = integers(seed, f"clock {node}", 1, 2 * bound + 1)
    steps = integers(seed, f"wander {node}", blocks - 1, 2 * most + 1)
    walk = [starts[0] - bound]
    for step in steps:
        walk.append(max(-bound, min(bound, walk[-1] + step - most)))
    return [unit * error for error in walk]


def _followed_walk(topology: Topology, sync: Sync, node: str, blocks: int, seed: int) -> list[int]:
    """Return what the hops from the grandmaster add up to, as fast as the clock follows it."""
    clock = topology.node_by_name[node].clock
    unit = max(clock.granularity_ps, 1)
    most = clock.wander_ps // unit
    # Errors are known at full milliseconds: of several draws within one the last tells.
    every_ps = max(sync.interval_ps, CLOCK_BLOCK_PS)
    goals = [0] * ceil_div(blocks * CLOCK_BLOCK_PS, every_ps)
    for number in topology.sync_ways[node]:
        port = topology.ports[number]
        drawn = integers(seed, f"sync {port.name}", len(goals), 2 * sync.hop_error_ps + 1)
        for i, one in enumerate(drawn):
            goals[i] += one - sync.hop_error_ps + topology.asymmetry_ps(port)
    walk = [goals[0] // unit]
    for block in range(1, blocks):
        step = goals[block * CLOCK_BLOCK_PS // every_ps] // unit - walk[-1]
        walk.append(walk[-1] + max(-most, min(most, step)))
    return [unit * error for error in walk]
