"""What is asked of a network, as data: requirements, the figures that stand against them, units.

A figure is a whole number, and its unit alone decides how it is shown. Who adds a kind of
requirement to the core gives it a line in `KINDS`; layers bring the units of theirs along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import Field

from qnet.model.fields import Noun
from qnet.units import show_availability, show_rate, show_share, show_time

Witness = Literal["proven", "simulated", "emulated"]
"""Where a figure is from: arithmetic over the plan, the simulator, real switches."""

Keeps = Literal["at most", "at least"]
"""On which side of the promise a figure keeps it."""

_SHOWN: Mapping[str, Callable[[int], str]] = MappingProxyType(
    {"ps": show_time, "bps": show_rate, "ppb": show_share, "of the time": show_availability}
)
"""Units with a way of their own to be read; all others are decimals."""


class Unit(Noun):
    """What a whole number counts: steps of 10**-decimals of what `name` says."""

    name: str
    decimals: int = Field(0, ge=0, le=18)

    def show(self, value: int | None) -> str:
        """Write a value for a reader: 12_126_345_678 ps as '12.126 ms'.

        Of a decimal three digits are kept at least: 633_762 of a unit 'CNY/TB' of six decimals is
        '0.634 CNY/TB', and 7 is '0.000007 CNY/TB'.
        """
        if value is None:
            return "-"
        if self.name in _SHOWN:
            return _SHOWN[self.name](value)
        exact = Decimal(value).scaleb(-self.decimals)
        digits = min(max(3, 2 - exact.adjusted()), self.decimals) if value else 0
        return f"{exact:,.{digits}f} {self.name}".rstrip()

    @property
    def one_step(self) -> str:
        """What one step of a value is: 'ps', or '1e-6 CNY/TB'."""
        return f"1e-{self.decimals} {self.name}" if self.decimals else self.name


PS, BPS, PPB, COUNT = (Unit(name=name) for name in ("ps", "bps", "ppb", ""))


OF_TIME = Unit(name="of the time", decimals=15)


class Kind(NamedTuple):
    """What rows of a kind have in common."""

    unit: Unit
    keeps: Keeps = "at most"
    title: str = ""
    """In tables, where it is not the kind's own name."""
    of_each: bool = False
    """Whether every member has a figure of its own, of which the row shows the worst."""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "latency": Kind(PS, of_each=True),
        "variation": Kind(PS, of_each=True),
        "loss": Kind(PPB, of_each=True),
        "availability": Kind(OF_TIME, "at least", of_each=True),
        "egress": Kind(BPS, "at least"),
        "cable-egress": Kind(BPS, "at least", title="egress, a cable cut"),
        "node-egress": Kind(BPS, "at least", title="egress, a node down"),
        "placed": Kind(BPS, "at least"),
        "admitted": Kind(COUNT, "at least"),
        # One frame can be late at several ports: events, not frames.
        "late": Kind(COUNT, title="late events"),
    }
)
"""Kinds of the core; those of layers have their unit with them."""


class Requirement(Noun):
    """What is asked of one subject; without a promise its figures are only shown."""

    subject: str
    kind: str
    unit: Unit
    promised: int | None = None
    keeps: Keeps = "at most"
    members: int = 1


class Figure(Noun):
    """What a witness says of a subject, in the unit of the requirement of the same kind."""

    subject: str
    kind: str
    witness: Witness
    value: int


def ask(kind: str, subject: str, promised: int | None, members: int = 1) -> Requirement:
    """Return a requirement of a kind of the core."""
    known = KINDS[kind]
    return Requirement(
        subject=subject,
        kind=kind,
        unit=known.unit,
        promised=promised,
        keeps=known.keeps,
        members=members,
    )
