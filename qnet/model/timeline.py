"""What happens while a network is watched: events, and files of them.

The timeline of a run is the events of its traffic file, or of a file of their own. An event changes
one thing at one instant. Several of one instant are all applied, in the order of the file, before
any frame is served. Between two changes lies an *epoch*, a network that stays as it is.

What they break, and for how long, follows from all of them: `qnet.model.outages`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from qnet.errors import InputError, Problem
from qnet.model.calendar import Moment
from qnet.model.fields import (
    Drift,
    ErrorRatio,
    Factor,
    FrameSizes,
    Instant,
    InstantOrZero,
    Length,
    Name,
    Noun,
    Offset,
    Rate,
    Ratio,
    Text,
    Time,
    TimeOrZero,
)
from qnet.model.processes import Process
from qnet.model.topology import FIBRE_PS_PER_KM
from qnet.units import (
    FACTOR,
    INSTANT,
    LENGTH,
    PPB,
    RATE,
    RATIO,
    TIME,
    ceil_div,
    format_quantity,
)

EVENTS_HIGHEST = 1000
"""That begin before the end of one run: losses are counted event by event, wherever they happen."""

LISTED_HIGHEST = 100_000
"""Events in one file, most of which may be after the end of a run."""

PROCESSES_HIGHEST = 100

MEMBERS_HIGHEST = 1023

FOREVER_PS = 1 << 100
"""Until when what is never repaired is broken: later than any event."""

Change = Literal[
    "cut",
    "repair",
    "restore-optical",
    "down",
    "up",
    "flap",
    "partition",
    "capacity",
    "delay",
    "loss",
    "maintenance",
    "controller",
    "start",
    "stop",
    "scale",
    "attack",
    "clock",
]
"""What a file can call a kind of event; `KINDS` has what each is."""

WORDS: Mapping[str, str] = {"cut": "link down", "down": "node down"}
"""Why frames are lost, by what broke: the same words in all witnesses."""


Group = Annotated[tuple[Text, ...], Field(min_length=1)]
"""Nodes and sites on one side of a partition."""


def _is_none(value: object) -> bool:
    return value is None


class Event(Noun):
    """One change of one thing at one instant."""

    at_ps: InstantOrZero = Field(
        alias="at",
        description="when, from the start of the run; or by the clock on the wall, like "
        "'2001-06-15T08:40+08:00', where the file has an 'epoch'",
    )
    change: Change = Field(
        description="cut breaks a link, a wire of it or a cable, and repair mends it; down stops a "
        "node or all nodes of a site, and up starts them again; flap breaks and mends again and "
        "again, partition cuts all between groups of nodes; capacity takes wires of a link away or "
        "lowers their rate, delay leads them over another fibre, loss damages frames; maintenance "
        "takes wires or nodes out of use as was announced; controller takes or slows the "
        "controller; start, stop and scale change what is offered, attack adds to it; "
        "restore-optical brings broken wires back over other fibre, at a share of their rate; "
        "clock sets a clock otherwise, or lets it run by itself"
    )
    target: Text | None = Field(
        None,
        description="what: a link, one wire of it ('a--b/2') or a cable; a node or a site; a "
        "stream, a demand, a group or a class. All have one but a partition, a controller, an "
        "attack and the loss of the grandmaster",
    )
    duration_ps: Instant | None = Field(
        None, alias="for", description="how long, after which it is undone; default it stays"
    )
    where_ppb: Ratio = Field(
        PPB // 2,
        alias="where",
        description="where on its way a link is cut, from its first node on",
    )
    every_ps: Time | None = Field(
        None,
        alias="every",
        description="from one break of a flap to the next",
        exclude_if=_is_none,
    )
    duty_ppb: Ratio | None = Field(
        None,
        alias="duty",
        description="share of that time for which it is broken; default 50%",
        exclude_if=_is_none,
    )
    groups: tuple[Group, ...] | None = Field(
        None,
        description="nodes and sites on each side of a partition: two lists of them, or more",
        exclude_if=_is_none,
    )
    members: int | None = Field(
        None,
        strict=True,
        ge=0,
        le=MEMBERS_HIGHEST,
        description="how many wires are left of a link, the first ones",
        exclude_if=_is_none,
    )
    rate_bps: Rate | None = Field(
        None,
        alias="rate",
        description="rate of each wire from then on, in both directions; of an attack its mean "
        "rate on the wire",
        exclude_if=_is_none,
    )
    length_mm: Length | None = Field(
        None, alias="length", description="length of another fibre", exclude_if=_is_none
    )
    delay_ps: TimeOrZero | None = Field(
        None,
        alias="delay",
        description="propagation delay of another fibre, in place of a length",
        exclude_if=_is_none,
    )
    ratio_ppb: Ratio | None = Field(
        None,
        alias="ratio",
        description="share of frames that are lost, in place of the link's own losses",
        exclude_if=_is_none,
    )
    bit_errors: ErrorRatio | None = Field(
        None,
        alias="bit-error-ratio",
        description="share of bits received wrong, in place of a ratio of frames",
        exclude_if=_is_none,
    )
    lost: bool | None = Field(
        None,
        strict=True,
        description="nobody hears of the controller, nor it of anybody",
        exclude_if=_is_none,
    )
    slow_by_ps: Time | None = Field(
        None,
        alias="slow-by",
        description="how much longer each step of the controller takes, in place of it being lost",
        exclude_if=_is_none,
    )
    by_ppb: Factor | None = Field(
        None,
        alias="by",
        description="what the rates of demands are multiplied by, or which share of the streams "
        "is sent, the first ones",
        exclude_if=_is_none,
    )
    origin: Name | None = Field(
        None, alias="from", description="node where an attack enters", exclude_if=_is_none
    )
    sink: Name | None = Field(
        None, alias="to", description="node that an attack is on", exclude_if=_is_none
    )
    sizes: FrameSizes | None = Field(
        None, description="frame sizes of an attack; default 'imix'", exclude_if=_is_none
    )
    traffic_class: Name | None = Field(
        None,
        alias="class",
        description="traffic class of an attack; default 'best-effort'",
        exclude_if=_is_none,
    )
    share_ppb: Ratio | None = Field(
        None,
        alias="share",
        description="share of their rate with which broken wires come back",
        exclude_if=_is_none,
    )
    step_ps: Offset | None = Field(
        None,
        alias="step",
        description="by how much a clock is set ahead at once; back, if negative",
        exclude_if=_is_none,
    )
    drift_ppb: Drift | None = Field(
        None,
        alias="drift",
        description="by how much a clock is too fast from then on; too slow, if negative",
        exclude_if=_is_none,
    )
    holdover: bool | None = Field(
        None,
        strict=True,
        description="a clock hears the grandmaster of 'sync' no more and runs by itself",
        exclude_if=_is_none,
    )
    grandmaster_lost: bool | None = Field(
        None,
        strict=True,
        alias="grandmaster-lost",
        description="no clock hears it any more: all run by themselves",
        exclude_if=_is_none,
    )
    process: Text | None = Field(
        None,
        description="the random process that it was drawn from; where that is in the file it is "
        "drawn anew",
        exclude_if=_is_none,
    )
    name: Text | None = Field(None, description="what the report calls it")
    note: Text | None = Field(None, description="what there is to say of it")
    source: Text | None = Field(None, description="where it is known from")

    @model_validator(mode="after")
    def _check(self) -> Event:
        kind = KINDS[self.change]
        for field in Event.model_fields:
            is_given = field in self.model_fields_set and getattr(self, field) is not None
            if is_given and field not in kind.known:
                raise ValueError(f"'{_key(field)}' does not go with {self.change}; leave it out")
            if getattr(self, field) is False:
                raise ValueError(f"'{_key(field)}: false' says nothing; leave it out")
            if not is_given and field in kind.needs:
                what = (Event.model_fields[field].description or "").partition(";")[0]
                what = _OF_LOADS.get(field, what) if kind.of == "loads" else what
                raise ValueError(f"{self.change} has no '{_key(field)}', {what}")
        given = [field for field in kind.one_of if getattr(self, field) is not None]
        if kind.one_of and len(given) != 1:
            keys = [f"'{_key(field)}'" for field in kind.one_of]
            has = "both, keep one of" if given else "no"
            if len(keys) > 2:
                has = "several, keep one of" if given else "none of"
            words = f"{', '.join(keys[:-1])} or {keys[-1]}"
            raise ValueError(f"{self.change} has {has} {words}")
        if self.change == "clock" and (self.target is None) != (self.grandmaster_lost is True):
            if self.target is None:
                raise ValueError("clock has no 'target', a node or a site")
            raise ValueError("'target' does not go with 'grandmaster-lost'; leave it out")
        if self.share_ppb == 0:
            raise ValueError("'share' of 0% brings nothing back")
        if self.groups is not None:
            if len(self.groups) < 2:
                raise ValueError("'groups' of a partition are two at least, each a list of names")
            _refuse_twins(self.groups)
        if self.origin is not None and self.origin == self.sink:
            raise ValueError(f"'from' and 'to' are both '{self.origin}'; an attack needs two nodes")
        return self

    @property
    def end_ps(self) -> int:
        """Before when it is in force, if nothing ends it before."""
        return FOREVER_PS if self.duration_ps is None else self.at_ps + self.duration_ps

    @property
    def fibre_ps(self) -> int | None:
        """How long light takes over the other fibre of a delay."""
        if self.length_mm is not None:
            return ceil_div(self.length_mm * FIBRE_PS_PER_KM, 10**6)
        return self.delay_ps

    def rate_of(self, own_bps: int) -> int:
        """Return the rate that a wire has by this event, in place of its own."""
        if self.share_ppb is not None:
            return max(own_bps * self.share_ppb // PPB, 1)
        return own_bps if self.rate_bps is None else self.rate_bps

    @property
    def words(self) -> str:
        """What happens, in words: "cut of ix-xian at 9ms"; its name, where it has one."""
        of = f" of {self.target}"
        if self.groups is not None:
            of = " of " + " from ".join(", ".join(one) for one in self.groups)
        if self.origin is not None:
            of = f" of {self.sink} from {self.origin}"
        if self.grandmaster_lost:
            of = ""
        left = "" if self.members is None else f" to {self.members} of its wires"
        for field, dimension in _MEASURES.items():
            if getattr(self, field) is not None:
                value = format_quantity(dimension, getattr(self, field))
                left = f" {_PREPOSITIONS[self.change]} {value}"
        if self.bit_errors is not None:
            left = f" to {self.bit_errors} wrong of 1e18 bits"
        if self.step_ps is not None:
            how = "ahead" if self.step_ps > 0 else "back"
            left = f" set {how} by {format_quantity(TIME, abs(self.step_ps))}"
        if self.drift_ppb is not None:
            how = "fast" if self.drift_ppb > 0 else "slow"
            left = f" too {how} by {format_quantity(RATIO, abs(self.drift_ppb))}"
        if self.holdover or self.grandmaster_lost:
            left = " in holdover" if self.holdover else " of all: grandmaster lost"
        what = f"{self.change}{of}{left}"
        if self.change == "controller":
            what = "controller lost" if self.lost else f"controller slow{left}"
        what += f" at {format_quantity(INSTANT, self.at_ps)}"
        if self.duration_ps is not None:
            what += f" for {format_quantity(INSTANT, self.duration_ps)}"
        return f"{self.name}: {what}" if self.name else what


_MEASURES = {
    "rate_bps": RATE,
    "length_mm": LENGTH,
    "delay_ps": TIME,
    "ratio_ppb": RATIO,
    "slow_by_ps": TIME,
    "by_ppb": FACTOR,
    "share_ppb": RATIO,
}

_PREPOSITIONS: Mapping[str, str] = defaultdict(lambda: "to", attack="with", controller="by")


_OF_LOADS = {
    "target": "what: a stream, a demand, a group or a class",
    "rate_bps": "mean rate on the wire",
}
"""What is said of a field that loads have otherwise."""


def _key(field: str) -> str:
    return Event.model_fields[field].alias or field


def _refuse_twins(groups: Sequence[Sequence[str]]) -> None:
    """Refuse a name that is on two sides of a partition, or twice on one."""
    seen: set[str] = set()
    for name in (name for group in groups for name in group):
        if name in seen:
            raise ValueError(f"'{name}' twice in 'groups'; it is on one side only")
        seen.add(name)


class EventKind(NamedTuple):
    """What a kind of event is of and does. A kind is a line of `KINDS`, and a word of `Change`."""

    of: Literal["wires", "nodes", "wires or nodes", "controllers", "loads"]
    """What it can name: links, wires and cables, nodes and sites, both; or what is sent, streams,
    demands, groups and classes (`qnet.model.loads`). Controllers have no names, and nothing of
    them is seen by who only watches the network.
    """
    spans: Callable[[Event], Iterator[tuple[int, int]]] | None
    """From when to before when it breaks what it names, unless that is mended before; None where it
    mends all that is broken of it.
    """
    fields: frozenset[str] = frozenset()
    """What it may have beside the fields of all events."""
    needs: frozenset[str] = frozenset({"target"})
    """What it must have."""
    one_of: tuple[str, ...] = ()
    """Of what it must have one."""

    @property
    def known(self) -> frozenset[str]:
        """Fields that it can have."""
        return COMMON | self.needs | self.fields | {*self.one_of}


def _lasting(event: Event) -> Iterator[tuple[int, int]]:
    """Yield the one time for which something is broken."""
    yield event.at_ps, event.end_ps


def _flapping(event: Event) -> Iterator[tuple[int, int]]:
    """Yield the first part of each period, to its end or that of the flap."""
    assert event.every_ps is not None, "a flap has it"
    duty_ppb = PPB // 2 if event.duty_ppb is None else event.duty_ppb
    broken_ps, end_ps = event.every_ps * duty_ppb // PPB, event.end_ps
    for begin_ps in range(event.at_ps, end_ps, event.every_ps):
        yield begin_ps, min(begin_ps + broken_ps, end_ps)


def _without_wires(event: Event) -> Iterator[tuple[int, int]]:
    """Yield the time for which wires are gone; one of another rate is there."""
    return iter(()) if event.members is None else _lasting(event)


def _breaking_nothing(_: Event) -> Iterator[tuple[int, int]]:
    return iter(())


COMMON = frozenset({"at_ps", "change", "name", "note", "source"})
"""Fields that every event has."""

KINDS: Mapping[str, EventKind] = {
    "cut": EventKind("wires", _lasting, frozenset({"duration_ps", "where_ppb", "process"})),
    "repair": EventKind("wires", None),
    "restore-optical": EventKind(
        "wires", None, frozenset({"duration_ps"}), frozenset({"target", "share_ppb"})
    ),
    "down": EventKind("nodes", _lasting, frozenset({"duration_ps", "process"})),
    "up": EventKind("nodes", None),
    "flap": EventKind(
        "wires",
        _flapping,
        frozenset({"duty_ppb"}),
        frozenset({"target", "every_ps", "duration_ps"}),
    ),
    "partition": EventKind("nodes", _lasting, frozenset({"duration_ps"}), frozenset({"groups"})),
    "capacity": EventKind(
        "wires",
        _without_wires,
        frozenset({"duration_ps"}),
        one_of=("rate_bps", "members"),
    ),
    "delay": EventKind(
        "wires", _breaking_nothing, frozenset({"duration_ps"}), one_of=("length_mm", "delay_ps")
    ),
    "loss": EventKind(
        "wires", _breaking_nothing, frozenset({"duration_ps"}), one_of=("ratio_ppb", "bit_errors")
    ),
    "maintenance": EventKind(
        "wires or nodes", _lasting, needs=frozenset({"target", "duration_ps"})
    ),
    "controller": EventKind(
        "controllers",
        _breaking_nothing,
        frozenset({"duration_ps"}),
        frozenset(),
        one_of=("lost", "slow_by_ps"),
    ),
    "start": EventKind("loads", _breaking_nothing, frozenset({"duration_ps"})),
    "stop": EventKind("loads", _breaking_nothing, frozenset({"duration_ps"})),
    "scale": EventKind(
        "loads", _breaking_nothing, frozenset({"duration_ps"}), frozenset({"target", "by_ppb"})
    ),
    "attack": EventKind(
        "loads",
        _breaking_nothing,
        frozenset({"duration_ps", "sizes", "traffic_class"}),
        frozenset({"origin", "sink", "rate_bps"}),
    ),
    "clock": EventKind(
        "nodes",
        _breaking_nothing,
        frozenset({"target", "duration_ps"}),
        frozenset(),
        ("step_ps", "drift_ppb", "holdover", "grandmaster_lost"),
    ),
}


class Timeline(Noun):
    """A file of events."""

    title: Text = Field(description="one line that says what happens")
    description: Text | None = Field(None, description="what it shows, for the reader")
    traffic: Text | None = Field(
        None,
        description="traffic that it goes with unless another one is given, by its bundled name",
        exclude_if=_is_none,
    )
    epoch: Moment | None = Field(
        None,
        description="when the run starts by the clock on the wall, with a time zone",
        exclude_if=_is_none,
    )
    events: tuple[Event, ...] = Field(
        (), max_length=LISTED_HIGHEST, description="what happens, and when"
    )
    processes: tuple[Process, ...] = Field(
        (),
        max_length=PROCESSES_HIGHEST,
        description="what happens at random, drawn by the seed",
        exclude_if=lambda processes: not processes,
    )


def cut(
    target: str,
    *,
    at: str,
    for_: str | None = None,
    where: str | None = None,
    name: str | None = None,
    note: str | None = None,
) -> Event:
    """Return the event of a fibre that breaks: a link's, one wire's, or a cable with all in it.

    `where` is a share of the way from the link's first node on, half of it unless said; `for_` is
    after how long it is repaired. Raises InputError.
    """
    return event("cut", target, at=at, for_=for_, where=where, name=name, note=note)


def repair(target: str, *, at: str, name: str | None = None, note: str | None = None) -> Event:
    """Return the event of a link, wire or cable being repaired. Raises InputError."""
    return event("repair", target, at=at, name=name, note=note)


def down(
    target: str,
    *,
    at: str,
    for_: str | None = None,
    name: str | None = None,
    note: str | None = None,
) -> Event:
    """Return the event of a node, or all nodes of a site, that stops. Raises InputError."""
    return event("down", target, at=at, for_=for_, name=name, note=note)


def up(target: str, *, at: str, name: str | None = None, note: str | None = None) -> Event:
    """Return the event of a node, or all nodes of a site, that starts again. Raises InputError."""
    return event("up", target, at=at, name=name, note=note)


def event(change: str, target: str | None = None, **keys: Any) -> Event:
    """Return an event of any kind, with the keys that a file would have; `for_` is 'for'.

    Raises InputError.
    """
    given = {"target": target, **{key.rstrip("_").replace("_", "-"): keys[key] for key in keys}}
    given = {key: one for key, one in given.items() if one is not None}
    try:
        return Event.model_validate({"change": change, **given})
    except ValidationError as error:
        raise InputError(
            Problem(change, 0, 0, ".".join(map(str, one["loc"])), _complaint(one["msg"]))
            for one in error.errors(include_url=False)
        ) from None


def _complaint(message: str) -> str:
    return message.removeprefix("Value error, ")
