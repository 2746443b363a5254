"""A controller outside the namespaces drives the switches and hosts of tier mininet."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnet.check.plan import prove
from qnet.emulate.frames.sample import Sample
from qnet.emulate.openflow.nouns import Action, Switch, to_text
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.process.relay import Relay
from qnet.emulate.rules.plan_rules import rules_of
from qnet.emulate.testbed.reach import judge_reach
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers import mininet, probe
from qnet.emulate.tiers.tier import Options
from qnet.errors import EnvironmentMissing
from qnet.files.read import load, read_topology
from qnet.simulate.run import simulate
from tests.asking import COMMAND, command
from tests.builders import plan_for
from tests.emulate.leftovers import end_early, folders, machine

REASON = probe.missing_tools() or missing_controller()
RYU = str(Path(__file__).parents[2] / ".venv-ryu" / "bin" / "python")
NO_RYU = missing_controller("ryu", RYU)

PROFILE = Path(__file__).parents[1] / "golden" / "line" / "traffic.yaml"
LINE = str(PROFILE.with_name("topology.yaml"))

pytestmark = pytest.mark.xdist_group("mininet")
needs_root = pytest.mark.skipif(bool(REASON), reason=str(REASON))

RING = """
title: A ring
nodes: [{name: a}, {name: b}, {name: c}]
links:
  - {between: [a, b], rate: 1Gbps, length: 1km}
  - {between: [b, c], rate: 1Gbps, length: 1km}
  - {between: [c, a], rate: 1Gbps, length: 1km}
"""


# The relay, which needs neither root nor switches


@pytest.fixture
def echo() -> Iterator[str]:
    """Somebody who listens and sends back what comes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(answer, "127.0.0.1", 0)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(server.close)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_relay_passes_on_what_either_side_says(echo: str, tmp_path: Path) -> None:
    words = os.urandom(3_000_000)  # more than all buffers hold
    with Relay({"": tmp_path / "one.sock"}, echo) as relay:
        ends = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for end in ends:
            end.connect(str(relay.paths[""]))
            threading.Thread(target=end.sendall, args=(words,)).start()
        for end in ends:
            heard = bytearray()
            while len(heard) < len(words):
                heard += end.recv(1 << 16)
            assert heard == words
        ends.pop().close()
        ends[0].sendall(b"still")
        assert ends[0].recv(10) == b"still"
    assert [end.recv(1) for end in ends] == [b"", b""], "its end closes what is open"
    for end in ends:
        end.close()
    assert not relay.paths[""].exists()


def test_a_relay_to_nobody_closes_the_connection(tmp_path: Path) -> None:
    with (
        Relay({"": tmp_path / "one.sock"}, "tcp:127.0.0.1:9") as relay,
        socket.socket(socket.AF_UNIX) as end,
    ):
        end.settimeout(10)
        end.connect(str(relay.paths[""]))
        assert end.recv(1) == b""


# Hosts


@needs_root
@pytest.mark.skipif(bool(NO_RYU), reason=NO_RYU)
def test_hosts_ping_under_ryus_own_learning_switch() -> None:
    before = machine()
    with Controller(["ryu.app.simple_switch_13"], python=RYU, framework="ryu") as controller:
        asking = ("--exec", "a=ping -c 3 -i 0.2 -W 5 10.0.0.4", "--exec", "a=ip neighbour")
        done = command("emulate", PROFILE, "--controller", controller.target, *asking)
    assert done.returncode == 0, done.stderr + done.stdout
    assert " 0% packet loss" in done.stdout
    assert "10.0.0.4 dev eth0 lladdr 02:51:48:00:00:04 " in done.stdout, "found by ARP"
    assert machine() == before


@needs_root
def test_nobody_listens() -> None:
    topology = read_topology(LINE)
    with pytest.raises(EnvironmentMissing, match=r"nobody listens at tcp:127.0.0.1:9 .* start it"):
        Testbed(topology, "tcp:127.0.0.1:9", tier="mininet", connect_s=0.5).__enter__()
    assert not folders(os.getpid())


@needs_root
@pytest.mark.skipif(bool(NO_RYU), reason=NO_RYU)
def test_ryus_own_learning_switch_is_good_on_a_line() -> None:
    before = machine()
    with (
        Controller(["ryu.app.simple_switch_13"], python=RYU, framework="ryu") as controller,
        Testbed(read_topology(LINE), controller.target, tier="mininet") as testbed,
    ):
        judgement = judge_reach(testbed, most_pairs=3)
        assert judgement.findings == ()
        assert testbed.ping("a", "d").path == ("a", "b", "c", "d")
        assert not testbed.isolated("a", "b")
        ran = testbed.run("b", f"ping -c 2 -i 0.2 -W 5 {testbed.ip('c')}")
        assert " 0% packet loss" in ran.output
        assert testbed.run("b", "sleep 60 & sleep 60; true", 0.2).exit_code == 124
    assert machine() == before
    assert not folders(os.getpid())


