"""The program of `qnet export mininet` builds its network and pings, with nothing of qnet's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnet.emulate.switches.ovs import SCHEMA
from qnet.emulate.tiers import probe
from qnet.interchange import export_network
from qnet.model.topology import Topology

REASON = probe.missing_tools()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]

RING = Topology.model_validate(
    {
        "title": "A ring",
        "nodes": [
            *({"name": name} for name in "abc"),
            *({"name": name, "kind": "host"} for name in "de"),
        ],
        "links": [
            {"between": ["a", "b"], "rate": "100Mbps", "length": "1000km"},
            {"between": ["b", "c"], "rate": "10Gbps", "length": "2000km", "members": 2},
            {"between": ["c", "a"], "rate": "50Mbps", "length": "400km"},
            {"between": ["d", "a"], "rate": "1Gbps", "delay": "1us"},
            {"between": ["e", "c"], "rate": "1Gbps", "delay": "1us"},
        ],
    }
)

START = """
set -e
cd "$OVS_RUNDIR"
ip link set lo up
ovsdb-tool create conf.db "$1"
ovsdb-server conf.db --remote=punix:db.sock --pidfile --detach --log-file -vconsole:off
ovs-vswitchd unix:db.sock --pidfile --detach --log-file -vconsole:off
shift
exec "$@"
"""
"""Mininet takes the switch of the machine: this one is in namespaces that end with the program."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A path that is short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="qnet-script-", dir="/tmp") as name:
        yield Path(name)


def has_netem() -> bool:
    words = "unshare --net tc qdisc add dev lo root netem delay 1us"
    return subprocess.run(words.split(), capture_output=True, check=False).returncode == 0


def script(
    folder: Path, *words: str, commands: str = "", text: str = ""
) -> subprocess.CompletedProcess[str]:
    path = folder / "ring.py"
    path.write_text(text or export_network("mininet", RING).text, encoding="utf-8")
    apart = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
    inside = ["sh", "-c", START, "sh", str(SCHEMA), sys.executable, "-I", str(path), *words]
    env = {**os.environ, **dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"), str(folder))}
    return subprocess.run(
        [*apart, *inside],
        input=commands,
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_all_hosts_answer(folder: Path) -> None:
    delays = [] if has_netem() else ["--no-delay"]
    done = script(folder, "--test", "pingall", "--datapath", "user", *delays)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "0% dropped (6/6 received)" in said  # d, e, and the host put beside b
    assert "h3: b" in said


def test_frames_go_by_flows_over_links_of_their_rates(folder: Path) -> None:
    commands = (
        "sh ovs-ofctl --no-names dump-flows s1\nsh tc class show dev s1-eth1\n"
        "sh tc class show dev s1-eth2\npy h1.cmd('ping -c 3 %s' % h2.IP())\nexit\n"
    )
    delays = [] if has_netem() else ["--no-delay"]
    done = script(folder, "--datapath", "user", *delays, commands=commands)
    assert done.returncode == 0, done.stdout + done.stderr
    flows = dict(re.findall(r"dl_dst=([0-9a-f:]+) actions=output:([0-9]+)", done.stdout))
    assert [flows[f"00:00:00:00:00:0{host}"] for host in (1, 2, 3)] == [
        "3",
        "2",  # over c, which is nearer
        "1",
    ]
    assert re.findall(r"class htb .* rate (\w+)", done.stdout) == ["100Mbit", "50Mbit"]
    said = done.stdout + done.stderr
    assert "3 received, 0% packet loss" in said
    if not delays:
        least_ms = float(re.search(r"min/avg/max.* = ([0-9.]+)/", said)[1])  # type: ignore[index]
        assert least_ms >= 2 * 400 * 4.9e-3


def test_a_kernel_without_netem_is_a_sentence(folder: Path) -> None:
    if has_netem():
        pytest.skip("this one has it")
    done = script(folder, "--test", "pingall", "--datapath", "user")
    assert done.returncode == 1
    assert "this kernel has no netem, which delays and loses frames; try --no-delay" in done.stderr


def test_a_lost_ping_fails(folder: Path) -> None:
    """A program whose flows lead nowhere says so."""
    text = export_network("mininet", RING).text
    broken = text.replace('output:%d" % (host.MAC(), port)', 'drop" % host.MAC()')
    assert broken != text
    done = script(folder, "--test", "pingall", "--datapath", "user", "--no-delay", text=broken)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "100% dropped (0/6 received)" in said
