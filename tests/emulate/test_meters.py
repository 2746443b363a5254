"""What a meter of Open vSwitch lets through, measured between two hosts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnet.emulate.openflow.nouns import Meter, Switch, match, to_text
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.rules.plan_rules import rules_of
from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.tiers import mininet, probe
from qnet.emulate.tiers.tier import HostCommand, Options
from qnet.emulate.wires.kernels.tables import TRAILER_BYTES
from qnet.files.read import load
from qnet.model.topology import Topology
from tests.builders import plan_for

REASON = probe.missing_tools() or missing_controller()
if not REASON and shutil.which("iperf3") is None:
    REASON = "iperf3 is not here: apt-get install iperf3"
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]

PROFILE = Path(__file__).parents[1] / "golden" / "line" / "traffic.yaml"

RATE_KBPS, BURST_KBITS = 3000, 512
PAYLOAD_BYTES = 1000
ON_A_SWITCH_BYTES = 14 + 20 + 8 + PAYLOAD_BYTES + TRAILER_BYTES
"""A meter counts Ethernet frames without check sequence, and the link emulator's trailer."""


@pytest.mark.parametrize("dilation", [1, 10])
def test_a_meter_passes_its_rate_in_wall_clock_time(dilation: int, tmp_path: Path) -> None:
    scenario = load(str(PROFILE))
    topology, profile = scenario.topology, scenario.profile
    plan = plan_for(topology, profile)
    rules = tmp_path / "rules.jsonl"
    rules.write_text(to_text(metered(topology, "a", "d")))
    send = f"iperf3 -c 10.0.0.4 -u -b 12M -l {PAYLOAD_BYTES} -t 3 -J"
    commands = (
        HostCommand("d", "iperf3 -s -1 -D"),
        HostCommand("a", f"sleep 0.5; {send}"),
    )
    with Controller(["reservation"], ["--rules-file", str(rules)]) as controller:
        options = Options(
            dilation=dilation,
            commands=commands,
            free_run=True,
            controller=controller.target,
            arp=True,
        )
        run = mininet.run_sample(topology, profile, plan, {}, options)
    done = run.commands[1]
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)["end"]["sum"]
    assert told["packets"] * ON_A_SWITCH_BYTES * 8 > 3 * RATE_KBPS * 1000 * told["seconds"]
    passed = (told["packets"] - told["lost_packets"]) * ON_A_SWITCH_BYTES * 8
    granted = RATE_KBPS * 1000 * told["seconds"] + BURST_KBITS * 1000
    assert 0.8 < passed / granted < 1.2


def metered(topology: Topology, host: str, target: str) -> Iterator[Switch]:
    """Forward between all hosts; what goes from the host's switch to the target has a meter."""
    to_target = match(eth_dst=Wiring(topology).host_mac(target))
    for switch in rules_of(topology, (), hosts=[node.name for node in topology.nodes]):
        if switch.name != host:
            yield switch
            continue
        rules = tuple(
            one._replace(meter=1) if one.match == to_target else one for one in switch.rules
        )
        yield switch._replace(rules=rules, meters=(Meter(1, RATE_KBPS, BURST_KBITS),))
