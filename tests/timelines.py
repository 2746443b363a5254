"""Drawn timelines: networks of all mechanisms in which whatever can happens, and streams are moved.

Things break, links have other rates, fibres and losses, clocks are wrong and lose their
grandmaster, streams and demands start, stop and scale, there are attacks, and controllers are away.

What the slow twin sees of every frame must lie within what is proven of it: `python -m
tests.timelines 1000` judges so many of every mechanism, other than those that CI looks at, and
`python -m tests.timelines 1000 500` the 500 from number 1000 on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

from qnet.check.plan import prove
from qnet.model.plan import Move, PathPlan, Plan, StreamPlan
from qnet.model.proof import Proof
from qnet.model.timeline import Event
from qnet.model.topology import Sync, Topology
from qnet.model.traffic import Demand, Profile, Recovery, Stream
from qnet.simulate.run import simulate
from tests.builders import plan_for
from tests.property.test_books import balance
from tests.random_sets import KINDS, Dice, random_set
from tests.slow_case import Case, compare, frames_of, ways_of
from tests.slow_simulator import SlowSimulator


class Judged(NamedTuple):
    """What one timeline came to."""

    moves: int
    epochs: int
    bounded: int
    """Frames that were held to a bound."""
    lost: int
    broken: tuple[str, ...]


def drawn_case(mechanism: str, number: int) -> Case:
    """Draw a set, a plan with moves that all fit, and what breaks meanwhile."""
    topology, profile = random_set(mechanism, number)
    profile = profile.replace(demands=tuple(_few(profile, one) for one in profile.demands))
    dice = Dice(f"{mechanism} timeline", number)
    topology = _synced(Dice(f"{mechanism} grandmaster", number), topology)
    profile = profile.replace(streams=tuple(_doubled(dice, profile)))
    profile = profile.replace(events=tuple(_events(dice, topology, profile)))
    twice = profile.replace(events=(), streams=(*profile.streams, *_seconds(dice, profile)))
    both = plan_for(topology, twice)
    names = {one.name for one in profile.every_stream}
    plan = both.replace(
        streams=tuple(one for one in both.streams if one.name in names), reserved=None
    )
    moves = sorted(_moves(dice, topology, profile, both), key=lambda one: one.at_ps)
    return topology, profile, plan.replace(moves=tuple(moves))


def _synced(dice: Dice, topology: Topology) -> Topology:
    """Have the clocks of every other set follow one, by more or less than plans are made for."""
    if dice.below(2):
        return topology
    off = (0, 50, 1000)[dice.below(3)]
    nodes = tuple(
        one.replace(clock=one.clock.replace(frequency_ppb=dice.below(off + 1)))
        for one in topology.nodes
    )
    sync = Sync.model_validate(
        {
            "grandmaster": topology.nodes[0].name,
            "hop-error": f"{(0, 1, 50)[dice.below(3)]}ns",
            "interval": ("1ms", "333us")[dice.below(2)],
        }
    )
    return topology.replace(nodes=nodes, sync=sync)


FRAMES_OF_DEMANDS = 2_000
"""About so many at most, since the twin looks at every one."""


def _few(profile: Profile, demand: Demand) -> Demand:
    shortest = min(size for size, _ in demand.sizes) + 20
    return demand.replace(rate_bps=min(demand.rate_bps, _most_bps(profile, shortest)))


def _most_bps(profile: Profile, wire_bytes: int) -> int:
    return FRAMES_OF_DEMANDS * wire_bytes * 8 * 10**12 // profile.simulation.duration_ps


def _doubled(dice: Dice, profile: Profile) -> Iterator[Stream]:
    """Ask for two paths for some streams, and have listeners of some recover from both."""
    for one in profile.streams:
        if len(one.listeners) > 1 or not profile.takes_cycles(one) or dice.below(4):
            yield one
            continue
        recovery = Recovery(history=2 + dice.below(64))
        recovery = recovery.replace(reset_ps=10 ** (8 + dice.below(3)))
        yield one.replace(paths=2, recovery=recovery if dice.below(2) else None)


SECOND = "-second"


def _seconds(dice: Dice, profile: Profile) -> Iterator[Stream]:
    """Ask for a second place for some streams: what is reserved for both fits at once."""
    for one in profile.streams:
        if len(one.listeners) == 1 and profile.takes_cycles(one) and dice.below(2):
            yield one.replace(name=f"{one.name}{SECOND}", paths=1 + dice.below(2), recovery=None)


def _events(dice: Dice, topology: Topology, profile: Profile) -> Iterator[Event]:
    end_ps = profile.simulation.duration_ps
    for _ in range(dice.below(5)):
        link = topology.links[dice.below(len(topology.links))]
        node = topology.nodes[dice.below(len(topology.nodes))].name
        common = {"at": f"{dice.below(end_ps)}ps", "for": f"{1 + dice.below(end_ps // 4)}ps"}
        name = topology.link_name(link)
        every = f"{10**6 + dice.below(end_ps // 8)}ps"
        kinds: list[dict[str, object]] = [
            {"change": "cut", "target": name, "where": f"{dice.below(101)}%"},
            {"change": "down", "target": node},
            {"change": "flap", "target": name, "every": every, "duty": f"{dice.below(101)}%"},
            {"change": "partition", "groups": [list(link.between[:1]), list(link.between[1:])]},
            {"change": "maintenance", "target": (name, node)[dice.below(2)]},
            {"change": "clock", "target": node, "step": f"{_either(dice, 10**9)}ps"},
            {"change": "clock", "target": node, "drift": f"{_either(dice, 10**6)}ppb"},
            {"change": "controller", **({"lost": True}, {"slow-by": "1ms"})[dice.below(2)]},
        ]
        if topology.sync is not None:
            kinds.append({"change": "clock", "grandmaster-lost": True})
            if node != topology.sync.grandmaster:
                kinds.append({"change": "clock", "target": node, "holdover": True})
        kinds += _of_links(dice, (topology, profile), name, link.rate_bps.there)
        kinds += _of_loads(dice, topology, profile)
        chosen = {**common, **kinds[dice.below(len(kinds))]}
        if chosen["change"] in ("start", "stop") and dice.below(2):
            del chosen["for"]
        event = Event.model_validate(chosen)
        yield event
        if event.change == "cut" and dice.below(2) and not _refuses_rates(topology, profile):
            back_ps = event.at_ps + dice.below(end_ps // 4)
            back = {"change": "restore-optical", "target": name, "at": f"{back_ps}ps"}
            yield Event.model_validate({**back, "share": f"{1 + dice.below(100)}%"})


def _either(dice: Dice, most: int) -> int:
    """Draw a number of either sign, small ones as often as large ones."""
    size = 1 + dice.below(10 ** (1 + dice.below(len(str(most)) - 1)))
    return size if dice.below(2) else -size


def _of_links(
    dice: Dice, network: tuple[Topology, Profile], name: str, rate_bps: int
) -> Iterator[dict[str, object]]:
    """Draw another rate, another fibre and losses; a fibre is often as good as the old one."""
    topology, profile = network
    if not _refuses_rates(topology, profile):
        share = (10, 50, 99, 200)[dice.below(4)]
        yield {"change": "capacity", "target": name, "rate": f"{rate_bps * share // 100}bps"}
    for metres in (10, 1000 * 10 ** dice.below(3), 500 + dice.below(10**4)):
        yield {"change": "delay", "target": name, "length": f"{metres}m"}
    yield {"change": "loss", "target": name, "ratio": f"{dice.below(101)}%"}
    yield {"change": "loss", "target": name, "bit-error-ratio": "1e-5"}


def _refuses_rates(topology: Topology, profile: Profile) -> bool:
    """Say whether some ports may be of those whose rate stays."""
    cut = any(one.preemptable for one in profile.classes)
    return (
        any(one.cut_through_bytes is not None for one in topology.nodes)
        or any(one.idle_slope for one in profile.classes)
        or (cut and any(one.gated for one in profile.classes))
    )


def _of_loads(dice: Dice, topology: Topology, profile: Profile) -> Iterator[dict[str, object]]:
    """Draw what starts, stops and is scaled, and an attack."""
    names = [one.name for one in profile.streams] + [one.service for one in profile.streams]
    names += [one.traffic_class for one in profile.streams]
    names += [name for one in profile.demands for name in (one.name, one.traffic_class)]
    for change in ("start", "stop", "start", "stop"):
        yield {"change": change, "target": names[dice.below(len(names))]}
    yield {"change": "scale", "target": names[dice.below(len(names))], "by": f"{dice.below(101)}%"}
    for one in profile.demands:
        yield {"change": "scale", "target": one.name, "by": f"{dice.below(300)}%"}
    ends = [node.name for node in topology.nodes]
    origin = ends.pop(dice.below(len(ends)))
    sink = ends[dice.below(len(ends))]
    size = (64, 1518, 9000)[dice.below(3)]
    rate = min(10 ** (7 + dice.below(4)), _most_bps(profile, size + 20))
    attack = {"from": origin, "to": sink, "rate": f"{rate}bps", "sizes": f"{size}B"}
    yield {"change": "attack", **attack}


def _moves(dice: Dice, topology: Topology, profile: Profile, both: Plan) -> Iterator[Move]:
    """Move streams to their second place, and back; and what reserves nothing anywhere."""
    end_ps = profile.simulation.duration_ps
    entries = {one.name: one for one in both.streams}
    for stream in profile.every_stream:
        own = entries[stream.name]
        if stream.tree != stream.name or not own.paths or dice.below(3) == 0:
            continue
        found: list[StreamPlan] = []
        second = entries.get(f"{stream.name}{SECOND}")
        if second is not None and second.paths:
            path = second.paths[dice.below(len(second.paths))]
            found = [second.replace(name=stream.name, paths=(path,)), own]
        elif not profile.is_reserved(stream):
            ways = list(_ways(topology, stream.talker, stream.listener))
            drawn = PathPlan(ports=ways[dice.below(len(ways))])
            found = [own.replace(paths=(drawn,)), own]
        times = sorted(dice.below(end_ps) for _ in found)
        for at_ps, entry in zip(times[: 1 + dice.below(2)], found, strict=False):
            yield Move(at_ps=at_ps, stream=entry, cause="drawn")
    for placed in both.demands:
        demand = next(one for one in profile.demands if one.name == placed.name)
        if placed.parts and dice.below(2):
            ways = list(_ways(topology, demand.source, demand.target))
            part = placed.parts[0].replace(ports=ways[dice.below(len(ways))], hashed=None)
            alone = placed.replace(placed_bps=part.rate_bps, parts=(part,))
            yield Move(at_ps=dice.below(end_ps), demand=alone, cause="drawn")


def _ways(
    topology: Topology, at: str, end: str, before: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield all ways from one node to another."""
    seen = {topology.port_by_name[name].source for name in before}
    for port in topology.ports:
        if port.source != at or port.target in seen:
            continue
        if port.target == end:
            yield (*before, port.name)
        else:
            yield from _ways(topology, port.target, end, (*before, port.name))


