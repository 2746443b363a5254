"""Whatever stands in a CSV file of another program: it is read, or refused at a line."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from qnet.errors import InputError, Problem
from qnet.formats.tsnkit import read_problem, write_schedule
from qnet.formats.tsnkit_schedule import COLUMNS, read_schedule
from qnet.schedule.qbv.solve import schedule_gates

DATA = Path(__file__).parents[1] / "data/tsn"
TASK, TOPO = ((DATA / f"029_{kind}.csv").read_text() for kind in ("task", "topo"))
PROBLEM = read_problem(TASK, TOPO)
SCHEDULE = {
    kind: text
    for kind, text in write_schedule(PROBLEM, schedule_gates(PROBLEM)).items()
    if kind in COLUMNS
}
PIECES = [
    *"\r\n\0\",'()[]0179.eE+-;\t \ufeff\u2028\u0661",
    "\r\n",
    '""',
    "7" * 140_000,
    "1e99",
    "9" * 5000,
    "nan",
    "-1",
]


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        gone = draw(st.sampled_from([0, 0, 1, 3, 40]))
        text = text[:place] + draw(st.sampled_from(PIECES)) + text[place + gone :]
    return text


def faults(read: Callable[[], object]) -> list[Problem]:
    """Return what is refused; any other exception is a failure."""
    try:
        read()
    except InputError as error:
        return error.problems
    return []


@given(mutated(TASK), mutated(TOPO), st.booleans())
def test_a_problem_is_read_or_refused_at_a_line(task: str, topo: str, whole: bool) -> None:
    found = faults(lambda: read_problem(task, TOPO if whole else topo))
    assert all(problem.line > 0 for problem in found)


@given(st.sampled_from(sorted(COLUMNS)), st.data())
def test_a_schedule_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    texts = {**SCHEDULE, kind: data.draw(mutated(SCHEDULE[kind]))}
    names = {kind: kind for kind in COLUMNS}
    found = faults(lambda: read_schedule(PROBLEM, texts, names))
    assert all(problem.file in COLUMNS for problem in found)
