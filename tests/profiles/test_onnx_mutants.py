"""A thousand damaged files: each is profiled or refused, and nothing hangs or dies.

Mutants of one file are read one after the other in one limited child, which spares a thousand
starts of an interpreter. A batch whose child dies is repeated through the door, mutant by mutant.
"""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest

from planner.errors import BadInputError
from profiles.from_onnx.frontend import profile_onnx
from profiles.sandbox import Limits, run_limited
from tests.processor_time import HANG_S
from tests.profiles.mutants import mutant

LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))
MUTANTS = 1_000
BATCH = 56
AT_ONCE = 2
DOOR_S = 15.0  # of processor time for one mutant
DOOR = Limits(wall_s=HANG_S)
SEED_VARIABLE = "MUTATION_SEED"


def through_the_door(data: bytes) -> str:
    """One mutant, as a user's file: what became of it."""
    started = time.thread_time()
    try:
        profile_onnx(data, name="mutant", source="mutant.onnx", limits=DOOR)
        outcome = "profiled"
    except BadInputError as error:
        assert str(error).isprintable()
        outcome = "defect" if "its reader fails" in str(error) else "refused"
    assert time.thread_time() - started < DOOR_S - DOOR.cpu_s  # the child may use the rest
    return outcome


def read_batch(path: Path, seeds: list[int]) -> dict[str, Any]:
    data = path.read_bytes()
    try:
        result: dict[str, Any] = run_limited(
            "tests.profiles.mutants",
            {"seeds": seeds},
            data,
            what=path.name,
            limits=Limits(cpu_s=120, wall_s=HANG_S),
        )
        return result
    except BadInputError:
        outcomes = {seed: through_the_door(mutant(data, seed)) for seed in seeds}
    return {
        "profiled": [seed for seed in seeds if outcomes[seed] == "profiled"],
        "refused": [seed for seed in seeds if outcomes[seed] == "refused"],
        "defects": {str(seed): "at the door" for seed in seeds if outcomes[seed] == "defect"},
        "slowest_s": 0.0,  # each was timed at the door
    }


@pytest.fixture(scope="module")
def seed() -> int:
    found = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(10**9))
    print(f"{SEED_VARIABLE}={found}")
    return found


def test_a_thousand_mutants(seed: int) -> None:
    each = -(-MUTANTS // len(LIGHT))
    batches = [
        (path, list(range(seed + start, seed + min(start + BATCH, each))))
        for path in LIGHT
        for start in range(0, each, BATCH)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda batch: read_batch(*batch), batches))
    defects = [
        (path.name, result["defects"])
        for (path, _), result in zip(batches, results, strict=True)
        if result["defects"]
    ]
    assert defects == []
    assert max(result["slowest_s"] for result in results) < DOOR_S
    profiled, refused = (
        sum(len(result[outcome]) for result in results) for outcome in ("profiled", "refused")
    )
    assert profiled + refused >= MUTANTS
    assert profiled > MUTANTS / 20  # they are not all nonsense
    assert refused > MUTANTS / 20


def test_the_door_says_the_same(seed: int) -> None:
    path = next(path for path in LIGHT if "squeezenet" in path.name)
    seeds = list(range(seed, seed + 8))
    result = read_batch(path, seeds)
    data = path.read_bytes()
    for number in seeds:
        assert number in result[through_the_door(mutant(data, number))]
