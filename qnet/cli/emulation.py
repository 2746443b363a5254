"""The verb for controllers of one's own: emulate."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from qnet.api import check_emulated, check_no_events, check_port
from qnet.cli.command import NOT_KNOWN, main
from qnet.cli.options import report_options, scenario_options, simulation_options
from qnet.cli.output import say, say_json
from qnet.cli.outputs import check_outputs, of_report
from qnet.cli.stages import Left, answer, check_out, load_scenario, observe, play, prove
from qnet.cli.stages import plan as make_plan
from qnet.errors import ArgumentError, InputError, Problem
from qnet.units import PS_PER_S, TIME, UnitError, parse

if TYPE_CHECKING:
    from qnet.model.emulation import Tier
    from qnet.model.scenario import Scenario


def _targets(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Read where controllers listen."""
    del option
    if not values:
        return ()
    from qnet.machine import addresses

    return addresses(values)


def _seconds(_: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Read a time of the wall clock."""
    if value is None:
        return None
    try:
        return parse(TIME, value) / PS_PER_S
    except UnitError as error:
        raise InputError([Problem(option.opts[0], 0, 0, "", str(error))]) from None


def _names(_: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Read names with commas between."""
    del option
    return tuple(one.strip() for one in value.split(",")) if value else ()


def _pairs(
    _: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Read pairs of hosts; raises InputError for what is none."""
    pairs = [tuple(one.strip() for one in value.split(",")) for value in values]
    problems = [
        Problem(option.opts[0], 0, 0, "", f"'{value}' is no pair of hosts; write it like 'a,b'")
        for value, pair in zip(values, pairs, strict=True)
        if len(pair) != 2
    ]
    if problems:
        raise InputError(problems)
    return tuple((pair[0], pair[1]) for pair in pairs)


@main.command()
@scenario_options
@simulation_options
@report_options
@click.option(
    "--controller",
    "controllers",
    metavar="tcp:HOST:PORT|ssl:HOST:PORT",
    multiple=True,
    callback=_targets,
    help="Your controller, which listens there; switches of the topology connect to it. Given "
    "several times, they connect to all, and each is away in turn (--against reach).",
)
@click.option(
    "--tls-ca",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For a controller at ssl:HOST:PORT: the CA (PEM) that has signed its certificate.",
)
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The certificate (PEM) that switches show to a controller that asks for one.",
)
@click.option(
    "--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="The key of --tls-cert."
)
@click.option(
    "--against",
    type=click.Choice(["reach", "plan"]),
    default="reach",
    help="reach: plain forwarding between hosts (default); plan: qnet's plan of the profile, "
    "with paths, cycle tags and virtual times.",
)
@click.option(
    "--openflow",
    type=click.Choice(["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"]),
    help="The version that switches speak with your controller; default 1.3 and 1.5. Plans need "
    "1.3 or later.",
)
@click.option(
    "--rules-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the rules that the plan wants there before switches connect (--against plan).",
)
@click.option(
    "--tier",
    type=click.Choice(["lockstep", "mininet"]),
    default="lockstep",
    help="What your controller is judged on: lockstep, without root (default), or mininet, with "
    "hosts and devices, as root.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 10**9),
    metavar="N",
    help="Pairs of hosts; against the plan frames, or in tier mininet streams and demands.",
)
@click.option(
    "--exec",
    "commands",
    multiple=True,
    metavar="HOST=COMMAND",
    help="Run a shell command in the host of a node, under your controller or else with qnet's "
    "rules; several run at once, those of one host one after the other. Needs root.",
)
@click.option("--cli", is_flag=True, help="Open Mininet's command line there. Needs root.")
@click.option(
    "--arp",
    is_flag=True,
    help="Give hosts each other's addresses from the start, as 'mn --arp' does; under your own "
    "controller they ask otherwise, and one that is not answered reaches nobody.",
)
@click.option(
    "--settle",
    metavar="TIME",
    callback=_seconds,
    help="Wait so long after switches are connected and judge once. Without it, hosts that do not "
    "reach each other are tried again until 45s are over. With --against plan: wait for the "
    "rules for so long at most.",
)
@click.option(
    "--patience",
    metavar="TIME",
    callback=_seconds,
    help="What a frame may take at a switch that asks the controller; default 400ms.",
)
@click.option(
    "--failover",
    metavar="TIME",
    callback=_seconds,
    help="Longest wait for a way round a cut link; default 10s.",
)
@click.option("--no-failover", is_flag=True, help="Cut no link.")
@click.option(
    "--judge",
    metavar="all|NAME,...",
    callback=_names,
    help="Examine it in more than reach and give a scorecard: ethertypes, isolation, packet-ins, "
    "tables, mended, slow, away, restart, switch, full, refused, or all of them.",
)
@click.option(
    "--isolated",
    metavar="A,B",
    multiple=True,
    callback=_pairs,
    help="Two hosts that are to get nothing of each other; may be given again (--judge).",
)
@click.option(
    "--restart",
    metavar="COMMAND",
    default="",
    help="A shell command that starts your controller anew, for that examination (--judge).",
)
@click.option(
    "--recover",
    "recover_s",
    metavar="TIME",
    callback=_seconds,
    help="Longest wait for hosts to reach each other again after trouble (--judge); default 45s.",
)
@click.option(
    "--dilation",
    type=click.IntRange(1, 10**6),
    metavar="D",
    help="Stretch time so much in tier mininet; default 1 for --exec and --cli, else chosen.",
)
def emulate(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    controllers: tuple[str, ...],
    against: str,
    tier: Tier,
    sample: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Judge your own controller on real switches, or use the emulated network's hosts.

    Exit code 1 when the controller falls short, or a host's command does; 3 when it has gone.
    """
    out, port, rules_file = (options.pop(name) for name in ("out", "port", "rules_file"))
    commands, cli, arp, dilation = map(options.pop, ("commands", "cli", "arp", "dilation"))
    given = {one: options.pop(one) for one in ("settle", "patience", "failover", "no_failover")}
    course = {one: options.pop(one) for one in ("judge", "isolated", "restart", "recover_s")}
    if not controllers and not commands and not cli:
        words = "give your controller's address, or --exec or --cli to use the hosts"
        raise InputError([Problem("--controller", 0, 0, "", words)])
    openflow: str | None = options.pop("openflow")
    ca, cert, key = (options.pop(f"tls_{one}") for one in ("ca", "cert", "key"))
    uses_hosts = bool(commands or cli)
    judged = "hosts" if uses_hosts else against
    stretched = uses_hosts or (judged == "plan" and tier == "mininet")
    reach = judged == "reach"
    _check_heeded(
        ("--arp", arp, judged != "plan", "goes with --exec or --cli, or --against reach"),
        *(
            (f"--{name.replace('_', '-')}", value is not None, reach, "goes with --against reach")
            for name, value in given.items()
            if value is not False and (name != "settle" or uses_hosts)
        ),
        *_examined(course, reach),
        ("--no-failover", given["no_failover"], given["failover"] is None, "or --failover"),
        ("--patience", given["patience"] == 0.0, False, "must be more than 0"),
        (
            "--dilation",
            dilation,
            stretched,
            "goes with hosts, or with --tier mininet --against plan",
        ),
        ("--rules-file", rules_file, judged == "plan", "goes with --against plan"),
        ("--openflow", openflow, bool(controllers), "goes with --controller"),
        ("several --controller", len(controllers) > 1, reach, "go with --against reach"),
        (
            "--openflow",
            openflow,
            judged != "plan" or (openflow or "1.3") >= "1.3",
            "plans have meters and metadata: 1.3 or later, or --against reach",
        ),
        *_only_simulated(judged),
        ("--port", port, judged == "plan", "goes with --against plan"),
        ("--out", out, not uses_hosts, "is for judging: leave out --exec and --cli"),
        ("--json", as_json, not cli, "goes without --cli"),
        (
            "--tier lockstep",
            _chose("tier", "lockstep"),
            not uses_hosts,
            "hosts are in tier mininet",
        ),
        ("--sample", sample, not uses_hosts, "is for judging: leave out --exec and --cli"),
        ("--against", against == "plan", not uses_hosts, "leave out --exec and --cli"),
    )
    from qnet.machine import tls_files

    tls = tls_files(controllers, ca, cert, key)
    scenario = load_scenario(profile, topology, settings, **options)
    if uses_hosts or stretched:
        check_no_events(scenario)
    check_emulated(scenario, None if reach else "mininet" if uses_hosts else tier)
    check_port(scenario, port)
    check_out(out)
    check_outputs([], ("--rules-file", rules_file), *of_report(out), scenario=scenario)
    controller = controllers[0] if controllers else None
    if uses_hosts:
        hosts = {"controller": controller, "cli": cli, "arp": arp, "openflow": openflow, "tls": tls}
        _use_hosts(scenario, commands, as_json, {**hosts, "dilation": dilation or 1})
        return
    if against == "reach":
        how = {f"{one}_s": given[one] for one in ("settle", "patience", "failover")}
        how |= {"tier": tier, "sample": sample, "arp": arp, "openflow": openflow, "tls": tls}
        how |= {"failover": not given["no_failover"], **course}
        _reach(scenario, controllers, out, as_json, how)
        return
    made = make_plan(scenario)
    proof = prove(scenario, made)
    how = {one: options[one] for one in ("threads", "at_most")}
    observation = observe(scenario, made, **how)
    how = {"controller": controller, "rules_file": rules_file, "tls": tls}
    if openflow is not None:
        how["versions"] = (openflow,)
    if given["settle"] is not None:
        how["settle_s"] = given["settle"]
    if tier == "mininet":
        how["dilation"] = dilation
    result = play(scenario, made, proof, observation, tier=tier, sample=sample, **how)
    answer(scenario, made, proof, observation, as_json, Left(out, port), result)


def _examined(course: Mapping[str, object], reach: bool) -> Iterator[tuple[str, object, bool, str]]:
    """Give the options of examinations, as `_check_heeded` wants it."""
    yield "--judge", course["judge"], reach, "goes with --against reach"
    for name in ("isolated", "restart", "recover_s"):
        is_given = course[name] not in ((), "", None)
        yield f"--{name.removesuffix('_s')}", is_given, bool(course["judge"]), "goes with --judge"


def _only_simulated(judged: str) -> Iterator[tuple[str, object, bool, str]]:
    """Give what a simulation alone heeds, as `_check_heeded` wants it."""
    for name in ("duration", "seed", "threads", "at_most", "events"):
        words = "reach sends frames of its own and simulates nothing; goes with --against plan"
        yield f"--{name.replace('_', '-')}", _chose(name), judged != "reach", words
    for name in ("measure", "trace", "trace_frames", "checkpoint", "every", "resume"):
        words = "nothing of an emulation; goes with 'qnet run' and 'qnet simulate'"
        yield f"--{name.replace('_', '-')}", _chose(name), False, words


def _chose(name: str, value: object = None) -> bool:
    """Tell whether an option is on the command line, with this value if one is asked for."""
    context = click.get_current_context()
    given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
    return given and (value is None or context.params.get(name) == value)


def _check_heeded(*options: tuple[str, object, bool, str]) -> None:
    """Refuse options that are given and that nothing would heed: name, value, heeded, words."""
    problems = [
        Problem(name, 0, 0, "", words)
        for name, value, heeded, words in options
        if value and not heeded
    ]
    if problems:
        raise InputError(problems)


def _use_hosts(
    scenario: Scenario, commands: tuple[str, ...], as_json: bool, given: Mapping[str, Any]
) -> None:
    """Have hosts run commands; `given` are arguments of `qnet.machine.use_hosts`."""
    from qnet.machine import check_commands, use_hosts

    check_commands(scenario, commands)
    run = use_hosts(scenario, make_plan(scenario), commands, **given)
    for words in run.control:
        click.echo(words, err=True)
    if as_json:
        say_json([vars(one) for one in run.commands])
    else:
        for done in run.commands:
            say(f"{done.host}: {done.command}\n{done.output}")
    if any(done.exit_code for done in run.commands):
        sys.exit(1)


@main.command()
@click.argument(
    "folders",
    nargs=-1,
    metavar="[FOLDER]...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
def cleanup(folders: tuple[Path, ...]) -> None:
    """Remove what commands that were killed have left: emulations on this machine, half-written
    results in each FOLDER (default: the current one).
    """
    from qnet.machine import cleanup as clean

    for words in clean(folders or (Path(),)) or ["nothing was left"]:
        say(words)


def _reach(
    scenario: Scenario,
    controllers: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    given: Mapping[str, Any],
) -> None:
    """Judge reach; `given` are arguments of `qnet.machine.reach`."""
    from qnet.machine import reach
    from qnet.report.reach import reach_lines, write_reach
    from qnet.report.reach_page import reach_page

    try:
        found = reach(scenario, controllers, **given)
    except ArgumentError as error:
        raise error.as_options() from None
    title = f"{' and '.join(controllers)} on {scenario.topology.title}"
    if out is not None:
        page = reach_page(title, scenario.topology, found, given["settle_s"])
        write_reach(out, title, found, page)
    if as_json:
        say_json(found.told())
    else:
        say("\n".join(reach_lines(title, found, given["settle_s"])))
    if found.outcome != "pass":
        sys.exit(1 if found.outcome == "fail" else NOT_KNOWN)
