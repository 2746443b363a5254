"""Gate lists that are given: by hand, what they delay and what of them is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnet.check.excluded import excluded_always, excluded_by_plan
from qnet.check.plan import prove
from qnet.check.windows import ClassArrivals, GateChange, GivenList, begins_after_ps
from qnet.errors import InputError
from qnet.files.read import load
from qnet.formats.bridges import tables_of_plan, taprio_lines
from qnet.model.gates import GateEntry
from qnet.model.topology import Clock
from qnet.units import PS_PER_MS
from tests.asking import Answer, ask

STILL = Clock()

WHOLE = 10**18

LINE_PS = 672_000
"""84 bytes at 1 Gb/s."""

LONG_PS = 12_304_000
"""1,538 bytes."""

NET = """\
title: A sender, a switch, a receiver
defaults:
  link: {rate: 1Gbps, delay: 500ns}
nodes: [{name: sender}, {name: switch, clock: {phase: PHASE}}, {name: receiver}]
links: [{between: [sender, switch]}, {between: [switch, receiver]}]
"""

TRAFFIC = """\
title: Classes by turns
topology: net
classes:
  - {name: six, priority: 6, mechanism: strict-priority}
  - {name: four, priority: 4, mechanism: strict-priority}
streams:
  - name: a
    class: six
    from: sender
    to: receiver
    interval: INTERVAL
    max-payload-size: 46B
    max-latency: 3ms
gates:
  - at: [PLACE]
    base-time: BASE
    entries: ENTRIES
