from __future__ import annotations

import pytest

from qnet.units import (
    LENGTH,
    RATE,
    RATIO,
    SIZE,
    TIME,
    Dimension,
    UnitError,
    ceil_div,
    describe,
    format_quantity,
    parse,
    serialisation_ps,
    show_rate,
    show_size,
    show_time,
    wire_bytes,
)


@pytest.mark.parametrize(
    ("dimension", "text", "amount"),
    [
        (TIME, "10us", 10_000_000),
        (TIME, "10 µs", 10_000_000),
        (TIME, "27.142ms", 27_142_000_000),
        (TIME, "0.001ns", 1),
        (TIME, "1e3ns", 1_000_000),
        (TIME, "0s", 0),
        (RATE, "400Gbps", 400 * 10**9),
        (RATE, "1.6Tbps", 1_600 * 10**9),
        (SIZE, "1.5kB", 1500),
        (SIZE, "1KiB", 1024),
        (LENGTH, "560km", 560_000_000),
        (RATIO, "0.1%", 1_000_000),
        (RATIO, "3ppb", 3),
    ],
)
def test_parse_is_exact(dimension: Dimension, text: str, amount: int) -> None:
    assert parse(dimension, text) == amount


@pytest.mark.parametrize(
    ("dimension", "value", "says"),
    [
        (TIME, "10", "10 has no unit; write it like '10us'"),
        (TIME, 10, "10 has no unit"),
        (TIME, "10Gbps", "'Gbps' is not a unit of time"),
        (RATE, "10gbps", "did you mean 'Gbps'?"),
        (TIME, "0.5ps", "not a whole number of ps"),
        (TIME, "-1us", "is negative"),
        (TIME, "1e99s", "out of range; at most 100000s"),
        (RATIO, "101%", "out of range; at most 100%"),
        (TIME, "soon", "'soon' is not a time"),
        (TIME, "", "'' is not a time"),
        (TIME, "9" * 5000 + "us", "too long"),
        (TIME, None, "nothing is not a time"),
        (TIME, True, "'true' is not a time"),
        (TIME, 1.5, "'1.5' is not a time"),
        (SIZE, ["1B"], "a list is not a size"),
    ],
)
def test_parse_refuses_with_a_way_out(dimension: Dimension, value: object, says: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse(dimension, value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("dimension", "amount", "text"),
    [
        (TIME, 12_500_000, "12.5us"),
        (TIME, 0, "0ps"),
        (TIME, 1, "1ps"),
        (TIME, 1_234_567_890_123, "1234567.890123us"),
        (SIZE, 64_000_000, "64MB"),
        (SIZE, 1 << 20, "1MiB"),
        (RATE, 1_600 * 10**9, "1.6Tbps"),
    ],
)
def test_format_quantity(dimension: Dimension, amount: int, text: str) -> None:
    assert format_quantity(dimension, amount) == text


def test_line_time_counts_preamble_and_gap() -> None:
    assert wire_bytes(1518) == 1538
    assert serialisation_ps(64, 400 * 10**9) == 1680
    assert serialisation_ps(64, 3 * 10**9) == ceil_div(84 * 8 * 1000, 3)


def test_rounding_up() -> None:
    assert [ceil_div(n, 4) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_numbers_for_readers() -> None:
    assert show_time(12_126_345_678) == "12.126 ms"
    assert show_time(None) == "-"
    assert show_time(0) == "0 ns"
    assert show_rate(10**13) == "10.000 Tb/s"
    assert show_rate(12) == "12 b/s"
    assert show_size(1_538_000) == "1.54 MB"
    assert show_size(12) == "12 B"


def test_describe_is_short() -> None:
    assert describe({}) == "a mapping"
    assert len(describe("x" * 1000)) == 42
