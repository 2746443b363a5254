"""Tables without room for one more entry: Open vSwitch's own limit, which it refuses beyond.

The column `flow_tables` of a bridge (ovs-vswitchd.conf.db(5)); an entry beyond the limit is refused
with OFPFMFC_TABLE_FULL, one in the place of another is not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from qnet.emulate.switches.ovs import Ovs

_TABLE = re.compile(r"\btable=(\d+)")


def close_tables(ovs: Ovs, bridge: str) -> dict[int, int]:
    """Have a bridge take no more entries than it has now; return how many, by table in use."""
    found: Counter[int] = Counter({0: 0})
    for line in ovs.dump("flows", bridge).splitlines():
        if "actions=" in line:
            table = _TABLE.search(line)
            found[int(table[1]) if table else 0] += 1
    _set_limits(ovs, bridge, found)
    return dict(found)


def open_tables(ovs: Ovs, bridge: str) -> None:
    """Take away what `close_tables` has put in."""
    ovs.vsctl("clear", "bridge", bridge, "flow_tables")


def _set_limits(ovs: Ovs, bridge: str, limits: Mapping[int, int]) -> None:
    arguments: list[str] = []
    for table, most in limits.items():
        arguments += ["--", f"--id=@t{table}", "create", "Flow_Table"]
        arguments += [f"flow_limit={most}", "overflow_policy=refuse"]
    named = [f"flow_tables:{table}=@t{table}" for table in limits]
    ovs.vsctl(*arguments[1:], "--", "set", "bridge", bridge, *named)
