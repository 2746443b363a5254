"""Streams and demands that are moved while they are sent: the slow twin counts the same.

Networks of all mechanisms are drawn, with plans that need not be right, and with moves of what can
be moved. Other ones each time: QNET_SETS=300 pytest tests/property/test_moves.py
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.errors import InputError, Interrupted
from qnet.model.plan import Move, StreamPlan
from qnet.simulate.checkpoint import Checkpoint
from qnet.simulate.clocks import walks
from qnet.simulate.explain import TracedRun, Which, explain
from qnet.simulate.run import simulate
from qnet.simulate.windows import shares
from tests.builders import network, plan_for, profile
from tests.property.test_books import UNSHRUNK, balance
from tests.slow_case import Case, compare
from tests.unit.test_simulate import CLOCK_BLOCK_PS
from tests.unit.test_simulate_ports import PARTS, Drawing

SETS = int(os.environ.get("QNET_SETS", "0"))

KINDS = ["cycles-and-clocks", "demands", "shaping", "meters", "copies", "copies-and-all", "credit"]

pytestmark = pytest.mark.twin


class Moving(Drawing):
    """Draws a plan, and times at which what can be moved goes another way, or at another time."""

    def case(self) -> Case:
        topology, made, plan = super().case()
        moves = []
        mechanism = {one.name: one.mechanism for one in made.classes}
        for stream, entry in zip(made.streams, plan.streams, strict=True):
            way: dict[str, Any] = {"from": stream.talker, "to": stream.listener}
            cyclic = made.takes_cycles(stream)
            for _ in range(self.whole(0, 3)):
                # One path of a stream that has two is what is left of it when the other is cut.
                way["paths"] = self.whole(1, stream.paths)
                other = entry.replace(
                    paths=self.paths(way, mechanism[stream.traffic_class]),
                    send_ps=self.whole(0, 20_000_000) if cyclic else None,
                    hold_ps=self.hold_ps(),
                )
                if self.whole(0, 5) == 0:
                    other = entry
                moves.append(Move(at_ps=self.at_ps(), stream=other))
        for placed in plan.demands:
            for _ in range(self.whole(0, 3)):
                shared = placed.parts[:: self.draw(st.sampled_from([1, -1]))]
                fewer = placed.replace(parts=shared[: self.whole(1, 2)])
                moves.append(Move(at_ps=self.at_ps(), demand=fewer))
        moves.sort(key=lambda move: move.at_ps)
        return topology, made, plan.replace(moves=tuple(moves))

    def at_ps(self) -> int:
        """Draw an instant of the run, often one at which something is born, or its end."""
        return self.whole(0, 20) * 10_000_000 + self.draw(st.sampled_from([0, 0, 1, 4_321_000]))


@pytest.mark.parametrize("name", KINDS)
def test_the_slow_twin_moves_the_same(name: str) -> None:
    drawn = st.composite(lambda draw: Moving(draw, PARTS[name]).case())

    @settings(max_examples=SETS or 4, derandomize=not SETS, phases=UNSHRUNK, deadline=None)
    @given(drawn(), st.data())
    def check(case: Case, data: st.DataObject) -> None:
        agree(case, data)

    check()


def agree(case: Case, data: st.DataObject, ends: Sequence[Which] = ("worst", "best")) -> None:
    """See that a case is the slow twin's, on one thread and two, in pieces, and explained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "CLOCK_BLOCK_PS", CLOCK_BLOCK_PS)
        seen = simulate(*case, threads=1)
        balance(case[1], seen)
        compare(case, seen)
        patch.setattr(shares, "HOPS_PER_TASK", 1)
        assert simulate(*case, threads=2) == seen
        assert in_pieces(case) == seen
        sent = [one for one in (*seen.streams, *seen.demands) if one.sent]
        if sent:
            one = data.draw(st.sampled_from(sent))
            number = data.draw(st.integers(1, one.sent))
            journeys = explain(TracedRun(*case), seen, one.name, number)
            assert {journey.number for journey in journeys} == {number}
            for which in ends if one.received else ():
                (journey,) = explain(TracedRun(*case), seen, one.name, which)
                assert journey.latency_ps in (one.latency_ps_max, one.latency_ps_min)


def in_pieces(case: Case) -> object:
    """Run with an end at each checkpoint, and go on from it."""
    with TemporaryDirectory() as folder:
        while True:
            keeper = Checkpoint(Path(folder) / "kept", 30_000_000, resume=True, asked=lambda: True)
            try:
                return simulate(*case, threads=1, checkpoint=keeper)
            except Interrupted:
                continue


def _two_ways(**more: Any) -> Case:
    net = network(
        [{"between": pair} for pair in (("a", "b"), ("b", "d"), ("a", "c"), ("c", "d"))],
        link={"rate": "1Gbps", "delay": "5us"},
        tcqf={"cycle": "20us"},
    )
    made = profile(
        [{"from": "a", "to": "d", "interval": "100us", "max-payload-size": "500B", **more}],
        simulation={"duration": "1ms"},
    )
    return net, made, plan_for(net, made)


def _other(entry: StreamPlan) -> StreamPlan:
    swap = {"a->b": "a->c", "b->d": "c->d", "a->c": "a->b", "c->d": "b->d"}
    paths = (one.replace(ports=tuple(swap[port] for port in one.ports)) for one in entry.paths)
    return entry.replace(paths=tuple(paths))


def test_numbers_go_on_over_a_move_and_no_frame_is_lost() -> None:
    net, made, plan = _two_ways(paths=2, recovery={})
    (entry,) = plan.streams
    later = entry.replace(send_ps=(entry.send_ps or 0) + 40_000_000)
    moved = plan.replace(
        moves=(Move(at_ps=300_000_000, stream=_other(entry)), Move(at_ps=600_000_000, stream=later))
    )
    seen = simulate(net, made, moved).streams[0]
    assert (seen.sent, seen.lost, seen.copies_sent) == (10, 0, 20)
    assert seen.recovery is not None
    assert (seen.recovery.passed + seen.in_flight, seen.recovery.rogue) == (10, 0)


def test_what_cannot_be_moved_is_refused() -> None:
    net, made, plan = _two_ways()
    (entry,) = plan.streams
    late, early = (Move(at_ps=at_ps, stream=entry) for at_ps in (2, 1))
    with pytest.raises(InputError, match=r"moves\[1\].*in order of time"):
        simulate(net, made, plan.replace(moves=(late, early)))
    other = Move(at_ps=1, stream=entry.replace(name="nobody"))
    with pytest.raises(InputError, match=r"moves\[0\].*no entry of 'nobody'"):
        simulate(net, made, plan.replace(moves=(other,)))
    net, made, plan = _two_ways(to=["d", "c"])
    legs = tuple(Move(at_ps=1, stream=one) for one in plan.streams)
    with pytest.raises(InputError, match=r"leg to one of several listeners") as caught:
        simulate(net, made, plan.replace(moves=legs))
    assert len(caught.value.problems) == 2
