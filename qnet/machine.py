"""What is done on this machine itself, without a verdict on a plan; `qnet.api` has the rest.

A controller is judged on real switches, commands run in emulated hosts; what is here for it, and
what killed runs have left of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qnet.errors import ArgumentError, Problem

if TYPE_CHECKING:
    from qnet.emulate.frames.streaming import ChangeSeen, Pace
    from qnet.emulate.process.tls import TlsFiles
    from qnet.emulate.switches.talk import Version
    from qnet.emulate.testbed.reach import Judgement
    from qnet.emulate.testbed.testbed import Testbed
    from qnet.emulate.tiers.doctor import MachineFinding
    from qnet.emulate.tiers.mininet import Emulated
    from qnet.emulate.tiers.tier import HostCommand
    from qnet.model.emulation import Tier
    from qnet.model.plan import Plan
    from qnet.model.scenario import Scenario


class WireChange(NamedTuple):
    """What becomes of wires at one instant, by the names of ports: up (True) or down.

    Pairs that are `hopeless` have no way left then.
    """

    wires: Mapping[str, bool]
    hopeless: Sequence[bool]
    pace: Pace


def addresses(texts: Sequence[str]) -> tuple[str, ...]:
    """Read where controllers listen ('tcp:HOST:PORT', 'ssl:HOST:PORT').

    Raises ArgumentError with all that is wrong.
    """
    from qnet.emulate.process.address import read_address

    problems, found = [], []
    for text in texts:
        try:
            found.append(read_address(text))
        except ValueError as error:
            problems.append(Problem("controller", 0, 0, "", str(error)))
    problems += [
        Problem("controller", 0, 0, "", f"{one} is given {times} times")
        for one, times in Counter(found).items()
        if times > 1
    ]
    if problems:
        raise ArgumentError(problems)
    return tuple(found)


def tls_files(
    controllers: Iterable[str], ca: Path | None, cert: Path | None, key: Path | None
) -> TlsFiles | None:
    """Return the files of TLS, where controllers are at ssl:HOST:PORT; None where none is.

    Raises ArgumentError with all that is wrong with them.
    """
    from qnet.emulate.process.tls import TlsFiles, context_for

    given = {"tls-ca": ca, "tls-cert": cert, "tls-key": key}
    secure = [one for one in controllers if one.startswith("ssl:")]
    if not secure:
        words = "goes with a controller at ssl:HOST:PORT"
        problems = [Problem(name, 0, 0, "", words) for name, one in given.items() if one]
        if problems:
            raise ArgumentError(problems)
        return None
    files = None if ca is None else TlsFiles(ca, cert, key)
    context_for(secure[0], files)
    return files


def reach(
    scenario: Scenario,
    controller: str | Sequence[str],
    *,
    tier: Tier = "lockstep",
    sample: int | None = None,
    settle_s: float | None = None,
    patience_s: float | None = None,
    failover: bool = True,
    failover_s: float | None = None,
    arp: bool = False,
    openflow: Version | None = None,
    tls: TlsFiles | None = None,
    judge: Sequence[str] = (),
    isolated: Sequence[tuple[str, str]] = (),
    restart: str = "",
    recover_s: float | None = None,
) -> Judgement:
    """Judge a controller by whether every host reaches every other one, and nobody else.

    Of several controllers, each is taken away in turn then, unless `failover` is False.
    `sample` is the number of pairs tried. After `settle_s` it is judged once; without it, pairs
    that do not reach each other are tried again. `judge` names what else it is examined in, or
    'all' (`qnet.emulate.testbed.examinations.EXAMINATIONS`): pairs of hosts that are to be
    `isolated`, the shell command `restart` that starts it anew, and after trouble hosts reach each
    other again within `recover_s`. Raises ArgumentError, EnvironmentMissing, and TestbedBroken.
    """
    from qnet.emulate.switches.ovs import unwinding
    from qnet.emulate.switches.switch_set import SETTLE_S
    from qnet.emulate.switches.talk import USUAL
    from qnet.emulate.testbed.controller_set import ControllerSet
    from qnet.emulate.testbed.examinations import chosen, examine
    from qnet.emulate.testbed.examiner import ExaminationTerms
    from qnet.emulate.testbed.reach import PAIRS, judge_reach
    from qnet.emulate.testbed.testbed import FAILOVER_S, PATIENCE_S, Testbed
    from qnet.emulate.testbed.wire_log import wire_log

    recover = SETTLE_S if recover_s is None else recover_s
    course = ExaminationTerms(recover, tuple(isolated), restart)
    testbed = Testbed(
        scenario.topology,
        ControllerSet(controller, tls),
        tier=tier,
        patience_s=patience_s or PATIENCE_S,
        settle_s=settle_s or 0,
        arp=arp,
        versions=USUAL if openflow is None else (openflow,),
    )
    names = chosen(judge, course, testbed.hosts) if judge else ()
    with unwinding(), testbed:
        found = judge_reach(
            testbed,
            most_pairs=sample or PAIRS,
            failover=failover,
            failover_s=FAILOVER_S if failover_s is None else failover_s,
            settle_s=SETTLE_S if settle_s is None else 0,
            isolated=isolated,
        )
        found = examine(testbed, found, names, course) if names else found
        return found._replace(wires=wire_log(testbed))


def react(
    scenario: Scenario,
    controller: str,
    pairs: Sequence[tuple[str, str]],
    changes: Sequence[WireChange],
    *,
    tier: Tier = "lockstep",
    openflow: Version | None = None,
    say: Callable[[str], None] | None = None,
) -> list[ChangeSeen]:
    """Let wires go down and up, one change after the other, under somebody's own controller.

    `controller` is where it listens, or a module with an os-ken app that is started for it: its
    name, or its file. Pairs of hosts send all the while, on the wall clock; before the first
    change all of them must reach each other. Raises ArgumentError when they do not,
    EnvironmentMissing, and TestbedBroken.
    """
    from qnet.emulate.switches.ovs import unwinding
    from qnet.emulate.switches.talk import USUAL
    from qnet.emulate.testbed.testbed import Testbed

    versions = USUAL if openflow is None else (openflow,)
    with unwinding(), _listening(controller) as target:
        testbed = Testbed(scenario.topology, target, tier=tier, versions=versions)
        with testbed:
            _check_reached(testbed, pairs)
            found = []
            for number, one in enumerate(changes, 1):
                if say is not None:
                    say(f"change {number} of {len(changes)}")
                found.append(testbed.react(pairs, one.wires, one.hopeless, one.pace))
            return found


@contextmanager
def _listening(controller: str) -> Iterator[str]:
    """Yield where a controller listens; an app is started, and ended."""
    from qnet.emulate.process.controller import Controller

    if controller.startswith(("tcp:", "udp:", "ssl:", "unix:")):
        (found,) = addresses([controller])
        if found.startswith("ssl:"):
            words = "changes are played to controllers at tcp:HOST:PORT, or to an app"
            raise ArgumentError([Problem("controller", 0, 0, "", words)])
        yield found
        return
    path = Path(controller)
    if path.suffix == ".py" and not path.is_file():
        raise ArgumentError([Problem("controller", 0, 0, "", f"there is no file {controller}")])
    is_file = path.suffix == ".py"
    modules = path.resolve().parent if is_file else None
    with Controller([path.stem if is_file else controller], modules=modules) as app:
        yield app.target


def _check_reached(testbed: Testbed, pairs: Sequence[tuple[str, str]]) -> None:
    """Raise ArgumentError when hosts do not reach each other while nothing is broken."""
    from qnet.emulate.switches.switch_set import SETTLE_S

    until = testbed.connected_at + SETTLE_S
    silent = list(pairs)
    while silent:
        silent = [pair for pair in silent if not testbed.reaches(*pair)]
        if silent and time.monotonic() > until:
            break
        testbed.wait(0.5 if silent else 0)
    if silent:
        ends = ", ".join(f"{one} to {two}" for one, two in silent[:3])
        words = f"frames from {ends} do not come, or not once, before anything happens"
        raise ArgumentError([Problem("controller", 0, 0, "", words)])


def use_hosts(
    scenario: Scenario,
    plan: Plan,
    commands: Sequence[str] = (),
    *,
    controller: str | None = None,
    cli: bool = False,
    arp: bool = False,
    dilation: int = 1,
    openflow: Version | None = None,
    tls: TlsFiles | None = None,
) -> Emulated:
    """Have hosts of the emulated network run commands, as in 'a=ping -c 3 10.0.0.2'. Needs root.

    Several run at once, those of one host one after the other, under a controller or else under
    qnet's rules. With `cli` Mininet's command line has the terminal. Nothing else is sent. Raises
    ArgumentError for a host that is none, EnvironmentMissing, and TestbedBroken.
    """
    from qnet.emulate.switches.talk import USUAL
    from qnet.emulate.tiers.mininet import run_sample
    from qnet.emulate.tiers.tier import Options

    options = Options(
        commands=tuple(_host_command(scenario, one) for one in commands),
        controller=controller,
        cli=cli,
        arp=arp,
        dilation=dilation,
        free_run=True,
        versions=USUAL if openflow is None else (openflow,),
        tls=tls,
    )
    return run_sample(scenario.topology, scenario.profile, plan, {}, options)


def check_commands(scenario: Scenario, commands: Iterable[str]) -> None:
    """Refuse commands of no host before anything long is run."""
    for one in commands:
        _host_command(scenario, one)


def _host_command(scenario: Scenario, text: str) -> HostCommand:
    """Read HOST=COMMAND."""
    from qnet.emulate.tiers.tier import HostCommand

    nodes = scenario.topology.node_by_name
    host, equals, command = text.partition("=")
    if not equals or host not in nodes:
        words = f"'{text}' names no host; write it like '{next(iter(nodes))}=ping -c 3 10.0.0.2'"
        raise ArgumentError([Problem("exec", 0, 0, "", words)])
    return HostCommand(host, command)


def captured_files(scenario: Scenario) -> list[str]:
    """Return what captures of an emulation can be called in their folder."""
    from qnet.emulate.frames.captures import names_of

    return names_of(scenario.topology)


def doctor() -> tuple[list[MachineFinding], list[str]]:
    """Return what this machine can do and what it cannot, and what would mend that."""
    from qnet.emulate.tiers.doctor import advice, examine

    findings = examine()
    return findings, advice(findings)


def cleanup(folders: Iterable[Path]) -> list[str]:
    """Remove what killed runs have left, here and half-written in folders; say what it was."""
    from qnet.emulate.process.cleanup import cleanup as clean
    from qnet.files.write import remove_leftovers

    told = clean()
    for folder in folders:
        told += [f"removed {path}" for path in remove_leftovers(folder)]
    return told
