"""The solvers against every combination in exact integers, three hundred cases of each kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest
from planner.solve.allocation.solver import solve_allocation
from planner.solve.sparsity.solver import solve_sparsity

from planner.solve.exhaustive import exhaustive_allocation, exhaustive_sparsity
from tests.planner.checks import ALLOCATION, check
from tests.planner.oracle import AllocationCase, SparsityCase, sparsity_case

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
BLOCKS = range(CASES // BLOCK)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", SPARSITY)
def test_sparsity(kind: str, block: int) -> None:
    draw: Callable[[Random], SparsityCase] = SPARSITY[kind]
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        case = draw(Random(f"{kind} {seed}"))
        check(case, solve_sparsity(case.problem()))
        check(case, exhaustive_sparsity(case.problem()))


@pytest.mark.thorough
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", ALLOCATION)
def test_allocation_by_ilp(kind: str, block: int) -> None:
    draw: Callable[[Random], AllocationCase] = ALLOCATION[kind]
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        case = draw(Random(f"{kind} {seed}"))
        check(case, solve_allocation(case.problem(), solver="ilp"))
        check(case, exhaustive_allocation(case.problem()))
