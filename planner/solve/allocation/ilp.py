"""Layer allocation as an integer linear program (docs/model.md, eq. 17 to 23a)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import AllocationProblem, Result
from planner.strategies.ar_mdi import cut_at_shares
from planner.solve.milp import MEGA, Milp, units_per_second
from planner.solve.check import (
    allocation_times,
    check_claim,
    evaluate_allocation,
    limit_binds,
    memory_binds,
    worker_bytes,
)

Terms = list[tuple[int, float]]


def ilp_allocation(problem: AllocationProblem, time_limit_s: float | None = None) -> Result:
    """Cut the chain of units over the workers by ILP, to gap 0.

    Parameters
    ----------
    problem : AllocationProblem
        Workers may stay empty unless it says otherwise.
    time_limit_s : float, optional
        Wall time after which the best plan so far is returned as ``feasible``.
    """
    program = _Program(problem, windows=_windows(problem))
    program.minimise_objective()
    outcome = program.milp.solve(time_limit_s)
    certificate = outcome.certificate(program.units)
    if outcome.values is None or outcome.objective is None:
        binding = explain_by_ilp(problem) if outcome.status == "infeasible" else ""
        return Result(choice=None, objective_s=None, certificate=certificate, binding=binding)
    workers = program.workers(outcome.values)
    evaluation = evaluate_allocation(problem, workers)
    check_claim(evaluation, outcome.objective / program.units, "allocation")
    return Result(choice=workers, objective_s=evaluation.objective_s, certificate=certificate)


def _windows(problem: AllocationProblem) -> NDArray[np.bool_]:
    """Units that each worker may hold in a plan at least as good as a cheap one, shape (N, U).

    A known plan's bottleneck bounds every worker's computing time; what the workers before
    can take at most, and what those behind can, leaves each worker a window of the chain.
    """
    workers, units = problem.compute_s.shape
    everything = np.ones((workers, units), dtype=np.bool_)
    if problem.objective != "bottleneck" or problem.any_order:
        return everything
    speed = 1.0 / problem.compute_s.sum(axis=1).clip(min=1e-30)
    load = problem.compute_s.mean(axis=0)
    plan = cut_at_shares(load, load.sum() * speed / speed.sum())
    known = evaluate_allocation(problem, plan)
    if known.violations:
        return everything
    bound = known.objective_s * (1 + 1e-6)
    until = _reach(problem.compute_s, bound)
    since = units - _reach(problem.compute_s[::-1, ::-1], bound)[::-1]
    position = np.arange(units)
    inside: NDArray[np.bool_] = (position < until[:, None]) & (position >= since[:, None])
    return inside


def _reach(compute_s: NDArray[np.float64], bound: float) -> NDArray[np.int64]:
    """First unit that workers 0 to n cannot take within the bound each, shape (N,)."""
    ends, position = [], 0
    for row in compute_s:
        position += int(np.searchsorted(np.cumsum(row[position:]), bound, side="right"))
        ends.append(position)
    return np.array(ends, dtype=np.int64)


def _longest_s(problem: AllocationProblem) -> float:
    """A latency that no plan exceeds."""
    slowest = problem.compute_s.max(axis=0).sum() + problem.transfer_s.max(axis=(0, 1)).sum()
    return float(slowest + problem.input_s.max() + problem.output_s.max())


class _Program:
    """A flow along the chain: x[n, u] unit u is on worker n, t[n, m, u] the step to u + 1."""

    def __init__(
        self,
        problem: AllocationProblem,
        soft: str | None = None,
        windows: NDArray[np.bool_] | None = None,
    ) -> None:
        self._problem = problem
        self.units = units_per_second(_longest_s(problem))
        self.milp = Milp()
        workers, units = problem.compute_s.shape
        may = np.ones((workers, units), dtype=np.bool_) if windows is None else windows
        self._on = [
            [self.milp.add_variable(upper=float(may[n, u]), integer=True) for u in range(units)]
            for n in range(workers)
        ]
        self._step = {
            (n, m, u): self.milp.add_variable(upper=1)
            for u in range(units - 1)
            for n in range(workers)
            for m in range(0 if problem.any_order else n, workers)  # else only ahead in the ring
            if may[n, u] and may[m, u + 1]
        }
        self.slack = self.milp.add_variable(cost=1.0) if soft else None
        self._soft = soft
        self.milp.add_row([(row[0], 1.0) for row in self._on], "==", 1.0)  # eq. 17
        for u in range(units - 1):
            for n in range(workers):  # eq. 18 and 19
                leaving = [
                    (self._step[n, m, u], -1.0) for m in range(workers) if (n, m, u) in self._step
                ]
                self.milp.add_row([(self._on[n][u], 1.0), *leaving], "==", 0.0)
                arriving = [
                    (self._step[k, n, u], -1.0) for k in range(workers) if (k, n, u) in self._step
                ]
                self.milp.add_row([(self._on[n][u + 1], 1.0), *arriving], "==", 0.0)
        if problem.any_order:
            self._enter_once()
        if problem.all_workers:
            for row in self._on:
                self.milp.add_row([(x, 1.0) for x in row], ">=", 1.0)
        self._add_memory()
        if problem.max_latency_s is not None:
            self._add_limit(self._latency(), problem.max_latency_s, "latency")
        if problem.max_bottleneck_s is not None:
            for terms in self._resources():
                self._add_limit(terms, problem.max_bottleneck_s, "bottleneck")

    def _enter_once(self) -> None:
        """Eq. 23a: without the ring's order a worker's units must be kept together."""
        for worker, row in enumerate(self._on):
            entering = [(step, 1.0) for (n, m, _), step in self._step.items() if n != m == worker]
            self.milp.add_row([(row[0], 1.0), *entering], "<=", 1.0)

    def _add_limit(self, terms: Terms, limit_s: float, name: str) -> None:
        slack = [(self.slack, -1.0)] if self.slack is not None and self._soft == name else []
        self.milp.add_row([*terms, *slack], "<=", limit_s * self.units)

    def _add_memory(self) -> None:
        """Eq. 20: stored weights add up, the largest live activations count once."""
        problem = self._problem
        for row, limit in zip(self._on, problem.memory_limit_bytes, strict=True):
            if limit is None:
                continue
            peak = self.milp.add_variable()
            terms = [(x, w / MEGA) for x, w in zip(row, problem.weight_bytes, strict=True)]
            if self.slack is not None and self._soft == "memory":
                terms.append((self.slack, -1.0))
            self.milp.add_row([*terms, (peak, 1.0)], "<=", limit / MEGA)
            for x, live in zip(row, problem.live_bytes, strict=True):
                self.milp.add_row([(peak, 1.0), (x, -live / MEGA)], ">=", 0.0)

    def _transfers(self, unit: int) -> Terms:
        return [
            (step, float(self._problem.transfer_s[n, m, u]) * self.units)
            for (n, m, u), step in self._step.items()
            if u == unit and n != m
        ]

    def _ends(self) -> tuple[Terms, Terms]:
        first, last = (
            [(row[end], float(s) * self.units) for row, s in zip(self._on, seconds, strict=True)]
            for end, seconds in ((0, self._problem.input_s), (-1, self._problem.output_s))
        )
        return first, last

    def _loads(self) -> list[Terms]:
        return [
            [(x, float(s) * self.units) for x, s in zip(row, seconds, strict=True)]
            for row, seconds in zip(self._on, self._problem.compute_s, strict=True)
        ]

    def _latency(self) -> Terms:
        """Eq. 21: every unit's time, every transfer's, and the two ends'."""
        units = self._problem.compute_s.shape[1]
        parts = [*self._loads(), *(self._transfers(u) for u in range(units - 1)), *self._ends()]
        total: dict[int, float] = {}
        for variable, cost in (term for part in parts for term in part):
            total[variable] = total.get(variable, 0.0) + cost
        return list(total.items())

    def _resources(self) -> list[Terms]:
        """Eq. 22: each worker, each transfer and the shared medium, as sums of seconds."""
        units = self._problem.compute_s.shape[1]
        transfers = [self._transfers(u) for u in range(units - 1)]
        medium = [
            (step, float(self._problem.medium_s[u]) * self.units)
            for (n, m, u), step in self._step.items()
            if n != m
        ]
        ends = self._ends()
        if self._problem.shared_medium:
            medium += [*ends[0], *ends[1]]
        return [terms for terms in [*self._loads(), *transfers, *ends, medium] if terms]

    def minimise_objective(self) -> None:
        """Eq. 21 or, for the bottleneck, eq. 23."""
        if self._problem.objective == "latency":
            for variable, cost in self._latency():
                self.milp.costs[variable] = cost
            return
        largest = self.milp.add_variable(cost=1.0)
        for terms in self._resources():
            self.milp.add_row([*terms, (largest, -1.0)], "<=", 0.0)

    def workers(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """The worker of every unit."""
        return np.array(np.argmax(values[np.array(self._on)], axis=0), dtype=np.int64)


def explain_by_ilp(problem: AllocationProblem) -> str:
    """Which limit binds and the least relaxation that makes the problem feasible."""
    limited = [
        (limit, name)
        for limit, name in zip(problem.memory_limit_bytes, problem.worker_names, strict=True)
        if limit is not None
    ]
    candidates = ["memory"] if limited else []
    candidates += ["latency"] if problem.max_latency_s is not None else []
    candidates += ["bottleneck"] if problem.max_bottleneck_s is not None else []
    for name in candidates:
        program = _Program(problem, soft=name)
        outcome = program.milp.solve()
        if outcome.values is None:
            continue
        workers = program.workers(outcome.values)
        if name == "memory":
            limit, tightest = min(limited)
            needed = zip(worker_bytes(problem, workers), problem.memory_limit_bytes, strict=True)
            return memory_binds(
                tightest, limit, max(b - most for b, most in needed if most is not None)
            )
        latency_s, bottleneck_s = allocation_times(problem, workers)
        if name == "latency":
            return limit_binds(name, problem.max_latency_s or 0.0, latency_s, "s")
        return limit_binds(name, problem.max_bottleneck_s or 0.0, bottleneck_s, "s")
    return explain_by_inspection(problem)


def explain_by_inspection(problem: AllocationProblem) -> str:
    """Why no plan fits where relaxing no limit alone helps."""
    if problem.all_workers and problem.compute_s.shape[1] < len(problem.worker_names):
        return (
            f"{len(problem.worker_names)} nodes cannot each have one of "
            f"{problem.compute_s.shape[1]} layers"
        )
    return "several limits exclude each other: relaxing one of them alone is not enough"
