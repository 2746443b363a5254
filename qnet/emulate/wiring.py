"""Who has which number: switches, ports, hosts and the addresses of their frames.

Every node of the topology is a switch with one host. The host is on port 1; the node's wires follow
from port 2 on in the order of the topology's ports. A wire has one number at each end, for both
directions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property

from qnet.model.topology import Port, Topology

HOST_PORT = 1
FIRST_WIRE_PORT = 2

HOST_MAC = 0x025148 << 24
"""02:51:48, 'QH': the host of a node, by the node's number."""

FLOW_MAC = 0x025146 << 24
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
    def openflow_port(self) -> Mapping[str, int]:
        """The number of each port, by the port's name, at the node that sends into it."""
        count: defaultdict[str, int] = defaultdict(lambda: FIRST_WIRE_PORT)
        numbers: dict[str, int] = {}
        for port in self.topology.ports:
            numbers[port.name] = count[port.source]
            count[port.source] += 1
        return numbers

    @cached_property
    def port_at(self) -> Mapping[tuple[str, int], Port]:
        """The port that a node sends into, by the node's name and the OpenFlow port."""
        return {(port.source, self.openflow_port[port.name]): port for port in self.topology.ports}

    @cached_property
    def reverse(self) -> Mapping[str, Port]:
        """The other direction of the same wire, by the port's name."""
        found = {(port.link, port.member, port.source): port for port in self.topology.ports}
        return {
            port.name: found[port.link, port.member, port.target] for port in self.topology.ports
        }

    def in_port(self, port: Port) -> int:
        """Return the OpenFlow port on which frames sent into `port` come in at its target."""
        return self.openflow_port[self.reverse[port.name].name]

    def datapath_id(self, node: str) -> int:
        """Return the node's datapath id: 1 for the first node."""
        return self._node_number[node] + 1

    def host_mac(self, node: str) -> int:
        """Return the MAC address of the node's host."""
        return HOST_MAC | self.datapath_id(node)

    def host_ip(self, node: str) -> int:
        """Return the IPv4 address of the node's host."""
        return HOST_IP | self.datapath_id(node)
