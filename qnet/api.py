"""The way from files to an answer: load, plan, prove, observe, play, judge. `import qnet` has it.

    case = qnet.load("qingyang", classes="reserved")
    result = qnet.run(case, duration="5ms")
    assert result.passed, result.reasons

Each stage is a function from frozen data to frozen data, and one room's work; `run` goes through
all of them, as the command line does. All are quiet: a `progress` hears how far they are and can
end them, `say` hears what is worth a line. Rooms are imported when they are asked: compiled code
alone takes half a second to load.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from qnet.errors import ArgumentError, InputError, Problem
from qnet.units import PS_PER_S, TIME, UnitError, ceil_div, parse, show_size

if TYPE_CHECKING:
    from qnet.emulate.tiers.tier import Cut
    from qnet.files.read import Given
    from qnet.model.emulation import Emulation, Tier
    from qnet.model.journey import Journey
    from qnet.model.observation import Observation
    from qnet.model.plan import Plan
    from qnet.model.proof import Proof
    from qnet.model.scenario import Scenario
    from qnet.model.timeline import Event, Timeline
    from qnet.model.topology import Topology
    from qnet.model.traffic import Profile
    from qnet.model.verdict import Verdict
    from qnet.progress import Progress
    from qnet.result import Result
    from qnet.schedule.repair.search import Search
    from qnet.simulate.checkpoint import Checkpoint as Checkpoint  # noqa: PLC0414 (for callers)
    from qnet.simulate.explain import Which
    from qnet.simulate.run import Extent

Say = Callable[[str], None]
"""Hears a line about a run: how large it will be, what took how long on the wall."""

LONG_S, LARGE_BYTES = 60, 10**9
"""A run that may take more than this of a core, or of memory for its clocks, is announced."""

TRACE_FRAMES = 100_000


def load(
    traffic: Given | Profile,
    *,
    topology: Given | Topology | None = None,
    settings: Mapping[str, object] | None = None,
    events: Given | Timeline | None = None,
    **parameters: object,
) -> Scenario:
    """Read a scenario: traffic, and the network that it names or another one.

    `traffic` and `topology` are names of bundled files ('qingyang'), paths of YAML files, mappings
    that say what such files would, or nouns; `events` is a file of events of their own, which
    follow those of the traffic file. Parameters of the traffic file are replaced by keyword
    (`classes="reserved"`), or by `settings` where a name is none of Python's. Raises InputError
    with all that is wrong.
    """
    from qnet.files.read import load as read

    texts = {name: str(value) for name, value in {**(settings or {}), **parameters}.items()}
    return read(traffic, topology=topology, settings=texts, events=events)


def plan(
    scenario: Scenario,
    *,
    rounds: int | None = None,
    budget: str | None = None,
    keep: Plan | Path | str | None = None,
    fail: Sequence[str] = (),
    progress: Progress | None = None,
) -> Plan:
    """Reserve, route and place: every stream and demand gets its place or a reason.

    With `rounds`, or a time as `budget` ('10s'), it is searched for room for more reserved streams.
    Streams of the plan `keep` stay where they are; nothing uses the links and cables that `fail`
    names. Raises ArgumentError, Infeasible and Cancelled.
    """
    from qnet.layers import hooks
    from qnet.schedule.run import schedule

    search = _search(scenario, budget, rounds)
    made = schedule(
        scenario.topology,
        scenario.profile,
        topology_sha256=scenario.topology_sha256,
        traffic_sha256=scenario.traffic_sha256,
        progress=progress,
        search=search,
        keep=None if keep is None else _to_keep(scenario, keep),
        down=_ports_down(scenario, fail),
    )
    return hooks.plan(scenario.topology, scenario.profile, made)


_make_plan = plan
"""Where an argument has its name."""


def prove(scenario: Scenario, plan: Plan, *, progress: Progress | None = None) -> Proof:
    """Have the checker judge a plan, whoever made it: exact worst cases, every broken rule."""
    from qnet.check.plan import prove as check
    from qnet.layers import hooks

    proof = check(scenario.topology, scenario.profile, plan, progress)
    return hooks.prove(scenario.topology, scenario.profile, plan, proof)


def observe(
    scenario: Scenario,
    plan: Plan,
    *,
    threads: int | None = None,
    at_most: int | None = None,
    checkpoint: Checkpoint | None = None,
    trace: Path | None = None,
    trace_frames: int = TRACE_FRAMES,
    latencies: Sequence[str] = (),
    progress: Progress | None = None,
    say: Say | None = None,
) -> Observation:
    """Simulate a plan, frame by frame, broken or not.

    The same plan and seed give the same observation at any number of `threads`. A run of more than
    `at_most` frame-hops is not begun; one that will take long is announced to `say`. The first
    `trace_frames` are written to the file `trace`; or, without one and without a checkpoint, those
    of the streams and demands `latencies` are summed up over time. Raises ArgumentError,
    Interrupted (with a `checkpoint`) and Cancelled.
    """
    from qnet.layers import hooks
    from qnet.report.trace import write_trace
    from qnet.simulate.run import simulate
    from qnet.simulate.tracing import LatencyRecorder, Recorder
    from qnet.simulate.years import drawn_availability

    topology, profile = scenario.topology, scenario.profile
    if latencies and (trace is not None or checkpoint is not None):
        words = "go without a trace and without a checkpoint"
        raise ArgumentError([Problem("latencies", 0, 0, "", words)])
    recorder = None if trace is None else Recorder(trace_frames)
    latency = LatencyRecorder(latencies) if latencies else None
    observation = simulate(
        topology,
        profile,
        plan,
        threads=threads,
        progress=progress,
        checkpoint=checkpoint,
        recorder=latency if latency is not None else recorder,
        announce=lambda extent: announce(extent, at_most, say),
    )
    if latency is not None:
        observation = observation.replace(latencies=latency.series())
    if trace is not None and recorder is not None:
        write_trace(trace, topology, profile, plan, recorder.recording())
    seen = hooks.observe(topology, profile, plan, observation)
    drawn = drawn_availability(topology, profile, plan, progress)
    return seen.replace(figures=(*seen.figures, *drawn)) if drawn else seen


def checkpoint(
    path: Path | str,
    *,
    every: str | None = None,
    resume: bool = False,
    asked: Callable[[], bool] = lambda: False,
    failed: Say = lambda _: None,
) -> Checkpoint:
    """Say where `observe` keeps a run, and how often: `every` is network time ('5ms').

    With `resume` it goes on from there. When `asked` says so, the run is kept and ends with
    Interrupted; `failed` hears why the file could not be written. Raises ArgumentError.
    """
    from qnet.simulate.checkpoint import Checkpoint

    every_ps = None
    if every is not None:
        try:
            every_ps = parse(TIME, every)
        except UnitError as error:
            raise ArgumentError([Problem("every", 0, 0, "", str(error))]) from None
        if every_ps == 0:
            words = "0 is no time; write it like '5ms'"
            raise ArgumentError([Problem("every", 0, 0, "", words)])
    return Checkpoint(Path(path), every_ps, resume, asked, failed)


def play(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    observation: Observation,
    *,
    tier: Tier = "lockstep",
    sample: int | None = None,
    cut: Sequence[str] = (),
    progress: Progress | None = None,
    say: Say | None = None,
    **how: Any,
) -> Emulation:
    """Send a sample of the frames through real switches, beside what was proven and simulated.

    `sample` is about how many frames are real, and in tier mininet how many streams and demands.
    Wires go down where `cut` says, as in 'a->b@10ms'. `how` are further fields of
    `qnet.emulate.tiers.tier.Options`. Raises EnvironmentMissing where the machine lacks what the
    tier needs, ArgumentError, Cancelled.
    """
    from qnet.emulate.tiers.tier import Asked, Options, tier_of
    from qnet.layers import hooks

    if tier == "mininet" and how.get("controller") is not None:
        check_no_events(scenario)
    cuts = tuple(one for text in cut for one in _cuts(scenario, text))
    asked = Asked(scenario.topology, scenario.profile, plan, proof, observation)
    made = tier_of(tier).emulate(asked, Options(sample, cuts=cuts, **how), progress, say)
    seen = hooks.observe(scenario.topology, scenario.profile, plan, made.observation)
    return made if seen is made.observation else made.replace(observation=seen)


def excluded(scenario: Scenario, plan: Plan | None = None) -> list[str]:
    """Say what of all that is promised arithmetic excludes: by a plan, or without one by any."""
    from qnet.check.excluded import excluded_always, excluded_by_plan

    if plan is None:
        return excluded_always(scenario.topology, scenario.profile)
    return excluded_by_plan(scenario.topology, scenario.profile, plan)


def judge(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    observation: Observation | None = None,
    emulation: Emulation | None = None,
    *,
    progress: Progress | None = None,
) -> Verdict:
    """Weigh every promise on the proof and on what was seen."""
    from qnet.check.verdict import judge as weigh
    from qnet.layers import hooks

    topology, profile = scenario.topology, scenario.profile
    seen = [] if observation is None else [observation]
    asked = hooks.require(topology, profile, plan)
    return weigh(topology, profile, plan, proof, seen, emulation, progress, asked)


def run(
    scenario: Scenario | Given,
    *,
    topology: Given | Topology | None = None,
    settings: Mapping[str, object] | None = None,
    seed: int | None = None,
    duration: str | None = None,
    scale: float | str | Fraction | Decimal | None = None,
    events: Sequence[Event] | None = None,
    plan: Plan | None = None,
    rounds: int | None = None,
    budget: str | None = None,
    simulate: bool = True,
    threads: int | None = None,
    at_most: int | None = None,
    emulate: Tier | None = None,
    sample: int | None = None,
    cut: Sequence[str] = (),
    progress: Progress | None = None,
    say: Say | None = None,
) -> Result:
    """Answer for a scenario: plan, prove, simulate, emulate if asked, judge.

    `scenario` is one, or what `load` takes, with `topology` and `settings`; `seed`, `duration`,
    `scale` and `events` change it as `Scenario.with_` does. A `plan` that was made before is not
    made again. Nothing is written anywhere: `Result.save` does that. Arguments are those of the
    stages.
    """
    from qnet.model.scenario import Scenario

    if not isinstance(scenario, Scenario):
        scenario = load(scenario, topology=topology, settings=settings)
    elif topology is not None or settings is not None:
        words = "goes with what is still to be read; a scenario has its own"
        name = "topology" if topology is not None else "settings"
        raise ArgumentError([Problem(name, 0, 0, "", words)])
    if emulate is not None and not simulate:
        words = "what is emulated is compared with the simulation; leave it on"
        raise ArgumentError([Problem("simulate", 0, 0, "", words)])
    scenario = scenario.with_(seed=seed, duration=duration, scale=scale, events=events)
    check_emulated(scenario, emulate, cut)
    made = plan or _make_plan(scenario, rounds=rounds, budget=budget, progress=progress)
    proof = prove(scenario, made, progress=progress)
    if plan is not None:
        check_fits(proof, "plan")
    seen = real = None
    if simulate:
        seen = observe(scenario, made, threads=threads, at_most=at_most, progress=progress, say=say)
    if emulate is not None and seen is not None:
        how: dict[str, Any] = {"tier": emulate, "sample": sample, "cut": cut}
        real = play(scenario, made, proof, seen, progress=progress, say=say, **how)
    return answer(scenario, made, proof, seen, real, progress=progress)


def answer(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    observation: Observation | None = None,
    emulation: Emulation | None = None,
    *,
    progress: Progress | None = None,
) -> Result:
    """Judge, and put everything together."""
    from qnet.result import Result

    verdict = judge(scenario, plan, proof, observation, emulation, progress=progress)
    return Result(scenario, plan, proof, verdict, observation, emulation)


def explain(
    what: Result | Path | str,
    stream: str,
    frame: str | int = "worst",
    *,
    progress: Progress | None = None,
    say: Say | None = None,
) -> tuple[Journey, ...]:
    """Tell where a frame of a stream or demand waited, hop by hop, every picosecond accounted for.

    `what` is a result with an observation, or the folder of one that was saved; `say` hears what
    has changed since then. `frame` is 'worst', 'best', 'lost' (the first), or a number from 1. The
    run is played again up to the frame; one over two paths may have two journeys.
    """
    from qnet.files.run_folder import read_run
    from qnet.result import Result
    from qnet.simulate.explain import TracedRun
    from qnet.simulate.explain import explain as replay

    which = _which(frame)
    if isinstance(what, Result):
        scenario, plan, observation = what.scenario, what.plan, what.observation
        proof = what.proof
        check_fits(proof, "plan")
    else:
        saved = read_run(Path(what))
        scenario, plan, observation = saved.scenario, saved.plan, saved.observation
        if say is not None:
            for note in saved.notes:
                say(note)
        proof = prove(scenario, plan, progress=progress)
        check_fits(proof, str(Path(what) / "plan.json"))
    case = TracedRun(scenario.topology, scenario.profile, plan)
    return replay(case, observation, stream, which, progress)


# What arguments say


def check_fits(proof: Proof, where: str) -> None:
    """Refuse to play a plan that does not fit the scenario: unknown ports, missing streams."""
    unfit = [one for one in proof.findings if one.rule in ("inputs", "route")]
    if unfit:
        raise InputError(Problem(where, 0, 0, one.subject, one.message) for one in unfit)


def check_port(scenario: Scenario, port: str | None) -> None:
    """Refuse an unknown port before anything long is run."""
    names = scenario.topology.port_by_name
    if port is not None and port not in names:
        example = f"ports are named like '{next(iter(names))}'"
        hint = _guess(port, names) or example
        raise ArgumentError([Problem("port", 0, 0, port, f"no such port; {hint}")])


def _guess(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else ""


def announce(extent: Extent, at_most: int | None, say: Say | None) -> None:
    """Say of a long run how large it is; refuse one that is larger than allowed."""
    if at_most is not None and extent.frame_hops > at_most:
        what = f"the run has some {extent.frame_hops:,} frame-hops, {at_most:,} are allowed"
        why = f"{what}; make it shorter (--duration, duration=), or allow more"
        raise ArgumentError([Problem("at_most", 0, 0, "", why)])
    if say is not None and (extent.cpu_s >= LONG_S or extent.memory_bytes >= LARGE_BYTES):
        say(
            f"simulate: some {extent.frames:,} frames, {extent.frame_hops:,} frame-hops; about "
            f"{ceil_div(extent.cpu_s, LONG_S)} min of a core and {show_size(extent.memory_bytes)} "
            "of memory or more; --duration makes it shorter, --at-most sets a limit"
        )


def _search(scenario: Scenario, budget: str | None, rounds: int | None) -> Search | None:
    """Read how long to search; the clock decides how many rounds are made and nothing else."""
    from time import monotonic

    from qnet.schedule.repair.search import Search

    seed = scenario.profile.simulation.seed
    if budget is not None and rounds is not None:
        words = "goes without a number of rounds; give one of them"
        raise ArgumentError([Problem("budget", 0, 0, "", words)])
    if rounds is not None:
        return Search(seed, lambda done: done < rounds)
    if budget is None:
        return None
    try:
        seconds = parse(TIME, budget) / PS_PER_S
    except UnitError as error:
        raise ArgumentError([Problem("budget", 0, 0, "", str(error))]) from None
    end = monotonic() + seconds
    return Search(seed, lambda done: monotonic() < end)


def _ports_down(scenario: Scenario, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the ports of each link, cable or node; unknown ones are all reported at once."""
    from qnet.model.outages import ports_by_target

    topology = scenario.topology
    down = ports_by_target(topology)
    unknown = [name for name in names if name not in down]
    if unknown:
        example = f"a link is called '{topology.link_name(topology.links[0])}'"
        what = "no such link, wire, cable, node or site"
        raise ArgumentError(
            Problem("fail", 0, 0, name, f"{what}; {_guess(name, down) or example}")
            for name in unknown
        )
    return {name: down[name] for name in names}


