"""Gate control lists in the words of bridges: IEEE 802.1Q YANG, and Linux' tc.

A list goes round, so it may begin at any of its entries: one that would begin within a window or a
pause begins behind it, that much later. What the receiver would refuse is refused here, by port and
entry: Linux (net/sched/sch_taprio.c) takes no entry that is shorter than 60 bytes on the line.

Interfaces are named after the node that they lead to, `to-<node>`; parallel wires add the link's
name and the member, as in `to-<node>[north]/2`. Both formats count time in whole nanoseconds. Bit 7
of the gate states is traffic class 7, in both, and a traffic class is a queue of the plan.
"""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from math import gcd
from operator import or_
from typing import NamedTuple

from qnet.errors import InputError, Problem
from qnet.model.gates import ENTRY_BYTES, HELD, GateEntry, GatePlan, GateProblem
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.units import PS_PER_NS, PS_PER_S, show_rate

UINT32_MAX = 2**32 - 1
NS_PER_S = 10**9
PRIORITIES = 16
"""Priorities that a Linux socket can have; taprio wants a traffic class for each."""

PRIORITIES_TAGGED = 8
"""Priorities that a tag can say (IEEE 802.1Q clause 6.9.3)."""

TAPRIO_CYCLE_NS_MAX = 2**31 - 1
TAPRIO_ENTRIES_MAX = 2335
"""The options of a qdisc are one attribute of at most 65,535 bytes, an entry takes 28 of them."""

BASE_NS_MAX = 2**63 - 1


class GateTable(NamedTuple):
    """The gate control list of one interface; it begins `phase_ns` after the plan's time 0."""

    port: str
    node: str
    interface: str
    rate_bps: int
    queues: int
    cycle_ps: int
    phase_ns: int
    entries: Sequence[GateEntry]
    classes: tuple[tuple[int, int], ...] = ()
    """Priority and queue of each traffic class whose queue is the same at every port."""

    def queue_of(self, priority: int) -> int:
        """Return the queue that frames of a priority go to.

        That of their class; else the queue of the same number, if it is no class's own; else the
        lowest. A queue whose number is the priority of a class has the priority 8 above its own.
        """
        classes = dict(self.classes)
        if priority in classes:
            return classes[priority]
        number = priority - 8 if priority - 8 in classes else priority
        own = classes.values()
        return number if number < self.queues and number not in own else 0

    def traffic_classes(self) -> list[int]:
        """Return the queue of each priority that a tag can say (IEEE 802.1Q clause 8.6.6).

        As `queue_of`, but that every queue that is ever open is to be reached by one of eight: one
        whose number is the priority of a class has a priority that leads to no queue of its own.
        That of untagged frames, 0, is the last that is taken for it.
        """
        found = [self.queue_of(priority) for priority in range(PRIORITIES_TAGGED)]
        taken = {priority for priority, _ in self.classes}
        taken |= set(found) - {queue for _, queue in self.classes}
        opened = reduce(or_, (entry.states for entry in self.entries), 0)
        missing = [one for one in range(self.queues) if one not in found and opened >> one & 1]
        spare = [one for one in (*range(1, PRIORITIES_TAGGED), 0) if one not in taken]
        for priority, queue in zip(spare, missing, strict=False):
            found[priority] = queue
        return found


def _from_an_edge(table: GateTable) -> GateTable:
    """Begin the list behind its first entry where that goes on from the last one."""
    first, last = table.entries[0], table.entries[-1]
    if len(table.entries) == 1 or first.states != last.states or first.interval_ps % PS_PER_NS:
        return table
    whole = GateEntry(last.interval_ps + first.interval_ps, last.states)
    return table._replace(
        phase_ns=table.phase_ns + first.interval_ps // PS_PER_NS,
        entries=(*table.entries[1:-1], whole),
    )


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
        table = GateTable(
            port.name,
            port.source,
            interface,
            port.rate_bps,
            port.queues,
            plan.cycle_ps,
            port.phase_ps // PS_PER_NS,
            made.entries,
        )
        tables.append(_from_an_edge(table))
    return tables


