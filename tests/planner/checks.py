"""What must hold of every answer to a case whose best choice is known."""

from __future__ import annotations

from functools import partial

import pytest

from planner.domain.certificate import Certificate
from planner.solve.problem import Result
from tests.planner.oracle import AllocationCase, SparsityCase, allocation_case
from tests.planner.problems import workers_of

Case = SparsityCase | AllocationCase

ALLOCATION = {
    f"{objective}{words}": partial(allocation_case, objective=objective, **options)
    for objective in ("latency", "bottleneck")
    for words, options in {
        "": {},
        ", equal workers": {"equal": True},
        ", memory": {"memory": True},
        ", memory, equal workers": {"memory": True, "equal": True},
        ", no empty worker": {"all_workers": True},
        ", a limit": {"limits": 1},
        ", both limits": {"limits": 2},
        ", both limits, equal workers": {"limits": 2, "equal": True},
        ", everything": {"memory": True, "all_workers": True, "limits": 1},
    }.items()
}


def in_ticks(case: Case, result: Result) -> tuple[tuple[int, ...], int]:
    """The choice, and its value in exact ticks."""
    assert result.choice is not None and result.objective_s is not None
    chosen = (
        workers_of(result.choice) if isinstance(case, AllocationCase) else result.choice.options
    )
    choice = tuple(int(k) for k in chosen)
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


def check_fastest(case: AllocationCase, result: Result) -> None:
    """No choice of the same bottleneck has less latency."""
    if result.choice is None:
        return
    choice, value = in_ticks(case, result)
    alike = (c for c in case.choices() if case.value(c) == value and case.fits(c))
    assert case.seconds(choice)[0] == min(case.seconds(c)[0] for c in alike)
