from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from qnet.model.requirement import KINDS, Unit
from qnet.model.verdict import Verdict
from qnet.report.text import answer, headline, print_verdict, result
from qnet.units import show_share
from tests.unit.report_case import case, row, verdict

NARROW = """\
FAIL  Five services over twelve cities
      3 of 10 requirements not kept, 1 finding

Findings
- power-grid-3: simulated latency 8.019 ms is above the proven 8.012 ms; one of
  the two witnesses is wrong

requirement    what           promised      proven   simulated
factory x8     late events           0           -           3 FAIL
    3 frames of factory-5 reached beijing->zhengzhou/2 after their cycle had
    begun
far x3         admitted              3           0           - FAIL
    far-1: propagation alone is 21.4 ms of 10 ms
bulk x4        placed       3.900 Tb/s  3.675 Tb/s           - FAIL
    225 Gb/s of 900 Gb/s found no room: the cable guiyang--guangzhou is full
               loss              0.1 %           -   0.00213 % pass
surgery x12    latency       25.000 ms   17.412 ms   17.409 ms pass
               variation     50.000 us   14.000 us   10.000 us pass
power-grid x20 latency       15.000 ms    8.012 ms    8.009 ms pass
               variation     20.000 us   14.000 us   10.000 us pass
exchange x6    latency       20.000 ms    9.312 ms    9.309 ms pass
qingyang       egress      10.000 Tb/s 10.120 Tb/s 10.119 Tb/s pass

admitted: 0 of 3 streams
egress of qingyang: 10.120 Tb/s placed, 10.119 Tb/s delivered (simulated)
The run was 40 ms of network time; rarer events than that were not seen.
1 assumption, listed in the report (--out DIR)
"""


def printed(answered: Verdict, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_verdict(answered, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_narrow_golden() -> None:
    assert printed(verdict(), 80) == NARROW


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_figure_is_cut_at_any_width(width: int) -> None:
    figures = (999_999_000, 999_999_000, 999_999_000)
    long = row("a-service-with-a-name-of-unusual-length-" * 2, "latency", *figures, members=10**6)
    text = printed(verdict().replace(rows=(long,)), width)
    assert text.count("999.999 us") == 3
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_colours_on_a_terminal_only() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    print_verdict(verdict(), console)
    assert isinstance(console.file, io.StringIO)
    assert "\x1b[1;31mFAIL" in console.file.getvalue()
    assert "\x1b" not in printed(verdict(), 80)


def test_names_cannot_steer_the_terminal() -> None:
    hostile = verdict().replace(title="a\x1b[2Jb[red]c", findings=("x\ry",))
    text = printed(hostile, 100)
    assert "\x1b" not in text
    assert "[red]" in text
    assert "x\ufffdy" in text


def test_a_name_of_24_letters_fits_beside_its_figures() -> None:
    rates = (196 * 10**9, 196 * 10**9, 196 * 10**9)
    rows = tuple(row("telesurgery-over-2-paths", kind, *rates) for kind in ("placed", "egress"))
    text = printed(verdict().replace(rows=rows), 80)
    assert "telesurgery-over-2-paths placed 196.000 Gb/s 196.000 Gb/s" in text
    assert text.count("telesurgery-over-2-paths ") == 1
    assert max(map(len, text.splitlines())) <= 80


def test_emulated_figures_have_their_column() -> None:
    one = row("a", "latency", 10**9, 10**8, 10**8).replace(emulated=123_456_789)
    lines = printed(verdict().replace(rows=(one,)), 80).splitlines()
    assert any(line.endswith("simulated   emulated") for line in lines)
    assert any("123.457 us pass" in line for line in lines)


def test_what_holds_for_all_is_said_once() -> None:
    rows = (
        row("a", "admitted", 1000, 1000, None, members=1000),
        row("a", "loss", 0, 0, 0, members=1000, basis="proven"),
        row("d", "loss", 0, None, 0, basis="seen", frames=12),
        row("b", "admitted", 1, 1, None),
        row("b", "loss", 0, None, None, outcome="unknown", decided_by="a run of 11s"),
        row("e", "loss", None, None, None),
        row("c", "latency", None, None, 10**9),
        row("q", "egress", 10**13, 10**13, 10**13).replace(reason="at most 10"),
    )
    text = printed(verdict().replace(rows=rows, findings=()), 80)
    for said in (
        "admitted: 1,001 of 1,001 streams\n",
        "loss: none seen, 1 service\n",
        "loss: proven none, 1 service\n",
        "loss: not promised and not seen, 1 service\n",
        "    no reason given; what would decide it: a run of 11s\n",
        "seen: kept by all that came in steady state, 12 frames of each at least\n",
        "egress of q: 10.000 Tb/s placed, 10.000 Tb/s delivered (simulated); at most 10\n",
        "5 of 6 requirements kept, 1 not known, 1 by what was seen alone\n",
    ):
        assert said in text
    assert "a x1,000" not in text


def test_a_long_table_is_cut_and_failures_are_not() -> None:
    rows = [row(f"s{i}", "latency", 10, 5, 5) for i in range(200)]
    rows[150] = row("s150", "latency", 10, 15, 5, reason="5 over the promise")
    text = printed(verdict().replace(rows=tuple(rows)), 80)
    assert "    5 over the promise\n" in text
    assert "and 140 more lines, 0 of them FAIL" in text


def test_nothing_promised_is_no_merit() -> None:
    free = row("a", "latency", None, None, 5)
    empty = Verdict(title="t", outcome="pass", findings=(), rows=(free,), assumptions=(), notes=())
    assert headline(empty) == "nothing was promised"
    assert result(free) == "-"


def test_a_reader_that_leaves_is_no_failed_network() -> None:
    class Left(Console):
        def print(self, *objects: object, **how: object) -> None:
            raise SystemExit(1)

    with pytest.raises(BrokenPipeError):
        print_verdict(verdict(), Left())


def test_many_findings_are_counted() -> None:
    many = verdict().replace(findings=tuple(f"finding {i}" for i in range(1234)))
    assert "and 1,214 more, in the report" in printed(many, 80)


def test_a_pass_and_an_unknown() -> None:
    good = row("a", "latency", 10, 5, 4)
    one = Verdict(title="t", outcome="pass", findings=(), rows=(good,), assumptions=(), notes=())
    assert printed(one, 80).startswith("PASS  t\n      1 requirement kept\n")
    unknown = good.replace(outcome="unknown")
    two = one.replace(outcome="unknown", rows=(good, unknown))
    assert headline(two) == "1 of 2 requirements kept, 1 not known"
    assert printed(two, 80).startswith("NOT KNOWN  t\n           1 of 2 requirements kept")
    assert "0.005 ns  0.004 ns not known\n" in printed(two, 80)


def test_what_rests_on_seeing_alone_is_told_apart() -> None:
    rows = (row("a", "latency", 10, 5, 4), row("b", "latency", 10, None, 4, basis="seen", frames=1))
    one = Verdict(title="t", outcome="pass", findings=(), rows=rows, assumptions=(), notes=())
    assert headline(one) == "2 requirements kept, 1 by what was seen alone"
    assert [result(each) for each in rows] == ["pass", "seen"]
    assert "1 frame of each at least" in printed(one, 80)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("latency", 12_126_345_678, "12.126 ms"),
        ("variation", 0, "0 ns"),
        ("loss", 1, "0.0000001 %"),
        ("loss", 0, "0 %"),
        ("loss", 10**9, "100 %"),
        ("egress", 10**13, "10.000 Tb/s"),
        ("admitted", 12_000, "12,000"),
        ("late", None, "-"),
    ],
)
def test_show(kind: str, value: int | None, text: str) -> None:
    assert KINDS[kind].unit.show(value) == text


