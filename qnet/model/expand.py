"""Random processes to plain events: a function of network, processes, seed and time alone.

Each cable or node of a process has a random stream of its own, named by seed, process and target:
one more of them changes nothing for the others, and a later end only adds to what is drawn. Breaks
come as a Poisson process: times between two are exponential, in a time that goes faster in months
of more weight. Where a cable is cut is even over its length. One that is broken can break again;
what is broken twice is broken once. Logarithms are those of `decimal`, the same on any machine, and
instants are whole milliseconds.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from qnet.errors import InputError, Problem
from qnet.model.calendar import read_moment
from qnet.model.failures import KM_PER_STEP, REPAIR_S_DEFAULT, Failing
from qnet.model.outages import nodes_by_name, wires_by_name
from qnet.model.processes import MONTHS, Process, Repair
from qnet.model.timeline import EVENTS_HIGHEST, LISTED_HIGHEST, Event
from qnet.model.topology import Topology, length_km
from qnet.model.traffic import Profile
from qnet.units import INSTANT, PPB, PS_PER_MS, YEAR_S

EXPANDED_HIGHEST = 1_000_000
"""More events than these are taken for a slip of a unit."""

WITHOUT_EPOCH = "2001-01-01T00:00+00:00"
"""When a run starts that does not say so, for its seasons."""

_MS_PER_S = 1000
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Untold(NamedTuple):
    """A target of a process that is not there, or of which nobody says how often it breaks."""

    process: int
    target: int
    message: str
    """Empty where the network has nothing of the name."""


def expand(
    topology: Topology,
    processes: Sequence[Process],
    seed: int,
    until_ps: int,
    epoch: str | None = None,
) -> list[Event]:
    """Draw the events of some processes that begin before a time, in order of time.

    Those of one instant are in the order of processes and targets. Targets that the network does
    not have, or that never break, have none. Raises InputError where a million are not all.
    """
    words = f"more than {EXPANDED_HIGHEST:,} events are drawn; a rate has a wrong unit?"
    too_many = InputError([Problem("processes", 0, 0, "", words)])
    if _mean_count(topology, processes, until_ps, epoch) > 2 * EXPANDED_HIGHEST:
        raise too_many  # to draw them would take minutes
    drawn = _drawn(topology, processes, seed, until_ps, epoch, EXPANDED_HIGHEST + 1)
    if len(drawn) > EXPANDED_HIGHEST:
        raise too_many
    return drawn


def with_drawn(topology: Topology, profile: Profile) -> Profile:
    """Return a profile with the events that its processes have before its run's end.

    They follow its other events, and take the place of those that were drawn from them before.
    Where there are more than a run can have, one more than that is drawn.
    """
    if not profile.processes:
        return profile
    names = {one.called for one in profile.processes}
    given = tuple(one for one in profile.events if one.process not in names)
    drawn = _drawn(
        topology,
        profile.processes,
        profile.simulation.seed,
        profile.simulation.duration_ps,
        profile.epoch,
        EVENTS_HIGHEST + 1,
    )
    events = (*given[:LISTED_HIGHEST], *drawn)[:LISTED_HIGHEST]
    return profile if events == profile.events else profile.replace(events=events)


def _drawn(
    topology: Topology,
    processes: Sequence[Process],
    seed: int,
    until_ps: int,
    epoch: str | None,
    most: int,
) -> list[Event]:
    """Draw events as `expand` does, at most so many."""
    starts = read_moment(epoch or WITHOUT_EPOCH)
    drawn: list[Event] = []
    rates = _Rates(topology)
    for one in processes:
        seasons = _Seasons(starts, one.season)
        for target, failing in rates.breaking(one):
            each = _events(one, target, failing, seasons, seed, _end_ps(one, until_ps))
            drawn += islice(each, most - len(drawn))
    return sorted(drawn, key=lambda event: event.at_ps)


def _mean_count(
    topology: Topology, processes: Sequence[Process], until_ps: int, epoch: str | None
) -> Fraction:
    """Return how many events are drawn on average."""
    starts = read_moment(epoch or WITHOUT_EPOCH)
    rates = _Rates(topology)
    count = Fraction(0)
    for one in processes:
        seasons = _Seasons(starts, one.season)
        ends, begins = _end_ps(one, until_ps), one.from_ps
        if ends > begins:
            years = Fraction(seasons.spent_by(ends) - seasons.spent_by(begins), seasons.year)
            count += years * sum(failing.per_year for _, failing in rates.breaking(one))
    return count


def _end_ps(process: Process, until_ps: int) -> int:
    return min(until_ps, process.until_ps or until_ps, INSTANT.highest)


def targets_of(topology: Topology, process: Process) -> Sequence[str]:
    """Return what a process breaks: what it names, or all that there is of its kind."""
    if process.targets:
        return process.targets
    if process.change == "down":
        names = [node.name for node in topology.nodes]
        return [one for one in names if process.mtbf_s or one in topology.node_failures]
    return [name for name, one in topology.cable_failures.items() if one.per_year > 0]


def untold(topology: Topology, processes: Sequence[Process]) -> list[Untold]:
    """Find the targets that no event can be drawn for."""
    rates = _Rates(topology)
    found = []
    for number, one in enumerate(processes):
        for place, target in enumerate(one.targets):
            if not rates.knows(one, target):
                found.append(Untold(number, place, ""))
            elif rates.failing(one, target) is None:
                message = f"nothing says how often '{target}' fails; give 'mtbf'"
                found.append(Untold(number, place, message))
    return found


class _Rates:
    """How often what a process names breaks."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.wires = wires_by_name(topology)
        self.nodes = nodes_by_name(topology)

    def knows(self, process: Process, target: str) -> bool:
        return target in (self.wires if process.change == "cut" else self.nodes)

    def breaking(self, process: Process) -> Iterator[tuple[str, Failing]]:
        """Yield what of its targets breaks at all, and how often and for how long."""
        for target in targets_of(self.topology, process):
            failing = self.failing(process, target)
            if failing is not None and failing.per_year > 0:
                yield target, failing

    def failing(self, process: Process, target: str) -> Failing | None:
        """Return how often it breaks and for how long; None where nothing says so."""
        if not self.knows(process, target):
            return None
        if process.change == "cut":
            general, km = self._cable(target)
            per_year = general.per_year
            if process.rate is not None:
                per_year = process.rate * km / KM_PER_STEP
        else:
            told = self.topology.node_failures.get(target)
            if told is None and process.mtbf_s is None:
                return None
            general = told or Failing(Fraction(0), 0)
            per_year = general.per_year
        if process.mtbf_s is not None:
            per_year = Fraction(YEAR_S, process.mtbf_s)
        return Failing(per_year, process.repair.mean_s or general.repair_s or REPAIR_S_DEFAULT)

    def _cable(self, target: str) -> tuple[Failing, Fraction]:
        links = [self.topology.links[number] for number in {one.link for one in self.wires[target]}]
        kms = [length_km(one, self.topology.node_by_name) for one in links]
        every = self.topology.cable_failures
        return max(every[self.topology.cable(one)] for one in links), max(kms)


