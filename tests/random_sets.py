"""Random small networks: does any frame come later than was proven?

Draws are qnet's own, so a set is named by its number and never changes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from qnet.check.plan import prove
from qnet.model.proof import StreamProof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.draws import integers
from qnet.simulate.run import simulate
from tests.builders import plan_for


class Kind(NamedTuple):
    """What the sets of a mechanism are made of."""

    cycles_us: tuple[int, int, int] = (10, 20, 50)
    in_phase: bool = False
    metres: tuple[int, int] = (100, 9000)
    streams: int = 24
    packets: int = 6
    selection: tuple[str, str] | None = None
    """How a class that reserves nothing chooses frames, beside its priority."""
    reserves: bool = True
    above: bool = True
    """Whether some streams are of a class above that one."""
    windows: bool = False
    """Whether some nodes have gate lists that are given."""
    several: bool = False
    """Whether most streams have several listeners."""


SEVERAL = " to several"

KINDS = {
    "tcqf": Kind(),
    "csqf": Kind(),
    # A frame must be received within the cycle in which it is sent.
    "cqf": Kind(cycles_us=(20, 50, 100), in_phase=True, metres=(200, 1500)),
    # The search for gates is quick where there is room, and takes seconds where there is none.
    "qbv": Kind(cycles_us=(100, 200, 400), streams=6, packets=2),
    "strict-priority": Kind(cycles_us=(10, 50, 200), reserves=False),
    "windows": Kind(cycles_us=(50, 200, 1000), streams=8, packets=3, reserves=False, windows=True),
    "shaping": Kind(cycles_us=(10, 50, 200), selection=("max-residence", "100ms"), reserves=False),
    "credit as reserved": Kind(
        cycles_us=(10, 50, 200),
        selection=("idle-slope", "as-reserved"),
        reserves=False,
        above=False,
    ),
    "credit": Kind(
        cycles_us=(10, 50, 200), selection=("idle-slope", "75%"), reserves=False, above=False
    ),
}
KINDS |= {f"{name}{SEVERAL}": kind._replace(several=True) for name, kind in KINDS.items()}


def law(mechanism: str) -> str:
    """Return what the kind of a set is called where each stream has one listener."""
    return mechanism.removesuffix(SEVERAL)


class Dice:
    """Draws of one set, each by its name."""

    def __init__(self, mechanism: str, number: int) -> None:
        self.number = number
        self.prefix = mechanism
        self.count = 0

    def below(self, span: int) -> int:
        self.count += 1
        return integers(self.number, f"{self.prefix} {self.count}", 1, span)[0]

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)


class Tightness(NamedTuple):
    """How near one stream of a set came to its bound."""

    number: int
    stream: str
    seen_ps: int
    proven_ps: int
    floor_ps: int
    """Least latency of its route: propagation, line times, processing."""

    @property
    def share_ppm(self) -> int:
        """Largest latency seen, of the largest proven."""
        return self.seen_ps * 10**6 // self.proven_ps

    @property
    def waiting_ppm(self) -> int:
        """The same for what lies above the least latency: waiting for cycles and in queues."""
        return (self.seen_ps - self.floor_ps) * 10**6 // max(self.proven_ps - self.floor_ps, 1)


class Outcome(NamedTuple):
    """One set: all streams that received frames, and whatever came later than proven."""

    proven: int
    """Streams with a bound."""
    streams: tuple[Tightness, ...]
    broken: tuple[str, ...]


File = dict[str, Any]
"""A topology or traffic file as it is read."""


def random_set(mechanism: str, number: int) -> tuple[Topology, Profile]:
    """Draw a network, its clocks, and as many streams as a port can carry, or nearly so."""
    topology, profile = random_files(mechanism, number)
    return Topology.model_validate(topology), Profile.model_validate(profile)


def _uncovered(dice: Dice, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw what leaves nothing known at the ports that it passes, and only there."""
    if dice.below(3) == 0:
        nodes[dice.below(len(nodes))]["cut-through"] = "64B"
    return {"preemptable": True} if dice.below(3) == 0 else {}


