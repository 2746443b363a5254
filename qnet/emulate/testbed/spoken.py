"""What a controller said that explains a failure, of the channel: no switch's log has it.

Open vSwitch waits for the rest of what it takes for a long message, and passes over what is of
another version than the one agreed on.
"""

from __future__ import annotations

from collections.abc import Iterator

from qnet.emulate.openflow.reading import GARBAGE
from qnet.emulate.testbed.channel import ChannelLog, Message

SHOWN_BYTES = 16

BAD_VERSION = bytes([0, 1, 0, 0])
"""OFPET_BAD_REQUEST and OFPBRC_BAD_VERSION, in all versions."""

FIRST = 1
"""Version 1.0 on the wire."""


def spoken(channel: ChannelLog) -> Iterator[str]:
    """Say which controllers said what is no OpenFlow, or not of the version agreed on."""
    for name in channel.controllers:
        whose = "the controller" if len(channel.controllers) == 1 else f"the controller {name}"
        kinds = {kind for of in channel.counts(name).values() for kind in of}
        if not kinds & {GARBAGE, "error"}:
            continue
        said = [one for one in channel.since(0.0) if one.controller == name]
        garbage = [one for one in said if one.kind == GARBAGE and not one.from_switch]
        if garbage:
            words = f"{whose} sent {_switches(garbage)} what is no OpenFlow"
            yield f"{words}: {shown(garbage[0].data)}"
        refused = [one for one in said if one.kind == "error" and one.from_switch]
        refused = [one for one in refused if one.data[8:12] == BAD_VERSION and len(one.data) > 12]
        if refused:
            hellos = [one.data[0] for one in said if one.kind == "hello"]
            agreed = f", {_version(min(hellos))}" if hellos else ""
            yield (
                f"{_switches(refused)} refused {len(refused)} messages of {whose}: OpenFlow "
                f"{_version(refused[0].data[12])} is not what its hello agreed on{agreed}"
            )


def shown(data: bytes) -> str:
    """Show how bytes begin: as text, or in hexadecimal."""
    first = data[:SHOWN_BYTES]
    more = " ..." if len(data) > SHOWN_BYTES else ""
    if first.isascii() and first.decode().strip().isprintable():
        return repr(first.decode().strip()) + more
    return first.hex(" ") + more


def _version(number: int) -> str:
    return f"1.{number - FIRST}" if number else "0"


def _switches(messages: list[Message]) -> str:
    return ", ".join(sorted({one.switch for one in messages}))
