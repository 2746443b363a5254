"""The judgement of a controller's reach: lines, verdict.json, junit.xml with a test a pair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qnet.emulate.testbed.reach import Judgement
from qnet.files.folder import whole_folder
from qnet.files.run_folder import OWN
from qnet.files.write import write_text
from qnet.model.verdict import Outcome
from qnet.report.junit import SuiteCase, junit_suite
from qnet.report.text import OUTCOME_WORD

WAY_ROUND = "a way round a cut link"


def reach_lines(title: str, found: Judgement, settle_s: float | None) -> list[str]:
    """Say whether the controller passes, then what was found; `settle_s` is what it was given."""
    lines = [f"{OUTCOME_WORD[found.outcome]}  {title}"]
    lines += [f"      {words}" for words in (*found.control, *found.findings, *found.unknown)]
    late = f", {found.late} late" if found.late else ""
    lines.append(
        f"{found.pairs} pairs of hosts, {found.frames} frames, {found.lost} lost{late}; "
        f"{found.rules} rules in the switches"
    )
    if found.failover_s is not None:
        lines.append(
            f"way round a cut link after {found.failover_s:.3f} s of wall-clock time, "
            f"to within {found.failover_within_s:.3f} s"
        )
    return lines + _waited(found, settle_s)


def _waited(found: Judgement, settle_s: float | None) -> list[str]:
    """Say for how long the controller was given time, if it was."""
    since = f"{found.waited_s:.1f} s after the switches were connected"
    if settle_s is not None:
        return [f"judged once, {since} (--settle)"]
    if found.at_first:
        first = [f"at first: {words}" for words in found.at_first]
        return [*first, f"looked again until {since}"]
    if found.tried_again:
        return [f"looked again until {since}; --settle gives another time"]
    return [f"judged once, {since}"] if found.findings else []


def write_reach(out: Path, title: str, found: Judgement) -> None:
    """Leave the answer of `qnet emulate --against reach` in a folder."""
    answer = found.told()
    text = json.dumps(answer, ensure_ascii=False, indent=1)
    with whole_folder(out, OWN) as folder:
        write_text(folder / "verdict.json", f"{text}\n")
        write_text(folder / "junit.xml", reach_junit(title, answer))
        if found.channel is not None:
            found.channel.write(folder / "channel.pcapng")


def reach_junit(title: str, answer: Mapping[str, Any]) -> str:
    """Write one test case for each pair of hosts, and one for each finding that is of no pair.

    What is not known is an error.
    """
    by_pair: dict[tuple[str, str], list[str]] = {(one[0], one[1]): [] for one in answer["tried"]}
    others = []
    for one in answer["findings"]:
        pair = (one["from"], one["to"])
        if one["kind"] == "failover" or pair not in by_pair:
            others.append(one["message"])
        else:
            by_pair[pair].append(one["message"])
    cases = [(f"{source} to {target}", words) for (source, target), words in by_pair.items()]
    cases += [(WAY_ROUND, [words]) for words in others]
    unknown = [(WAY_ROUND, [f"not known: {words}"]) for words in answer["unknown"]]
    made = [_suite_case(name, "fail", words) for name, words in cases]
    made += [_suite_case(name, "unknown", words) for name, words in unknown]
    return junit_suite(title, made)


def _suite_case(name: str, otherwise: Outcome, words: Sequence[str]) -> SuiteCase:
    if not words:
        return SuiteCase("reach", name, "pass")
    return SuiteCase("reach", name, otherwise, words[0], "\n".join(words))
