"""Service activation as ITU-T Y.1564 has it: `qnet.activation_test`, `qnet load --test y1564`.

The network is as it is planned for its whole profile. Phase 1, the configuration test, sends one
service at a time: at 25, 50, 75 and 100 % of its CIR; at CIR + EIR; at 25 % above both. Phase 2,
the performance test, sends all services together at CIR, and what else the profile has. Services
stop before a trial ends, so that no frame is under way when frames are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm
from typing import NamedTuple

from qnet import api
from qnet.errors import ArgumentError, Problem
from qnet.loads.goals import emulated
from qnet.loads.run import check_switches, choose, read_share_ppb
from qnet.model.activation import (
    ActivatedService,
    LeftOut,
    ServiceActivation,
    ServiceStep,
    StepName,
)
from qnet.model.emulation import Emulation, Tier
from qnet.model.load_limit import PPM
from qnet.model.observation import Observation
from qnet.model.scale import mean_rate_bps
from qnet.model.scenario import Scenario
from qnet.model.timeline import Event
from qnet.model.traffic import LEG, IdleSlope, Profile, Stream
from qnet.model.verdict import Outcome, worst_of
from qnet.progress import Heeded, Progress
from qnet.units import (
    PPB,
    PS_PER_MS,
    PS_PER_S,
    RATE,
    UnitError,
    ceil_div,
    parse,
    show_rate,
    show_share,
    show_time,
    wire_bytes,
)

CIR_STEPS_PPM = (250_000, 500_000, 750_000, PPM)
POLICING_PPM = 1_250_000

ROUNDS = 100
"""Of the performance test: hypercycles of all services."""

ROUND_PS_HIGHEST = 10 * PS_PER_MS

BURSTS = 100
"""Policing is watched for so long that bursts of the meter count for a hundredth at most."""

SERVICES_HIGHEST = 256

LONGEST_GAP = 8
"""Intervals of a stream that reserves cycles of which one is sent in, at most."""


def activation_test(
    scenario: Scenario | str,
    *,
    loss: str = "0%",
    cir: str | None = None,
    eir: str | None = None,
    traffic_class: str | None = None,
    group: str | None = None,
    route: tuple[str, str] | None = None,
    duration: str | None = None,
    emulate: Tier | None = None,
    sample: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ServiceActivation:
    """Test every policed stream, or those of a class, group or route, as ITU-T Y.1564 says.

    `loss` is the frame loss ratio that is accepted of services that promise none; `cir` and `eir`
    are those of each service, by default what it asks for and its `excess-rate`. With `emulate`
    each trial sends a `sample` of its frames through real switches, too, which must do as the plan
    says. Raises ArgumentError, InputError, Infeasible, Cancelled; and EnvironmentMissing where the
    machine has not what emulation needs.
    """
    case = api.load(scenario) if isinstance(scenario, str) else scenario
    case = case.with_(duration=duration, events=())
    words, chosen = choose(case, traffic_class, group, route)
    contract = _Contract(
        read_share_ppb("loss", loss), _rate_bps("cir", cir) or None, _rate_bps("eir", eir)
    )
    found = [one for one in case.profile.every_tree if one.police and chosen(one)]
    if not found:
        said = f"{words}: no stream is policed ('police: true'), so there is no service to test"
        raise ArgumentError([Problem("test", 0, 0, "", said)])
    if len(found) > SERVICES_HIGHEST:
        said = f"{words}: {len(found)} services, at most {SERVICES_HIGHEST} are tested at once"
        raise ArgumentError([Problem("test", 0, 0, "", f"{said}; choose some of them")])
    check_switches(case, emulate, sample)
    services = [_service(case.profile, one, contract) for one in found]
    return _Test(case, services, _How(threads, progress, emulate, sample)).answer(words)


class _Contract(NamedTuple):
    flr_ppb: int
    cir_bps: int | None
    eir_bps: int | None


def _rate_bps(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse(RATE, text)
    except UnitError as error:
        raise ArgumentError([Problem(name, 0, 0, "", str(error))]) from None


def _why_not(profile: Profile, one: Stream) -> str | None:
    """Say why the load of a stream cannot be another without another network, if it cannot."""
    made = profile.class_by_name[one.traffic_class]
    if made.gated:
        return "its gates say when it sends, and how often"
    if made.idle_slope == IdleSlope():
        return "the idle slope of its class follows from how much it asks for"
    return None


@dataclass(frozen=True)
class _Service:
    """A service with its bandwidth profile, and the meter as it is."""

    stream: Stream
    reserves: bool
    cir_bps: int
    eir_bps: int
    flr_ppb: int

    @property
    def bits(self) -> int:
        """Bits of the frames of one interval."""
        return 8 * self.stream.max_packets * wire_bytes(self.stream.frame_bytes)

    @property
    def burst_bits(self) -> int:
        """Bits that may pass beyond both rates: both bursts, and the frames of an interval."""
        return 8 * (self.stream.burst_bytes + self.stream.yellow_burst_bytes) + self.bits

    @property
    def total_bps(self) -> int:
        """Return CIR and EIR together."""
        return self.cir_bps + self.eir_bps

    def sending(self, rate_bps: int) -> Stream:
        """Return the stream that sends at a rate, or a little less; its meter stays as it is.

        One that reserves cycles sends whole frames in whole intervals, and beyond what it reserved
        some frames more in each.
        """
        one = self.stream
        kept = one.replace(
            committed_rate_bps=one.rate_bps,
            committed_burst_bytes=one.burst_bytes,
            excess_packets=0,
        )
        if not self.reserves:
            return kept.replace(interval_ps=ceil_div(self.bits * PS_PER_S, rate_bps))
        asked_bps = mean_rate_bps(kept)
        if rate_bps > asked_bps:
            packets = ceil_div(rate_bps * one.max_packets, int(asked_bps) or 1)
            return kept.replace(excess_packets=packets - one.max_packets)
        best = (0, 1)
        for gap in range(1, LONGEST_GAP + 1):
            packets = min((rate_bps + 1) * one.max_packets * gap // int(asked_bps), one.max_packets)
            if packets * best[1] > best[0] * gap:
                best = (packets, gap)
        packets, gap = max(best[0], 1), best[1] if best[0] else LONGEST_GAP
        return kept.replace(max_packets=packets, interval_ps=one.interval_ps * gap)


def _service(profile: Profile, one: Stream, contract: _Contract) -> _Service:
    asked_bps = int(mean_rate_bps(one.replace(excess_packets=0)))
    promised_ppb = profile.loss_promised_ppb(one)
    return _Service(
        one,
        profile.is_reserved(one),
        contract.cir_bps or asked_bps,
        (one.excess_rate_bps or 0) if contract.eir_bps is None else contract.eir_bps,
        contract.flr_ppb if promised_ppb is None else promised_ppb,
    )


class _Seen(NamedTuple):
    """What came of a service: of several listeners the worst."""

    frames: int
    lost: int
    under_way: int
    yellow: int
    ftd_ps_min: int | None
    ftd_ps_mean: int | None
    ftd_ps_max: int | None
    fdv_ps: int | None


class _How(NamedTuple):
    threads: int | None
    progress: Progress | None
    emulate: Tier | None
    sample: int | None


class _Trial(NamedTuple):
    """What came of what was sent until a time, simulated and, if that was asked for, emulated."""

    last_ps: int
    seen: Observation
    real: Emulation | None


class _Test:
    """Sends the services of a network, and judges what comes."""

    def __init__(self, case: Scenario, services: Sequence[_Service], how: _How) -> None:
        self._case, self._how = case, how
        self._heeded = Heeded(how.progress, "plan")
        self._plan = api.plan(case, progress=how.progress)
        placed = {one.tree for one in self._plan.streams if one.paths}
        self._left_out: list[LeftOut] = []
        self._services: list[_Service] = []
        for one in services:
            fails = one.stream.name not in placed
            why = _why_not(case.profile, one.stream)
            if fails:
                why = "it has no place in the plan"
            if why is None:
                self._services.append(one)
            else:
                left = LeftOut(name=one.stream.name, reason=why, fails=fails)
                self._left_out.append(left)

    def answer(self, words: str) -> ServiceActivation:
        """Make both phases, and say how each service came through."""
        steps = [[*self._configuration(one)] for one in self._services]
        round_ps = self._round_ps()
        for made, last in zip(steps, self._performance(round_ps), strict=True):
            made.append(last)
        services = [
            ActivatedService(
                name=one.stream.name,
                traffic_class=one.stream.traffic_class,
                cir_bps=one.cir_bps,
                cbs_bytes=one.stream.burst_bytes,
                eir_bps=one.eir_bps,
                ebs_bytes=one.stream.yellow_burst_bytes,
                ftd_ps=one.stream.max_latency_ps,
                fdv_ps=one.stream.max_latency_variation_ps,
                flr_ppb=one.flr_ppb,
                steps=tuple(made),
            )
            for one, made in zip(self._services, steps, strict=True)
        ]
        outcomes = (one.outcome for one in services)
        return ServiceActivation(
            title=self._case.profile.title,
            scope=f"policed streams of {words}",
            seed=self._case.profile.simulation.seed,
            round_ps=round_ps,
            rounds=ROUNDS,
            outcome=worst_of(
                outcomes,
                has_failed=any(one.fails for one in self._left_out),
                is_unknown=not services,
            ),
            services=tuple(services),
            left_out=tuple(self._left_out),
        )

    @property
    def _usual_ps(self) -> int:
        return self._case.profile.simulation.duration_ps

    def _configuration(self, one: _Service) -> Iterator[ServiceStep]:
        """Yield the steps of phase 1 of one service, which sends alone."""
        asked: list[tuple[StepName, int, int]] = [
            ("1", share, one.cir_bps * share // PPM) for share in CIR_STEPS_PPM
        ]
        if one.eir_bps:
            asked.append(("2", PPM, one.total_bps))
        asked.append(("3", POLICING_PPM, one.total_bps * POLICING_PPM // PPM))
        for step, share, rate_bps in asked:
            what = f"{one.stream.name}: step {step}, {show_rate(rate_bps)}"
            self._heeded.stage(what)
            sent = one.sending(max(rate_bps, 1))
            last_ps = max(self._usual_ps, ROUNDS * sent.interval_ps)
            if step == "3":
                last_ps += ceil_div(BURSTS * one.burst_bits * PS_PER_S, one.total_bps)
            profile = self._case.profile.replace(streams=(sent,), demands=())
            yield self._judge(one, (step, share), sent, self._send(profile, [sent], last_ps))

    def _performance(self, round_ps: int) -> Iterator[ServiceStep]:
        """Yield the performance test of each service: all send, and what else there is."""
        self._heeded.stage("performance test")
        by_name = {one.stream.name: one.sending(one.cir_bps) for one in self._services}
        profile = self._case.profile
        streams = tuple(by_name.get(one.name, one) for one in profile.every_tree)
        last_ps = self._usual_ps + ROUNDS * round_ps
        made = self._send(profile.replace(streams=streams), [*by_name.values()], last_ps)
        for one in self._services:
            yield self._judge(one, ("performance", PPM), by_name[one.stream.name], made)

    def _round_ps(self) -> int:
        """Return after how long all that services send begins again, if that is soon."""
        intervals = [one.sending(one.cir_bps).interval_ps for one in self._services]
        if any(one.reserves for one in self._services):
            intervals.append(self._plan.hypercycle * self._plan.cycle_ps)
        every = lcm(*intervals)
        return every if every <= ROUND_PS_HIGHEST else max(intervals)

    def _send(self, profile: Profile, stopping: Sequence[Stream], last_ps: int) -> _Trial:
        """Send until a time, and as long as a run usually is beyond it, for what is under way."""
        stops = tuple(
            Event.model_validate({"at": f"{last_ps}ps", "change": "stop", "target": one.name})
            for one in stopping
        )
        simulation = profile.simulation.replace(duration_ps=last_ps + self._usual_ps)
        case = self._case.with_(profile=profile.replace(simulation=simulation, events=stops))
        names = {one.name for one in profile.every_tree}
        demands = {one.name for one in profile.demands}
        plan = self._plan.replace(
            streams=tuple(one for one in self._plan.streams if one.tree in names),
            demands=tuple(one for one in self._plan.demands if one.name in demands),
        )
        threads, progress, tier, sample = self._how
        seen = api.observe(case, plan, threads=threads, progress=progress)
        if tier is None:
            return _Trial(last_ps, seen, None)
        real = emulated(case, (plan, api.prove(case, plan), seen), tier, sample, progress)
        return _Trial(last_ps, seen, real)

    def _judge(
        self, one: _Service, step: tuple[StepName, int], sent: Stream, made: _Trial
    ) -> ServiceStep:
        """Say whether what came of a service is accepted, and switches did as the plan says."""
        seen, last_ps = _seen_of(one, made.seen), made.last_ps
        # At the rate of what is sent, and not by the clock: a trial may end within an interval.
        sent_bps = int(mean_rate_bps(sent))
        came_bps = sent_bps * (seen.frames - seen.lost) // seen.frames if seen.frames else 0
        least_bps = most_bps = None
        if step[0] in ("2", "3"):
            least_bps = one.cir_bps * (PPB - one.flr_ppb) // PPB
            most_bps = one.total_bps + ceil_div(one.burst_bits * PS_PER_S, last_ps)
            reasons = [*_beyond_rates(came_bps, min(least_bps, sent_bps), most_bps)]
        else:
            reasons = [*_beyond_criteria(one, seen)]
        outcome: Outcome = "fail" if reasons else "pass"
        if seen.under_way:
            outcome = "unknown"
            words = f"{seen.under_way:,} frames were still under way {show_time(self._usual_ps)}"
            reasons = [f"{words} after the last was sent: trials must be longer"]
        if made.real is not None and made.real.findings:
            reasons, outcome = [*made.real.findings, *reasons], "fail"
        through = None if made.real is None else _seen_of(one, made.real.observation)
        return ServiceStep(
            step=step[0],
            share_ppm=step[1],
            duration_ps=last_ps,
            ir_sent_bps=sent_bps,
            ir_received_bps=came_bps,
            least_bps=least_bps,
            most_bps=most_bps,
            frames=seen.frames,
            lost=seen.lost,
            yellow=seen.yellow,
            ftd_ps_min=seen.ftd_ps_min,
            ftd_ps_mean=seen.ftd_ps_mean,
            ftd_ps_max=seen.ftd_ps_max,
            fdv_ps=seen.fdv_ps,
            outcome=outcome,
            reasons=tuple(reasons),
            real_frames=None if through is None else through.frames,
            real_lost=None if through is None else through.lost,
        )


def _seen_of(one: _Service, observed: Observation) -> _Seen:
    """Sum up what came of a service; each listener has its own loss and delay, the worst counts."""
    legs = [leg for leg in observed.streams if leg.name.partition(LEG)[0] == one.stream.name]
    worst = max(legs, key=lambda leg: (leg.lost, leg.name), default=None)

    def most(key: str) -> int | None:
        values = [value for leg in legs if (value := getattr(leg, key)) is not None]
        return max(values, default=None)

    least = [leg.latency_ps_min for leg in legs if leg.latency_ps_min is not None]
    return _Seen(
        frames=0 if worst is None else worst.sent,
        lost=0 if worst is None else worst.lost,
        under_way=sum(leg.in_flight for leg in legs),
        yellow=sum(
            use.yellow for use in observed.meters if use.name.partition(LEG)[0] == one.stream.name
        ),
        ftd_ps_min=min(least, default=None),
        ftd_ps_mean=most("latency_ps_mean"),
        ftd_ps_max=most("latency_ps_max"),
        fdv_ps=most("variation_ps"),
    )


def _beyond_rates(came_bps: int, least_bps: int, most_bps: int) -> Iterator[str]:
    if came_bps < least_bps:
        yield f"{show_rate(came_bps)} came, of {show_rate(least_bps)} at least"
    if came_bps > most_bps:
        yield f"{show_rate(came_bps)} came, of {show_rate(most_bps)} at most"


def _beyond_criteria(one: _Service, seen: _Seen) -> Iterator[str]:
    """Yield the acceptance criteria that are not met."""
    if seen.lost * PPB > one.flr_ppb * seen.frames:
        lost = show_share(seen.lost * PPB // seen.frames)
        frames = f"{seen.lost:,} of {seen.frames:,} frames"
        yield f"FLR {lost}, {frames}; accepted {show_share(one.flr_ppb)}"
    if seen.yellow:
        yield f"{seen.yellow:,} of {seen.frames:,} frames are yellow; within CIR all are green"
    for what, found_ps, accepted_ps in (
        ("FTD", seen.ftd_ps_max, one.stream.max_latency_ps),
        ("FDV", seen.fdv_ps, one.stream.max_latency_variation_ps),
    ):
        if accepted_ps is not None and found_ps is not None and found_ps > accepted_ps:
            yield f"{what} {show_time(found_ps)}; accepted {show_time(accepted_ps)}"
