"""The benchmarks of RFC 2544 and 9004: `qnet.benchmark`, `qnet load --test rfc2544`.

What is scaled sends frames of one size at a constant rate, over the ways as they are planned;
streams stay, beside it. Throughput is searched as goal `loss` is; latency is seen at shares of it.
Loss goes down from the input rate, the load at which a first port is full, in tenths of it until
two trials lose nothing. A burst at the input rate is as long as can be once its next frame is lost:
one run of what never stops says so, since what comes later makes no earlier frame be lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import isqrt

import numpy as np

from qnet import api
from qnet.errors import ArgumentError, Problem
from qnet.loads.goals import LoadQuestion, Losses
from qnet.loads.run import LOSS_WIDTH, check_switches, choose, read_width_ppm
from qnet.model.benchmark import BackToBack, Benchmark, LossStep, SizeBenchmark
from qnet.model.emulation import Tier
from qnet.model.fields import FRAME_BYTES_HIGHEST, FRAME_BYTES_LOWEST
from qnet.model.load_limit import PPM
from qnet.model.plan import Plan
from qnet.model.scenario import Scenario
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.progress import Progress
from qnet.simulate.frame_sources import sources_of
from qnet.simulate.tracing import play
from qnet.simulate.world import PASSED_ON, TraceRow
from qnet.units import PS_PER_S, wire_bytes

FRAME_SIZES = (64, 128, 256, 512, 1024, 1280, 1518)
"""RFC 2544 clause 9.1, Ethernet."""

REPEATS = 50
"""Of back-to-back trials, at least: RFC 9004."""

LONGER = 16
"""A burst is looked for up to so many times the length of a trial."""


def benchmark(
    scenario: Scenario | str,
    *,
    sizes: Sequence[int] = FRAME_SIZES,
    repeats: int = REPEATS,
    width: str | None = None,
    traffic_class: str | None = None,
    group: str | None = None,
    route: tuple[str, str] | None = None,
    duration: str | None = None,
    emulate: Tier | None = None,
    sample: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Benchmark:
    """Benchmark all demands, or those of a class, group or route, with frames of some sizes.

    With `emulate` each trial of throughput and loss sends a `sample` of its frames through real
    switches, too, as `load_limit` does; bursts are simulated. Raises ArgumentError, InputError,
    Infeasible, Cancelled; and EnvironmentMissing where the machine has not what emulation needs.
    """
    case = api.load(scenario) if isinstance(scenario, str) else scenario
    case = case.with_(duration=duration)
    words, chosen = choose(case, traffic_class, group, route)
    for one in sizes:
        if not FRAME_BYTES_LOWEST <= one <= FRAME_BYTES_HIGHEST:
            least, most = FRAME_BYTES_LOWEST, FRAME_BYTES_HIGHEST
            said = f"{one}B is out of range; from {least}B to {most}B"
            raise ArgumentError([Problem("sizes", 0, 0, "", said)])
    if repeats < 1:
        raise ArgumentError([Problem("repeats", 0, 0, "", "is less than 1")])
    width_ppm = read_width_ppm(width, LOSS_WIDTH)
    check_switches(case, emulate, sample)
    found = []
    for size in sizes:
        demands = tuple(
            one.replace(sizes=((size, 1),), arrival="constant-rate", burst_packets=1)
            if chosen(one)
            else one
            for one in case.profile.demands
        )
        sized = case.with_(profile=case.profile.replace(demands=demands))
        how = (threads, progress, emulate, sample)
        asked = LoadQuestion(sized, words, chosen, width_ppm, *how)
        found.append(_SizeTest(asked, size).answer(repeats))
    return Benchmark(
        title=case.profile.title,
        scaled=f"demands of {words}",
        duration_ps=case.profile.simulation.duration_ps,
        seed=case.profile.simulation.seed,
        sizes=tuple(found),
    )


class _SizeTest:
    """All tests with frames of one size."""

    def __init__(self, asked: LoadQuestion, size: int) -> None:
        self._asked, self._size = asked, size
        self._losses = Losses(asked, 0)
        self._demands = [one for one in asked.scenario.profile.demands if asked.chosen(one)]

    def answer(self, repeats: int) -> SizeBenchmark:
        """Make the tests, one after the other."""
        limit = self._losses.find()
        input_ppm = self._input_ppm()
        lower_ppm = limit.lower_ppm
        return SizeBenchmark(
            frame_bytes=self._size,
            input_ppm=input_ppm,
            input_frames_per_s=int(self._frames_per_s(input_ppm)),
            throughput_frames_per_s=None
            if lower_ppm is None
            else int(self._frames_per_s(lower_ppm)),
            throughput=limit,
            loss=tuple(self._loss(input_ppm)),
            back_to_back=self._back_to_back(input_ppm, lower_ppm or 0, repeats),
        )

    def _input_ppm(self) -> int:
        """Return the load at which a first port of what is scaled is full."""
        names = {one.name for one in self._demands}
        first_bps: dict[str, int] = {}
        for entry in self._losses.plan.demands:
            for part in entry.parts if entry.name in names else ():
                first_bps[part.ports[0]] = first_bps.get(part.ports[0], 0) + part.rate_bps
        ports = self._asked.scenario.topology.port_by_name
        return min(ports[name].rate_bps * PPM // rate for name, rate in first_bps.items())

    def _frames_per_s(self, scale_ppm: int) -> Fraction:
        rate_bps = sum(one.rate_bps for one in self._demands)
        return Fraction(rate_bps * scale_ppm, PPM * 8 * wire_bytes(self._size))

    def _loss(self, input_ppm: int) -> Iterator[LossStep]:
        """Yield frame loss rates from the input rate down, until two are zero (clause 26.3)."""
        zeros = 0
        for share_ppm in range(PPM, 0, -PPM // 10):
            scale_ppm = max(input_ppm * share_ppm // PPM, 1)
            found = self._losses.measure(scale_ppm)
            yield LossStep(
                share_ppm=share_ppm, scale_ppm=scale_ppm, frames=found.offered, lost=found.lost
            )
            zeros = 0 if found.lost else zeros + 1
            if zeros == 2:
                return

    def _back_to_back(self, input_ppm: int, lower_ppm: int, repeats: int) -> BackToBack:
        if input_ppm <= self._losses.bound.carried_ppm:
            words = "frames are sent on as fast as they can come in: no burst is too long"
            return BackToBack(repeats=0, irregular=words)
        case, plan = self._losses.at(input_ppm)
        names = {one.name for one in self._demands}
        seed = case.profile.simulation.seed
        bursts = []
        self._losses.heeded.stage(f"{repeats} bursts of {self._size} B")
        for number in range(repeats):
            burst = _longest_burst(case.with_(seed=seed + number), plan, names, self._asked.threads)
            if burst is None:
                words = f"no burst of {LONGER} trials' length loses a frame"
                return BackToBack(repeats=number + 1, irregular=words)
            bursts.append(burst)
        count, total = len(bursts), sum(bursts)
        square = count * sum(one * one for one in bursts) - total * total
        implied_ps = Fraction(total, count) * PS_PER_S / self._frames_per_s(input_ppm)
        few = f"{repeats} repeats; RFC 9004 asks for {REPEATS} at least"
        return BackToBack(
            repeats=repeats,
            frames_min=min(bursts),
            frames_mean=total // count,
            frames_deviation=isqrt(square // (count * count)),
            frames_max=max(bursts),
            implied_ps=int(implied_ps),
            corrected_ps=int(implied_ps * (1 - Fraction(lower_ppm, input_ppm))),
            irregular=few if repeats < REPEATS else None,
        )


def _longest_burst(case: Scenario, plan: Plan, names: set[str], threads: int | None) -> int | None:
    """Return how many frames come, of all that is named, before the first that is lost."""
    for longer in (1, 2, 4, 8, LONGER):
        simulation = case.profile.simulation
        end_ps = simulation.duration_ps * longer
        profile = case.profile.replace(simulation=simulation.replace(duration_ps=end_ps))
        born, lost_ps = _births(case.topology, profile, plan, names, threads)
        # Those before it that are lost, too, may be so later: there is time for that.
        if lost_ps is not None and 2 * lost_ps <= end_ps:
            return sum(one < lost_ps for one in born)
    return None


def _births(
    topology: Topology, profile: Profile, plan: Plan, names: set[str], threads: int | None
) -> tuple[list[int], int | None]:
    """Return when frames of what is named were born that came through, or not, their first port.

    And when the first was born that was lost anywhere.
    """
    found = sources_of(topology, profile, plan)
    mine = [number for number, one in enumerate(found) if one.name in names]
    first = np.array([one.ports[0].number for one in found])
    born: list[int] = []
    lost: list[int] = []
    for _, written in play(topology, profile, plan, follow=mine, threads=threads):
        for one in written:
            followed = np.isin(one.owner, mine)
            births = one.rows[:, TraceRow.BORN]
            born += births[followed & (first[one.owner] == one.port)].tolist()
            lost += births[followed & (one.rows[:, TraceRow.FATE] != PASSED_ON)].tolist()
    return born, min(lost, default=None)
