"""QNET_REQUIRE=lockstep,mininet,ryu: what must be here, so that no witness is left out unseen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches import ovs
from qnet.emulate.tiers import probe

RYU = Path(__file__).parents[2] / ".venv-ryu" / "bin" / "python"

MISSING: dict[str, Callable[[], str | None]] = {
    "lockstep": ovs.missing_switch,
    "mininet": probe.missing_tools,
    "ryu": lambda: missing_controller("ryu", str(RYU)) or None,
}

REQUIRED = [name for name in os.environ.get("QNET_REQUIRE", "").split(",") if name]


@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_required_is_here(name: str) -> None:
    assert name in MISSING, f"QNET_REQUIRE: no '{name}'; one of {', '.join(MISSING)}"
    assert MISSING[name]() is None
