"""What a run was made from: enough to play it again, and to see whether that is the same run."""

from __future__ import annotations

from qnet.model.fields import Noun


class Record(Noun):
    """One run. Files are named from the run's folder on; their hashes are those of the plan."""

    qnet_version: str
    topology_file: str
    traffic_file: str
    topology_sha256: str
    traffic_sha256: str
    settings: tuple[tuple[str, str], ...]
    duration_ps: int
    seed: int
