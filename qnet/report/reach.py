"""The judgement of a controller's reach: lines, verdict.json, junit.xml with a test a pair."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qnet.emulate.testbed.reach import Judgement, ReachFinding
from qnet.emulate.testbed.scorecard import Amount, Examined
from qnet.emulate.testbed.takeovers import Absence
from qnet.files.folder import whole_folder
from qnet.files.run_folder import OWN
from qnet.files.write import write_text
from qnet.model.verdict import Outcome
from qnet.report.junit import SuiteCase, junit_suite
from qnet.report.lines import aligned
from qnet.report.text import OUTCOME_WORD

PAIRS_SHOWN = 6
"""Of those for which the same is wrong."""

WAY_ROUND = "a way round a cut link"
OF_NO_PAIR = {"failover": WAY_ROUND, "takeover": "another controller takes over"}


def reach_lines(title: str, found: Judgement, settle_s: float | None) -> list[str]:
    """Say whether the controller passes, then what was found; `settle_s` is what it was given."""
    lines = [f"{OUTCOME_WORD[found.outcome]}  {title}"]
    told = (*found.control, *_causes_told(found.faults), *found.unknown)
    lines += [f"      {words}" for words in told]
    late = f", {found.late} late" if found.late else ""
    lines.append(
        f"{found.pairs} pairs of hosts, {found.frames} frames, {found.lost} lost{late}; "
        f"{found.rules} rules in the switches"
    )
    lines.append(
        f"{found.packet_ins} frames given to the controller (packet-in); "
        f"at most {found.rules_most} rules in a switch"
    )
    if found.failover_s is not None:
        lines.append(
            f"way round a cut link after {found.failover_s:.3f} s of wall-clock time, "
            f"to within {found.failover_within_s:.3f} s"
        )
    lines += [_away(one) for one in found.absences]
    return lines + waited(found, settle_s) + list(_card(found))


def _card(found: Judgement) -> Iterator[str]:
    """Give the scorecard, a line for each examination, then what was found beyond reach."""
    if not found.scorecard:
        return
    yield ""
    rows = [(one.name, OUTCOME_WORD[one.outcome], amounts(one)) for one in found.scorecard]
    yield from aligned(rows, left=(0, 1, 2))
    told = set(found.faults)
    for one in found.scorecard:
        new = [finding for finding in one.found.findings if finding not in told]
        unknown = [words for words in one.found.unknown if words not in found.unknown]
        if new or unknown:
            yield f"{one.name}: {one.about}"
            yield from (f"      {words}" for words in (*_causes_told(new), *unknown))


def amounts(one: Examined) -> str:
    """Write the figures of an examination."""
    return ", ".join(map(_amount, one.found.figures))


def _amount(one: Amount) -> str:
    """Write a figure, as in 'reach after 0.14 s'."""
    value = "-" if one.value is None else f"{one.value:.3f}".rstrip("0").rstrip(".")
    return " ".join(filter(None, (one.name, value, one.unit if one.value is not None else "")))


def _away(absence: Absence) -> str:
    """Say what happened while one of several controllers was away."""
    if absence.seconds is None:
        role = "it was no switch's master" if not absence.orphans else "nobody took over"
    else:
        masters = ", ".join(absence.masters)
        role = f"{masters} was master after {absence.seconds:.3f} s of wall-clock time at most"
    good = sum(one.received == one.sent for _, one in absence.pings)
    return (
        f"while {absence.away} was away: {role}; "
        f"{good} of {len(absence.pings)} pairs reached each other"
    )


def by_cause(faults: Sequence[ReachFinding]) -> list[list[ReachFinding]]:
    """Put findings of one cause together, in the order of the first ones."""
    found: dict[tuple[str, str], list[ReachFinding]] = {}
    for one in faults:
        found.setdefault(one.cause, []).append(one)
    return list(found.values())


def _causes_told(faults: Sequence[ReachFinding]) -> Iterator[str]:
    """Say what is wrong, once for each cause: the first with what explains it."""
    for number, (first, *others) in enumerate(by_cause(faults)):
        yield first.message
        if first.why is not None:
            lines = first.why.lines()
            yield from (f"  {line}" for line in (lines if number == 0 else lines[1:2]))
        if len(others) == 1:
            yield others[0].message
        elif others:
            pairs = [f"{one.source} to {one.target}" for one in others]
            some = ", ".join(pairs[:PAIRS_SHOWN])
            more = f" and {len(pairs) - PAIRS_SHOWN} more" if len(pairs) > PAIRS_SHOWN else ""
            yield f"  the same: {some}{more}"


def waited(found: Judgement, settle_s: float | None) -> list[str]:
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


def write_reach(out: Path, title: str, found: Judgement, page: str) -> None:
    """Leave the answer of `qnet emulate --against reach` in a folder, with its page."""
    answer = found.told()
    text = json.dumps(answer, ensure_ascii=False, indent=1)
    with whole_folder(out, OWN) as folder:
        write_text(folder / "verdict.json", f"{text}\n")
        write_text(folder / "junit.xml", reach_junit(title, answer))
        write_text(folder / "report.html", page)
        if found.channel is not None:
            found.channel.write(folder / "channel.pcapng")
        if found.wires is not None:
            found.wires.write(folder / "wires.pcapng")


def _why(finding: Mapping[str, Any]) -> list[str]:
    """Return the lines of what explains a finding."""
    if "why" not in finding:
        return []
    why = dict(finding["why"])
    lines = [f"  way: {' -> '.join(why.pop('way'))}", f"  ends: {why.pop('ends')}"]
    lines.append(f"  frame: {why.pop('frame')}")
    for name in ("asked", "refused", "messages", "logged"):
        lines += [f"  {name}: {one}" for one in why[name]]
    return lines


def reach_junit(title: str, answer: Mapping[str, Any]) -> str:
    """Write one test case for each pair of hosts, and one for each finding that is of no pair.

    What is not known is an error.
    """
    by_pair: dict[tuple[str, str], list[str]] = {(one[0], one[1]): [] for one in answer["tried"]}
    others = []
    for one in answer["findings"]:
        pair = (one["from"], one["to"])
        if one["kind"] in OF_NO_PAIR or pair not in by_pair:
            others.append((OF_NO_PAIR.get(one["kind"], WAY_ROUND), [one["message"]]))
        else:
            by_pair[pair] += [one["message"], *_why(one)]
    cases = [(f"{source} to {target}", words) for (source, target), words in by_pair.items()]
    cases += others
    unknown = [(WAY_ROUND, [f"not known: {words}"]) for words in answer["unknown"]]
    made = [_suite_case(name, "fail", words) for name, words in cases]
    made += [_suite_case(name, "unknown", words) for name, words in unknown]
    made += [_card_case(one) for one in answer.get("scorecard", ())]
    return junit_suite(title, made)


def _card_case(one: Mapping[str, Any]) -> SuiteCase:
    """Return the test case of an examination, with its figures."""
    figures = [_amount(Amount(**figure)) for figure in one["figures"]]
    words = [line for each in one["findings"] for line in (each["message"], *_why(each))]
    words += [f"not known: {each}" for each in one["unknown"]]
    reason = words[0] if words else None
    return SuiteCase("scorecard", one["name"], one["outcome"], reason, "\n".join(words + figures))


def _suite_case(name: str, otherwise: Outcome, words: Sequence[str]) -> SuiteCase:
    if not words:
        return SuiteCase("reach", name, "pass")
    return SuiteCase("reach", name, otherwise, words[0], "\n".join(words))
