"""How much a search may still look at."""

from __future__ import annotations

from dataclasses import dataclass

from planner.solve.deadline import Deadline


@dataclass
class Effort:
    """States, and pairs of them, that may still be looked at, and until when.

    Numbers that the dual and the boxes move count as well, a thousand of them as one state: a
    problem of any size gives up after the same effort on every machine.
    """

    left: int
    deadline: Deadline | None = None

    @property
    def spent(self) -> bool:
        """Whether it is time to give up."""
        return self.left < 0 or (self.deadline is not None and self.deadline.passed)

    @staticmethod
    def of(numbers: int) -> int:
        """States that a step over arrays of so many numbers counts as."""
        return 1 + numbers // 1000
