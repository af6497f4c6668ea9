"""The solvers against every combination in exact integers, three hundred cases of each kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from planner.solve.exhaustive import minimise_exhaustively
from planner.solve.solver import solve
from tests.planner.checks import ALLOCATION, check
from tests.planner.oracle import AllocationCase, SparsityCase, sparsity_case

pytestmark = pytest.mark.thorough  # `make quick` does without

CASES = 300
BLOCK = 100  # cases in one test

SPARSITY = {
    "no limit": sparsity_case,
    "one sum limit": partial(sparsity_case, sums=1),
    "several sum limits": partial(sparsity_case, sums=2),
    "memory": partial(sparsity_case, nodes=2),
    "memory and a sum limit": partial(sparsity_case, sums=1, nodes=1),
    "several resources": partial(sparsity_case, resources=2),
    "resources, sums, memory": partial(sparsity_case, resources=2, sums=2, nodes=2),
    "ties and duplicate rows": partial(sparsity_case, sums=1, alike=True),
    "duplicate rows and memory": partial(sparsity_case, resources=2, sums=1, nodes=1, alike=True),
}
BLOCKS = [
    pytest.param(block, marks=pytest.mark.slow) if block else block
    for block in range(CASES // BLOCK)
]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", SPARSITY)
def test_sparsity(kind: str, block: int) -> None:
    draw: Callable[[Random], SparsityCase] = SPARSITY[kind]
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        case = draw(Random(f"{kind} {seed}"))
        check(case, solve(case.problem()))
        check(case, minimise_exhaustively(case.problem()))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", ALLOCATION)
def test_allocation_by_ilp(kind: str, block: int) -> None:
    draw: Callable[[Random], AllocationCase] = ALLOCATION[kind]
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        case = draw(Random(f"{kind} {seed}"))
        check(case, solve(case.problem(), "ilp"))
        check(case, minimise_exhaustively(case.problem()))