def _to_keep(scenario: Scenario, plan: Plan | Path | str) -> Plan:
    """Read a plan whose streams are to stay; what does not hold for the scenario as it is is an
    error. A stream that a failure has left one path of two is no fault here.
    """
    from qnet.check.plan import prove_kept
    from qnet.files.read import read_plan
    from qnet.model.plan import Plan

    where = "keep" if isinstance(plan, Plan) else str(plan)
    given = plan if isinstance(plan, Plan) else read_plan(where)
    names = {stream.name for stream in scenario.profile.every_stream}
    if given.streams and not any(entry.name in names for entry in given.streams):
        what = f"none of its {len(given.streams)} streams is in the profile"
        raise InputError([Problem(where, 0, 0, "", what)])
    findings = prove_kept(scenario.topology, scenario.profile, given)
    if findings:
        raise InputError(Problem(where, 0, 0, one.subject, one.message) for one in findings)
    return given


def _cuts(scenario: Scenario, text: str) -> list[Cut]:
    """Read TARGET@TIME, such as 'a->b@10ms': what events call a link, a wire or a cable."""
    from qnet.emulate.tiers.tier import Cut
    from qnet.model.outages import ports_of, wires_by_name

    topology = scenario.topology
    name, _, when = text.rpartition("@")
    wires = wires_by_name(topology).get(name, ())
    if not wires:
        words = f"'{name}' is no port, link or cable; write it like '{topology.ports[0].name}@10ms'"
        raise ArgumentError([Problem("cut", 0, 0, text, words)])
    first = [topology.ports[ports_of(topology, [wire])[0]].name for wire in wires]
    try:
        return [Cut(port, parse(TIME, when)) for port in first]
    except UnitError as error:
        raise ArgumentError([Problem("cut", 0, 0, text, str(error))]) from None


