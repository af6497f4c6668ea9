"""The engine's functions, compiled where numba is installed, plain Python where it is not.

There is one source for both: ordinary functions in ordinary modules, which numba is told of and
compiles together with `advance`. Plain runs use lists instead of arrays, which are faster there;
results are identical.

The layout is handed over as an array of one record: its fields are read by name, and all that
passes from Python to machine code is an address. docs/simulation.md lists what else was tried: a
bare record and a named tuple pass to machine code slowly, and numba's private ``_nrt=False`` would
save a quarter of the time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from planner.simulation.engine import (
    advance,
    balance,
    churn,
    decisions,
    observing,
    queues,
    rules,
    sending,
    state,
    tables,
)
from planner.simulation.engine.state import Floats, Ints, Layout

MODULES = (queues, sending, churn, balance, rules, decisions, observing, advance)

WORTH_COMPILING = 200_000  # inputs that the plain engine does while this one is compiled

Advance = Callable[[Sequence[Layout], Ints, Floats, int], int]


def can_compile() -> bool:
    """Whether numba (the extra ``simulation``) is installed."""
    return importlib.util.find_spec("numba") is not None


def is_worth_compiling(inputs: int) -> bool:
    """Whether so many inputs are worth the compiled engine, or it is there already."""
    if not can_compile():
        return False
    return inputs > WORTH_COMPILING or any(cache_folder().glob("*/advance.advance*.nbc"))


@cache
def get_engine(compiled: bool) -> Advance:
    """`planner.simulation.engine.advance.advance`, compiled or plain.

    The first call of a compiled one compiles it, which takes some twenty seconds once per machine:
    the machine code is kept in the user's cache folder under a hash of the sources.
    """
    return _compile() if compiled else advance.advance


@cache
def cache_folder() -> Path:
    """Where the machine code is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for module in (state, tables, *MODULES):
        digest.update(inspect.getsource(module).encode())
    return Path(base) / "disco-planner" / f"simulation-{digest.hexdigest()[:16]}"


def _compile() -> Advance:
    import numba
    from numba.extending import register_jitable

    for module in MODULES:
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                # Inlined, or every call counts references to both arrays: twice the time.
                register_jitable(forceinline=True)(function)
    # numba asks where machine code is kept when a function is decorated, and only then.
    config: Any = numba.config
    folder, before = cache_folder(), config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        return cast(Advance, numba.njit(cache=_make_writable(folder))(advance.advance))
    finally:
        config.CACHE_DIR = before


def _make_writable(folder: Path) -> bool:
    """Whether machine code can be kept in a folder, which is made where it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
