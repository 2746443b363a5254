"""What both formats of SNDlib say, before units are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from qnet.formats.networks.tokens import Token


@dataclass
class SndNetwork:
    """A network; its unit is what META calls it, if it does."""

    nodes: list[tuple[Token, Fraction | None, Fraction | None]] = field(default_factory=list)
    links: list[SndLink] = field(default_factory=list)
    demands: list[SndDemand] = field(default_factory=list)
    unit: str = ""


@dataclass
class SndLink:
    """A link with its installed capacity, and the capacities of modules."""

    name: Token
    ends: tuple[str, str]
    installed: Fraction
    modules: list[Fraction]


@dataclass
class SndDemand:
    """A demand; what it needs is its value times its routing unit."""

    name: Token
    ends: tuple[str, str]
    amount: Fraction
