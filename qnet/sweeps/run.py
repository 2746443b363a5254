"""A sweep from the question to its sums: cases, shards, a journal, and who does the work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import ValidationError

from qnet import __version__, api
from qnet.check.plan import prove_kept
from qnet.errors import ArgumentError, EnvironmentMissing, InputError, Problem
from qnet.files.read import Given
from qnet.model.plan import Plan
from qnet.model.scenario import Scenario, read_duration
from qnet.model.sweep import (
    KINDS_OF_FAILURE,
    SHARD,
    CaseResult,
    Depth,
    Failure,
    FailureOf,
    Shard,
    Sweep,
    SweepCase,
)
from qnet.model.topology import Topology
from qnet.progress import Heeded, Progress
from qnet.sweeps.cluster import Security, in_cluster
from qnet.sweeps.failures import FailureList, double_failures, single_failures
from qnet.sweeps.look import Work, key_of, look, plan_variant
from qnet.sweeps.pool import Died, in_processes
from qnet.sweeps.sums import summed
from qnet.units import PPB, RATIO, WHOLE_HIGHEST, UnitError, parse

DURATION = "5ms"

Item = TypeVar("Item")


class _Variant(NamedTuple):
    """A scenario with one combination of settings, and one seed."""

    settings: tuple[tuple[str, str], ...]
    scenario: Scenario


class _Hands(NamedTuple):
    """Who does the work."""

    processes: int
    cluster: str | None
    security: Security | None

    def work(
        self,
        function: Callable[[Any, Any], object],
        work: Work,
        items: Sequence[object],
        heeded: Heeded,
    ) -> Generator[tuple[int, object], None, None]:
        """Yield the place of each item and its answer, as they come; closed, it leaves nobody."""
        if not items:
            return
        if self.cluster is not None:
            yield from in_cluster(function, work, items, self.cluster, self.security, heeded)
        elif self.processes == 1 and len(items) == 1:
            yield 0, function(work, items[0])
        else:
            yield from in_processes(function, work, items, self.processes, heeded)


def sweep(
    scenario: Scenario | Given,
    *,
    topology: Given | Topology | None = None,
    settings: Mapping[str, object | Sequence[object]] | None = None,
    seeds: Sequence[int] | None = None,
    fail: Sequence[FailureOf] = KINDS_OF_FAILURE,
    doubles: str | float | None = None,
    depth: Depth = "planned",
    duration: str = DURATION,
    plan: Plan | None = None,
    processes: int | None = None,
    cluster: str | None = None,
    security: Security | None = None,
    shard: str | None = None,
    journal: Path | str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Look at every failure of some kinds, for every setting and seed: as planned, and anew.

    `settings` has a value or a list of values for each parameter of the traffic file; `doubles` is
    the share of the time that pairs of failures may leave out ('0.01%'). Each case is looked at by
    linear programs (`lp`), by a plan and its proof (`planned`), or besides in a run of `duration`
    in the middle of which it fails (`simulated`). Events of the scenario play no part.

    `shard` is 'i/n'; `journal` is a file that finished cases are appended to, and that a sweep of
    the same question goes on from. `cluster` is the address of a Dask scheduler. Raises
    ArgumentError, InputError, Infeasible, EnvironmentMissing and Cancelled.
    """
    heeded = Heeded(progress, "sweep: cases")
    _check_choices(depth, seeds)
    duration_ps = _duration_ps(duration)
    variants = _variants(scenario, topology, settings or {}, seeds)
    variants = [_prepared(one, duration if depth == "simulated" else None) for one in variants]
    singles, pairs = _failures(variants[0].scenario.topology, fail, doubles)
    failures = (Failure(), *singles.failures, *pairs.failures)
    part = None if shard is None else _shard(shard)
    identity = _identity(variants, failures, depth, duration_ps, plan)
    cases = [
        SweepCase(
            number=number, variant=of, settings=one.settings, seed=_seed(one), failure=failure
        )
        for number, ((of, one), failure) in enumerate(product(enumerate(variants), failures))
    ]
    mine = [one for one in cases if part is None or one.number % part.count == part.index - 1]
    hands = _Hands(processes or _cores(), cluster, security)
    kept = _Journal(journal, identity)
    todo = [one for one in mine if key_of(identity, one) not in kept.found]
    scenarios = tuple(one.scenario for one in variants)
    work = Work(identity, depth, duration_ps, scenarios, tuple([plan] * len(variants)))
    if depth != "lp" and plan is None:
        work = _planned(work, sorted({one.variant for one in todo}), hands, heeded)
    elif plan is not None:
        _check_plan(work)
    results = {one.case.number: one for one in kept.of(mine)}
    with kept.telling(), closing(_looked_at(work, todo, hands, heeded)) as looked_at:
        for result in looked_at:
            results[result.case.number] = result
            kept.add(result)
    first = variants[0].scenario
    made = Sweep(
        qnet_version=__version__,
        title=first.profile.title,
        identity=identity,
        depth=depth,
        duration_ps=duration_ps if depth == "simulated" else None,
        failures=tuple(one for one in KINDS_OF_FAILURE if one in fail),
        names=singles.names,
        distinct=len(singles.failures),
        unlisted_ppt=pairs.unlisted_ppt,
        cases=len(cases),
        shard=part,
        results=tuple(results[one.number] for one in mine),
        required=tuple((one.site, one.rate_bps) for one in first.profile.egress),
    )
    return summed(made)


