"""Tier `lockstep`: real switches and a real controller in exact virtual time, without root.

All frames of the profile load the ports, as in the simulator; a sample of them is real
(`qnet.emulate.frames.sample`) and goes through the switches (`qnet.emulate.tiers.follow_frames`).
Same seed, same bytes out: what a switch does with a frame depends on its rules alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from qnet.emulate.frames.captures import write_captures
from qnet.emulate.frames.sample import SAMPLE, Sample
from qnet.emulate.openflow.nouns import Switch, to_text
from qnet.emulate.process.cleanup import private_prefix
from qnet.emulate.process.controller import Controller
from qnet.emulate.process.watch import LOOK_S, Part, Watch
from qnet.emulate.rules.audit import audit_streams
from qnet.emulate.switches.dummy_switches import Fabric
from qnet.emulate.switches.ovs import unwinding
from qnet.emulate.switches.talk import explained
from qnet.emulate.tiers.compare import SHIPPED, compare
from qnet.emulate.tiers.follow_frames import Walk, follow
from qnet.emulate.tiers.follow_frames import Watch as Watched
from qnet.emulate.tiers.tier import Asked, Options, Say
from qnet.files.write import write_text
from qnet.model.emulation import Emulation
from qnet.model.observation import Observation
from qnet.model.proof import Proof
from qnet.progress import Heeded, Progress
from qnet.simulate.world import NEVER

CONVERGE_S = 60.0


DEFAULTS = Options()

INSTALLED = "rules installed"
IN_VAIN = "waited in vain for the plan's rules (--settle)"


@contextmanager
def reservation(
    rules: Iterable[Switch], base: Path | None = None, heeded: Heeded | None = None
) -> Iterator[Controller]:
    """Run the shipped reservation app with these rules, handed over in a folder in `base`."""
    with TemporaryDirectory(prefix=private_prefix(), dir=base) as folder:
        path = Path(folder) / "rules.jsonl"
        path.write_text(to_text(rules), encoding="utf-8")
        arguments = ["--rules-file", str(path)]
        with Controller(["reservation"], arguments, heeded=heeded) as controller:
            yield controller


class _Looks:
    """Looks now and then whether all processes that a run rests on are at work."""

    def __init__(
        self,
        asked: Sequence[Callable[[], Sequence[Part]]],
        heeded: Heeded,
    ) -> None:
        self._asked, self._heeded = asked, heeded
        self._watch = Watch()
        self._next = 0.0

    def _parts(self) -> list[Part]:
        return [part for parts in self._asked for part in parts()]

    def stage(self, title: str) -> None:
        """Tell that a stage begins."""
        self._heeded.stage(title)

    def step(self, done: int, total: int) -> None:
        """Tell how far it is; raises TestbedBroken when a process has ended or stands still."""
        if time.monotonic() >= self._next:
            self._watch.check(self._parts())
            self._next = time.monotonic() + LOOK_S
        self._heeded.step(done, total)

    def cancelled(self) -> bool:
        """Say whether the run is to end."""
        return self._heeded.cancelled()

    def last(self) -> None:
        """Look once more, before the result counts."""
        self._watch.blame(self._parts)


def _laid_by(
    fabric: Fabric, controller: str, case: Sample, settle_s: float, heeded: Heeded
) -> tuple[str, float]:
    """Wait until a controller of one's own has laid the rules; return what came of it, and when."""
    start = time.perf_counter()
    fabric.wait_connected(controller, heeded=heeded)
    nodes = list(case.node_ports)
    as_planned = fabric.wait_as_planned(case.streams, nodes, settle_s, heeded)
    return INSTALLED if as_planned else IN_VAIN, time.perf_counter() - start


def _left(fabric: Fabric, emulated: Walk, heeded: Heeded) -> list[Switch]:
    """Note copies that nobody expected among the findings; return what tables have at the end."""
    heeded.stage("emulate: read the tables")
    fabric.settle(heeded)
    for stray in fabric.strays:
        words = f"also sent to OpenFlow port {stray.out.port}"
        emulated.findings.setdefault(("", stray.entry.node, words), f"{stray.entry.node}: {words}")
    return [fabric.tables(node) for node in heeded.wanted(fabric.ports)]


