"""How a network answers when something breaks: a declared policy for each traffic class.

What a policy takes in time is modelled, never measured: detection, hold-off, telling others,
planning, installing. Defaults are usual figures of the field: light is missed within 10 ms (ITU-T
G.841), a path is switched 50 ms after the break at the latest (G.8031), interior gateway protocols
take some 200 ms when they are tuned, a controller hears of it with its telemetry after 1 s.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qnet.model.fields import Noun, Time, TimeOrZero
from qnet.units import PS_PER_MS, PS_PER_S, PS_PER_US, ceil_div

Policy = Literal["none", "failover", "local", "central"]

_OF: dict[str, frozenset[str]] = {
    "switching_ps": frozenset({"failover"}),
    "repair": frozenset({"failover"}),
    "planning_ps": frozenset({"local", "central"}),
    "telemetry_ps": frozenset({"central"}),
    "flows_per_s": frozenset({"central"}),
    "restore_second": frozenset({"local", "central"}),
}
"""What only some policies have."""

_BFD = {"bfd_interval_ps", "bfd_multiplier"}


class Reaction(Noun):
    """What is done about the streams and demands of a class that something broke.

    Streams on two paths with sequence recovery need none for a single failure: their copies go on.
    """

    policy: Policy = Field(
        description="none: frames go on into the broken link. failover: each stream has a second "
        "way, reserved beforehand, to which it is switched. local: the talker's node "
        "looks for a new way when it has heard of the failure. central: a controller does"
    )
    detection: Literal["loss-of-light", "bfd"] = Field(
        "loss-of-light", description="how the nodes beside what broke miss it"
    )
    detection_ps: TimeOrZero = Field(
        10 * PS_PER_MS,
        alias="detection-time",
        description="loss of light: how long after the light is gone it is missed",
    )
    bfd_interval_ps: Time = Field(
        3300 * PS_PER_US, alias="bfd-interval", description="bfd: time from packet to packet"
    )
    bfd_multiplier: int = Field(
        3,
        strict=True,
        ge=1,
        le=255,
        alias="bfd-multiplier",
        description="bfd: packets that are missed (RFC 5880)",
    )
    hold_off_ps: TimeOrZero = Field(
        0, alias="hold-off", description="how long a failure must last before anybody acts on it"
    )
    switching_ps: TimeOrZero = Field(
        40 * PS_PER_MS, alias="switching", description="failover: how long a node takes to switch"
    )
    repair: Literal["head-end", "local"] = Field(
        "head-end",
        description="failover: who switches. head-end: the talker's node, to a way apart from the "
        "first. local: the node before what broke, to a detour around it (point of local repair, "
        "RFC 4090)",
        exclude_if=lambda given: given == "head-end",
    )
    planning_ps: TimeOrZero | None = Field(
        None,
        alias="planning",
        description="local, central: how long it takes to find new ways; default 200ms and 100ms",
    )
    telemetry_ps: TimeOrZero = Field(
        PS_PER_S, alias="telemetry", description="central: how long until the controller hears"
    )
    flows_per_s: int = Field(
        1000,
        strict=True,
        ge=1,
        le=10**9,
        alias="flows-per-second",
        description="central: flows that are installed in a second, one for each port of a way",
    )
    wait_to_restore_ps: TimeOrZero | None = Field(
        None,
        alias="wait-to-restore",
        description="how long after the repair streams go back to where they were (G.808.1); "
        "default they stay",
    )

    restore_second: bool = Field(
        False,
        strict=True,
        alias="restore-second",
        description="local, central: a stream of which one path of two is broken gets another "
        "second path (1+1 with restoration); default it goes on with the one that is left",
        exclude_if=lambda given: not given,
    )

    @model_validator(mode="after")
    def _check(self) -> Reaction:
        given = self.model_fields_set
        if self.policy == "none" and given - {"policy"}:
            raise ValueError(f"'{self._key(given - {'policy'})}' goes with no policy 'none'")
        for field, policies in _OF.items():
            if field in given and self.policy not in policies:
                words = f"'{self._key({field})}' does not go with the policy {self.policy}"
                raise ValueError(f"{words}; leave it out")
        other = _BFD if self.detection == "loss-of-light" else {"detection_ps"}
        if given & other:
            words = f"'{self._key(given & other)}' does not go with the detection {self.detection}"
            raise ValueError(f"{words}; leave it out")
        return self

    @staticmethod
    def _key(fields: set[str]) -> str:
        first = min(fields)
        return Reaction.model_fields[first].alias or first

    @property
    def repairs(self) -> bool:
        """Whether the node before what broke acts by itself."""
        return self.policy == "failover" and self.repair == "local"

    @property
    def missed_ps(self) -> int:
        """How long something must be broken until the nodes beside it act."""
        if self.detection == "bfd":
            return self.bfd_interval_ps * self.bfd_multiplier + self.hold_off_ps
        return self.detection_ps + self.hold_off_ps

    @property
    def thinking_ps(self) -> int:
        """How long it takes to find new ways."""
        default_ps = {"local": 200 * PS_PER_MS, "central": 100 * PS_PER_MS}.get(self.policy, 0)
        return default_ps if self.planning_ps is None else self.planning_ps

    def installing_ps(self, flows: int) -> int:
        """How long a controller takes to install so many flows."""
        return ceil_div(flows * PS_PER_S, self.flows_per_s)
