"""How much a search may still look at."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np


@dataclass
class Effort:
    """How many states, and pairs of them, may still be looked at, and until when."""

    left: int
    stop_at: float = np.inf

    @property
    def spent(self) -> bool:
        """Whether it is time to give up."""
        return self.left < 0 or time.perf_counter() > self.stop_at
