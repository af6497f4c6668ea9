"""The joint problem as an integer linear program (docs/model.md, eq. 25 to 28)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.solve.problem import NO_LIMIT, JointProblem, Stages
from planner.solve.milp import MEGA, Milp, MilpOutcome, units_per_second

Terms = list[tuple[int, float]]


class JointProgram:
    """y[c, u, k]: unit u runs on group copy c with option k; z[c, d, u]: the step from u to u + 1.

    A group whose nodes exist several times over may run several stages; each is a copy of its
    own, so that memory and the bottleneck are counted by stage.

    Parameters
    ----------
    problem : JointProblem
    keep : bool array, shape (G, U, K), optional
        Options that an optimal plan may need; all allowed ones by default.
    at_most_s : float, optional
        Objective of a known plan: nothing worse is looked for.
    """

    def __init__(
        self,
        problem: JointProblem,
        keep: NDArray[np.bool_] | None = None,
        at_most_s: float | None = None,
    ) -> None:
        self._problem = problem
        self._keep = problem.allowed if keep is None else keep & problem.allowed
        self.units = units_per_second(_longest_s(problem))
        self.milp = Milp()
        self._copies = _copies(problem)
        self._options = [self._add_options(group) for group in self._copies]
        self._steps = self._add_steps()
        self._entries: list[Terms] = []
        self._flow()  # eq. 25
        self._count_nodes()  # eq. 26
        self._limit_loss()
        self._limit_memory()
        if problem.max_latency_s is not None:
            self.milp.add_row(self._latency(), "<=", problem.max_latency_s * self.units)
        if problem.max_bottleneck_s is not None:
            for terms in self._resources():
                self.milp.add_row(terms, "<=", problem.max_bottleneck_s * self.units)
        self._minimise(at_most_s)

    def solve(self, time_limit_s: float | None = None) -> tuple[MilpOutcome, Stages | None]:
        """Minimise to gap 0."""
        outcome = self.milp.solve(time_limit_s)
        return outcome, None if outcome.values is None else self._stages(outcome.values)

    def _add_options(self, group: int) -> list[dict[int, int]]:
        return [
            {
                int(k): self.milp.add_variable(upper=1, integer=True)
                for k in np.flatnonzero(self._keep[group, unit])
            }
            for unit in range(self._problem.latency_s.shape[1])
        ]

    def _add_steps(self) -> dict[tuple[int, int, int], int]:
        problem, copies = self._problem, range(len(self._copies))
        stay = {
            (c, c, u): self.milp.add_variable(upper=1)
            for c in copies
            for u in range(len(problem.cuttable))
        }
        if problem.single_stage:
            return stay
        return stay | {
            (c, d, int(u)): self.milp.add_variable(upper=1)
            for c in copies
            for d in copies
            if c != d and problem.follows[self._copies[c], self._copies[d]]
            for u in np.flatnonzero(problem.cuttable)
        }

    def _on(self, copy: int, unit: int, sign: float = 1.0) -> Terms:
        return [(y, sign) for y in self._options[copy][unit].values()]

    def _flow(self) -> None:
        copies, last = range(len(self._copies)), len(self._problem.cuttable)
        self.milp.add_row([t for c in copies for t in self._on(c, 0)], "==", 1.0)
        leaving: dict[tuple[int, int], Terms] = {}
        arriving: dict[tuple[int, int], Terms] = {}
        entering: list[Terms] = [self._on(c, 0) for c in copies]
        for (c, d, u), step in self._steps.items():
            leaving.setdefault((c, u), []).append((step, -1.0))
            arriving.setdefault((d, u + 1), []).append((step, -1.0))
            if c != d:
                entering[d] = [*entering[d], (step, 1.0)]
        for c in copies:
            for u in range(last):
                self.milp.add_row([*self._on(c, u), *leaving[c, u]], "==", 0.0)
                self.milp.add_row([*self._on(c, u + 1), *arriving[c, u + 1]], "==", 0.0)
            self.milp.add_row(entering[c], "<=", 1.0)
        self._entries = entering

    def _count_nodes(self) -> None:
        problem = self._problem
        for node_type, most in enumerate(problem.available):
            terms = [
                (v, coefficient * float(problem.uses[group, node_type]))
                for group, entry in zip(self._copies, self._entries, strict=True)
                for v, coefficient in entry
                if problem.uses[group, node_type]
            ]
            if terms:
                self.milp.add_row(terms, "<=", float(most))
        total = [
            (v, coefficient * float(problem.nodes[group]))
            for group, entry in zip(self._copies, self._entries, strict=True)
            for v, coefficient in entry
        ]
        self.milp.add_row(total, "==" if problem.all_nodes else "<=", float(problem.max_nodes))

    def _sum(
        self, values: NDArray[np.generic], copies: list[int] | None = None, scale: float = 1.0
    ) -> Terms:
        """Values of shape (G, U, K) where options are chosen, over all copies or some."""
        chosen = range(len(self._copies)) if copies is None else copies
        return [
            (y, float(values[self._copies[c], u, k]) * scale)
            for c in chosen
            for u, options in enumerate(self._options[c])
            for k, y in options.items()
        ]

    def _limit_loss(self) -> None:
        problem = self._problem
        if problem.max_loss is None:
            return
        terms = self._sum(problem.loss)
        smallest = min((abs(v) for _, v in terms if v), default=1.0)
        scale = 1.0 / (abs(problem.max_loss) or smallest)
        self.milp.add_row([(y, v * scale) for y, v in terms], "<=", problem.max_loss * scale)

    def _limit_memory(self) -> None:
        problem = self._problem
        for c, group in enumerate(self._copies):
            for position, limit in enumerate(problem.memory_limit_bytes[group]):
                if limit == NO_LIMIT:
                    continue
                weights = problem.weight_bytes[..., position]
                live = problem.live_bytes[..., position]
                peak = self.milp.add_variable()
                row = [*self._sum(weights, [c], 1.0 / MEGA), (peak, 1.0)]
                self.milp.add_row(row, "<=", float(limit) / MEGA)
                for u, options in enumerate(self._options[c]):
                    needed = [(y, -float(live[group, u, k]) / MEGA) for k, y in options.items()]
                    self.milp.add_row([(peak, 1.0), *needed], ">=", 0.0)

    def _transfers(self, unit: int, seconds: NDArray[np.float64]) -> Terms:
        return [
            (step, float(seconds[self._copies[c], self._copies[d], u]) * self.units)
            for (c, d, u), step in self._steps.items()
            if u == unit and c != d
        ]

    def _end(self, unit: int, seconds: NDArray[np.float64]) -> Terms:
        return [
            (y, float(seconds[group]) * self.units)
            for c, group in enumerate(self._copies)
            for y, _ in self._on(c, unit)
        ]

    def _ends(self) -> tuple[Terms, Terms]:
        problem = self._problem
        return self._end(0, problem.input_s), self._end(len(problem.cuttable), problem.output_s)

    def _latency(self) -> Terms:
        """Eq. 27: every unit at its option, every transfer, and the two ends."""
        problem = self._problem
        terms = self._sum(problem.latency_s, scale=self.units)
        for unit in np.flatnonzero(problem.cuttable):
            terms += self._transfers(int(unit), problem.transfer_s)
        first, last = self._ends()
        return [*terms, *first, *last]

    def _resources(self) -> list[Terms]:
        """Eq. 28: each stage's resources, each transfer, the ends and the shared medium."""
        problem = self._problem
        found = [
            self._sum(busy, [c], self.units)
            for busy in problem.busy_s
            for c in range(len(self._copies))
        ]
        cuts = [int(unit) for unit in np.flatnonzero(problem.cuttable)]
        found += [self._transfers(unit, problem.transfer_s) for unit in cuts]
        medium = self._sum(problem.medium_s, scale=self.units)
        for unit in cuts:
            medium += self._transfers(unit, problem.transfer_medium_s)
        first, last = self._ends()
        if problem.shared_medium:
            medium += [*first, *last]
        return [terms for terms in (*found, medium, first, last) if any(v for _, v in terms)]

    def _minimise(self, at_most_s: float | None) -> None:
        if self._problem.objective == "latency":
            terms = self._latency()
            for variable, cost in terms:
                self.milp.costs[variable] += cost
            if at_most_s is not None:
                self.milp.add_row(terms, "<=", at_most_s * self.units)
            return
        upper = None if at_most_s is None else at_most_s * self.units
        largest = self.milp.add_variable(cost=1.0, upper=upper)
        for terms in self._resources():
            self.milp.add_row([*terms, (largest, -1.0)], "<=", 0.0)

    def _stages(self, values: NDArray[np.float64]) -> Stages:
        units = len(self._problem.cuttable) + 1
        chosen = [
            max(
                (values[y], c, k)
                for c, options in enumerate(self._options)
                for k, y in options[u].items()
            )[1:]
            for u in range(units)
        ]
        starts = [u for u in range(units) if u == 0 or chosen[u][0] != chosen[u - 1][0]]
        return Stages(
            starts=tuple(starts),
            groups=tuple(self._copies[chosen[u][0]] for u in starts),
            options=np.array([k for _, k in chosen]),
        )


def _copies(problem: JointProblem) -> list[int]:
    """Each group as often as its nodes exist, once where it can never come again."""
    comes_again = _comes_again(problem.follows)
    copies: list[int] = []
    for group, row in enumerate(problem.uses):
        times = int((problem.available[row > 0] // row[row > 0]).min())
        times = min(times, problem.max_nodes // int(row.sum()))
        copies += [group] * (times if comes_again[group] else min(times, 1))
    return copies


def _comes_again(follows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Groups that lie on a cycle of ``follows``, shape (G,)."""
    reach = follows.copy()
    for middle in range(len(reach)):
        reach |= reach[:, middle, None] & reach[None, middle]
    cyclic: NDArray[np.bool_] = np.diagonal(reach).copy()
    return cyclic


def _longest_s(problem: JointProblem) -> float:
    """A latency that no plan exceeds."""
    allowed = np.where(problem.allowed, problem.latency_s, 0.0)
    units = allowed.max(axis=(0, 2)).sum()
    transfers = np.where(problem.follows[:, :, None], problem.transfer_s, 0.0)
    return float(
        units
        + transfers.max(axis=(0, 1), initial=0.0).sum()
        + problem.input_s.max()
        + problem.output_s.max()
    )
