"""How tables show values on a terminal."""

from __future__ import annotations

import pytest

from app.render import shown_cell
from app.tables import Cell


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (None, "–"),
        (True, "True"),
        (0, "0"),
        (1_234_567, "1,234,567"),
        (0.123456, "0.1235"),
        (999.96, "1000"),
        (-1234.5, "-1,234"),
        (999_999_999_999.0, "999,999,999,999"),
        (8.28343e14, "8.283e+14"),
        (float("inf"), "inf"),
        ("a\x1b[2Jb\nc", "a\\x1b[2Jb\\nc"),
    ],
)
def test_values_are_short_and_steer_nothing(cell: Cell, shown: str) -> None:
    assert shown_cell(cell) == shown
