"""Sizes that remember where they come from, and the little language that they are written in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.expressions import (
    MAX_CHARACTERS,
    MAX_NESTING,
    parse_expression,
    parse_requirement,
)
from profiles.size import Size, largest, smallest, text_of
from tests.processor_time import at_most

NAMES = ("n", "h", "w_1")
VALUES = st.fixed_dictionaries({name: st.integers(1, 500) for name in NAMES})
LEAVES = st.one_of(st.integers(0, 99).map(str), st.sampled_from(NAMES))


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from([" + ", " - ", "*", " // ", "%"])
    return st.one_of(
        st.tuples(inner, operators, inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(
            lambda parts: f"{parts[0]}({parts[1]}, {parts[2]})"
        ),
    )


EXPRESSIONS = st.recursive(LEAVES, _combined, max_leaves=12).filter(
    lambda text: len(text) <= MAX_CHARACTERS
)


@given(EXPRESSIONS, VALUES)
def test_an_expression_is_worth_what_python_says(text: str, values: dict[str, int]) -> None:
    try:
        expected = eval(text, {"min": min, "max": max}, dict(values))  # of our own making
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="divides by zero"):
            parse_expression(text).value(values)
    else:
        assert parse_expression(text).value(values) == expected


class TestSizes:
    """A size is its value, and its text is worth its value at any other sizes too."""

    # A polynomial of three open sizes, their exact quotients, and rounded ones.
    steps = st.lists(
        st.tuples(st.sampled_from("+-*/%<>"), st.integers(0, 2), st.integers(1, 9)), max_size=6
    )

    @staticmethod
    def made(steps: list[tuple[str, int, int]], sizes: list[int]) -> int:
        total = sizes[0]
        for operator, index, number in steps:
            other = sizes[index]
            if operator == "+":
                total = number + total + other
            elif operator == "-":
                total = total - other + number * other * other
            elif operator == "*":
                total = total * other
            elif operator == "/":
                total = number * total // number // 3
            elif operator == "%":
                total = total + other % number
            elif operator == "<":
                total = smallest([total, other * number])
            else:
                total = largest([total, other])
        return total

    @given(steps, VALUES, VALUES)
    def test_text_follows(
        self, steps: list[tuple[str, int, int]], first: dict[str, int], second: dict[str, int]
    ) -> None:
        sizes: list[int] = [Size.of(first[name], name) for name in NAMES]
        try:
            found = self.made(steps, sizes)
        except OverflowError:
            return  # of absurd length
        assert found == self.made(steps, [first[name] for name in NAMES])
        text = text_of(found)
        if not isinstance(found, Size) or len(text) > MAX_CHARACTERS or text.count("(") > 15:
            return
        assert parse_expression(text).value(first) == found
        assert parse_expression(text).value(second) == self.made(
            steps, [second[name] for name in NAMES]
        )

    def test_products_divide_exactly(self) -> None:
        n, h, w = (Size.of(value, name) for value, name in ((2, "n"), (14, "h"), (15, "w")))
        elements = 64 * n * h * w
        assert text_of(elements // 64) == "h * n * w"
        assert text_of(elements * 4 // (h * 64)) == "4 * n * w"
        assert not isinstance(elements // (n * h * w), Size)
        assert (elements.content, elements.text) == (64, "h * n * w")

    def test_what_loses_its_expression_is_a_plain_number(self) -> None:
        h = Size.of(3, "h")
        for plain in (h**2, int(h), h / 2, [0] * h, h - h, h * 0):
            assert not isinstance(plain, Size)


REFUSED = {
    "": "missing",
    "__import__('os')": "not understood",
    "h.real": "not understood",
    "h ** 9": "missing",
    "lambda: 0": "one too many|not understood",
    "[h]": "not understood",
    "h h": "one too many",
    "min(h)": "two values",
    "min(h, 2": "missing",
    "abs(h)": "one too many",
    "(" * 21 + "h" + ")" * 21: f"more than {MAX_NESTING} deep",
    "-" * 300 + "h": f"more than {MAX_NESTING} deep",
    "min(" * 30 + "h": "deep",
    "1+" * 300 + "1": "characters",
    "9" * 30: "one too many",
    "h > 2": "one too many",
    "²": "not understood",
    "h\x00": "not understood",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[text]):
        parse_expression(text)


@pytest.mark.parametrize("text", ["h // (h - h)", "7 % 0", "h // 0"])
def test_division_by_zero_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="divides by zero"):
        parse_expression(text).value({"h": 3})


@pytest.mark.parametrize("text", ["h * h * h", "9999999999999999999 * 1", "-h*h*9"])
def test_huge_values_are_refused_at_once(text: str) -> None:
    with at_most(0.1), pytest.raises(ValueError, match="beyond 2"):
        parse_expression(text).value({"h": 2**31})


def test_comparisons() -> None:
    values = {"h": 64}
    assert parse_requirement("h % 32 == 0").is_met(values)
    assert not parse_requirement("min(h, 7) > 7").is_met(values)
    assert parse_requirement("(h - 1) // 2 + 1 != 1").is_met(values)
    assert parse_requirement("h <= n*2").names == {"h", "n"}
    for text in ("h", "h = 3", "h == 3 == 4", "h < ", "h and 1"):
        with pytest.raises(ValueError):
            parse_requirement(text)
