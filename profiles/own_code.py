"""The user's own Python, named on the command line as ``module:name``."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def own_object(source: str) -> Any:
    """What a module of the user calls by this name; modules lie beside the user or are installed.

    Parameters
    ----------
    source : str
        ``module:name``.

    Raises
    ------
    ImportError
        There is no such module, it fails when it is imported, or has nothing of that name.
    """
    module, _, name = source.rpartition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # modules beside the user, as python -m has it
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        raise ImportError(failure_of(error)) from error


def failure_of(error: Exception) -> str:
    """What went wrong in the user's own code."""
    known = isinstance(error, (ImportError, AttributeError, ValueError))
    return str(error) if known else f"{type(error).__name__}: {error}"
