"""A book beside a slow one of plain dictionaries, and beside itself after every kind of end."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.check.routes import ONE_PATH_LEFT
from qnet.model.topology import Topology
from qnet.model.traffic import RESERVED, Stream
from qnet.schedule.cycles.state import Place
from qnet.schedule.reservations import Reservations, journal
from tests.book_kills import CABLES, TOPOLOGY, kill, step
from tests.property.test_schedule_plan import NODES, topologies

HYPERCYCLE = 12
CLASSES = [RESERVED, RESERVED.replace(name="late", mechanism="csqf", priority=5)]


@st.composite
def streams(draw: st.DrawFn) -> dict[str, Any]:
    talker, *listeners = draw(st.permutations(NODES))[: draw(st.integers(2, 3))]
    several = len(listeners) > 1
    return {
        "from": talker,
        "to": listeners if several else listeners[0],
        "interval": f"{draw(st.sampled_from([10, 20, 30, 40, 60, 120]))}us",
        "max-pkts-per-interval": draw(st.integers(1, 4)),
        "max-payload-size": f"{draw(st.integers(46, 1500))}B",
        "paths": 1 if several else draw(st.integers(1, 2)),
        "rank": draw(st.sampled_from([100, 500])),
        "class": draw(st.sampled_from([one.name for one in CLASSES])),
        **draw(st.sampled_from([{}, {"max-latency": "120us"}])),
        **draw(st.sampled_from([{}, {"damper": True}])),
    }


class SlowBook:
    """What a book must have, from its answers alone."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.places: dict[str, Place] = {}
        self.down: dict[str, set[int]] = {}

    def ports_of(self, cable: str) -> set[int]:
        links, cable_of = self.topology.links, self.topology.cable
        return {p.number for p in self.topology.ports if cable_of(links[p.link]) == cable}

    def is_cut(self, place: Place) -> bool:
        gone = {port for ports in self.down.values() for port in ports}
        return any(port in gone for path in place.ports for port in path)

    def taken(self) -> Counter[tuple[int, int]]:
        """Count the bytes of every cycle of every port; those of a tree once."""
        taken: Counter[tuple[int, int]] = Counter()
        for place in self.places.values():
            size = place.packets * (place.frame_bytes + 20)
            hops = {
                (port, cycle % place.period)
                for ports, cycles in zip(place.ports, place.cycles, strict=True)
                for port, cycle in zip(ports, cycles, strict=True)
            }
            for port, cycle in hops:
                for turn in range(cycle, HYPERCYCLE, place.period):
                    taken[port, turn] += size
        return taken

    def compare(self, book: Reservations) -> None:
        assert sorted(book.names) == sorted(self.places)
        assert len(book) == len(self.places)
        assert {name: book.place(name) for name in self.places} == self.places
        assert book.down == tuple(sorted(self.down))
        taken, room = self.taken(), book._scheduler.room
        for port, cycles in enumerate(room.grid.free.tolist()):
            left = [int(room.capacity[port]) - taken[port, turn] for turn in range(HYPERCYCLE)]
            assert cycles == left
            assert min(left) >= 0


def act(data: st.DataObject, book: Reservations, slow: SlowBook, turn: int) -> None:
    """Make a change of both, and compare what the answer says with what it may say."""
    kind = data.draw(st.sampled_from(["admit", "admit", "release", "fail", "repair", "reroute"]))
    before = dict(slow.places)
    cables = sorted({book.topology.cable(link) for link in book.topology.links})
    some = st.lists(st.sampled_from(sorted(slow.places) or ["x"]), unique=True, max_size=4)
    if kind == "admit":
        drawn = data.draw(st.lists(streams(), min_size=1, max_size=4))
        asked = [
            Stream.model_validate({**one, "name": f"s{turn}-{place}"})
            for place, one in enumerate(drawn)
        ]
        for answer, one in zip(book.admit(asked), asked, strict=True):
            assert answer.name == one.name
            assert (answer.place is None) == (answer.reason is not None)
            if answer.place is not None:
                assert not slow.is_cut(answer.place)
                slow.places[one.name] = answer.place
            else:
                assert book.why_not(one) == answer.reason
    elif kind == "release" and slow.places:
        names = data.draw(some)
        book.release(names)
        for name in names:
            del slow.places[name]
    elif kind == "fail" and set(cables) - set(slow.down):
        cable = data.draw(st.sampled_from(sorted(set(cables) - set(slow.down))))
        changes = book.fail(cable)
        slow.down[cable] = slow.ports_of(cable)
        told = [name for names in changes[:4] for name in names]
        assert sorted(told) == sorted(name for name, one in before.items() if slow.is_cut(one))
        check_moves(book, slow, changes, before)
    elif kind == "repair" and slow.down:
        cable = data.draw(st.sampled_from(sorted(slow.down)))
        book.repair(cable)
        del slow.down[cable]
    elif kind == "reroute" and slow.places:
        check_moves(book, slow, book.reroute(data.draw(some)), before)


