"""The folder that `--out DIR` leaves behind."""

from __future__ import annotations

from pathlib import Path

from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.verdict import Verdict
from qnet.model.write import to_json, write_text
from qnet.report.junit import junit
from qnet.report.page import page


def write_report(
    folder: Path,
    topology: Topology,
    profile: Profile,
    plan: Plan,
    proof: Proof,
    observation: Observation | None,
    verdict: Verdict,
    port: str | None = None,
) -> tuple[Path, ...]:
    """Write verdict.json, plan.json, junit.xml and report.html; return their paths."""
    texts = {
        "verdict.json": to_json(verdict),
        "plan.json": to_json(plan),
        "junit.xml": junit(verdict),
        "report.html": page(topology, profile, plan, proof, observation, verdict, port),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    return tuple(folder / name for name in texts)
