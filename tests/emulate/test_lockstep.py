"""Tier lockstep: real switches, the real controller, virtual time to the picosecond."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import qnet
from qnet.check.verdict import judge
from qnet.emulate.frames.sample import Sample
from qnet.emulate.process.controller import missing_controller
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.emulate.switches import dummy_switches as fabric_module
from qnet.emulate.switches.dummy_switches import BRIDGE, Entry, Fabric
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.tiers.lockstep import run_case
from qnet.emulate.tiers.tier import Cut, Options
from qnet.files.write import to_json
from qnet.model.emulation import Emulation
from qnet.model.topology import Topology
from tests.asking import Answer, ask
from tests.emulate.leftovers import command_of, descendants
from tests.emulate.networks import round_about

REASON = missing_switch() or missing_controller()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))

GOLDEN = Path(__file__).parents[1] / "golden"


def _emulate(
    answer: Answer, frames: int = 40, meddle: Callable[[Fabric], None] | None = None
) -> Emulation:
    case = answer.scenario
    sampled = Sample(case.topology, case.profile, answer.plan, frames=frames)
    result, _ = run_case(sampled, answer.proof, answer.observation, meddle=meddle)
    return result


def _left_behind() -> list[str]:
    mine = f"qnet-{os.getpid()}-"
    return [one.name for one in Path("/tmp").glob(f"{mine}*")]


@pytest.mark.parametrize("interferers", [0, 3, 7])
def test_the_beijing_loop_is_emulated_as_simulated(interferers: int) -> None:
    settings = {"class": "reserved", "interferers": interferers}
    answer = ask("ceni-beijing-loop", settings=settings, duration="30ms")
    first = _emulate(answer)
    assert not first.findings
    assert first.streams[0].delivered > 0
    assert {one.difference_ps for one in first.streams if one.delivered} == {0}
    assert first.lateness.violations == 0
    assert not _left_behind()
    if interferers == 3:
        assert to_json(_emulate(answer)) == to_json(first)


@pytest.mark.parametrize("name", ["line", "two-paths", "demands-over-lag"])
def test_all_frames_of_a_small_network_are_emulated_as_simulated(name: str) -> None:
    answer = ask(GOLDEN / name / "traffic.yaml", duration="400us")
    result = _emulate(answer, frames=2000)
    assert not result.findings
    simulated = {one.name: one for one in answer.observation.streams}
    for one in result.observation.streams:
        assert one == simulated[one.name]


def test_streams_behind_gates_are_emulated_as_simulated() -> None:
    # Two copies of one frame have gates, and so starts, of their own.
    answer = ask("factory", duration="2ms")
    result = _emulate(answer, frames=10_000)
    assert not result.findings
    simulated = {one.name: one for one in answer.observation.streams}
    assert {one.name for one in result.observation.streams} == set(simulated)
    for one in result.observation.streams:
        assert one == simulated[one.name]
    assert max(one.received for one in result.observation.streams) > 0


@pytest.mark.parametrize("mechanism", ["cqf", "tcqf"])
def test_copies_that_meet_and_nodes_that_cut_through_are_emulated_as_simulated(
    mechanism: str, tmp_path: Path
) -> None:
    answer = round_about(tmp_path, mechanism)
    twice, early = answer.seen("twice"), answer.seen("early")
    assert twice.recovery is not None
    assert twice.recovery.discarded > 0, "copies are eliminated"
    assert early.latency_ps_min is not None
    if mechanism == "cqf":  # under tcqf the next port is seldom idle
        stored_ps = 2 * 938 * 8000
        assert early.latency_ps_min < stored_ps, "b does not wait for all of a frame"
    result = _emulate(answer, frames=10_000)
    assert not result.findings
    assert {one.difference_ps for one in result.streams} == {0}
    seen = {one.name: one for one in answer.observation.streams}
    for one in result.observation.streams:
        assert one == seen[one.name]


def _match(answer: Answer, fabric: Fabric, name: str, node: str) -> str:
    """Return the match of a node's rule for a stream that passes there, as ovs-ofctl has it."""
    number = [one.name for one in answer.plan.streams].index(name) + 1
    rows = fabric.ovs(node).dump("flows", BRIDGE).splitlines()
    (row,) = (one for one in rows if f"cookie=0x514e{number:012x}" in one)
    return row.split(" actions=")[0].partition("priority=200,")[2]


