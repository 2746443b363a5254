"""What frames met at one load, class by class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from qnet.model.histogram import quantile_ps
from qnet.model.load_limit import ClassAtLoad, LoadPoint
from qnet.model.observation import Observation, Traffic
from qnet.model.scale import Chosen
from qnet.model.traffic import Profile
from qnet.units import PPB

SHARES_PPB = {"p50": PPB // 2, "p99": PPB * 99 // 100, "p999": PPB * 999 // 1000}


def point_of(profile: Profile, seen: Observation, scale_ppm: int, offered_bps: int) -> LoadPoint:
    """Sum up what the frames of each class met; classes without frames are left out."""
    class_of = {one.name: one.traffic_class for one in profile.every_stream}
    class_of |= {one.name: one.traffic_class for one in profile.demands}
    by_class: dict[str, list[Traffic]] = defaultdict(list)
    for one in (*seen.streams, *seen.demands):
        if one.sent and one.name in class_of:
            by_class[class_of[one.name]].append(one)
    names = [one.name for one in profile.classes if one.name in by_class]
    names += sorted(set(by_class) - set(names))
    classes = tuple(_class_of(name, by_class[name]) for name in names)
    return LoadPoint(scale_ppm=scale_ppm, offered_bps=offered_bps, classes=classes)


def counts_of(profile: Profile, seen: Observation, chosen: Chosen) -> tuple[int, int]:
    """Return how many frames of what is chosen were offered, and how many of them were lost.

    Those that were under way at the end are left out.
    """
    names = {one.name for one in profile.demands if chosen(one)}
    names |= {one.name for one in profile.every_stream if chosen(one)}
    found = [one for one in (*seen.streams, *seen.demands) if one.name in names]
    return sum(one.sent - one.in_flight for one in found), sum(one.lost for one in found)


def _class_of(name: str, members: Sequence[Traffic]) -> ClassAtLoad:
    waits: Counter[int] = Counter()
    for one in members:
        for number, frames in one.histogram:
            waits[number] += frames
    copies = sum(one.copies for one in members)
    least = [one.latency_ps_min for one in members if one.latency_ps_min is not None]
    most = [one.latency_ps_max for one in members if one.latency_ps_max is not None]
    variations = [one.variation_ps for one in members if one.variation_ps is not None]
    return ClassAtLoad(
        traffic_class=name,
        frames=sum(one.sent for one in members),
        lost=sum(one.lost for one in members),
        latency_ps_min=min(least, default=None),
        latency_ps_mean=sum(one.latency_ps_sum for one in members) // copies if copies else None,
        latency_ps_max=max(most, default=None),
        variation_ps=max(variations, default=None),
        **{
            f"wait_ps_{key}": quantile_ps([*waits.items()], share)
            for key, share in SHARES_PPB.items()
        },
    )
