"""What was seen of a run, in the flow metrics of the Open Traffic Generator model, JSON.

A network here takes a frame over when its last bit is there, and the tester that sends it is one
with the node. Its latency ends with the last bit received. The model's `store_forward` ends with
the first bit (LIFO, RFC 1242 clause 3.8), which comes a frame's time at the last port earlier;
`cut_through` begins with the first bit, too (FIFO), which came a frame's time at the speed of the
first port earlier. Preambles belong to no frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Literal, NamedTuple, get_args

from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import Exported
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.scenario import Scenario
from qnet.units import PS_PER_S

LatencyMode = Literal["store_forward", "cut_through"]
LATENCY_MODES: tuple[LatencyMode, ...] = get_args(LatencyMode)

_PS_PER_NS, _MS_PER_S = 1000, 1000
_SEVERAL_RATES = "latencies left out of flows whose ways have several rates at their ends"
_SEVERAL_SIZES = "least and largest latencies left out of flows of several frame sizes"


class _Flow(NamedTuple):
    """Who sends to whom, in frames of one size or several."""

    source: str
    target: str
    frame_bytes: int | None


def write(
    scenario: Scenario, plan: Plan, observation: Observation, latency: LatencyMode
) -> Exported:
    """Write the metrics of every stream, leg by leg, and demand, as an answer to GetMetrics.

    Rates are means over the run, in frames a second, loss in per cent.
    """
    notes = Notes()
    profile = scenario.profile
    flows = {
        one.name: _Flow(one.talker, one.listener, one.frame_bytes) for one in profile.every_stream
    }
    for demand in profile.demands:
        only = demand.sizes[0][0] if len(demand.sizes) == 1 else None
        flows[demand.name] = _Flow(demand.source, demand.target, only)
    ways = _ways(plan)
    rates = {name: port.rate_bps for name, port in scenario.topology.port_by_name.items()}
    metrics = []
    for seen in (*observation.streams, *observation.demands):
        ends = {
            side: {rates[way[place]] for way in ways.get(seen.name, ())}
            for side, place in (("in", 0), ("out", -1))
        }
        made = _metric(seen, flows[seen.name], observation.duration_ps)
        if seen.copies:
            made |= _latency(notes, seen, flows[seen.name].frame_bytes, ends, latency)
        metrics.append(made)
    data = {"choice": "flow_metrics", "flow_metrics": metrics}
    return Exported(json.dumps(data, indent=1, ensure_ascii=False) + "\n", notes.listed)


def _ways(plan: Plan) -> Mapping[str, list[tuple[str, ...]]]:
    """Return the ports of every way that a stream or demand has, in the course of the run."""
    ways: dict[str, list[tuple[str, ...]]] = {}
    streams: Iterable[StreamPlan | None] = (*plan.streams, *(one.stream for one in plan.moves))
    demands: Iterable[DemandPlan | None] = (*plan.demands, *(one.demand for one in plan.moves))
    for stream in streams:
        if stream is not None:
            ways.setdefault(stream.name, []).extend(path.ports for path in stream.paths)
    for demand in demands:
        if demand is not None:
            ways.setdefault(demand.name, []).extend(part.ports for part in demand.parts)
    return ways


def _metric(seen: Traffic, flow: _Flow, duration_ps: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": seen.name,
        "port_tx": flow.source,
        "port_rx": flow.target,
        "transmit": "stopped",
        "frames_tx": seen.sent,
        "frames_rx": seen.received,
        "bytes_tx": seen.sent_bytes,
        "bytes_rx": seen.received_bytes,
        "frames_tx_rate": float(Fraction(seen.sent * PS_PER_S, duration_ps)),
        "frames_rx_rate": float(Fraction(seen.received * PS_PER_S, duration_ps)),
        "loss": float(Fraction(100 * seen.lost, seen.sent)) if seen.sent else 0.0,
    }
    if seen.received:
        lost_s = Fraction(seen.lost * duration_ps, seen.received * PS_PER_S)
        made["packet_loss_duration"] = {"value": float(lost_s * _MS_PER_S)}
    return made


def _latency(
    notes: Notes,
    seen: Traffic,
    frame_bytes: int | None,
    ends: Mapping[str, set[int]],
    mode: LatencyMode,
) -> dict[str, Any]:
    """Return latencies from and to the bits that a mode asks for, as far as they are known."""
    asked = ("out",) if mode == "store_forward" else ("in", "out")
    if any(len(ends[side]) != 1 for side in asked):
        notes.note(_SEVERAL_RATES, seen.name)
        return {}

    def later_ps(mean_bytes: Fraction) -> Fraction:
        """How much later the latency of a frame ends here, less how much later it begins."""
        (out_bps,) = ends["out"]
        made = mean_bytes * 8 * PS_PER_S / out_bps
        if mode == "cut_through":
            (in_bps,) = ends["in"]
            made -= mean_bytes * 8 * PS_PER_S / in_bps
        return made

    mean_bytes = Fraction(seen.received_bytes, seen.received) if seen.received else Fraction(0)
    found = {}
    if frame_bytes is None:
        notes.note(_SEVERAL_SIZES, seen.name)
    else:
        mean_bytes = Fraction(frame_bytes)
        assert seen.latency_ps_min is not None, "frames came"
        assert seen.latency_ps_max is not None, "frames came"
        found["minimum_ns"] = seen.latency_ps_min - later_ps(mean_bytes)
        found["maximum_ns"] = seen.latency_ps_max - later_ps(mean_bytes)
    found["average_ns"] = Fraction(seen.latency_ps_sum, seen.copies) - later_ps(mean_bytes)
    return {"latency": {key: float(value / _PS_PER_NS) for key, value in found.items()}}
