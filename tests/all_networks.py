"""Import every network that there is, validate it, plan a drawn matrix over it, simulate 1 ms.

    python -m tests.all_networks --zoo FOLDER --topohub --gnpy FOLDER [--table FILE] [--only WORD]

The folders have GraphML files of the Internet Topology Zoo, and GNPy's `example-data`; topohub's
networks come from its package. The judge (`network_judge.py`) counts edges by itself. Ends with 1
when an edge is neither a wire nor listed, or a network could not be imported, validated, planned or
simulated. It takes long, so it is run by hand; a few of the networks are in `tests/unit`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import yaml

import qnet
from qnet.errors import QnetError
from qnet.files.read import read_topology
from qnet.interchange import import_network, network_files
from tests import network_judge as judge

TALKERS, LISTENERS = 4, 8


@dataclass
class Group:
    """What became of the networks of one kind."""

    graphs: int = 0
    seconds: float = 0.0
    sums: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def drawn_traffic(folder: Path, seed: int) -> dict[str, object]:
    """Draw demands in the largest part; together they are half of what its slowest wire has."""
    with (folder / "topology.yaml").open(encoding="utf-8") as file:
        topology = yaml.load(file, Loader=yaml.CSafeLoader)
    beside: dict[str, set[str]] = defaultdict(set)
    after: dict[str, set[str]] = defaultdict(set)
    for link in topology["links"]:
        near, far = link["between"]
        beside[near].add(far)
        beside[far].add(near)
        after[near].add(far)
        if link.get("direction") != "one-way":
            after[far].add(near)
    part = largest_part(beside)
    slowest_bps = min(
        rate
        for link in read_topology(str(folder / "topology.yaml")).links
        for rate in link.rate_bps
        if link.between[0] in part
    )
    draw = numpy.random.Generator(numpy.random.PCG64(seed))
    talkers = draw.choice(len(part), min(TALKERS, len(part)), replace=False)
    listeners = draw.choice(len(part), min(LISTENERS, len(part)), replace=False)
    pairs = [
        (one, other)
        for one in sorted(talkers)
        for other in sorted(listeners)
        if one != other and part[other] in reached(after, part[one])
    ]
    weights = draw.random(len(pairs)) + 0.1
    shares = weights / weights.sum() * slowest_bps / 2
    demands = [
        {"name": f"d{i}", "from": part[one], "to": part[other], "rate": f"{max(int(share), 1)}bps"}
        for i, ((one, other), share) in enumerate(zip(pairs, shares, strict=True))
    ]
    return {"title": "A drawn matrix", "topology": "topology", "demands": demands}


def largest_part(beside: dict[str, set[str]]) -> list[str]:
    """Return the nodes of the largest connected part, sorted."""
    left, largest = set(beside), set[str]()
    while left:
        part = reached(beside, min(left))
        left -= part
        largest = max(largest, part, key=len)
    return sorted(largest)


def reached(after: dict[str, set[str]], start: str) -> set[str]:
    """Return the nodes that edges lead to from a node, and itself."""
    part = edge = {start}
    while edge:
        edge = {other for node in edge for other in after[node]} - part
        part = part | edge
    return part


def networks(options: argparse.Namespace) -> Iterator[tuple[str, str, str, int]]:
    """Yield group, format, what to import, and how many edges the judge finds in it."""
    if options.zoo:
        for path in sorted(Path(options.zoo).glob("*.graphml")):
            edges = judge.edges_in_graphml(path.read_text(encoding="utf-8"))
            yield "Topology Zoo, GraphML", "graphml", str(path), edges
    if options.topohub:
        for name in judge.topohub_names():
            group = name.partition("/")[0]
            if group != "gabriel" or name.endswith("/0"):
                edges = len(judge.topohub_graph(name)["edges"])
                yield f"topohub, {group}", "topohub", name, edges

    if options.gnpy:
        for path in sorted(Path(options.gnpy).glob("*.json")):
            text = path.read_text(encoding="utf-8")
            if '"connections"' in text:
                yield "GNPy's examples", "gnpy", str(path), judge.edges_in_gnpy(text)


def try_network(group: Group, format: str, name: str, edges: int, folder: Path) -> None:
    """Import, validate, plan and simulate one network; note how far it came."""
    options: dict[str, object] = {}
    if format == "graphml":
        options["hyperedge"] = "switch"
    if name.startswith("sndlib/"):
        options["unit"] = "Mbps"
        off_globe = any(abs(x) > 180 or abs(y) > 90 for x, y in judge.places(name))
        options["coordinates"] = "drawing" if off_globe else "degrees"
    made = import_network(format, name, **options)  # type: ignore[arg-type]
    for old in ("topology.yaml", "traffic.yaml"):
        (folder / old).unlink(missing_ok=True)
    for file, text in network_files(made).items():
        (folder / file).write_text(text, encoding="utf-8")
    group.sums["imported"] += 1
    group.sums.update(judge.judge(edges, folder))
    read_topology(str(folder / "topology.yaml"))
    if made.profile is not None:
        qnet.load(str(folder / "traffic.yaml"))
    group.sums["valid"] += 1
    case = qnet.load(
        drawn_traffic(folder, seed=group.graphs), topology=str(folder / "topology.yaml")
    ).with_(duration="1ms")
    plan = qnet.plan(case)
    placed = sum(share.rate_bps for one in plan.demands for share in one.parts)
    wanted = sum(one.rate_bps for one in case.profile.demands)
    if placed != wanted:
        group.wrong.append(f"{name}: {placed} of {wanted} bit/s placed")
    else:
        group.sums["planned"] += 1
    seen = qnet.observe(case, plan)
    verdict = qnet.judge(case, plan, qnet.prove(case, plan), seen)
    group.sums["simulated"] += 1
    group.sums["frames"] += seen.frames
    group.outcomes[verdict.outcome] += 1


def row(name: str, group: Group) -> str:
    """Return a line of the table."""
    sums, outcomes = group.sums, group.outcomes
    cells = [
        name,
        *(f"{sums[key]:,}" for key in ("nodes", "edges", "wires", "lost")),
        *(
            f"{sums[key]} of {group.graphs}"
            for key in ("imported", "valid", "planned", "simulated")
        ),
        f"{sums['frames']:,}",
        f"{outcomes['pass']} / {outcomes['unknown']} / {outcomes['fail']}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| Networks | nodes | edges | wires | edges listed | imported | valid | planned | simulated "
    "| frames | pass / not known / fail |\n|" + "---|" * 11
)


def main() -> None:
    """Try all networks and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--zoo", metavar="FOLDER")
    parser.add_argument("--topohub", action="store_true")
    parser.add_argument("--gnpy", metavar="FOLDER")
    parser.add_argument("--only", default="")
    parser.add_argument("--table", metavar="FILE")
    options = parser.parse_args()
    groups: dict[str, Group] = defaultdict(Group)
    with tempfile.TemporaryDirectory() as place:
        for kind, format, name, edges in networks(options):
            if not any(word in name for word in options.only.split(",")):
                continue
            group = groups[kind]
            group.graphs += 1
            start = time.monotonic()
            try:
                try_network(group, format, name, edges, Path(place))
            except (QnetError, AssertionError) as error:
                group.wrong.append(f"{name}: {str(error)[:200]}")
            group.seconds += time.monotonic() - start
            if group.graphs % 20 == 0:
                sys.stderr.write(f"{kind}: {group.graphs}, {group.seconds:.0f} s\n")
    lines = [HEAD, *(row(kind, group) for kind, group in groups.items())]
    wrong = [one for group in groups.values() for one in group.wrong]
    sys.stdout.write("\n".join([*lines, *wrong]) + "\n")
    if options.table:
        Path(options.table).write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.exit(1 if wrong or not groups else 0)


if __name__ == "__main__":
    main()
