from typing import Any

import pytest

from qnet.check.gates import check_gates
from qnet.errors import Infeasible
from qnet.model.gates import GateEntry, GatePlan, GatePort, GateProblem, GateStream
from qnet.schedule.qbv.solve import schedule_gates

US = 10**6


def port(source: str, target: str, **more: Any) -> GatePort:
    return GatePort(
        name=f"{source}->{target}",
        source=source,
        target=target,
        rate_bps=10**9,
        processing_ps=2 * US,
        propagation_ps=US,
        **more,
    )


def stream(name: str, source: str, period_us: int = 100, **more: Any) -> GateStream:
    given = {"deadline_ps": period_us * US, "jitter_ps": period_us * US, **more}
    return GateStream(
        name=name, source=source, target="t", frame_bytes=980, period_ps=period_us * US, **given
    )


PORTS = (port("a", "s"), port("b", "s"), port("s", "t"))
PROBLEM = GateProblem(ports=PORTS, streams=(stream("x", "a"), stream("y", "b", 50)))
PLAN = schedule_gates(PROBLEM)


def change(plan: GatePlan, number: int, **what: Any) -> GatePlan:
    streams = list(plan.streams)
    streams[number] = streams[number].replace(**what)
    return plan.replace(streams=tuple(streams))


def rules(plan: GatePlan, problem: GateProblem = PROBLEM) -> set[str]:
    return {finding.rule for finding in check_gates(problem, plan).findings}


def moved(plan: GatePlan, number: int, frame: int, hop: int, by_ps: int) -> GatePlan:
    starts = [list(one) for one in plan.streams[number].starts_ps]
    starts[frame][hop] += by_ps
    return change(plan, number, starts_ps=tuple(tuple(one) for one in starts))


def test_a_good_plan_has_no_findings_and_exact_latencies() -> None:
    proof = check_gates(PROBLEM, PLAN)
    assert not proof.findings
    # Two transmissions of 8 us less 96 ns of gap, two wires of 1 us, 2 us of processing; whoever
    # waits, waits more.
    assert min(one.latency_ps_min or 0 for one in proof.streams) == 20 * US - 2 * 96_000


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (moved(PLAN, 0, 0, 0, 1000 * US), "release"),
        (moved(PLAN, 0, 0, 1, -1), "order"),
        (moved(PLAN, 0, 0, 1, 100 * US), "deadline"),
        (change(PLAN, 0, starts_ps=PLAN.streams[1].starts_ps[:1]), "overlap"),
        (change(PLAN, 0, queues=(0, 8)), "queue"),
        (change(PLAN, 0, ports=("a->s", "b->s")), "route"),
        (change(PLAN, 0, ports=("a->s", "nowhere")), "route"),
        (change(PLAN, 0, queues=(7,)), "inputs"),
        (change(PLAN, 1, starts_ps=PLAN.streams[1].starts_ps[:1]), "inputs"),
        (change(PLAN, 1, status="refused"), "inputs"),
        (change(PLAN, 1, name="z"), "inputs"),
        (PLAN.replace(cycle_ps=50 * US), "inputs"),
        (PLAN.replace(gates=PLAN.gates[1:]), "gates"),
        (moved(PLAN, 0, 0, 1, 1), "gates"),
    ],
)
def test_each_broken_rule_is_named(plan: GatePlan, expected: str) -> None:
    assert expected in rules(plan)


def test_one_queue_for_two_frames_at_a_time_is_found() -> None:
    """Both arrive at the same time over two wires; one of them waits while the other is sent."""
    streams = (stream("x", "a"), stream("y", "b"))
    problem = GateProblem(ports=PORTS, streams=streams)
    plan = schedule_gates(problem)
    line, lead = 8 * US, 3 * US
    first = (0, line + lead)
    second = (0, 2 * line + lead)
    plan = change(plan, 0, starts_ps=(first,), queues=(7, 7))
    assert "queue" in rules(change(plan, 1, starts_ps=(second,), queues=(7, 7)), problem)
    assert "queue" not in rules(change(plan, 1, starts_ps=(second,), queues=(7, 6)), problem)


def test_isolation_by_stream_is_stricter() -> None:
    strict = PROBLEM.replace(isolation="stream")
    assert "queue" in rules(change(PLAN, 1, queues=PLAN.streams[0].queues), strict)
    assert not check_gates(strict, schedule_gates(strict)).findings


def test_jitter_without_waiting_and_limits() -> None:
    tight = PROBLEM.replace(streams=tuple(s.replace(jitter_ps=0) for s in PROBLEM.streams))
    assert "jitter" in rules(moved(PLAN, 1, 1, 1, 1), tight)
    assert "order" in rules(moved(PLAN, 1, 1, 1, 1), PROBLEM.replace(waiting=False))
    short = tuple(one.replace(entries_max=1) for one in PORTS)
    assert "limit" in rules(PLAN, PROBLEM.replace(ports=short))


@pytest.mark.parametrize("open_too", [1 << 7, 1])
def test_gates_open_at_the_wrong_time_are_found(open_too: int) -> None:
    made = PLAN.gates[-1]
    entries = tuple(
        entry if entry.states else GateEntry(entry.interval_ps, open_too) for entry in made.entries
    )
    gates = (*PLAN.gates[:-1], made.replace(entries=entries))
    assert "gates" in rules(PLAN.replace(gates=gates))


def test_other_queues_are_open_until_the_guard_and_no_longer() -> None:
    guarded = PROBLEM.replace(guard_bytes=480)
    plan = schedule_gates(guarded)
    assert not check_gates(guarded, plan).findings
    assert any(entry.states == 0x7F for made in plan.gates for entry in made.entries)
    longer = guarded.replace(guard_bytes=481)
    assert "gates" in rules(plan, longer)


def test_proofs_name_what_binds() -> None:
    late = stream("x", "a", deadline_ps=19 * US)
    plan = schedule_gates(PROBLEM.replace(streams=(late,)))
    assert plan.proof == "x: sending and wires alone take 19.808us of 19us"
    many = tuple(stream(str(number), "ab"[number % 2], 50) for number in range(7))
    plan = schedule_gates(PROBLEM.replace(streams=many))
    assert plan.proof == "port s->t: streams that cannot avoid it need 112.0 % of its time"
    assert sum(made.status == "scheduled" for made in plan.streams) == 6


def test_periods_without_a_common_cycle_are_refused() -> None:
    odd = (stream("x", "a"), stream("y", "b").replace(period_ps=100 * US + 1))
    with pytest.raises(Infeasible, match="repeat together only after"):
        schedule_gates(PROBLEM.replace(streams=odd))


def test_no_streams_need_no_gates() -> None:
    plan = schedule_gates(PROBLEM.replace(streams=()))
    assert plan.gates == ()
    assert plan.complete
