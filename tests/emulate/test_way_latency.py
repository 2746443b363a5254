"""What a frame's way would take: that of a frame that is simulated alone, to the picosecond."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnet import api
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.testbed import Testbed
from qnet.files.read import load
from qnet.units import PS_PER_US

REASON = missing_switch() or missing_controller()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]

NETWORK = """
title: Three in a row, each wire another
nodes: [{name: a, processing: 9us}, {name: b, processing: PROCESSING}, {name: c, processing: 7us}]
links:
  - {between: [a, b], rate: 3Gbps, length: 17km}
  - {between: [b, c], rate: 700Mbps, delay: 33.333us}
"""

TRAFFIC = """
title: One stream alone
topology: topology
simulation: {duration: 20ms, seed: 3}
classes: [{name: best-effort, priority: 0, mechanism: strict-priority}]
streams:
  - {name: one, from: a, to: c, class: best-effort, interval: 1ms, max-payload-size: PAYLOADB}
"""


@pytest.mark.parametrize(("processing", "payload"), [("5us", 46), ("5us", 1003), ("2us..4us", 300)])
def test_a_way_takes_what_a_frame_alone_is_simulated_to_take(
    processing: str, payload: int, tmp_path: Path
) -> None:
    (tmp_path / "topology.yaml").write_text(NETWORK.replace("PROCESSING", processing))
    (tmp_path / "traffic.yaml").write_text(TRAFFIC.replace("PAYLOAD", str(payload)))
    scenario = load(str(tmp_path / "traffic.yaml"))
    seen = api.observe(scenario, api.plan(scenario)).streams[0]
    size = scenario.profile.streams[0].frame_bytes
    with (
        Controller(["learning"]) as controller,
        Testbed(scenario.topology, controller.target) as testbed,
    ):
        assert testbed.reaches("a", "c")
        (found,) = testbed.latencies(testbed.udp("a", "c", size - 4), "c")
        assert testbed.latencies(testbed.udp("a", "c"), "b") == ()
    assert found.path == ("a", "b", "c")
    assert seen.latency_ps_min is not None
    assert seen.latency_ps_max is not None
    if found.variation_ps == 0:
        assert found.least_ps == found.most_ps == seen.latency_ps_min == seen.latency_ps_max
    else:
        assert found.variation_ps == 2 * PS_PER_US
        assert found.least_ps <= seen.latency_ps_min < seen.latency_ps_max <= found.most_ps
    assert found.at_most("200us")
    assert not found.at_most("100us")
