"""What the logs of switches say of their controller: who spoke, who hung up, what was refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from qnet.errors import QnetError

Version = Literal["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"]

PROTOCOLS: Mapping[Version, str] = {
    "1.0": "OpenFlow10",
    "1.1": "OpenFlow11",
    "1.2": "OpenFlow12",
    "1.3": "OpenFlow13",
    "1.4": "OpenFlow14",
    "1.5": "OpenFlow15",
}
"""Versions that Open vSwitch speaks, and what it calls them."""

USUAL: tuple[Version, ...] = ("1.3", "1.5")

_LINE = re.compile(r"^[^|]*\|\d+\|(?P<module>\w+)\|\w+\|(?P<words>.*)$", re.MULTILINE)
_RCONN = re.compile(r"(?P<bridge>[^<\s]+)<->(?P<target>\S+): (?P<state>.*)")
_REFUSED = re.compile(
    r"(?P<bridge>[^<\s]+)<->(?P<target>\S+): "
    r"sending (?P<error>\w+) error reply to (?P<message>\w+) message"
)
_VERSIONS = re.compile(
    r"version negotiation failed \(we support versions? (?P<ours>[^)]*?), "
    r"peer supports versions? (?P<theirs>[^)]*)\)"
)


NOTHING_KNOWN = "nothing is known of what it does with frames"


class ControllerGone(QnetError):
    """The controller has gone, or stands still, and so says nothing of any frame."""

    exit_code = 3


class Talk(NamedTuple):
    """What one switch's log says of its controller."""

    connected: bool = False
    connections: int = 0
    """Times that it was connected."""
    hung_up: str = ""
    """How the last connection ended, that is over."""
    failed: str = ""
    """Why the last try to connect came to nothing, if no later one did better."""
    versions: tuple[str, str] = ("", "")
    """Versions of switch and controller, where they have none in common."""
    refused: tuple[tuple[str, str, int], ...] = ()
    """Errors that it sent to its controller: which, for what kind of message, how many."""


def read_talks(
    log: str, bridges: Iterable[str], targets: Mapping[str, str] | None = None
) -> dict[str, Talk]:
    """Read the log of an ovs-vswitchd; return what it says of each of its bridges.

    `targets` are where each connects to, for one controller of several.
    """

    def is_meant(found: re.Match[str]) -> bool:
        bridge = found["bridge"]
        return bridge in talks and (targets is None or targets.get(bridge) == found["target"])

    ends = None if targets is None else tuple(f"{one}: " for one in targets.values())
    talks = {bridge: Talk() for bridge in bridges}
    refused: dict[str, Counter[tuple[str, str]]] = {bridge: Counter() for bridge in talks}
    versions = ("", "")
    for line in _LINE.finditer(log):
        module, words = line["module"], line["words"]
        if module == "vconn" and (found := _VERSIONS.search(words)):
            if ends is not None and not words.startswith(ends):
                continue
            versions = _versions(found["ours"]), _versions(found["theirs"])
        elif module == "rconn" and (found := _RCONN.match(words)):
            if is_meant(found):
                talk = talks[found["bridge"]]
                talks[found["bridge"]] = _next(talk, found["state"])
        elif module == "connmgr" and (found := _REFUSED.match(words)) and is_meant(found):
            refused[found["bridge"]][found["error"], found["message"]] += 1
    return {
        bridge: talk._replace(
            versions=("", "") if talk.connected else versions,
            refused=tuple((*what, times) for what, times in sorted(refused[bridge].items())),
        )
        for bridge, talk in talks.items()
    }


def _next(talk: Talk, state: str) -> Talk:
    """Return what is known after one more line of a connection's course."""
    if state == "connected":
        return talk._replace(connected=True, connections=talk.connections + 1, failed="")
    if talk.connected and re.search(r"closed|dropped|disconnecting", state):
        return talk._replace(connected=False, hung_up=_reason(state))
    if re.match(r"connection (failed|timed out|dropped|closed)", state):
        return talk._replace(connected=False, failed=_reason(state))
    return talk


def _reason(state: str) -> str:
    inner = re.search(r"\((.*)\)", state)
    return (inner[1] if inner else state.removeprefix("connection ")).lower()


def _versions(text: str) -> str:
    """Write 0x01, 0x04 as 1.0 and 1.3."""
    numbers = [int(one, 16) for one in re.findall(r"0x[0-9a-fA-F]+", text)]
    return " and ".join(f"1.{number - 1}" for number in numbers) or text