def judge(mechanism: str, number: int) -> Judged:
    """Prove one timeline, run it in the simulator and in its slow twin, and compare all three."""
    case = drawn_case(mechanism, number)
    seen = simulate(*case, threads=1)
    balance(case[1], seen)
    return judge_case(case, prove(*case), compare(case, seen))


def judge_case(case: Case, proof: Proof, slow: SlowSimulator) -> Judged:
    """Hold every frame that was received to the bounds of the epochs that it lived in."""
    _, profile, plan = case
    broken = _faults(case, proof)
    ways = ways_of(*case)
    streams = {one.name: one for one in profile.every_stream}
    spans = [
        (one.from_ps, one.until_ps, {each.name: each for each in (*one.changed, *one.moved)})
        for one in proof.epochs
    ]
    whole = {one.name: one for one in proof.streams}
    bounded = lost = 0
    for number, way in enumerate(ways):
        source = slow.sources[number]
        for place, (birth, _, _) in enumerate(source.births):
            own = source.first + place if source.numbers is None else source.numbers[place]
            latency = slow.latency.get((number, own))
            if way.name not in streams or latency is None:
                continue
            lived = [
                moved.get(way.name, whole[way.name])
                for begin, end, moved in spans
                if begin <= birth + latency and birth < end
            ] or [whole[way.name]]
            lows = [one.latency_ps_min for one in lived if one.latency_ps_min is not None]
            highs = [one.latency_ps_max for one in lived if one.latency_ps_max is not None]
            if min(len(lows), len(highs)) < len(lived):
                continue
            bounded += 1
            least, most = min(lows), max(highs)
            if not least <= latency <= most:
                broken.append(
                    f"{way.name}: born at {birth}: {latency} ps, proven {least} to {most}"
                )
    for taken in proof.event_losses:
        mine = [i for i, way in enumerate(ways) if way.name == taken.name]
        ends = frames_of(
            [slow.counts[i] for i in mine], [slow.sources[i] for i in mine], copies=True
        )
        gone = sum(n for fates, n in ends.items() if fates not in (("received",), ("in flight",)))
        lost += gone
        sent = ends.total()
        if gone < taken.frames_least:
            broken.append(f"{taken.name}: {gone} lost, proven at least {taken.frames_least}")
        reserved = profile.is_reserved(streams[taken.name])
        if reserved and taken.frames_most is not None and gone > taken.frames_most:
            broken.append(f"{taken.name}: {gone} lost, proven at most {taken.frames_most}")
        if not taken.sent_least <= sent <= taken.sent_most:
            broken.append(f"{taken.name}: {sent} sent, proven {taken.sent_least} to "
                          f"{taken.sent_most}")  # fmt: skip
    return Judged(len(plan.moves), len(proof.epochs), bounded, lost, tuple(broken))


