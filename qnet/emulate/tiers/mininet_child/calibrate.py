"""Choose the dilation of a run from how long frames are in the switches of this machine."""

from __future__ import annotations

import time

from qnet.emulate.process.quick import as_usual, be_quick
from qnet.emulate.tiers.mininet_child.job import Job, Laid
from qnet.emulate.tiers.mininet_child.probes import probes_of
from qnet.model.histogram import quantile_ps

CALIBRATION_DILATION = 2000
CALIBRATION_NS = 6_000_000_000
"""Wall-clock time of the calibration at most."""

CALIBRATION_FRAMES = 2000
"""Passages through a switch that are enough to choose a dilation from."""

DILATIONS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)

SLACK_FACTOR = 2
"""A window lasts this many times as long, on the wall, as most frames are in a switch.

Virtual time waits for the others, so a dilation too small costs waits, not truth.
"""

MOST_PPB = 950_000_000
"""How many frames, in a billion, are most."""

BUDGET_SHARE = 0.9
"""How much of the wall-clock time is planned with; the rest is for when virtual time waits."""


def calibrate(job: Job, laid: Laid) -> tuple[int, str]:
    """Send the first frames very slowly; return the dilation that their stay asks for, and why.

    A window is to last as long as it takes to serve one and as most frames are in a switch, as
    far as there is time for that: virtual time waits for the others.
    """
    job.say("calibrate", 0, CALIBRATION_NS)
    sample = job.emulator(laid.net.ends, probes_of(job, laid), CALIBRATION_DILATION)
    sample.open(laid.net.namespace)
    be_quick()
    job.guard.by_hand = True
    try:
        sample.start()
        begun_ns = time.monotonic_ns()
        spent_ns = 0
        while not sample.finished and spent_ns < CALIBRATION_NS:
            sample.step()
            job.guard.look()
            spent_ns = time.monotonic_ns() - begun_ns
            job.say("calibrate", spent_ns, CALIBRATION_NS)
            if sample.wall_clock().came_out >= CALIBRATION_FRAMES:
                break
    finally:
        job.guard.by_hand = False
        as_usual()
        sample.close()
    job.guard.settle()
    late = sample.wall_clock()
    stay_ns = (quantile_ps(late.inside, MOST_PPB) or 0) // 1000
    windows = max(sample.reached_ps // sample.window_ps, 1)
    serve_ns = late.busy_ns // windows
    wanted = SLACK_FACTOR * (stay_ns + serve_ns) * 1000 // sample.window_ps
    afforded = int(BUDGET_SHARE * job.options.budget_s * 1e12) // sample.end_ps
    wanted = min(wanted, afforded)
    chosen = max((one for one in DILATIONS if one <= wanted), default=DILATIONS[0])
    why = (
        f"calibration: of {late.came_out} passages {MOST_PPB // 10**7} % within "
        f"{stay_ns / 1e6:.2f} ms, a window of {sample.window_ps / 1e6:.0f} us served in "
        f"{serve_ns / 1e6:.2f} ms: dilation {chosen}"
    )
    return chosen, why
