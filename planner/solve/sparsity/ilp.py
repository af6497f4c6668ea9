"""The sparsity choice as an integer linear program (docs/model.md, eq. 12 to 16)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import Result, SparsityProblem
from planner.errors import InconsistentResultError
from planner.solve.milp import MEGA, Milp, units_per_second
from planner.solve.verify import (
    check_claim,
    evaluate_sparsity,
    limit_binds,
    memory_binds,
    memory_bytes,
)


@dataclass(frozen=True)
class _Group:
    """Layers whose rows are equal in every array: one integer count per option."""

    layers: NDArray[np.int64]
    options: NDArray[np.int64]


def ilp_sparsity(
    problem: SparsityProblem,
    time_limit_s: float | None = None,
    start: NDArray[np.int64] | None = None,
) -> Result:
    """Choose one option per layer by ILP, to gap 0; without a word on why nothing fits.

    Options that another one beats or equals in every array are dropped, and layers with equal
    rows are merged into integer counts; both leave the optimum as it is.

    Parameters
    ----------
    problem : SparsityProblem
    time_limit_s : float, optional
        Wall time after which the best plan so far is returned as ``feasible``.
    start : int array, shape (L,), optional
        A choice to start from.
    """
    program = _Program(problem, _groups(problem))
    program.minimise_objective()
    outcome = program.milp.solve(time_limit_s, None if start is None else program.counts(start))
    certificate = outcome.certificate(program.units)
    if outcome.values is None:
        return Result(choice=None, objective_s=None, certificate=certificate)
    choice = program.choice(outcome.values)
    evaluation = evaluate_sparsity(problem, choice)
    assert outcome.objective is not None
    check_claim(evaluation, outcome.objective / program.units, "sparsity")
    return Result(choice=choice, objective_s=evaluation.objective_s, certificate=certificate)


def _groups(problem: SparsityProblem) -> list[_Group]:
    features = _stacked(problem)
    return _merged(features, _undominated(features, problem.allowed))


def _stacked(problem: SparsityProblem) -> NDArray[np.float64]:
    """Everything that tells two options apart, shape (L, K, F)."""
    columns = [*problem.objective_s, *(limit.values for limit in problem.sum_limits)]
    for memory in problem.memory_limits:
        columns += [memory.weight_bytes, memory.live_bytes]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=-1)


def _undominated(features: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Allowed options that no other allowed one equals or beats everywhere, shape (L, K)."""
    no_worse = np.all(features[:, :, None, :] <= features[:, None, :, :], axis=-1)
    same = np.all(features[:, :, None, :] == features[:, None, :, :], axis=-1)
    options = np.arange(features.shape[1])
    earlier = options[:, None] < options[None, :]
    beats = no_worse & (~same | earlier) & allowed[:, :, None]
    kept: NDArray[np.bool_] = allowed & ~np.any(beats, axis=1)
    return kept


def _merged(features: NDArray[np.float64], kept: NDArray[np.bool_]) -> list[_Group]:
    """Group layers whose remaining options are the same in every array."""
    by_row: dict[bytes, list[int]] = {}
    for layer in range(len(features)):
        key = kept[layer].tobytes() + features[layer][kept[layer]].tobytes()
        by_row.setdefault(key, []).append(layer)
    return [_Group(np.array(layers), np.flatnonzero(kept[layers[0]])) for layers in by_row.values()]


