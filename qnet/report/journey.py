"""The journey of a frame as text: every line an amount of time, and their sum the latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qnet.model.journey import Hop, Journey, Loss, Wait
from qnet.report.text import printable
from qnet.units import PS_PER_NS, show_time

WAITS_SHOWN = 6
"""A frame can wait for a thousand others; the longest waits say enough."""


def journey_lines(journey: Journey) -> list[str]:
    """Lay out a journey; the amounts add up to the latency, to the picosecond."""
    which = ""
    if journey.path_count > 1:
        which = f", {journey.path} of its {journey.path_count} routes"
    lines = [
        f"{journey.name} ({journey.traffic_class}{which}): frame {journey.number:,}, "
        f"{journey.frame_bytes:,} bytes, born at {show_time(journey.birth_ps, 6)}"
    ]
    for hop in journey.hops:
        lines.append(f"{hop.port}, from {show_time(hop.queued_ps - journey.birth_ps, 6)} on")
        lines += [f"{_ns(amount):>18}  {what}" for amount, what in _parts(hop, journey.birth_ps)]
    if journey.loss is not None:
        loss = journey.loss
        lines += [
            f"{loss.port}, from {show_time(loss.time_ps - journey.birth_ps, 6)} on",
            f"{'':18}  {_loss(loss)}",
        ]
    elif journey.latency_ps is None:
        lines.append(f"{'':18}  on its way when the run ended")
    else:
        lines.append(f"{_ns(journey.accounted_ps):>18}  latency")
    return [printable(line) for line in lines]


def _loss(loss: Loss) -> str:
    if loss.held_bytes is not None:
        return f"lost: no room in its queue, which held {loss.held_bytes:,} bytes"
    return (
        loss.cause if "discarded" in loss.cause or "lost" in loss.cause else f"lost: {loss.cause}"
    )


def _ns(time_ps: int) -> str:
    """Write a time exactly: _ns(1_234_567) is '1,234.567 ns'."""
    return f"{time_ps // PS_PER_NS:,}.{time_ps % PS_PER_NS:03d} ns"


def _parts(hop: Hop, birth_ps: int) -> Iterator[tuple[int, str]]:
    yield from _waits(hop, birth_ps)
    on_wire = "on the wire" + _cycle(hop)
    if hop.overlap_ps:
        on_wire += f" until the next port may begin; {_ns(hop.overlap_ps)} more beside it"
    yield hop.ended_ps - hop.started_ps - hop.overlap_ps, on_wire
    if hop.propagation_ps:
        yield hop.propagation_ps, "propagation"
    if hop.processing_ps:
        yield hop.processing_ps, "processing"
    if hop.damper_ps:
        yield hop.damper_ps, "held by the damper"


def _cycle(hop: Hop) -> str:
    if hop.cycle is None:
        return ""
    if hop.cycle == hop.planned_cycle:
        return f", in cycle {hop.cycle:,} as planned"
    return f", in cycle {hop.cycle:,}, late: {hop.planned_cycle:,} was planned"


def _waits(hop: Hop, birth_ps: int) -> Iterator[tuple[int, str]]:
    shown, rest = hop.waits[:WAITS_SHOWN], hop.waits[WAITS_SHOWN:]
    for wait in shown:
        yield wait.wait_ps, _reason(wait, hop, birth_ps)
    if rest:
        yield (
            sum(wait.wait_ps for wait in rest),
            f"waits for {_frames(sum(wait.frames for wait in rest))} of {len(rest):,} others",
        )


def _reason(wait: Wait, hop: Hop, birth_ps: int) -> str:
    if wait.cause == "cycle":
        return f"waits for cycle {hop.cycle:,} to begin"
    if wait.cause == "turn":
        return f"has missed cycle {hop.planned_cycle:,} and waits for the buffer's next turn"
    if wait.of is None:
        over = show_time((wait.until_ps or birth_ps) - birth_ps, 6)
        return {
            "shaper": f"is shaped, eligible at {over}",
            "gate": f"its gate is closed, or not open for long enough, until {over}",
            "credit": f"the credit of its queue is negative until {over}",
            "cut": f"on the wire, but cut by express frames; goes on at {over}",
            "wire": "waits for a frame, on the wire already and not done when the run ends",
            "arriving": f"not all of it is in until {over}",
            "held": "held: it would not end in time",
            "hold": f"the port holds preemptable frames for a window until {over}",
        }[wait.cause]
    frames = f"{_frames(wait.frames)} of {wait.of}"
    return {
        "wire": f"waits for {frames}, on the wire already",
        "priority": f"waits for {frames}, of a higher class",
        "ahead": f"waits for {frames}, ahead in the queue",
        "weight": f"waits for {frames}, whose turn it is",
        "gate": f"its gate is closed, or not open for long enough, while {frames} pass",
        "credit": f"the credit of its queue is negative while {frames} pass",
        "shaper": f"is shaped while {frames} pass",
        "held": f"held while {frames} pass",
        "hold": f"the port holds preemptable frames for a window while {frames} pass",
    }[wait.cause]


def _frames(count: int) -> str:
    return f"{count:,} frame{'' if count == 1 else 's'}"


def journeys_data(journeys: Sequence[Journey], notes: Sequence[str]) -> dict[str, object]:
    """Return the journeys as plain data for `--json`."""
    return {
        "notes": list(notes),
        "journeys": [journey.model_dump(mode="json") for journey in journeys],
    }