def tables_of_plan(topology: Topology, profile: Profile, plan: Plan) -> list[GateTable]:
    """Return the tables of a plan; a node's list begins when its cycles do, `phase` after time 0.

    What a phase has below a nanosecond is left out: no device can be told.
    """
    queues = profile.queue_by_class
    classes = tuple((one.priority, queues[one.name]) for one in profile.classes if not one.gated)
    tables = []
    for made in plan.gates:
        cycle_ps = sum(entry.interval_ps for entry in made.entries)
        port = topology.port_by_name[made.port]
        node = topology.node_by_name[port.source]
        interface = f"to-{made.port.partition('->')[2]}"
        phase_ns = node.clock.phase_ps // PS_PER_NS
        table = GateTable(
            port.name,
            node.name,
            interface,
            port.rate_bps,
            node.queues,
            cycle_ps,
            phase_ns,
            made.entries,
            classes,
        )
        tables.append(_from_an_edge(table))
    return tables


def gate_parameter_tables(
    tables: Sequence[GateTable], base_ns: int = 0, *, name: str = "plan"
) -> dict[str, str]:
    """Return for each node the instance data of ieee802-dot1q-sched-bridge, as JSON (RFC 7951).

    With each list goes the traffic class table of its port (clause 12.6.3, ieee802-dot1q-bridge),
    by which priorities come to queues. The gate table (clause 12.29.1) is enabled, starts all
    closed and asks for the change at once. `base_ns` is the PTP time when time 0 of the plan comes.
    Raises InputError with all that the module cannot say; the plan is called `name` there.
    """
    _refuse(name, tables, lambda table: _yang_faults(table, base_ns))
    texts = {}
    for node, lists in _by_node(tables).items():
        interfaces = [
            {
                "name": table.interface,
                "type": "iana-if-type:ethernetCsmacd",
                "ieee802-dot1q-bridge:bridge-port": {
                    "traffic-class": _traffic_class_table(table),
                    "ieee802-dot1q-sched-bridge:gate-parameter-table": _table(table, base_ns),
                },
            }
            for table in lists
        ]
        data = {"ietf-interfaces:interfaces": {"interface": interfaces}}
        texts[node] = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    return texts


def _cycle(table: GateTable) -> tuple[int, int]:
    """Return the cycle in seconds, as a fraction."""
    common = gcd(table.cycle_ps, PS_PER_S)
    return table.cycle_ps // common, PS_PER_S // common


def _yang_faults(table: GateTable, base_ns: int) -> Iterator[str]:
    yield from _faults(table, base_ns)
    if max(_cycle(table)) > UINT32_MAX:
        yield f"its cycle of {table.cycle_ps} ps is no fraction of 32-bit numbers"
    if _is_ambiguous(table):
        yield "two classes of one priority; a traffic class table tells them apart by nothing else"


def _is_ambiguous(table: GateTable) -> bool:
    priorities = [priority for priority, _ in table.classes]
    return len(set(priorities)) < len(priorities)


def _traffic_class_table(table: GateTable) -> dict[str, object]:
    return {
        "traffic-class-map": [
            {
                "priority": priority,
                "available-traffic-class": [
                    {"num-traffic-class": table.queues, "traffic-class": queue}
                ],
            }
            for priority, queue in enumerate(table.traffic_classes())
        ]
    }


