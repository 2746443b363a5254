"""tsnkit's files, YANG and taprio: golden schedules, faults at their lines, sums that add up."""

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from qnet.check.gates import check_gates
from qnet.cli import main
from qnet.errors import Infeasible, InputError
from qnet.formats.bridges import (
    GateTable,
    gate_parameter_tables,
    tables_of_problem,
    taprio_lines,
)
from qnet.formats.tsnkit import read_problem, write_problem, write_schedule
from qnet.formats.tsnkit_schedule import COLUMNS, read_schedule
from qnet.model.gates import GateEntry, GatePlan, GateProblem
from qnet.model.plan import Plan
from qnet.schedule.qbv.solve import schedule_gates
from tests.taprio_rules import refused

DATA = Path(__file__).parents[1] / "data" / "tsn"
TASK = "stream,src,dst,size,period,deadline,jitter\n"
TOPO = "link,q_num,rate,t_proc,t_prop\n"


def problem_of(name: str) -> GateProblem:
    task, topo = DATA / f"{name}_task.csv", DATA / f"{name}_topo.csv"
    return read_problem(task.read_text(), topo.read_text())


@pytest.mark.twin
@pytest.mark.parametrize("name", ["001", "029", "047"])
def test_schedules_are_the_golden_ones(name: str, update_expected: bool) -> None:
    """Compiled and not: the same bytes."""
    problem = problem_of(name)
    plan = schedule_gates(problem)
    assert plan.complete
    assert check_gates(problem, plan).findings == ()
    for file, text in write_schedule(problem, plan).items():
        path = DATA / "expected" / f"{name}-{file}"
        if update_expected:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.read_text() == text


def test_a_problem_is_read_as_it_was_written() -> None:
    problem = problem_of("029")
    texts = write_problem(problem)
    again = read_problem(texts["task.csv"], texts["topo.csv"])
    assert again.ports == problem.ports
    assert again.streams == problem.streams
    assert problem.ports[0].processing_ps == 2_000_000


def test_every_fault_is_reported_at_its_line() -> None:
    task = TASK + '0,8,[9],100,1000,1000,1000\n0,8,"[9, 8]",100,1000,1000,1000\n0,8,[9],x,0,1,-1\n'
    topo = TOPO + '"(8, 9)",9,1,0,0\n(8;9),8,fast,0,0\n"(9, 8)",8,0.3333333333,0,0\n'
    with pytest.raises(InputError) as caught:
        read_problem(task, topo)
    places = [(one.file, one.line, one.where) for one in caught.value.problems]
    assert places == [
        ("network", 2, "q_num"),
        ("network", 3, "link"),
        ("network", 4, "rate"),
        ("task", 3, "dst"),
        ("task", 3, "stream"),
        ("task", 4, "jitter"),
        ("task", 4, "period"),
        ("task", 4, "size"),
        ("task", 4, "stream"),
    ]
    with pytest.raises(InputError, match="no such column"):
        read_problem("a,b\n", TOPO)
    with pytest.raises(InputError, match="no link has node 7"):
        read_problem(TASK + "0,7,[9],100,1000,1000,1000\n", TOPO + '"(8, 9)",8,1,0,0\n')


def test_what_tsnkit_cannot_say_is_refused() -> None:
    problem = problem_of("029")
    plan = schedule_gates(problem)
    early = [stream.replace(deadline_ps=1) for stream in problem.streams]
    hopeless = problem.replace(streams=tuple(early))
    with pytest.raises(Infeasible, match="10 streams are not scheduled"):
        write_schedule(hopeless, schedule_gates(hopeless))
    first = problem.streams[0].replace(name="camera")
    named = problem.replace(streams=(first, *problem.streams[1:]))
    with pytest.raises(Infeasible, match="'camera' is not a number"):
        write_schedule(named, plan)