@needs_root
def test_a_way_round_a_cut_and_a_difference_of_tables(tmp_path: Path) -> None:
    """The shipped app stands for somebody's own: it is only told the rules by a file."""
    (tmp_path / "ring.yaml").write_text(RING)
    topology = read_topology(str(tmp_path / "ring.yaml"))
    rules = rules_of(topology, (), hosts=[node.name for node in topology.nodes])
    (tmp_path / "rules.jsonl").write_text(to_text(rules))
    with (
        Controller(["reservation"], ["--rules-file", str(tmp_path / "rules.jsonl")]) as controller,
        Testbed(topology, controller.target, tier="mininet") as testbed,
    ):
        controller.wait_converged([one.datapath_id for one in rules], 30)
        assert testbed.differences(rules) == ()
        assert testbed.ping("a", "b").path == ("a", "b")
        assert testbed.failover_s("a", "b") is not None
        with testbed.cut("a", "b"):
            assert testbed.ping("a", "b").path == ("a", "c", "b")
        assert testbed.ping("a", "b").path == ("a", "b")
        first = rules[0]._replace(rules=rules[0].rules[1:])
        found = testbed.differences([first, *rules[1:]])
    assert [one.switch for one in found] == ["a"]


# Against the plan


@needs_root
def test_the_shipped_app_outside_does_what_the_plan_wants(tmp_path: Path) -> None:
    rules = tmp_path / "rules.jsonl"
    rules.write_text(to_text([]))
    before = machine()
    arguments = ("--rules-file", str(rules), "--drain", "0.1")
    with Controller(["reservation"], arguments) as controller:
        asking = ("--controller", controller.target, "--against", "plan", "--tier", "mininet")
        files = ("--rules-file", rules, "--out", tmp_path / "out")
        how = ("--dilation", "500", "--duration", "1ms")
        done = command("emulate", PROFILE, *asking, *files, *how)
    assert done.returncode == 0, done.stderr + done.stdout
    emulation = json.loads((tmp_path / "out" / "emulation.json").read_text())
    assert (emulation["tier"], emulation["controller"]) == ("mininet", controller.target)
    assert emulation["findings"] == []
    apart_ps = {one["difference_ps"] for one in emulation["streams"] if one["delivered"]}
    assert apart_ps == {0}
    assert machine() == before


@needs_root
def test_a_wrong_rule_of_somebody_elses_is_named(tmp_path: Path) -> None:
    """One switch turns cycle tags into others: its rule is named, and so are the frames."""
    scenario = load(str(PROFILE))
    topology, profile = scenario.topology, scenario.profile
    plan = plan_for(topology, profile)
    strides = mininet.choose_sample(topology, profile, plan, 4)
    wanted = Sample(topology, profile, plan, strides=strides).rules
    wrong = [_turned(one, "b") for one in wanted]
    (tmp_path / "rules.jsonl").write_text(to_text(wrong))
    with Controller(["reservation"], ["--rules-file", str(tmp_path / "rules.jsonl")]) as controller:
        options = Options(dilation=500, controller=controller.target, connect_s=3, settle_s=3)
        run = mininet.run_sample(topology, profile, plan, strides, options)
    case = mininet.case_of(topology, profile, plan, strides, run)
    proof, simulated = prove(topology, profile, plan), simulate(topology, profile, plan)
    found = mininet.witness(case, proof, simulated, run).findings
    assert any(": b: the frame leaves by b->c with the tag of cycle" in one for one in found)
    assert any(": b: leaves for b->c tagged for cycle" in one for one in found), "real frames too"
    assert any("table=1" in one for one in found), "the rule is named"
    assert all(": b: " in one or "a frame took" in one for one in found), found


def _turned(switch: Switch, name: str) -> Switch:
    """Return a switch whose cycle table is one cycle off, if it has that name."""
    if switch.name != name:
        return switch
    return switch._replace(
        rules=tuple(
            rule._replace(actions=tuple(map(_next_cycle, rule.actions))) if rule.table else rule
            for rule in switch.rules
        )
    )


def _next_cycle(action: Action) -> Action:
    is_tag = action.kind == "set_field" and action.text == "mpls_tc"
    return action._replace(value=action.value % 3 + 1) if is_tag else action


@needs_root
@pytest.mark.skipif(bool(NO_RYU), reason=NO_RYU)
def test_ryus_own_learning_switch_does_not_do_what_the_plan_wants() -> None:
    scenario = load(str(PROFILE))
    topology, profile = scenario.topology, scenario.profile
    plan = plan_for(topology, profile)
    strides = mininet.choose_sample(topology, profile, plan, 4)
    with Controller(["ryu.app.simple_switch_13"], python=RYU, framework="ryu") as controller:
        options = Options(dilation=500, controller=controller.target, connect_s=3, settle_s=3)
        run = mininet.run_sample(topology, profile, plan, strides, options)
    assert any("asks the controller" in one for one in run.findings), "by its rules"
    flooded = "control: b: came out at the host of b, not at b->c"
    assert any(one.startswith(flooded) for one in run.findings), run.findings


# However it ends


@needs_root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_it_is_ended_early(number: signal.Signals) -> None:
    with Controller(["learning"]) as controller:
        asking = ("--controller", controller.target, "--exec", "a=sleep 60")
        end_early([*COMMAND, "emulate", str(PROFILE), *asking], number)
        with Testbed(read_topology(LINE), controller.target) as testbed:
            assert testbed.reaches("a", "b"), "the controller is as it was"
