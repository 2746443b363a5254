"""Whether the simulator sent what was captured: no law of arrivals, but frames that are known."""

from __future__ import annotations

from collections.abc import Iterator

from qnet.check.judged import Judged
from qnet.model.traffic import RecordedDemand


def sent_otherwise(judged: Judged) -> Iterator[str]:
    """Yield a finding for each capture of which more or less was simulated than is due in the run.

    Events can silence it, and moves take its way away: then less may be right. A capture of 100
    frames, of which 60 are due before the end, and 61 that were sent, is a finding.
    """
    run = judged.seen.runs.get("simulated")
    if run is None:
        return
    traffic = judged.seen.demands["simulated"]
    may_be_less = any(event.change in ("start", "stop") for event in judged.profile.events)
    for demand in judged.profile.demands:
        account = traffic.get(demand.name)
        if account is None or not isinstance(demand, RecordedDemand):
            continue
        due = sum(time_ps < run.duration_ps for time_ps in demand.recording.times_ps)
        entries = judged.demand_entries.get(demand.name, ())
        has_way = bool(entries) and all(entry.parts for entry in entries)
        if account.sent > due or (account.sent < due and has_way and not may_be_less):
            yield f"{demand.name}: simulated {account.sent} frames sent, captured {due}"
