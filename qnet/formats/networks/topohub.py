"""Networks of the package topohub (MIT), by their names: 'topozoo/Abilene', 'sndlib/polska'.

Its places are degrees, longitude first, and `dist` is the great circle between them in km. Places
of some networks of SNDlib are those of a drawing, and their `dist` means nothing; the drawn graphs
of Gabriel's kind lie in a plane, and have `dist` in its km.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files as package_files
from pathlib import Path

from qnet.errors import EnvironmentMissing, InputError
from qnet.files.tree import Source, guess
from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.found import FoundNetwork
from qnet.formats.networks.node_link import add_graph
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import read_json

_GROUPS = {
    "topozoo": "the Internet Topology Zoo",
    "sndlib": "SNDlib",
    "caida": "CAIDA",
    "backbone": "",
    "gabriel": "",
}


def read(names: Sequence[str], options: ImportOptions) -> Imported:
    """Read a network that topohub has. Raises EnvironmentMissing without topohub."""
    name = names[0]
    known = known_names()
    source = Source(name)
    if name not in known:
        words = (
            f"topohub has no such network{guess(name, known)}; its groups are {', '.join(_GROUPS)}"
        )
        source.report(0, 0, "", words)
        raise InputError(source.problems)
    data = read_json(source, known[name].read_bytes())
    found = FoundNetwork(name, source)
    group = name.partition("/")[0]
    if group == "gabriel":
        options = replace(options, coordinates="drawing")
    has_distances = group == "gabriel" or options.coordinates == "degrees"
    add_graph(found, data, options, straight="dist" if has_distances else None)
    found.title = f"topohub's {name}"
    origin = _GROUPS.get(group, "")
    found.description = f"from topohub {version('topohub')}" + (origin and f", after {origin}")
    return assemble(found, options)


def known_names() -> dict[str, Path]:
    """Return the files of all networks that topohub has, by their names."""
    try:
        folder = Path(str(package_files("topohub"))) / "data"
    except ModuleNotFoundError:
        words = "topohub is not installed: pip install 'qnet-emulator[networks]'"
        raise EnvironmentMissing(words) from None
    found = sorted(folder.rglob("*.json"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}
