"""The solvers against every combination in exact integers, three hundred cases of each kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from planner.domain.problem import Certificate, Result
from planner.solve.allocation import solve_allocation
from planner.solve.exhaustive import exhaustive_allocation, exhaustive_sparsity
from planner.solve.sparsity import solve_sparsity
from tests.planner.oracle import AllocationCase, SparsityCase, allocation_case, sparsity_case

CASES = 300
BLOCK = 100  # cases in one test
Case = SparsityCase | AllocationCase

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
ALLOCATION = {
    f"{objective}{words}": partial(allocation_case, objective=objective, **options)
    for objective in ("latency", "bottleneck")
    for words, options in {
        "": {},
        ", equal workers": {"equal": True},
        ", memory": {"memory": True},
        ", memory, equal workers": {"memory": True, "equal": True},
        ", no empty worker": {"all_workers": True},
        ", limits": {"limits": True},
        ", everything": {"memory": True, "all_workers": True, "limits": True},
    }.items()
}
BLOCKS = range(CASES // BLOCK)


def in_ticks(case: Case, result: Result) -> tuple[tuple[int, ...], int]:
    """The choice, and its value in exact ticks."""
    assert result.choice is not None and result.objective_s is not None
    choice = tuple(int(k) for k in result.choice)
    return choice, case.value(choice)


def check_certificate(certificate: Certificate, objective_s: float, tick: float) -> None:
    assert certificate.status == "optimal"
    assert certificate.bound is not None and certificate.gap is not None
    assert certificate.bound <= objective_s * (1 + 1e-9) + 1e-9 * tick
    assert certificate.bound >= objective_s * (1 - 1e-9) - 1e-9 * tick
    assert certificate.gap == pytest.approx(0, abs=1e-9)
    assert certificate.runtime_s >= 0


def check(case: Case, result: Result) -> None:
    """The result is the brute-forced optimum, keeps every limit and says so."""
    best = case.best()
    if best is None:
        assert result.certificate.status == "infeasible"
        assert result.choice is None and result.objective_s is None and result.binding
        return
    choice, value = in_ticks(case, result)
    if isinstance(case, SparsityCase):
        assert all(row[k] for row, k in zip(case.allowed, choice, strict=True))
    assert case.fits(choice)
    assert value == best
    assert result.objective_s == pytest.approx(best * case.tick, rel=1e-9, abs=0)
    check_certificate(result.certificate, result.objective_s or 0.0, case.tick)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", SPARSITY)
def test_sparsity(kind: str, block: int) -> None:
    draw: Callable[[Random], SparsityCase] = SPARSITY[kind]
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        case = draw(Random(f"{kind} {seed}"))
        check(case, solve_sparsity(case.problem()))
        check(case, exhaustive_sparsity(case.problem()))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", ALLOCATION)
def test_allocation(kind: str, block: int) -> None:
    draw: Callable[[Random], AllocationCase] = ALLOCATION[kind]
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        case = draw(Random(f"{kind} {seed}"))
        check(case, solve_allocation(case.problem()))
        check(case, exhaustive_allocation(case.problem()))