def random_files(mechanism: str, number: int) -> tuple[File, File]:
    """Draw the two files of a set."""
    dice = Dice(mechanism, number)
    kind = KINDS[mechanism]
    count = dice.between(2, 6)
    cycle_us = kind.cycles_us[dice.below(3)]
    nodes = [
        {
            "name": f"n{i}",
            "processing": "0ps" if dice.below(3) == 0 else f"1us..{dice.between(1000, 3000)}ns",
            "clock": {
                "phase": f"{0 if kind.in_phase else dice.below(cycle_us * 1000)}ns",
                "error": f"{dice.below(3) * dice.below(200)}ns",
                "wander": f"{dice.below(20)}ns",
            },
        }
        for i in range(count)
    ]
    parents = [dice.below(i) for i in range(1, count)]
    pairs = [(parent, i + 1) for i, parent in enumerate(parents)]
    if count > 3 and (0, count - 1) not in pairs:
        pairs.append((0, count - 1))
    rate = ("1Gbps", "10Gbps", "100Gbps")[dice.below(3)]
    links: list[dict[str, Any]] = [
        {"between": (f"n{a}", f"n{b}"), "rate": rate, "length": f"{dice.between(*kind.metres)}m"}
        for a, b in pairs
    ]
    more = Dice(f"{mechanism} directions", number)
    if more.below(3) == 0:
        for link in links:
            link["length"] = [f"{more.between(*kind.metres)}m" for _ in range(2)]
            # A faster wire one way: what a set asks for should find room.
            if more.below(4) == 0:
                fast = {"1Gbps": "4Gbps", "10Gbps": "40Gbps", "100Gbps": "400Gbps"}[rate]
                link["rate"] = [rate, fast] if more.below(2) else [fast, rate]
        if more.below(2) and (0, count - 1) not in pairs:
            links.append(
                {"between": (f"n{count - 1}", "n0"), "rate": rate, "direction": "one-way",
                 "length": f"{more.between(*kind.metres)}m"}
            )  # fmt: skip
    topology = {
        "title": f"{mechanism} {number}",
        "tcqf": {"cycle": f"{cycle_us}us", "buffers": dice.between(4, 6)},
        "nodes": nodes,
        "links": links,
    }
    streams: list[dict[str, Any]] = []
    for i in range(dice.between(1, kind.streams)):
        talker = dice.below(count)
        listener = (talker + dice.between(1, count - 1)) % count
        streams.append(
            {
                "name": f"s{i}",
                "from": f"n{talker}",
                "to": f"n{listener}",
                "class": "reserved",
                "interval": f"{cycle_us * (1, 2, 4, 8)[dice.below(4)]}us",
                "max-pkts-per-interval": dice.between(1, kind.packets),
                "max-payload-size": f"{dice.between(46, 1500)}B",
            }
        )
    if kind.several:
        _add_listeners(Dice(f"{mechanism} listeners", number), streams, count)
    demands = []
    if dice.below(2):
        share = dice.between(1, 6)
        gbps = {"1Gbps": 1, "10Gbps": 10, "100Gbps": 100}[rate]
        sizes = ("imix", "64B", "1518B", "9000B")[Dice(f"{mechanism} sizes", number).below(4)]
        demands.append(
            {"name": "bulk", "from": "n0", "to": f"n{count - 1}", "rate": f"{gbps * share}00Mbps",
             "sizes": sizes}
        )  # fmt: skip
    # Every second set of gates is beside frames that are cut, every second pair has fixed guards.
    guard = {"guard": "fixed"} if law(mechanism) == "qbv" and number & 2 else {}
    cut = {"preemptable": True} if law(mechanism) == "qbv" and number & 1 else {}
    above = []
    selection = dict([kind.selection] if kind.selection else [])
    if not kind.reserves:
        above = [{"name": "above", "priority": 7, "mechanism": "strict-priority"}]
        for one in streams:
            # Streams of one group from one node send at once.
            one |= {"group": "g", "start": ("together", "random")[dice.below(2)]}
            if kind.above and dice.below(3) == 0:
                one["class"] = "above"
    gates = _gates(dice, count) if kind.windows else {}
    if not kind.reserves and not kind.windows:
        cut = _uncovered(Dice(f"{mechanism} beside", number), nodes)
    how = {"mechanism": law(mechanism) if kind.reserves else "strict-priority", **selection}
    profile = {
        "title": f"{mechanism} {number}",
        "topology": "t",
        "classes": [
            *above,
            {"name": "reserved", "priority": 6, **how, **guard},
            {"name": "best-effort", "priority": 0, "mechanism": "strict-priority", **cut},
        ],
        "streams": streams,
        "demands": demands,
        **gates,
        "simulation": {"duration": f"{cycle_us * 60}us", "seed": number},
    }
    return topology, profile


