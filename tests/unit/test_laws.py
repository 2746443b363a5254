"""Frame sizes and arrivals follow their laws, on a million draws; a law that is 1 % off does not.

The judges are chi-square and Kolmogorov-Smirnov tests, each at a level of one in a thousand, by the
textbook (Wilson and Hilferty's approximation of the chi-square quantile, Kolmogorov's bound).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import qnet
from qnet.emulate.frames.kernels import FRAME_BYTES, TIME
from qnet.emulate.frames.ports import RealFrames, VirtualPorts
from qnet.errors import ArgumentError, InputError
from qnet.files.words import to_yaml
from qnet.model.fields import MIXES
from qnet.model.flow_sizes import FLOW_SIZES, mean_frames
from qnet.model.scale import scaled
from qnet.simulate.kernels.sources import flow_frames
from qnet.units import PPB
from tests.builders import network, plan_for, profile

FRAMES = 10**6
NORMAL = 3.09
"""Standard normal quantile of 0.999."""

MIX = {"7x64B+4x594B+1x1518B", "1x64B+1x65B+1x9018B", "999999x64B+1x9018B"}


def _drawn(seconds: str = "0.35s", seed: int = 1, **demand: Any) -> np.ndarray[Any, Any]:
    """Return time and bytes of all frames of a demand, one million at least."""
    topology = network([{"between": ["a", "b"], "rate": "100Gbps", "length": "1km"}])
    sent = profile(
        demands=[{"name": "d", "from": "a", "to": "b", **demand}],
        simulation={"duration": seconds, "seed": seed},
    )
    ports = VirtualPorts(
        topology, sent, plan_for(topology, sent), want=[RealFrames(0, first=0, stride=1)]
    )
    found = ports.frames[:, [TIME, FRAME_BYTES]]
    assert len(found) >= FRAMES
    return found[:FRAMES]


def _fits(seen: Sequence[int], shares: Sequence[float]) -> bool:
    """Tell whether counts are what shares would give, by a chi-square test."""
    expected = [share / sum(shares) * sum(seen) for share in shares]
    chi = sum((one - due) ** 2 / due for one, due in zip(seen, expected, strict=True))
    degrees = len(seen) - 1
    spread = 2 / (9 * degrees)
    return bool(chi <= degrees * (1 - spread + NORMAL * spread**0.5) ** 3)


def _largest_gap(values: np.ndarray[Any, Any], mean: float) -> float:
    """Return the largest distance of the distribution seen from the exponential one."""
    ordered = np.sort(values)
    law = 1 - np.exp(-ordered / mean)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.max(steps[1:] - law), np.max(law - steps[:-1])))


@pytest.mark.parametrize("mix", [*MIXES, *sorted(MIX)])
def test_frame_sizes_are_drawn_by_their_weights(mix: str) -> None:
    sizes = MIXES.get(mix) or tuple(
        (int(size.removesuffix("B")), int(weight))
        for weight, size in (part.split("x") for part in mix.split("+"))
    )
    rate = 8 * sum(w * (s + 20) for s, w in sizes) // sum(w for _, w in sizes) * 3_100_000
    drawn = _drawn(rate=f"{rate}bps", sizes=mix)
    counted = dict(zip(*np.unique(drawn[:, 1], return_counts=True), strict=True))
    assert set(counted) <= {size for size, _ in sizes}
    seen = [int(counted.get(size, 0)) for size, _ in sizes]
    weights = [float(weight) for _, weight in sizes]
    if min(weights) * FRAMES / sum(weights) < 5:  # too rare for the test to say anything
        assert seen[-1] <= 12
        return
    assert _fits(seen, weights)
    off = [_fits(seen, [weights[0] * factor, *weights[1:]]) for factor in (0.99, 1.01)]
    assert not all(off), "a share that is 1 % off is noticed"


def test_random_arrivals_are_exponential_and_keep_their_rate() -> None:
    rate_bps = 3_100_000 * 8 * (500 + 20)
    drawn = _drawn(rate=f"{rate_bps}bps", sizes="500B")
    gaps = np.diff(drawn[:, 0]).astype(np.float64)
    mean_ps = 8e12 * 520 / rate_bps
    bound = (0.5 * np.log(2e3) / len(gaps)) ** 0.5
    assert _largest_gap(gaps, mean_ps) <= bound
    assert _largest_gap(gaps, mean_ps * 1.01) > bound, "a rate that is 1 % off is noticed"
    assert abs(gaps.mean() / mean_ps - 1) < NORMAL / len(gaps) ** 0.5
    later = gaps[1:] - mean_ps
    with_the_one_before = float(np.mean(later * (gaps[:-1] - mean_ps))) / mean_ps**2
    assert abs(with_the_one_before) < NORMAL / len(gaps) ** 0.5, "gaps know nothing of each other"


def _notices_a_hundredth(some: int, others: int, share: float) -> bool:
    """Tell whether counts fit a share, and neither one that is 1 % more nor 1 % less."""
    fits = [_fits([some, others], [one, 1 - one]) for one in (share, share * 0.99, share * 1.01)]
    return fits == [True, False, False]


def _lengths(gaps: np.ndarray[Any, Any], line_ps: int) -> np.ndarray[Any, Any]:
    """Return how many frames each flow has that has ended: there is a pause behind it."""
    ends = np.flatnonzero(gaps > line_ps)
    return np.diff(ends)


def test_flows_have_their_lengths_their_pauses_and_their_rate() -> None:
    points, shares = "1:50%+3:80%+7:100%", [50, 15, 15, 5, 5, 5, 5]
    rate_bps, access_bps = 3_100_000 * 8 * (480 + 20), 50 * 10**9
    more: dict[str, Any] = {"flow-sizes": points, "access-rate": f"{access_bps}bps"}
    drawn = _drawn(rate=f"{rate_bps}bps", sizes="480B", arrival="flows", **more)
    line_ps = 8 * 500 * 20
    gaps = np.diff(drawn[:, 0])
    assert gaps.min() >= line_ps
    seen = np.bincount(_lengths(gaps, line_ps), minlength=8)[1:8].tolist()
    assert _fits(seen, shares)
    assert _notices_a_hundredth(seen[0], sum(seen[1:]), 0.5)
    mean_ps = 2.35 * (8e12 * 500 / rate_bps - line_ps)
    pauses = (gaps[gaps > line_ps] - line_ps).astype(np.float64)
    bound = (0.5 * np.log(2e3) / len(pauses)) ** 0.5
    assert _largest_gap(pauses, mean_ps) <= bound
    assert _largest_gap(pauses, mean_ps * 1.01) > bound, "a pause that is 1 % off is noticed"
    assert abs(gaps.mean() / (8e12 * 500 / rate_bps) - 1) < 0.01


@pytest.mark.parametrize(("name", "mean"), [("web-search", 1138), ("data-mining", 5117)])
def test_named_distributions_of_flows_are_drawn_and_have_the_means_told_of_them(
    name: str, mean: int
) -> None:
    points = FLOW_SIZES[name]
    assert abs(float(mean_frames(points)) / mean - 1) < 0.005
    table = np.array([(n, (share << 32) // PPB) for n, share in points], dtype=np.int64).ravel()
    words = np.random.PCG64(1).random_raw(FRAMES) >> np.uint64(32)
    lengths = np.array([flow_frames(int(word), 0, table) for word in words])
    # Of each part between two points the lower and the upper half of lengths, where it has both.
    low, before, edges, shares = 0, 0, [0], []
    for frames, share in points:
        first = low + 1 if low else frames
        middle = (first + frames) // 2
        for last in dict.fromkeys((middle, frames)):
            edges.append(last)
            shares.append(
                (share - before) * (last - max(edges[-2], first - 1)) / (frames - first + 1)
            )
        low, before = frames, share
    seen = np.histogram(lengths, bins=np.array(edges) + 0.5)[0].tolist()
    assert sum(seen) == FRAMES
    assert _fits(seen, shares)
    frames, share = min(points, key=lambda one: abs(2 * one[1] - PPB))
    short = int((lengths <= frames).sum())
    assert _notices_a_hundredth(short, FRAMES - short, share / PPB)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"flow-sizes": "web"}, "is no distribution of flow sizes"),
        ({"flow-sizes": "1:50%+1:100%"}, "does not rise"),
        ({"flow-sizes": "1:50%+2:99%"}, "from more than 0% to 100%"),
        ({"flow-sizes": "0:50%+2:100%"}, "are no frames of a flow"),
        ({"flow-sizes": None}, "'arrival: flows' has no 'flow-sizes'"),
        ({"access-rate": None}, "'arrival: flows' has no 'access-rate'"),
        ({"access-rate": "1Gbps"}, "'access-rate' is not above 'rate'"),
        ({"arrival": "poisson"}, "'flow-sizes' goes with 'arrival: flows' only"),
    ],
)
def test_flows_that_cannot_be_are_refused(more: dict[str, Any], words: str) -> None:
    whole = {"name": "d", "from": "a", "to": "b", "rate": "1Gbps", "arrival": "flows"}
    whole |= {"flow-sizes": "web-search", "access-rate": "2Gbps"} | more
    given = {key: value for key, value in whole.items() if value is not None}
    topology = network([{"between": ["a", "b"], "rate": "1Gbps", "length": "1km"}])
    with pytest.raises(InputError, match=words):
        qnet.load({"title": "p", "topology": "t", "demands": [given]}, topology=topology)


def test_flows_are_written_as_they_are_read_and_scaled_up_to_their_access() -> None:
    one = {"from": "a", "to": "b", "rate": "1Gbps", "arrival": "flows", "access-rate": "2Gbps"}
    sizes = ("web-search", "data-mining", "1:50%+3:80%+7:100%")
    made = profile(demands=[one | {"flow-sizes": each} for each in sizes])
    text = to_yaml(made)
    assert all(f"flow-sizes: {each}\n" in text for each in sizes)
    assert scaled(made, Fraction(3, 2)).demands[0].rate_bps == 1_500_000_000
    with pytest.raises(ArgumentError, match="not below the access rate"):
        scaled(made, Fraction(2))


def test_another_seed_draws_others_and_the_same_one_the_same() -> None:
    rate = f"{3_100_000 * 8 * 520}bps"
    one, again, other = (_drawn(rate=rate, sizes="500B", seed=seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one[:, 0] != other[:, 0]).mean() > 0.99


def test_constant_rate_keeps_its_rate_to_the_picosecond_with_a_mix() -> None:
    drawn = _drawn(rate="10Gbps", sizes="imix", arrival="constant-rate")
    wire_bits = 8 * (drawn[:-1, 1] + 20)
    due_ps = drawn[0, 0] + np.cumsum(wire_bits) * 100
    assert (drawn[1:, 0] == due_ps).all()


@pytest.mark.parametrize(
    ("mix", "mean"),
    [("imix", 361.83), ("imix-570", 353.83), ("imix-standard", 417.24), ("imix-ipv6", 425.88)],
)
def test_named_mixes_have_the_means_that_are_told_of_them(mix: str, mean: float) -> None:
    """The last two are OTG's (413.7 and 423.5), with what is below 64 bytes padded to it."""
    weights = sum(weight for _, weight in MIXES[mix])
    assert abs(sum(size * weight for size, weight in MIXES[mix]) / weights - mean) < 0.005