def _faults(case: Case, proof: Proof) -> list[str]:
    """Findings that a timeline must not have, whose reservations all fit.

    Demands are moved wherever there is a way, also where a guard has no room for their frames; and
    clocks may follow theirs by less than plans are made for.
    """
    _, profile, plan = case
    spared = {"rate", "overload", "disjoint", "latency", "variation", "recovery", "clock"}
    spared |= {"capacity"} if any(one.demand for one in plan.moves) else set()
    every = [*proof.findings, *(one for epoch in proof.epochs for one in epoch.findings)]
    if not any(one.reserves for one in profile.classes):
        return []
    return [f"{one.rule}: {one.subject}: {one.message}" for one in every if one.rule not in spared]


class Sum(NamedTuple):
    """What the timelines of one mechanism came to."""

    timelines: int = 0
    moves: int = 0
    epochs: int = 0
    bounded: int = 0
    lost: int = 0
    broken: int = 0

    def add(self, one: Judged) -> Sum:
        """Return it with one more."""
        own = (1, one.moves, one.epochs, one.bounded, one.lost, bool(one.broken))
        return Sum(*(mine + more for mine, more in zip(self, own, strict=True)))


def main(first: int, count: int) -> int:
    """Judge so many timelines of every mechanism; return how many are broken.

    All of one number before those of the next, so that it can be ended at any time.
    """
    sums = dict.fromkeys(KINDS, Sum())
    for number in range(first, first + count):
        for mechanism in KINDS:
            one = judge(mechanism, number)
            sums[mechanism] = sums[mechanism].add(one)
            for words in one.broken:
                sys.stdout.write(f"{mechanism} {number}: {words}\n")
        if (number + 1) % REPORTED == 0 or number + 1 == first + count:
            sys.stdout.write(f"up to {number}:\n")
            for mechanism, total in sums.items():
                sys.stdout.write(
                    f"  {mechanism}: {total.timelines} timelines, {total.moves} moves, "
                    f"{total.epochs} epochs, {total.bounded} frames held to a bound, "
                    f"{total.lost} lost\n"
                )
        sys.stdout.flush()
    return sum(one.broken for one in sums.values())


REPORTED = 50
"""After so many numbers it is told how far it is."""

if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    sys.exit(main(*(given if len(given) > 1 else [1000, *given])) > 0)
