"""What Linux would refuse of a 'tc qdisc replace ... taprio' line, after net/sched/sch_taprio.c.

Written down from the kernel (5.9 to 6.12) and from tc, apart from what exports lists.
"""

from __future__ import annotations

from typing import NamedTuple

ETH_ZLEN = 60
INT_MAX = 2**31 - 1
S64_MAX = 2**63 - 1
U32_MAX = 2**32 - 1
TC_MAX_QUEUE = 16
TC_QOPT_MAX_QUEUE = 16
NLA_MAX = 65_535


def picos_per_byte(speed_mbps: int) -> int:
    """taprio_set_picos_per_byte: (USEC_PER_SEC * 8) / speed, in whole numbers."""
    return 1_000_000 * 8 // speed_mbps


def length_to_duration_ns(length: int, speed_mbps: int) -> int:
    return length * picos_per_byte(speed_mbps) // 1000


class Asked(NamedTuple):
    """One command, as tc reads it."""

    tc_count: int
    priorities: list[int]
    queues: list[tuple[int, int]]
    base_time: int
    flags: int
    entries: list[tuple[str, int, int]]


def read(line: str) -> Asked:
    """Take a line apart; a word that tc does not know is an AssertionError."""
    words = line.split()
    assert words[:4] == ["tc", "qdisc", "replace", "dev"]
    assert words[5:10] == ["parent", "root", "handle", "100", "taprio"]
    rest = iter(words[10:])
    asked = Asked(0, [], [], 0, 0, [])
    for word in rest:
        if word == "num_tc":
            asked = asked._replace(tc_count=int(next(rest)))
        elif word == "map":
            asked.priorities.extend(int(next(rest)) for _ in range(TC_QOPT_MAX_QUEUE))
        elif word == "queues":
            pairs = (next(rest).split("@") for _ in range(asked.tc_count))
            asked.queues.extend((int(count), int(offset)) for count, offset in pairs)
        elif word == "base-time":
            asked = asked._replace(base_time=int(next(rest)))
        elif word == "flags":
            asked = asked._replace(flags=int(next(rest), 16))
        else:
            assert word == "sched-entry", f'Unknown argument "{word}"'
            asked.entries.append((next(rest), int(next(rest), 16), int(next(rest))))
    return asked


def refused(line: str, speed_mbps: int) -> list[str]:
    """Return what the kernel would answer; nothing when the list is loaded."""
    asked = read(line)
    least = length_to_duration_ns(ETH_ZLEN, speed_mbps)
    cycle = sum(interval for _, _, interval in asked.entries)
    # A nest of entries, each a nest of command, mask and interval.
    size = 4 + len(asked.entries) * (4 + 8 + 8 + 8)
    rules = {
        "Number of traffic classes is outside valid range": 1 <= asked.tc_count <= TC_MAX_QUEUE,
        "Multi-queue device is required": max(sum(pair) for pair in asked.queues) > 1,
        "Invalid traffic class in mapping": max(asked.priorities) < asked.tc_count,
        "not in the device": asked.flags == 2,
        "base-time out of range": 0 <= asked.base_time <= S64_MAX,
        "The schedule should contain at least one entry": bool(asked.entries),
        "Illegal entry": all(
            command in "SHR" and 0 <= mask <= U32_MAX and 0 <= interval <= U32_MAX
            for command, mask, interval in asked.entries
        ),
        "Invalid interval for schedule entry": all(
            interval >= least for _, _, interval in asked.entries
        ),
        "'cycle_time' is too big": cycle <= INT_MAX,
        "'cycle_time' is too small": cycle >= len(asked.entries) * least,
        "message truncated": size <= NLA_MAX - 128,
    }
    return [answer for answer, kept in rules.items() if not kept]