def check_moves(book: Reservations, slow: SlowBook, changes: Any, before: dict[str, Place]) -> None:
    for name in (*changes.moved, *changes.replaced, *changes.reduced):
        slow.places[name] = book.place(name)
        assert not slow.is_cut(slow.places[name])
    for name in changes.reduced:
        assert slow.places[name].ports[0] in before[name].ports
        assert book.view.stream(name).paths == 2
    hurt = Counter(book.view.stream(name).rank for name in (*changes.reduced, *changes.lost))
    assert changes.lost_by_rank == hurt


@settings(max_examples=40)
@given(topologies(), st.data())
def test_a_book_is_what_its_answers_say(topology: Topology, data: st.DataObject) -> None:
    book = Reservations(topology, HYPERCYCLE, classes=CLASSES)
    slow = SlowBook(topology)
    for turn in range(data.draw(st.integers(1, 6))):
        earlier = book.view
        told = dict(slow.places)
        act(data, book, slow, turn)
        slow.compare(book)
        assert {name: earlier.place(name) for name in earlier.names} == told, "views never change"
        findings = prove(topology, *book.to_plan()).findings
        assert [one for one in findings if one.message != ONE_PATH_LEFT] == []
    book.release(book.names)
    assert (book._scheduler.grid.free == Reservations(topology, 12)._scheduler.grid.free).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_book_that_is_opened_again_and_again_answers_as_one_that_never_was_closed(
    seed: int, tmp_path: Path
) -> None:
    twin = Reservations(TOPOLOGY, 100)
    book = Reservations(TOPOLOGY, 100, journal=tmp_path / "journal")
    for turn in range(60):
        step(twin, 1000 * seed + turn)
        step(book, 1000 * seed + turn)
        assert book.to_bytes() == twin.to_bytes()
        if turn % 7 == seed:
            book.close()
            book = Reservations.open(tmp_path / "journal", TOPOLOGY)
            assert book.to_bytes() == twin.to_bytes()
    assert len(book)
    book.close()


def test_killed_at_any_moment_a_journal_has_the_last_answer() -> None:
    found = kill(12)
    assert found["last answer"] + found["one more"] == 12
    assert found["changes"] > 12
    assert found["rewritten"] > 0


def test_what_failures_leave_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, trees and pairs come and go by the hundreds; what is kept of them does not grow."""
    # The journal comes to its largest in either half, not in the second only.
    monkeypatch.setattr(journal, "SIZE_FREE", 2**16)

    def sizes(book: Reservations) -> Iterator[int]:
        table = book._scheduler.table
        yield from (len(table.ways), len(table.pairs), len(table._range), len(table._stretch))
        yield sum(len(one._trees) for one in table._routes.values())
        yield (tmp_path / "journal").stat().st_size

    book = Reservations(TOPOLOGY, 100, journal=tmp_path / "journal")
    most = []
    for half in range(2):
        seen = []
        for turn in range(150):
            step(book, 10_000 * half + turn)
            book.fail(*{*CABLES[turn % 3 :: 5]} - set(book.down))
            book.repair(*book.down)
            seen.append(tuple(sizes(book)))
        most.append([max(column) for column in zip(*seen, strict=True)])
    assert most[0][0] > 500, "there was something to forget"
    for first, second in zip(*most, strict=True):
        assert second < 1.6 * first + 100
    book.close()


def test_readers_see_whole_states_while_one_thread_writes() -> None:
    book = Reservations(TOPOLOGY, 100)
    states: list[bytes] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            view = book.view
            assert len(view) == len(view.names)
            assert all(view.place(name) for name in view.names)
            states.append(book.to_bytes())

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    turns = 0
    while turns < 40 or (len(set(states)) < 2 and turns < 4000):
        step(book, turns)
        turns += 1
    done.set()
    for reader in readers:
        reader.join()
    twin = Reservations(TOPOLOGY, 100)
    whole = {twin.to_bytes()}
    for turn in range(turns):
        step(twin, turn)
        whole.add(twin.to_bytes())
    assert set(states) <= whole
    assert len(set(states)) > 1


def test_writers_wait_for_each_other() -> None:
    book = Reservations(TOPOLOGY, 100)
    ends = {"from": TOPOLOGY.nodes[0].name, "to": TOPOLOGY.nodes[1].name}

    def write(mark: str) -> None:
        for turn in range(30):
            fields = {**ends, "name": f"{mark}{turn}", "interval": "1ms", "max-payload-size": "99B"}
            book.admit([Stream.model_validate(fields)])
            if turn % 3:
                book.release([f"{mark}{turn}"])

    writers = [threading.Thread(target=write, args=(mark,)) for mark in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    left = [f"{mark}{turn}" for mark in "abc" for turn in range(0, 30, 3)]
    assert sorted(book.names) == sorted(left)
    assert prove(TOPOLOGY, *book.to_plan()).findings == ()
