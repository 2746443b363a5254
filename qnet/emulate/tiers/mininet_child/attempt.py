"""One emulation at one dilation: frames, hosts' commands, and wires that are cut."""

from __future__ import annotations

import math
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from qnet.emulate.openflow.nouns import to_text
from qnet.emulate.process.quick import as_usual, be_quick
from qnet.emulate.switches.net import SwitchNetwork
from qnet.emulate.tiers.lockstep import CONVERGE_S
from qnet.emulate.tiers.mininet import PROMPT, CommandResult
from qnet.emulate.tiers.mininet_child.happenings import Happening
from qnet.emulate.tiers.mininet_child.job import Job, Laid
from qnet.emulate.tiers.mininet_child.probes import probes_of
from qnet.emulate.tiers.tier import Cut, HostCommand
from qnet.emulate.wires.arrays import PATIENCE_NS
from qnet.emulate.wires.run import STEP_NS, Emulator

DRAIN_NS = 2_000_000_000


class Attempt(NamedTuple):
    """What is left of an attempt; `failover_s` is the longest that switches took to see a cut.

    Or to see any of the `changes` of devices and rules that events made.
    """

    emulator: Emulator
    commands: tuple[CommandResult, ...]
    failover_s: float
    changes: int


def entries_at_begin(job: Job) -> Collection[int]:
    """Return the numbers of the entries whose rules are there before the first frame: 0, and those
    of moves that are in force too soon for anything else.
    """
    return {0, *job.happenings.get(0, Happening()).moves}


def attempt(job: Job, laid: Laid, dilation: int, budget_s: float | None) -> Attempt:
    """Emulate once at a dilation, hosts' commands beside it; no longer than `budget_s`."""
    probes = [] if job.options.free_run else probes_of(job, laid)
    emulator = job.emulator(laid.net.ends, probes, dilation)
    for cut in job.options.cuts:
        port = job.topology.port_by_name[cut.port]
        for one in job.wiring.both(port):
            emulator.cut(one.number, cut.at_ps)
    emulator.open(laid.net.namespace)
    commands: tuple[CommandResult, ...] = ()
    follower = _Follower(job, laid, emulator)
    try:
        if not (job.options.free_run or job.options.cli or job.options.commands):
            follower.follow(budget_s=budget_s)
            return Attempt(emulator, commands, follower.failover_s, follower.changes)
        begun, stop = threading.Event(), threading.Event()
        thread = threading.Thread(target=follower.follow, args=(begun, stop))
        thread.start()
        begun.wait()
        try:
            if job.options.cli:
                _open_command_line(laid.net, job.folder / PROMPT)
            commands = _run_commands(laid.net, job.options.commands)
        finally:
            stop.set()
            thread.join()
    finally:
        emulator.close()
    return Attempt(emulator, commands, follower.failover_s, follower.changes)


