"""Wall time that one call may take, and parts of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


class OutOfTimeError(Exception):
    """A deadline passed in the middle of something that is of no use in part."""


@dataclass(frozen=True)
class Deadline:
    """A limit in seconds that starts now; None: no limit."""

    limit_s: float | None = None
    _start: float = field(default_factory=time.perf_counter)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    @property
    def passed(self) -> bool:
        """Whether the limit is over."""
        return self.limit_s is not None and self.elapsed_s >= self.limit_s

    def check(self) -> None:
        """Go on if there is time.

        Raises
        ------
        OutOfTimeError
        """
        if self.passed:
            raise OutOfTimeError

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, at least a millisecond; None without a limit."""
        return None if self.limit_s is None else max(self.limit_s - self.elapsed_s, 1e-3)

    def share(self, fraction: float) -> Deadline:
        """A deadline that starts now and ends after a part of what is left."""
        left_s = None if self.limit_s is None else max(self.limit_s - self.elapsed_s, 0.0)
        return Deadline(None if left_s is None else left_s * fraction)
