"""Long tests that go on where they were ended: pytest's cache keeps how far they are.

`MUTATION_PART` is the most that one call does, so that a long test can be run in pieces.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

PART_VARIABLE = "MUTATION_PART"
Outcomes = tuple[Counter[str], list[list[Any]]]
"""How many ended in which way, and the faults, each with the seed that makes it again."""


def resumed(
    request: pytest.FixtureRequest,
    name: str,
    count: int,
    batch: int,
    do: Callable[[range], Outcomes],
) -> None:
    """Do a count of things batch by batch; no fault may be found.

    Parameters
    ----------
    request : pytest.FixtureRequest
    name : str
        What is kept is kept under.
    count, batch : int
    do : callable
        Does the things of some numbers.
    """
    cache = request.config.cache
    assert cache is not None
    key = f"mutations/{name}"
    known = cache.get(key, {"done": 0, "ended": {}, "faults": []})
    stop = min(count, known["done"] + int(os.environ.get(PART_VARIABLE) or count))
    while known["done"] < stop:
        numbers = range(known["done"], min(known["done"] + batch, stop))
        ended, faults = do(numbers)
        known["done"] += len(numbers)
        known["ended"] = dict(Counter(known["ended"]) + ended)
        known["faults"] += faults
        cache.set(key, known)
        print(f"{name}: {known['done']:,} of {count:,}, {known['ended']}, faults {known['faults']}")
    assert not known["faults"], known["faults"]
    if known["done"] < count:
        pytest.skip(f"{known['done']:,} of {count:,} so far; the next call goes on")
    cache.set(key, None)
