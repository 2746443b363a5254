"""Where the highest load is at which something holds: of a grid, or by MLRsearch (RFC 9971)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qnet.errors import EnvironmentMissing


def highest(holds: Callable[[int], bool], top: int) -> int:
    """Return the largest whole number from 1 to `top` that holds, or 0.

    What holds at a number is taken to hold at all below it. Asks for `top` first, then halves: no
    more than 1 + log2(top), rounded up, times.
    """
    if top < 1 or holds(top):
        return max(top, 0)
    low, high = 0, top
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


class Counted(NamedTuple):
    """Frames of one trial: those that were offered, and of these those that were lost."""

    offered: int
    lost: int


class RelevantBounds(NamedTuple):
    """Relevant lower and upper bound of a goal, in parts per million; None where there is none."""

    lower_ppm: int | None
    upper_ppm: int | None


def mlr_search(
    measure: Callable[[int], Counted], most_ppm: int, loss_ppb: int, width_ppm: int
) -> RelevantBounds:
    """Search for the highest load at which no more is lost, by the algorithm of RFC 9971.

    The goal is that of RFC 2544: a single trial decides, whole durations only. A trial is the same
    whenever it is asked for, so none is made twice, and the clock on the wall decides nothing.
    Raises EnvironmentMissing without the package MLRsearch.
    """
    try:
        from MLRsearch import (  # noqa: PLC0415
            AbstractMeasurer,
            Config,
            MeasurementResult,
            MultipleLossRatioSearch,
            SearchGoal,
        )
    except ImportError:
        words = "the Python package MLRsearch is not here; try: pip install 'qnet-emulator[load]'"
        raise EnvironmentMissing(words) from None

    known: dict[int, Counted] = {}

    class Measurer(AbstractMeasurer):  # type: ignore[misc]
        """Sends frames at a load."""

        def measure(self, intended_duration: float, intended_load: float) -> MeasurementResult:
            """Count what is lost at a load in parts per million."""
            scale_ppm = max(round(intended_load), 1)
            found = known.get(scale_ppm)
            if found is None:
                found = known[scale_ppm] = measure(scale_ppm)
            return MeasurementResult(
                intended_duration=intended_duration,
                intended_load=intended_load,
                offered_count=found.offered,
                forwarding_count=found.offered - found.lost,
            )

    config = Config()
    config.goals = [
        SearchGoal(
            loss_ratio=loss_ppb / 1e9,
            exceed_ratio=0.0,
            relative_width=width_ppm / 1e6,
            initial_trial_duration=1.0,
            final_trial_duration=1.0,
            duration_sum=1.0,
            preceding_targets=0,
            expansion_coefficient=2,
            fail_fast=False,
        )
    ]
    config.max_load = float(most_ppm)
    config.min_load = float(min(1000, most_ppm // 2))
    config.search_duration_max = 1e9
    config.warmup_duration = 0.0
    search = MultipleLossRatioSearch(config=config)
    (found,) = search.search(measurer=Measurer(), debug=lambda _: None).values()
    bounds = (found.relevant_lower_bound, found.relevant_upper_bound)
    return RelevantBounds(*(None if one is None else max(round(float(one)), 1) for one in bounds))
