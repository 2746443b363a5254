"""What a book of reservations refuses, where it comes from, and what its journal bears."""

import resource
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import qnet
from qnet.check.plan import prove
from qnet.errors import ArgumentError, EnvironmentMissing, Infeasible, InputError
from qnet.files.read import read_topology
from qnet.model.traffic import Stream
from qnet.schedule.reservations import Reservations, journal
from tests.book_kills import TOPOLOGY, step

ENDS = {"from": "zhengzhou", "to": "hami"}


def stream(name: str = "s", **more: Any) -> Stream:
    fields = {"interval": "1ms", "max-payload-size": "500B", **ENDS, **more}
    return Stream.model_validate({"name": name, **fields})


def loaded(path: Path | None = None, changes: int = 12) -> Reservations:
    book = Reservations(TOPOLOGY, 100, journal=path)
    for number in range(changes):
        step(book, number)
    assert all(one.place for one in book.admit([stream("one"), stream("two")]))
    return book


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda b: b.admit([stream("one")]), "one: there is a stream of this name already"),
        (lambda b: b.admit([stream("a"), stream("a")]), "a: is given twice"),
        (lambda b: b.admit([stream("a", count=2)]), "has a count; write it out"),
        (lambda b: b.admit([stream("a", to="nowhere")]), "no node 'nowhere'"),
        (lambda b: b.admit([stream("a", interval="300us")]), "this book divide 100 cycles"),
        (lambda b: b.admit([stream("a", interval="15us")]), "an interval of 15.000 us"),
        (lambda b: b.admit([stream("a", **{"class": "x"})]), "has the class 'x'"),
        (lambda b: b.admit(stream("a", to=["hami", "xian"]).legs), "is one leg of a stream"),
        (lambda b: b.release(["one", "none"]), "none: no stream has this name"),
        (lambda b: b.release(["one", "one"]), "one: is given twice"),
        (lambda b: b.reroute(["none"]), "none: no stream has this name"),
        (lambda b: b.change(stream("none")), "none: no stream has this name"),
        (lambda b: b.change(stream("one", count=2)), "has a count"),
        (lambda b: b.fail("nothing"), "'nothing' is not known here"),
        (lambda b: b.repair("hami"), "'hami' is not out of use"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    call: Callable[[Reservations], object], words: str
) -> None:
    book = loaded()
    before = book.view
    with pytest.raises((ArgumentError, Infeasible), match=words):
        call(book)
    assert book.view is before
    assert book.admit([stream("later")])[0].place is not None


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ArgumentError) as caught:
        loaded().admit([stream("one"), stream("b", to="x", count=3)])
    assert len(caught.value.problems) == 3


def test_streams_are_there_under_their_names_and_refusals_have_reasons() -> None:
    book = Reservations(TOPOLOGY, 100)
    wide = {"max-payload-size": "1500B", "max-pkts-per-interval": 60_000}
    fast = {"max-latency": "1us"}
    one, big, soon = book.admit([stream("one"), stream("big", **wide), stream("soon", **fast)])
    assert one.place == book.place("one")
    assert big.place is soon.place is None
    assert "bytes" in str(big.reason)
    assert "propagation alone is" in str(soon.reason)
    assert book.names == ["one"]
    assert "one" in book
    assert "big" not in book
    with pytest.raises(KeyError):
        book.place("big")
    profile, plan = book.to_plan()
    assert [one.name for one in plan.streams] == ["one"]
    assert profile.streams == (stream("one"),)
    assert prove(TOPOLOGY, profile, plan).findings == ()


def test_a_changed_stream_has_its_new_place_or_stays_as_it_was(tmp_path: Path) -> None:
    book = Reservations(TOPOLOGY, 100, journal=tmp_path / "j")
    book.admit([stream("one"), stream("two")])
    before = book.place("one"), book.place("two")
    larger = stream("one", **{"max-payload-size": "1200B", "paths": 2})
    answer = book.change(larger)
    assert answer.place == book.place("one")
    assert (len(book.place("one").ports), book.place("one").frame_bytes) == (2, 1218)
    assert book.place("two") == before[1]
    held = book.to_bytes()
    refused = book.change(stream("one", **{"max-latency": "1us"}))
    assert refused.place is None
    assert "propagation alone is" in str(refused.reason)
    assert book.to_bytes() == held
    book.close()
    with Reservations.open(tmp_path / "j", TOPOLOGY) as again:
        assert again.to_bytes() == held
        assert again.view.stream("one") == larger
        assert prove(TOPOLOGY, *again.to_plan()).findings == ()
        assert again.change(stream("one")).place is not None
        again.release(["one", "two"])
        assert (again._scheduler.grid.free == again._scheduler.room.capacity[:, None]).all()