def test_a_wrong_rule_for_one_of_two_copies_is_found_and_named(tmp_path: Path) -> None:
    """The shorter way loses its copies: all come by the other one, and later than simulated."""
    answer = round_about(tmp_path, "cqf")

    def meddle(fabric: Fabric) -> None:
        fabric.ovs("b").ofctl("del-flows", BRIDGE, _match(answer, fabric, "twice", "b"))
        fabric.ovs("b").fence()

    result = _emulate(answer, frames=10_000, meddle=meddle)
    mine = [words for words in result.findings if words.startswith("twice: b: ")]
    assert any("not sent to b->d; no rule matches" in words for words in mine)
    assert any(words.startswith("twice: b: not sent to b->d (frame") for words in mine)
    twice = next(one for one in result.streams if one.name == "twice")
    assert twice.difference_ps, "the other copy was passed on, later"
    assert twice.lost == 0
    case = answer.scenario
    verdict = judge(
        case.topology, case.profile, answer.plan, answer.proof, [answer.observation], result
    )
    assert verdict.outcome == "fail"
    assert any("twice" in words and "disagree" in words for words in verdict.findings)


@pytest.mark.parametrize("name", ["once", "early"])
def test_a_frame_sent_back_is_found_and_named(name: str, tmp_path: Path) -> None:
    """One stream has cycles by the time of arrival, the other is sent on before it is all in."""
    answer = round_about(tmp_path, "cqf")
    wrong: list[str] = []

    def meddle(fabric: Fabric) -> None:
        wrong.append(_match(answer, fabric, name, "b"))
        fabric.ovs("b").ofctl("mod-flows", BRIDGE, f"{wrong[0]},actions=in_port")
        fabric.ovs("b").fence()

    result = _emulate(answer, frames=10_000, meddle=meddle)
    mine = [words for words in result.findings if words.startswith(f"{name}: b: ")]
    label = wrong[0].partition("mpls_label=")[2]
    assert any("by the rule" in words and f"mpls_label={label}" in words for words in mine)
    assert any(words.startswith(f"{name}: b: not sent to b->d (frame") for words in mine)
    assert next(one for one in result.streams if one.name == name).delivered == 0


def test_a_wrong_cycle_rewrite_is_found_and_named() -> None:
    answer = ask(GOLDEN / "line" / "traffic.yaml", duration="500us")
    wrong: list[str] = []

    def meddle(fabric: Fabric) -> None:
        """Let one row of switch c's cycle map say the next cycle but one."""
        text = fabric.ovs("c").dump("flows", BRIDGE)
        row = next(line for line in text.splitlines() if "table=1" in line and "mpls_tc=1" in line)
        found, actions = row.strip().split(" actions=")
        old = actions.split("->mpls_tc")[0].split(":")[1]
        new = int(old) % 4 + 1
        changed = actions.replace(f"set_field:{old}->mpls_tc", f"set_field:{new}->mpls_tc")
        fabric.ovs("c").ofctl("add-flow", BRIDGE, f"{found},actions={changed}")
        fabric.ovs("c").fence()
        wrong.append(changed)

    result = _emulate(answer, frames=10_000, meddle=meddle)
    named = [words for words in result.findings if ": c: " in words]
    assert any(wrong[0] in words for words in named), "the rule is named"
    assert any("tagged for cycle" in words for words in named), "frames showed it"
    stream = named[0].split(":")[0]
    worst = next(one for one in result.streams if one.name == stream)
    # By the clock of its node, which wanders by less than 1 ns meanwhile.
    assert worst.difference_ps is not None
    assert abs(worst.difference_ps - answer.plan.cycle_ps) < 1000, "it came a cycle later"
    case = answer.scenario
    verdict = judge(
        case.topology, case.profile, answer.plan, answer.proof, [answer.observation], result
    )
    assert verdict.outcome == "fail"
    assert any(stream in words and "disagree" in words for words in verdict.findings)


def test_a_missing_rule_loses_frames_and_is_named() -> None:
    answer = ask(GOLDEN / "line" / "traffic.yaml", duration="500us")

    def meddle(fabric: Fabric) -> None:
        fabric.ovs("b").ofctl("del-flows", BRIDGE, "in_port=2,mpls")
        fabric.ovs("b").fence()

    result = _emulate(answer, frames=10_000, meddle=meddle)
    lost = {one.name: one.lost for one in result.streams}
    assert lost["control"] > 0
    assert any(words.startswith("control: b: not sent to b->c") for words in result.findings)
    assert any("no rule matches" in words for words in result.findings)


