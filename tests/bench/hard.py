"""Generators of hard sets of reserved streams: more is asked for than can be carried."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from qnet.model.topology import Topology
from qnet.model.traffic import Profile

DATA = Path(__file__).parent / "data"
CYCLE_US = 125


class Dice:
    """Whole numbers that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self._words = np.random.PCG64(seed)

    def below(self, count: int) -> int:
        return int(self._words.random_raw() >> 1) % count


def profile_of(streams: list[dict[str, object]], mechanism: str) -> Profile:
    classes = [{"name": "reserved", "priority": 6, "mechanism": mechanism}]
    given = {"title": "hard", "topology": "hard", "classes": classes, "streams": streams}
    return Profile.model_validate(given)


def internet2(count: int, mechanism: str) -> tuple[Topology, Profile]:
    """Return the eight-node CSQF example as files would have it.

    A cycle of 125 us holds ten packets; a packet is a frame of 1,230 bytes, 1,250 on the wire. With
    five buffers and an empty node a frame may wait as the example lets it, and a little more.
    """
    data = json.loads((DATA / "csqf-internet2.json").read_text())
    nodes = [{"name": f"n{number}"} for number in range(8)]
    ends: dict[tuple[int, int], float] = {}
    for near, far, ms in data["links_a_b_delay_ms"]:
        ends.setdefault((min(near, far), max(near, far)), ms)
    links = [
        {
            "between": [f"n{near}", f"n{far}"],
            "rate": "800Mbps",
            "delay": f"{round(ms * 1000)}us",
        }
        for (near, far), ms in ends.items()
    ]
    tcqf = {"cycle": f"{CYCLE_US}us", "buffers": 4}
    given = {"title": "internet2", "nodes": nodes, "links": links, "tcqf": tcqf}
    rows = data["streams_src_dst_period_cycles_packets"][:count]
    streams: list[dict[str, object]] = [
        {
            "name": f"s{number}",
            "from": f"n{source}",
            "to": f"n{target}",
            "interval": f"{period * CYCLE_US}us",
            "max-pkts-per-interval": packets,
            "max-payload-size": "1212B",
        }
        for number, (source, target, period, packets) in enumerate(rows)
    ]
    return Topology.model_validate(given), profile_of(streams, mechanism)


def crowded(nodes: int, streams: int, seed: int, mechanism: str) -> tuple[Topology, Profile]:
    """Return a random mesh of 10 Gb/s links, and streams of three ranks that crowd it.

    Every node has three or four neighbours; intervals are 1 to 12 cycles of 10 us, so that few
    divide each other; one stream in eight wants two paths, one in four has little time.
    """
    dice = Dice(seed)
    pairs = {(node, (node + 1) % nodes) for node in range(nodes)}
    while len(pairs) < nodes * 7 // 4:
        near, far = dice.below(nodes), dice.below(nodes)
        if near != far and (far, near) not in pairs:
            pairs.add((near, far))
    links = [
        {
            "between": [f"n{near}", f"n{far}"],
            "rate": "10Gbps",
            "delay": f"{20 + dice.below(400)}us",
        }
        for near, far in sorted(pairs)
    ]
    given = {
        "title": "crowded",
        "nodes": [{"name": f"n{number}"} for number in range(nodes)],
        "links": links,
        "tcqf": {"cycle": "10us", "buffers": 4 if mechanism == "tcqf" else 6},
    }
    rows: list[dict[str, object]] = []
    for number in range(streams):
        source = dice.below(nodes)
        target = (source + 1 + dice.below(nodes - 1)) % nodes
        row: dict[str, object] = {
            "name": f"s{number}",
            "from": f"n{source}",
            "to": f"n{target}",
            "interval": f"{10 * (1, 2, 3, 4, 6, 12)[dice.below(6)]}us",
            "max-pkts-per-interval": 1 + dice.below(3),
            "max-payload-size": f"{100 + dice.below(1400)}B",
            "paths": 2 if dice.below(8) == 0 else 1,
            "rank": (100, 500, 900)[dice.below(3)],
        }
        if dice.below(4) == 0:
            row["max-latency"] = f"{500 + dice.below(1000)}us"
        rows.append(row)
    return Topology.model_validate(given), profile_of(rows, mechanism)
