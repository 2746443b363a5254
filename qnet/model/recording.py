"""Traffic that was captured: what a traffic file says of a capture, and the frames that were in it.

`qnet.files.captures` reads the frames.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from qnet.model.fields import NAME_SCHEMA, Name, Noun, Rate, Ratio, Text, TimeOrZero
from qnet.units import UnitError, describe

ENDPOINTS_HIGHEST = 100_000

PRIORITIES = range(8)

CAPTURE_NAME_HIGHEST = 45
"""Letters; what names of its conversations have behind it goes into a name, too."""

_MAC = re.compile(r"[0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(?:\1[0-9a-fA-F]{2}){4}")


@dataclass(frozen=True, eq=False)
class CapturedFrames:
    """Frames of one conversation: when each is sent, in picoseconds of the run, and its bytes.

    Times never go back. Two recordings are equal when their frames are.
    """

    times_ps: array[int]
    frame_bytes: array[int]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all times and sizes."""
        return hashlib.sha256(self.times_ps.tobytes() + self.frame_bytes.tobytes()).hexdigest()

    @cached_property
    def size_counts(self) -> tuple[tuple[int, int], ...]:
        """Frame bytes, each with how many frames have them, the smallest first."""
        return tuple(sorted(Counter(self.frame_bytes).items()))

    def frames_before(self, time_ps: int) -> int:
        """Return how many frames are sent before a time."""
        return bisect_left(self.times_ps, time_ps)

    def since(self, time_ps: int) -> CapturedFrames:
        """Return the frames from a time on, in a run that begins then."""
        first = self.frames_before(time_ps)
        later = array("q", (one - time_ps for one in self.times_ps[first:]))
        return CapturedFrames(later, self.frame_bytes[first:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CapturedFrames) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<CapturedFrames: {len(self.times_ps):,} frames, {self.fingerprint[:12]}>"

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        """Have it held to nothing, and written as its hash: no file has its frames as text."""
        told = core_schema.plain_serializer_function_ser_schema(lambda one: one.fingerprint)
        return core_schema.is_instance_schema(cls, serialization=told)


def is_mac(text: str) -> bool:
    """Say whether a text is an Ethernet address."""
    return _MAC.fullmatch(text) is not None


def _check_endpoints(endpoints: Mapping[str, str]) -> Mapping[str, str]:
    """Refuse what is no address, and an address or prefix that is there in two spellings."""
    known: dict[object, str] = {}
    for text in endpoints:
        if is_mac(text):
            key: object = text.lower().replace("-", ":")
        else:
            try:
                key = ip_network(text, strict=True)
            except ValueError as error:
                words = "is not an IPv4 or IPv6 address, a prefix of one, or a MAC address"
                if "host bits" in str(error):
                    words += "; an address has no bits beyond its prefix"
                raise ValueError(f"{describe(text)} {words}") from None
        if key in known:
            raise ValueError(f"'{text}' is '{known[key]}' again; an address has one node")
        known[key] = text
    return endpoints


Endpoints = Annotated[
    Mapping[str, Name],
    AfterValidator(_check_endpoints),
    Field(min_length=1, max_length=ENDPOINTS_HIGHEST),
    WithJsonSchema({"type": "object", "additionalProperties": NAME_SCHEMA, "minProperties": 1}),
]


def _read_priorities(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    read = {}
    for key, name in value.items():
        if str(key) not in {str(one) for one in PRIORITIES}:
            raise UnitError(f"{describe(key)} is no priority; 0 to {PRIORITIES[-1]}")
        read[int(key)] = name
    return read


Priorities = Annotated[
    Mapping[int, Name],
    BeforeValidator(_read_priorities),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[0-7]$"},
            "additionalProperties": NAME_SCHEMA,
        }
    ),
]


class Capture(Noun):
    """A capture whose conversations are sent again, each frame at its time and with its size."""

    name: Name = Field(
        max_length=CAPTURE_NAME_HIGHEST,
        description="its conversations are demands of this name with '-1', '-2' ... behind it, in "
        "the order of their first frames, '-vlan7-p5' behind that where they have a tag; their "
        "group, too",
    )
    file: Text = Field(description="pcap or pcapng file, from the folder of the traffic file on")
    endpoints: Endpoints = Field(
        description="nodes by IP address, prefix or MAC address; the longest prefix counts, IP "
        "before MAC"
    )
    traffic_class: Name = Field(
        "best-effort", alias="class", description="traffic class of its frames, see 'classes'"
    )
    priorities: Priorities = Field(
        {}, description="classes by the priority in a frame's VLAN tag, where it is another"
    )
    others: Literal["fault", "drop"] = Field(
        "fault",
        description="frames of addresses without a node are a fault, or are left out, and counted "
        "in the assumptions",
    )
    at_ps: TimeOrZero = Field(0, alias="at", description="when its first frame is sent")
    rate_bps: Rate | None = Field(
        None,
        alias="rate",
        description="rate on the wire that the plan has room for, of each conversation; default "
        "its mean rate over the length of the capture",
    )
    max_loss_ppb: Ratio | None = Field(
        None, alias="max-loss", description="largest share of frames of each conversation lost"
    )
