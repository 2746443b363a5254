"""What tables have otherwise than wanted, as a unified diff in the words of ovs-ofctl.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from qnet.emulate.openflow.nouns import Group, Meter, Rule, Switch
from qnet.emulate.openflow.table import Difference, differences
from qnet.emulate.openflow.text import read_flows, read_groups, read_meters, show


class Differences(tuple[Difference, ...]):
    """Differences of switches; as text a unified diff, by switch, table and priority."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def tables_apart(wanted: Iterable[Switch], found: Mapping[str, Switch]) -> Differences:
    """Compare switches, each with what it has: by everything but the remarks."""
    return Differences(
        difference for one in wanted for difference in differences(one, found[one.name])
    )


def read_tables(name: str, text: str, found: Switch) -> tuple[Switch, Switch]:
    """Return what a switch is to have by lines as ovs-ofctl dumps them, and what of it to compare.

    Lines that say no cookie mean any, and groups and meters are compared where there are some.
    Raises ValueError with a line that is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    groups = [line for line in lines if line.startswith("group_id=")]
    meters = [line for line in lines if line.startswith("meter=")]
    entries = [line for line in lines if not line.startswith(("group_id=", "meter="))]
    for line in entries:
        if "actions=" not in line:
            raise ValueError(
                f"{line!r} is no entry; write it like 'priority=1,in_port=2 actions=3'"
            )
    wanted = Switch(
        name,
        found.datapath_id,
        read_flows("\n".join(entries)),
        read_groups("\n".join(groups)),
        read_meters("\n".join(meters)),
    )
    found = found._replace(
        groups=found.groups if groups else (), meters=found.meters if meters else ()
    )
    if "cookie=" in text:
        return wanted, found
    return _without_cookies(wanted), _without_cookies(found)


def _without_cookies(switch: Switch) -> Switch:
    return switch._replace(rules=tuple(one._replace(cookie=0) for one in switch.rules))


def _place(one: Difference) -> tuple[int, int, int]:
    """Order: entries by table and falling priority, then groups, meters, what is not understood."""
    what = one.wanted or one.found
    if isinstance(what, Rule):
        return 0, what.table, -what.priority
    return (1 if isinstance(what, Group) else 2 if isinstance(what, Meter) else 3), 0, 0


def _lines(every: Iterable[Difference]) -> Iterator[str]:
    for switch, of_switch in groupby(every, lambda one: one.switch):
        yield f"--- {switch}, wanted"
        yield f"+++ {switch}, found"
        for (kind, table, priority), these in groupby(sorted(of_switch, key=_place), _place):
            entries = f"table {table}, priority {-priority}"
            yield f"@@ {(entries, 'groups', 'meters', 'not understood')[kind]} @@"
            for one in these:
                if one.wanted is not None:
                    yield f"-{show(one.wanted)}"
                if one.found is not None:
                    yield f"+{show(one.found)}"
                if one.unread:
                    yield f"+{one.unread}"
