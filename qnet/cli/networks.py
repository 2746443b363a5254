"""`qnet import FORMAT`, `qnet export FORMAT`: networks of other programs.

Each has a command for each line of the table of formats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from qnet.cli.options import output_option
from qnet.cli.output import say, say_json
from qnet.cli.outputs import check_outputs, in_folder
from qnet.cli.stages import check_out

FILES = ("topology.yaml", "traffic.yaml")
"""What an import leaves in its folder; without demands the first one only."""


def _pairs(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> Mapping[str, str]:
    """Read 'PORT=NODE', each port once."""
    made: dict[str, str] = {}
    for one in given:
        port, mark, node = one.rpartition("=")
        if not (port and mark and node):
            raise click.BadParameter(f"'{one}' is no PORT=NODE")
        if made.setdefault(port, node) != node:
            raise click.BadParameter(f"port '{port}' at two nodes, {made[port]} and {node}")
    return made


OPTIONS = {
    "rate": click.option(
        "--rate", default="10Gbps", show_default=True, help="Rate of links that say none."
    ),
    "metro-length": click.option(
        "--metro-length",
        default="10km",
        show_default=True,
        metavar="LENGTH",
        help="Length of links whose ends have no place, or one and the same.",
    ),
    "detour": click.option(
        "--detour",
        default="1.8",
        show_default=True,
        metavar="FACTOR",
        help="Fibre is so much longer than the great circle.",
    ),
    "largest": click.option(
        "--largest", is_flag=True, help="Keep the largest part of what falls into several."
    ),
    "hyperedge": click.option(
        "--hyperedge",
        type=click.Choice(["switch", "clique", "drop"]),
        help="Keep a bus or cloud as a switch, join its neighbours, or leave it out.",
    ),
    "unit": click.option(
        "--unit", help="Unit of capacities and demands, such as Mbps; 'none' leaves them out."
    ),
    "topology": click.option(
        "--topology",
        metavar="TOPOLOGY",
        help="Bundled network, or the file of one, to read it for.",
    ),
    "interval": click.option(
        "--interval", type=int, metavar="N", help="Which one is taken of a file of several."
    ),
    "coordinates": click.option(
        "--coordinates",
        type=click.Choice(["degrees", "drawing"]),
        help="Degrees (default) or those of a drawing, which say nothing about lengths.",
    ),
    "network": click.option("--network", metavar="ID", help="Which network of several."),
    "ports": click.option(
        "--map",
        "ports",
        multiple=True,
        callback=_pairs,
        metavar="PORT=NODE",
        help="At which node a port is, where its name or location is none; may be repeated.",
    ),
}
"""All of an import; what is not of links is of formats that ask for it."""

EXPORT_OPTIONS: dict[str, Any] = {
    "unit": click.option("--unit", help="Unit of what is written, such as Mbps."),
    "stretch": click.option(
        "--stretch", type=int, metavar="N", help="Run time N times slower; rates are so much lower."
    ),
}
"""Of exports that ask for them."""

_OF_LINKS = ("rate", "metro-length", "detour", "largest")


class _Formats(click.Group, ABC):
    """A group with a command for each format of networks beside those that it has itself."""

    @abstractmethod
    def formats(self) -> Collection[str]:
        """Name the formats."""

    @abstractmethod
    def make(self, name: str) -> click.Command:
        """Make the command of a format."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Name all commands."""
        return sorted([*super().list_commands(context), *self.formats()])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return a command; those of formats are made when they are asked for."""
        own = super().get_command(context, name)
        return self.make(name) if own is None and name in self.formats() else own


class Imports(_Formats):
    """The formats that can be read."""

    def formats(self) -> Collection[str]:
        """Name the formats."""
        from qnet.interchange import network_formats

        return network_formats()

    def make(self, name: str) -> click.Command:
        """Make the command of a format."""
        return _import_command(name)


class Exports(_Formats):
    """The formats that can be written."""

    def formats(self) -> Collection[str]:
        """Name the formats."""
        from qnet.interchange import network_exports

        return network_exports()

    def make(self, name: str) -> click.Command:
        """Make the command of a format."""
        return _export_command(name)


def _import_command(name: str) -> click.Command:
    from qnet.interchange import network_formats

    chosen = network_formats()[name]

    def run(files: tuple[str, ...], output: Path, as_json: bool, **options: Any) -> None:
        _import(name, files, output, as_json, options)

    run.__doc__ = (
        f"{chosen.summary}\n\nLeaves topology.yaml, and traffic.yaml where there are demands. What "
        "was assumed, merged, renamed or left out is listed, and kept in the files."
    )
    command: Any = run
    of_links = _OF_LINKS if chosen.has_links else ()
    takes = [key for key in OPTIONS if key in chosen.asks or key in of_links]
    for key in reversed(takes):
        command = OPTIONS[key](command)
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines."),
        click.option(
            "-o",
            "--output",
            type=click.Path(file_okay=False, path_type=Path),
            required=True,
            metavar="DIR",
            help="Leave the files there.",
        ),
        click.argument("files", nargs=-1, metavar=" ".join(chosen.arguments)),
    ):
        command = option(command)
    return click.command(name)(command)


def _import(
    name: str, files: tuple[str, ...], output: Path, as_json: bool, options: dict[str, Any]
) -> None:
    from qnet.files.folder import whole_folder
    from qnet.files.write import write_text
    from qnet.interchange import import_network, network_files

    topology = [options["topology"]] if options.get("topology") else []
    check_outputs([*files, *topology], *in_folder("--output", output, FILES))
    check_out(output)
    made = import_network(name, *files, **options)
    texts = network_files(made)
    with whole_folder(output, FILES) as folder:
        for file, text in texts.items():
            write_text(folder / file, text)
    counts = {
        "nodes": len(made.topology.nodes),
        "links": len(made.topology.links),
        "wires": made.wires,
        "demands": len(made.profile.demands) if made.profile is not None else 0,
        "edges": made.edges,
    }
    if as_json:
        say_json({**counts, "assumptions": [asdict(one) for one in made.assumptions]})
        return
    of = f"{counts['links']:,} links of {counts['wires']:,} wires, from {counts['edges']:,} edges"
    demands = f", {counts['demands']:,} demands" if counts["demands"] else ""
    say(f"{counts['nodes']:,} nodes, {of}{demands}: {' and '.join(texts)} in {output}")
    say_list("assumed", made.assumptions)


def say_list(head: str, listed: Iterable[object]) -> None:
    """Print what was assumed or left out, beside the answer."""
    lines = [f"  {one}" for one in listed]
    if lines:
        say("\n".join([f"{head}:", *lines]), err=True)


def _export_command(name: str) -> click.Command:
    from qnet.interchange import network_exports

    chosen = network_exports()[name]
    kind = "PROFILE" if chosen.of_traffic else "TOPOLOGY"

    def run(what: str, output: Path | None, as_json: bool, **options: Any) -> None:
        _export(name, what, output, as_json, options)

    run.__doc__ = (
        f"{chosen.summary}\n\n{kind} is a bundled "
        f"{'traffic file or your own' if chosen.of_traffic else 'network or the file of one'}. "
        "What the format cannot say is listed."
    )
    command: Any = run
    for option in (
        *(EXPORT_OPTIONS[key] for key in sorted(chosen.asks)),
        click.option("--json", "as_json", is_flag=True, help="Print the list as JSON; needs -o."),
        output_option("Write the file there instead of to standard output."),
        click.argument("what", metavar=kind),
    ):
        command = option(command)
    return click.command(name)(command)


def _export(
    name: str, what: str, output: Path | None, as_json: bool, options: dict[str, Any]
) -> None:
    from qnet.files.read import load, read_topology
    from qnet.files.write import write_text
    from qnet.interchange import export_network, network_exports

    if as_json and output is None:
        raise click.UsageError("'--json' needs '-o': standard output has the network otherwise")
    check_outputs([what], ("--output", output))
    scenario = load(what) if network_exports()[name].of_traffic else None
    network = read_topology(what) if scenario is None else scenario.topology
    made = export_network(name, scenario or network, **options)
    counts = {
        "nodes": len(network.nodes),
        "links": len(network.links),
        "wires": sum(link.members for link in network.links),
    }
    if output is None:
        say(made.text.removesuffix("\n"))
    else:
        write_text(output, made.text)
    if as_json:
        say_json({**counts, "left_out": [asdict(one) for one in made.left_out]})
        return
    if output is not None:
        of = f"{counts['links']:,} links of {counts['wires']:,} wires"
        say(f"{counts['nodes']:,} nodes, {of}: {output}")
    say_list("left out", made.left_out)