def merge(sweeps: Sequence[Sweep]) -> Sweep:
    """Put the shards of one sweep together: to the byte what it would have been in one piece.

    Raises InputError where they are of different sweeps, or cases are missing.
    """
    if not sweeps:
        raise ArgumentError([Problem("sweeps", 0, 0, "", "nothing to merge")])
    first = sweeps[0]
    found: dict[int, CaseResult] = {}
    problems = []
    for one in sweeps:
        where = "the sweep" if one.shard is None else f"shard {one.shard}"
        if one.identity != first.identity:
            problems.append(Problem(where, 0, 0, "", "is of another sweep than the first one"))
            continue
        for result in one.results:
            known = found.setdefault(result.case.number, result)
            if known != result:
                words = f"case {result.case.number} is answered in two ways"
                problems.append(Problem(where, 0, 0, "", words))
    missing = [number for number in range(first.cases) if number not in found]
    if missing and not problems:
        some = ", ".join(map(str, missing[:5])) + (" ..." if len(missing) > 5 else "")
        words = f"{len(missing)} of {first.cases} cases are missing: {some}; give all shards"
        problems.append(Problem("merge", 0, 0, "", words))
    if problems:
        raise InputError(problems)
    results = tuple(found[number] for number in range(first.cases))
    return summed(first.replace(shard=None, results=results))


# What is asked


def _check_choices(depth: str, seeds: Sequence[int] | None) -> None:
    """Refuse a depth that there is not, and a list of seeds without one; both at once."""
    problems = []
    if depth not in get_args(Depth):
        words = f"'{depth}' is no depth; there are {', '.join(get_args(Depth))}"
        problems.append(Problem("depth", 0, 0, "", words))
    if seeds is not None and not seeds:
        problems.append(Problem("seeds", 0, 0, "", "no seed; leave it out for the scenario's own"))
    if problems:
        raise ArgumentError(problems)


