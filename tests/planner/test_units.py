"""Numbers with units: what is read, what is refused, what is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import BadInputError
from planner.units import (
    FLOP_PER_MAC,
    SIZES,
    TIMES,
    fitting_unit,
    format_bytes,
    format_count,
    format_least_bytes,
    format_seconds,
    format_si,
    format_times,
    parse_quantity,
    readable_bytes,
)


@pytest.mark.parametrize(
    "text, kind, value",
    [
        ("37.5MB/s", "bandwidth", 37.5e6),
        ("300Mbit/s", "bandwidth", 37.5e6),
        ("300 Mbps", "bandwidth", 37.5e6),
        ("1e6", "bandwidth", 1e6),
        ("8bit/s", "bandwidth", 1.0),
        ("5 B/s", "bandwidth", 5.0),
        ("125GMAC/s", "compute", 125e9),
        ("250GFLOP/s", "compute", 125e9),
        ("250 GFLOPS", "compute", 125e9),
        ("1e3 MAC/s", "compute", 1e3),
        ("512MB", "memory", 512e6),
        ("2GiB", "memory", 2.0 * 2**30),
        ("1kB", "memory", 1e3),
        ("0.25s", "time", 0.25),
        ("40ms", "time", 0.04),
        ("7us", "time", 7e-6),
        ("7µs", "time", 7e-6),
        (" 3 ", "time", 3.0),
    ],
)
def test_what_is_read(text: str, kind: str, value: float) -> None:
    assert parse_quantity(text, kind, where="--x") == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text, kind",
    [
        ("", "time"),
        ("fast", "bandwidth"),
        ("0", "bandwidth"),
        ("-1MB/s", "bandwidth"),
        ("nan", "time"),
        ("inf", "time"),
        ("1e400", "time"),
        ("1MB", "bandwidth"),
        ("1MB/s", "memory"),
        ("1GiB/s", "bandwidth"),
        ("1 parsec", "time"),
        ("1.2.3s", "time"),
        ("300Mb/s", "bandwidth"),  # bits or bytes?
        ("300mb/s", "bandwidth"),
    ],
)
def test_what_is_refused(text: str, kind: str) -> None:
    with pytest.raises(BadInputError) as raised:
        parse_quantity(text, kind, where="--x")
    message = str(raised.value)
    assert message.startswith(f"--x: found {text!r}; give ") and "\n" not in message


def test_a_mac_is_two_flop() -> None:
    assert FLOP_PER_MAC == 2


@given(st.floats(1e-9, 1e17))
def test_what_is_written_can_be_read_again(value: float) -> None:
    seconds = format_seconds(value).replace(",", "")
    assert parse_quantity(seconds, "time", where="x") == pytest.approx(value, rel=6e-3)
    if value >= 1:
        assert parse_quantity(format_bytes(value), "memory", where="x") == pytest.approx(
            value, rel=6e-3
        )


@pytest.mark.parametrize(
    "value, text",
    [(0.0, "0 ms"), (2.0, "2 s"), (0.0327, "32.7 ms"), (1.0904, "1.09 s"), (4.2e-5, "42 µs")],
)
def test_seconds(value: float, text: str) -> None:
    assert format_seconds(value) == text


def test_prefixes() -> None:
    assert format_si(37.5e6, "B/s") == "37.5 MB/s"
    assert format_si(999.0, "B") == "999 B"
    assert format_si(0, "B") == "0 B"
    assert format_bytes(109665952) == "110 MB"
    assert format_si(2.5e18, "B") == "2.5e+18 B"
    assert format_si(999_600, "B") == "1 MB"
    assert [format_count(x) for x in (0, 7, 252_000, 1.24e9)] == ["0", "7", "252 k", "1.24 G"]


def test_a_column_has_the_largest_unit_of_which_its_largest_value_has_one() -> None:
    assert [fitting_unit(SIZES, x) for x in ([3e9, 7], [9.9e8], [2e3, None], [0.0], [])] == [
        "GB", "MB", "kB", "B", "B"
    ]  # fmt: skip
    assert [fitting_unit(TIMES, [x]) for x in (1.0, 0.02, 1e-9)] == ["s", "ms", "µs"]


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (1, "1 byte"),
        (999_999, "999,999 bytes"),
        (10_000_000, "10 MB"),
        (12_345_678, "12.3457 MB"),
        (141_479_100_000, "141.48 GB"),
    ],
)
def test_a_size_that_is_enough_is_never_written_smaller(size: int, words: str) -> None:
    assert format_least_bytes(size) == words
    if "byte" not in words:
        assert parse_quantity(words.replace(" ", ""), "memory", where="x") >= size


def test_sizes_in_a_text_are_readable_unless_they_would_read_alike() -> None:
    text = "its limit is 10,000,000 bytes, what works is 12,345,678 bytes (1 byte more)"
    assert readable_bytes(text) == "its limit is 10 MB, what works is 12.3457 MB (1 byte more)"
    alike = "its limit is 10,000,000 bytes, what works is 10,000,001 bytes"
    assert readable_bytes(alike) == "its limit is 10 MB, what works is 10.0001 MB"
    same = "12,345,671 bytes, 12,345,678 bytes"
    assert readable_bytes(same) == same


@pytest.mark.parametrize(
    ("seconds", "digits", "words"),
    [
        (0.3092, 3, "309 ms"),
        (0.9996, 3, "1 s"),
        (0.99996, 4, "1 s"),
        (1.0904, 4, "1.09 s"),
        (0.0, 3, "0 ms"),
        (7.94e-2, 3, "79.4 ms"),
    ],
)
def test_seconds_with_so_many_digits(seconds: float, digits: int, words: str) -> None:
    assert format_seconds(seconds, digits) == words


@pytest.mark.parametrize(
    ("ratio", "words"), [(3.527, "3.5×"), (13.73, "13.7×"), (123.4, "123×"), (1.0, "1×")]
)
def test_ratios_have_two_or_three_digits(ratio: float, words: str) -> None:
    assert format_times(ratio) == words