def emulate(
    asked: Asked, options: Options, progress: Progress | None = None, say: Say | None = None
) -> Emulation:
    """Emulate frames of all streams and demands, or of as many as the sample has room for."""
    topology, profile, plan, proof, simulated = asked
    frames = SAMPLE if options.sample is None else options.sample
    case = Sample(topology, profile, plan, frames=frames)
    made, wall_clock = run_case(case, proof, simulated, options, progress=progress)
    for what, seconds in wall_clock.items():
        if say is not None:
            say(f"wall clock, not virtual: {what} in {seconds:.3f} s")
    return made


def run_case(
    case: Sample,
    proof: Proof,
    simulated: Observation,
    options: Options = DEFAULTS,
    *,
    progress: Progress | None = None,
    meddle: Callable[[Fabric], None] | None = None,
) -> tuple[Emulation, dict[str, float]]:
    """Run the tier; return the result and wall-clock seconds of the control plane.

    `simulated` is the simulator's observation of the same plan. `meddle` is called with the
    switches when they have their rules and nothing has been sent.
    Raises EnvironmentMissing without Open vSwitch or a controller.
    """
    controller, cuts = options.controller, options.cuts
    node_ports = case.node_ports
    rules = [one for one in case.rules if one.name in node_ports]
    heeded = Heeded(progress, "emulate: follow the simulated frames")
    plain, _ = follow(case, None, heeded)
    heeded.stage("emulate: start switches")
    if options.rules_file is not None:
        write_text(options.rules_file, to_text(rules))
    with ExitStack() as stack:
        stack.enter_context(unwinding())
        app, laid = None, INSTALLED
        if controller is None:
            app = stack.enter_context(reservation(rules, heeded=heeded))
            fabric = stack.enter_context(
                Fabric(case.wiring, node_ports, controllers=[app.target], heeded=heeded)
            )
            events = app.wait_converged([one.datapath_id for one in rules], CONVERGE_S, heeded)
            seconds = max((float(one["seconds"]) for one in events), default=0.0)
        else:
            fabric = Fabric(
                case.wiring,
                node_ports,
                controllers=[controller],
                carry_control=True,
                versions=options.versions,
                heeded=heeded,
            )
            fabric.tls = options.tls
            stack.enter_context(fabric)
            laid, seconds = _laid_by(fabric, controller, case, options.settle_s, heeded)
        fabric.fence()
        if meddle is not None:
            meddle(fabric)

        def set_wire(name: str) -> None:
            fabric.set_wire(name, up=False)
            fabric.fence()

        watch: Watched = "nothing"
        if options.captures is not None:
            watch = "switches" if options.capture_switches else "hosts"
        looks = _Looks([fabric.parts, *([] if app is None else [app.parts])], heeded)
        heeded.stage("emulate: send frames")
        emulated, ports = follow(case, fabric.forward, looks, cuts, set_wire, watch)
        tables = _left(fabric, emulated, heeded)
        looks.last()
        talks = fabric.talks()
    if options.captures is not None:
        write_captures(options.captures, case.wiring, emulated.sights, options.capture_form)
    faults = audit_streams(case.wiring, case.streams, tables)
    findings: Sequence[str] = [*map(str, faults), *emulated.findings.values()]
    if controller is not None:
        findings = explained(findings, talks, controller)
    first_cut_ps = min((one.at_ps for one in cuts), default=NEVER)
    result = compare(case, proof, simulated, (emulated, ports), plain, findings, first_cut_ps)
    made = result.replace(
        switches=len(node_ports),
        rules=sum(len(one.rules) + len(one.unread) for one in tables),
        controller=controller or SHIPPED,
    )
    wall_clock = {laid: seconds}
    if cuts:
        wall_clock["cut followed by all switches"] = emulated.cut_s
    return made, wall_clock
