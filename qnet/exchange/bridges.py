"""Gate control lists in the words of bridges: IEEE 802.1Q YANG, and Linux' tc.

Interfaces are named after the node that they lead to, `to-<node>`; parallel wires add the link's
name and the member, as in `to-<node>[north]/2`. Both formats count time in whole nanoseconds. Bit 7
of the gate states is traffic class 7, in both, and a traffic class is a queue of the plan.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import gcd
from typing import NamedTuple

from qnet.errors import Infeasible
from qnet.model.gates import HELD, GateEntry, GatePlan, GateProblem
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.units import PS_PER_NS, PS_PER_S

UINT32_MAX = 2**32 - 1
NS_PER_S = 10**9
PRIORITIES = 16
"""Priorities that a Linux socket can have; taprio wants a traffic class for each."""


class GateTable(NamedTuple):
    """The gate control list of one interface; it begins `phase_ns` after the plan's time 0."""

    node: str
    interface: str
    queues: int
    cycle_ps: int
    phase_ns: int
    entries: Sequence[GateEntry]


class _Operation(NamedTuple):
    """A gate operation (IEEE 802.1Q table 8-7) in the words of both formats."""

    yang: str
    taprio: str


_SET = _Operation("set-gate-states", "S")
_HOLD = _Operation("set-and-hold-mac", "H")
_RELEASE = _Operation("set-and-release-mac", "R")


def _operations(entries: Sequence[GateEntry]) -> Iterator[tuple[GateEntry, _Operation]]:
    """Yield the entries with what begins each: the list goes round, so the last is before all."""
    for before, entry in zip((*entries[-1:], *entries), entries, strict=False):
        if entry.states & HELD:
            yield entry, _HOLD
        else:
            yield entry, _RELEASE if before.states & HELD else _SET


def tables_of_problem(problem: GateProblem, plan: GatePlan) -> list[GateTable]:
    """Return the tables of a plan for an 802.1Qbv problem."""
    ports = {port.name: port for port in problem.ports}
    tables = []
    for made in plan.gates:
        port = ports[made.port]
        interface = f"to-{port.target}"
        tables.append(
            GateTable(port.source, interface, port.queues, plan.cycle_ps, 0, made.entries)
        )
    return tables


def tables_of_plan(topology: Topology, plan: Plan) -> list[GateTable]:
    """Return the tables of a plan; a node's list begins when its cycles do, `phase` after time 0.

    What a phase has below a nanosecond is left out: no device can be told.
    """
    tables = []
    for made in plan.gates:
        cycle_ps = sum(entry.interval_ps for entry in made.entries)
        port = topology.port_by_name[made.port]
        node = topology.node_by_name[port.source]
        interface = f"to-{made.port.partition('->')[2]}"
        phase_ns = node.clock.phase_ps // PS_PER_NS
        tables.append(
            GateTable(node.name, interface, node.queues, cycle_ps, phase_ns, made.entries)
        )
    return tables


def gate_parameter_tables(tables: Iterable[GateTable], base_ns: int = 0) -> dict[str, str]:
    """Return for each node the instance data of ieee802-dot1q-sched-bridge, as JSON (RFC 7951).

    The table of each port (IEEE Std 802.1Q clause 12.29.1) is enabled, starts all closed and
    asks for the change at once. `base_ns` is the PTP time when time 0 of the plan comes.
    """
    texts = {}
    for node, lists in _by_node(tables).items():
        interfaces = [
            {
                "name": table.interface,
                "type": "iana-if-type:ethernetCsmacd",
                "ieee802-dot1q-bridge:bridge-port": {
                    "ieee802-dot1q-sched-bridge:gate-parameter-table": _table(table, base_ns)
                },
            }
            for table in lists
        ]
        data = {"ietf-interfaces:interfaces": {"interface": interfaces}}
        texts[node] = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    return texts


def _table(table: GateTable, base_ns: int) -> dict[str, object]:
    common = gcd(table.cycle_ps, PS_PER_S)
    numerator, denominator = table.cycle_ps // common, PS_PER_S // common
    if max(numerator, denominator) > UINT32_MAX:
        raise Infeasible(f"a cycle of {table.cycle_ps} ps is no fraction of 32-bit numbers")
    begin_ns = base_ns + table.phase_ns
    return {
        "gate-enabled": True,
        "admin-gate-states": 0,
        "admin-control-list": {
            "gate-control-entry": [
                {
                    "index": index,
                    "operation-name": f"ieee802-dot1q-sched:{operation.yang}",
                    "time-interval-value": _interval_ns(entry.interval_ps),
                    "gate-states-value": entry.states & ~HELD,
                }
                for index, (entry, operation) in enumerate(_operations(table.entries))
            ]
        },
        "admin-cycle-time": {"numerator": numerator, "denominator": denominator},
        "admin-cycle-time-extension": 0,
        # RFC 7951: 64-bit numbers are strings.
        "admin-base-time": {
            "seconds": str(begin_ns // NS_PER_S),
            "nanoseconds": begin_ns % NS_PER_S,
        },
        "config-change": True,
    }


def taprio_lines(tables: Iterable[GateTable], base_ns: int = 0) -> dict[str, str]:
    """Return for each node the `tc` commands that load its gate lists, one line a port.

    Traffic class c is queue c, and priority c leads to it; the schedule runs in the device
    (`flags 0x2`), whose clock is disciplined by PTP.
    """
    texts = {}
    for node, lists in _by_node(tables).items():
        lines = []
        for table in lists:
            classes = range(table.queues)
            mapped = [priority if priority in classes else 0 for priority in range(PRIORITIES)]
            entries = [
                f"sched-entry {operation.taprio} {entry.states & ~HELD:02x} "
                f"{_interval_ns(entry.interval_ps)}"
                for entry, operation in _operations(table.entries)
            ]
            lines.append(
                f"tc qdisc replace dev {table.interface} parent root handle 100 taprio"
                f" num_tc {table.queues} map {' '.join(map(str, mapped))}"
                f" queues {' '.join(f'1@{queue}' for queue in classes)}"
                f" base-time {base_ns + table.phase_ns} {' '.join(entries)} flags 0x2"
            )
        texts[node] = "\n".join(lines) + "\n"
    return texts


def _by_node(tables: Iterable[GateTable]) -> dict[str, list[GateTable]]:
    nodes: dict[str, list[GateTable]] = defaultdict(list)
    for table in tables:
        nodes[table.node].append(table)
    return dict(nodes)


def _interval_ns(interval_ps: int) -> int:
    if interval_ps % PS_PER_NS or interval_ps > UINT32_MAX * PS_PER_NS:
        raise Infeasible(f"{interval_ps} ps is not a whole number of nanoseconds below 2^32")
    return interval_ps // PS_PER_NS
