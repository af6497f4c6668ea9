"""Long work in threads of its own, a few at a time, so that the page can go on and stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Generic, TypeVar

Watch = Callable[[int, int], None]
Result = TypeVar("Result")

MOST_AT_ONCE = 3
"""Threads that work for all visitors together; the others wait for their turn."""

_turns = threading.Semaphore(MOST_AT_ONCE)


class StoppedError(Exception):
    """Raised inside the work at its next step once nobody waits for it any more."""


class Job(Generic[Result]):
    """Work in a thread of its own.

    Attributes
    ----------
    done, total : int
        Steps, as far as the work tells; 0 of 0 before the first one.
    """

    def __init__(self, work: Callable[[Watch], Result]) -> None:
        """Begin.

        Parameters
        ----------
        work : callable
            Takes a function that it calls with the steps that are done and their number, and that
            raises `StoppedError` when the work is to end.
        """
        self.done = self.total = 0
        self._stop = threading.Event()
        self._future: Future[Result] = Future()
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Callable[[Watch], Result]) -> None:
        with _turns:
            try:
                self._watch(0, 0)
                self._future.set_result(work(self._watch))
            except BaseException as error:
                self._future.set_exception(error)

    def _watch(self, done: int, total: int) -> None:
        if self._stop.is_set():
            raise StoppedError
        self.done, self.total = done, total

    def stop(self) -> None:
        """End the work at its next step."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    @property
    def is_done(self) -> bool:
        """Whether there is a result, or a reason why there is none."""
        return self._future.done()

    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; whether it is done."""
        try:
            self._future.exception(seconds)
        except NotYet:
            return False
        return True

    def result(self) -> Result:
        """What the work returned; raises what it raised."""
        return self._future.result()
