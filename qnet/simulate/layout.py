"""The world of a run at time zero, for all who run it: the simulator and both tiers.

The simulator runs it as it is. Where real frames come in between, they need lanes that no route of
the plan has: from outside into a server, and out of it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.progress import Heeded
from qnet.simulate.frame_sources import FrameSource, sources_of
from qnet.simulate.ports.parts import Parts
from qnet.simulate.ports.setup import add_parts
from qnet.simulate.settings import PortChange
from qnet.simulate.setup import build, empty_lanes
from qnet.simulate.turns import Change, apply_turns, turns_by_time
from qnet.simulate.world import NextHop, World

Ints = NDArray[np.int64]

RING = 64
"""Rows of an added lane; a power of two."""


class Layout(NamedTuple):
    """A world, what sends in it, and what its general ports have beside it."""

    found: tuple[FrameSource, ...]
    world: World
    parts: Parts | None
    """None where all ports are plain."""
    turns: Mapping[int, Sequence[Change]]
    """When sources begin to send, or end; those of time zero are in the world already."""
    changes: Sequence[PortChange]
    """What events make of ports while a run goes on."""


class Ends(NamedTuple):
    """Lanes for frames that come from outside, or leave."""

    into: int
    """How many servers, from the first on, have one into them."""
    out_of: int = 0
    """How many have one out of them."""
    behind: bool = False
    """Whether, of frames that come at one instant, those from outside are behind the others."""
    reach_ps: int = 0
    """How long a frame is in such a lane at least."""


class Extended(NamedTuple):
    """A world with more lanes, and the numbers that lanes have in it."""

    world: World
    kept: Ints
    """[lane before]: what was there."""
    inputs: Ints
    """[server]: the lane from outside."""
    outputs: Ints
    """[server]: the lane that leads out."""


def lay_out(
    topology: Topology, profile: Profile, plan: Plan, heeded: Heeded | None = None
) -> Layout:
    """Lay out the world at time zero.

    Raises Cancelled, InputError for a move that cannot be, and Infeasible where parts meet that are
    not simulated together.
    """
    found = sources_of(topology, profile, plan)
    world = build(topology, profile, plan, found, heeded)
    world, parts, changes = add_parts(topology, profile, plan, found, world)
    turns = turns_by_time(found, profile.simulation.duration_ps)
    apply_turns(turns.get(0, ()), found, world, parts)
    return Layout(found, world, parts, turns, changes)


def with_ends(world: World, ends: Ends) -> Extended:
    """Add lanes to a world at time zero. Parts that go by lane or position are not changed."""
    network, lanes = world.network, world.lanes
    servers = np.arange(network.lane_first.size - 1)
    into = np.repeat(servers, np.diff(network.lane_first))
    kept = np.arange(into.size) + np.minimum(into + (not ends.behind), ends.into)
    lane_first = network.lane_first + np.minimum(np.arange(network.lane_first.size), ends.into)
    inputs = lane_first[1 : ends.into + 1] - 1 if ends.behind else lane_first[: ends.into]
    outputs = lane_first[-1] + np.arange(ends.out_of)
    count = int(lane_first[-1]) + ends.out_of
    mask = np.full(count, RING - 1, dtype=np.int64)
    feeder, reach = np.empty(count, dtype=np.int64), np.full(count, ends.reach_ps, dtype=np.int64)
    mask[kept], feeder[kept], reach[kept] = lanes.mask, lanes.feeder, lanes.reach
    feeder[inputs], feeder[outputs] = servers[: ends.into], np.arange(ends.out_of)
    hop = world.routes.hop.copy()
    on = hop[:, NextHop.LANE] >= 0
    hop[on, NextHop.LANE] = kept[hop[on, NextHop.LANE]]
    made = world._replace(
        network=network._replace(lane_first=lane_first, only_rank=np.zeros_like(network.only_rank)),
        routes=world.routes._replace(hop=hop),
        lanes=empty_lanes(mask, feeder, reach),
    )
    return Extended(made, kept, inputs, outputs)
