"""The fixture `qnet_testbed`: real switches for the tests of a controller project.

    @pytest.mark.qnet(topology="ring.yaml", app="my_controller")
    def test_hosts_reach_each_other(qnet_testbed):
        assert qnet_testbed.reaches("a", "c")

`topology` is a topology file, beside the test or by its whole path, or a bundled name. The
controller is one of `app`, a module beside the test or any that os-ken can load, started for the
test (with `framework="ryu"` and `python=...` under Ryu, and with `arguments=[...]`); `controller`,
such as tcp:127.0.0.1:6653; or the one that --qnet-controller names. `tier="mininet"`, or
--qnet-tier=mininet for all tests that do not say, gives real hosts and needs root. Tests are
skipped where the machine lacks what their tier needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from qnet.emulate.testbed import Testbed


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --qnet-controller and --qnet-tier."""
    group = parser.getgroup("qnet")
    group.addoption(
        "--qnet-controller",
        metavar="tcp:HOST:PORT",
        help="controller for tests that use qnet_testbed and name none",
    )
    group.addoption(
        "--qnet-tier",
        choices=["lockstep", "mininet"],
        default="lockstep",
        help="tier for tests that use qnet_testbed and name none (mininet needs root)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker is for."""
    config.addinivalue_line(
        "markers",
        "qnet(topology, app=None, arguments=(), controller=None, framework='os_ken', python=None, "
        "tier=None): the network and the controller of qnet_testbed",
    )


@pytest.fixture
def qnet_testbed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """Real switches of the marked topology, connected to the marked controller."""
    from qnet.emulate.controller import Controller  # noqa: PLC0415
    from qnet.emulate.controller import missing as missing_controller  # noqa: PLC0415
    from qnet.emulate.testbed import Testbed  # noqa: PLC0415
    from qnet.model.read import read_topology  # noqa: PLC0415

    marker = request.node.get_closest_marker("qnet")
    values: dict[str, Any] = dict(marker.kwargs) if marker else {}
    if "topology" not in values:
        pytest.fail("qnet_testbed needs @pytest.mark.qnet(topology=...)")
    tier = values.get("tier") or request.config.getoption("--qnet-tier")
    if tier == "mininet":
        from qnet.emulate.apart import missing  # noqa: PLC0415
    else:
        from qnet.emulate.ovs import missing  # noqa: PLC0415
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    beside = request.path.parent / values["topology"]
    topology = read_topology(str(beside) if beside.exists() else values["topology"])
    with ExitStack() as stack:
        target = values.get("controller") or request.config.getoption("--qnet-controller")
        if "app" in values:
            chosen = {one: values[one] for one in ("framework", "python") if one in values}
            lacking = missing_controller(**chosen)
            if lacking:
                pytest.skip(lacking)
            arguments = values.get("arguments", ())
            beside_test = Controller(
                [values["app"]], arguments, modules=request.path.parent, **chosen
            )
            target = stack.enter_context(beside_test).target
        if not target:
            pytest.fail(
                "no controller: give the marker 'app' or 'controller', or --qnet-controller"
            )
        yield stack.enter_context(Testbed(topology, target, tier=tier))
