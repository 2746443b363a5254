"""Faults of twenty-four kinds are found in the shipped and in a stranger's controller, and named.

Here each fault is planted once, in the shipped one in tier lockstep or in the stranger's in tier
mininet, by turns; `python -m tests.emulate.planted` plants all in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.tiers.probe import missing_tools
from qnet.model.emulation import Tier
from tests.emulate.planted import FAULTS, found
from tests.emulate.promised import PROMISES, Bench, bench, lay, tried
from tests.emulate.spoiler import as_it_is
from tests.emulate.test_own_controller import NO_RYU, RYU

REASON = missing_switch() or missing_controller()
NO_MININET = missing_tools()
PLACES: tuple[tuple[str, Tier], ...] = (("reservation", "lockstep"), ("ofctl_rest", "mininet"))
TURNS = [(PLACES[number % len(PLACES)], name) for number, name in enumerate(FAULTS)]
NONE = ""

pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]


class Benches:
    """Those that were asked for so far; the one before ends when another is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._bench: tuple[tuple[str, Tier], Bench] | None = None

    def at(self, place: tuple[str, Tier]) -> Bench:
        if self._bench is None or self._bench[0] != place:
            self.close()
            begun = self._open.enter_context(bench(*place, self._folder, RYU))
            self._bench = (place, begun)
        return self._bench[1]

    def close(self) -> None:
        self._bench = None
        self._open.close()


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    made = Benches(tmp_path_factory.mktemp("planted"))
    yield made
    made.close()


def skip_without(hand: str, tier: Tier) -> None:
    if tier == "mininet" and NO_MININET:
        pytest.skip(NO_MININET)
    if hand == "ofctl_rest" and NO_RYU:
        pytest.skip(NO_RYU)


@pytest.mark.parametrize(
    ("place", "name"), sorted([*TURNS, *((place, NONE) for place in PLACES)]), ids=str
)
def test_a_planted_fault_is_found_and_named(
    place: tuple[str, Tier], name: str, benches: Benches
) -> None:
    skip_without(*place)
    one = benches.at(place)
    if name == NONE:
        lay(one, as_it_is)
        broken = {promise.__name__: tried(one, promise) for promise in PROMISES}
        assert not any(broken.values()), broken
        return
    words = found(one, FAULTS[name])
    assert words, "it is not found"
    assert not words.startswith("not named"), words
