"""Books balance: whatever was sent was received, lost or discarded for a cause, or is in flight.

Networks of all mechanisms are drawn, with plans that need not be right. The sums are worked out
from the observation alone; what became of every single frame is asked of the slow twin. More sets,
other ones each time: QNET_SETS=300 pytest tests/property/test_books.py
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from qnet.model.journey import Journey
from qnet.model.observation import Observation, Traffic
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Recovery
from qnet.simulate import explain as explaining
from qnet.simulate.clocks import walks
from qnet.simulate.explain import explain
from qnet.simulate.frame_sources import FrameSource, sources_of
from qnet.simulate.run import simulate
from tests.builders import plan_for
from tests.random_sets import KINDS, random_set
from tests.slow_case import WORDS, Case, compare
from tests.slow_simulator import SlowSimulator
from tests.unit.test_simulate import CLOCK_BLOCK_PS
from tests.unit.test_simulate_ports import PARTS, Drawing

SETS = int(os.environ.get("QNET_SETS", "0"))
"""Sets of each kind, drawn anew; 0 stands for a few that are always the same."""

UNSHRUNK = (Phase.explicit, Phase.generate)
"""A set that does not balance is small enough to be read."""

pytestmark = pytest.mark.twin


def _classes(profile: Profile) -> dict[str, str]:
    """Which class all that is sent is of, attacks too."""
    class_of = {one.name: one.traffic_class for one in profile.every_stream}
    class_of |= {one.name: one.traffic_class for one in profile.demands}
    return class_of | {
        f"attack-{number}": one.traffic_class or "best-effort"
        for number, one in enumerate(profile.events, 1)
        if one.change == "attack"
    }


def balance(profile: Profile, seen: Observation) -> None:
    """Assert that the books of all streams, demands, classes and ports balance.

    A frame on its way to several listeners is one at a port, and is lost to each of them.
    """
    drops: Counter[str] = Counter()
    at_port: Counter[str] = Counter()
    on_link: Counter[str] = Counter()
    in_nodes: Counter[str] = Counter()
    of_tree: dict[tuple[str, str, str], int] = {}
    for drop in seen.drops:
        drops[drop.name] += drop.frames
        tree, _, leg = drop.name.partition("@")
        place = tree, drop.port, drop.cause
        if leg and place in of_tree:
            assert of_tree[place] == drop.frames
            continue
        of_tree[place] = drop.frames
        at_port[drop.port] += drop.frames
        if "link" in drop.cause:
            on_link[drop.port] += drop.frames
        if drop.cause == "node down":
            in_nodes[drop.port] += drop.frames
    class_of = _classes(profile)
    every: dict[str, list[Traffic]] = {one.name: [] for one in profile.classes}
    for one in (*seen.streams, *seen.demands):
        every[class_of[one.name]].append(one)
        discarded = one.recovery.discarded if one.recovery else 0
        assert one.sent == one.received + one.lost + one.in_flight, one.name
        assert one.lost == sum(part.frames for part in one.lost_by)
        assert min(one.received, one.lost, one.in_flight, one.copies_in_flight) >= 0
        assert one.copies_lost == drops[one.name]
        assert one.copies_sent == one.copies + drops[one.name] + discarded + one.copies_in_flight
        assert one.received <= one.copies
        assert one.lost <= one.copies_lost + discarded
        assert sum(frames for _, frames in one.histogram) == one.copies
    for use in seen.classes:
        lost = Counter({part.cause: part.frames for part in use.lost_by})
        assert use.sent == use.received + lost.total() + use.discarded + use.in_flight
        assert use.sent == sum(one.copies_sent for one in every[use.traffic_class])
        causes: Counter[str] = Counter()
        for drop in seen.drops:
            if class_of[drop.name] == use.traffic_class:
                causes[drop.cause] += drop.frames
        assert lost == causes
    for port in seen.ports:
        assert port.waiting >= 0
        assert port.dropped == at_port[port.port]
        # A node that is down takes frames from lines, and what is in it.
        assert 0 <= port.lost_on_link - on_link[port.port] <= in_nodes[port.port]
        dropped_here = port.dropped - port.lost_on_link
        assert port.came == port.sent_frames + dropped_here + port.waiting
    if any(len(one.listeners) > 1 for one in profile.streams):
        return  # where ways part, more comes to ports than has left those before
    # What left a port has come to another one, was lost on the link, was handed over or discarded,
    # or is on a link, and so in flight without waiting anywhere.
    born = sum(one.copies_sent for one in (*seen.streams, *seen.demands))
    left = sum(port.sent_frames - port.lost_on_link for port in seen.ports)
    came = sum(port.came for port in seen.ports) - born
    ended = sum(use.received + use.discarded for use in seen.classes)
    waiting = sum(port.waiting for port in seen.ports)
    assert left - came - ended == sum(use.in_flight for use in seen.classes) - waiting


@pytest.mark.parametrize("name", PARTS)
def test_books_balance_and_any_frame_is_explained(name: str) -> None:
    drawn = st.composite(lambda draw: Drawing(draw, PARTS[name]).case())

    few = settings().max_examples // 5 if "copies" in PARTS[name] else 2

    @settings(max_examples=SETS or few, derandomize=not SETS, phases=UNSHRUNK)
    @given(drawn(), st.data())
    def check(case: Case, data: st.DataObject) -> None:
        topology, profile, plan = case
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(walks, "CLOCK_BLOCK_PS", CLOCK_BLOCK_PS)
            seen = simulate(*case, threads=1)
            balance(profile, seen)
            slow = compare(case, seen)
            found = sources_of(topology, profile, plan)
            sent = [one for one in (*seen.streams, *seen.demands) if one.sent]
            if not sent:
                return
            one = data.draw(st.sampled_from(sent))
            number = data.draw(st.integers(1, one.sent))
            judge(case, seen, slow, found, one, number)
            if one.lost:
                lost = explain(explaining.TracedRun(*case), seen, one.name, "lost")
                assert all(journey.loss is not None for journey in lost)

    check()


def judge(
    case: Case,
    seen: Observation,
    slow: SlowSimulator,
    found: tuple[FrameSource, ...],
    one: Traffic,
    number: int,
) -> None:
    """Assert that the journeys of one frame end as it did in the slow twin."""
    mine = [i for i, owner in enumerate(found) if owner.name == one.name]
    copies = one in seen.streams
    journeys = explain(explaining.TracedRun(*case), seen, one.name, number)
    expected: list[tuple[int, int, str]] = []
    if copies:
        first = min(slow.sources[i].first for i in mine)
        for i in mine:
            fate = slow.counts[i].fates.get(first + number - 1)
            if fate is not None:
                birth = slow.sources[i].births[first + number - 1 - slow.sources[i].first][0]
                expected.append((i, birth, fate))
    else:
        births = sorted(
            (birth, i, at)
            for i in mine
            for at, (birth, _, _) in enumerate(slow.sources[i].births)
            if at in slow.counts[i].fates
        )
        birth, i, at = births[number - 1]
        expected.append((i, birth, slow.counts[i].fates[at]))
    assert len(journeys) == len(expected)
    for journey, (i, birth, fate) in zip(journeys, expected, strict=True):
        assert journey.number == number
        assert (journey.path, journey.birth_ps) == (mine.index(i) + 1, birth)
        assert_ends(journey, fate, slow, i)


def assert_ends(journey: Journey, fate: str, slow: SlowSimulator, source: int) -> None:
    """Assert that a journey is whole, has no negative time, and ends as it should."""
    for hop in journey.hops:
        times = [wait.wait_ps for wait in hop.waits]
        times += [hop.ended_ps - hop.started_ps - hop.overlap_ps, hop.overlap_ps]
        times += [hop.propagation_ps, hop.processing_ps, hop.damper_ps]
        assert min(times) >= 0
    if fate == "received":
        assert journey.loss is None
        assert journey.latency_ps == journey.accounted_ps
        assert journey.latency_ps in slow.counts[source].latencies
    elif fate == "in flight":
        assert (journey.loss, journey.latency_ps) == (None, None)
    else:
        assert journey.latency_ps is None
        assert journey.loss is not None
        assert journey.loss.cause.startswith(WORDS[fate].removeprefix("class")) or (
            fate == "buffer" and journey.loss.cause.endswith("buffer full")
        )


@pytest.mark.parametrize("mechanism", KINDS)
def test_books_of_planned_sets_balance(mechanism: str) -> None:
    for number in range(SETS or 4):
        topology, profile = varied(*random_set(mechanism, number), number)
        plan = plan_for(topology, profile)
        balance(profile, simulate(topology, profile, plan, threads=1 + number % 3))


def varied(topology: Topology, profile: Profile, number: int) -> tuple[Topology, Profile]:
    """Add to a set what may lose, double or split frames, by its number."""
    links = []
    for i, link in enumerate(topology.links):
        loss, bits = (number + i) % 4 * 10**8, (number + i) % 3 * 10**13
        back = loss, bits
        if not link.is_one_way:
            back = (number + i) % 3 * 10**8, 0
        links.append(link.replace(loss_ppb=(loss, back[0]), bit_errors=(bits, back[1])))
    enough = (None, 64, 200)
    nodes = [
        one.replace(cut_through_bytes=enough[(number + i) % 3])
        for i, one in enumerate(topology.nodes)
    ]
    streams = []
    for i, one in enumerate(profile.streams):
        more: dict[str, object] = {"police": (number + i) % 3 == 0, "excess_packets": i % 2}
        if profile.is_reserved(one) and (number + i) % 2 and len(one.listeners) == 1:
            more["paths"] = 2
            if i % 3:
                more["recovery"] = Recovery(history=2 + number % 5)
        streams.append(one.replace(**more))
    demands = [one.replace(microflows=1 + number % 4) for one in profile.demands]
    changed = {"streams": tuple(streams), "demands": tuple(demands)}
    return (
        topology.replace(links=tuple(links), nodes=tuple(nodes)),
        profile.replace(**changed),
    )