def test_a_cut_costs_replicated_streams_nothing_and_others_what_was_on_the_way() -> None:
    answer = ask(GOLDEN / "two-paths" / "traffic.yaml")
    case = answer.scenario
    twice = next(one for one in answer.plan.streams if len(one.paths) == 2)
    sampled = Sample(case.topology, case.profile, answer.plan, frames=10_000)
    cut = Cut(twice.paths[0].ports[0], 500_000_000)
    result, wall_clock = run_case(sampled, answer.proof, answer.observation, Options(cuts=(cut,)))
    assert not result.findings
    replicated = next(one for one in result.observation.streams if one.name == twice.name)
    unharmed = answer.seen(twice.name)
    assert replicated.lost == 0
    slowest_ps = unharmed.latency_ps_max or 0
    assert replicated.received >= (2_000_000_000 - slowest_ps) // 100_000_000
    assert replicated.copies < unharmed.copies
    assert wall_clock["cut followed by all switches"] > 0
    once = next(one for one in answer.plan.streams if len(one.paths) == 1)
    cut = Cut(once.paths[0].ports[0], 500_000_000)
    result, _ = run_case(sampled, answer.proof, answer.observation, Options(cuts=(cut,)))
    harmed = next(one for one in result.observation.streams if one.name == once.name)
    assert 0 < harmed.lost < harmed.sent
    assert harmed.received + harmed.lost <= harmed.sent


def test_a_demand_fails_over_to_another_port() -> None:
    """Its first part, 24 of 40 Gb/s, is cut after a third of the time: the rest goes round."""
    answer = ask(GOLDEN / "demands-over-lag" / "traffic.yaml", duration="600us")
    case = answer.scenario
    sampled = Sample(case.topology, case.profile, answer.plan, frames=600)
    cut = Cut("a->b/2", 200_000_000)
    result, _ = run_case(sampled, answer.proof, answer.observation, Options(cuts=(cut,)))
    mix = next(one for one in result.observation.demands if one.name == "mix")
    assert not result.findings
    assert 0.1 * mix.sent < mix.lost < 0.3 * mix.sent, "only what was on the wire"