def _variants(
    scenario: Scenario | Given,
    topology: Given | Topology | None,
    settings: Mapping[str, object | Sequence[object]],
    seeds: Sequence[int] | None,
) -> list[_Variant]:
    """Return a scenario for each combination of settings and seed, the seeds of one together."""
    made = []
    if isinstance(scenario, Scenario):
        if topology is not None or settings:
            name = "topology" if topology is not None else "settings"
            words = "goes with what is still to be read; a scenario has its own"
            raise ArgumentError([Problem(name, 0, 0, "", words)])
        made = [_Variant((), scenario)]
    else:
        lists = {
            name: value if isinstance(value, list | tuple) else [value]
            for name, value in settings.items()
        }
        for values in product(*lists.values()):
            chosen = dict(zip(lists, values, strict=True))
            read = api.load(scenario, topology=topology, settings=chosen)
            shown = tuple((name, str(value)) for name, value in chosen.items())
            made.append(_Variant(shown, read))
    for seed in seeds or ():
        if not 0 <= seed <= WHOLE_HIGHEST:
            words = f"{seed} is no seed; a whole number from 0 to {WHOLE_HIGHEST:,}"
            raise ArgumentError([Problem("seeds", 0, 0, "", words)])
    if seeds:
        made = [
            one._replace(scenario=one.scenario.with_(seed=seed)) for one in made for seed in seeds
        ]
    return made


def _prepared(variant: _Variant, duration: str | None) -> _Variant:
    """Leave out the events, and give what is simulated its duration."""
    events = () if variant.scenario.profile.events else None
    if events is None and duration is None:
        return variant
    return variant._replace(scenario=variant.scenario.with_(duration=duration, events=events))


def _seed(variant: _Variant) -> int:
    return variant.scenario.profile.simulation.seed


def _failures(
    topology: Topology, fail: Sequence[FailureOf], doubles: str | float | None
) -> tuple[FailureList, FailureList]:
    unknown = [kind for kind in fail if kind not in KINDS_OF_FAILURE]
    if unknown:
        known = ", ".join(KINDS_OF_FAILURE)
        raise ArgumentError(
            Problem("fail", 0, 0, kind, f"is nothing that fails; there are {known}")
            for kind in unknown
        )
    singles = single_failures(topology, fail)
    if doubles is None:
        return singles, FailureList((), 0)
    return singles, double_failures(topology, _share(doubles))


def _share(given: str | float) -> float:
    if isinstance(given, float) and 0 < given < 1:
        return given
    try:
        share_ppb = parse(RATIO, given)
    except UnitError as error:
        raise ArgumentError([Problem("doubles", 0, 0, "", str(error))]) from None
    if share_ppb == 0:
        words = "0 is never reached; a share of the time like '0.01%'"
        raise ArgumentError([Problem("doubles", 0, 0, "", words)])
    return share_ppb / PPB


def _duration_ps(text: str) -> int:
    try:
        return read_duration(text)
    except UnitError as error:
        raise ArgumentError([Problem("duration", 0, 0, "", str(error))]) from None


def _shard(text: str) -> Shard:
    found = SHARD.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        words = f"'{text}' is no shard; the second of four is '2/4'"
        raise ArgumentError([Problem("shard", 0, 0, "", words)])
    return Shard(index=int(found[1]), count=int(found[2]))


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _identity(
    variants: Sequence[_Variant],
    failures: Sequence[Failure],
    depth: Depth,
    duration_ps: int,
    plan: Plan | None,
) -> str:
    """Hash all that the answers follow from."""
    asked = {
        "version": __version__,
        "variants": [(one.settings, one.scenario.identity) for one in variants],
        "files": [(one.scenario.topology_sha256, one.scenario.traffic_sha256) for one in variants],
        "failures": [one.model_dump(mode="json") for one in failures],
        "depth": depth,
        "duration_ps": duration_ps if depth == "simulated" else None,
        "plan": None if plan is None else plan.model_dump_json(),
    }
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


# Who answers


def _planned(work: Work, numbers: Sequence[int], hands: _Hands, heeded: Heeded) -> Work:
    """Plan the variants that cases are to be looked at of, side by side where there are several."""
    heeded.stage("sweep: plans")
    plans: list[Plan | None] = [None] * len(work.scenarios)
    if len(numbers) == 1:
        plans[numbers[0]] = plan_variant(work, numbers[0])
    else:
        for place, found in hands.work(plan_variant, work, numbers, heeded):
            if isinstance(found, Died):
                raise EnvironmentMissing(f"the plan of variant {numbers[place]} {found.reason}")
            assert isinstance(found, Plan)
            plans[numbers[place]] = found
    return work._replace(plans=tuple(plans))


