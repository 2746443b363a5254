"""Searching, keeping and planning around cuts: what holds for every plan, on small networks."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove, prove_kept
from qnet.check.routes import ONE_PATH_LEFT
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule import schedule
from qnet.schedule.repair.search import Search
from tests.property.test_schedule_plan import profiles, topologies
from tests.refusals import why_false


def plan_of(topology: Topology, profile: Profile, **more: Any) -> Plan:
    plan = schedule(topology, profile, topology_sha256="t", traffic_sha256="p", **more)
    found = prove(topology, profile, plan).findings
    # Streams that reserve nothing are sent whether there is room for them or not.
    found = tuple(one for one in found if one.rule != "overload")
    assert [one for one in found if one.message != ONE_PATH_LEFT] == []
    return plan


def rounds(count: int, seed: int = 1) -> Search:
    return Search(seed, lambda done: done < count)


def by_rank(profile: Profile, plan: Plan) -> list[int]:
    """Return how many streams of each rank are admitted, the first to be served in front."""
    rank = {one.name: one.rank for one in profile.every_stream}
    placed = Counter(rank[one.name] for one in plan.streams if one.status == "admitted")
    return [placed[one] for one in sorted(set(rank.values()))]


@pytest.mark.twin
@given(topologies(), profiles(), st.integers(0, 12))
def test_a_search_never_loses_and_gives_the_same_again(
    topology: Topology, profile: Profile, count: int
) -> None:
    single = plan_of(topology, profile)
    plan = plan_of(topology, profile, search=rounds(count))
    assert by_rank(profile, plan) >= by_rank(profile, single)
    assert plan == plan_of(topology, profile, search=rounds(count))
    if plan.reserved is not None:
        made = plan.reserved.search
        assert made is not None
        assert made.rounds <= count
        assert plan.reserved.streams_placed <= plan.reserved.streams_bound
        assert plan.reserved.placed_bps <= plan.reserved.bound_bps
        assert (made.stopped == "rounds used") <= (made.rounds == count)
        assert plan == plan_of(topology, profile, search=rounds(made.rounds))


@settings(max_examples=120)
@given(topologies(), profiles(), st.integers(0, 6))
def test_every_reason_of_a_refusal_is_true(
    topology: Topology, profile: Profile, count: int
) -> None:
    plan = plan_of(topology, profile, search=rounds(count) if count else None)
    reserved = {one.name for one in profile.every_stream if profile.is_reserved(one)}
    for entry in plan.streams:
        if entry.status == "refused" and entry.name in reserved:
            assert why_false(topology, profile, plan, entry.name) is None


def without(profile: Profile, names: set[str]) -> Profile:
    """Return a profile with every stream written out, and some of them left out."""
    streams = tuple(one for one in profile.every_stream if one.name not in names)
    given = {name: getattr(profile, name) for name in Profile.model_fields}
    return Profile.model_construct(**{**given, "streams": streams})


@settings(max_examples=60)
@given(topologies(), profiles(), st.data())
def test_kept_streams_stay_to_the_bit(
    topology: Topology, profile: Profile, data: st.DataObject
) -> None:
    names = [one.name for one in profile.every_stream]
    some = st.sets(st.sampled_from(names))
    earlier = plan_of(topology, without(profile, data.draw(some)))
    now = without(profile, data.draw(some))
    assert prove_kept(topology, now, earlier) == ()
    count = data.draw(st.integers(0, 4))
    plan = plan_of(topology, now, keep=earlier, search=rounds(count) if count else None)
    before = {one.name: one for one in earlier.streams if one.status == "admitted"}
    after = {one.name: one for one in plan.streams}
    for name in set(before) & set(after):
        assert after[name] == before[name]
    assert plan.changes is not None
    assert plan.changes.kept == len(set(before) & set(after))
    assert set(plan.changes.released) == set(before) - set(after)


@settings(max_examples=80)
@given(topologies(), profiles(), st.data())
def test_around_a_cut_the_rest_stays_and_the_report_adds_up(
    topology: Topology, profile: Profile, data: st.DataObject
) -> None:
    earlier = plan_of(topology, profile)
    cable = data.draw(st.sampled_from([topology.cable(link) for link in topology.links]))
    gone = {p.number for p in topology.ports if topology.cable(topology.links[p.link]) == cable}
    gone_names = {topology.ports[number].name for number in gone}
    plan = plan_of(topology, profile, keep=earlier, down={cable: tuple(gone)})
    used = {name for one in plan.streams for path in one.paths for name in path.ports}
    used |= {name for one in plan.demands for part in one.parts for name in part.ports}
    assert not used & gone_names
    before = {one.name: one for one in earlier.streams if one.status == "admitted"}
    after = {one.name: one for one in plan.streams}
    cut = {
        name
        for name, one in before.items()
        if gone_names & {port for path in one.paths for port in path.ports}
    }
    changes = plan.changes
    assert changes is not None
    told = [*changes.moved, *changes.replaced, *changes.reduced, *changes.lost]
    assert sorted(told) == sorted(cut)
    assert sum(count for _, count in changes.lost_by_rank) == len(changes.lost + changes.reduced)
    for name, one in before.items():
        if name not in cut:
            assert after[name] == one
        elif name in changes.lost:
            assert after[name].status == "refused"
        elif name in changes.reduced:
            assert len(after[name].paths) == 1
            assert (after[name].reason or "").startswith("one path left")
        else:
            assert len(after[name].paths) == len(one.paths)
    # The next plan may take it from there, and gives back the second path when the cable is whole.
    again = plan_of(topology, profile, keep=plan)
    assert not set(changes.reduced) & set(again.changes.lost if again.changes else ())


HARD = """
import sys
from qnet.files.write import to_json
from qnet.schedule import schedule
from qnet.schedule.repair.search import Search
from tests.bench.hard import crowded
topology, profile = crowded(nodes=8, streams=300, seed=3, mechanism="csqf")
plan = schedule(topology, profile, topology_sha256="", traffic_sha256="",
                search=Search(5, lambda done: done < 40))
sys.stdout.write(to_json(plan))
"""


def test_the_same_bytes_at_any_thread_count_and_hash_seed() -> None:
    plans = []
    for threads, hashes in (("1", "0"), ("2", "7")):
        done = subprocess.run(
            [sys.executable, "-c", HARD],
            check=True,
            capture_output=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "NUMBA_NUM_THREADS": threads, "PYTHONHASHSEED": hashes},
        )
        plans.append(done.stdout)
    assert plans[0] == plans[1]
    assert b'"refused"' in plans[0]
