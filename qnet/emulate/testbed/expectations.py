"""What a test expects to come out of switches, and that nothing else does."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Protocol

from qnet.emulate.frames import packets
from qnet.emulate.frames.likeness import LINES_SHOWN, Likeness, show_frame
from qnet.emulate.frames.trips import Delivery, Trip
from qnet.emulate.rules.wiring import HOST_PORT

LOOK_AGAIN_S = 0.02

FRAMES_SHOWN = 10
"""Of those that nobody expected."""

STORIES = 3
"""So many of the last frames that were sent are told of, with what became of them."""


class Unexpected(AssertionError):
    """What is expected of the network has not happened, or something else has."""


class Observed(Protocol):
    """What is asked of a testbed."""

    def unexpected(self) -> tuple[tuple[int, Delivery], ...]:
        """Return what came out of switches since this was last asked, each with its port."""

    def trip(self, number: int) -> Trip:
        """Return what is known by now of a frame that was sent."""

    def steps(self, number: int) -> list[str]:
        """Say what each switch did with each copy of a frame, by its entries."""
        ...

    def wait(self, seconds: float) -> None:
        """Let switches and controller talk for so long."""


class Expectations:
    """Frames that have come out of switches and that nobody has expected yet."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._open: list[tuple[int, Delivery]] = []
        self._sent: list[tuple[str, int]] = []
        """Hosts that have sent, and the numbers of their frames."""

    def sent(self, host: str, number: int) -> None:
        """Take note of a frame, to say what became of it where another one is expected."""
        self._sent.append((host, number))

    def forget(self) -> None:
        """Forget all that has come so far."""
        self._observed.unexpected()
        self._open.clear()
        self._sent.clear()

    def expect(self, node: str, port: int, like: Likeness, within_s: float) -> Delivery:
        """Return the first copy of a frame that came out there, and have it expected no more.

        Raises Unexpected when none has come after so long.
        """
        __tracebackhide__ = True
        end = time.monotonic() + within_s
        tried = 0
        while True:
            self._open += self._observed.unexpected()
            for place in range(tried, len(self._open)):
                by, one = self._open[place]
                if (one.host, by) == (node, port) and not like.differences(one.data):
                    del self._open[place]
                    return one
            tried = len(self._open)
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise Unexpected(self._missing(node, port, like, within_s))
            self._observed.wait(min(LOOK_AGAIN_S, left_s))

    def nothing_else(self, hosts: Collection[str], within_s: float) -> None:
        """Raise Unexpected when hosts got more than what was expected; wait so long for it.

        What has come so far is forgotten then.
        """
        __tracebackhide__ = True
        self._observed.wait(within_s)
        self._open += self._observed.unexpected()
        found = [
            one
            for port, one in self._open
            if port == HOST_PORT and one.host in hosts and not packets.is_discovery(one.data)
        ]
        words = [f"{len(found)} frames came that nobody expected:"]
        words += [f"    {_where(HOST_PORT, one)}: {show_frame(one.data)}" for one in found]
        if len(found) > FRAMES_SHOWN:
            words[FRAMES_SHOWN + 1 :] = [f"    and {len(found) - FRAMES_SHOWN} more"]
        if found:
            words += self._stories()
        self.forget()
        if found:
            raise Unexpected("\n".join(words))

    def _missing(self, node: str, port: int, like: Likeness, within_s: float) -> str:
        """Say what was expected, what came instead, and where what was sent has ended."""
        place = node if port == HOST_PORT else f"port {port} of {node}"
        lines = [f"expected at {place} within {within_s:g} s, and did not come:"]
        lines.append(f"    {show_frame(like.data)}")
        here = [one for by, one in self._open if (one.host, by) == (node, port)]
        also = [
            (by, one)
            for by, one in self._open
            if (one.host, by) != (node, port)
            and (by == HOST_PORT or port != HOST_PORT)
            and not like.differences(one.data)
        ]
        if also:
            where = ", ".join(dict.fromkeys(_where(by, one) for by, one in also))
            lines.append(f"it came out elsewhere: {where}")
        if here:
            nearest = min(here, key=lambda one: len(like.differences(one.data)))
            lines.append(f"the nearest that came, {_where(port, nearest)}:")
            lines.append(f"    {show_frame(nearest.data)}")
            apart = like.differences(nearest.data)
            lines += [f"    {words}" for words in apart[:LINES_SHOWN]]
            if len(apart) > LINES_SHOWN:
                lines.append(f"    and {len(apart) - LINES_SHOWN} more")
        else:
            lines.append(f"nothing that is not expected already came to {place}")
        return "\n".join(lines + self._stories())

    def _stories(self) -> list[str]:
        """Say what became of the last frames that were sent, and by which entries."""
        lines = []
        for host, number in self._sent[-STORIES:]:
            lines += _story(host, self._observed.trip(number))
            lines += [f"        {one}" for one in self._observed.steps(number)]
        return lines


def _where(port: int, one: Delivery) -> str:
    """Say where a frame came out, and by which way it came."""
    place = f"to {one.host}" if port == HOST_PORT else f"out of port {port} of {one.host}"
    return f"{place} by {', '.join(one.path)}" if one.path else f"{place}, from the controller"


def _story(host: str, trip: Trip) -> list[str]:
    """Say what became of a frame."""
    got = [_where(HOST_PORT, one) for one in trip.deliveries if one.path]
    lines = [f"the frame that {host} sent came {', '.join(got) if got else 'to nobody'}"]
    for one in trip.ended:
        way = ", ".join(one.path)
        if one.down:
            lines.append(f"    its way so far: {way}, where port {one.port} was down")
        else:
            lines.append(
                f"    its way so far: {way}; it came into {one.path[-1]} by port {one.port}, and "
                "nothing came out"
            )
    if trip.looped:
        lines.append(f"    it went round, through {', '.join(trip.looped)}")
    return lines + [f"    {note}" for note in trip.notes]
