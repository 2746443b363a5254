"""Latency distributions: what was seen, beside what was promised and proven."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import ceil, floor, log10
from typing import NamedTuple

from qnet.model.histogram import bin_low_ps, quantile_ps
from qnet.model.loads import sent_by_name
from qnet.model.observation import Traffic
from qnet.model.proof import StreamProof
from qnet.model.traffic import LEG, Stream
from qnet.report.drawing import px
from qnet.report.inputs import Listed, ReportInput
from qnet.units import PPB, PS_PER_MS, PS_PER_NS, PS_PER_S, PS_PER_US, show_time

SERVICES_CHARTED = 16
PROMISES_CHARTED = 3
CHART_WIDTH = 460.0
CHART_HEIGHT = 140.0
CHART_COLUMNS = 92
CHART_TOP = 34.0
LOG_FROM = 30
QUANTILES_PPB = (PPB // 2, PPB // 100 * 99, PPB // 1000 * 999)
FAR = 3
"""A promise so many times farther away than all else is named at the edge of a chart."""


class Line(NamedTuple):
    """A bound drawn across a chart, or only named at its edge when it lies beyond."""

    kind: str
    label: str
    x: float
    y: float
    anchor: str
    beyond: bool = False


class Chart(NamedTuple):
    """A distribution: columns as one path, ticks of both axes, and the bounds."""

    title: str
    path: str
    ticks: Sequence[tuple[str, float]]
    y_ticks: Sequence[tuple[str, float]]
    lines: Sequence[Line]
    logarithmic: bool


class Service(NamedTuple):
    """All streams, or all demands, of one service together."""

    name: str
    what: str
    sent: int
    lost: int
    late: int
    figures: Sequence[tuple[str, str]]
    charts: Sequence[Chart]
    hidden: int
    """Promises, beyond the strictest few, that have no chart."""


class ServiceSummary(NamedTuple):
    """Frames of one service, and how long they took.

    `latencies_ps`: least, mean, up to which 50, 99 and 99.9 % of the frames came, most.
    """

    name: str
    what: str
    classes: str
    sent: int
    received: int
    lost: int
    in_flight: int
    late: int
    latencies_ps: Sequence[int | None]


class Mass(NamedTuple):
    """Frames somewhere between two latencies."""

    low_ps: int
    high_ps: int
    frames: int


def _by_service(case: ReportInput) -> list[tuple[str, bool, list[Traffic]]]:
    """Group what was carried by service, and streams apart from demands; the harmed first."""
    if case.observation is None:
        return []
    grouped: dict[tuple[str, bool], list[Traffic]] = defaultdict(list)
    for is_demand, every in ((False, case.observation.streams), (True, case.observation.demands)):
        for traffic in every:
            grouped[traffic.service, is_demand].append(traffic)
    carried = {key: members for key, members in grouped.items() if any(m.sent for m in members)}

    def harmed_first(key: tuple[str, bool]) -> tuple[bool, bool, int]:
        sent, lost, late = _sums(carried[key])
        return lost + late == 0, key[1], -sent

    return [(*key, carried[key]) for key in sorted(carried, key=harmed_first)]


def services(case: ReportInput) -> Listed[Service]:
    """Chart each service, those that were harmed first."""
    every = _by_service(case)
    return Listed([_service(case, *one) for one in every[:SERVICES_CHARTED]], len(every))


def summaries(case: ReportInput) -> list[ServiceSummary]:
    """Sum up each service, in the order of the charts."""
    by_name = sent_by_name(case.profile)
    return [
        ServiceSummary(
            name,
            _members(is_demand, members),
            ", ".join(sorted({by_name[one.name].traffic_class for one in members})),
            sum(one.sent for one in members),
            sum(one.received for one in members),
            sum(one.lost for one in members),
            sum(one.in_flight for one in members),
            sum(one.late for one in members),
            _spread(members),
        )
        for name, is_demand, members in _by_service(case)
    ]


def _members(is_demand: bool, members: Sequence[Traffic]) -> str:
    noun = "demand" if is_demand else "stream"
    count = len({one.name.partition(LEG)[0] for one in members})
    told = f"{count:,} {noun}{'' if count == 1 else 's'}"
    return told if count == len(members) else f"{told} to {len(members):,} listeners"


def _spread(members: Sequence[Traffic]) -> list[int | None]:
    """Return least, mean, quantiles and most; a quantile is the upper end of its bin."""
    seen = [one for one in members if one.copies]
    if not seen:
        return [None] * (3 + len(QUANTILES_PPB))
    copies = sum(one.copies for one in seen)
    masses = sorted(_latencies(seen), key=lambda mass: mass.high_ps)
    reached = list(accumulate(mass.frames for mass in masses))
    return [
        _least(one.latency_ps_min for one in seen),
        sum(one.latency_ps_sum for one in seen) // copies,
        *(masses[bisect_left(reached, -(-reached[-1] * q // PPB))].high_ps for q in QUANTILES_PPB),
        _most(one.latency_ps_max for one in seen),
    ]


def _service(case: ReportInput, name: str, is_demand: bool, members: Sequence[Traffic]) -> Service:
    what = _members(is_demand, members)
    seen = [one for one in members if one.copies]
    figures = _waits(seen) if seen else []
    if is_demand or not seen:
        charts = [_chart("latency, end to end", _latencies(seen), None, None)] if seen else []
        return Service(name, what, *_sums(members), figures, charts, 0)
    latencies = _by_promise(case, seen, lambda stream: stream.max_latency_ps)
    variations = _by_promise(case, seen, lambda stream: stream.max_latency_variation_ps)
    charts = [
        _latency_chart(case, promised, some, len(latencies) > 1)
        for promised, some in latencies[:PROMISES_CHARTED]
    ]
    charts += [
        _variation_chart(case, promised, some, len(variations) > 1)
        for promised, some in variations[:PROMISES_CHARTED]
        if any(_is_proven(case, one) for one in some)
    ]
    hidden = sum(max(len(each) - PROMISES_CHARTED, 0) for each in (latencies, variations))
    return Service(name, what, *_sums(members), figures, charts, hidden)


def _by_promise(
    case: ReportInput, seen: Sequence[Traffic], promise: Callable[[Stream], int | None]
) -> list[tuple[int | None, list[Traffic]]]:
    """Part streams that were promised different things, the strictest promise first."""
    parts: dict[int | None, list[Traffic]] = defaultdict(list)
    for one in seen:
        parts[promise(case.stream_by_name[one.name])].append(one)
    return sorted(parts.items(), key=lambda part: (part[0] is None, part[0] or 0))


def _is_proven(case: ReportInput, one: Traffic) -> bool:
    proof = case.proof_by_name.get(one.name)
    return proof is not None and proof.variation_ps is not None


def _sums(members: Sequence[Traffic]) -> tuple[int, int, int]:
    return (
        sum(one.sent for one in members),
        sum(one.lost for one in members),
        sum(one.late for one in members),
    )


def _waits(seen: Sequence[Traffic]) -> list[tuple[str, str]]:
    """Say how much longer than their routes ask for frames took."""
    excess: Counter[int] = Counter()
    for one in seen:
        excess.update(dict(one.histogram))
    above = sorted(excess.items())
    return [
        (f"{share / PPB * 100:g} %", show_time(quantile_ps(above, share)))
        for share in QUANTILES_PPB
    ]


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _latency_chart(
    case: ReportInput, promised: int | None, seen: Sequence[Traffic], is_part: bool
) -> Chart:
    proven = _most(proof.latency_ps_max for proof in _proofs(case, seen))
    title = f"latency, end to end{_part(seen, is_part)}"
    return _chart(title, _latencies(seen), promised, proven)


def _latencies(seen: Sequence[Traffic]) -> list[Mass]:
    return [mass for one in seen for mass in _masses(one, one.floor_ps)]


def _variation_chart(
    case: ReportInput, promised: int | None, seen: Sequence[Traffic], is_part: bool
) -> Chart:
    """Chart how much later than the same stream's fastest frame the others came."""
    proven = _most(proof.variation_ps for proof in _proofs(case, seen))
    masses = [
        mass for one in seen for mass in _masses(one, one.floor_ps - (one.latency_ps_min or 0))
    ]
    title = f"variation, above the stream's fastest frame{_part(seen, is_part)}"
    return _chart(title, masses, promised, proven, 0)


