"""A small model of a switch's flow tables: what becomes of a frame, by the rules alone.

OpenFlow 1.3.5 clauses 5.1 to 5.10, as far as rules of ours and of usual controllers need them. What
the model cannot know (a controller's answer, what a learning switch learnt, a meter's drops) it
names instead of guessing. Standard library only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from qnet.emulate.openflow.frame import FrameHeaders, rewrite
from qnet.emulate.openflow.nouns import (
    ANY,
    CONTROLLER,
    IN_PORT,
    TABLE,
    Action,
    Group,
    Meter,
    Rule,
    Switch,
)
from qnet.emulate.openflow.text import show

GROUPS_DEEP = 8


Shape = tuple[tuple[str, int | None], ...]
"""Names and masks of the fields of a match."""


class Sent(NamedTuple):
    """What a switch does with one frame: copies and their ports, and the rules that were hit.

    `unknown` names what the tables alone do not decide.
    """

    copies: tuple[tuple[int, FrameHeaders], ...]
    rules: tuple[Rule, ...]
    unknown: tuple[str, ...] = ()


class _Run:
    """One frame on its way through one switch's tables."""

    def __init__(self, in_port: int) -> None:
        self.in_port = in_port
        self.copies: list[tuple[int, FrameHeaders]] = []
        self.rules: list[Rule] = []
        self.unknown: list[str] = []


class Tables:
    """The tables of one switch, indexed for look-up by shapes of match (tuple-space search)."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self._groups = {group.number: group for group in switch.groups}
        self._meters = {meter.number for meter in switch.meters}
        shapes: dict[tuple[int, int, Shape], dict[tuple[int, ...], Rule]] = {}
        for rule in switch.rules:
            shape = tuple((field.name, field.mask) for field in rule.match)
            values = tuple(
                field.value if field.mask is None else field.value & field.mask
                for field in rule.match
            )
            shapes.setdefault((rule.table, -rule.priority, shape), {}).setdefault(values, rule)
        self._shapes = defaultdict[int, list[tuple[Shape, dict[tuple[int, ...], Rule]]]](list)
        for (table, _, shape), rules in sorted(shapes.items(), key=lambda item: item[0][:2]):
            self._shapes[table].append((shape, rules))

    def find(self, table: int, fields: Mapping[str, int]) -> Rule | None:
        """Return the rule of highest priority in a table that fits the fields."""
        for shape, rules in self._shapes[table]:
            values = []
            for name, mask in shape:
                value = fields.get(name)
                if value is None:
                    break
                values.append(value if mask is None else value & mask)
            else:
                found = rules.get(tuple(values))
                if found is not None:
                    return found
        return None

    def send(
        self, frame: FrameHeaders, in_port: int, live: Callable[[int], bool] = lambda _: True
    ) -> Sent:
        """Follow a frame through the tables; `live` says which ports are up."""
        run = _Run(in_port)
        table: int | None = 0
        metadata = 0
        while table is not None:
            fields = frame.fields() | {"in_port": in_port, "metadata": metadata}
            rule = self.find(table, fields)
            if rule is None:
                break
            run.rules.append(rule)
            if rule.meter is not None and rule.meter not in self._meters:
                run.unknown.append(self._absent("meter", rule.meter))
                break
            frame = self._act(run, rule.actions, frame, live, 0)
            if rule.metadata is not None:
                value, mask = rule.metadata
                metadata = metadata & ~mask | value & mask
            if rule.goto is not None and rule.goto <= table:
                run.unknown.append(f"goes from table {table} back to table {rule.goto}")
                break
            table = rule.goto
        return Sent(tuple(run.copies), tuple(run.rules), tuple(run.unknown))

    def _act(
        self,
        run: _Run,
        actions: Iterable[Action],
        frame: FrameHeaders,
        live: Callable[[int], bool],
        depth: int,
    ) -> FrameHeaders:
        for action in actions:
            if action.kind == "output":
                self._output(run, action.value, frame)
            elif action.kind == "group":
                self._enter_group(run, action.value, frame, live, depth)
            else:
                changed = rewrite(frame, action)
                if isinstance(changed, str):
                    run.unknown.append(changed)
                else:
                    frame = changed
        return frame

    def _output(self, run: _Run, port: int, frame: FrameHeaders) -> None:
        if port == IN_PORT:
            run.copies.append((run.in_port, frame))
        elif port >= TABLE:
            names = {CONTROLLER: "asks the controller"}
            run.unknown.append(names.get(port, f"floods or learns (port 0x{port:x})"))
        elif port != run.in_port:
            run.copies.append((port, frame))

    def _absent(self, what: str, number: int) -> str:
        or_not = " or not understood" if self.switch.unread else ""
        return f"{what} {number} is not on the switch{or_not}"

    def _enter_group(
        self, run: _Run, number: int, frame: FrameHeaders, live: Callable[[int], bool], depth: int
    ) -> None:
        group = self._groups.get(number)
        if group is None or depth == GROUPS_DEEP:
            run.unknown.append(self._absent("group", number))
            return
        buckets = group.buckets
        if group.kind == "select" and len(buckets) > 1:
            run.unknown.append(f"group {number} selects by a hash")
            return
        if group.kind == "fast_failover":
            living = (one for one in buckets if one.watch_port != ANY and live(one.watch_port))
            first = next(living, None)
            buckets = () if first is None else (first,)
        for bucket in buckets:
            self._act(run, bucket.actions, frame, live, depth + 1)


class Difference(NamedTuple):
    """One rule, group or meter that a switch has otherwise than wanted.

    `kind` is missing, extra or changed; `wanted` and `found` are None where there is none. Of what
    is not understood (`kind` too) `unread` has the words of ovs-ofctl.
    """

    switch: str
    kind: str
    wanted: Rule | Group | Meter | None
    found: Rule | Group | Meter | None
    unread: str = ""

    def __str__(self) -> str:
        if self.unread:
            return f"{self.switch}: {self.kind}: {self.unread}"
        one = self.wanted or self.found
        assert one is not None
        words = f"{self.switch}: {type(one).__name__.lower()} {self.kind}"
        if one.why:
            words += f" ({one.why})"
        if self.wanted is not None:
            words += f"; wanted: {show(self.wanted)}"
        if self.found is not None:
            words += f"; found: {show(self.found)}"
        return words


def differences(wanted: Switch, found: Switch) -> tuple[Difference, ...]:
    """Compare what a switch has with what it was to have, rule by rule.

    What tells two apart is everything but the remark (`why`). Rules that are not ours (by their
    cookie) count as extra too; who compares may leave them.
    """
    listed: list[Difference] = []
    pairs: tuple[tuple[Mapping[Any, Any], Mapping[Any, Any]], ...] = (
        ({one.number: one for one in wanted.meters}, {one.number: one for one in found.meters}),
        ({one.number: one for one in wanted.groups}, {one.number: one for one in found.groups}),
        ({one.key: one for one in wanted.rules}, {one.key: one for one in found.rules}),
    )
    for want, have in pairs:
        for key, one in want.items():
            other = have.get(key)
            if other is None:
                listed.append(Difference(wanted.name, "missing", one, None))
            elif one._replace(why="") != other._replace(why=""):
                listed.append(Difference(wanted.name, "changed", one, other))
        listed.extend(
            Difference(wanted.name, "extra", None, one)
            for key, one in have.items()
            if key not in want
        )
    listed += [Difference(wanted.name, "not understood", None, None, line) for line in found.unread]
    return tuple(listed)
