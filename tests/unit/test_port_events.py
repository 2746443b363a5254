"""Events that change what a port is: rate, fibre, losses; held against the slow twin."""

from __future__ import annotations

import itertools
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from qnet.errors import InputError, Interrupted
from qnet.files.read import load
from qnet.model.outages import Setting, Wire, outages_of, settings_of
from qnet.model.timeline import FOREVER_PS, Event
from qnet.model.topology import Topology
from qnet.simulate.checkpoint import Checkpoint
from qnet.simulate.explain import TracedRun
from qnet.simulate.run import simulate
from tests.slow_case import compare
from tests.unit.test_events import LAST_BIT_PS, ONE_WAY_PS, US, _born_ps, _busy, _case, _net


def _lost(case: TracedRun) -> dict[str, int]:
    seen = simulate(*case, threads=1)
    compare(case, seen)
    (stream,) = seen.streams
    return {one.cause: one.frames for one in stream.lost_by}


def test_of_several_settings_the_last_begun_that_is_not_over_counts() -> None:
    at = {"change": "capacity", "target": "a--b", "rate": "1Mbps"}
    read = [
        Event.model_validate(one | at)
        for one in (
            {"at": "10us"},
            {"at": "20us", "for": "30us"},
            {"at": "20us", "for": "10us"},
            {"at": "40us", "for": "5us"},
        )
    ]
    found = settings_of(Topology.model_validate(_net()), read)
    times = [(one.event, one.from_ps // US, one.until_ps // US) for one in
             found[Wire(0, 0), "rate"]]  # fmt: skip
    assert [one[:2] for one in times] == [(0, 10), (2, 20), (1, 30), (3, 40), (1, 45), (0, 50)]
    assert all(before[2] == after[1] for before, after in pairwise(times))
    assert isinstance(found[Wire(0, 0), "rate"][0], Setting)


@pytest.mark.parametrize(
    ("at", "delay", "lost"),
    [
        # A longer fibre: what is being sent is torn, what is on the way arrives in time.
        (0, "50us", {"link down": 1}),
        (LAST_BIT_PS // 2, "50us", {"link down": 1}),
        (LAST_BIT_PS - 1, "50us", {"link down": 1}),
        (LAST_BIT_PS, "50us", {"link down": 1}),
        (LAST_BIT_PS + 1, "50us", {}),
        # A shorter one: the far end listens to it 4 us after the change.
        (LAST_BIT_PS + ONE_WAY_PS - 4 * US, "4us", {"link down": 1}),
        (LAST_BIT_PS + ONE_WAY_PS - 4 * US + 1, "4us", {}),
        (LAST_BIT_PS + 1, "4us", {"link down": 1}),
        # A longer one.
        (LAST_BIT_PS + 1, "300us", {}),
    ],
)
def test_another_fibre_takes_what_is_torn_and_what_comes_too_late(
    at: int, delay: str, lost: dict[str, int]
) -> None:
    at_ps = _born_ps(_case([])) + at
    if at == 0:
        at_ps += 1
    one = {"at": f"{at_ps}ps", "change": "delay", "target": "a--b", "delay": delay}
    assert _lost(_case([one], "ab")) == lost
    _lost(_case([one | {"for": "9us"}]))


@pytest.mark.twin
@pytest.mark.parametrize("how", [{"delay": "20us"}, {"length": "40km"}, {"delay": "0us"}])
@pytest.mark.parametrize("cut", ["0%", "30%", "100%"])
def test_fibres_change_and_are_cut_and_nodes_stop_as_in_the_twin(
    how: dict[str, str], cut: str
) -> None:
    happening = [
        {"at": "210us", "change": "delay", "target": "a--b", "for": "333us"} | how,
        {"at": "300us", "change": "delay", "target": "b--c", "delay": "7us"},
        {"at": "350us", "change": "cut", "target": "a--b", "for": "9us", "where": cut},
        {"at": "400us", "change": "delay", "target": "a--b", "delay": "1us", "for": "90us"},
        {"at": "520us", "change": "down", "target": "b", "for": "17us"},
        {"at": "700us", "change": "delay", "target": "b--c", "length": "1km"},
    ]
    _lost(_case(happening))
    assert _lost(_busy(happening))["link down"] > 0


@pytest.mark.parametrize("rate", ["10Gbps", "300Mbps", "7Mbps"])
def test_rates_change_as_in_the_twin(rate: str) -> None:
    happening = [
        {"at": "210us", "change": "capacity", "target": "a--b", "rate": rate, "for": "333us"},
        {"at": "300us", "change": "capacity", "target": "b--c", "rate": "2Gbps"},
        {"at": "400us", "change": "capacity", "target": "a--b", "rate": "50Mbps", "for": "33us"},
    ]
    _lost(_case(happening))
    seen = simulate(*_busy(happening), threads=1)
    compare(_busy(happening), seen)
    assert seen.ports != simulate(*_busy([]), threads=1).ports


@pytest.mark.parametrize("how", [{"ratio": "30%"}, {"bit-error-ratio": "1e-4"}])
def test_losses_change_as_in_the_twin(how: dict[str, str]) -> None:
    happening: list[dict[str, Any]] = [
        {"at": "210us", "change": "loss", "target": "a--b", "for": "500us"} | how,
        {"at": "300us", "change": "loss", "target": "b--c", "ratio": "0%"},
        {"at": "800us", "change": "loss", "target": "b--c", "ratio": "100%"},
    ]
    lost = _lost(_busy(happening))
    assert lost["lost or damaged on the link"] > 20


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ({"change": "capacity", "target": "a--b", "rate": "1Gbps", "members": 1},
         "capacity has both, keep one of 'rate' or 'members'"),
        ({"change": "delay", "target": "a--b"}, "delay has no 'length' or 'delay'"),
        ({"change": "loss", "target": "a--b", "for": "1us"},
         "loss has no 'ratio' or 'bit-error-ratio'"),
        ({"change": "loss", "target": "a", "ratio": "1%"},
         "'a' is a node or a site, which goes 'down'"),
    ],
)  # fmt: skip
def test_changes_that_cannot_be_are_refused(one: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load({"title": "p", "topology": "t", "events": [{"at": "1us", **one}]}, topology=_net())
    assert [problem.message for problem in caught.value.problems] == [message]


def test_a_run_whose_ports_change_in_pieces_is_the_run_in_one(tmp_path: Path) -> None:
    case = _busy(
        [
            {"at": "210us", "change": "delay", "target": "a--b", "delay": "7us", "for": "333us"},
            {"at": "300us", "change": "capacity", "target": "a--b", "rate": "300Mbps"},
            {"at": "400us", "change": "loss", "target": "b--c", "ratio": "30%"},
        ]
    )
    whole = simulate(*case, threads=1)
    path, pieces, seen = tmp_path / "kept", 1, None
    while seen is None:
        counter = itertools.count(1)
        kept = Checkpoint(path, 7 * US, resume=True, asked=lambda c=counter: next(c) >= 9)  # type: ignore[misc]
        try:
            seen = simulate(*case, threads=1 + pieces % 2, checkpoint=kept)
        except Interrupted:
            pieces += 1
    assert seen == whole
    assert pieces > 3


CUT = {"at": "210us", "change": "cut", "target": "a--b"}
BACK = {"at": "400us", "change": "restore-optical", "target": "a--b", "share": "40%"}


@pytest.mark.parametrize(
    ("happening", "spans"),
    [
        ([CUT, BACK], [(1, 400, None)]),
        ([CUT, BACK | {"for": "90us"}], [(1, 400, 490)]),
        # What broke it is mended by then anyway, or repaired sooner.
        ([CUT | {"for": "300us"}, BACK], [(1, 400, 510)]),
        ([CUT, BACK, {"at": "450us", "change": "repair", "target": "a--b"}], [(1, 400, 450)]),
        # In two stages, and cut again meanwhile.
        ([CUT, BACK, BACK | {"at": "500us", "share": "60%"}], [(1, 400, 500), (2, 500, None)]),
        ([CUT, BACK, CUT | {"at": "600us", "for": "9us"}], [(1, 400, None)]),
        # Another rate for a while.
        (
            [CUT, BACK, {"at": "500us", "change": "capacity", "target": "a--b", "rate": "1Mbps",
                         "for": "100us"}],
            [(1, 400, 500), (2, 500, 600), (1, 600, None)],
        ),
        ([{"at": "210us", "change": "flap", "target": "a--b", "every": "50us", "for": "1ms"}, BACK],
         [(1, 400, 1210)]),
    ],
)  # fmt: skip
def test_broken_wires_come_back_over_other_fibre_at_a_share_of_their_rate(
    happening: list[dict[str, Any]], spans: list[tuple[int, int, int | None]]
) -> None:
    case = _busy(happening)
    found = settings_of(case.topology, case.profile.events)[Wire(0, 0), "rate"]
    ends = [None if one.until_ps == FOREVER_PS else one.until_ps // US for one in found]
    mine = [(one.event, one.from_ps // US) for one in found]
    assert [(*pair, end) for pair, end in zip(mine, ends, strict=True)] == spans
    seen = simulate(*case, threads=1)
    compare(case, seen)
    broken, _ = outages_of(case.topology, case.profile.events)
    assert all(one.until_ps <= 400 * US or one.from_ps >= 600 * US for one in broken)
    assert seen == simulate(*case, threads=2)


def test_what_comes_back_over_other_fibre_was_broken_and_has_a_share() -> None:
    happening = [
        {"at": "1us", "change": "restore-optical", "target": "a--b", "share": "40%"},
        {"at": "1us", "change": "cut", "target": "b--c"},
        {"at": "1us", "change": "restore-optical", "target": "b--c", "share": "0%"},
    ]
    for happens, messages in (
        (happening[:1], ["'a--b' is not cut at 1us"]),
        (happening, ["'share' of 0% brings nothing back"]),
    ):
        with pytest.raises(InputError) as caught:
            load({"title": "p", "topology": "t", "events": happens}, topology=_net())
        assert [problem.message for problem in caught.value.problems] == messages