def _proofs(case: ReportInput, seen: Sequence[Traffic]) -> list[StreamProof]:
    return [case.proof_by_name[one.name] for one in seen if one.name in case.proof_by_name]


def _part(seen: Sequence[Traffic], is_part: bool) -> str:
    if not is_part:
        return ""
    return f", {len(seen):,} stream{'' if len(seen) == 1 else 's'}"


def _masses(traffic: Traffic, shift_ps: int) -> list[Mass]:
    """Return the bins of a histogram, cut to the least and most that were seen."""
    origin = shift_ps - traffic.floor_ps
    low = (traffic.latency_ps_min or 0) + origin
    high = (traffic.latency_ps_max or 0) + origin
    return [
        Mass(
            min(max(bin_low_ps(index) + shift_ps, low), high),
            max(min(bin_low_ps(index + 1) + shift_ps, high), low),
            frames,
        )
        for index, frames in traffic.histogram
    ]


def _chart(
    title: str,
    masses: Sequence[Mass],
    promised: int | None,
    proven: int | None,
    start: int | None = None,
) -> Chart:
    values = [mass.low_ps for mass in masses] + [mass.high_ps for mass in masses]
    values += [proven] if proven is not None else []
    reach = max(values) - (min(values) if start is None else start)
    is_far = promised is not None and promised - max(values) > FAR * max(reach, PS_PER_NS)
    bounds = [promised] if promised is not None and not is_far else []
    low = min(values + bounds) if start is None else start
    high = max(values + bounds)
    logarithmic = 0 < low * LOG_FROM < high
    pad = 0 if logarithmic else max((high - low) // 16, 1000)
    scale = _Scale(
        low if logarithmic or start is not None else max(low - pad, 0),
        high * 5 // 4 if logarithmic else high + pad,
        logarithmic,
    )
    lines = []
    if promised is not None:
        lines.append(_beyond(promised) if is_far else _line("promised", promised, scale, 0))
    if proven is not None:
        lines.append(_line("proven", proven, scale, 1))
    heights = _heights(masses, scale)
    y_ticks = _share_ticks(max(heights), sum(heights))
    return Chart(title, _columns(heights), scale.ticks(), y_ticks, lines, logarithmic)


class _Scale(NamedTuple):
    """Where a time stands on the x axis of a chart."""

    low_ps: int
    high_ps: int
    logarithmic: bool

    def x(self, time_ps: float) -> float:
        low, high = float(self.low_ps), float(self.high_ps)
        if self.logarithmic:
            low, high, time_ps = log10(low), log10(high), log10(max(time_ps, 1.0))
        return (time_ps - low) / (high - low) * CHART_WIDTH

    def ticks(self) -> list[tuple[str, float]]:
        if self.logarithmic:
            powers = range(ceil(log10(self.low_ps)), floor(log10(self.high_ps)) + 1)
            return [(show_time(10**power, 0), self.x(10**power)) for power in powers]
        return [(text, self.x(value)) for text, value in _round_times(self.low_ps, self.high_ps)]


def _round_times(low_ps: int, high_ps: int) -> list[tuple[str, int]]:
    """Return round times between two, all in one unit."""
    step = round_step(high_ps - low_ps, 5)
    unit, unit_ps = _unit(high_ps)
    digits = max(0, ceil(log10(unit_ps / step)))
    first = -(-low_ps // step) * step
    return [
        (f"{value / unit_ps:.{digits}f} {unit}", value) for value in range(first, high_ps + 1, step)
    ]


def time_ticks(end_ps: int, width: float) -> list[tuple[str, float]]:
    """Return round times from 0 to the end of a chart `width` wide."""
    return [(text, value * width / end_ps) for text, value in _round_times(0, end_ps)]


def _unit(time_ps: int) -> tuple[str, int]:
    for unit, unit_ps in (("s", PS_PER_S), ("ms", PS_PER_MS), ("us", PS_PER_US)):
        if time_ps >= unit_ps:
            return unit, unit_ps
    return "ns", PS_PER_NS


def round_step(extent: int, most: int) -> int:
    """Return the least of 1, 2, 5, 10, 20 ... that divides `extent` into few enough steps."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if extent <= factor * power * most:
                return factor * power
        power *= 10


def _line(kind: str, time_ps: int, scale: _Scale, level: int) -> Line:
    x = scale.x(time_ps)
    anchor = "end" if x > CHART_WIDTH / 2 else "start"
    return Line(kind, f"{kind} {show_time(time_ps)}", x, 11.0 + 12 * level, anchor)


def _beyond(promised: int) -> Line:
    label = f"promised {show_time(promised)} \u2192"
    return Line("promised", label, CHART_WIDTH, 11.0, "end", beyond=True)


def _heights(masses: Sequence[Mass], scale: _Scale) -> list[float]:
    """Spread the frames of each bin evenly over its columns."""
    heights = [0.0] * CHART_COLUMNS
    width = CHART_WIDTH / CHART_COLUMNS
    for mass in masses:
        low, high = scale.x(mass.low_ps) / width, scale.x(mass.high_ps) / width
        first = min(int(low), CHART_COLUMNS - 1)
        last = min(max(ceil(high), first + 1), CHART_COLUMNS)
        span = max(high - low, 1e-9)
        for column in range(first, last):
            cover = (min(high, column + 1) - max(low, column)) / span
            heights[column] += mass.frames * (cover if last - first > 1 else 1.0)
    return heights


def _columns(heights: Sequence[float]) -> str:
    """Draw the columns; none is too low to be seen."""
    highest = max(heights) or 1.0
    width = CHART_WIDTH / CHART_COLUMNS
    room = CHART_HEIGHT - CHART_TOP
    return "".join(
        f"M{px(column * width)} {px(CHART_HEIGHT)}v-{px(max(value / highest * room, 2.0))}"
        f"h{px(width - 0.6)}V{px(CHART_HEIGHT)}z"
        for column, value in enumerate(heights)
        if value > 0
    )


def _share_ticks(highest: float, total: float) -> list[tuple[str, float]]:
    """Return round shares of all frames, in per cent, and how high they stand."""
    most_ppm = max(int(highest / total * 10**6), 1) if total else 1
    step = round_step(most_ppm, 3)
    room = CHART_HEIGHT - CHART_TOP
    return [
        (f"{ppm / 10**4:g} %", CHART_HEIGHT - ppm / most_ppm * room)
        for ppm in range(0, most_ppm + 1, step)
    ]
