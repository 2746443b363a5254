"""Which events tier mininet can play, and why it refuses others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from qnet.model.outages import outages_of
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

PLAYED = frozenset(
    {
        *("cut", "repair", "down", "up", "flap", "partition", "capacity", "delay", "loss"),
        *("maintenance", "start", "stop", "scale", "attack"),
    }
)

OUTAGES_HIGHEST = 1000
"""Each takes devices down and up again, which takes switches some milliseconds on the wall."""


def refused_events(topology: Topology, profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield the events that cannot be played, in words, and why; of those before the end."""
    end_ps = profile.simulation.duration_ps
    for event in profile.events:
        if event.change not in PLAYED and event.at_ps < end_ps:
            can = "what breaks, rates, fibres, losses and loads"
            yield event.words, f"tier mininet plays {can}, no {event.change}; use tier lockstep"
    found, _ = outages_of(topology, profile.events)
    outages = [one for one in found if one.from_ps < end_ps]
    if len(outages) > OUTAGES_HIGHEST:
        most, count = Counter(one.event for one in outages).most_common(1)[0]
        why = (
            f"breaks things {count:,} times; tier mininet takes devices down {OUTAGES_HIGHEST:,} "
            "times in a run at most; use tier lockstep"
        )
        yield profile.events[most].words, why
