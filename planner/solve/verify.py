"""Check a choice against the raw numbers of its problem, without any solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import (
    FEASIBILITY_TOLERANCE,
    AllocationProblem,
    SparsityProblem,
)
from planner.errors import InconsistentResultError
from planner.units import round_up

_OBJECTIVE_TOLERANCE = 1e-6  # relative: HiGHS sums in another order and in other units


@dataclass(frozen=True)
class Evaluation:
    """Objective of a choice, and every limit that it breaks in words."""

    objective_s: float
    violations: tuple[str, ...]


def exceeds(value: float, limit: float) -> bool:
    """Whether a sum of floats is above its limit by more than the tolerance."""
    return value > limit + FEASIBILITY_TOLERANCE * abs(limit)


def evaluate_sparsity(problem: SparsityProblem, choice: NDArray[np.int64]) -> Evaluation:
    """Objective and violations of one option per layer, shape (L,)."""
    rows = np.arange(len(choice))
    violations = []
    if not problem.allowed[rows, choice].all():
        violations.append("an option that is not allowed")
    for limit in problem.sum_limits:
        value = float(limit.values[rows, choice].sum())
        if exceeds(value, limit.limit):
            violations.append(f"{limit.name}: {value:.9g} > {limit.limit:.9g} {limit.unit}")
    for memory in problem.memory_limits:
        needed = memory_bytes(memory.weight_bytes, memory.live_bytes, choice)
        if needed > memory.limit_bytes:
            violations.append(f"memory of {memory.name}: {needed} > {memory.limit_bytes} bytes")
    objective = problem.objective_s[:, rows, choice].sum(axis=1).max()
    return Evaluation(float(objective), tuple(violations))


def memory_bytes(
    weights: NDArray[np.int64], live: NDArray[np.int64], choice: NDArray[np.int64]
) -> int:
    """Stored weights and the largest live activations of one node, shapes (L, K) and (L,)."""
    rows = np.arange(len(choice))
    return int(weights[rows, choice].sum() + live[rows, choice].max())


def evaluate_allocation(problem: AllocationProblem, workers: NDArray[np.int64]) -> Evaluation:
    """Objective and violations of one worker per unit, shape (U,)."""
    violations = []
    if problem.any_order:
        if np.count_nonzero(np.diff(workers)) >= len(np.unique(workers)):
            violations.append("a worker's units are not contiguous")
    elif np.any(np.diff(workers) < 0):
        violations.append("units are not in ring order")
    for name, needed, limit in zip(
        problem.worker_names,
        worker_bytes(problem, workers),
        problem.memory_limit_bytes,
        strict=True,
    ):
        if limit is not None and needed > limit:
            violations.append(f"memory of {name}: {needed} > {limit} bytes")
    if problem.all_workers and len(np.unique(workers)) < len(problem.worker_names):
        violations.append("a worker is empty")
    latency, bottleneck = allocation_times(problem, workers)
    for name, value, most in (
        ("latency", latency, problem.max_latency_s),
        ("bottleneck", bottleneck, problem.max_bottleneck_s),
    ):
        if most is not None and exceeds(value, most):
            violations.append(f"{name}: {value:.9g} > {most:.9g} s")
    objective = latency if problem.objective == "latency" else bottleneck
    return Evaluation(objective, tuple(violations))


def worker_bytes(problem: AllocationProblem, workers: NDArray[np.int64]) -> list[int]:
    """Memory that each worker needs, 0 of one without units."""
    stored = np.zeros(len(problem.worker_names), dtype=np.int64)
    live = np.zeros_like(stored)
    np.add.at(stored, workers, problem.weight_bytes)
    np.maximum.at(live, workers, problem.live_bytes)
    return [int(size) for size in stored + live]


def allocation_times(problem: AllocationProblem, workers: NDArray[np.int64]) -> tuple[float, float]:
    """Latency, and the time of the busiest worker, transfer or shared medium."""
    loads, transfers = allocation_loads(problem, workers)
    latency = float(loads.sum() + transfers.sum())
    return latency, max(float(loads.max()), float(transfers.max()), medium_s(problem, workers))


def medium_s(problem: AllocationProblem, workers: NDArray[np.int64]) -> float:
    """Seconds that a shared medium is occupied for one input, 0 of any other medium."""
    occupied = float(problem.medium_s[np.diff(workers) != 0].sum())
    if problem.shared_medium:
        occupied += float(problem.input_s[workers[0]] + problem.output_s[workers[-1]])
    return occupied


def allocation_loads(
    problem: AllocationProblem, workers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Computing seconds per worker, shape (N,), and the seconds of every transfer in order.

    The first transfer hands the input in, the last one the output back; both may be 0.
    """
    units = np.arange(len(workers))
    loads: NDArray[np.float64] = np.bincount(
        workers, weights=problem.compute_s[workers, units], minlength=len(problem.worker_names)
    ).astype(np.float64)
    between = problem.transfer_s[workers[:-1], workers[1:], units[:-1]]
    ends = problem.input_s[workers[0]], problem.output_s[workers[-1]]
    return loads, np.array([ends[0], *between, ends[1]])


def memory_binds(node: str, limit_bytes: int, more_bytes: int, least: bool = True) -> str:
    """What to say when memory is the limit: the least relaxation that makes a plan fit.

    Without the proof that it is the least, ``least`` is false.
    """
    works = "the smallest that works is" if least else "what surely works is"
    return (
        f"memory of {node} binds: its limit is {limit_bytes:,} bytes, {works} "
        f"{limit_bytes + more_bytes:,} ({more_bytes:,} more on each limited node)"
    )


def limit_binds(name: str, limit: float, least: float, unit: str, exponent: int = 1) -> str:
    """What to say when a sum is the limit: the least relaxation that makes a plan fit.

    Sums of squares are told by their roots.
    """
    limit, least = (value ** (1.0 / exponent) for value in (limit, least))
    if unit == "s per input":
        return (
            f"{name} binds: the limit is {_rate(limit)} inputs/s, "
            f"the largest that works is {_rate(least * (1 + 1e-6))} inputs/s"
        )
    return (
        f"{name} binds: the limit is {limit:.6g} {unit}, "
        f"the smallest that works is {round_up(least)} {unit}"
    )


def _rate(seconds: float) -> str:
    return f"{1.0 / seconds:.6g}" if seconds > 0 else "any number of"


def check_claim(evaluation: Evaluation, claimed_s: float, what: str) -> None:
    """Raise if a solver's point breaks a limit or its objective is not what it said.

    Raises
    ------
    InconsistentResultError
    """
    if evaluation.violations:
        raise InconsistentResultError(
            f"{what}: the solver's plan breaks {evaluation.violations[0]}"
        )
    if abs(evaluation.objective_s - claimed_s) > _OBJECTIVE_TOLERANCE * max(abs(claimed_s), 1e-9):
        raise InconsistentResultError(
            f"{what}: the solver says {claimed_s:.9g} s, the numbers say "
            f"{evaluation.objective_s:.9g} s"
        )
