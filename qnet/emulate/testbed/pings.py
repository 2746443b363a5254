"""What a ping met with, summed up of the trips of its frames."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from qnet.emulate.frames.trips import Trip


class Ping(NamedTuple):
    """What a host's frames to another one met with."""

    sent: int
    received: int
    """Frames that came to the listener in time, copies not counted."""
    copies: int
    """Copies too many at the listener."""
    others: tuple[str, ...]
    """Other hosts that got a frame once all addresses were learnt."""
    path: tuple[str, ...]
    """Switches on the way of the last frame that came."""
    looped: tuple[str, ...]
    late: int = 0
    """Frames that came, but were kept at a switch for longer than the patience."""
    slowest_s: float = 0.0
    """Longest time that a switch, or the controller behind it, has kept one of them."""
    patience_s: float = 0.0
    """Time that they were given at each switch."""
    not_found: str = ""
    """Why the host does not know the listener's address, so that it can send nothing."""
    answered: bool = False
    """The listener itself has answered the host's ARP request."""
    good: tuple[bool, ...] = ()
    """Of each frame: it came once, in time, and to nobody else."""
    followed: tuple[tuple[int, str], ...] = ()
    """Numbers of the frames, ARP included, and for whom each was."""
    written: tuple[int, ...] = ()
    """What controllers had written before, where qnet started them."""

    @property
    def lost(self) -> int:
        """Frames that did not come."""
        return self.sent - self.received - self.late


def summed(
    target: str,
    trips: Sequence[tuple[Trip, bool]],
    looped: Collection[str],
    patience_s: float,
) -> Ping:
    """Sum up what became of frames; of each it is said whether all addresses were learnt."""
    got, late, copies, slowest_s = 0, 0, 0, 0.0
    path: tuple[str, ...] = ()
    others: set[str] = set()
    good = []
    for trip, learnt in trips:
        came = trip.at(target)
        soonest_s = min((one.slow_s for one in came), default=0.0)
        is_late = soonest_s > patience_s
        also = {one.host for one in trip.deliveries if one.path and one.host != target}
        got += bool(came) and not is_late
        late += is_late
        slowest_s = max(slowest_s, soonest_s)
        copies += max(len(came) - 1, 0)
        others |= also if learnt else set()
        path = came[-1].path if came else path
        good.append(len(came) == 1 and not is_late and not (learnt and also))
    circles = tuple(sorted({*looped, *(one for trip, _ in trips for one in trip.looped)}))
    return Ping(
        len(trips),
        got,
        copies,
        tuple(sorted(others)),
        path,
        circles,
        late,
        slowest_s,
        patience_s,
        good=tuple(good),
    )


def not_found(host: str, target: str, request: Trip) -> str:
    """Say why a host has no address of another one."""
    got = sorted({one.host for one in request.deliveries if one.path} - {host})
    if target in got:
        to = sorted({one.host for one in request.answers})
        return f"{target} answered its ARP request, and the reply came to " + (
            f"{', '.join(to)}, not to {host}" if to else "nobody"
        )
    to_whom = f"{', '.join(got)}, not to {target}," if got else "nobody"
    return f"its ARP request came to {to_whom} and was not answered"
