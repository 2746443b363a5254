"""The simulator's world as the link emulator needs it: room for real frames among the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from qnet.emulate.frames.ports import stray_rings
from qnet.model.topology import Topology
from qnet.simulate.clocks.walks import CLOCK_BLOCK_PS
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.layout import RING, Ends, with_ends
from qnet.simulate.ports.parts import AT_LISTENER, Parts, PositionLaw
from qnet.simulate.setup import empty_lanes, hops_of
from qnet.simulate.world import (
    BLOCK_BINS,
    PortTally,
    RouteTable,
    Tally,
    World,
)
from qnet.units import PS_PER_S

Ints = NDArray[np.int64]
Number = TypeVar("Number", np.int32, np.int64)


class Edged(NamedTuple):
    """The world with an edge lane into every port, and two positions and an owner for every slot.

    A slot's first position is that of its frame at the port where it is, the second that at the
    point where copies of its stream meet.
    """

    world: World
    parts: Parts | None
    edge_lane: Ints
    """[port]: the lane for frames that come from no port."""
    out_first: Ints
    out_lane: Ints
    """[port]: the lanes out of port p are out_lane[out_first[p]:out_first[p + 1]]."""
    ring_of: Ints
    """[port, rank]: ring of a frame that no planned route brings; empty without general ports."""
    window_ps: int
    """Shortest way from one port to the next."""


def with_edges(
    simulated: World,
    parts: Parts | None,
    topology: Topology,
    found: Sequence[FrameSource],
    slots: int,
) -> Edged:
    """Add the lanes, positions and owners that real frames need.

    The edge lane of a port comes before its others: of frames that arrive together, the simulator
    takes those of the port's sources first. `with_room` gives it the room that it needs.
    """
    ports = len(topology.ports)
    hops = hops_of(found)
    made = with_ends(simulated, Ends(ports))
    by_feeder = np.argsort(hops.lane_feeder, kind="stable")
    between = simulated.lanes.reach[hops.lane_target < ports]
    world = made.world._replace(
        routes=_routes(made.world.routes, len(found), slots),
        tally=_tally(simulated.tally, slots),
    )
    ring_of = np.zeros((0, 0), dtype=np.int64)
    if parts is not None:
        parts, ring_of = stray_rings(parts, world.network.classes + 1)
        parts = _parts(parts, made.kept, world.lanes.base.size, slots)
    return Edged(
        world,
        parts,
        made.inputs,
        np.searchsorted(hops.lane_feeder[by_feeder], np.arange(ports + 1)),
        made.kept[by_feeder],
        ring_of,
        min(int(between.min(initial=CLOCK_BLOCK_PS)), CLOCK_BLOCK_PS),
    )


def with_room(edged: Edged, found: Sequence[FrameSource], ahead_ps: int) -> Edged:
    """Make room in the edge lanes for what the sources of a port send in `ahead_ps`."""
    rows = np.full(edged.edge_lane.size, RING, dtype=np.float64)
    for owner in found:
        ahead = owner.law.frames_per_s * ahead_ps / PS_PER_S
        rows[owner.ports[0].number] += 1.3 * ahead + 2 * owner.law.packets
    lanes = edged.world.lanes
    mask = lanes.mask.copy()
    mask[edged.edge_lane] = [(1 << int(one).bit_length()) - 1 for one in rows]
    lanes = empty_lanes(mask, lanes.feeder, lanes.reach)
    return edged._replace(world=edged.world._replace(lanes=lanes))


def _routes(routes: RouteTable, sources: int, slots: int) -> RouteTable:
    owner = sources + np.arange(slots)
    # All that there is to know of the second positions: the frame is handed over there.
    elimination = np.column_stack((np.full(slots, -1), owner)).astype(routes.hop.dtype)
    return RouteTable(
        hop=np.concatenate((_longer(routes.hop, slots), elimination)),
        rank=_longer(routes.rank, 2 * slots),
        shift=_longer(routes.shift, 2 * slots),
        owner=np.concatenate((routes.owner, owner, owner)),
        lost=_longer(routes.lost, 2 * slots),
        late=_longer(routes.late, 2 * slots),
        damper_clock=_longer(routes.damper_clock, slots),
    )


def _tally(tally: Tally, slots: int) -> Tally:
    # Real frames take the first block of every port for their latencies: nobody reads it.
    counts = tally.port.copy()
    counts[:, PortTally.BLOCK_ROOM] += 1
    counts[:, PortTally.BLOCK_BASE] = (
        np.cumsum(counts[:, PortTally.BLOCK_ROOM]) - counts[:, PortTally.BLOCK_ROOM]
    )
    counts[:, PortTally.BLOCKS] = 1
    return tally._replace(
        port=counts,
        owner=_longer(tally.owner, slots),
        block=_longer(tally.block, slots, 1),
        birth=_longer(tally.birth, slots),
        bins=np.zeros((int(counts[:, PortTally.BLOCK_ROOM].sum()), BLOCK_BINS), dtype=np.int64),
    )


def _parts(parts: Parts, moved: Ints, lanes: int, slots: int) -> Parts:
    position = _longer(parts.position, 2 * slots, -1)
    position[-slots:, PositionLaw.RING] = AT_LISTENER
    head = np.zeros(lanes, dtype=np.int64)
    head[moved] = parts.head
    return parts._replace(
        position=position,
        fork=_longer(parts.fork, 2 * slots, -1),
        dropped=_longer(parts.dropped, 2 * slots),
        broken=_longer(parts.broken, 2 * slots),
        head=head,
    )


def _longer(array: NDArray[Number], more: int, value: int = 0) -> NDArray[Number]:
    return np.concatenate((array, np.full((more, *array.shape[1:]), value, array.dtype)))
