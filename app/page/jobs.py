"""Long work beside the page, a few at a time, so that the page can go on and stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from typing import Generic, TypeVar

from app.page import apart
from app.page.apart import Watch

Result = TypeVar("Result")

MOST_AT_ONCE = 3
"""Jobs of each kind that work for all visitors together; the others wait for their turn."""

_turns_here = threading.Semaphore(MOST_AT_ONCE)
_turns_apart = threading.Semaphore(MOST_AT_ONCE)
"""Of their own: a plan, which is found here, does not wait for what may take a minute."""


class StoppedError(Exception):
    """Raised inside the work at its next step once nobody waits for it any more."""


class Job(Generic[Result]):
    """Work in a thread of its own, which may let a process of its own do it.

    Attributes
    ----------
    done, total : int
        Steps, as far as the work tells; 0 of 0 before the first one.
    """

    def __init__(
        self, work: Callable[[Watch], Result], *, is_apart: bool = False, settle_s: float = 0.0
    ) -> None:
        """Begin.

        Parameters
        ----------
        work : callable
            Takes a function that it calls with the steps that are done and their number, and that
            raises `StoppedError` when the work is to end.
        is_apart : bool
            In a process of its own (`app.page.apart`): the work and its result can be pickled,
            and it need not call the function to be stopped.
        settle_s : float
            Seconds before it begins, in which it may be stopped at no cost.
        """
        self.done = self.total = 0
        self._stop = threading.Event()
        self._future: Future[Result] = Future()
        threading.Thread(target=self._run, args=(work, is_apart, settle_s), daemon=True).start()

    def _run(self, work: Callable[[Watch], Result], is_apart: bool, settle_s: float) -> None:
        self._stop.wait(settle_s)
        with _turns_apart if is_apart else _turns_here:
            try:
                self._check()
                do = partial(apart.run, work, check=self._check) if is_apart else work
                self._future.set_result(do(self._watch))
            except BaseException as error:
                self._future.set_exception(error)

    def _watch(self, done: int, total: int) -> None:
        self._check()
        self.done, self.total = done, total

    def _check(self) -> None:
        if self._stop.is_set():
            raise StoppedError

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

    @property
    def failure(self) -> BaseException | None:
        """Why there is no result, once that is known."""
        return self._future.exception() if self._future.done() else None

    def result(self) -> Result:
        """What the work returned; raises what it raised."""
        return self._future.result()
