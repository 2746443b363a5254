"""Whatever a Scheduler does, the judge proves, the audit finds sound, and can be undone."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.check.routes import ONE_PATH_LEFT
from qnet.model.topology import Topology
from qnet.schedule.online import Scheduler, audit, to_plan
from tests.property.test_schedule_plan import NODES, topologies

HYPERCYCLE = 12


@st.composite
def asked_rows(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    ends = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(
        lambda pair: pair[0] != pair[1]
    )
    return draw(
        st.lists(
            st.tuples(
                ends,
                st.integers(1, 2),
                st.sampled_from([1, 2, 3, 4, 6, 12]),
                st.integers(1, 4),
                st.integers(64, 1518),
                st.sampled_from([-1, -1, 120_000_000]),
                st.sampled_from([-1, -1, 13_000_000]),
                st.sampled_from([100, 500]),
                st.integers(0, 1),
                st.integers(0, 1),
            ),
            min_size=1,
            max_size=12,
        )
    )


def ask(scheduler: Scheduler, rows: list[tuple[Any, ...]]) -> Any:
    pairs = [scheduler.pair(ends[0], ends[1], paths) for ends, paths, *_ in rows]
    *columns, waits, damper = np.array([row[2:] for row in rows]).T
    return scheduler.request(np.array(pairs), *columns, waits=waits, damper=damper)


def judge(scheduler: Scheduler) -> None:
    assert audit(scheduler) == []
    profile, plan = to_plan(scheduler, scheduler.ids().tolist(), "t")
    findings = prove(scheduler.topology, profile, plan).findings
    assert [one for one in findings if one.message != ONE_PATH_LEFT] == []


def nothing_fits(scheduler: Scheduler, row: tuple[Any, ...]) -> bool:
    """Try every phase and every wire of every way, straight from the grid, without waits."""
    (ends, paths, period, packets, frame, latency, variation, _, _, damper) = row
    if damper:
        left_ps = 2 * scheduler.topology.node_by_name[ends[1]].clock.error_ps
        if 0 <= variation < left_ps or 0 <= latency < left_ps:
            return True
        latency, variation = latency if latency < 0 else latency - left_ps, -1
    need = packets * (frame + 20)
    number = scheduler.pair(ends[0], ends[1], paths)
    pairs = scheduler.field(np.array([number])).pairs
    for way in scheduler.table.ways[int(pairs.low[number]) : int(pairs.high[number])]:
        if 0 <= latency < way.latency_ps_max:
            continue
        for phase in range(period):
            good = True
            for hop in way.hops:
                cycles = [
                    (phase + hop.shift + turn) % HYPERCYCLE for turn in range(0, HYPERCYCLE, period)
                ]
                wires = []
                for port in hop.ports:
                    rate = scheduler.topology.ports[port].rate_bps
                    line_ps = -(-(frame + 8) * 8 * 10**12 // rate)
                    steady = hop.skew_ps < 0 or variation < 0
                    varies_ps = hop.skew_ps + hop.window_ps - line_ps
                    if line_ps + hop.slack_ps >= 0 and (steady or varies_ps <= variation):
                        wires.append(min(scheduler.grid.free[port, c] for c in cycles) >= need)
                good = good and any(wires)
            if good:
                return False
    return True


@pytest.mark.twin
@settings(max_examples=60)
@given(topologies(), asked_rows(), st.data())
def test_what_is_admitted_is_proven_and_what_is_refused_does_not_fit(
    topology: Topology, rows: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    scheduler = Scheduler(topology, HYPERCYCLE)
    empty = Scheduler(topology, HYPERCYCLE)
    for row in rows:
        asked = ask(scheduler, [row])
        before = scheduler.explain(asked)
        answer = int(scheduler.admit(asked)[0])
        if answer < 0:
            assert nothing_fits(scheduler, row)
            assert before != "it would be admitted"
        else:
            assert before == "it would be admitted"
    judge(scheduler)
    some = data.draw(st.lists(st.sampled_from(scheduler.ids().tolist() or [0]), unique=True))
    if len(scheduler):
        scheduler.release(some)
        judge(scheduler)
        if len(scheduler):
            first = int(scheduler.ids()[0])
            before_place = scheduler.place(first)
            if scheduler.modify(first, ask(scheduler, [rows[-1]])) is not None:
                assert scheduler.place(first) == before_place
            judge(scheduler)
    scheduler.release(scheduler.ids())
    assert (scheduler.grid.free == empty.grid.free).all()
    assert (scheduler.grid.spare == empty.grid.spare).all()
    assert len(scheduler._to_saved().book.way) == 0


@settings(max_examples=40)
@given(topologies(), asked_rows(), st.data())
def test_after_a_failure_the_rest_is_untouched_and_the_new_places_are_proven(
    topology: Topology, rows: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    scheduler = Scheduler(topology, HYPERCYCLE)
    scheduler.admit(ask(scheduler, rows))
    before = {number: scheduler.place(number) for number in scheduler.ids().tolist()}
    cable = data.draw(st.sampled_from([topology.cable(link) for link in topology.links]))
    gone = {p.number for p in topology.ports if topology.cable(topology.links[p.link]) == cable}
    report = scheduler.fail(cable)
    cut = {n for n, place in before.items() if gone & {p for path in place.ports for p in path}}
    told = [*report.moved, *report.replaced, *report.reduced, *report.lost]
    assert sorted(told) == sorted(cut)
    assert sum(report.lost_by_rank.values()) == len(report.lost) + len(report.reduced)
    for number, place in before.items():
        now = scheduler.place(number)
        if number not in cut or number in report.lost:
            assert now == place
        else:
            assert not gone & {p for path in now.ports for p in path}
        if number in report.reduced:
            left = [path for path in place.ports if not gone & set(path)]
            assert list(now.ports) == left
    judge(scheduler)
    scheduler.repair(cable)
    judge(scheduler)
    # What was reduced becomes two paths again: nobody has taken their room meanwhile.
    scheduler.reroute(report.reduced)
    assert all(len(scheduler.place(number).ports) == 2 for number in report.reduced.tolist())
    judge(scheduler)
    scheduler.release(scheduler.ids())
    assert (scheduler.grid.free == Scheduler(topology, HYPERCYCLE).grid.free).all()


@settings(max_examples=30)
@given(topologies(), asked_rows())
def test_a_state_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, topology: Topology, rows: list[tuple[Any, ...]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("state")
    scheduler = Scheduler(topology, HYPERCYCLE)
    empty = folder / "empty"
    scheduler.save(empty)
    ids = scheduler.admit(ask(scheduler, rows))
    scheduler.release(ids[ids >= 0][::2])
    scheduler.save(folder / "one")
    again = Scheduler.restore(folder / "one", topology)
    again.save(folder / "two")
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()
    assert (again.grid.free == scheduler.grid.free).all()
    assert (again.grid.spare == scheduler.grid.spare).all()
    assert again.admit(ask(again, rows)).tolist() == scheduler.admit(ask(scheduler, rows)).tolist()
    again.save(folder / "two")
    scheduler.save(folder / "one")
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()
    again.release(again.ids())
    again.save(folder / "two")
    assert empty.read_bytes() == (folder / "two").read_bytes()


@settings(max_examples=30)
@given(st.permutations(list(product(("a", "c", "e"), (1, 2, 3)))))
def test_streams_that_share_no_wire_may_come_in_any_order(order: list[tuple[str, int]]) -> None:
    links = [{"between": pair, "rate": "3Gbps", "delay": "20us"} for pair in ("ab", "cd", "ef")]
    nodes = [{"name": name} for name in "abcdef"]
    topology = Topology.model_validate(
        {
            "title": "t",
            "nodes": nodes,
            "links": [{**x, "between": list(x["between"])} for x in links],
        }
    )
    # Streams of one pair keep their order among themselves.
    mixed = sorted(order, key=lambda item: item[1])
    scheduler = Scheduler(topology, HYPERCYCLE)
    places = {}
    for name, size in mixed:
        asked = scheduler.request(scheduler.pair(name, chr(ord(name) + 1)), 4, size, 300)
        places[name, size] = scheduler.place(int(scheduler.admit(asked)[0]))
    assert len({(size, place.cycles) for (_, size), place in places.items()}) == 3


@pytest.mark.twin
def test_a_way_of_many_hypercycles_is_searched_whole() -> None:
    """A millisecond of fibre is 25 hypercycles; cycle by cycle it is filled to the last byte."""
    nodes = [{"name": name} for name in "abc"]
    links = [{"between": list(ends), "rate": "1Gbps", "delay": "1ms"} for ends in ("ab", "bc")]
    topology = Topology.model_validate({"title": "t", "nodes": nodes, "links": links})
    scheduler = Scheduler(topology, 4)
    pair = scheduler.pair("a", "c")
    # A cycle of 10 us at 1 Gb/s has room for 1,250 bytes: one frame of 1,020 with its gap.
    answers = [int(scheduler.admit(scheduler.request(pair, 4, 1, 1000))[0]) for _ in range(6)]
    assert answers == [0, 1, 2, 3, -3, -3]
    judge(scheduler)
    judge_places = {scheduler.place(number).cycles[0][1] % 4 for number in range(4)}
    assert judge_places == {0, 1, 2, 3}
