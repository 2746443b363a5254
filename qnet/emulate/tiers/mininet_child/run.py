"""A run, from the network's first device to the result."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

from qnet.emulate.openflow.nouns import to_text
from qnet.emulate.process.relay import SOCKET
from qnet.emulate.switches.net import SwitchNetwork
from qnet.emulate.tiers.lockstep import CONVERGE_S, reservation
from qnet.emulate.tiers.mininet import Emulated
from qnet.emulate.tiers.mininet_child.attempt import attempt, entries_at_begin
from qnet.emulate.tiers.mininet_child.calibrate import calibrate
from qnet.emulate.tiers.mininet_child.job import Involved, Job, Laid
from qnet.emulate.tiers.mininet_child.results import judged, result_of
from qnet.files.write import write_text


def run(job: Job) -> Emulated:
    """Do all of it."""
    # The controller listens on this namespace's own loopback: no other can meet it.
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, stdin=subprocess.DEVNULL)
    involved = job.involved()
    emulator = job.emulator([], [], 1)
    job.plan_ahead(involved, emulator.window_ps)
    minutes = ", in minutes" if emulator.parts is not None else ""
    job.say(f"start the link emulator (the first time it is compiled{minutes})")
    emulator.warm()
    job.lap("kernels")
    job.say(f"build {len(involved.touched)} switches and their hosts")
    if job.options.rules_file is not None:
        write_text(job.options.rules_file, to_text(job.rules(involved)))
    with ExitStack() as stack:
        laid = _lay(job, involved, stack)
        job.lap("rules")
        emulated = _emulate(job, laid)
        if job.options.controller is None and not emulated.void:
            return emulated
        return judged(job, laid.net, emulated)


def _lay(job: Job, involved: Involved, stack: ExitStack) -> Laid:
    """Build the network, and have its controller lay the rules."""
    outside = job.options.controller
    app = None
    rules = job.rules(involved, entries_at_begin(job))
    if outside is None:
        app = stack.enter_context(reservation(rules, job.folder))
        job.guard.add(app.parts)
    net = SwitchNetwork(
        job.topology,
        involved.hosts,
        involved.ports,
        job.folder,
        [f"unix:{job.folder / SOCKET}" if app is None else app.target],
        hosts_ask=app is None and not job.options.arp,
        plain_hosts=app is None and not job.streams,
        versions=job.options.versions,
    )
    job.guard.add(net.parts)
    stack.enter_context(net)
    job.lap("network")
    if app is not None:
        job.say(f"lay {sum(len(one.rules) for one in rules)} rules")
        app.wait_converged([one.datapath_id for one in rules], CONVERGE_S)
    elif outside is not None:
        job.say(f"wait for the controller at {outside}")
        _wait_for_rules(job, net, outside)
    for one in job.options.meddling:
        bridge = f"s{job.wiring.datapath_id(one.node)}"
        net.ovs.ofctl("mod-flows", bridge, f"{one.match},actions={one.actions}")
    net.ovs.fence()
    found = rules if outside is None else [net.tables(node) for node in net.nodes]
    change_over = frozenset(
        one.name for one in found if any(group.kind == "fast_failover" for group in one.groups)
    )
    return Laid(net, involved, change_over, app)


def _wait_for_rules(job: Job, net: SwitchNetwork, outside: str) -> None:
    """Wait until somebody's own controller has laid what the plan wants, or has been quiet."""
    net.wait_connected(outside, job.options.connect_s)
    if not job.streams:
        net.wait_quiet()
        return
    most_s = job.options.settle_s
    if not net.wait_as_planned(job.streams, net.nodes, most_s):
        job.say(f"its rules are not the plan's after {most_s:.0f} s (--settle)")


def _emulate(job: Job, laid: Laid) -> Emulated:
    """Emulate, once more at twice the dilation if too many frames were late."""
    free = job.options.free_run
    dilation = job.options.dilation or (1 if free else 0)
    budget_s: float | None = None
    calibrated = ""
    if job.options.controller is not None and not free:
        budget_s = job.options.budget_s  # virtual time waits for every frame that it loses
    if not dilation:
        dilation, calibrated = calibrate(job, laid)
        budget_s = job.options.budget_s
        job.lap("calibration")
    attempts = 0
    while True:
        attempts += 1
        made = attempt(job, laid, dilation, budget_s)
        job.guard.settle()
        late = made.emulator.wall_clock()
        share_ppm = late.violations * 1_000_000 // max(late.put_in, 1)
        job.lap(f"emulation at {dilation}")
        if share_ppm <= job.options.violations_ppm or attempts == 2 or job.options.dilation:
            break
        dilation *= 2
        budget_s = job.options.budget_s / 2
    void = ""
    if share_ppm > job.options.violations_ppm:
        void = (
            f"{late.violations} of {late.put_in} frames were late "
            f"(more than {job.options.violations_ppm} in a million) at dilation {dilation}"
        )
    return result_of(
        job,
        laid,
        made,
        dilation=dilation,
        attempts=attempts,
        calibrated=calibrated,
        void=void,
    )
