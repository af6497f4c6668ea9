"""Nodes that are slower than this machine by a factor.

What a node computes is counted by its own processor time, whatever else the machine does meanwhile;
the node then sleeps until the slower one would be done. So a node that is slow enough loses nothing
to others on the same processor: what it waited for them it need not sleep. Only the thread that
computes is counted: one thread a node (OMP_NUM_THREADS=1, which a testbed sets).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from planner.errors import BadInputError

VARIABLE = "TESTBED_FACTOR"
SPIN_S = 60e-6
"""An ordinary process is woken so late; the rest of a sleep is spent looking at the clock."""


def own_factor() -> float:
    """By how much the testbed wants this node slowed; 1 outside of a testbed."""
    text = os.environ.get(VARIABLE, "1")
    try:
        return checked(float(text))
    except ValueError as error:
        raise BadInputError(f"{VARIABLE}: found {text[:40]!r}; give a number, 1 or more") from error


def checked(factor: float) -> float:
    """The factor, which no node can be faster by.

    Raises
    ------
    BadInputError
        It is less than 1, or no number.
    """
    if not 1 <= factor < 1e6:
        raise BadInputError(f"factor: found {factor:g}; give 1 (as this machine) or more")
    return factor


class Slowness:
    """A context: what is computed in it takes `factor` times as long when it is left.

    Parameters
    ----------
    factor : float
        1 or more.
    sleep : callable, optional
        What the node does for the seconds that are missing, and nothing longer; by default it
        sleeps. It may listen to others meanwhile, as a device's network does.

    Attributes
    ----------
    late_s : float
        By how much longer all of it took than it should have, since the machine was too busy.
    """

    def __init__(self, factor: float, sleep: Callable[[float], object] | None = None) -> None:
        self.factor = checked(factor)
        self._sleep = sleep
        self.late_s = 0.0
        self._used_s = self._begun_s = 0.0

    def __enter__(self) -> Slowness:
        """Note the thread's processor time, and the clock."""
        self._used_s = time.thread_time()
        self._begun_s = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Sleep for what is missing, before anything is sent."""
        until_s = self._begun_s + self.factor * (time.thread_time() - self._used_s)
        missing_s = until_s - time.perf_counter()
        if missing_s > SPIN_S:
            (self._sleep or time.sleep)(missing_s - SPIN_S)
        while (now_s := time.perf_counter()) < until_s:
            pass
        self.late_s += now_s - until_s


def slowed(work: Any, factor: float) -> Any:
    """The same module or callable, slower; what it returns is returned when that time is over.

    Parameters
    ----------
    work : torch.nn.Module or callable
    factor : float
        1 or more; at 1 the same object comes back.
    """
    if checked(factor) == 1:
        return work
    slowness = Slowness(factor)
    torch = sys.modules.get("torch")  # who has a module has imported it
    if torch is None or not isinstance(work, torch.nn.Module):
        return _called(work, slowness)

    class Slowed(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.work = work

        def forward(self, *arguments: Any, **named: Any) -> Any:
            with slowness:
                return self.work(*arguments, **named)

    return Slowed().train(work.training)


def _called(work: Callable[..., Any], slowness: Slowness) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        with slowness:
            return work(*arguments, **named)

    return call
