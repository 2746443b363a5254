"""QNET_REQUIRE=lockstep,mininet,ryu: what must be here, so that no witness is left out unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches import ovs
from qnet.emulate.tiers import probe
from qnet.pytest_plugin import REQUIRABLE, required

RYU = Path(__file__).parents[2] / ".venv-ryu" / "bin" / "python"

MISSING: dict[str, Callable[[], str | None]] = {
    "lockstep": ovs.missing_switch,
    "mininet": probe.missing_tools,
    "os_ken": lambda: missing_controller() or None,
    "ryu": lambda: missing_controller("ryu", str(RYU)) or None,
}


@pytest.mark.parametrize("name", sorted(required()))
def test_what_is_required_is_here(name: str) -> None:
    assert set(MISSING) == set(REQUIRABLE)
    assert MISSING[name]() is None