def check_emulated(scenario: Scenario, tier: Tier | None, cut: Sequence[str] = ()) -> None:
    """Refuse what cannot be emulated, and cuts of no port or at no time, before anything long."""
    if tier is not None:
        from qnet.model.emulation import Tier as Known

        if tier not in get_args(Known):
            words = f"'{tier}' is no tier; there are {' and '.join(get_args(Known))}"
            raise ArgumentError([Problem("emulate", 0, 0, "", words)])
        from qnet.emulate.rules.streams import check_listeners

        check_listeners(scenario.profile)
    if tier == "mininet" and scenario.profile.events:
        from qnet.emulate.tiers.playable import refused_events

        problems = [
            Problem("events", 0, 0, words, why)
            for words, why in refused_events(scenario.topology, scenario.profile)
        ]
        if problems:
            raise ArgumentError(problems)
    for one in cut:
        _cuts(scenario, one)


def check_no_events(scenario: Scenario) -> None:
    """Refuse events where somebody's own controller is judged against a plan, or hosts are used."""
    if scenario.profile.events:
        words = (
            "events go with qnet's own controller; 'qnet replay --controller' plays them to "
            "another one"
        )
        raise ArgumentError([Problem("events", 0, 0, "", words)])


def _which(frame: str | int) -> Which:
    """Read which frame is meant."""
    named: dict[str | int, Which] = {"worst": "worst", "best": "best", "lost": "lost"}
    if frame in named:
        return named[frame]
    text = str(frame)
    if text.isdecimal() and text.isascii() and 0 < len(text) < 16 and int(text) > 0:
        return int(text)
    what = f"'{frame}' is no frame; write worst, best, lost or a number from 1"
    raise ArgumentError([Problem("frame", 0, 0, "", what)])