simulation: {duration: 60ms}
"""

ENTRIES = "[{open: [six], for: 1ms}, {open: [four], for: 2ms}]"


def by_turns(*classes: tuple[int, frozenset[str]]) -> GivenList:
    return GivenList(
        3 * PS_PER_MS,
        tuple(GateChange(at_ms * PS_PER_MS, names, False) for at_ms, names in classes),
    )


def waiting(**other: object) -> ClassArrivals:
    plain = ClassArrivals("six", 0, WHOLE // 1000, WHOLE, LINE_PS, 0, 0, {})
    return plain._replace(**other)  # type: ignore[arg-type]


ALONE = by_turns((0, frozenset({"six"})), (1, frozenset({"four"})))


def test_what_just_misses_its_window_waits_for_the_next() -> None:
    assert begins_after_ps(ALONE, STILL, waiting()) == 2 * PS_PER_MS + LINE_PS


def test_work_that_does_not_fit_one_window_waits_twice() -> None:
    # 1.5 ms of frames: 1 ms - 672 ns of them in one window, the rest in the one after.
    busy_ps = 3 * PS_PER_MS // 2
    first_ps = PS_PER_MS - LINE_PS
    after_ps = LINE_PS + 2 * PS_PER_MS + 3 * PS_PER_MS + busy_ps - first_ps
    assert begins_after_ps(ALONE, STILL, waiting(burst_ps=busy_ps)) == after_ps


def test_a_long_frame_below_is_in_the_way_where_its_gate_is_open_on_both_sides() -> None:
    both = by_turns((0, frozenset({"six", "four"})), (1, frozenset({"four"})))
    # It may begin just before a frame comes, which then no longer fits; and before the next window.
    expected = 2 * PS_PER_MS + LINE_PS + 2 * LONG_PS
    assert begins_after_ps(both, STILL, waiting(below_ps={"four": LONG_PS})) == expected
    # Closed before the window and open in it, it is in the way only once.
    inside = by_turns((0, frozenset({"six", "four"})), (1, frozenset({"four"})), (2, frozenset()))
    expected = 2 * PS_PER_MS + LINE_PS + LONG_PS
    assert begins_after_ps(inside, STILL, waiting(below_ps={"four": LONG_PS})) == expected
    assert begins_after_ps(ALONE, STILL, waiting(below_ps={"four": LONG_PS})) == (
        2 * PS_PER_MS + LINE_PS
    )


def test_classes_above_take_of_the_window() -> None:
    case = waiting(above_burst_ps=10 * LINE_PS)
    assert begins_after_ps(ALONE, STILL, case) == 2 * PS_PER_MS + 11 * LINE_PS


def test_a_gate_that_is_never_closed_delays_nothing() -> None:
    always = by_turns((0, frozenset({"six"})))
    assert begins_after_ps(always, STILL, waiting()) == 0
    assert begins_after_ps(always, STILL, waiting(below_ps={"four": LONG_PS})) == 0


def test_a_clock_that_steps_stretches_what_is_closed() -> None:
    steps = Clock.model_validate({"error": "1us", "wander": "1ns"})
    # Two milliseconds of waiting touch four of the clock's milliseconds at the most.
    assert begins_after_ps(ALONE, steps, waiting()) == 2 * PS_PER_MS + LINE_PS + 4 * 1000


def test_nothing_is_proven_of_more_than_the_windows_carry() -> None:
    assert begins_after_ps(ALONE, STILL, waiting(rate=WHOLE * 33 // 100)) is not None
    assert begins_after_ps(ALONE, STILL, waiting(rate=WHOLE * 34 // 100)) is None
    assert begins_after_ps(ALONE, STILL, waiting(longest_ps=2 * PS_PER_MS)) is None


def run(folder: Path, **words: str) -> Answer:
    return ask(scenario(folder, **words))


def scenario(folder: Path, **words: str) -> Path:
    wanted = {
        "PHASE": "0ns",
        "INTERVAL": "100us",
        "PLACE": "switch->receiver",
        "BASE": "0ns",
        "ENTRIES": ENTRIES,
        **words,
    }
    for name, template in (("net", NET), ("traffic", TRAFFIC)):
        text = template
        for word, value in wanted.items():
            text = text.replace(word, value)
        (folder / f"{name}.yaml").write_text(text)
    return folder / "traffic.yaml"


def test_streams_wait_for_their_windows_and_are_proven(tmp_path: Path) -> None:
    answer = run(tmp_path)
    proven, seen = answer.proven("a").latency_ps_max, answer.seen("a").latency_ps_max
    assert proven is not None
    assert seen is not None
    assert 2 * PS_PER_MS < proven < 2 * PS_PER_MS + 5 * 10**6
    assert 1.8 * PS_PER_MS < seen <= proven
    assert answer.verdict.outcome == "pass"


@pytest.mark.parametrize(
    ("phase", "base", "opens"),
    [("0ns", "1ms", 1), ("1ms", "0ns", 1), ("1ms", "1ms", 2), ("0ns", "7ms", 1)],
)
def test_lists_begin_at_their_base_time(tmp_path: Path, phase: str, base: str, opens: int) -> None:
    answer = run(tmp_path, PHASE=phase, BASE=base)
    (made,) = answer.plan.gates
    first_ps = 0
    for entry in made.entries:
        if entry.states == 2:  # class six has queue 1
            break
        first_ps += entry.interval_ps
    shift = 1 if phase == "1ms" else 0
    assert (first_ps // PS_PER_MS + shift) % 3 == opens
    assert sum(one.interval_ps for one in made.entries) == 3 * PS_PER_MS
    assert answer.verdict.outcome == "pass"


def test_more_than_a_window_carries_is_a_finding_however_long_one_watches(tmp_path: Path) -> None:
    answer = run(
        tmp_path, INTERVAL="2us", ENTRIES="[{open: [six], for: 1ms}, {open: [], for: 9ms}]"
    )
    assert [one.message for one in answer.proof.findings] == [
        "port switch->receiver is offered 336Mbps of class six; "
        "its gate leaves it 100Mbps of 1Gbps; the queue grows without end"
    ]
    assert answer.verdict.outcome == "fail"


def test_gates_that_never_open_and_windows_too_short_are_findings(tmp_path: Path) -> None:
    never = run(tmp_path, ENTRIES="[{open: [four], for: 1ms}]")
    assert [one.message for one in never.proof.findings] == [
        "port switch->receiver: class six is sent here, and its gate never opens"
    ]
    short = run(tmp_path, ENTRIES="[{open: [six], for: 500ns}, {open: [four], for: 500ns}]")
    assert [one.message for one in short.proof.findings] == [
        "port switch->receiver: a frame of class six takes 672ns; its longest window is 500ns"
    ]
    for answer in (never, short):
        (words,) = [one.message for one in answer.proof.findings]
        (row,) = [one for one in answer.verdict.rows if one.kind == "latency"]
        assert (row.outcome, row.reason) == ("fail", words)
        case = answer.scenario.topology, answer.scenario.profile
        assert excluded_always(*case) == [f"six: {words}"]
        assert excluded_by_plan(*case, answer.plan)[0] == f"six: {words}"


def test_a_window_over_the_end_of_its_list_is_one(tmp_path: Path) -> None:
    entries = "[{open: [six], for: 400ns}, {open: [four], for: 500ns}, {open: [six], for: 272ns}]"
    answer = run(tmp_path, ENTRIES=entries, INTERVAL="1ms")
    assert not answer.proof.findings
    assert answer.seen("a").received
    entries = entries.replace("272", "271")
    assert run(tmp_path, ENTRIES=entries, INTERVAL="1ms").proof.findings


def test_a_plan_with_other_lists_is_refused(tmp_path: Path) -> None:
    answer = run(tmp_path)
    topology, profile = answer.scenario.topology, answer.scenario.profile
    (made,) = answer.plan.gates
    for entries in (
        (GateEntry(2 * PS_PER_MS, 2), GateEntry(PS_PER_MS, 1)),
        (GateEntry(PS_PER_MS, 3), GateEntry(2 * PS_PER_MS, 1)),
        (),
        (GateEntry(0, 2),),
        (GateEntry(PS_PER_MS, -1),),
    ):
        other = answer.plan.replace(gates=(made.replace(entries=entries),))
        words = [one.message for one in prove(topology, profile, other).findings]
        assert "its list is not the one that the traffic file gives" in words
    split = (GateEntry(1000, 2), GateEntry(PS_PER_MS - 1000, 2), made.entries[1])
    same = answer.plan.replace(gates=(made.replace(entries=split),))
    assert prove(topology, profile, same).findings == ()
    none = answer.plan.replace(gates=())
    assert prove(topology, profile, none).findings


def test_frames_reach_the_queue_of_their_class_on_linux(tmp_path: Path) -> None:
    answer = run(tmp_path)
    topology, profile = answer.scenario.topology, answer.scenario.profile
    (table,) = tables_of_plan(topology, profile, answer.plan)
    # Class four has queue 0 and class six queue 1: a priority leads to its class's queue alone,
    # and queues without a class keep their numbers, 4 and 6 by the priorities 12 and 14.
    reached = [table.queue_of(priority) for priority in range(16)]
    assert reached == [0, 0, 2, 3, 0, 5, 1, 7, 0, 0, 0, 0, 4, 0, 6, 0]
    (line,) = taprio_lines([table]).values()
    assert f"map {' '.join(map(str, reached))} queues" in line
    assert "sched-entry S 02 1000000 sched-entry S 01 2000000" in line


def test_every_fault_of_a_list_is_told_at_its_place(tmp_path: Path) -> None:
    entries = "[{open: [sicks], for: 1ms}, {open: [six], for: 100500ps}]"
    with pytest.raises(InputError) as caught:
        load(str(scenario(tmp_path, PLACE="swich", ENTRIES=entries)))
    text = str(caught.value)
    for words in (
        "gates[0].at[0]: no port or node 'swich' in",
        "did you mean 'switch'?",
        "gates[0].entries[0].open[0]: no class 'sicks'",
        "gates[0].entries[1].for: 100.5ns is not a whole number of nanoseconds",
    ):
        assert words in text


def test_a_port_has_one_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'switch->sender' has a list already, by gates"):
        load(str(scenario(tmp_path, PLACE="switch, switch->sender")))


SHARED = """\
title: Demands of classes that take turns
topology: net
classes:
  - {name: six, priority: 6, mechanism: strict-priority}
  - {name: four, priority: 4, mechanism: strict-priority}
  - {name: two, priority: 2, mechanism: strict-priority}
