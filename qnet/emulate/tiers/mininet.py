"""Tier `mininet`: real switches, hosts and stacks in stretched virtual time. It needs root.

The run happens in a child process that is the first of new network, process and mount namespaces:
`qnet.emulate.tiers.mininet_child`. Whatever becomes of this process, the kernel ends the child and
all that is in its namespaces; a folder is all that a killed run can leave
(`qnet.emulate.process.cleanup`).
"""

from __future__ import annotations

import contextlib
import pickle
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from qnet.emulate.frames.kernels import TIME
from qnet.emulate.frames.ports import VirtualPorts
from qnet.emulate.frames.sample import Sample
from qnet.emulate.process import cleanup, namespaces
from qnet.emulate.process.relay import SOCKET, Relay
from qnet.emulate.process.watch import LOOK_S, STOPPED_S
from qnet.emulate.rules.streams import check_listeners
from qnet.emulate.switches import ovs
from qnet.emulate.tiers import probe
from qnet.emulate.tiers.compare import SHIPPED, compare
from qnet.emulate.tiers.follow_frames import Walk, follow
from qnet.emulate.tiers.mininet_child.happenings import dark_ports
from qnet.emulate.tiers.tier import Asked, Options, Say
from qnet.emulate.wires.records import WallClock
from qnet.errors import EnvironmentMissing, QnetError
from qnet.model.emulation import Emulation, Lateness
from qnet.model.histogram import quantile_ps
from qnet.model.observation import Copies, Drop, Lost, Observation, Traffic
from qnet.model.plan import Entry, Plan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.progress import Heeded, Progress
from qnet.simulate.frame_sources import FrameSource, sources_of
from qnet.simulate.world import NEVER

JOB = "job.pickle"
RESULT = "result.pickle"

SAMPLE = 12
"""Streams and demands in the sample, unless another number is asked for."""

FRAMES_EACH = 400
"""Real frames of each sampled source, unless it sends fewer."""

PORT_DOWN = "the switch's port was down"
"""Why a frame is lost that came to a port after an event and before it was undone."""

PROMPT = "prompt"
"""File in a run's folder: there while its command line has the terminal."""

PROGRESS = "progress"
"""File in a run's folder: a line for each step of a stage, its title, steps done, steps in all."""


@dataclass(frozen=True)
class CommandResult:
    """What a host's command wrote, and its exit code."""

    host: str
    command: str
    exit_code: int
    output: str


class LostFrame(NamedTuple):
    """A real frame that a port dropped or a link lost, as the simulator's own kernel had it.

    What a cut took is among them.

    `number` is its place among its source's frames. `port` is where, and behind which, it was lost.
    """

    source: int
    number: int
    port: str
    cause: str


@dataclass(frozen=True)
class Emulated:
    """What a run gave. `latency_ps` has one entry per delivered frame: source, number, latency.

    A frame's number is its place among its source's; of copies over two paths it is the same.

    `late` counts, by source, how often real frames came to a port too late or left it in another
    cycle; `recovery` has, by name, the counts of the points where copies meet.
    `reached_ps` is where virtual time ended: the profile's duration, unless the budget was used up.
    `cut_ps` is the time of the first cut, and `failover_s` how long, on the wall, the switches took
    at most to see a cut. `calibrated` says from what the dilation was chosen, `void` why the run
    does not count; both may be empty. `findings` of a void run are what rules do by themselves.
    `control` is what switches say of a controller under which a host's command failed. `seconds`
    are wall-clock times of stages.
    """

    latency_ps: tuple[tuple[int, int, int], ...]
    losses: tuple[LostFrame, ...]
    late: Mapping[int, int]
    recovery: Mapping[str, Copies]
    wall_clock: WallClock
    dilation: int
    attempts: int
    reached_ps: int
    cut_ps: int | None
    failover_s: float
    calibrated: str
    switches: int
    rules: int
    damaged: int
    findings: tuple[str, ...]
    void: str
    commands: tuple[CommandResult, ...] = ()
    captures: tuple[Path, ...] = ()
    changes: int = 0
    """Ports that events took down and up, and moves whose rules were laid."""
    controller: str = SHIPPED
    control: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def told(self) -> list[str]:
        """Say how real the run was: wall-clock figures, which are in no result."""
        late = self.wall_clock
        inside = [quantile_ps(late.inside, share) or 0 for share in (500_000_000, 999_000_000)]
        stages = ", ".join(f"{what} {spent:.1f} s" for what, spent in self.seconds.items())
        return [
            f"wall clock, not virtual: {stages}",
            *(
                [
                    f"cut seen by the switches within {self.failover_s * 1e3:.1f} ms; they sent "
                    f"{late.rerouted} frames another way, {late.followed} of them on another "
                    f"path of the plan; {late.cut} were lost on the wire"
                ]
                if self.cut_ps is not None
                else []
            ),
            *(
                [
                    f"events and moves: {self.changes} changes of ports and rules, seen by "
                    f"switches and controller within {self.failover_s * 1e3:.1f} ms; "
                    f"{late.cut} frames came to a port that was down"
                ]
                if self.changes
                else []
            ),
            *([self.calibrated] if self.calibrated else []),
            f"dilation {self.dilation}: frames were in a switch for {inside[0] / 1e9:.2f} ms "
            f"(median), {inside[1] / 1e9:.2f} ms (99.9 %)",
            f"{late.violations} of {late.put_in} frames too late; virtual time held "
            f"{late.holds} times, {late.held_ns / 1e9:.2f} s in all",
        ]


