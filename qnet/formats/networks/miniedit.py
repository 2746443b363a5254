"""Topologies of MiniEdit, the editor that Mininet comes with (`examples/miniedit.py`, `.mn`).

`hosts` and `switches` have `number` and `opts` with `hostname`; `links` lead from `src` to `dest`,
with `bw` in Mbit/s, `delay` as tc takes it, `loss` in per cent. `x` and `y` are pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import number
from qnet.formats.networks.found import FoundLink, FoundNetwork, FoundNode, Spot
from qnet.formats.networks.json_objects import Item, Objects, below, mapping
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import open_all
from qnet.units import RATE, TIME, UnitError, describe, parse

_LETTERS = {"hosts": "h", "switches": "s"}
_ROLES = {"legacyRouter": "router", "legacySwitch": "switch"}
_TIME = re.compile(r"([0-9.]+)\s*(s|secs?|ms|msecs?|us|usecs?|ns|nsecs?)")
_TC_UNITS = {"s": "s", "m": "ms", "u": "us", "n": "ns"}
_OF_NODES = {"hostname", "nodeNum", "switchType"}
_OF_LINKS = {"bw", "delay", "loss"}
_NO_PLACE = "left out, for which qnet's files have no place"


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a topology of MiniEdit's. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    found = FoundNetwork(Path(files[0]).stem, source)
    objects = Objects(found, source, raw, "'hosts', 'switches' and 'links'")
    for kind in _LETTERS:
        for spot, item in objects.list_of(kind):
            _add_node(found, kind, spot, item)
    for spot, item in objects.list_of("links"):
        _add_link(found, spot, item)
    controllers = objects.data.get("controllers")
    if isinstance(controllers, (list, dict)) and controllers:
        found.note("controllers left out", count=len(controllers))
    objects.list_rest("version", "controllers", "links", *_LETTERS)
    if found.nodes:
        found.note("places left out, which are pixels of a drawing", count=len(found.nodes))
    return assemble(found, options)


def _add_node(found: FoundNetwork, kind: str, spot: Spot, item: Item) -> None:
    opts = mapping(found, spot, item, "opts")
    name = opts.get("hostname")
    if name is None:
        given = item.get("number")
        if not isinstance(given, (str, int)) or isinstance(given, bool):
            found.fault(spot, "neither 'opts.hostname' nor 'number'")
            return
        name = f"{_LETTERS[kind]}{given}"
    if not isinstance(name, str):
        found.fault(below(spot, "opts.hostname"), f"{describe(name)} is not a name")
        return
    role = opts.get("switchType")
    found.add_node(
        FoundNode(
            name,
            name,
            spot,
            role=_ROLES.get(role) if isinstance(role, str) else None,
            is_host=kind == "hosts",
        )
    )
    for key, value in opts.items():
        if key not in _OF_NODES and value not in (None, "", []):
            found.note(f"settings of {kind} {_NO_PLACE}", key)


def _add_link(found: FoundNetwork, spot: Spot, item: Item) -> None:
    source, target = item.get("src"), item.get("dest")
    opts = mapping(found, spot, item, "opts")
    rate_bps, delay_ps = _rate_bps(found, spot, opts), _delay_ps(found, spot, opts)
    loss_ppb = _loss_ppb(found, spot, opts)
    for key, value in opts.items():
        if key not in _OF_LINKS and value not in (None, ""):
            found.note(f"settings of links {_NO_PLACE}", key)
    if not isinstance(source, str) or not isinstance(target, str):
        found.fault(spot, "a link has 'src' and 'dest', the names of its ends")
        return
    found.add_link(
        FoundLink(source, target, spot, rate_bps=rate_bps, delay_ps=delay_ps, loss_ppb=loss_ppb)
    )


def _rate_bps(found: FoundNetwork, spot: Spot, opts: Item) -> int | None:
    given = opts.get("bw")
    if given in (None, ""):
        return None
    read = number(given)
    if read is None or not 0 <= read * 10**6 <= RATE.highest:
        words = f"{describe(given)} is not a bandwidth; it is more than zero, in Mbit/s"
        found.fault(below(spot, "opts.bw"), words)
        return None
    rate_bps = round(read * 10**6)
    if not rate_bps:
        found.note("bandwidths of zero, taken as not known")
    return rate_bps or None


def _delay_ps(found: FoundNetwork, spot: Spot, opts: Item) -> int | None:
    given = opts.get("delay")
    if given in (None, ""):
        return None
    match = _TIME.fullmatch(given.strip()) if isinstance(given, str) else None
    try:
        if match is not None:
            return parse(TIME, f"{match[1]}{_TC_UNITS[match[2][0]]}")
        words = f"{describe(given)} is not a delay with its unit; write it like '5ms'"
    except UnitError as error:
        words = str(error)
    found.fault(below(spot, "opts.delay"), words)
    return None


def _loss_ppb(found: FoundNetwork, spot: Spot, opts: Item) -> int:
    given = opts.get("loss")
    if given in (None, ""):
        return 0
    read = number(given)
    if read is None or not 0 <= read <= 100:
        words = f"{describe(given)} is not a loss; it is from 0 to 100 per cent"
        found.fault(below(spot, "opts.loss"), words)
        return 0
    return round(read * 10**7)
