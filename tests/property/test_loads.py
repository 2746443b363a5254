"""Streams and demands that start, stop and scale, and attacks: the slow twin counts the same.

Networks of all mechanisms are drawn, with moves of what can be moved, and with events at instants
at which something is born, or next to them. Other ones each time: QNET_SETS=300 pytest
tests/property/test_loads.py
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnet
from qnet.model.timeline import Event
from qnet.simulate.explain import TracedRun, _Replay
from qnet.simulate.frame_sources import sources_of
from tests.property.test_books import UNSHRUNK
from tests.property.test_moves import Moving, agree
from tests.slow_case import Case
from tests.unit.test_simulate_ports import PARTS, Drawing

SETS = int(os.environ.get("QNET_SETS", "0"))

KINDS = [
    *("cycles-and-clocks", "demands", "shaping", "meters", "copies-and-all", "credit"),
    *("gates", "gates-and-all", "trees", "trees-and-gates"),
]

pytestmark = pytest.mark.twin


class Loading(Moving):
    """Draws a plan, with moves where it can have any, and events of what is sent."""

    def moved(self) -> Case:
        """Draw what is not moved where streams are in gates, or go to several listeners."""
        if {"qbv", "trees"} & set(self.parts):
            return Drawing.case(self)
        return Moving.case(self)

    def case(self) -> Case:
        topology, made, plan = self.moved()
        births = self.births((topology, made, plan))
        streams = [one.name for one in made.streams]
        demands = [one.name for one in made.demands]
        classes = sorted(
            {one.traffic_class for one in made.streams}
            | {one.traffic_class for one in made.demands}
        )
        open_classes = [
            one.name for one in made.classes
            if not one.reserves and one.residence_ps is None and one.idle_slope is None
        ]  # fmt: skip
        nodes = [one.name for one in topology.nodes]

        def one_of(names: list[str]) -> str:
            return names[self.whole(0, len(names) - 1)]

        def drawn() -> Event:
            kind = self.whole(0, 9)
            keys: dict[str, Any] = {"at": f"{self.instant(births)}ps"}
            if self.whole(0, 1):
                keys["for"] = f"{max(self.instant(births), 1)}ps"
            if kind == 9 and open_classes and len(nodes) > 1:
                ends = {"from": nodes[0], "to": nodes[-1], "class": one_of(open_classes)}
                rate = f"{self.whole(1, 3000)}Mbps"
                return qnet.event("attack", **keys, **ends, rate=rate)
            if kind >= 7 and demands:
                by = self.draw(st.sampled_from(["0%", "1ppb", "50%", "100%", "3", "17.5%"]))
                return qnet.event("scale", one_of(demands), **keys, by=by)
            if kind == 6:
                by = self.draw(st.sampled_from(["0%", "1%", "50%", "100%"]))
                return qnet.event("scale", one_of(streams + classes), **keys, by=by)
            return qnet.event(
                one_of(["start", "stop"]), one_of(streams + demands + classes), **keys
            )

        events = tuple(drawn() for _ in range(self.whole(1, 6)))
        return topology, made.replace(events=events), plan

    def births(self, case: Case) -> list[int]:
        """Return when frames are born without events, and the ends of the run."""
        found = sources_of(*case)
        replay = _Replay(TracedRun(*case), found, None)
        end_ps = case[1].simulation.duration_ps
        every = {one.birth for number in range(len(found)) for one in replay.births(number)}
        return [0, *sorted(every), end_ps]

    def instant(self, births: list[int]) -> int:
        near = self.draw(st.sampled_from([0, 0, 0, 1, -1, 1_234_567]))
        return max(births[self.whole(0, len(births) - 1)] + near, 0)


@pytest.mark.parametrize("name", KINDS)
def test_the_slow_twin_sends_the_same(name: str) -> None:
    drawn = st.composite(lambda draw: Loading(draw, PARTS[name]).case())

    @settings(max_examples=SETS or 3, derandomize=not SETS, phases=UNSHRUNK, deadline=None)
    @given(drawn(), st.data())
    def check(case: Case, data: st.DataObject) -> None:
        agree(case, data, ends=())

    check()