def test_mixes_are_written_as_they_are_read() -> None:
    demands = [{"from": "a", "to": "b", "rate": "1Gbps", "sizes": mix} for mix in (*MIXES, *MIX)]
    made = profile(demands=demands)
    assert [one.sizes for one in made.demands[: len(MIXES)]] == list(MIXES.values())
    text = to_yaml(made)
    for mix in {*MIXES, *MIX} - {"imix", "7x64B+4x594B+1x1518B"}:  # the default is left out
        assert f"sizes: {mix}\n" in text


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ("7x64B+", "is no mix"),
        ("x64B", "is no mix"),
        ("0x64B+1x65B", "weights are whole numbers"),
        ("9999999x64B", "weights are whole numbers"),
        ("1x63B+1x64B", "out of range"),
        ("1x64B+2x64B", "a size twice"),
        ("1x64", "unit"),
        ("imix-571", "is no mix"),
    ],
)
def test_what_is_no_mix_is_refused(sizes: str, words: str) -> None:
    traffic = {
        "title": "p", "topology": "t",
        "demands": [{"name": "d", "from": "a", "to": "b", "rate": "1Gbps", "sizes": sizes}],
    }  # fmt: skip
    topology = network([{"between": ["a", "b"], "rate": "1Gbps", "length": "1km"}])
    with pytest.raises(InputError, match=words):
        qnet.load(traffic, topology=topology)