def test_a_tree_is_one_stream_whose_wires_are_reserved_once(tmp_path: Path) -> None:
    book = Reservations(TOPOLOGY, 100, journal=tmp_path / "j")
    nodes = [node.name for node in TOPOLOGY.nodes]
    tree = stream("tree", to=[one for one in nodes if one != "zhengzhou"][:3])
    (answer,) = book.admit([tree])
    assert answer.place is not None
    assert len(answer.place.ports) == 3
    ports = {port for path in answer.place.ports for port in path}
    free, capacity = book._scheduler.grid.free, book._scheduler.room.capacity
    assert all(int(capacity[port] - free[port].min()) == 538 for port in ports)
    profile, plan = book.to_plan()
    assert [one.name for one in plan.streams] == [one.name for one in tree.legs]
    assert prove(TOPOLOGY, profile, plan).findings == ()
    before = book.to_bytes()
    book.close()
    with Reservations.open(tmp_path / "j", TOPOLOGY) as again:
        assert again.to_bytes() == before
        again.release(["tree"])
        assert len(again) == 0


# From a plan


def test_a_plan_is_kept_to_the_bit_and_changed_streams_are_the_only_changed_ones() -> None:
    scenario = qnet.load("qingyang")
    plan = qnet.plan(scenario)
    book = Reservations.from_plan(scenario, plan)
    planned = {one.name: one for one in plan.streams if one.status == "admitted"}
    assert sorted(book.names) == sorted(planned)
    own = {name: one for name in book.names for one in book.view.plans(name)}
    assert {name: one.paths for name, one in own.items()} == {
        name: one.paths for name, one in planned.items()
    }
    assert {name: one.hold_ps for name, one in own.items()} == {
        name: one.hold_ps for name, one in planned.items()
    }
    assert prove(scenario.topology, *book.to_plan()).findings == ()
    changes = book.fail("ix-xian")
    assert changes.moved
    elsewhere = {*changes.moved, *changes.replaced, *changes.reduced}
    for name in book.names:
        (now,) = book.view.plans(name)
        assert (now.paths == planned[name].paths) == (name not in elsewhere)
    assert prove(scenario.topology, *book.to_plan()).findings == ()


def test_a_plan_with_more_than_there_is_room_for_is_refused() -> None:
    ends = {"from": "a", "to": "b", "interval": "20us", "max-payload-size": "1000B"}
    traffic = {"title": "t", "topology": "t", "streams": [{"name": "s", **ends, "count": 2}]}
    link = {"between": ["a", "b"], "rate": "1Gbps", "delay": "1us"}
    network = {"title": "t", "nodes": [{"name": "a"}, {"name": "b"}], "links": [link]}
    scenario = qnet.load(traffic, topology=network)
    plan = qnet.plan(scenario)
    one, other = plan.streams
    assert one.status == other.status == "admitted"
    assert Reservations.from_plan(scenario, plan).names == ["s-1", "s-2"]
    crowded = plan.replace(streams=(one, one.replace(name=other.name)))
    with pytest.raises(Infeasible, match="more streams in a cycle than it holds"):
        Reservations.from_plan(scenario, crowded)


def test_a_tree_that_has_grown_is_not_kept_in_part() -> None:
    nodes = [{"name": name} for name in "abcd"]
    links = [{"between": ["a", name], "rate": "1Gbps", "delay": "1us"} for name in "bcd"]
    network = {"title": "t", "nodes": nodes, "links": links}

    def tree(*listeners: str) -> qnet.Scenario:
        ends = {"from": "a", "to": listeners, "interval": "20us", "max-payload-size": "100B"}
        return qnet.load(
            {"title": "t", "topology": "t", "streams": [{"name": "s", **ends}]}, topology=network
        )

    plan = qnet.plan(tree("b", "c"))
    assert Reservations.from_plan(tree("b", "c"), plan).names == ["s"]
    with pytest.raises(Infeasible, match="a place for s@b and none for s@d"):
        Reservations.from_plan(tree("b", "c", "d"), plan)


# The journal


def test_a_torn_record_is_as_if_it_had_never_been(tmp_path: Path) -> None:
    path = tmp_path / "j"
    book = loaded(path)
    before, size = book.to_bytes(), path.stat().st_size
    book.admit([stream("last")])
    after = book.to_bytes()
    book.close()
    raw = path.read_bytes()
    assert before != after
    for end in (*range(size, len(raw), 7), len(raw) - 1):
        path.write_bytes(raw[:end])
        with Reservations.open(path, TOPOLOGY) as again:
            assert again.to_bytes() == before
        assert path.stat().st_size == size, "it is cut off"
    path.write_bytes(raw[:-9] + bytes(9))
    with Reservations.open(path, TOPOLOGY) as again:
        assert again.to_bytes() == before
        again.admit([stream("last")])
        assert again.to_bytes() == after
    path.write_bytes(raw + bytes(5000))
    with Reservations.open(path, TOPOLOGY) as again:
        assert again.to_bytes() == after


