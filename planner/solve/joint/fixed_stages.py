"""The options of a fixed structure: a sparsity choice with limits per stage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.domain.joint import NO_LIMIT, JointProblem, Stages
from planner.domain.problem import MemoryLimit, SparsityProblem, SumLimit
from planner.solve.deadline import Deadline
from planner.solve.joint.by_stage import StageRows, least_bottleneck
from planner.solve.joint.check import joint_times
from planner.solve.options.multiple_choice import MemoryRow, Pick, SumRow, choose
from planner.solve.sparsity.ilp import ilp_sparsity
from planner.solve.sparsity.sensitivity import shadow_prices

NOTHING_BELOW = Pick(None, np.inf, np.inf, True, np.zeros(0))
"""The answer to a cutoff that what a structure fixes reaches already."""

_QUICK = 10_000  # states of a search that need not find the structure's best
_THOROUGH = 400_000  # states after which the integer program is quicker

Structure = tuple[tuple[int, ...], tuple[int, ...]]
"""First units and groups of the stages."""


class FixedStages:
    """One structure of a joint problem, with its arrays picked out.

    Parameters
    ----------
    problem : JointProblem
    structure : Structure
    """

    def __init__(self, problem: JointProblem, structure: Structure) -> None:
        starts, groups = structure
        units = problem.latency_s.shape[1]
        stops = [*starts[1:], units]
        self.by_program = False
        self._problem = problem
        self._structure = structure
        self._runs = list(zip(starts, stops, groups, strict=True))
        self._rows = np.repeat(groups, np.diff([*starts, units])), np.arange(units)
        self.allowed: NDArray[np.bool_] = problem.allowed[self._rows]
        self.latency_s: NDArray[np.float64] = problem.latency_s[self._rows]
        self.loss: NDArray[np.float64] = problem.loss[self._rows]
        bare = Stages(
            starts=starts, groups=groups, options=self.allowed.argmax(axis=1).astype(np.int64)
        )
        own = float(self.latency_s[np.arange(units), bare.options].sum())
        self.fixed_s = joint_times(problem, bare).latency_s - own
        cuts = np.array([stop - 1 for stop in stops[:-1]], dtype=np.int64)
        moves = problem.transfer_s[groups[:-1], groups[1:], cuts]
        ends = [float(problem.input_s[groups[0]]), float(problem.output_s[groups[-1]])]
        self.slowest_s = max(float(moves.max(initial=0.0)), *ends)
        self._medium_s = float(problem.transfer_medium_s[groups[:-1], groups[1:], cuts].sum())
        self._medium_s += sum(ends) if problem.shared_medium else 0.0

    def fastest(
        self,
        bottleneck_s: float | None,
        cutoff_s: float = np.inf,
        deadline: Deadline | None = None,
    ) -> Pick:
        """Least latency of the units within the loss budget, memory and a bottleneck.

        The objective leaves out what the structure fixes (``fixed_s``), and so does the cutoff.

        Parameters
        ----------
        bottleneck_s : float, optional
        cutoff_s : float
            Only options that are faster are of interest.
        deadline : Deadline, optional
            With one the answer is exact, by the integer program if need be and if time allows;
            without, a quick one will do.
        """
        sums = self._times(bottleneck_s)
        if self._problem.max_loss is not None:
            sums.append((self.loss, self._problem.max_loss))
        return self._choose(self.latency_s[None], sums, cutoff_s, deadline)

    def least_bottleneck(self, cutoff_s: float = np.inf, deadline: Deadline | None = None) -> Pick:
        """Least bottleneck of the stages and the medium, transfers and ends apart.

        Nothing is known of transfers and ends here: the slowest of them (``slowest_s``) bounds the
        bottleneck from below. Parameters as of `fastest`.
        """
        if self.slowest_s >= cutoff_s:
            return NOTHING_BELOW
        problem = self._problem
        busy = []
        for values in problem.busy_s:
            for start, stop, _ in self._runs:
                own = np.zeros_like(self.latency_s)
                own[start:stop] = values[self._rows][start:stop]
                busy.append(own)
        medium = problem.medium_s[self._rows]
        if self._medium_s > 0 or medium.any():
            medium = medium.copy()
            medium[0] += self._medium_s
            busy.append(medium)
        sums = []
        if problem.max_loss is not None:
            sums.append((self.loss, problem.max_loss))
        if problem.max_latency_s is not None:
            sums.append((self.latency_s, problem.max_latency_s - self.fixed_s))
        budget = problem.max_loss
        if budget is None or len(sums) > 1 or len(busy) > len(problem.busy_s) * len(self._runs):
            return self._choose(np.stack(busy), sums, cutoff_s, deadline)
        # nothing but the budget ties the stages together
        found = choose(
            np.stack(busy),
            self.allowed,
            sums,
            self._memories(),
            cutoff=cutoff_s,
            effort=_QUICK,
        )
        if found.closed or len(self._runs) == 1:
            return found if found.closed else self._choose(np.stack(busy), sums, cutoff_s, deadline)
        return least_bottleneck(self._stage_rows(), budget, found, cutoff_s, deadline)

    def _stage_rows(self) -> list[StageRows]:
        """The units of every stage on their own."""
        rows = []
        memories = self._memory_rows()
        for start, stop, group in self._runs:
            mine = slice(start, stop)
            rows.append(
                StageRows(
                    busy_s=self._problem.busy_s[:, group, mine],
                    loss=self.loss[mine],
                    allowed=self.allowed[mine],
                    memories=[
                        (weights[mine], live[mine], limit)
                        for at, (weights, live, limit) in memories
                        if at[0] == start
                    ],
                )
            )
        return rows

    def _choose(
        self,
        costs: NDArray[np.float64],
        sums: list[SumRow],
        cutoff_s: float,
        deadline: Deadline | None,
    ) -> Pick:
        memories = self._memories()
        effort = _QUICK if deadline is None else _THOROUGH
        found = choose(costs, self.allowed, sums, memories, cutoff=cutoff_s, effort=effort)
        if found.closed or deadline is None or deadline.passed:
            return found
        self.by_program = True
        return _by_program(costs, self.allowed, sums, memories, cutoff_s, found, deadline)

    def prices(
        self, bottleneck_s: float | None, options: NDArray[np.int64]
    ) -> tuple[float, dict[tuple[int, int], float]]:
        """What linear programming pays for one unit of the loss budget and for one byte.

        Parameters
        ----------
        bottleneck_s : float, optional
        options : int array, shape (U,)
            The fastest within all limits.

        Returns
        -------
        loss : float
            Seconds per unit; 0 where the budget does not bind.
        memory : dict of (group, position) to float
            Seconds per byte, where memory could bind at all.
        """
        sums, rows = self._times(bottleneck_s), self._memory_rows()
        times = len(sums)
        if self._problem.max_loss is not None:
            sums.append((self.loss, self._problem.max_loss))
        problem = _sparsity_problem(
            self.latency_s[None], self.allowed, sums, [row for _, row in rows]
        )
        prices = [price.seconds_per_unit for price in shadow_prices(problem, options)]
        group_of = {start: group for start, _, group in self._runs}
        memory = {
            (group_of[start], position): price
            for ((start, position), _), price in zip(rows, prices[len(sums) :], strict=True)
        }
        return (prices[times] if len(sums) > times else 0.0), memory

    def stages(self, options: NDArray[np.int64]) -> Stages:
        """The structure with its options."""
        starts, groups = self._structure
        return Stages(starts=starts, groups=groups, options=options)

    def _times(self, bottleneck_s: float | None) -> list[tuple[NDArray[np.float64], float]]:
        """Each stage's resources and the shared medium, where they could exceed the limit."""
        if bottleneck_s is None:
            return []
        problem, limits = self._problem, []
        for busy in problem.busy_s:
            chosen = np.where(self.allowed, busy[self._rows], 0.0)
            for start, stop, _ in self._runs:
                if chosen[start:stop].max(axis=1).sum() > bottleneck_s:
                    own = np.zeros_like(chosen)
                    own[start:stop] = chosen[start:stop]
                    limits.append((own, bottleneck_s))
        medium = np.where(self.allowed, problem.medium_s[self._rows], 0.0)
        if medium.max(axis=1).sum() + self._medium_s > bottleneck_s:
            limits.append((medium, bottleneck_s - self._medium_s))
        return limits

    def _memories(self) -> list[MemoryRow]:
        return [row for _, row in self._memory_rows()]

    def _memory_rows(self) -> list[tuple[tuple[int, int], MemoryRow]]:
        """Each stage's positions, where they could need more than their limit.

        Keys are the stage's first unit and the position.
        """
        problem = self._problem
        limits: list[tuple[tuple[int, int], MemoryRow]] = []
        allowed = self.allowed[..., None]
        weights = np.where(allowed, problem.weight_bytes[self._rows], 0)
        live = np.where(allowed, problem.live_bytes[self._rows], 0)
        for start, stop, group in self._runs:
            most = weights[start:stop].max(axis=1).sum(axis=0) + live[start:stop].max(axis=(0, 1))
            for position in np.flatnonzero(most > problem.memory_limit_bytes[group]):
                limit = int(problem.memory_limit_bytes[group, position])
                if limit == NO_LIMIT:
                    continue
                mine = np.zeros_like(weights[..., position]), np.zeros_like(live[..., position])
                mine[0][start:stop] = weights[start:stop, :, position]
                mine[1][start:stop] = live[start:stop, :, position]
                limits.append(((start, int(position)), (*mine, limit)))
        return limits


