"""Judge a controller that others wrote, as a line of the table asks; the answer is JSON.

python -m tests.emulate.outside.judge faucet-ring:4-lockstep
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, cast

import yaml

from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.emulate.switches.talk import USUAL, Version
from qnet.emulate.testbed.reach import Judgement, judge_reach
from qnet.emulate.testbed.testbed import FAILOVER_S, Testbed
from qnet.emulate.testbed.topologies import drawn
from qnet.files.read import read_topology
from qnet.model.emulation import Tier
from qnet.model.topology import Topology
from tests.emulate.outside.table import ROWS, Row

ROOT = Path(__file__).parents[3]

PAIRS = 6
"""Of hosts that are tried, unless the network is a line, where findings are between few."""

PAIRS_OF_LINE = 12

PATIENCE_S = 1.0
"""Several controllers are judged side by side, so each has longer than a second's 0.4."""

WORDS = 15

Configuration = Callable[[Topology, Path], Mapping[str, str]]
"""Writes a controller's files into a folder and returns what its environment has to say."""


def faucet(stacked: bool) -> Configuration:
    """Return what configures Faucet: one VLAN for all hosts.

    Wires are a stack with the first switch as its root, or else ports as those of hosts are.
    """

    def write(topology: Topology, folder: Path) -> Mapping[str, str]:
        config = {"vlans": {"office": {"vid": 100}}, "dps": faucet_switches(topology, stacked)}
        (folder / "faucet.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        return {
            "FAUCET_CONFIG": str(folder / "faucet.yaml"),
            "FAUCET_LOG": str(folder / "faucet.log"),
            "FAUCET_EXCEPTION_LOG": str(folder / "exception.log"),
            "FAUCET_PROMETHEUS_ADDR": "127.0.0.1",
            "FAUCET_PROMETHEUS_PORT": str(_free_port()),
        }

    return write


def faucet_switches(topology: Topology, stacked: bool) -> dict[str, Any]:
    """Return the part `dps` of Faucet's configuration."""
    wiring = Wiring(topology)
    switches: dict[str, Any] = {}
    for name in wiring.switches:
        ports: dict[int, object] = {HOST_PORT: {"native_vlan": "office"}}
        for port in (one for one in topology.ports if one.source == name):
            there = {"dp": port.target, "port": wiring.in_port(port)}
            number = wiring.openflow_port[port.name]
            ports[number] = {"stack": there} if stacked else {"native_vlan": "office"}
        switches[name] = {
            "dp_id": wiring.datapath_id(name),
            "hardware": "Open vSwitch",
            "interfaces": ports,
        }
    if stacked:
        switches[wiring.switches[0]]["stack"] = {"priority": 1}
    return switches


class Outside(NamedTuple):
    """How a controller is started."""

    apps: tuple[str, ...]
    framework: Literal["os_ken", "ryu"] = "ryu"
    environment: str = ".venv-ryu"
    openflow: tuple[Version, ...] = USUAL
    configure: Configuration = lambda _topology, _folder: {}

    @property
    def python(self) -> str:
        """Return the interpreter that runs it: this one, or that of its own environment."""
        if not self.environment:
            return sys.executable
        return str(ROOT / self.environment / "bin" / "python")

    def missing(self) -> str:
        """Say what of it is not here, or nothing."""
        if self.environment and not Path(self.python).exists():
            return f"{self.environment} is not here; 'make {self.environment[6:]}' builds it"
        return missing_controller(self.framework, self.python)


def _ryu(app: str, *openflow: Version) -> Outside:
    return Outside((f"ryu.app.{app}",), openflow=openflow or USUAL)


CONTROLLERS: Mapping[str, Outside] = {
    "simple_switch": _ryu("simple_switch", "1.0"),
    "simple_switch_12": _ryu("simple_switch_12", "1.2"),
    "simple_switch_13": _ryu("simple_switch_13"),
    "simple_switch_14": _ryu("simple_switch_14", "1.4"),
    "simple_switch_15": _ryu("simple_switch_15", "1.5"),
    "simple_switch_rest_13": _ryu("simple_switch_rest_13"),
    "simple_monitor_13": _ryu("simple_monitor_13"),
    "simple_switch_igmp_13": _ryu("simple_switch_igmp_13"),
    "simple_switch_stp_13": _ryu("simple_switch_stp_13"),
    "rest_firewall": _ryu("rest_firewall"),
    "os-ken-ofctl": Outside(("os_ken.app.ofctl.service",), "os_ken", ""),
    "os-ken-learning": Outside(("learning",), "os_ken", ""),
    "faucet": Outside(("faucet.faucet",), "os_ken", ".venv-faucet", configure=faucet(True)),
    "faucet-flat": Outside(("faucet.faucet",), "os_ken", ".venv-faucet", configure=faucet(False)),
}


def judge(row: Row) -> dict[str, object]:
    """Start the controller, judge it as the row asks, and say what was found."""
    outside = CONTROLLERS[row.controller]
    topology = drawn(row.network) or read_topology(row.network)
    with TemporaryDirectory() as folder:
        os.environ.update(outside.configure(topology, Path(folder)))
        options = _options(outside.apps)
        with (
            Controller(
                outside.apps, options, framework=outside.framework, python=outside.python
            ) as controller,
            Testbed(
                topology,
                controller.target,
                tier=cast(Tier, row.tier),
                patience_s=PATIENCE_S,
                versions=outside.openflow,
            ) as testbed,
        ):
            found = _judge(testbed, row)
            words = controller.words(WORDS)
    return {
        "verdict": found.outcome,
        "kinds": sorted({one.kind for one in found.faults}),
        "words": [*found.findings, *found.unknown, *found.control, *words.splitlines()],
        "waited_s": round(found.waited_s, 1),
        "failover_s": found.failover_s,
        "at_first": found.at_first,
    }


def _judge(testbed: Testbed, row: Row) -> Judgement:
    return judge_reach(
        testbed,
        most_pairs=PAIRS_OF_LINE if row.network.startswith("line") else PAIRS,
        settle_s=row.settle_s,
        failover=row.failover_s is not None,
        failover_s=FAILOVER_S if row.failover_s is None else row.failover_s,
    )


def _options(apps: Sequence[str]) -> list[str]:
    """Return options that keep controllers side by side from one port for REST."""
    return ["--wsapi-port", str(_free_port())] if "rest" in apps[0] else []


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    (wanted,) = (one for one in ROWS if one.name == sys.argv[1])
    sys.stdout.write(json.dumps(judge(wanted)) + "\n")