def test_shares_keep_what_matters() -> None:
    assert show_share(123_456_789) == "12.346 %"
    assert show_share(21_300) == "0.00213 %"


def test_answer_is_plain_data() -> None:
    whole = case()
    data = answer(whole.verdict, whole.plan, whole.proof, whole.observation, whole.topology)
    assert json.loads(json.dumps(data)) == data
    streams = {stream["name"]: stream for stream in data["streams"]}  # type: ignore[attr-defined]
    assert streams["far-1"]["status"] == "refused"
    assert streams["far-1"]["proven_latency_ps_max"] is None
    assert streams["factory-5"]["late"] == 3
    assert streams["surgery-1"]["simulated_variation_ps"] == 10_000_000
    busy = data["busy_ports"]
    assert isinstance(busy, list)
    assert len(busy) == 20
    assert busy[0]["load_ppb"] >= busy[-1]["load_ppb"] > 500_000_000


def test_answer_without_a_simulation() -> None:
    whole = case(simulated=False)
    data = answer(whole.verdict, whole.plan, whole.proof, None)
    assert data["run"] is None
    assert data["busy_ports"] is None
    assert data["streams"][0]["simulated_latency_ps_max"] is None  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (633_762, 6, "0.634 CNY/TB"),
        (3_961_012_600, 6, "3,961.013 CNY/TB"),
        (7, 6, "0.000007 CNY/TB"),
        (19_817, 6, "0.0198 CNY/TB"),
        (-19_817, 6, "-0.0198 CNY/TB"),
        (0, 6, "0 CNY/TB"),
        (12_000, 0, "12,000 CNY/TB"),
        (None, 6, "-"),
    ],
)
def test_units_that_the_core_does_not_know(value: int | None, decimals: int, text: str) -> None:
    assert Unit(name="CNY/TB", decimals=decimals).show(value) == text