streams:
  - {name: s, class: two, from: sender, to: receiver, interval: 100us, max-payload-size: 1000B}
demands:
  - {name: high, class: six, from: sender, to: receiver, rate: HIGH, arrival: constant-rate}
  - {name: low, class: four, from: sender, to: receiver, rate: LOW, arrival: constant-rate}
gates:
  - at: [switch->receiver]
    entries: ENTRIES
simulation: {duration: 60ms}
"""

TURNS = "[{open: [six], for: 700us}, {open: [four, two], for: 300us}]"
OVERLAP = (
    "[{open: [six, four], for: 300us}, {open: [four, two], for: 300us}, {open: [six], for: 400us}]"
)


@pytest.mark.parametrize(
    ("entries", "high", "low", "placed"),
    [
        # 1,018 bytes and 20 every 100 us are 83.04 Mb/s of class two.
        (TURNS, "600Mbps", "200Mbps", (600_000_000, 200_000_000)),
        (TURNS, "800Mbps", "250Mbps", (700_000_000, 216_960_000)),
        (OVERLAP, "200Mbps", "300Mbps", (200_000_000, 300_000_000)),
        (OVERLAP, "650Mbps", "300Mbps", (650_000_000, 216_960_000)),
    ],
)
def test_demands_of_each_class_have_the_time_of_its_windows(
    tmp_path: Path, entries: str, high: str, low: str, placed: tuple[int, int]
) -> None:
    net = NET.replace("PHASE", "0ns").replace("[sender, switch]}", "[sender, switch], rate: 9Gbps}")
    (tmp_path / "net.yaml").write_text(net)
    text = SHARED.replace("HIGH", high).replace("LOW", low).replace("ENTRIES", entries)
    (tmp_path / "traffic.yaml").write_text(text)
    answer = ask(tmp_path / "traffic.yaml")
    assert tuple(one.placed_bps for one in answer.plan.demands) == placed
    assert not answer.proof.findings
    assert not any(one.lost for one in answer.observation.demands)


@pytest.mark.parametrize(("cut", "outcome"), [("true", "fail"), ("false", "pass")])
def test_frames_that_are_held_have_no_bound_of_gates(
    tmp_path: Path, cut: str, outcome: str
) -> None:
    """The gate is open all the time, and preemptable frames wait for 9 ms of 10."""
    path = scenario(
        tmp_path,
        ENTRIES="[{open: [six, four], for: 9ms, hold: true}, {open: [six, four], for: 1ms}]",
        INTERVAL="1ms",
    )
    text = path.read_text().replace("priority: 6,", f"priority: 6, preemptable: {cut},")
    path.write_text(text.replace("priority: 4,", f"priority: 4, preemptable: {cut},"))
    answer = ask(path)
    assert (answer.proven("a").latency_ps_max is None) == (cut == "true")
    assert not answer.proof.findings
    assert answer.verdict.findings == ()
    assert answer.verdict.outcome == outcome