class _Program:
    """The ILP over groups: y[g, k] layers of group g take option k."""

    def __init__(
        self, problem: SparsityProblem, groups: list[_Group], soft: str | None = None
    ) -> None:
        self._problem = problem
        self._groups = groups
        self.units = units_per_second(float(problem.objective_s.max(axis=2).sum(axis=1).max()))
        self.milp = Milp()
        self._used: list[tuple[int, int]] = []
        self._counts = [
            [self.milp.add_variable(upper=len(group.layers), integer=True) for _ in group.options]
            for group in groups
        ]
        for group, counts in zip(groups, self._counts, strict=True):  # eq. 12
            self.milp.add_row([(y, 1.0) for y in counts], "==", len(group.layers))
        self.slack = self.milp.add_variable(cost=1.0) if soft else None
        for limit in problem.sum_limits:  # eq. 14
            terms = self._sum(limit.values)
            # HiGHS keeps rows within 1e-9, the checks within as much of the limit; what is above
            # a limit of zero must stand out
            scale = 1.0 / (abs(limit.limit) or min((abs(c) for _, c in terms if c), default=1.0))
            row = [(y, c * scale) for y, c in terms]
            if soft == limit.name:
                row.append((self.slack or 0, -1.0))
            self.milp.add_row(row, "<=", limit.limit * scale)
        for memory in problem.memory_limits:  # eq. 15 and 16
            self._add_memory(memory.weight_bytes, memory.live_bytes, memory.limit_bytes, soft)

    def _sum(self, values: NDArray[np.generic], scale: float = 1.0) -> list[tuple[int, float]]:
        return [
            (y, float(values[group.layers[0], option]) * scale)
            for group, counts in zip(self._groups, self._counts, strict=True)
            for option, y in zip(group.options, counts, strict=True)
        ]

    def _add_memory(
        self,
        weights: NDArray[np.int64],
        live: NDArray[np.int64],
        limit: int,
        soft: str | None,
    ) -> None:
        peak = self.milp.add_variable()
        row = [*self._sum(weights, 1.0 / MEGA), (peak, 1.0)]
        if soft == "memory":
            row.append((self.slack or 0, -1.0))
        self.milp.add_row(row, "<=", limit / MEGA)
        floor = 0.0
        for group in self._groups:
            floor = max(floor, float(min(live[group.layers[0], k] for k in group.options)))
        self.milp.add_row([(peak, 1.0)], ">=", floor / MEGA)
        for group, counts in zip(self._groups, self._counts, strict=True):
            for option, y in zip(group.options, counts, strict=True):
                need = float(live[group.layers[0], option])
                if need > floor:
                    used = y
                    if len(group.layers) > 1:  # y counts layers; one is enough to need it
                        used = self.milp.add_variable(upper=1, integer=True)
                        self._used.append((y, used))
                        self.milp.add_row([(y, 1.0), (used, -len(group.layers))], "<=", 0.0)
                    self.milp.add_row(
                        [(peak, 1.0), (used, -(need - floor) / MEGA)], ">=", floor / MEGA
                    )

    def minimise_objective(self) -> None:
        """Eq. 13: a sum, or the largest of several sums."""
        resources = self._problem.objective_s
        if len(resources) == 1:
            for y, cost in self._sum(resources[0], self.units):
                self.milp.costs[y] = cost
            return
        largest = self.milp.add_variable(cost=1.0)
        for values in resources:
            row = [*self._sum(values, self.units), (largest, -1.0)]
            self.milp.add_row(row, "<=", 0.0)

    def choice(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """One option per layer from the integer counts."""
        chosen = np.zeros(self._problem.allowed.shape[0], dtype=np.int64)
        for group, counts in zip(self._groups, self._counts, strict=True):
            times = np.rint(values[counts]).astype(np.int64)
            if times.sum() != len(group.layers):
                raise InconsistentResultError("sparsity: the solver's counts are not whole")
            chosen[group.layers] = np.repeat(group.options, times)
        return chosen

    def counts(self, choice: NDArray[np.int64]) -> dict[int, float]:
        """The integer variables of one option per layer that are not 0.

        A dropped option counts as the first one kept that equals or beats it.
        """
        features = _stacked(self._problem)
        point: dict[int, float] = {}
        for group, counts in zip(self._groups, self._counts, strict=True):
            kept = features[group.layers[0], group.options]
            for layer in group.layers:
                same = np.all(kept <= features[layer, choice[layer]], axis=-1)
                y = counts[int(same.argmax())]
                point[y] = point.get(y, 0.0) + 1.0
        point |= {used: 1.0 for y, used in self._used if y in point}
        return point


def ilp_explain(problem: SparsityProblem) -> str:
    """Which limit binds and the least relaxation that makes the problem feasible."""
    groups = _groups(problem)
    names = (["memory"] if problem.memory_limits else []) + [s.name for s in problem.sum_limits]
    for name in dict.fromkeys(names):
        program = _Program(problem, groups, soft=name)
        outcome = program.milp.solve()
        if outcome.values is None:
            continue
        choice = program.choice(outcome.values)
        if name == "memory":
            tightest = min(problem.memory_limits, key=lambda limit: limit.limit_bytes)
            more = max(
                memory_bytes(limit.weight_bytes, limit.live_bytes, choice) - limit.limit_bytes
                for limit in problem.memory_limits
            )
            return memory_binds(tightest.name, tightest.limit_bytes, more)
        bound = [s for s in problem.sum_limits if s.name == name]  # several of one name are alike
        least = max(float(s.values[np.arange(len(choice)), choice].sum()) for s in bound)
        return limit_binds(name, bound[0].limit, least, bound[0].unit, bound[0].exponent)
    return "several limits exclude each other: relaxing one of them alone is not enough"