def choose_sample(
    topology: Topology, profile: Profile, plan: Plan, names: int, frames_each: int = FRAMES_EACH
) -> dict[int, int]:
    """Choose streams and demands whose routes together touch many nodes; return their strides.

    Reserved streams and what is not reserved take turns. Of each, frames at even distances in
    time are real, about `frames_each` of them.
    """
    found = sources_of(topology, profile, plan)
    by_name: dict[str, list[int]] = {}
    for source, owner in enumerate(found):
        by_name.setdefault(owner.name, []).append(source)
    touched: set[str] = set()
    chosen: list[str] = []
    by_name = _playable(by_name, found)
    happens = _touched(topology, profile, plan)
    kinds = [
        [name for name, sources in by_name.items() if bool(found[sources[0]].cycles) == reserved]
        for reserved in (True, False)
    ]

    def gain(name: str) -> int:
        nodes = {
            node
            for source in by_name[name]
            for port in found[source].ports
            for node in (port.source, port.target)
        }
        return len(nodes - touched)

    while len(chosen) < names and any(kinds):
        left = kinds[len(chosen) % 2] or kinds[(len(chosen) + 1) % 2]
        best = max(left, key=lambda name: (gain(name), name in happens))
        left.remove(best)
        chosen.append(best)
        for source in by_name[best]:
            for port in found[source].ports:
                touched |= {port.source, port.target}
    seconds = profile.simulation.duration_ps / 1e12
    return {
        source: max(
            round(found[by_name[name][0]].law.frames_per_s * seconds / max(frames_each, 1)), 1
        )
        for name in chosen
        for source in by_name[name]
    }


def _playable(by_name: dict[str, list[int]], found: Sequence[FrameSource]) -> dict[str, list[int]]:
    """Leave out what is sent over two paths and not always by one entry: its numbers count on."""
    return {
        name: sources
        for name, sources in by_name.items()
        if found[sources[0]].elimination is None
        or all(found[source].is_always_on for source in sources)
    }


def _touched(topology: Topology, profile: Profile, plan: Plan) -> set[str]:
    """Return the names of what events break the way of, or what is moved."""
    names = {one.entry.name for one in plan.moves}
    dark = dark_ports(topology, profile) if profile.events else {}
    entries: list[Entry] = [*plan.streams, *plan.demands]
    for entry in entries:
        if any(name in dark for way in entry.routes for name in way):
            names.add(entry.name)
    return names


def emulate(
    asked: Asked, options: Options, progress: Progress | None = None, say: Say | None = None
) -> Emulation:
    """Emulate streams and demands that together touch many nodes; see `Tier`."""
    topology, profile, plan, proof, simulated = asked
    heeded = Heeded(progress, "choose the sample")
    strides = choose_sample(topology, profile, plan, options.sample or SAMPLE)
    ran = run_sample(topology, profile, plan, strides, options, progress)
    heeded.stage("compare frame by frame")
    case = case_of(topology, profile, plan, strides, ran)
    made = witness(case, proof, simulated, ran, heeded)
    if profile.events and ran.reached_ps < profile.simulation.duration_ps and not made.void:
        made = made.replace(
            void=f"its {options.budget_s:.0f} s of wall-clock time ended at {ran.reached_ps} ps of "
            f"{profile.simulation.duration_ps} ps",
            findings=ran.findings,
        )
    for line in ran.told():
        if say is not None:
            say(line)
    return made


