"""The verbs of the traffic generator: send, receive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from qnet.cli.command import main
from qnet.cli.options import output_option
from qnet.cli.output import say, say_json_text
from qnet.cli.stages import check_out
from qnet.errors import InputError, Problem
from qnet.units import RATE, TIME, UnitError, parse

WHERE = click.option(
    "--netns", metavar="NAME|PATH|PID", help="Network namespace that the interface is in."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
COUNT_HIGHEST = 10**12


@main.command()
@click.argument("interface")
@click.option("--to-mac", metavar="MAC", required=True, help="Destination address.")
@click.option(
    "--from-mac", metavar="MAC", default="02:00:00:00:00:01", help="Source address of the frames."
)
@click.option(
    "--sizes", metavar="SIZES", default="64B", show_default=True, help="As in a traffic file."
)
@click.option("--rate", metavar="RATE", help="On the wire, with preamble and gap, like 500Mbps.")
@click.option("--frames-per-s", metavar="N", help="In place of a rate.")
@click.option("--count", type=click.IntRange(1, COUNT_HIGHEST), help="Frames.")
@click.option("--duration", metavar="TIME", help="In place of a count.")
@click.option("--burst", type=click.IntRange(1, 10**6), default=1, help="Frames at once.")
@click.option("--stream", type=click.IntRange(0, 255), default=0, help="Number in the frames.")
@click.option("--vlan", type=click.IntRange(0, 4094), help="802.1Q tag with that number.")
@click.option("--priority", type=click.IntRange(0, 7), default=0, help="In the tag.")
@click.option("--from-ip", metavar="IP", help="With --to-ip: UDP over IPv4.")
@click.option("--to-ip", metavar="IP", help="With --from-ip: UDP over IPv4.")
@click.option("--dscp", type=click.IntRange(0, 63), default=0, help="With the addresses.")
@click.option("--seed", type=click.IntRange(0), default=1, help="Of the order of sizes.")
@WHERE
@JSON
def send(interface: str, netns: str | None, as_json: bool, **how: Any) -> None:
    """Send test frames through an interface when they are due, and say how late each was.

    Frames have a number and a time stamp, and go to 'qnet receive'. Exit code 3 where not all could
    be sent.
    """
    from qnet.files.write import to_json
    from qnet.generator.run import send as shoot
    from qnet.report.generated import sent_lines

    sizes, pace, count = _asked(**{name: how[name] for name in _ASKED})
    made = shoot(
        interface,
        _look(**{name: how[name] for name in _LOOK}),
        sizes,
        pace,
        count,
        stream=how["stream"],
        burst=how["burst"],
        seed=how["seed"],
        namespace=_namespace(netns),
    )
    if as_json:
        say_json_text(to_json(made))
    else:
        say("\n".join(sent_lines(made)))
    if made.frames < made.asked:
        sys.exit(3)


@main.command()
@click.argument("interface")
@click.option("--duration", metavar="TIME", default="10s", show_default=True, help="How long.")
@click.option(
    "--quiet-after", metavar="TIME", help="End when no frame has come for so long after the first."
)
@click.option("--expect", type=click.IntRange(1, COUNT_HIGHEST), help="Frames of each stream.")
@click.option(
    "--longest", type=click.IntRange(64, 16_000), default=1600, help="Bytes of a frame, at most."
)
@click.option("--iperf3", metavar="FILE", help="JSON of iperf3, to be told beside.")
@WHERE
@JSON
@output_option("Write what was seen there, as JSON.")
def receive(
    interface: str, netns: str | None, as_json: bool, output: Path | None, **how: Any
) -> None:
    """Receive the test frames of 'qnet send': loss, order, duplicates, latency and its variation.

    Exit code 1 where frames were lost or none came.
    """
    from qnet.files.write import to_json, write_text
    from qnet.generator.iperf3 import read_iperf3
    from qnet.generator.run import FrameReceiver, receive_for
    from qnet.report.generated import received_lines
    from qnet.units import show_rate, show_time

    check_out(output and output.parent)
    beside = None if how["iperf3"] is None else read_iperf3(how["iperf3"])
    quiet_ns = None if how["quiet_after"] is None else _time_ns("quiet-after", how["quiet_after"])
    with FrameReceiver(interface, namespace=_namespace(netns), longest=how["longest"]) as receiver:
        receive_for(receiver, _time_ns("duration", how["duration"]), quiet_ns)
        made = receiver.report(how["expect"])
    if output is not None:
        write_text(output, to_json(made))
    if as_json:
        say_json_text(to_json(made))
    else:
        say("\n".join(received_lines(made)))
        if beside is not None:
            say(
                f"iperf3: {beside.frames:,} datagrams, lost {beside.lost:,}, "
                f"{show_rate(beside.bits_per_second)}, RFC 3550 jitter "
                f"{show_time(beside.jitter_ns * 1000)}"
            )
    if not made.streams or any(one.lost for one in made.streams):
        sys.exit(1)


_ASKED = ("sizes", "rate", "frames_per_s", "count", "duration")
_LOOK = ("to_mac", "from_mac", "vlan", "priority", "from_ip", "to_ip", "dscp")


def _time_ns(option: str, text: str) -> int:
    try:
        return max(parse(TIME, text) // 1000, 1)
    except UnitError as error:
        raise InputError([Problem(f"--{option}", 0, 0, text, str(error))]) from None


def _asked(
    sizes: str, rate: str | None, frames_per_s: str | None, count: int | None, duration: str | None
) -> Any:
    """Read sizes, pace and count; all that is wrong is said at once."""
    from fractions import Fraction

    from qnet.generator.run import FramePace
    from qnet.model.fields import read_sizes

    faults: list[Problem] = []
    mix: tuple[tuple[int, int], ...] = ((64, 1),)
    pace = FramePace(rate_bps=1)
    try:
        mix = read_sizes(sizes)
    except UnitError as error:
        faults.append(Problem("--sizes", 0, 0, sizes, str(error)))
    if (rate is None) == (frames_per_s is None):
        words = "one of '--rate 500Mbps' and '--frames-per-s 100000' is needed"
        faults.append(Problem("--rate", 0, 0, "", words))
    elif rate is not None:
        try:
            pace = FramePace(rate_bps=max(parse(RATE, rate), 1))
        except UnitError as error:
            faults.append(Problem("--rate", 0, 0, rate, str(error)))
    else:
        try:
            speed = Fraction(frames_per_s or "")
        except (ValueError, ZeroDivisionError):
            speed = Fraction(0)
        if not 0 < speed <= 10**9:
            words = "is no number of frames a second; above 0, at most 1e9"
            faults.append(Problem("--frames-per-s", 0, 0, frames_per_s or "", words))
        else:
            pace = FramePace(frames_per_s=speed)
    if (count is None) == (duration is None):
        words = "one of '--count 1000' and '--duration 1s' is needed"
        faults.append(Problem("--count", 0, 0, "", words))
    elif duration is not None and not faults:
        mean_ps = sum(pace.gap_ps(size) * weight for size, weight in mix)
        weights = sum(weight for _, weight in mix)
        count = max(_time_ns("duration", duration) * 1000 * weights // max(mean_ps, 1), 1)
    if faults:
        raise InputError(faults)
    return mix, pace, count


def _look(to_mac: str, from_mac: str, **rest: Any) -> Any:
    """Read the addresses; all that is wrong is said at once."""
    import ipaddress
    import re

    from qnet.generator.frames import Look

    faults = [
        Problem(option, 0, 0, text, "is no MAC address; write it like '02:00:00:00:00:01'")
        for option, text in (("--to-mac", to_mac), ("--from-mac", from_mac))
        if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text)
    ]
    pair = {"--from-ip": rest["from_ip"], "--to-ip": rest["to_ip"]}
    for option, text in pair.items():
        if text is None:
            continue
        try:
            ipaddress.IPv4Address(text)
        except ValueError:
            faults.append(Problem(option, 0, 0, text, "is no IPv4 address"))
    missing = [option for option, text in pair.items() if text is None]
    if len(missing) == 1:
        faults.append(Problem(missing[0], 0, 0, "", "both addresses are needed, or none"))
    if faults:
        raise InputError(faults)
    return Look(
        from_mac,
        to_mac,
        rest["vlan"],
        rest["priority"],
        rest["from_ip"],
        rest["to_ip"],
        dscp=rest["dscp"],
    )


def _namespace(text: str | None) -> str | None:
    """Return the path of a namespace: a process's, one of `ip netns`, or the path itself."""
    if text is None or "/" in text:
        return text
    return f"/proc/{text}/ns/net" if text.isdecimal() else f"/run/netns/{text}"
