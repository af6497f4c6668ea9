"""Damaged ``.pt2`` archives: each is profiled or refused, and nothing hangs or dies.

A few hundred in every run, and twenty thousand with `-m slow`, which goes on where it was ended
(`tests.resuming`).
"""

from __future__ import annotations

import os
import random

import pytest

from profiles.from_pt2.frontend import profile_pt2
from tests.profiles.mutant_batches import AT_ONCE, DOOR, Kind, in_turn
from tests.profiles.pt2_mutants import exported_documents, mutant
from tests.profiles.test_onnx_mutants import SEED_VARIABLE
from tests.resuming import Outcomes, resumed

FEW, ALL = 100, 20_000
BATCH = 125

PT2 = Kind(
    "tests.profiles.pt2_mutants",
    lambda data, seed: mutant(data.decode(), seed),
    lambda data: profile_pt2(data, name="mutant", source="mutant.pt2", limits=DOOR),
)


@pytest.fixture(scope="module")
def documents() -> list[tuple[str, bytes]]:
    pytest.importorskip("torch")
    return [(name, text.encode()) for name, text in exported_documents()]


def test_a_few_of_each(documents: list[tuple[str, bytes]]) -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(10**9))
    print(f"{SEED_VARIABLE}={seed}")
    ended, faults = PT2.read_all(
        (name, data, list(range(seed, seed + FEW))) for name, data in documents
    )
    assert faults == []
    assert min(ended["profiled"], ended["refused"]) > FEW / 4, ended


def test_a_mutant_that_once_broke_its_reader(documents: list[tuple[str, bytes]]) -> None:
    """A sum with more dimensions than its output is said to have."""
    data = dict(documents)["layers"]
    assert PT2.through_the_door(PT2.mutant(data, 10058)) in ("profiled", "refused")


@pytest.mark.slow
def test_twenty_thousand(
    documents: list[tuple[str, bytes]], request: pytest.FixtureRequest
) -> None:
    begin = int(os.environ.get(SEED_VARIABLE) or 0)

    def do(numbers: range) -> Outcomes:
        return PT2.read_all(in_turn(documents, numbers, begin, BATCH))

    resumed(request, f"pt2/{begin}", ALL, BATCH * AT_ONCE, do)