def _check_plan(work: Work) -> None:
    """Refuse a plan that the streams of the scenario cannot keep."""
    for scenario, plan in zip(work.scenarios, work.plans, strict=True):
        assert plan is not None, "it was given"
        api.check_fits(api.prove(scenario, plan), "plan")
        findings = prove_kept(scenario.topology, scenario.profile, plan)
        if findings:
            raise InputError(Problem("plan", 0, 0, one.subject, one.message) for one in findings)


def _looked_at(
    work: Work, cases: Sequence[SweepCase], hands: _Hands, heeded: Heeded
) -> Generator[CaseResult, None, None]:
    """Yield the answers of cases, as they come."""
    heeded.stage("sweep: cases")
    with closing(hands.work(look, work, cases, heeded)) as answers:
        for done, (place, found) in enumerate(answers):
            heeded.step(done + 1, len(cases))
            case = cases[place]
            if isinstance(found, Died):
                key = key_of(work.identity, case)
                yield CaseResult(key=key, case=case, outcome="killed", reason=found.reason)
            else:
                assert isinstance(found, CaseResult)
                yield found


class _Journal:
    """A file that finished cases are appended to, a line each."""

    def __init__(self, path: Path | str | None, identity: str) -> None:
        self._path = None if path is None else Path(path)
        self.found: dict[str, CaseResult] = {}
        if self._path is not None:
            self._read(self._path, identity)

    def _read(self, path: Path, identity: str) -> None:
        """Read what is whole; what a kill left of a last line is taken away."""
        head = json.dumps({"sweep": identity}).encode() + b"\n"
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            # A file of something else is left as it is; its first line is refused below.
            if lines and head.startswith(lines[0]) and not lines[-1].endswith(b"\n"):
                os.truncate(path, sum(map(len, lines[:-1])))
                lines.pop()
            if not lines:
                with path.open("ab") as file:
                    file.write(head)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise EnvironmentMissing(f"{path} cannot be written: {reason}") from error
        for number, line in enumerate(lines, 1):
            try:
                if number == 1:
                    if json.loads(line) != {"sweep": identity}:
                        words = "is the journal of another sweep; give another file"
                        raise InputError([Problem(str(path), 1, 1, "", words)])
                    continue
                one = CaseResult.model_validate_json(line)
            except (ValidationError, ValueError) as error:
                words = f"is no line of a sweep's journal: {str(error).splitlines()[0]}"
                raise InputError([Problem(str(path), number, 1, "", words)]) from None
            self.found[one.key] = one

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Say with what ends a sweep how to go on from the cases that are finished."""
        try:
            yield
        except KeyboardInterrupt as error:
            if self._path is not None:
                words = f"{self._path} has {len(self.found)} cases; the same command goes on"
                error.add_note(words)
            raise

    def of(self, cases: Sequence[SweepCase]) -> Iterator[CaseResult]:
        """Yield what it has of some cases."""
        keys = {one.key: one for one in self.found.values()}
        numbers = {one.number for one in cases}
        yield from (one for one in keys.values() if one.case.number in numbers)

    def add(self, result: CaseResult) -> None:
        """Append an answer; what has none is tried again by the next sweep."""
        if self._path is None or result.outcome in ("killed", "error"):
            return
        try:
            with self._path.open("ab") as file:
                file.write(result.model_dump_json().encode() + b"\n")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            words = f"it has {len(self.found)} cases, and the same command goes on from there"
            raise EnvironmentMissing(
                f"{self._path} cannot be written: {reason}; {words}"
            ) from error
        self.found[result.key] = result
