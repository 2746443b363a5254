"""What a run was made from: enough to play it again, and to see whether that is the same run."""

from __future__ import annotations

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.traffic import DURATION_PS_HIGHEST
from qnet.units import WHOLE_HIGHEST


class Record(Noun):
    """One run. Files are named from the run's folder on; their hashes are those of the plan.

    What was made in Python has no file, and the hash of what it means.
    """

    qnet_version: str
    topology_file: str | None
    traffic_file: str | None
    topology_sha256: str
    traffic_sha256: str
    settings: tuple[tuple[str, str], ...]
    duration_ps: int = Field(gt=0, le=DURATION_PS_HIGHEST)
    seed: int = Field(ge=0, le=WHOLE_HIGHEST)
    events_sha256: str | None = Field(None, exclude_if=lambda value: value is None)
    """Of the file of all its events; None where there were none."""
    captured_sha256: str | None = Field(None, exclude_if=lambda value: value is None)
    """Of the frames of its captures; None without any."""
