"""Gate control lists in the words of bridges: IEEE 802.1Q YANG, and Linux' tc.

Interfaces are named after the node that they lead to, `to-<node>`. Both formats count time in
whole nanoseconds. Bit 7 of the gate states is traffic class 7, in both.
"""

from __future__ import annotations

import json
from collections import defaultdict
from math import gcd

from qnet.errors import Infeasible
from qnet.model.gates import GateList, GatePlan, GatePort, GateProblem
from qnet.units import PS_PER_NS, PS_PER_S

UINT32_MAX = 2**32 - 1
NS_PER_S = 10**9
PRIORITIES = 16
"""Priorities that a Linux socket can have; taprio wants a traffic class for each."""


def gate_parameter_tables(problem: GateProblem, plan: GatePlan, base_ns: int = 0) -> dict[str, str]:
    """Return for each node the instance data of ieee802-dot1q-sched-bridge, as JSON (RFC 7951).

    The table of each port (IEEE Std 802.1Q clause 12.29.1) is enabled, starts all closed and
    asks for the change at once. `base_ns` is the PTP time when time 0 of the plan comes.
    """
    texts = {}
    for node, lists in _by_node(problem, plan).items():
        interfaces = [
            {
                "name": _interface(port),
                "type": "iana-if-type:ethernetCsmacd",
                "ieee802-dot1q-bridge:bridge-port": {
                    "ieee802-dot1q-sched-bridge:gate-parameter-table": _table(plan, made, base_ns)
                },
            }
            for port, made in lists
        ]
        data = {"ietf-interfaces:interfaces": {"interface": interfaces}}
        texts[node] = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    return texts


def _table(plan: GatePlan, made: GateList, base_ns: int) -> dict[str, object]:
    common = gcd(plan.cycle_ps, PS_PER_S)
    numerator, denominator = plan.cycle_ps // common, PS_PER_S // common
    if max(numerator, denominator) > UINT32_MAX:
        raise Infeasible(f"a cycle of {plan.cycle_ps} ps is no fraction of 32-bit numbers")
    return {
        "gate-enabled": True,
        "admin-gate-states": 0,
        "admin-control-list": {
            "gate-control-entry": [
                {
                    "index": index,
                    "operation-name": "ieee802-dot1q-sched:set-gate-states",
                    "time-interval-value": _interval_ns(entry.interval_ps),
                    "gate-states-value": entry.states,
                }
                for index, entry in enumerate(made.entries)
            ]
        },
        "admin-cycle-time": {"numerator": numerator, "denominator": denominator},
        "admin-cycle-time-extension": 0,
        # RFC 7951: 64-bit numbers are strings.
        "admin-base-time": {
            "seconds": str(base_ns // NS_PER_S),
            "nanoseconds": base_ns % NS_PER_S,
        },
        "config-change": True,
    }


def taprio_lines(problem: GateProblem, plan: GatePlan, base_ns: int = 0) -> dict[str, str]:
    """Return for each node the `tc` commands that load its gate lists, one line a port.

    Traffic class c is queue c, and priority c leads to it; the schedule runs in the device
    (`flags 0x2`), whose clock is disciplined by PTP.
    """
    texts = {}
    for node, lists in _by_node(problem, plan).items():
        lines = []
        for port, made in lists:
            classes = range(port.queues)
            mapped = [priority if priority in classes else 0 for priority in range(PRIORITIES)]
            entries = [
                f"sched-entry S {entry.states:02x} {_interval_ns(entry.interval_ps)}"
                for entry in made.entries
            ]
            lines.append(
                f"tc qdisc replace dev {_interface(port)} parent root handle 100 taprio"
                f" num_tc {port.queues} map {' '.join(map(str, mapped))}"
                f" queues {' '.join(f'1@{queue}' for queue in classes)}"
                f" base-time {base_ns} {' '.join(entries)} flags 0x2"
            )
        texts[node] = "\n".join(lines) + "\n"
    return texts


def _by_node(problem: GateProblem, plan: GatePlan) -> dict[str, list[tuple[GatePort, GateList]]]:
    ports = {port.name: port for port in problem.ports}
    nodes: dict[str, list[tuple[GatePort, GateList]]] = defaultdict(list)
    for made in plan.gates:
        nodes[ports[made.port].source].append((ports[made.port], made))
    return dict(nodes)


def _interface(port: GatePort) -> str:
    return f"to-{port.target}"


def _interval_ns(interval_ps: int) -> int:
    if interval_ps % PS_PER_NS or interval_ps > UINT32_MAX * PS_PER_NS:
        raise Infeasible(f"{interval_ps} ps is not a whole number of nanoseconds below 2^32")
    return interval_ps // PS_PER_NS
