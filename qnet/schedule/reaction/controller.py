"""When the controller's steps are over: hearing, planning, and installing one thing after another.

While it is lost nothing goes on, and what had begun goes on afterwards: of a step of 100 ms that
begins 40 ms before it is lost for 1 s, 60 ms are left then. A step that begins while it is slow
takes so much longer.
"""

from __future__ import annotations

from collections.abc import Sequence

from qnet.model.plan import Entry
from qnet.model.reaction import Reaction
from qnet.model.timeline import FOREVER_PS, Event


class ControllerTime:
    """The times at which the controller is there, and how slow it is then."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._lost = sorted((one.at_ps, one.end_ps) for one in events if one.lost)
        slow = [one for one in events if one.slow_by_ps is not None]
        self._slow = sorted(slow, key=lambda one: one.at_ps)

    def there_ps(self, from_ps: int, needed_ps: int = 0) -> int:
        """Return when it has been there for so long, FOREVER_PS or later where it never will."""
        now_ps = from_ps
        for begin_ps, end_ps in self._lost:
            if end_ps <= now_ps:
                continue
            if begin_ps > now_ps + needed_ps or 0 < needed_ps == begin_ps - now_ps:
                break
            needed_ps -= max(begin_ps - now_ps, 0)
            now_ps = end_ps
        return now_ps + needed_ps

    def step_ps(self, from_ps: int, needed_ps: int) -> int:
        """Return when a step is over that can begin at an instant and takes so long."""
        begin_ps = self.there_ps(from_ps)
        slow = [one for one in self._slow if one.at_ps <= begin_ps < one.end_ps]
        more_ps = slow[-1].slow_by_ps if slow else None
        return self.there_ps(begin_ps, needed_ps + (more_ps or 0))


class Installing:
    """When what is decided is in force: of one class a controller installs flow by flow.

    What is decided while it installs is installed after that.
    """

    def __init__(self, policy: Reaction, controller: ControllerTime) -> None:
        self._policy, self._controller = policy, controller
        self._now_ps = -FOREVER_PS
        self._flows = self._taken_ps = 0

    def begin(self, now_ps: int) -> None:
        """Take up what is decided at an instant."""
        if now_ps >= self._now_ps:
            self._now_ps = now_ps
            self._flows = self._taken_ps = 0

    def installed_ps(self, entry: Entry) -> int:
        """Return when the flows of an entry are there, after those of all before it.

        FOREVER_PS or later where they never are.
        """
        if self._policy.policy == "central":
            self._flows += sum(len(way) for way in entry.routes)
            needed_ps = self._policy.installing_ps(self._flows)
            self._now_ps = self._controller.step_ps(self._now_ps, needed_ps - self._taken_ps)
            self._taken_ps = needed_ps
        return self._now_ps
