"""Texts of words and brackets to tokens that know their lines."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from qnet.formats.networks.found import FoundNetwork, Spot


class Token(NamedTuple):
    """A word, a bracket or a quoted text, and where it begins."""

    text: str
    spot: Spot


TOKENS_HIGHEST = 5_000_000
"""More than a network of as many edges as there may be has."""


def tokens(found: FoundNetwork, text: str, pattern: re.Pattern[str]) -> Iterator[Token]:
    """Yield what the groups of a pattern match; what it matches outside of them is no token.

    The pattern has to match something everywhere. Raises InputError where there are very many.
    """
    count = 0
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for match in pattern.finditer(text):
        if match.lastgroup is not None:
            line = bisect_right(starts, match.start())
            spot = Spot(line, match.start() - starts[line - 1] + 1)
            count += 1
            if count > TOKENS_HIGHEST:
                found.stop(spot, f"more than {TOKENS_HIGHEST:,} words; qnet takes no more")
            yield Token(match.group(), spot)