def run_sample(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    strides: Mapping[int, int],
    options: Options,
    progress: Progress | None = None,
) -> Emulated:
    """Send every n-th frame of each source; returns when all that the run made is gone again.

    Raises EnvironmentMissing without root, Open vSwitch or Mininet, and TestbedBroken, with the
    last words of what broke, when it did not come to an end; and Cancelled.
    """
    check_listeners(profile)
    reason = probe.missing_tools()
    if reason is not None:
        raise EnvironmentMissing(reason)
    heeded = Heeded(progress, "start the namespaces")
    folder = cleanup.new_run()
    try:
        with (folder / JOB).open("wb") as file:
            pickle.dump((topology, profile, plan, strides, options), file)
        with ExitStack() as stack:
            words = stack.enter_context((folder / "words").open("w+"))
            stack.enter_context(ovs.unwinding())
            relay = None
            if options.controller is not None:
                paths = {"": folder / SOCKET}
                relay = stack.enter_context(Relay(paths, options.controller, tls=options.tls))
            if options.cli:
                stack.enter_context(lent_terminal(folder / PROMPT))
            child = namespaces.start(
                "qnet.emulate.tiers.mininet_child", folder, words, terminal=options.cli
            )
            try:
                told = folder / PROGRESS
                code = _watch(child, told, heeded, may_stop=options.cli)
            finally:
                namespaces.end(child)
            if code != 0 or not (folder / RESULT).exists():
                raise namespaces.broken(folder, code, words)
        with (folder / RESULT).open("rb") as file:
            result: Emulated | QnetError = pickle.load(file)
        if isinstance(result, EnvironmentMissing) and relay is not None and relay.wrong:
            raise EnvironmentMissing(f"the controller at {options.controller}: {relay.wrong}")
        if isinstance(result, EnvironmentMissing) and relay is not None and relay.refusal:
            raise EnvironmentMissing(
                f"nobody listens at {options.controller} ({relay.refusal}): start it first"
            )
        if isinstance(result, QnetError):
            raise result
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def lent_terminal(prompt: Path) -> Iterator[None]:
    """Leave Ctrl-C to a child while the file `prompt` is there; the terminal is as before then.

    A terminal that is closed ends the run.
    """

    def interrupt(*_: object) -> None:
        if not prompt.exists():
            raise KeyboardInterrupt

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    usual = [(one, signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGHUP)]
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, leave)
    try:
        yield
    finally:
        for one, handler in usual:
            signal.signal(one, handler)
        if before is not None:
            with contextlib.suppress(termios.error):  # it is closed
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _watch(child: subprocess.Popen[bytes], path: Path, heeded: Heeded, *, may_stop: bool) -> int:
    """Wait for the child, telling what it says of its progress; return its exit code.

    Raises TestbedBroken when it stands still, unless it `may_stop`, as what has a terminal may.
    """
    last, stage = "", ""
    since: float | None = None
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(LOOK_S)
        if may_stop or not namespaces.stands_still(child):
            since = None
        elif time.monotonic() - (since := since or time.monotonic()) > STOPPED_S:
            raise namespaces.stopped()
        line = path.read_text() if path.exists() else last
        heeded.look()
        if line != last:
            title, done, total = line.split("\t")
            if title != stage:
                heeded.stage(title)
                stage = title
            heeded.step(int(done), int(total))
        last = line


def case_of(
    topology: Topology, profile: Profile, plan: Plan, strides: Mapping[int, int], run: Emulated
) -> Sample:
    """Return the sample as the simulator has it, up to where the run's virtual time ended."""
    simulation = profile.simulation.replace(duration_ps=run.reached_ps)
    shortened = profile.replace(simulation=simulation)
    return Sample(topology, shortened, plan, strides=strides)


