"""What `qnet.run` gives: everything that was made on the way, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnet.errors import ArgumentError, Problem
from qnet.files.folder import whole_folder
from qnet.files.run_folder import OWN, write_run
from qnet.layers import hooks
from qnet.model.verdict import Outcome, Row, Verdict
from qnet.report.columns import (
    Table,
    demand_table,
    link_table,
    port_table,
    requirement_rows,
    service_table,
    stream_table,
)
from qnet.report.files import write_report
from qnet.report.inputs import ReportInput
from qnet.report.tables import RequirementLine, requirement_table
from qnet.report.text import OUTCOME_WORD, answer, headline, subject
from qnet.report.text import reason as reason_of

if TYPE_CHECKING:
    from qnet.model.emulation import Emulation
    from qnet.model.observation import Observation, Traffic
    from qnet.model.plan import Plan, StreamPlan
    from qnet.model.proof import Proof, StreamProof
    from qnet.model.scenario import Scenario

_COLOURS = {"pass": "#1a7f37", "fail": "#c62828", "unknown": "#8a6d00"}


@dataclass(frozen=True, repr=False)
class Result:
    """One scenario with its plan, its proof, what was seen of it, and the verdict.

    Tables (`streams`, `demands`, `services`, `ports`, `links`, `requirements`) are plain columns
    with whole numbers, see `qnet.report.columns`.
    """

    scenario: Scenario
    plan: Plan
    proof: Proof
    verdict: Verdict
    simulated: Observation | None = None
    emulated: Emulation | None = None

    @property
    def observation(self) -> Observation:
        """What was simulated; raises ArgumentError where nothing was."""
        if self.simulated is None:
            words = "nothing was simulated; run it with simulate=True"
            raise ArgumentError([Problem("simulate", 0, 0, "", words)])
        return self.simulated

    @property
    def outcome(self) -> Outcome:
        """'pass', 'fail', or 'unknown': no promise is broken, and not all are known to be kept."""
        return self.verdict.outcome

    @property
    def passed(self) -> bool:
        """Say whether every promise is known to be kept."""
        return self.verdict.outcome == "pass"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Say why it did not pass: findings, then promises that are broken or not known."""
        rows = [
            f"{subject(row)}: {row.kind}: {reason_of(row)}"
            for outcome in ("fail", "unknown")
            for row in self.verdict.rows
            if row.outcome == outcome
        ]
        return (*self.verdict.findings, *rows)

    @cached_property
    def case(self) -> ReportInput:
        """What reports are made from."""
        return ReportInput(
            self.scenario.topology,
            self.scenario.profile,
            self.plan,
            self.proof,
            self.simulated,
            self.verdict,
            self.emulated,
            hooks.report(self.scenario.topology, self.scenario.profile, self.plan, self.verdict),
        )

    @cached_property
    def streams(self) -> Table:
        """A row for each stream and listener: promised, proven, seen."""
        return stream_table(self.case)

    @cached_property
    def demands(self) -> Table:
        """A row for each demand: asked for, placed, seen."""
        return demand_table(self.case)

    @cached_property
    def services(self) -> Table:
        """A row for each service: a group of streams and demands."""
        return service_table(self.case)

    @cached_property
    def ports(self) -> Table:
        """A row for each port: a wire in one direction."""
        return port_table(self.case)

    @cached_property
    def links(self) -> Table:
        """A row for each direction of each link."""
        return link_table(self.case)

    @cached_property
    def requirements(self) -> Table:
        """A row for each requirement of the verdict."""
        return requirement_rows(self.case)

    def row(self, of: str, kind: str) -> Row:
        """Return the verdict's row for a service or site: 'latency', 'variation', 'loss' ...

        Raises KeyError where the verdict has none.
        """
        for one in self.verdict.rows:
            if (one.subject, one.kind) == (of, kind):
                return one
        raise KeyError(f"the verdict has no row '{kind}' of '{of}'")

    def planned(self, name: str) -> StreamPlan:
        """Return what became of a stream in the plan."""
        return next(one for one in self.plan.streams if one.name == name)

    def proven(self, name: str) -> StreamProof:
        """Return the proven bounds of a stream."""
        return next(one for one in self.proof.streams if one.name == name)

    def seen(self, name: str) -> Traffic:
        """Return what was simulated of a stream or demand."""
        every = (*self.observation.streams, *self.observation.demands)
        return next(one for one in every if one.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return what the command line prints with --json."""
        topology = self.scenario.topology
        return answer(self.verdict, self.plan, self.proof, self.simulated, topology, self.emulated)

    def save(
        self,
        folder: Path | str,
        *,
        port: str | None = None,
        keep_run: bool = True,
        measurements: bool = False,
    ) -> Path:
        """Leave verdict.json, plan.json, junit.xml, report.html and the run itself in a folder.

        All of it or nothing; what is not qnet's there stays. The report shows the cycles of `port`.
        With `keep_run` a simulated run can be asked about (`qnet.explain(folder, ...)`), with
        `measurements` there are Parquet files, too (needs pyarrow). Returns the report's path.
        """
        place = Path(folder)
        with whole_folder(place, OWN) as made:
            write_report(made, self.case, port)
            if self.simulated is not None and keep_run:
                write_run(made, place, self.scenario, self.simulated)
            if self.simulated is not None and measurements:
                from qnet.report.measurements import write_measurements  # noqa: PLC0415

                topology, profile = self.scenario.topology, self.scenario.profile
                write_measurements(made / "measurements", topology, profile, self.simulated)
        return place / "report.html"

    def __repr__(self) -> str:
        """Say the answer in a line."""
        return f"<Result: {self._headline}>"

    @property
    def _headline(self) -> str:
        verdict = self.verdict
        return f"{OUTCOME_WORD[verdict.outcome]}  {verdict.title}: {headline(verdict)}"

    def _repr_html_(self) -> str:
        """Show the answer in a notebook: the headline, findings, a line for each requirement."""
        table = requirement_table(self.case)
        names = ("", "", *table.columns, "", "")
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join(map(_html_row, table.lines))
        findings = "".join(f"<li>{escape(one)}</li>" for one in self.verdict.findings)
        colour = _COLOURS[self.verdict.outcome]
        return (
            f'<div><p><b style="color:{colour}">{OUTCOME_WORD[self.verdict.outcome]}</b> '
            f"<b>{escape(self.verdict.title)}</b><br>{escape(headline(self.verdict))}</p>"
            f"{f'<ul>{findings}</ul>' if findings else ''}"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )


def _html_row(line: RequirementLine) -> str:
    cells = (line.name, line.kind, *line.figures, line.result, line.why)
    inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    colour = _COLOURS[line.row.outcome]
    return f'<tr style="border-left:3px solid {colour}">{inner}</tr>'
