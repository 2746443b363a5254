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
from qnet.model.topology import Topology
from qnet.schedule.cycles.candidates import FAILURES_KEPT, WAYS_FREE, CandidateTable, Pair
from qnet.schedule.online import Scheduler, audit

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
        (lambda s: s.admit(s.request(0, 10, 2**32 + 1, 64)), "more frames than a cycle"),
        (lambda s: s.admit(s.request(0, 10, 1, 16_001)), "more than 16000 bytes"),
        (lambda s: s.admit(s.request(0, 10, 1, 64, rank=2**16 + 1)), "a rank that is not"),
        (lambda s: s.release([0, 0]), "twice"),
        (lambda s: s.release([4096]), "no stream has the id 4096"),
        (lambda s: s.release([-1]), "no stream has the id -1"),
        (lambda s: s.fail("hami", "nowhere"), "'nowhere' is not known here"),
        (lambda s: s.repair("hami"), "'hami' is not out of use"),
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
        (lambda raw: raw.replace(b"state 3", b"state 2"), "no scheduler state of version 3"),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "is damaged"),
        (lambda raw: b"", "no scheduler state of version 3"),
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
    table = CandidateTable(TOPOLOGY)
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


def test_what_failures_leave_is_forgotten_and_streams_stay(tmp_path: Path) -> None:
    """Of hundreds of pairs of failures no more is kept than what is in use needs, twice."""
    topology = read_topology("qingyang")
    scheduler = Scheduler(topology, 20)
    names = [node.name for node in topology.nodes]
    pairs = [scheduler.pair(a, b, 1 + (a < b)) for a in names[::3] for b in names[::4] if a != b]
    scheduler.admit(scheduler.request(pairs, 20, 1, 400))
    targets = [topology.cable(link) for link in topology.links]
    draws = np.random.PCG64(1).random_raw(400).astype(np.int64).tolist()
    sizes, turns = [], 0
    for one, other in zip(draws[::2], draws[1::2], strict=True):
        down = sorted({targets[one % len(targets)], targets[other % len(targets)]})
        scheduler.fail(*down)
        places = [scheduler.place(number) for number in scheduler.ids().tolist()]
        scheduler.repair(*down)
        sizes.append(len(scheduler.table.ways))
        turns += len(sizes) > 1 and sizes[-1] < sizes[-2]
        assert [scheduler.place(number) for number in scheduler.ids().tolist()] == places
    assert turns > 1, "ways were forgotten, and more came"
    first, last = max(sizes[: len(sizes) // 2]), max(sizes[len(sizes) // 2 :])
    assert last < first * 1.5
    assert last < 2 * (len(scheduler) + 16 * len(pairs) * (FAILURES_KEPT + 1)) + WAYS_FREE
    assert audit(scheduler) == []
    scheduler.save(tmp_path / "one")
    Scheduler.restore(tmp_path / "one", topology).save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_links_wires_nodes_and_sites_fail_and_come_back() -> None:
    topology = Topology.model_validate(
        {
            "title": "t",
            "nodes": [{"name": name, "site": f"at-{name}"} for name in "abc"],
            "links": [
                {"between": ["a", "b"], "rate": "1Gbps", "delay": "1us", "members": 2},
                {"between": ["b", "c"], "rate": "1Gbps", "delay": "1us", "cable": "duct"},
                {"between": ["a", "c"], "rate": "1Gbps", "delay": "9us", "cable": "duct"},
            ],
        }
    )
    for targets, ports in {
        ("a--b",): {"a->b/1", "a->b/2", "b->a/1", "b->a/2"},
        ("a--b/2",): {"a->b/2", "b->a/2"},
        ("b->a/2",): {"a->b/2", "b->a/2"},
        ("b--c",): {"b->c", "c->b"},
        ("duct",): {"b->c", "c->b", "a->c", "c->a"},
        ("c",): {"b->c", "c->b", "a->c", "c->a"},
        ("at-c", "a--b/1"): {"b->c", "c->b", "a->c", "c->a", "a->b/1", "b->a/1"},
    }.items():
        scheduler = Scheduler(topology, 20)
        scheduler.admit(scheduler.request(scheduler.pair("a", "b"), 20, 1, [400] * 4))
        report = scheduler.fail(*targets)
        down = {topology.ports[port].name for port in np.flatnonzero(scheduler.grid.up == 0)}
        assert down == ports
        places = [scheduler.place(number) for number in range(4)]
        used = {port for place in places for path in place.ports for port in path}
        assert report.lost.size == 0
        assert not {topology.ports[port].name for port in used} & ports
        assert scheduler.down == tuple(sorted(targets))
        scheduler.repair(*targets)
        assert scheduler.grid.up.all()
    # A wire that two targets have in common is in use when both are.
    scheduler.fail("duct", "c")
    scheduler.repair("duct")
    assert not scheduler.grid.up[topology.port_by_name["b->c"].number]
    with pytest.raises(Infeasible, match="'c' is out of use already"):
        scheduler.fail("duct", "c")
    assert scheduler.down == ("c",)


def test_a_state_that_has_one_way_twice_is_refused() -> None:
    scheduler = loaded()
    saved = scheduler._to_saved()
    twice = saved._replace(ways=(*saved.ways, saved.ways[0]))
    with pytest.raises(InputError, match="state: has one way twice"):
        Scheduler.of_saved(twice, TOPOLOGY, Path("state"))
