"""Damaged files: each is profiled or refused, and nothing hangs or dies.

A thousand of them in every run, and a hundred thousand with `-m slow`, which goes on where it was
ended (`tests.resuming`).
"""

from __future__ import annotations

import os
import random
import warnings
from pathlib import Path

import onnx
import pytest

from profiles.from_onnx import child
from profiles.from_onnx.frontend import profile_onnx
from tests.profiles.mutant_batches import AT_ONCE, DOOR, Kind, in_turn
from tests.profiles.mutants import REQUEST, mutant, outcomes
from tests.resuming import Outcomes, resumed

FILES = Path(onnx.__file__).parent / "backend/test/data"
LIGHT = sorted((FILES / "light").glob("*.onnx"))
MUTANTS, ALL = 1_000, 100_000
BATCH = 56
SEED_VARIABLE = "MUTATION_SEED"

ONNX = Kind(
    "tests.profiles.mutants",
    mutant,
    lambda data: profile_onnx(data, name="mutant", source="mutant.onnx", limits=DOOR),
)


@pytest.fixture(scope="module")
def seed() -> int:
    found = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(10**9))
    print(f"{SEED_VARIABLE}={found}")
    return found


def test_a_thousand_mutants(seed: int) -> None:
    each = -(-MUTANTS // len(LIGHT))
    ended, faults = ONNX.read_all(
        (path.name, path.read_bytes(), list(range(seed + start, seed + min(start + BATCH, each))))
        for path in LIGHT
        for start in range(0, each, BATCH)
    )
    assert faults == []
    assert ended["profiled"] + ended["refused"] >= MUTANTS
    assert ended["profiled"] > MUTANTS / 20  # they are not all nonsense
    assert ended["refused"] > MUTANTS / 20


def test_the_door_says_the_same(seed: int) -> None:
    path = next(path for path in LIGHT if "squeezenet" in path.name)
    data, seeds = path.read_bytes(), list(range(seed, seed + 8))
    result = ONNX.read(path.name, data, seeds)
    for number in seeds:
        assert number in result[ONNX.through_the_door(mutant(data, number))]


def operators() -> list[tuple[str, bytes]]:
    """One small model for every case of every operator of the standard, as onnx tests them."""
    from onnx.backend.test.loader import load_model_tests  # minutes of imports

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that their expected outputs overflow with
        cases = load_model_tests(kind="node")
    return [(case.name, case.model.SerializeToString()) for case in cases if case.model]


@pytest.mark.slow
def test_a_hundred_thousand_mutants(request: pytest.FixtureRequest) -> None:
    """Of every model that onnx ships, the large ones aside, and of one for every operator."""
    models = [
        (str(path.relative_to(FILES)), path.read_bytes()) for path in sorted(FILES.rglob("*.onnx"))
    ] + operators()
    begin = int(os.environ.get(SEED_VARIABLE) or 0)

    def do(numbers: range) -> Outcomes:
        return ONNX.read_all(in_turn(models, numbers, begin, BATCH))

    resumed(request, f"onnx/{begin}", ALL, BATCH * AT_ONCE, do)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        # products of single numbers, and nothing that is joined
        ("pytorch-converted/test_ConvTranspose2d/model.onnx", 2717),
        ("pytorch-operator/test_operator_permute2/model.onnx", 6352),
        ("pytorch-operator/test_operator_reduced_sum/model.onnx", 6597),
        ("simple/test_gradient_of_add/model.onnx", 7329),
    ],
)
def test_a_mutant_that_once_broke_its_reader(name: str, seed: int) -> None:
    data = (FILES / name).read_bytes()
    found = outcomes([seed], lambda seed: child.main(REQUEST, mutant(data, seed)))
    assert not found["defects"]
