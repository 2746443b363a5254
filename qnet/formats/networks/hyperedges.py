"""Nodes that stand for a bus or a cloud: kept as switches, replaced by a mesh, or left out."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

from qnet.formats.networks.found import LINKS_HIGHEST, FoundLink, FoundNetwork
from qnet.formats.networks.nouns import ImportOptions
from qnet.model.fields import BothWays


def settle_hyperedges(found: FoundNetwork, options: ImportOptions) -> None:
    """Do with hyperedges what was asked for; without that, having any is a fault."""
    hyperedges = [node for node in found.nodes.values() if node.is_hyperedge]
    if not hyperedges:
        return
    if options.hyperedge is None:
        for node in hyperedges:
            found.fault(
                node.spot,
                "a hyperedge, which is a bus or cloud and no node; write '--hyperedge switch' to "
                "keep it as a switch, 'clique' to join its neighbours, 'drop' to leave it out",
            )
        return
    if options.hyperedge == "switch":
        for node in hyperedges:
            node.role = "hyperedge"
            found.note("hyperedges (buses, clouds) taken as switches", node.label or node.key)
        return
    gone = {node.key for node in hyperedges}
    lost = sum(1 for link in found.links if link.source in gone or link.target in gone)
    if options.hyperedge == "clique":
        _join_neighbours(found, gone)
    kept = [link for link in found.links if not {link.source, link.target} & gone]
    for node in hyperedges:
        del found.nodes[node.key]
        found.note("hyperedges (buses, clouds) left out", node.label or node.key)
    if lost:
        found.note("edges of these hyperedges left out", count=lost, edges=lost)
    found.links = kept


def _join_neighbours(found: FoundNetwork, hyperedges: set[str]) -> None:
    """Add an edge between any two neighbours of a hyperedge, of those that lead over others, too.

    Its rate is the lower one of both, its length their sum where both have one.
    """
    at: dict[str, dict[str, _Way]] = {key: {} for key in hyperedges}
    for link in found.links:
        for near, far in ((link.source, link.target), (link.target, link.source)):
            if near in hyperedges and far != near:
                at[near].setdefault(far, _Way(link, frozenset()))
    for key in [key for key in found.nodes if key in hyperedges]:
        ways = at.pop(key)
        ends = [end for end in ways if end not in hyperedges or end in at]
        for one, other in combinations(ends, 2):
            if ways[one].over & ways[other].over:  # they are joined already
                continue
            made = _over(ways[one].link, ways[other].link, one, other)
            over = ways[one].over | ways[other].over | {key}
            for near, far in ((one, other), (other, one)):
                if near in hyperedges:
                    at[near].setdefault(far, _Way(made, over))
            if one not in hyperedges and other not in hyperedges:
                found.links.append(made)
                example = f"{one} and {other}"
                found.note("edges put between the neighbours of hyperedges", example, edges=-1)
        if len(found.links) > LINKS_HIGHEST:
            words = f"its neighbours need more than {LINKS_HIGHEST:,} edges"
            found.stop(found.nodes[key].spot, words)


class _Way(NamedTuple):
    """An edge to a hyperedge, and those that it leads over."""

    link: FoundLink
    over: frozenset[str]


def _over(near: FoundLink, far: FoundLink, one: str, other: str) -> FoundLink:
    rates = [_each(link.rate_bps) for link in (near, far)]

    def total(first: int | BothWays | None, second: int | BothWays | None) -> int | None:
        both = [_each(first), _each(second)]
        return sum(map(max, both)) if all(both) else None

    return FoundLink(
        one,
        other,
        near.spot,
        rate_bps=min((rate for pair in rates for rate in pair), default=None),
        length_mm=total(near.length_mm, far.length_mm),
        delay_ps=total(near.delay_ps, far.delay_ps),
    )


def _each(value: int | BothWays | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return value if isinstance(value, BothWays) else (value,)
