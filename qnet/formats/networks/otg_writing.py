"""Demands and streams as flows of the Open Traffic Generator model, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from qnet.formats.networks.flow_demands import (
    GAP_BITS,
    Sizes,
    class_of,
    mean_wire_bits,
    sending_rates_bps,
)
from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import Exported
from qnet.formats.networks.otg import SPEEDS
from qnet.formats.networks.otg_sizes import PREDEFINED
from qnet.formats.networks.writing import list_keys
from qnet.model.scenario import Scenario
from qnet.model.traffic import Demand, Profile, RecordedDemand
from qnet.units import PS_PER_S

RATE_LOWEST_BPS = 672
"""Of a flow: a frame of 64 bytes with preamble and gap every second."""

_GROUP_ADDRESS = "01:00:5e:00:00:01"
_DEMAND = frozenset({"name", "from", "to", "class", "rate", "arrival", "burst", "sizes"})
_STREAM = frozenset(
    {"name", "from", "to", "class", "count", "interval", "max-pkts-per-interval"}
    | {"max-payload-size", "encapsulation"}
)


class _Sent(NamedTuple):
    """What is sent from one node to another, or from one to several at once."""

    name: str
    source: str
    targets: Sequence[str]
    traffic_class: str
    rate_bps: Fraction
    sizes: Sizes
    burst: int


def write(scenario: Scenario) -> Exported:
    """Write a flow for each demand and stream, between ports that have the names of nodes."""
    notes = Notes()
    profile, topology = scenario.profile, scenario.topology
    known = frozenset({"title", "topology", "classes", "streams", "demands", "assumptions"})
    list_keys(notes, profile, "the traffic", known, "")
    for one in profile.classes:
        if one != class_of(one.priority):
            notes.note("classes written as their priorities alone", one.name)
    sent = [
        one for one in (*_demands(notes, profile), *_streams(notes, profile)) if _fits(notes, one)
    ]
    talking = {end for one in sent for end in (one.source, *one.targets)}
    names = [node.name for node in topology.nodes if node.name in talking]
    rates_bps = sending_rates_bps(topology)
    speeds = {name: _speed(rates_bps, name) for name in names}
    data: dict[str, Any] = {"ports": [{"name": name, "location": name} for name in names]}
    layer1 = []
    for word, speed_bps in _WORDS.items():
        of_it = [name for name in names if speeds[name] == (word, speed_bps)]
        if of_it:
            layer1.append({"name": word, "port_names": of_it, "speed": word})
    if layer1:
        data["layer1"] = layer1
    for name in names:
        if not speeds[name][0]:
            notes.note("speeds of ports left out that the model has no word for", name)
    data["flows"] = [
        _flow(notes, one, profile.class_by_name[one.traffic_class].priority, speeds[one.source][1])
        for one in sent
    ]
    return Exported(json.dumps(data, indent=1, ensure_ascii=False) + "\n", notes.listed)


_WORDS = {word: bps for word, bps in SPEEDS.items() if not word.endswith("_hd_mbps")}


def _speed(rates_bps: Mapping[str, set[int]], node: str) -> tuple[str, int]:
    """Return the word for the speed of a node's fastest way out, if there is one, and its rate."""
    speed_bps = max(rates_bps.get(node, ()), default=0)
    word = next((word for word, bps in _WORDS.items() if bps == speed_bps), "")
    return word, speed_bps


def _demands(notes: Notes, profile: Profile) -> Iterator[_Sent]:
    for one in profile.demands:
        if isinstance(one, RecordedDemand):
            notes.note("conversations of captures left out", one.name)
            continue
        list_keys(notes, one, "demands", _DEMAND, one.name)
        if one.arrival in ("poisson", "flows"):
            notes.note("frames at random written as at a constant rate", one.name)
        yield _Sent(
            one.name,
            one.source,
            (one.target,),
            one.traffic_class,
            Fraction(one.rate_bps),
            one.sizes,
            _burst(one),
        )


def _burst(demand: Demand) -> int:
    return demand.burst_packets if demand.arrival == "bursts" else 1


def _streams(notes: Notes, profile: Profile) -> Iterator[_Sent]:
    for one in profile.streams:
        list_keys(notes, one, "streams", _STREAM, one.name)
    for one in profile.every_tree:
        notes.note("streams written as flows, with nothing reserved for them", one.name)
        sizes = ((one.frame_bytes, 1),)
        bits = one.max_packets * mean_wire_bits(sizes)
        rate = bits * PS_PER_S / one.interval_ps
        yield _Sent(
            one.name, one.talker, one.listeners, one.traffic_class, rate, sizes, one.max_packets
        )


def _fits(notes: Notes, one: _Sent) -> bool:
    if one.rate_bps < RATE_LOWEST_BPS:
        words = f"what sends less than {RATE_LOWEST_BPS} bit/s, the least of a flow, left out"
        notes.note(words, one.name)
        return False
    return True


def _flow(notes: Notes, one: _Sent, priority: int, speed_bps: int) -> dict[str, Any]:
    """Return a flow; bursts go out at the speed of the port, with pauses between them."""
    if len(one.targets) > 1:
        addresses = {"dst": {"choice": "value", "value": _GROUP_ADDRESS}}
        packet: list[dict[str, Any]] = [{"choice": "ethernet", "ethernet": addresses}]
    else:
        packet = [{"choice": "ethernet", "ethernet": {}}]
    if priority:
        tag = {"priority": {"choice": "value", "value": priority}}
        packet.append({"choice": "vlan", "vlan": tag})
    ends = {"tx_name": one.source, "rx_names": list(one.targets)}
    rate_bps, duration = one.rate_bps, {"choice": "continuous", "continuous": {}}
    if one.burst > 1 and one.rate_bps <= speed_bps:
        bits = one.burst * mean_wire_bits(one.sizes)
        pause_s = bits / one.rate_bps - (bits - GAP_BITS) / speed_bps
        pause = {"choice": "nanoseconds", "nanoseconds": float(pause_s * 10**9)}
        burst = {"packets": one.burst, "inter_burst_gap": pause}
        rate_bps, duration = Fraction(speed_bps), {"choice": "burst", "burst": burst}
    elif one.burst > 1:
        notes.note("bursts faster than a port written as at a constant rate", one.name)
    whole_bps = round(rate_bps)
    if whole_bps != rate_bps:
        notes.note("rates rounded to whole bits a second", one.name)
    return {
        "name": one.name,
        "tx_rx": {"choice": "port", "port": ends},
        "packet": packet,
        "size": _size(one.sizes),
        "rate": {"choice": "bps", "bps": whole_bps},
        "duration": duration,
        "metrics": {"enable": True},
    }


def _size(sizes: Sizes) -> dict[str, Any]:
    if len(sizes) == 1:
        return {"choice": "fixed", "fixed": sizes[0][0]}
    if sizes == PREDEFINED["imix"]:
        pairs: dict[str, Any] = {"choice": "predefined", "predefined": "imix"}
    else:
        custom = [{"size": size, "weight": weight} for size, weight in sizes]
        pairs = {"choice": "custom", "custom": custom}
    return {"choice": "weight_pairs", "weight_pairs": pairs}