def test_windows_of_tsnkit_and_entries_of_bridges_say_the_same() -> None:
    problem = problem_of("047")
    plan = schedule_gates(problem)
    rows = list(csv.DictReader(io.StringIO(write_schedule(problem, plan)["GCL.csv"])))
    sent: dict[str, int] = {}
    for row in rows:
        a, b = row["link"].strip("()").split(", ")
        sent[f"{a}->{b}"] = sent.get(f"{a}->{b}", 0) + int(row["end"]) - int(row["start"])
    tables = tables_of_problem(problem, plan)
    opened: dict[str, int] = {}
    for node, text in gate_parameter_tables(tables, base_ns=3 * 10**9 + 7).items():
        for one in json.loads(text)["ietf-interfaces:interfaces"]["interface"]:
            bridge_port = one["ieee802-dot1q-bridge:bridge-port"]
            table = bridge_port["ieee802-dot1q-sched-bridge:gate-parameter-table"]
            entries = table["admin-control-list"]["gate-control-entry"]
            cycle = table["admin-cycle-time"]
            total = sum(entry["time-interval-value"] for entry in entries)
            assert total * cycle["denominator"] == cycle["numerator"] * 10**9
            # A list that would begin within a window begins behind it.
            begins = table["admin-base-time"]
            assert begins["seconds"] == "3"
            edges = {7 + sum(one["time-interval-value"] for one in entries[-1:])}
            assert begins["nanoseconds"] == 7 or min(edges) >= begins["nanoseconds"]
            opened[f"{node}->{one['name'].removeprefix('to-')}"] = sum(
                entry["time-interval-value"] for entry in entries if entry["gate-states-value"]
            )
    assert opened == sent
    lines = [line for text in taprio_lines(tables).values() for line in text.splitlines()]
    assert len(lines) == len(plan.gates)
    for line in lines:
        words = line.split()
        intervals = [int(words[i + 3]) for i, word in enumerate(words) if word == "sched-entry"]
        assert sum(intervals) == plan.cycle_ps // 1000
        assert words[:5] == ["tc", "qdisc", "replace", "dev", words[4]]


@pytest.mark.parametrize(
    ("queues", "opened", "classes", "wanted"),
    [
        (8, 0xFF, (), [0, 1, 2, 3, 4, 5, 6, 7]),
        (4, 0x0F, (), [0, 1, 2, 3, 0, 0, 0, 0]),
        (1, 0x01, (), [0] * 8),
        # Queues 4 and 6 have numbers that are priorities of classes; 0 is the last that is taken.
        (8, 0x7C, ((4, 0), (6, 1)), [6, 4, 2, 3, 0, 5, 1, 7]),
        (8, 0x40, ((4, 0), (6, 1)), [0, 6, 2, 3, 0, 5, 1, 7]),
        (3, 0x07, ((7, 1), (0, 0)), [0, 0, 2, 0, 0, 0, 0, 1]),
        (3, 0x07, ((7, 1), (2, 0)), [0, 2, 0, 0, 0, 0, 0, 1]),
        (8, 0xFF, tuple((one, one) for one in range(8)), list(range(8))),
    ],
)
def test_every_queue_is_reached_by_a_priority(
    queues: int, opened: int, classes: tuple[tuple[int, int], ...], wanted: list[int]
) -> None:
    entries = (GateEntry(1_000_000, opened),)
    table = GateTable("a->b", "a", "to-b", 10**9, queues, 1_000_000, 0, entries, classes)
    assert table.traffic_classes() == wanted
    assert all(queue in wanted for queue in range(queues) if opened >> queue & 1)
    (text,) = gate_parameter_tables([table]).values()
    (one,) = json.loads(text)["ietf-interfaces:interfaces"]["interface"]
    rows = one["ieee802-dot1q-bridge:bridge-port"]["traffic-class"]["traffic-class-map"]
    assert [row["priority"] for row in rows] == list(range(8))
    assert [row["available-traffic-class"] for row in rows] == [
        [{"num-traffic-class": queues, "traffic-class": queue}] for queue in wanted
    ]


def test_two_classes_of_one_priority_are_refused() -> None:
    entries = (GateEntry(1_000_000, 1),)
    table = GateTable("a->b", "a", "to-b", 10**9, 8, 1_000_000, 0, entries, ((4, 0), (4, 1)))
    for write in (gate_parameter_tables, taprio_lines):
        with pytest.raises(InputError, match="a->b: two classes of one priority"):
            write([table])


