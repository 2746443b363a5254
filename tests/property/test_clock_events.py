"""Clocks that events set otherwise: the simulator and its slow twin agree, and hold what is proven.

Drawn networks with and without a grandmaster, drawn steps, drifts and holdovers.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.model.outages import outages_of
from qnet.model.plan import Plan
from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.builders import plan_for
from tests.property.test_simulated_gated import NODES, profiles, topologies
from tests.slow_case import compare

Case = tuple[Topology, Profile, Plan]


@st.composite
def happening(draw: st.DrawFn, *, synced: bool, small: bool) -> dict[str, Any]:
    """One event of a clock, or the end of a node; or one that cycles and gates may bear."""
    one: dict[str, Any] = {"at": f"{draw(st.integers(0, 4_400_000_000))}ps", "change": "clock"}
    if draw(st.booleans()):
        one["for"] = f"{draw(st.integers(1, 3_000_000_000))}ps"
    kinds = ["step", "drift", "holdover", "grandmaster-lost", "down"]
    kind = draw(st.sampled_from(kinds[: 4 if small else 5]))
    if kind == "down":
        return one | {"change": "down", "target": draw(st.sampled_from(NODES))}
    if not synced and kind in ("holdover", "grandmaster-lost"):
        kind = "step"
    if kind == "grandmaster-lost":
        return one | {"grandmaster-lost": True}
    one["target"] = draw(st.sampled_from(NODES[1:] if kind == "holdover" else NODES))
    if kind == "step":
        most = draw(st.sampled_from([1000, 10**5] if small else [1000, 10**6, 10**8, 3 * 10**9]))
        return one | {"step": f"{draw(st.integers(-most, most).filter(bool))}ps"}
    if kind == "drift":
        most = draw(st.sampled_from([10, 10**4] if small else [1000, 10**6, 10**8]))
        return one | {"drift": f"{draw(st.integers(-most, most).filter(bool))}ppb"}
    return one | {"holdover": True}


@st.composite
def cases(draw: st.DrawFn, mechanism: str, *, small: bool = False) -> Case:
    topology, profile = draw(topologies()), draw(profiles(mechanism))
    plan = plan_for(topology, profile)
    synced = draw(st.booleans())
    if synced:
        sync: dict[str, str] = {
            "grandmaster": "a",
            "hop-error": draw(st.sampled_from(["0ps", "50ns"])),
            "interval": draw(st.sampled_from(["1ms", "333us", "1234567ns"])),
        }
        if draw(st.booleans()):
            sync["lost-at"] = draw(st.sampled_from(["1ms", "2500us"]))
        nodes = tuple(
            one.replace(
                clock=one.clock.replace(
                    frequency_ppb=draw(
                        st.sampled_from([0, 50_000, 10**6] if not small else [0, 1000])
                    )
                )
            )
            for one in topology.nodes
        )
        topology = Topology(
            title="t", nodes=nodes, links=topology.links, sync=sync, tcqf=topology.tcqf
        )
    events = draw(st.lists(happening(synced=synced, small=small), min_size=1, max_size=5))
    read = tuple(Event.model_validate(one) for one in events)
    assert not outages_of(topology, read)[1]
    profile = profile.replace(events=read)
    return topology, profile, plan


@pytest.mark.twin
@pytest.mark.parametrize("mechanism", ["qbv", "cqf", "tcqf"])
def test_clocks_that_events_set_are_as_in_the_twin(mechanism: str) -> None:
    @settings(max_examples=settings().max_examples // 4)
    @given(cases(mechanism))
    def agree(case: Case) -> None:
        seen = simulate(*case, threads=1)
        compare(case, seen)
        assert seen == simulate(*case, threads=2)

    agree()


@pytest.mark.parametrize("mechanism", ["qbv", "cqf", "tcqf"])
def test_what_is_proven_of_clocks_that_events_set_is_kept(mechanism: str) -> None:
    known = Counter[bool]()

    @settings(max_examples=settings().max_examples // 4)
    @given(st.booleans().flatmap(lambda small: cases(mechanism, small=small)))
    def keep(case: Case) -> None:
        proof = prove(*case)
        assume(all(one.rule == "clock" for one in proof.findings))
        seen = simulate(*case, threads=1)
        accounts = {one.name: one for one in seen.streams}
        stops = any(one.change == "down" for one in case[1].events)
        for bound in proof.streams:
            account = accounts.get(bound.name)
            is_known = None not in (bound.latency_ps_min, bound.latency_ps_max)
            if account is None or not is_known or account.latency_ps_min is None:
                continue
            known[True] += 1
            assert account.late == 0
            assert stops or account.lost == 0
            assert bound.latency_ps_min is not None
            assert bound.latency_ps_max is not None
            assert account.latency_ps_max is not None
            assert bound.latency_ps_min <= account.latency_ps_min
            assert account.latency_ps_max <= bound.latency_ps_max
        for taken in proof.event_losses:
            lost, sent = accounts[taken.name].lost, accounts[taken.name].sent
            assert taken.frames_least <= lost
            assert taken.sent_least <= sent
            assert taken.frames_most is None or lost <= taken.frames_most
            assert taken.frames_most is None or sent <= taken.sent_most

    keep()
    assert known[True] > 0
