"""A file of SNDlib's, in either format, to a topology and its demands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.found import (
    FoundDemand,
    FoundLink,
    FoundNetwork,
    FoundNode,
    GivenUnit,
    place,
)
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.sndlib.native import NativeReader
from qnet.formats.networks.sndlib.nouns import SndLink, SndNetwork
from qnet.formats.networks.sndlib.xml import read_tree
from qnet.formats.networks.texts import decode, open_all

UNITS = {
    "BITPERSEC": "bps",
    "KBITPERSEC": "kbps",
    "MBITPERSEC": "Mbps",
    "GBITPERSEC": "Gbps",
    "TBITPERSEC": "Tbps",
}
"""What META calls them."""


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a network. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    found = FoundNetwork(Path(files[0]).stem, source)
    if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        options, network = read_tree(found, raw, options)
    else:
        network = NativeReader(found, decode(source, raw)).read()
    _add_network(found, network, options)
    return assemble(found, options)


def _add_network(found: FoundNetwork, network: SndNetwork, options: ImportOptions) -> None:
    """Add nodes, links and demands, with units."""
    for name, x, y in network.nodes:
        spot = name.spot._replace(where=f"node {name.text}")
        where = None
        if x is not None and y is not None:
            where = place(found, spot, float(x), float(y), options, may_be_drawn=True)
        found.add_node(FoundNode(name.text, name.text, spot, where))
    known = UNITS.get(network.unit.upper())
    if network.unit and known is None:
        found.note("a unit that has no meaning here", network.unit)
    unit = GivenUnit(found, options, known)
    pairs = Counter(link.ends for link in network.links)
    is_directed = all(pairs[ends[::-1]] == count for ends, count in pairs.items())
    for link in network.links:
        spot = link.name.spot._replace(where=f"link {link.name.text}")
        rate_bps = unit.rate_bps(_capacity(found, link), "capacities")
        found.add_link(
            FoundLink(*link.ends, spot, rate_bps=rate_bps or None, is_directed=is_directed)
        )
    for demand in network.demands:
        spot = demand.name.spot._replace(where=f"demand {demand.name.text}")
        rate_bps = unit.rate_bps(demand.amount, "demands")
        if rate_bps is not None:
            what = "demands taken one way, from their first node to their second"
            found.note(what, of_demands=True)
            found.add_demand(FoundDemand(*demand.ends, rate_bps, spot))
    unit.ask()


def _capacity(found: FoundNetwork, link: SndLink) -> Fraction | None:
    if link.installed or not link.modules:
        return link.installed or None
    found.note("links without installed capacity, taken with their largest module", link.name.text)
    return max(link.modules)