def _by_program(
    costs: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    sums: list[SumRow],
    memories: list[MemoryRow],
    cutoff_s: float,
    found: Pick,
    deadline: Deadline,
) -> Pick:
    """The integer program of eq. 12 to 16 where the search did not close; no worse than it."""
    better = min(cutoff_s, found.objective)
    within = [(values, better) for values in costs] if np.isfinite(better) else []
    problem = _sparsity_problem(costs, allowed, [*sums, *within], memories)
    result = ilp_sparsity(problem, deadline.left_s)
    status, bound = result.certificate.status, result.certificate.bound
    closed = status in ("optimal", "infeasible")
    if result.choice is None or result.objective_s is None or result.objective_s > found.objective:
        bound = found.objective if closed else max(found.bound, bound or -np.inf)
        return Pick(found.choice, found.objective, bound, closed, found.multipliers)
    bound = result.objective_s if closed else max(found.bound, bound or -np.inf)
    return Pick(result.choice, result.objective_s, bound, closed, found.multipliers)


def _sparsity_problem(
    costs: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    sums: list[SumRow],
    memories: list[MemoryRow],
) -> SparsityProblem:
    """The same arrays as a problem of its own; its limits are called by their numbers."""
    return SparsityProblem(
        objective_s=costs,
        allowed=allowed,
        sum_limits=tuple(
            SumLimit(name=str(index), values=np.where(allowed, values, 0.0), limit=limit)
            for index, (values, limit) in enumerate(sums)
        ),
        memory_limits=tuple(
            MemoryLimit(name=str(index), weight_bytes=stored, live_bytes=live, limit_bytes=limit)
            for index, (stored, live, limit) in enumerate(memories)
        ),
    )