def _read(path: Path, *fields: str) -> list[list[str]]:
    """Have tshark say what it reads in a capture."""
    made = subprocess.run(
        ["tshark", "-r", path, "-N", "n", "-T", "fields", *(f"-e{one}" for one in fields)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [line.split("\t") for line in made.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_captures_are_read_by_tshark(tmp_path: Path) -> None:
    answer = round_about(tmp_path, "tcqf")
    case = answer.scenario
    sampled = Sample(case.topology, case.profile, answer.plan, frames=10_000)
    for folder in ("one", "two"):
        options = Options(captures=tmp_path / folder, capture_switches=True)
        result, _ = run_case(sampled, answer.proof, answer.observation, options)
    files = sorted(one.relative_to(tmp_path / "one") for one in tmp_path.glob("one/**/*.pcapng"))
    names = ["a.pcapng", "d.pcapng", *(f"switches/{node}.pcapng" for node in "abcd")]
    assert [str(one) for one in files] == names
    for one in files:
        assert (tmp_path / "one" / one).read_bytes() == (tmp_path / "two" / one).read_bytes()

    # Hosts: what a sent, what d got, when, and for which sample of a stream.
    direction = "frame.packet_flags_direction"
    fields = ("frame.time_epoch", direction, "frame.protocols", "ip.host", "frame.comment")
    sent = _read(tmp_path / "one" / "a.pcapng", *fields)
    got = _read(tmp_path / "one" / "d.pcapng", *fields)
    assert {(row[1], row[2]) for row in sent} == {("0x00000002", "eth:ethertype:ip:udp:data")}
    assert {(row[1], row[2]) for row in got} == {("0x00000001", "eth:ethertype:ip:udp:data")}
    assert {row[3] for row in sent + got} == {"a,d"}, "addresses have names"
    assert len(sent) == result.frames
    twice = next(one for one in result.observation.streams if one.name == "twice")
    assert twice.recovery is not None
    came = [row for row in got if row[4].startswith("twice: ")]
    discarded = [row for row in came if "discarded" in row[4]]
    assert len(discarded) == twice.recovery.discarded > 0
    assert len(came) - len(discarded) == twice.received
    began = {row[4].split(",")[0]: _time_ns(row[0]) for row in sent}
    kept = [row for row in came if "discarded" not in row[4]]
    latencies = [_time_ns(row[0]) - began[row[4].split(" by ")[0]] for row in kept]
    assert max(latencies) == (twice.latency_ps_max or 0) // 1000, "these times are whole"

    # Between switches: labels, and the cycle in the traffic class as the plan has it.
    fields = ("frame.interface_name", direction, "mpls.label", "mpls.exp", "frame.comment")
    rows = _read(tmp_path / "one" / "switches" / "b.pcapng", *fields)
    assert {row[0] for row in rows} == {"b->a", "b->d"}
    path = answer.planned("twice").paths[0]
    here = [row for row in rows if row[4].startswith("twice: frame 0 ")]
    assert [row[0] for row in here] == ["b->a", "b->d"]
    tags = [cycle % answer.plan.buffers + 1 for cycle in path.cycles]
    assert [int(row[3]) for row in here] == tags
    assert [row[1] for row in here] == ["0x00000001", "0x00000002"]
    assert len({row[2] for row in rows if row[4].startswith("twice")}) == 1, "one label per path"


def _time_ns(text: str) -> int:
    seconds, fraction = text.split(".")
    return int(seconds) * 10**9 + int(fraction[:9])


def test_no_frame_is_given_up_that_a_switch_has_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch writes one frame to a port in each round; from several ports come more than that."""
    monkeypatch.setattr(fabric_module, "PATIENCE_MS", 0)
    around = [f"n{i}" for i in range(8)]
    topology = Topology.model_validate(
        {
            "title": "A star",
            "nodes": [{"name": name} for name in ("hub", *around)],
            "links": [
                {"between": (name, "hub"), "rate": "10Gbps", "length": "1km"} for name in around
            ],
        }
    )
    wiring = Wiring(topology)
    wires = [wiring.in_port(port) for port in topology.ports if port.target == "hub"]
    with Fabric(wiring, {"hub": [HOST_PORT, *wires]}) as fabric:
        fabric.ovs("hub").ofctl("add-flow", BRIDGE, f"actions=output:{HOST_PORT}")
        fabric.fence()
        for turn in range(50):
            entries = [Entry("hub", wire, bytes([turn, wire] * 40), 1) for wire in wires]
            outs = fabric.forward(entries)
            assert [[out.data for out in one] for one in outs] == [[one.data] for one in entries]
        fabric.settle()
        assert fabric.strays == []


class Enough(qnet.Quiet):
    """Wants no more once that holds; hears stages, and knows what runs each time it is asked."""

    def __init__(self, enough: Callable[[Enough], bool]) -> None:
        self.enough, self.over, self.looks = enough, False, 0
        self.stages: list[str] = []
        self.running: list[str] = []

    def stage(self, title: str) -> None:
        assert not self.over, "a stage begins after it was told to end"
        self.stages.append(title)
        self.looks = 0

    def cancelled(self) -> bool:
        assert not self.over, "it goes on after it was told to end"
        self.looks += 1
        every = " ".join(map(command_of, descendants(os.getpid())))
        self.running = re.findall(r"controllers/run\.py|ovs-vswitchd(?= unix:)", every)
        self.over = self.enough(self)
        return self.over


@pytest.fixture(scope="module")
def line() -> Answer:
    return ask(GOLDEN / "line" / "traffic.yaml", duration="500us")


def _end_early(line: Answer, enough: Enough) -> None:
    """Emulate until it is enough: it ends in that very stage, and nothing of it is left."""
    made = (line.scenario, line.plan, line.proof, line.observation)
    with pytest.raises(qnet.Cancelled) as cancelled:
        qnet.play(*made, sample=300, progress=enough)
    assert cancelled.value.stage == enough.stages[-1]
    assert _left_behind() == []
    assert descendants(os.getpid()) == []


@pytest.mark.parametrize(
    "stage",
    [
        "emulate: follow the simulated frames",
        "emulate: start switches",
        "emulate: send frames",
        "emulate: read the tables",
    ],
)
def test_an_emulation_that_nobody_wants_ends_and_leaves_nothing(line: Answer, stage: str) -> None:
    enough = Enough(lambda one: one.stages[-1] == stage and one.looks == 2)
    _end_early(line, enough)
    assert enough.stages[-1] == stage


def test_switches_are_not_waited_for_by_who_wants_none(line: Answer) -> None:
    """Somebody asks between the controller's start and its answer, and between two switches."""
    enough = Enough(lambda one: "controllers/run.py" in one.running)
    _end_early(line, enough)
    assert enough.running == ["controllers/run.py"]
    enough = Enough(lambda one: "ovs-vswitchd" in one.running)
    _end_early(line, enough)
    assert enough.running.count("ovs-vswitchd") == 1 < len(line.scenario.topology.nodes)
