"""What both tiers are: a way to send real frames of a plan, under the same options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from qnet.emulate.frames.captures import CaptureForm
from qnet.emulate.process.tls import TlsFiles
from qnet.emulate.switches.switch_set import CONNECT_S, SETTLE_S
from qnet.emulate.switches.talk import USUAL, Version
from qnet.model import emulation
from qnet.model.emulation import Emulation
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.progress import Progress

BUDGET_S = 45.0
"""Wall-clock time of the emulation proper, where the dilation is not given."""

Say = Callable[[str], None]
"""Hears a line on how a run went on the wall clock, which is in no result."""


class Asked(NamedTuple):
    """What is emulated, and what the other witnesses say of it."""

    topology: Topology
    profile: Profile
    plan: Plan
    proof: Proof
    simulated: Observation


class Cut(NamedTuple):
    """A wire that goes down, in both directions, and stays so: by the name of a port of it.

    A real frame that is not over it and through the switch behind it by then is lost. The
    simulated load around the real frames goes on.
    """

    port: str
    at_ps: int


class HostCommand(NamedTuple):
    """A shell command that a host runs, beside all others, from virtual time zero on."""

    host: str
    command: str


class Meddling(NamedTuple):
    """Rules of a node's switch that are given other actions once they are laid.

    `match` and `actions` are in the words of ovs-ofctl. It shows that a wrong rule is found.
    """

    node: str
    match: str
    actions: str


@dataclass(frozen=True)
class Options:
    """How to run. What is said to be of one tier, the other one does not heed."""

    sample: int | None = None
    """About how many frames are real; in tier mininet, how many streams and demands have some."""
    controller: str | None = None
    """Somebody's own, which listens there, as in tcp:127.0.0.1:6653; else the shipped one."""
    tls: TlsFiles | None = None
    """What such a controller at ssl:HOST:PORT needs."""
    rules_file: Path | None = None
    """Where the rules that the plan wants are written before switches connect."""
    versions: tuple[Version, ...] = USUAL
    """What switches speak with a controller of one's own."""
    settle_s: float = SETTLE_S
    """Such a controller has so long to lay what the plan wants."""
    cuts: tuple[Cut, ...] = ()
    """Frames that the simulator has delivered before the first one are compared, others counted."""
    captures: Path | None = None
    """A folder for what hosts have of real frames."""
    capture_form: CaptureForm = "pcapng"

    capture_switches: bool = False
    """Capture at switches, too; of tier lockstep."""

    dilation: int | None = None
    """Wall-clock time in parts of virtual time; chosen after a calibration if not said. All from
    here on is of tier mininet.
    """
    budget_s: float = BUDGET_S
    """Wall-clock time at most where the dilation is chosen; the run ends where it is by then."""
    violations_ppm: int = 1000
    """Share of late frames, in a million passages through a switch, that voids a run."""
    connect_s: float = CONNECT_S
    """A controller of one's own has so long to answer all switches."""
    commands: tuple[HostCommand, ...] = ()
    cli: bool = False
    """Open Mininet's command line."""
    arp: bool = False
    """Hosts under a controller of one's own have each other's addresses from the start."""
    free_run: bool = False
    """Send nothing of the profile: hosts' own frames only, over the shortest paths."""
    meddling: tuple[Meddling, ...] = ()


class Tier(Protocol):
    """A way to emulate: the modules `lockstep` and `mininet` of this room."""

    def emulate(
        self,
        asked: Asked,
        options: Options,
        progress: Progress | None = None,
        say: Say | None = None,
    ) -> Emulation:
        """Send a sample of real frames, and put it beside what was proven and simulated.

        Raises EnvironmentMissing where the machine lacks what the tier needs, TestbedBroken where
        something that it rests on has ended, and Cancelled.
        """
        ...


def tier_of(name: emulation.Tier) -> Tier:
    """Return a tier by its name; the compiler is loaded with it."""
    if name == "mininet":
        from qnet.emulate.tiers import mininet  # noqa: PLC0415

        return mininet
    from qnet.emulate.tiers import lockstep  # noqa: PLC0415

    return lockstep
