"""Long work: a line on the terminal that says so, gone when it is done, and a way out of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.render import messages
from profiles.files import one_line

DELAY_S = 0.5  # shorter work shows nothing
_HEARS_S = 0.2  # after so long Ctrl-C is heard at the latest

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Say what is being done, and for how long, while the body runs.

    Nothing is written unless standard error is a terminal, and never to standard output.

    Parameters
    ----------
    what : str
        ``planning resnet50 on small-nodes``.

    Yields
    ------
    callable
        Says something else from then on, such as how far the work is.
    """
    if not (sys.stderr.isatty() and messages.is_interactive):
        yield lambda _: None
        return
    line = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
    )
    task = line.add_task(escape(one_line(what)), total=None)
    waiting = threading.Timer(DELAY_S, line.start)
    waiting.daemon = True
    waiting.start()
    try:
        yield lambda text: line.update(task, description=escape(one_line(text)))
    finally:
        waiting.cancel()
        waiting.join()  # it may be about to start the line
        line.stop()


def leavable(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call a function that spends minutes inside a solver, where Python does not hear Ctrl-C.

    It runs in a thread of its own. Ctrl-C leaves it behind, so that the process must end then
    without waiting for its threads.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while not future.done():
        wait([future], timeout=_HEARS_S)  # a signal just before a wait would be heard behind it
    return future.result()


def work(
    doing: str, function: Callable[..., Result], *args: Any, counting: str = "", **kwargs: Any
) -> Result:
    """Call a function that takes long, saying what is being done, so that Ctrl-C leaves it.

    Parameters
    ----------
    doing : str
    function : callable
    *args, **kwargs
        Of the function.
    counting : str
        How its ``watch`` is said: ``of`` for 3 of 9 values; it has none where this is empty.
    """
    with working(doing) as tell:
        if counting:
            kwargs["watch"] = lambda done, of: tell(f"{doing}, {done} {counting} {of} values")
        return leavable(function, *args, **kwargs)