def test_damage_before_the_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    loaded(path).close()
    raw = path.read_bytes()
    last = raw.rindex(journal.MARK)
    for place in range(20, last, 97):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :])
        with pytest.raises(InputError, match="is damaged at byte"):
            Reservations.open(path, TOPOLOGY)
    for harmed, words in (
        (b"", "is no journal of reservations of version 1"),
        (raw[:7], "is no journal"),
        (raw[:40], "its first record is not whole"),
    ):
        path.write_bytes(harmed)
        with pytest.raises(InputError, match=words):
            Reservations.open(path, TOPOLOGY)
    path.write_bytes(raw)
    with pytest.raises(InputError, match="was written for another network"):
        Reservations.open(path, read_topology("su-qing-ba"))
    Reservations.open(path, TOPOLOGY).close()
    with pytest.raises(InputError, match="no such file"):
        Reservations.open(tmp_path / "none", TOPOLOGY)
    assert not (tmp_path / ".none.lock").exists()
    with pytest.raises(EnvironmentMissing, match="cannot be written: no such file or directory"):
        loaded(tmp_path / "nowhere" / "j")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"hypercycle":100', b'"hypercycle":70'),
        (b'"streams":[[0,', b'"streams":[[-1,'),
        (b'"streams":[[0,', b'"streams":[[9999999999,'),
        (b'"streams":[[0,', b'"streams":[[1,'),
        (b'"streams":[[0,', b'"streams":[["x",'),
        (b'"talker":"zhengzhou"', b'"talker":"nowhere"'),
        (b'"interval_ps":1000000000', b'"interval_ps":-5'),
        (b'"max_payload_bytes":500', b'"max_payload_bytes":99999999999'),
        (b'"interval_ps":1000000000,', b""),
        (b'"paths":2', b'"pathes":2'),
        (b'"down":[]', b'"down":["nowhere"]'),
        (b'"gone":[]', b'"gone":["nowhere"]'),
        (b"[[0,-1,-1,", b"[[0,-1,"),
        (b"[20,21]", b"[20,900]"),
        (b"[20,21]", b"[]"),
        (b"0,52,[0,0,0,0]", b"0,152,[0,0,0,0]"),
        (b"0,52,[0,0,0,0]", b"0,52,[2,0,0,0]"),
        (b"0,52,[0,0,0,0]", b"0,52,[-1,0,0,0]"),
        (b"0,52,[0,0,0,0]", b"-1,52,[0,0,0,0]"),
        (b"0,52,[0,0,0,0]", b"2,52,[0,0,0,0]"),
        (b"[],[]],[2767", b"[0,9],[0]],[2767"),
    ],
)
def test_a_record_that_cannot_be_is_refused_before_it_is_used(
    old: bytes, new: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "j"
    book = Reservations(TOPOLOGY, 100, journal=path)
    book.admit([stream("one"), stream("two", paths=2)])
    content = book.to_bytes()
    book.close()
    harmed = content.replace(old, new, 1)
    head = journal.HEAD.pack(journal.MARK, len(harmed), zlib.crc32(harmed))
    path.write_bytes(journal.MAGIC + head + struct.pack("<I", zlib.crc32(head)) + harmed)
    assert harmed != content
    with pytest.raises(InputError):
        Reservations.open(path, TOPOLOGY)


def test_one_process_has_a_journal_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "j"
    book = loaded(path)
    with pytest.raises(EnvironmentMissing, match="is open already"):
        Reservations.open(path, TOPOLOGY)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(EnvironmentMissing, match="is open already"):
        Reservations.open(tmp_path / "link", TOPOLOGY)
    script = "import sys; from tests.book_kills import *\nReservations.open(sys.argv[1], TOPOLOGY)"
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    assert "is open already" in done.stderr
    book.close()
    with pytest.raises(EnvironmentMissing, match="is closed"):
        book.release(["one"])
    assert "one" in book
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    with pytest.raises(InputError, match="is there already"):
        loaded(path)


def test_what_cannot_be_written_has_not_been(tmp_path: Path) -> None:
    """A file may grow no more: the change is refused, and the book goes on when there is room."""
    path = tmp_path / "j"
    book = loaded(path)
    before, size = book.to_bytes(), path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # First a part of a record can be written, then none, nor a file in the place of this one.
        for most, call in (
            (size + 40, lambda: book.admit([stream("last")])),
            (100, lambda: book.release(["one"])),
            (100, lambda: book.fail("hami")),
        ):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
            with pytest.raises(EnvironmentMissing, match="cannot be written"):
                call()
            assert book.to_bytes() == before
            assert path.stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, told)
    twin = loaded()
    for one in (book, twin):
        assert one.admit([stream("last")])[0].place is not None
        one.fail("hami")
    assert book.to_bytes() == twin.to_bytes()
    book.close()
    with Reservations.open(path, TOPOLOGY) as again:
        assert again.to_bytes() == twin.to_bytes()


def test_a_long_journal_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SIZE_FREE", 3000)
    path = tmp_path / "j"
    book = Reservations(TOPOLOGY, 100, journal=path)
    sizes = []
    for _ in range(60):
        book.admit([stream("one")])
        book.release(["one"])
        sizes.append(path.stat().st_size)
    assert max(sizes) < 3000 + 2 * len(book.to_bytes()) + 2 * 1000
    assert any(now < before for before, now in pairwise(sizes))
    assert sorted(one.name for one in tmp_path.iterdir()) == [".j.lock", "j"]
    book.close()