class _Follower:
    """Drives the link emulator, and takes wires down when their time has come."""

    def __init__(self, job: Job, laid: Laid, emulator: Emulator) -> None:
        self.job, self.laid, self.net, self.emulator = job, laid, laid.net, emulator
        self.failover_s = 0.0
        self.changes = 0
        self._entries = set(entries_at_begin(job))
        emulator.stop_at(job.happenings)
        emulator.at_stop = self._happen

    def follow(
        self,
        begun: threading.Event | None = None,
        stop: threading.Event | None = None,
        budget_s: float | None = None,
    ) -> None:
        """Emulate to the end, or until told to stop, before ordinary threads if permitted.

        When `budget_s` of wall-clock time is used up, the end is where virtual time is by then.
        """
        title = f"emulate at dilation {self.emulator.dilation}"
        self.job.say("hosts are at work" if stop is not None else title, 0, self.emulator.end_ps)
        cuts = sorted(self.job.options.cuts, key=lambda one: -one.at_ps)
        give_up = math.inf if budget_s is None else time.monotonic() + budget_s
        be_quick()
        self.job.guard.by_hand = True
        try:
            try:
                self.begin()
                self.emulator.start()
            finally:
                if begun is not None:
                    begun.set()
            while not self.emulator.finished and not (stop is not None and stop.is_set()):
                if cuts and self.emulator.entered_ns(cuts[-1].at_ps) <= time.monotonic_ns():
                    self._take_down(cuts.pop())
                due_ns = self.emulator.entered_ns(cuts[-1].at_ps) if cuts else None
                soon_ns = time.monotonic_ns() + STEP_NS
                self.emulator.step(None if due_ns is None else min(due_ns, soon_ns))
                self.job.guard.look()
                if stop is None:
                    self.job.say(title, self.emulator.reached_ps, self.emulator.end_ps)
                if time.monotonic() > give_up:
                    self.emulator.end_here()
            if stop is None:
                self.emulator.drain(DRAIN_NS)
        finally:
            self.job.guard.by_hand = False
            as_usual()

    def begin(self) -> None:
        """Have all devices and rules as they are at time zero, whatever was before."""
        if self.job.happenings:
            self.net.set_wires(self.net.ports, "up")
            self._lay()
            self._change(self.job.happenings.get(0, Happening()))

    def _happen(self, now_ps: int) -> None:
        """Do what is due; virtual time stands still until switches and controller are done."""
        self._change(self.job.happenings[now_ps])

    def _change(self, due: Happening) -> None:
        begun = time.perf_counter()
        if due.down:
            self.emulator.settle(PATIENCE_NS)
        for names, state in ((due.up, "up"), (due.down, "down")):
            ports = [self.job.topology.port_by_name[name] for name in names]
            self.net.set_wires(ports, state)
            numbers = [one.number for one in ports]
            if state == "up":
                self.emulator.lighten(numbers)
            else:
                self.emulator.darken(numbers)
        if not self._entries.issuperset(due.moves):
            self._entries |= {*due.moves}
            self._lay()
        self.changes += len(due.up) + len(due.down) + len(due.moves)
        self.failover_s = max(self.failover_s, time.perf_counter() - begun)

    def _lay(self) -> None:
        """Have the controller lay what the entries that are in force, or were, need."""
        app = self.laid.app
        assert app is not None, "somebody's own controller is told nothing of moves"
        rules = self.job.rules(self.laid.involved, self._entries)
        path = Path(app.arguments[-1])
        new = path.with_suffix(".new")
        new.write_text(to_text(rules), encoding="utf-8")
        new.replace(path)
        app.wait_converged([one.datapath_id for one in rules], CONVERGE_S)

    def _take_down(self, cut: Cut) -> None:
        """Take a wire's devices down when all frames before it are out of the switches.

        Virtual time is held until both switches have seen it; how long that took is wall-clock.
        """
        self.emulator.settle(PATIENCE_NS)
        port = self.job.topology.port_by_name[cut.port]
        begun = time.perf_counter()
        self.net.take_down(port)
        self.failover_s = max(self.failover_s, time.perf_counter() - begun)


def _open_command_line(net: SwitchNetwork, prompt: Path) -> None:
    """Let the user at Mininet's command line until he leaves it; Ctrl-C is its own meanwhile."""
    from mininet.cli import CLI  # noqa: PLC0415

    CLI.readlineInited = True  # else it would leave a history in the user's home
    prompt.touch()
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        CLI(net.mininet)
    finally:
        signal.signal(signal.SIGINT, usual)
        prompt.unlink()


def _run_commands(net: SwitchNetwork, commands: Sequence[HostCommand]) -> tuple[CommandResult, ...]:
    """Run hosts' commands, all at once but for those of one host, which follow each other."""
    by_host: dict[str, list[HostCommand]] = defaultdict(list)
    for one in commands:
        by_host[one.host].append(one)
    results: dict[HostCommand, CommandResult] = {}

    def run(host: str, mine: Sequence[HostCommand]) -> None:
        for one in mine:
            done = subprocess.run(
                ["mnexec", "-a", str(net.host(host).pid), "sh", "-c", one.command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            results[one] = CommandResult(
                host, one.command, done.returncode, done.stdout + done.stderr
            )

    threads = [threading.Thread(target=run, args=item) for item in by_host.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(results[one] for one in commands)