def _table(table: GateTable, base_ns: int) -> dict[str, object]:
    numerator, denominator = _cycle(table)
    begin_ns = base_ns + table.phase_ns
    return {
        "gate-enabled": True,
        "admin-gate-states": 0,
        "admin-control-list": {
            "gate-control-entry": [
                {
                    "index": index,
                    "operation-name": f"ieee802-dot1q-sched:{operation.yang}",
                    "time-interval-value": entry.interval_ps // PS_PER_NS,
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


def taprio_lines(
    tables: Sequence[GateTable], base_ns: int = 0, *, name: str = "plan"
) -> dict[str, str]:
    """Return for each node the `tc` commands that load its gate lists, one line a port.

    Traffic class c is queue c, and priorities lead to queues as `GateTable.queue_of` says; the
    schedule runs in the device (`flags 0x2`), whose clock is disciplined by PTP. Raises InputError
    with all that Linux would refuse; the plan is called `name` there.
    """
    _refuse(name, tables, lambda table: _taprio_faults(table, base_ns))
    texts = {}
    for node, lists in _by_node(tables).items():
        lines = []
        for table in lists:
            classes = range(table.queues)
            mapped = [table.queue_of(priority) for priority in range(PRIORITIES)]
            entries = [
                f"sched-entry {operation.taprio} {entry.states & ~HELD:02x} "
                f"{entry.interval_ps // PS_PER_NS}"
                for entry, operation in _operations(table.entries)
            ]
            lines.append(
                f"tc qdisc replace dev {_in_shell(table.interface)} parent root handle 100 taprio"
                f" num_tc {table.queues} map {' '.join(map(str, mapped))}"
                f" queues {' '.join(f'1@{queue}' for queue in classes)}"
                f" base-time {base_ns + table.phase_ns} {' '.join(entries)} flags 0x2"
            )
        texts[node] = "\n".join(lines) + "\n"
    return texts


def _taprio_faults(table: GateTable, base_ns: int) -> Iterator[str]:
    """Yield what Linux would refuse of a list."""
    yield from _faults(table, base_ns)
    # As the kernel counts: whole picoseconds a byte at whole megabits a second, then nanoseconds.
    least_ns = ENTRY_BYTES * (8 * 10**6 // max(table.rate_bps // 10**6, 1)) // PS_PER_NS
    count = len(table.entries)
    for number, entry in enumerate(table.entries, start=1):
        if entry.interval_ps < least_ns * PS_PER_NS:
            yield (
                f"entry {number} of {count} lasts {entry.interval_ps // PS_PER_NS} ns; Linux takes "
                f"none below {least_ns} ns, {ENTRY_BYTES} bytes at {show_rate(table.rate_bps)}"
            )
    if count > TAPRIO_ENTRIES_MAX:
        yield f"{count} entries; a command of tc has room for {TAPRIO_ENTRIES_MAX}"
    if table.cycle_ps > TAPRIO_CYCLE_NS_MAX * PS_PER_NS:
        yield f"its cycle of {table.cycle_ps // PS_PER_NS} ns is above {TAPRIO_CYCLE_NS_MAX} ns"
    if _is_ambiguous(table):
        yield "two classes of one priority; Linux tells them apart by nothing else"
    if table.queues < 2:
        yield "one queue; taprio wants a device of several"


def _faults(table: GateTable, base_ns: int) -> Iterator[str]:
    """Yield what neither format can say of a list."""
    for number, entry in enumerate(table.entries, start=1):
        if entry.interval_ps % PS_PER_NS or entry.interval_ps > UINT32_MAX * PS_PER_NS:
            yield (
                f"entry {number} of {len(table.entries)} lasts {entry.interval_ps} ps, which is "
                "not a whole number of nanoseconds below 2^32"
            )
    if base_ns + table.phase_ns > BASE_NS_MAX:
        yield f"it begins at {base_ns + table.phase_ns} ns, beyond 64 bits"


def _refuse(
    name: str, tables: Iterable[GateTable], faults: Callable[[GateTable], Iterable[str]]
) -> None:
    found = [Problem(name, 0, 0, table.port, text) for table in tables for text in faults(table)]
    if found:
        raise InputError(found)


def _in_shell(name: str) -> str:
    """Write a name as one word of a shell's line; it comes from a file, and could say anything."""
    return shlex.quote("".join(one if one.isprintable() else "?" for one in name))


def _by_node(tables: Iterable[GateTable]) -> dict[str, list[GateTable]]:
    nodes: dict[str, list[GateTable]] = defaultdict(list)
    for table in tables:
        nodes[table.node].append(table)
    return dict(nodes)
