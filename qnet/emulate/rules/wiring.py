"""Who has which number: switches, ports, hosts and the addresses of their frames.

Every node of the topology is a switch with one host. The host is on port 1; the node's wires follow
from port 2 on in the order of the topology's ports. Of a plain host the switch is its network card:
under a stranger's controller it has rules of its own, and no controller. A wire has one number at
each end, for both directions, or for the one that there is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise

from qnet.model.topology import Port, Topology

HOST_PORT = 1
FIRST_WIRE_PORT = 2

HOST_MAC = 0x025148 << 24
"""02:51:48, 'QH': the host of a node, by the node's number."""

STREAM_MAC = 0x025146 << 24
"""02:51:46, 'QF': where the frames of one reserved stream, or of one part of a demand, are sent."""

PATH_MAC = 0x025150 << 24
"""02:51:50, 'QP': the source of a delivered frame; its last 20 bits are the path's label."""

HOST_IP = 0x0A000000
"""10.0.0.0/8, by the node's number and counted from 1."""


class Wiring:
    """The numbering of one topology. Nothing in it depends on the traffic or the plan."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._node_number = {node.name: place for place, node in enumerate(topology.nodes)}

    @cached_property
    def _ends(self) -> Mapping[tuple[int, int, str], int]:
        """The number of each end of a wire, by link, member and node."""
        count: defaultdict[str, int] = defaultdict(lambda: FIRST_WIRE_PORT)
        numbers: dict[tuple[int, int, str], int] = {}
        for port in self.topology.ports:
            one_way = self.topology.links[port.link].is_one_way
            for node in (port.source, port.target) if one_way else (port.source,):
                numbers[port.link, port.member, node] = count[node]
                count[node] += 1
        return numbers

    @cached_property
    def openflow_port(self) -> Mapping[str, int]:
        """The number of each port, by the port's name, at the node that sends into it."""
        ends = self._ends
        return {
            port.name: ends[port.link, port.member, port.source] for port in self.topology.ports
        }

    @cached_property
    def port_at(self) -> Mapping[tuple[str, int], Port]:
        """The port that a node sends into, by the node's name and the OpenFlow port."""
        return {(port.source, self.openflow_port[port.name]): port for port in self.topology.ports}

    @cached_property
    def only_into(self) -> Mapping[tuple[str, int], Port]:
        """The port that ends at a node's OpenFlow port by which nothing is sent, by both."""
        return {
            (port.target, self.in_port(port)): port
            for port in self.topology.ports
            if port.name not in self.reverse
        }

    @cached_property
    def reverse(self) -> Mapping[str, Port]:
        """The other direction of the same wire, where it has one, by the port's name."""
        found = {(port.link, port.member, port.source): port for port in self.topology.ports}
        both = ((port, found.get((port.link, port.member, port.target))) for port in found.values())
        return {port.name: other for port, other in both if other is not None}

    def both(self, port: Port) -> tuple[Port, ...]:
        """Return a port and, where its wire has one, the other direction."""
        other = self.reverse.get(port.name)
        return (port,) if other is None else (port, other)

    @cached_property
    def plain_hosts(self) -> frozenset[str]:
        """The nodes that are hosts and no switches."""
        return frozenset(node.name for node in self.topology.nodes if node.is_host)

    @property
    def switches(self) -> tuple[str, ...]:
        """The nodes that a stranger's controller has to do with: no plain hosts."""
        return tuple(node.name for node in self.topology.nodes if node.name not in self.plain_hosts)

    @property
    def datapath_ids(self) -> dict[str, int]:
        """Of all `switches`."""
        return {name: self.datapath_id(name) for name in self.switches}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes whose hosts are tried: the plain ones, or every node's where there are none."""
        every = tuple(node.name for node in self.topology.nodes)
        return tuple(name for name in every if name in self.plain_hosts) or every

    def card_rules(self, host: str) -> tuple[str, ...]:
        """Return what the card of a plain host does, as ovs-ofctl takes it.

        What comes by any wire is for the host; what the host sends leaves by its first wire.
        """
        wires = sorted(number for node, number in self.port_at if node == host)
        sent = f"output:{wires[0]}" if wires else "drop"
        return f"in_port={HOST_PORT},actions={sent}", f"priority=1,actions=output:{HOST_PORT}"

    def first_link(self, path: Sequence[str]) -> tuple[str, str] | None:
        """Return the first two switches of a path that follow each other, if there are two."""
        links = pairwise(path)
        return next((one for one in links if self.plain_hosts.isdisjoint(one)), None)

    def in_port(self, port: Port) -> int:
        """Return the OpenFlow port on which frames sent into `port` come in at its target."""
        return self._ends[port.link, port.member, port.target]

    def datapath_id(self, node: str) -> int:
        """Return the node's datapath id: 1 for the first node."""
        return self._node_number[node] + 1

    def host_mac(self, node: str) -> int:
        """Return the MAC address of the node's host."""
        return HOST_MAC | self.datapath_id(node)

    def host_ip(self, node: str) -> int:
        """Return the IPv4 address of the node's host."""
        return HOST_IP | self.datapath_id(node)
