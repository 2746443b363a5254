"""What a Scheduler refuses to take: wrong requests, wrong ids, wrong files."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qnet.errors import Infeasible, InputError
from qnet.files.read import read_topology
from qnet.schedule.cycles.ways import FAILURES_KEPT, Pair, WayTable
from qnet.schedule.online import Scheduler

TOPOLOGY = read_topology("zheng-qing-ha")


def loaded() -> Scheduler:
    scheduler = Scheduler(TOPOLOGY, 20)
    pair = scheduler.pair("zhengzhou", "hami")
    scheduler.admit(scheduler.request([pair] * 9, 10, 1, np.arange(100, 1000, 100)))
    return scheduler


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.admit(s.request(7, 10, 1, 64)), "names no pair"),
        (lambda s: s.admit(s.request(0, 7, 1, 64)), "does not divide the hypercycle"),
        (lambda s: s.admit(s.request(0, 10, 0, 64)), "has no frames"),
        (lambda s: s.admit(s.request(0, 10, 1, 16_001)), "more than 16000 bytes"),
        (lambda s: s.release([0, 0]), "twice"),
        (lambda s: s.release([4096]), "no stream has the id 4096"),
        (lambda s: s.release([-1]), "no stream has the id -1"),
        (lambda s: s.fail_cable("nowhere"), "no cable 'nowhere'"),
        (lambda s: s.mend_cable("nowhere"), "is not out of use"),
    ],
)
def test_what_is_wrong_is_refused(call: Callable[[Scheduler], object], words: str) -> None:
    scheduler = loaded()
    before = scheduler.grid.free.copy()
    with pytest.raises(Infeasible, match=words):
        call(scheduler)
    assert (scheduler.grid.free == before).all()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda raw: raw[:-1], "is damaged"),
        (lambda raw: raw.replace(b"state 2", b"state 3"), "no scheduler state of version 2"),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "is damaged"),
        (lambda raw: b"", "no scheduler state of version 2"),
    ],
)
def test_a_harmed_file_is_refused(
    harm: Callable[[bytes], bytes], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "state"
    loaded().save(path)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(InputError, match=words):
        Scheduler.restore(path, TOPOLOGY)


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    loaded().save(tmp_path / "state")
    with pytest.raises(InputError, match="another network"):
        Scheduler.restore(tmp_path / "state", read_topology("su-qing-ba"))


def test_the_same_bytes_at_one_and_two_threads(tmp_path: Path) -> None:
    script = "import sys; from tests.unit.test_scheduler import loaded; loaded().save(sys.argv[1])"
    for threads in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / threads)],
            check=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "NUMBA_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
        )
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_failures_of_long_ago_are_forgotten() -> None:
    """A service of months sees more pairs of cuts than it can remember, and some of them again."""
    table = WayTable(TOPOLOGY)
    wanted = np.array([table.number_of(Pair("zhengzhou", "hami", 2))])
    ports = range(len(TOPOLOGY.ports))

    def fail_all() -> list[tuple[int, int]]:
        found = []
        for port in ports:
            table.fail([port])
            _, pairs = table.arrays(wanted)
            found.append((int(pairs.low[0]), int(pairs.high[0])))
        return found

    first = fail_all()
    ways = len(table.ways)
    assert len(ports) > 3 * FAILURES_KEPT
    assert fail_all() == first, "the same failure has the same ways again"
    assert len(table.ways) == ways
    assert len(table._routes) <= FAILURES_KEPT
    assert len(table._range) <= FAILURES_KEPT
    table.fail([])
    assert table.arrays(wanted)[1].high[0] > 0