def test_the_verbs_lead_from_csv_to_files(tmp_path: Path) -> None:
    run = CliRunner().invoke
    problem, plan = str(tmp_path / "problem.json"), str(tmp_path / "plan.json")
    task, topo = str(DATA / "029_task.csv"), str(DATA / "029_topo.csv")
    assert run(main, ["import", "tsnkit", task, topo, "-o", problem]).exit_code == 0
    made = run(main, ["gates", problem, "-o", plan])
    assert made.exit_code == 0, made.output
    assert made.output.startswith("PASS: 10 of 10 streams scheduled")
    for verb, file in (("tsnkit", "qnet-GCL.csv"), ("yang", "8.json"), ("taprio", "0.sh")):
        out = tmp_path / verb
        result = run(main, ["export", verb, problem, plan, "--out", str(out)])
        assert result.exit_code == 0, result.output
        assert (out / file).exists()
    broken = Path(plan).read_text().replace('"queues": [\n    7', '"queues": [\n    6', 1)
    Path(plan).write_text(broken)
    result = run(main, ["export", "yang", problem, plan, "--out", str(tmp_path / "no")])
    assert result.exit_code == 2
    assert "only queue 6 may send" in result.output


def run_ok(*words: str) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def test_gates_of_an_ordinary_plan_leave_as_yang_and_taprio(tmp_path: Path) -> None:
    plan = str(tmp_path / "plan.json")
    run_ok("plan", "factory", "-o", plan)
    made = Plan.model_validate_json(Path(plan).read_text(), by_name=True)
    run_ok("export", "yang", "factory", plan, "--out", str(tmp_path / "yang"))
    tables = 0
    for file in (tmp_path / "yang").iterdir():
        for one in json.loads(file.read_text())["ietf-interfaces:interfaces"]["interface"]:
            port = f"{file.stem}->{one['name'].removeprefix('to-')}"
            (listed,) = [gates for gates in made.gates if gates.port == port]
            table = one["ieee802-dot1q-bridge:bridge-port"][
                "ieee802-dot1q-sched-bridge:gate-parameter-table"
            ]
            entries = table["admin-control-list"]["gate-control-entry"]
            assert [entry["index"] for entry in entries] == list(range(len(entries)))
            found = [(one["time-interval-value"], one["gate-states-value"]) for one in entries]
            wanted = [(gate.interval_ps // 1000, gate.states) for gate in listed.entries]
            if found != wanted:
                # It begins behind its first entry, which goes on from the last.
                (short, _), *between, (long, states) = wanted
                assert found == [*between, (short + long, states)]
                assert table["admin-base-time"] == {"seconds": "0", "nanoseconds": short}
            tables += 1
    assert tables == len(made.gates)
    run_ok("export", "taprio", "factory", plan, "--out", str(tmp_path / "taprio"))
    lines = [
        line for file in (tmp_path / "taprio").iterdir() for line in file.read_text().splitlines()
    ]
    assert len(lines) == len(made.gates)
    assert [refused(line, 1000) for line in lines] == [[]] * len(lines)
    broken = Path(plan).read_text().replace('"gate_cycle_ps": 4', '"gate_cycle_ps": 5')
    Path(plan).write_text(broken)
    result = CliRunner().invoke(main, ["export", "yang", "factory", plan, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "has 4 frames, 5 are in a gate cycle" in result.output


@pytest.mark.skipif(shutil.which("tc") is None, reason="tc is not installed")
def test_tc_understands_every_word() -> None:
    """`tc` reads all arguments before it looks for the device, which does not exist."""
    problem = problem_of("047")
    texts = taprio_lines(tables_of_problem(problem, schedule_gates(problem)))
    line = next(iter(texts.values())).splitlines()[0].split()
    line[line.index("dev") + 1] = "qnet-no-such"
    for words, answer in ((line, "Cannot find device"), ([*line, "sched-entri"], "Unknown")):
        said = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
        assert said.returncode != 0
        assert answer in said.stderr


def test_segment_lists_name_port_and_cycle_of_each_hop(tmp_path: Path) -> None:
    """Over 3 cycles and 4 buffers a stream's buffers repeat after 4 intervals."""
    (tmp_path / "t.yaml").write_text(
        "title: t\nnodes: [{name: a}, {name: b}, {name: c}]\n"
        "links: [{between: [b, c], rate: 1Gbps, length: 1km}, "
        "{between: [a, b], rate: 1Gbps, length: 1km}]\n"
    )
    (tmp_path / "p.yaml").write_text(
        "title: p\ntopology: t\n"
        "classes: [{name: r, priority: 6, mechanism: csqf}]\n"
        "streams: [{name: s, from: a, to: c, class: r, interval: 30us, max-payload-size: 9B}]\n"
    )
    profile, plan = str(tmp_path / "p.yaml"), str(tmp_path / "plan.json")
    run_ok("plan", profile, "-o", plan)
    made = Plan.model_validate_json(Path(plan).read_text(), by_name=True)
    (path,) = made.streams[0].paths
    for kind in ("srv6", "mpls"):
        run_ok("export", kind, profile, plan, "--out", str(tmp_path))
    (stream,) = json.loads((tmp_path / "srv6.json").read_text())["streams"]
    assert stream["repeats-after-intervals"] == 4
    # Node a is number 1 and has one port; b is number 2, its port to c is of the first link.
    assert stream["paths"][0]["lists"] == [
        [
            f"5f00:0:1:0:{(path.cycles[0] + 3 * k) % 4}::",
            f"5f00:0:2:0:{(path.cycles[1] + 3 * k) % 4}::",
        ]
        for k in range(4)
    ]
    (stream,) = json.loads((tmp_path / "mpls.json").read_text())["streams"]
    assert stream["paths"][0]["lists"][0] == [15000 + cycle % 4 for cycle in path.cycles]
    assert path.ports == ("a->b", "b->c")
    run_ok("plan", "dual-node", "-o", plan)
    result = CliRunner().invoke(main, ["export", "srv6", "dual-node", plan, "--out", str(tmp_path)])
    assert "no stream of a class with 'mechanism: csqf' is admitted" in result.output
    assert result.exit_code == 1


def test_tsnkit_gets_the_problem_beside_the_schedule(tmp_path: Path) -> None:
    problem, plan = str(tmp_path / "problem.json"), str(tmp_path / "plan.json")
    task, topo = str(DATA / "029_task.csv"), str(DATA / "029_topo.csv")
    run_ok("import", "tsnkit", task, topo, "-o", problem)
    run_ok("gates", problem, "-o", plan)
    out = tmp_path / "out"
    run_ok("export", "tsnkit", problem, plan, "--out", str(out))
    again = read_problem((out / "qnet-task.csv").read_text(), (out / "qnet-topo.csv").read_text())
    assert again.streams == problem_of("029").streams
    assert again.ports == problem_of("029").ports


NAMES = {kind: kind for kind in COLUMNS}


def golden(name: str) -> dict[str, str]:
    return {kind: (DATA / "expected" / f"{name}-{kind}").read_text() for kind in COLUMNS}


@pytest.mark.parametrize("name", ["001", "029", "047"])
def test_a_schedule_is_read_as_it_was_written(name: str) -> None:
    problem = problem_of(name)
    plan = schedule_gates(problem)
    again = read_schedule(problem, write_schedule(problem, plan), NAMES)
    assert again.streams == plan.streams
    assert again.gates == plan.gates
    assert again.cycle_ps == plan.cycle_ps
    # Neither the order of the rows nor '.0' means anything.
    texts = {}
    for kind, text in write_schedule(problem, plan).items():
        head, *rows = text.splitlines()
        texts[kind] = "\n".join([head, *(f"{row}.0" for row in reversed(rows))])
    texts["ROUTE.csv"] = texts["ROUTE.csv"].replace(".0", "")
    assert read_schedule(problem, texts, NAMES).streams == plan.streams


def two_talkers(gcl: str, offsets: str = "0,0,0\n1,0,0\n", period: int = 100_000) -> GatePlan:
    """Two frames of 1000 B that meet in bridge 8; both are there at 10 us."""
    task = TASK + f"0,1,[9],1000,{period},{period},{period}\n1,2,[9],1000,100000,100000,100000\n"
    topo = TOPO + '"(1, 8)",8,1,0,0\n"(2, 8)",8,1,0,0\n"(8, 9)",8,1,2000,0\n'
    cycle = max(period, 100_000)
    texts = {
        "GCL.csv": "link,queue,start,end,cycle\n" + gcl.replace("CYCLE", str(cycle)),
        "OFFSET.csv": "stream,frame,offset\n" + offsets,
        "ROUTE.csv": 'stream,link\n0,"(8, 9)"\n0,"(1, 8)"\n1,"(2, 8)"\n1,"(8, 9)"\n',
        "QUEUE.csv": "stream,frame,link,queue\n"
        + "".join(f'{s},0,"({s + 1}, 8)",0\n{s},0,"(8, 9)",{q}\n' for s, q in ((0, 3), (1, 5))),
    }
    return read_schedule(read_problem(task, topo), texts, NAMES)


TALKERS = '"(1, 8)",0,0,8000,CYCLE\n"(2, 8)",0,0,8000,CYCLE\n'


def test_frames_follow_queues_and_gates() -> None:
    """By hand: 8 us on the first wire and 2 us in the bridge; the higher queue goes first."""
    both = '"(8, 9)",3,10000,30000,CYCLE\n"(8, 9)",5,10000,30000,CYCLE\n'
    plan = two_talkers(TALKERS + both)
    assert [made.starts_ps for made in plan.streams] == [((0, 18_000_000),), ((0, 10_000_000),)]
    # The gate of queue 5 opens 7 us after 10 us, then from 5 us before the end of the cycle on.
    around = '"(8, 9)",3,0,100000,CYCLE\n"(8, 9)",5,10000,17000,CYCLE\n'
    plan = two_talkers(TALKERS + around + '"(8, 9)",5,95000,103000,CYCLE\n')
    assert [made.starts_ps for made in plan.streams] == [((0, 10_000_000),), ((0, 95_000_000),)]
    plan = two_talkers(TALKERS + around)
    assert plan.streams[0].status == "scheduled"
    reason = "frame 0 never leaves queue 5 of 8->9: no gate opens for it"
    assert plan.streams[1].reason == reason
    # Two frames each cycle through a window for one: the queue grows.
    once = '"(8, 9)",3,50000,58000,CYCLE\n"(8, 9)",5,10000,18000,CYCLE\n'
    plan = two_talkers(TALKERS + once, period=200_000)
    reason = "frame 0 leaves queue 5 of 8->9 at another time in each cycle"
    assert plan.streams[1].reason == reason


def test_faults_of_a_schedule_come_all_at_once() -> None:
    problem = problem_of("029")
    texts = golden("029")
    for kind, rows in {
        "GCL.csv": '"(0, 1)",9,0,100,800000\n"(0, 99)",0,0,100,800000\n"(0, 1)",0,9,9,7\n',
        "OFFSET.csv": "0,0,5\n77,0,0\n",
        "ROUTE.csv": '1,"(14, 6)"\n1,(8;0)\n',
        "QUEUE.csv": '0,0,"(11, 3)",2\nx,0,"(11, 3)",2\n',
    }.items():
        texts[kind] = texts[kind].splitlines()[0] + "\n" + rows
    with pytest.raises(InputError) as caught:
        read_schedule(problem, texts, NAMES)
    places = {(one.file, one.line, one.where) for one in caught.value.problems}
    assert places == {
        ("GCL.csv", 2, "queue"),
        ("GCL.csv", 3, "link"),
        ("GCL.csv", 4, "cycle"),
        ("GCL.csv", 4, "end"),
        ("OFFSET.csv", 3, "stream"),
        ("ROUTE.csv", 3, "link"),
        ("QUEUE.csv", 3, "stream"),
    }
    texts = golden("029")
    texts["ROUTE.csv"] = texts["ROUTE.csv"].replace('0,"(11, 3)"\n', "", 1)
    texts["OFFSET.csv"] = "stream,frame,offset\n0,0,0\n"
    with pytest.raises(InputError) as caught:
        read_schedule(problem, texts, NAMES)
    said = str(caught.value)
    assert "is no way of stream 0 from 11 to 15" in said
    assert "stream 1 has 1 frames in a cycle; offsets are given for none" in said


def test_the_judge_of_another_programs_schedule(tmp_path: Path) -> None:
    problem, plan = str(tmp_path / "problem.json"), str(tmp_path / "plan.json")
    task, topo = str(DATA / "029_task.csv"), str(DATA / "029_topo.csv")
    run_ok("import", "tsnkit", task, topo, "-o", problem)
    for kind, text in golden("029").items():
        (tmp_path / f"other-{kind}").write_text(text)
    prefix = str(tmp_path / "other")
    run_ok("import", "tsnkit-schedule", problem, prefix, "-o", plan)
    assert run_ok("gates", problem, "--plan", plan).startswith("PASS: 10 of 10 streams scheduled")
    late = (tmp_path / "other-OFFSET.csv").read_text().splitlines()
    stream, frame, offset = late[1].split(",")
    late[1] = f"{stream},{frame},{int(offset) + 100}"
    (tmp_path / "other-OFFSET.csv").write_text("\n".join(late))
    run_ok("import", "tsnkit-schedule", problem, prefix, "-o", plan)
    result = CliRunner().invoke(main, ["gates", problem, "--plan", plan])
    assert result.exit_code == 1
    assert "broken gates: " in result.output
    (tmp_path / "other-GCL.csv").unlink()
    (tmp_path / "other-QUEUE.csv").unlink()
    result = CliRunner().invoke(main, ["import", "tsnkit-schedule", problem, prefix])
    assert result.exit_code == 2
    assert "2 problems" in result.output


def test_export_takes_the_options_of_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        "title: t\nnodes: [{name: a}, {name: b}]\n"
        "links: [{between: [a, b], rate: 1Gbps, length: 1km}]\n"
    )
    (tmp_path / "p.yaml").write_text(
        "title: p\ntopology: no-such\nparameters:\n  load: 9B\n"
        "classes: [{name: r, priority: 6, mechanism: csqf}]\n"
        "streams:\n  - {name: s, from: a, to: b, class: r, interval: 30us,\n"
        "     max-payload-size: '${load}'}\n"
    )
    said = ["--topology", str(tmp_path / "t.yaml"), "--set", "load=100B"]
    profile, plan = str(tmp_path / "p.yaml"), str(tmp_path / "plan.json")
    run_ok("plan", profile, *said, "-o", plan)
    run_ok("export", "mpls", profile, plan, *said, "--out", str(tmp_path))
    assert CliRunner().invoke(main, ["export", "mpls", profile, plan, "--out", "x"]).exit_code == 2
    words = ["export", "yang", "set.json", plan, *said, "--out", "x"]
    result = CliRunner().invoke(main, words)
    assert "--set: set.json is a problem" in result.output
    assert "--topology: set.json is a problem" in result.output


SAID_TO_A_SHELL = ["$(touch made)", "`touch made`", "x; touch made", "x\ntouch made", "'", "[b]/2*"]


@pytest.mark.parametrize("name", SAID_TO_A_SHELL)
def test_a_name_is_one_word_to_the_shell(name: str, tmp_path: Path) -> None:
    entries = [GateEntry(500 * 10**6, 1), GateEntry(500 * 10**6, 2)]
    table = GateTable("a->b", "a", f"to-{name}", 10**9, 8, 10**9, 0, entries)
    (text,) = taprio_lines([table]).values()
    assert len(text.splitlines()) == 1
    script = 'tc() { printf "%s" "$4"; };\n' + text
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("to-" + name.replace("\n", "?"), "")
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_listeners_is_one_stream_there_and_back() -> None:
    task = TASK + '0,1,"[2, 3]",1000,1000000,1000000,0\n'
    topo = TOPO + "".join(
        f'"({near}, {far})",8,1,2000,0\n' for near, far in ((1, 0), (0, 1), (0, 2), (0, 3))
    )
    problem = read_problem(task, topo)
    assert problem.streams[0].targets == ("2", "3")
    assert '"[2, 3]"' in write_problem(problem)["task.csv"]
    plan = schedule_gates(problem)
    assert plan.complete
    texts = write_schedule(problem, plan)
    assert texts["ROUTE.csv"].splitlines()[1:] == ['0,"(1, 0)"', '0,"(0, 2)"', '0,"(0, 3)"']
    again = read_schedule(problem, texts, {name: name for name in texts})
    assert again.streams == plan.streams
    assert check_gates(problem, again).findings == ()
    short = "\n".join(texts["ROUTE.csv"].splitlines()[:3])
    with pytest.raises(InputError, match="is no way of stream 0 from 1 to 2, 3"):
        read_schedule(problem, {**texts, "ROUTE.csv": short}, {name: name for name in texts})
    for wrong, says in (("[2, 2]", "twice"), ("[2, 1]", "both 1"), ("[2", "no list of listeners")):
        with pytest.raises(InputError, match=says):
            read_problem(task.replace("[2, 3]", wrong), topo)
