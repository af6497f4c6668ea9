"""Bisection between a value that is proven not to be enough and one that is enough."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from planner.strategies.what_if.quantities import Value, rounded

Verdict = Literal["enough", "not enough", "open"]

_FIRST_STEP = 4.0  # and its square, and the square of that: far values are reached soon
_LAST_STEP = 1e18
_SPARE_DIGITS = 2  # values are rounded finer than the tolerance, by a tenth at least


@dataclass
class Bracket:
    """What is known of a quantity of which more is never worse.

    Attributes
    ----------
    least : float
        No smaller value is of interest.
    tolerance : float
        Relative distance of the two ends at which the search is over.
    whole : bool
        The quantity is counted, and the search is over where the ends are one apart.
    low, high : float, optional
        The largest value that is proven not to be enough, and the smallest that is enough.
    open : list of float
        Values between the ends of which neither is known, rising.
    """

    least: Value
    tolerance: float
    whole: bool = False
    low: Value | None = None
    high: Value | None = None
    open: list[Value] = field(default_factory=list)
    _step: float = _FIRST_STEP

    def note(self, value: Value, verdict: Verdict) -> None:
        """Take in what was found at a value."""
        if verdict == "enough":
            self.high = value if self.high is None else min(value, self.high)
        elif verdict == "not enough":
            self.low = value if self.low is None else max(value, self.low)
        else:
            self.open.append(value)
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        self.open = sorted(value for value in self.open if low < value < high)

    def next_value(self) -> Value | None:
        """Where to ask next; None where nothing is left to be found out.

        Ever larger steps lead down from a value that is enough to one that is not, and up from
        one that is not: the answer is more often near the present value than far off. Otherwise
        the gap between the ends is halved, on a logarithmic scale; around open values the wider
        one of the gaps below and above them.
        """
        if self.high is None:
            return None
        if self.low is None:
            return self._below(min(self.high, *self.open) if self.open else self.high)
        edges = [self.low, *self.open, self.high]
        gaps = [(edges[0], edges[1]), (edges[-2], edges[-1])]
        low, high = max(gaps, key=lambda gap: self._width(*gap))
        return self._between(low, high) if self._is_wide(low, high) else None

    @property
    def proven(self) -> bool:
        """Whether ``high`` is the least value, to within the tolerance."""
        if self.low is None or self.high is None:
            return False
        return not self._is_wide(self.low, self.high)

    def halvings(self, most: Value) -> int:
        """How often the gap is to be halved still, if no value above ``most`` is of interest."""
        low, high = self.low or self.least, most if self.high is None else self.high
        steps = high - low if self.whole else math.log(high / low) / math.log1p(self.tolerance)
        return math.ceil(math.log2(steps)) if steps > 1 else 0

    def _below(self, value: Value) -> Value | None:
        if value <= self.least:
            return None
        return max(self._rounded(value / self._next_step()), self.least)

    def _width(self, low: Value, high: Value) -> float:
        return high - low if self.whole else high / low

    def _is_wide(self, low: Value, high: Value) -> bool:
        return self._width(low, high) > (1 if self.whole else 1 + self.tolerance)

    def _between(self, low: Value, high: Value) -> Value:
        if self.whole:
            return int(low + high) // 2
        middle = math.sqrt(low * high)
        if middle > low * self._step:
            middle = low * self._next_step()
        return self._rounded(middle)

    def _next_step(self) -> float:
        step, self._step = self._step, min(self._step**2, _LAST_STEP)
        return step

    def _rounded(self, value: float) -> float:
        return rounded(value, _SPARE_DIGITS + math.ceil(-math.log10(self.tolerance)))