def _add_listeners(dice: Dice, streams: list[dict[str, Any]], count: int) -> None:
    """Give most streams several listeners, some of them on the way to others."""
    for one in streams:
        others = [f"n{i}" for i in range(count) if f"n{i}" not in (one["from"], one["to"])]
        more = [name for name in others if dice.below(2)]
        if more and dice.below(3):
            place = dice.below(len(more) + 1)
            one["to"] = [*more[:place], one["to"], *more[place:]]


def _gates(dice: Dice, count: int) -> dict[str, object]:
    """Draw gate lists for some nodes: each class is open in about two entries of three."""
    names = ("above", "reserved", "best-effort")
    lists = [
        {
            "at": [f"n{i}"],
            "base-time": f"{dice.below(100)}us",
            "entries": [
                {
                    "open": [name for name in names if dice.below(3)],
                    "for": f"{dice.between(10_000, 100_000)}ns",
                }
                for _ in range(dice.between(1, 5))
            ],
        }
        for i in range(count)
        if dice.below(3) == 0
    ]
    return {"gates": lists}


def judge(mechanism: str, number: int) -> Outcome:
    """Plan, prove and simulate one set, and compare."""
    topology, profile = random_set(mechanism, number)
    plan = plan_for(topology, profile)
    proof = prove(topology, profile, plan)
    if profile.gates and proof.findings:
        return Outcome(0, (), ())  # lists are drawn without regard to what is sent
    reserves = KINDS[mechanism].reserves
    # Without reservations a set may ask for more than a port has; the others are bounded still.
    faults = [one for one in proof.findings if reserves or one.rule != "overload"]
    broken = [f"{one.rule}: {one.subject}: {one.message}" for one in faults]
    proven: dict[str, StreamProof] = {one.name: one for one in proof.streams}
    found = []
    for seen in simulate(topology, profile, plan, threads=1).streams:
        bound = proven[seen.name].latency_ps_max
        least = proven[seen.name].latency_ps_min
        if seen.late or (seen.lost and reserves):
            broken.append(f"{seen.name}: {seen.lost} lost, {seen.late} late")
        if seen.latency_ps_max is None or seen.latency_ps_min is None:
            continue
        if bound is None or least is None:
            if reserves:
                broken.append(f"{seen.name}: received, but nothing is proven")
            continue
        if seen.latency_ps_max > bound:
            broken.append(f"{seen.name}: {seen.latency_ps_max} ps seen, {bound} ps proven")
        if seen.latency_ps_min < least:
            broken.append(f"{seen.name}: {seen.latency_ps_min} ps seen, {least} ps proven at least")
        found.append(Tightness(number, seen.name, seen.latency_ps_max, bound, seen.floor_ps))
    bounded = sum(one.latency_ps_max is not None for one in proof.streams)
    return Outcome(bounded, tuple(found), tuple(f"{mechanism} {number}: {one}" for one in broken))