def _events(
    process: Process, target: str, failing: Failing, seasons: _Seasons, seed: int, end_ps: int
) -> Iterator[Event]:
    """Yield the breaks of one thing in order of time, from the start of the run on."""
    passed = Decimal(0)
    # In a year so much time passes as weights count it: breaks are even in that time.
    scale = seasons.year * failing.per_year.denominator
    number = 0
    while True:
        words = _Words(f"{seed} {process.called} {target} {number}")
        number += 1
        with localcontext() as context:
            context.prec = 40
            passed -= words.share().ln()
            spent = int(passed * scale / failing.per_year.numerator)
        at_ps = seasons.ms_at(spent) * PS_PER_MS
        if at_ps >= end_ps:
            return
        if at_ps < process.from_ps:
            continue
        where = {"where": f"{words.below(PPB + 1)}ppb"} if process.change == "cut" else {}
        lasts_ms = _repair_ms(process.repair, failing.repair_s * _MS_PER_S, words)
        yield Event.model_validate(
            {
                "at": f"{at_ps}ps",
                "change": process.change,
                "target": target,
                "for": f"{lasts_ms * PS_PER_MS}ps",
                "process": process.called,
                **where,
            }
        )


def _repair_ms(repair: Repair, mean_ms: int, words: _Words) -> int:
    """Draw how long a repair takes, in milliseconds; at least one."""
    with localcontext() as context:
        context.prec = 40
        lasts = Decimal(mean_ms)
        if repair.law == "exponential":
            lasts *= -words.share().ln()
        elif repair.law == "lognormal":
            deviation_ms = mean_ms if repair.deviation_s is None else repair.deviation_s * _MS_PER_S
            variance = (1 + (Decimal(deviation_ms) / mean_ms) ** 2).ln()
            lasts *= (variance.sqrt() * words.normal() - variance / 2).exp()
        return min(max(int(lasts), 1), INSTANT.highest // PS_PER_MS)


class _Words:
    """Random words of 64 bits, by name and number: SHA-256 of both."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._taken = 0

    def word(self) -> int:
        name = f"{self._name}/{self._taken}".encode()
        self._taken += 1
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big")

    def share(self) -> Decimal:
        """Draw from above 0 to 1."""
        return Decimal(self.word() + 1) / 2**64

    def below(self, span: int) -> int:
        return self.word() * span >> 64

    def normal(self) -> Decimal:
        """Draw from the normal distribution, by Marsaglia's polar method."""
        while True:
            one, other = (2 * self.share() - 1 for _ in range(2))
            square = one * one + other * other
            if 0 < square < 1:
                return one * (-2 * square.ln() / square).sqrt()


class _Seasons:
    """Time as the weights of months count it, and back: 3 units a millisecond where they are 3."""

    def __init__(self, starts: datetime, weights: Sequence[int] | None) -> None:
        self.weights = tuple(weights or (1,) * MONTHS)
        self.year = sum(weight * days for weight, days in zip(self.weights, _DAYS, strict=True)) * (
            86_400 * _MS_PER_S
        )
        self._starts = starts
        self._month = starts.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self._spent = [0]
        """[month]: what has passed when it begins, from the start of the run on."""
        self._begins_ms = [0]
        self._weights: list[int] = []
        self._add_month()

    def ms_at(self, spent: int) -> int:
        """Return when so much has passed, in milliseconds from the start of the run."""
        while self._spent[-1] <= spent:
            self._add_month()
        place = bisect_right(self._spent, spent) - 1
        more = (spent - self._spent[place]) // self._weights[place]
        return self._begins_ms[place] + more

    def spent_by(self, at_ps: int) -> int:
        """Return what has passed at a time from the start of the run."""
        ms = at_ps // PS_PER_MS
        while self._begins_ms[-1] <= ms:
            self._add_month()
        place = bisect_right(self._begins_ms, ms) - 1
        return self._spent[place] + self._weights[place] * (ms - self._begins_ms[place])

    def _add_month(self) -> None:
        weight = self.weights[self._month.month - 1]
        try:
            self._month = (self._month + timedelta(days=32)).replace(day=1)
            ends_ms = (self._month - self._starts) // timedelta(milliseconds=1)
        except OverflowError:  # the calendar ends with the year 9999, and the last month never
            weight, ends_ms = 1, self._begins_ms[-1] + (1 << 70)
        self._weights.append(weight)
        self._spent.append(self._spent[-1] + weight * (ends_ms - self._begins_ms[-1]))
        self._begins_ms.append(ends_ms)
