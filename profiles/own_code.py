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
    ImportError, AttributeError, ValueError
        There is no such module, or nothing of that name in it.
    """
    module, _, name = source.rpartition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # modules beside the user, as python -m has it
    return getattr(importlib.import_module(module), name)
