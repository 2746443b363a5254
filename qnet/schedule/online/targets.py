"""What of a network can fail and come back, by name: links, wires, cables, nodes and sites."""

from __future__ import annotations

from collections.abc import Mapping

from qnet.model.topology import Topology


def ports_by_target(topology: Topology) -> Mapping[str, tuple[int, ...]]:
    """Return the numbers of the ports that each target takes along.

    A wire is called after its link and its number in it, 'a--b/2', or after either of its ports; it
    fails in both directions. With a node, or all nodes of a site, all ports from and to it fail.
    What is a cable, a link or a wire and a node as well is the former; a node comes before a site.
    """
    lines: dict[str, set[int]] = {}
    wires: dict[tuple[int, int], set[int]] = {}
    nodes: dict[str, set[int]] = {}
    sites: dict[str, set[int]] = {}
    for port in topology.ports:
        link = topology.links[port.link]
        name = topology.link_name(link)
        names = {name, topology.cable(link)}
        if link.members > 1:
            names.add(f"{name}/{port.member + 1}")
        for one in names:
            lines.setdefault(one, set()).add(port.number)
        wires.setdefault((port.link, port.member), set()).add(port.number)
        for end in (port.source, port.target):
            nodes.setdefault(end, set()).add(port.number)
            site = topology.node_by_name[end].site
            if site is not None:
                sites.setdefault(site, set()).add(port.number)
    for port in topology.ports:
        lines[port.name] = wires[port.link, port.member]
    return {name: tuple(sorted(ports)) for name, ports in {**sites, **nodes, **lines}.items()}