def witness(
    case: Sample,
    proof: Proof,
    simulated: Observation,
    run: Emulated,
    progress: Progress | None = None,
) -> Emulation:
    """Put a run beside what was proven and simulated, frame by frame.

    `case` is that of `case_of`. Frames that were late for their window have no latency to
    compare, as long as they are few enough for the run to count, nor have those that a switch
    dropped at a port that was down while the model had them wait for the wire. After a cut the
    simulator's course is no measure: frames that it delivers before are compared, others counted.
    """
    plain, ports = follow(case, None, progress)
    emulated = Walk(hops=run.wall_clock.came_out)

    def frame(source: int, number: int) -> int:
        return int(ports.span[source, 0]) + case.by_source[source].place(number)

    for source, number, latency_ps in run.latency_ps:
        one = frame(source, number)
        emulated.arrival_ps[one] = int(ports.frames[one, TIME]) + latency_ps
    emulated.lost = {frame(one.source, one.number) for one in run.losses}
    until_ps = NEVER if run.cut_ps is None else run.cut_ps
    _name_alike(plain, emulated, ports)
    kept = _kept_waiting(emulated, plain, run, frame)
    for number in kept:
        del plain.arrival_ps[number]
    absent = set(plain.arrival_ps) - set(emulated.arrival_ps)
    if len(absent) <= run.wall_clock.violations:
        for number in absent:
            del plain.arrival_ps[number]
    findings = list(run.findings)
    if run.damaged and not run.void:
        findings.append(f"{run.damaged} frames came out with another payload than was sent")
    made = compare(case, proof, simulated, (emulated, ports), plain, findings, until_ps)
    if run.void:
        made = made.replace(void=run.void, findings=tuple(findings))
    seen = made.observation.replace(
        streams=tuple(_counted(one, ports, run) for one in made.observation.streams),
        demands=tuple(_counted(one, ports, run) for one in made.observation.demands),
        drops=_drops(ports, run),
    )
    return made.replace(
        tier="mininet",
        controller=run.controller,
        observation=seen,
        dilation=run.dilation,
        switches=run.switches,
        rules=run.rules,
        dropped_early=len(kept),
        lateness=Lateness(
            frames=run.wall_clock.put_in,
            violations=run.wall_clock.violations,
            holds=run.wall_clock.holds,
            held_ps=run.wall_clock.held_ns * 1000 // run.dilation,
        ),
    )


def _kept_waiting(
    emulated: Walk, plain: Walk, run: Emulated, frame: Callable[[int, int], int]
) -> set[int]:
    """Return the frames that a switch dropped at a port that was down, and that came simulated.

    The model keeps them in the queue before a broken wire until that is mended.
    """
    dropped = {frame(one.source, one.number) for one in run.losses if one.cause == PORT_DOWN}
    return (dropped & plain.arrival_ps.keys()) - emulated.arrival_ps.keys()


def _name_alike(plain: Walk, emulated: Walk, ports: VirtualPorts) -> None:
    """Give frames of one birth the numbers that they have emulated, where as many have come.

    The simulator's course knows a frame by its birth from its second port on. When the first of a
    burst is lost before that, it takes the next one for it.
    """
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for source, (first, last) in enumerate(ports.span.tolist()):
        for number in range(first, last):
            alike[source, int(ports.frames[number, TIME])].append(number)
    for numbers in alike.values():
        came = [number for number in numbers if number in emulated.arrival_ps]
        had = [number for number in numbers if number in plain.arrival_ps]
        if came != had and len(came) == len(had):
            times = [plain.arrival_ps.pop(number) for number in had]
            plain.arrival_ps |= dict(zip(came, times, strict=True))


def _counted(account: Traffic, ports: VirtualPorts, run: Emulated) -> Traffic:
    """Put what the run's own ports counted into an account."""
    late = sum(
        count for source, count in run.late.items() if ports.found[source].name == account.name
    )
    why = Counter(one.cause for one in run.losses if ports.found[one.source].name == account.name)
    update: dict[str, object] = {"late": late}
    update["recovery"] = run.recovery.get(account.name, account.recovery)
    # Of a frame over two paths a copy may be lost and the other one come.
    if why.total() == account.lost:
        update["lost_by"] = tuple(Lost(cause=cause, frames=why[cause]) for cause in sorted(why))
    return account.replace(**update)


def _drops(ports: VirtualPorts, run: Emulated) -> tuple[Drop, ...]:
    """List which real frames were lost where, by port and name."""
    count = Counter((one.port, ports.found[one.source].name, one.cause) for one in run.losses)
    return tuple(
        Drop(port=port, name=name, cause=cause, frames=frames)
        for (port, name, cause), frames in sorted(count.items())
    )
