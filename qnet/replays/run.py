"""Replay a timeline: plan what is done about every event, and watch frames wherever it changes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from qnet import __version__, api
from qnet.errors import ArgumentError, EnvironmentMissing, Problem
from qnet.files.read import Given, title_of
from qnet.files.tree import guess
from qnet.files.write import to_json
from qnet.model.emulation import Tier
from qnet.model.expand import expand
from qnet.model.outages import Wire, outages_of, settings_of
from qnet.model.plan import Entry, Plan
from qnet.model.proof import Proof
from qnet.model.replay import Replay
from qnet.model.scenario import Scenario
from qnet.model.timeline import FOREVER_PS
from qnet.model.traffic import DURATION_PS_HIGHEST, Demand, Stream
from qnet.progress import Progress
from qnet.replays.account import WindowAccount, account_of
from qnet.replays.course import Timetable, changes_what_lasts, most_touched
from qnet.replays.outcome import outcome_of
from qnet.replays.windows import Case, Window, case_of, cut_time, period_ps
from qnet.result import Result
from qnet.schedule.reaction.reactor import with_reactions
from qnet.units import INSTANT, PS_PER_MS, UnitError, parse, show_time

KEPT = "windows.jsonl"
"""In the folder of a replay: the accounts of the windows that are done, a line each."""

LEAD_PS, TAIL_PS = PS_PER_MS, 5 * PS_PER_MS
"""How much longer than the longest latency is watched before a change, and after it."""

WINDOWS_HIGHEST = 100_000

LATENCIES = 4
"""So many streams and demands have their latencies summed up over time, unless some are named."""


class Played(NamedTuple):
    """A replay with what it stands on."""

    scenario: Scenario
    plan: Plan
    calm: Result
    """The network before anything happens."""
    replay: Replay

    def __repr__(self) -> str:
        made = self.replay
        what = f"events: {len(made.events)}, windows: {len(made.windows)}"
        return f"<Replay: {made.outcome.upper()}  {made.title}; {what}>"


def replay(
    scenario: Scenario | Given,
    *,
    title: str | None = None,
    until: str | None = None,
    before: str | None = None,
    after: str | None = None,
    emulate: Tier | None = None,
    sample: int | None = None,
    latency: Sequence[str] = (),
    folder: Path | str | None = None,
    resume: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    say: api.Say | None = None,
) -> Played:
    """Replay the events of a scenario, however far apart, and say which promises held how long.

    `scenario` is one, or what `load` takes. `title` says what is replayed, by default the title of
    the timeline whose name is given, or of the traffic.

    Before the first event the network must keep its promises, over the scenario's own duration.
    Around every change all frames are simulated, from `before` it to `after` it: by default 1 ms
    and 5 ms more than the longest latency. In between nothing changes, and what is sent is counted.
    `until` is the end, by default that of the last window. With `emulate` a `sample` of the frames
    of each window goes through real switches as well. The latencies of the streams and demands
    `latency` are summed up over time, by default of a few that events touch most. With a `folder`
    each window is kept there when it is done, and `resume` goes on with those that are: the answer
    is the same to the byte. Raises ArgumentError, InputError, Infeasible and Cancelled.
    """
    times = times_of(until=until, before=before, after=after)
    _check_pairs(sample=(sample, "emulate", emulate), resume=(resume or None, "folder", folder))
    if not isinstance(scenario, Scenario):
        if title is None and isinstance(scenario, str):
            title = title_of(scenario, None)
        scenario = api.load(scenario)
    api.check_emulated(scenario, emulate)
    _check_names(scenario, latency)
    scenario = drawn(scenario, times["until"])
    events = scenario.profile.events
    if not events:
        words = "nothing happens in this scenario; 'events:' or '--events FILE' say what does"
        raise ArgumentError([Problem("events", 0, 0, "", words)])
    still = before_events(scenario)
    calm = api.run(still, threads=threads, progress=progress, say=say)
    if calm.outcome == "fail":
        why = "; ".join(calm.reasons[:3])
        words = f"the network breaks its promises before anything happens: {why}"
        raise ArgumentError([Problem("events", 0, 0, "", words)])
    ends = [one.at_ps for one in events]
    ends += [one.until_ps for one in outages_of(scenario.topology, events)[0]]
    ends += [one.end_ps for one in events if changes_what_lasts(one)]
    changed = settings_of(scenario.topology, events)
    ends += [one.until_ps for spans in changed.values() for one in spans]
    before_ps, after_ps = _margins(times, _settle_ps(scenario, calm.plan, calm.proof))
    until_ps = times["until"]
    last_ps = max(one for one in ends if one < FOREVER_PS)
    horizon_ps = FOREVER_PS if until_ps is None else until_ps
    plan = with_reactions(scenario.topology, scenario.profile, calm.plan, horizon_ps)
    before_ps, after_ps = _margins(times, _settle_ps(scenario, plan, calm.proof))
    if until_ps is None:
        horizon_ps = max([last_ps, *(one.at_ps for one in plan.moves)]) + after_ps
    table = Timetable(scenario.topology, scenario.profile, plan, horizon_ps)
    period = period_ps(scenario.profile, plan)
    windows = cut_time(_watched(table), before_ps, after_ps, period, horizon_ps)
    _check_lengths(windows, times)
    chosen = tuple(latency) or most_touched(table, LATENCIES)
    how = _How(emulate, sample, chosen, threads, progress, say)
    keeper = _Keeper(folder, resume)
    with keeper.telling():
        made = outcome_of(table, list(_play(scenario, table, windows, keeper, how)))
    return Played(scenario, plan, calm, made if title is None else made.replace(title=title))


def times_of(**given: str | None) -> Mapping[str, int | None]:
    """Read times; raises ArgumentError with all that are none."""
    times: dict[str, int | None] = {}
    problems = []
    for name, text in given.items():
        try:
            times[name] = None if text is None else parse(INSTANT, text)
        except UnitError as error:
            problems.append(Problem(name, 0, 0, "", str(error)))
    if times.get("until") == 0:
        problems.append(Problem("until", 0, 0, "", "0 is no time; write it like '1h'"))
    if problems:
        raise ArgumentError(problems)
    return times


def _check_pairs(**given: tuple[object, str, object]) -> None:
    """Refuse what goes with something that is not given; all at once."""
    problems = [
        Problem(name, 0, 0, "", f"goes with '{other}'")
        for name, (own, other, its) in given.items()
        if own is not None and its is None
    ]
    if problems:
        raise ArgumentError(problems)


def _check_lengths(windows: Sequence[Window], times: Mapping[str, int | None]) -> None:
    """Refuse windows that are longer than a run may be."""
    longest = max(windows, key=lambda one: one.until_ps - one.from_ps)
    if longest.until_ps - longest.from_ps > DURATION_PS_HIGHEST:
        given = [name for name in ("after", "before") if times[name] is not None]
        span = f"{show_time(longest.from_ps)} to {show_time(longest.until_ps)}"
        most = show_time(DURATION_PS_HIGHEST)
        words = f"every frame from {span} is to be watched; a run is {most} long at most"
        raise ArgumentError([Problem((*given, "events")[0], 0, 0, "", words)])


def _margins(times: Mapping[str, int | None], settle_ps: int) -> tuple[int, int]:
    """Return how long is watched before a change and after it: as asked, or until all has come."""
    before_ps, after_ps = times["before"], times["after"]
    return (
        settle_ps + LEAD_PS if before_ps is None else before_ps,
        settle_ps + TAIL_PS if after_ps is None else after_ps,
    )


def _check_names(scenario: Scenario, names: Sequence[str]) -> None:
    """Refuse what is the name of no stream and no demand; all at once."""
    asked: list[Stream | Demand] = [*scenario.profile.every_stream, *scenario.profile.demands]
    known = [one.name for one in asked]
    words = "no stream or demand of that name"
    problems = [
        Problem("latency", 0, 0, name, words + guess(name, known))
        for name in dict.fromkeys(names)
        if name not in known
    ]
    if problems:
        raise ArgumentError(problems)


def drawn(scenario: Scenario, until_ps: int | None) -> Scenario:
    """Return the scenario with the events of random processes to the end of the replay as plain."""
    profile = scenario.profile
    if not profile.processes:
        return scenario
    if until_ps is None:
        words = "random processes have no last event; give 'until'"
        raise ArgumentError([Problem("until", 0, 0, "", words)])
    names = {one.called for one in profile.processes}
    given = [one for one in profile.events if one.process not in names]
    drawn = expand(
        scenario.topology, profile.processes, profile.simulation.seed, until_ps, profile.epoch
    )
    return replace(scenario, profile=profile.replace(events=(*given, *drawn), processes=()))


def before_events(scenario: Scenario) -> Scenario:
    """Return the scenario before anything happens."""
    return replace(scenario, profile=scenario.profile.replace(events=()), events_origin=None)


def _settle_ps(scenario: Scenario, plan: Plan, proof: Proof) -> int:
    """Return how long frames are under way at most, as far as is known: also over other fibre."""
    own_ps = {port.name: port.propagation_ps for port in scenario.topology.ports}
    most_ps = dict(own_ps)
    events = scenario.profile.events
    changed = settings_of(scenario.topology, events)
    for port in scenario.topology.ports:
        for one in changed.get((Wire(port.link, port.member), "fibre"), ()):
            most_ps[port.name] = max(most_ps[port.name], events[one.event].fibre_ps or 0)
    moved = [one.entry for one in plan.moves]
    entries: list[Entry] = [*plan.streams, *plan.standby, *plan.demands, *moved]
    ways = [way for one in entries for way in one.routes]
    fibre = [sum(own_ps[name] for name in way) for way in ways]
    more = [sum(most_ps[name] - own_ps[name] for name in way) for way in ways]
    known = [one.latency_ps_max for one in proof.streams if one.latency_ps_max is not None]
    return max([*known, *fibre, 0]) + max(more, default=0)


def _watched(table: Timetable) -> Sequence[int]:
    """Return the changes around which frames are watched.

    Of the moves that one event makes necessary the first and the last: what is in between changes
    one stream after the other in the same way.
    """
    moves: dict[str, list[int]] = {}
    for move in table.plan.moves:
        moves.setdefault(move.cause, []).append(move.at_ps)
    at = {time for times in moves.values() for time in (min(times), max(times))}
    at |= set(table.changes_ps) - {one.at_ps for one in table.plan.moves}
    if len(at) > WINDOWS_HIGHEST:
        words = f"{len(at):,} changes; at most {WINDOWS_HIGHEST:,} are watched"
        raise ArgumentError([Problem("events", 0, 0, "", words)])
    return sorted(at)


class _How(NamedTuple):
    """How windows are run."""

    emulate: Tier | None
    sample: int | None
    latency: Sequence[str]
    threads: int | None
    progress: Progress | None
    say: api.Say | None


def _play(
    scenario: Scenario,
    table: Timetable,
    windows: Sequence[Window],
    keeper: _Keeper,
    how: _How,
) -> Iterable[WindowAccount]:
    """Run every window that is not done yet, in order."""
    for window in windows:
        case = case_of(table, window)
        local = replace(scenario, profile=case.profile, profile_origin=None, events_origin=None)
        key = _key(local, case, how)
        done = keeper.done.get(key)
        if done is None:
            if how.say is not None:
                span = f"{show_time(window.from_ps)} to {show_time(window.until_ps)}"
                how.say(f"window {window.number + 1} of {len(windows)}: {span}")
            done = _run(key, window, case, local, how)
            keeper.keep(done)
        yield done


def _run(key: str, window: Window, case: Case, local: Scenario, how: _How) -> WindowAccount:
    """Prove, simulate, emulate if asked, and judge a window."""
    proof = api.prove(local, case.plan, progress=how.progress)
    seen = api.observe(
        local, case.plan, threads=how.threads, latencies=how.latency, progress=how.progress
    )
    real = None
    if how.emulate is not None:
        real = api.play(
            local, case.plan, proof, seen, tier=how.emulate, sample=how.sample,
            progress=how.progress, say=how.say,
        )  # fmt: skip
    verdict = api.judge(local, case.plan, proof, seen, real, progress=how.progress)
    return account_of(key, window, case, seen, verdict, real)


def _key(local: Scenario, case: Case, how: _How) -> str:
    """Return the hash of all that a window's account follows from."""
    asked = json.dumps([case.events, how.emulate, how.sample, how.latency])
    parts = [__version__, local.identity, to_json(case.plan), asked]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class _Keeper:
    """The windows that are done, in a file that grows by a line each."""

    def __init__(self, folder: Path | str | None, resume: bool) -> None:
        self.done: dict[str, WindowAccount] = {}
        self._path = None if folder is None else Path(folder) / KEPT
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if resume and self._path.exists():
                self._read(self._path)
            else:
                self._path.write_bytes(b"")
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _read(self, path: Path) -> None:
        """Read what is whole; a line that was being written when the process was killed is not."""
        whole = b""
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                account = WindowAccount.model_validate_json(line)
            except ValidationError:
                break
            if not line.endswith(b"\n"):
                break
            self.done[account.key] = account
            whole += line
        path.write_bytes(whole)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Say with what ends a replay how to go on from the windows that are done."""
        try:
            yield
        except KeyboardInterrupt as error:
            if self._path is not None:
                kept = f"{len(self.done)} of the windows" if self.done else "no window"
                error.add_note(f"{self._path} has {kept}; '--resume' goes on")
            raise

    def keep(self, account: WindowAccount) -> None:
        """Write an account down before the next window begins."""
        self.done[account.key] = account
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                file.write(account.model_dump_json().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self._path, error) from error


def _unwritable(path: Path, error: OSError) -> EnvironmentMissing:
    reason = (error.strerror or str(error)).lower()
    return EnvironmentMissing(f"{path} cannot be written: {reason}")