def never_connected(talks: Mapping[str, Talk], controller: str, waited_s: float) -> str | None:
    """Say why switches have no connection to their controller, or None where all have had one."""
    absent = {node: talk for node, talk in talks.items() if not talk.connected}
    if not absent:
        return None
    mismatch = unspoken(talks, controller)
    if mismatch is not None:
        return mismatch
    reasons = {talk.failed or talk.hung_up for talk in absent.values()} - {""}
    if any("refused" in one for one in reasons):
        return (
            f"nobody listens at {controller} (connection refused), in {waited_s:.0f} s: "
            "start it first"
        )
    silent = f"{_names(absent)} got no answer from a controller at {controller} in {waited_s:.0f} s"
    if any("timed out" in one for one in reasons):
        return f"{silent}: it takes connections and says no OpenFlow; start it first"
    why = f" ({', '.join(sorted(reasons))})" if reasons else ""
    return f"{silent}{why}: start it first"


def unspoken(talks: Mapping[str, Talk], controller: str) -> str | None:
    """Say that switches and controller have no version of OpenFlow in common, where it is so."""
    for talk in talks.values():
        ours, theirs = talk.versions
        if theirs and not talk.connected:
            return (
                f"the controller at {controller} speaks OpenFlow {theirs}; the switches speak "
                f"{ours}; --openflow {theirs.split()[-1]} has them speak that"
            )
    return None


def hung_up(talks: Mapping[str, Talk], controller: str, when: str = "") -> str | None:
    """Say which switches have lost their connection and have none now, or None where none has.

    `when` follows the names, as in 'after frame 7'.
    """
    gone = {node: one for node, one in talks.items() if one.connections and not one.connected}
    if not gone:
        return None
    by_reason: dict[str, list[str]] = {}
    for node, one in gone.items():
        by_reason.setdefault(one.hung_up, []).append(node)
    closed = [_closed(nodes, why, controller, when) for why, nodes in sorted(by_reason.items())]
    again = (
        "; nobody listens there any more"
        if any("refused" in one.failed for one in gone.values())
        else ""
    )
    return f"{'; '.join(closed)}{again}"


def _closed(nodes: Sequence[str], reason: str, controller: str, when: str = "") -> str:
    """Say who has ended connections: the controller, or switches, and what for."""
    after = f" {when}" if when else ""
    why = _why_switches_close(reason)
    if why is not None:
        its = "its connection" if len(nodes) == 1 else "their connections"
        return f"the controller at {controller} {why}, so {_names(nodes)} closed {its}{after}"
    told = f" ({reason})" if reason not in ("", "closed by peer") else ""
    return f"the controller at {controller} closed the connections of {_names(nodes)}{after}{told}"


def _why_switches_close(reason: str) -> str | None:
    """Say what a controller did for a switch to end the connection; None where it did so itself."""
    silent = re.match(r"no response to inactivity probe after (\d+)", reason)
    if silent:
        return (
            f"said nothing for {silent[1]} s after it was asked for a sign of life (echo request)"
        )
    return "sent what is no OpenFlow" if reason == "protocol error" else None


def told(talks: Mapping[str, Talk], whose: str = "the controller") -> tuple[str, ...]:
    """Say what explains that something did not go well: what was refused, who hung up meanwhile."""
    found = []
    kinds: dict[tuple[str, str], dict[str, int]] = {}
    for node, talk in talks.items():
        for error, message, count in talk.refused:
            kinds.setdefault((error, message), {})[node] = count
    for (error, message), nodes in sorted(kinds.items()):
        count = sum(nodes.values())
        found.append(
            f"{_names(nodes)} refused {count} message{'' if count == 1 else 's'} of "
            f"{whose}: {error} for {message}"
        )
    again: dict[str | None, list[str]] = {}
    for node, one in talks.items():
        if one.connections > 1:
            again.setdefault(_why_switches_close(one.hung_up), []).append(node)
    for why, some in again.items():
        most = max(talks[node].connections for node in some) - 1
        times = "once" if most == 1 else f"up to {most} times"
        if why is None:
            words = f"hung up on {_names(some)} {times} and was there again"
        else:
            words = f"{why}, so {_names(some)} closed the connection and opened it anew, {times}"
        found.append(f"{whose} {words}")
    return tuple(found)


def explained(
    findings: Sequence[str], talks: Mapping[str, Talk], controller: str
) -> tuple[str, ...]:
    """Return findings behind what explains them; none where there are none.

    Raises ControllerGone where the controller has gone: findings are not known to be its own then.
    """
    if not findings:
        return ()
    gone = hung_up(talks, controller)
    if gone is not None:
        raise ControllerGone(f"{gone}; {NOTHING_KNOWN}")
    return (*told(talks), *findings)


def _names(nodes: Iterable[str]) -> str:
    names = list(nodes)
    return (
        ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])} and {len(names) - 5} more"
    )
