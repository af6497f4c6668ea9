"""The engine's functions, compiled where numba is installed, plain Python where it is not.

There is one source for both: the functions of `MODULES` are bound to one name space, in which
they are compiled or left alone. Plain runs use lists instead of arrays, which are faster there;
results are identical.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
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
)
from planner.simulation.engine.state import Floats, Ints, Layout

# Every module after those that it calls.
MODULES = (queues, sending, churn, balance, rules, decisions, observing, advance)

WORTH_COMPILING = 200_000  # inputs that the plain engine does while this one is compiled

# Everything else is inlined: a third less time for a third more of compilation.
CALLED = {"advance", "settle", "start_wires", "next_epoch"}

# The caller holds the arrays, and nothing here makes one: counting references to them at every
# call took half of the time.
COUNTS_REFERENCES = False

Advance = Callable[[Layout, Ints, Floats, int], int]


def can_compile() -> bool:
    """Whether numba (the extra ``simulation``) is installed."""
    return importlib.util.find_spec("numba") is not None


def best_engine(inputs: int) -> bool:
    """Whether so many inputs are worth the compiled engine, or it is there already."""
    if not can_compile():
        return False
    return inputs > WORTH_COMPILING or any(cache_folder().glob("*/advance.advance*.nbc"))


@cache
def engine_of(compiled: bool) -> Advance:
    """`planner.simulation.engine.advance.advance`, compiled or plain.

    The first call of a compiled one compiles it, which takes some seconds once per machine: the
    machine code is kept in the user's cache folder under a hash of the sources.
    """
    return cast(Advance, _compiled()["advance"] if compiled else advance.advance)


@cache
def cache_folder() -> Path:
    """Where the machine code is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    digest = hashlib.sha256()
    for source in (state, *MODULES, __file__):
        text = (
            Path(source).read_text(encoding="utf-8")
            if isinstance(source, str)
            else inspect.getsource(source)
        )
        digest.update(text.encode())
    return Path(base) / "disco-planner" / f"simulation-{digest.hexdigest()[:16]}"


def _compiled() -> dict[str, Any]:
    import numba
    from numba.core import config as numba_config

    config: Any = numba_config
    jit: Any = numba.njit
    folder = cache_folder()
    kept = _writable(folder)
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        space: dict[str, Any] = {}
        for module in MODULES:
            space.update({k: v for k, v in vars(module).items() if not _is_kernel(v, module)})
        for module in MODULES:
            codes = _codes(module)
            for name, function in vars(module).items():
                if _is_kernel(function, module):
                    bound = FunctionType(codes[name], space, name, function.__defaults__, None)
                    bound.__module__ = module.__name__
                    inline = name not in CALLED
                    space[name] = jit(cache=kept, forceinline=inline, _nrt=COUNTS_REFERENCES)(bound)
    finally:
        config.CACHE_DIR = before
    return space


class _ByIndex(ast.NodeTransformer):
    """``at.cpu`` as ``at[37]``: an array is handed on by its address, a tuple number by number."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replace a field of the layout by its place."""
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "at":
            place = ast.Constant(Layout._fields.index(node.attr))
            return ast.copy_location(ast.Subscript(node.value, place, node.ctx), node)
        return node


def _codes(module: ModuleType) -> dict[str, CodeType]:
    """A module's functions as they are compiled, by name."""
    tree = _ByIndex().visit(ast.parse(inspect.getsource(module)))
    whole = compile(ast.fix_missing_locations(tree), str(module.__file__), "exec")
    return {code.co_name: code for code in whole.co_consts if isinstance(code, CodeType)}


def _is_kernel(value: object, module: ModuleType) -> bool:
    return isinstance(value, FunctionType) and value.__module__ == module.__name__


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
