"""The options of a fixed structure: a multiple choice with limits per stage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.solve.check import second_between
from planner.solve.deadline import Deadline
from planner.solve.options.multiple_choice import EFFORT, MemoryRow, Pick, SumRow, choose
from planner.solve.options.shadow_prices import shadow_prices
from planner.solve.problem import Choice, Problem, Structure
from planner.solve.program import Program, is_too_long
from planner.solve.stages.by_stage import Run, StageLosses, close_in_by_stage, limit_positions

NOTHING_BELOW = Pick(None, np.inf, np.inf, True, np.zeros(0))
"""The answer to a cutoff that what a structure fixes reaches already."""

QUICK = 10_000
"""States of a search that need not find the structure's best."""

_THOROUGH = 400_000  # states after which the integer program is quicker


class FixedStages:
    """One structure of a problem, with its arrays picked out.

    Parameters
    ----------
    problem : Problem
    structure : Structure
    losses : StageLosses, optional
        Of the problem, shared by its structures.

    Attributes
    ----------
    fixed_s, slowest_s : float
        What transfers and ends add to the latency, and the slowest of them.
    by_program : bool
        Whether an integer program was asked.
    """

    def __init__(
        self, problem: Problem, structure: Structure, losses: StageLosses | None = None
    ) -> None:
        starts, groups = structure
        units = problem.latency_s.shape[1]
        stops = [*starts[1:], units]
        self.by_program = False
        self._problem = problem
        self._structure = structure
        self._losses = losses or StageLosses(problem)
        self.runs: list[Run] = list(zip(starts, stops, groups, strict=True))
        self._rows = np.repeat(groups, np.diff([*starts, units])), np.arange(units)
        self.allowed: NDArray[np.bool_] = problem.allowed[self._rows]
        self.latency_s: NDArray[np.float64] = problem.latency_s[self._rows]
        self.loss: NDArray[np.float64] = problem.loss[self._rows]
        cuts = np.array([stop - 1 for stop in stops[:-1]], dtype=np.int64)
        between = groups[:-1], groups[1:], cuts
        ends = float(problem.input_s[groups[0]]) + float(problem.output_s[groups[-1]])
        self.fixed_s = float(problem.transfer_s[between].sum()) + ends
        self.slowest_s = max(
            float(problem.transfer_busy_s[between].max(initial=0.0)),
            float(problem.input_busy_s[groups[0]]),
            float(problem.output_busy_s[groups[-1]]),
        )
        self._software_s = problem.software_s([(a, b - 1, g) for a, b, g in self.runs])
        self._medium_s = float(problem.transfer_medium_s[groups[:-1], groups[1:], cuts].sum())
        self._medium_s += float(problem.input_medium_s[groups[0]])
        self._medium_s += float(problem.output_medium_s[groups[-1]])

    def choice(self, options: NDArray[np.int64]) -> Choice:
        """The structure with its options."""
        starts, groups = self._structure
        return Choice(starts=starts, groups=groups, options=options)

    def find_fastest(self, cutoff_s: float, deadline: Deadline, exact: bool) -> Pick:
        """Find the least latency of the units within the problem's limits, its own apart.

        The objective leaves out what the structure fixes (``fixed_s``), and so does the cutoff.

        Parameters
        ----------
        cutoff_s : float
            Only options that are faster are of interest.
        deadline : Deadline
        exact : bool
            By the integer program if need be; else any good answer will do.
        """
        sums = [*self._limit_times(), *self._limit_loss()]
        return self._choose(self.latency_s[None], sums, cutoff_s, deadline, exact)

    def find_least_bottleneck(self, cutoff_s: float, deadline: Deadline, exact: bool) -> Pick:
        """Find the least bottleneck of the stages and the medium, transfers and ends apart.

        Nothing is known of transfers and ends here: the slowest of them (``slowest_s``) bounds the
        bottleneck from below. Parameters as of `find_fastest`.
        """
        if self.slowest_s >= cutoff_s:
            return NOTHING_BELOW
        problem = self._problem
        busy = []
        for resource in range(len(problem.busy_s)):
            busy += self._of_stages(resource)
        stages = len(busy)
        medium = problem.medium_s[self._rows]
        if self._medium_s > 0 or medium.any():
            # what transfers and ends occupy counts whatever the first unit's option is
            medium = medium.copy()
            medium[0] += self._medium_s
            busy.append(medium)
        sums = self._limit_loss()
        if problem.max_latency_s is not None:
            sums.append((self.latency_s, problem.max_latency_s - self.fixed_s))
        costs = np.stack(busy)
        budget = problem.max_loss
        alone = budget is not None and len(sums) == 1 and len(busy) == stages
        alone = alone and not problem.has_software and problem.transfer_loss is None
        if budget is None or not alone or len(self.runs) == 1:
            return self._choose(costs, sums, cutoff_s, deadline, exact)
        # nothing but the budget ties the stages together
        found = self._choose(costs, sums, cutoff_s, deadline, exact=False)
        if found.closed:
            return found
        found = close_in_by_stage(self._losses, self.runs, budget, found, cutoff_s, deadline, exact)
        if found.closed or not exact:
            return found
        return self._ask_program(costs, min(cutoff_s, found.objective), found, deadline)

    def _of_stages(self, resource: int) -> list[NDArray[np.float64]]:
        """What each option occupies of a resource, stage by stage, shape (U, K) each.

        The software of transfers counts with the first unit, whatever its option is.
        """
        problem, found = self._problem, []
        values = problem.busy_s[resource][self._rows]
        of_nodes = resource == len(problem.busy_s) - 1
        for (start, stop, _), software in zip(self.runs, self._software_s, strict=True):
            own = np.zeros_like(values)
            own[start:stop] = values[start:stop]
            if of_nodes:
                own[start] += software
            found.append(own)
        return found

    def _choose(
        self,
        costs: NDArray[np.float64],
        sums: list[SumRow],
        cutoff_s: float,
        deadline: Deadline,
        exact: bool,
    ) -> Pick:
        effort = QUICK
        if exact:  # where there is one stage at most, no other structure waits for its turn
            effort = EFFORT if self._problem.single_stage else _THOROUGH
        memories = [row for _, row in self._limit_memories()]
        found = choose(
            costs,
            self.allowed,
            sums,
            memories,
            cutoff=cutoff_s,
            effort=effort,
            deadline=deadline,
        )
        if found.closed or not exact:
            return found
        return self._ask_program(costs, min(cutoff_s, found.objective), found, deadline)

    def _ask_program(
        self, costs: NDArray[np.float64], better_s: float, found: Pick, deadline: Deadline
    ) -> Pick:
        """The integer program of the structure where a search did not close; no worse than it."""
        problem = self._problem
        if deadline.passed or is_too_long(problem, deadline, self._structure):
            return found
        self.by_program = True
        if problem.objective == "latency":
            better_s += self.fixed_s
        program = Program(
            problem.but(max_latency_s=None) if problem.objective == "latency" else problem,
            structure=self._structure,
            at_most_s=better_s if np.isfinite(better_s) else None,
        )
        outcome, choice = program.solve(deadline.left_s)
        closed = outcome.status in ("optimal", "infeasible")
        options, objective = found.choice, found.objective
        if choice is not None:
            value = float(costs[:, np.arange(len(self.allowed)), choice.options].sum(axis=1).max())
            if value < objective:
                options, objective = choice.options, value
        bound = objective if closed else found.bound
        return Pick(options, objective, bound, closed, found.multipliers)

    def _limit_loss(self) -> list[SumRow]:
        most = self._problem.max_loss
        between = self._problem.lost_at(*self._structure)
        found: list[SumRow] = [] if most is None else [(self.loss, most - between)]
        if second := self._problem.second:
            fixed = second_between(self._problem, *self._structure)
            found.append((second.of_units[self._rows], second.most - fixed))
        return found

    def _limit_times(self) -> list[SumRow]:
        """Each stage's resources and the shared medium, where they could exceed the limit."""
        problem, limits = self._problem, list[SumRow]()
        most_s = problem.max_bottleneck_s
        if most_s is None:
            return []
        for resource in range(len(problem.busy_s)):
            for own in self._of_stages(resource):
                own = np.where(self.allowed, own, 0.0)
                if own.max(axis=1).sum() > most_s:
                    limits.append((own, most_s))
        medium = np.where(self.allowed, problem.medium_s[self._rows], 0.0)
        if medium.max(axis=1).sum() + self._medium_s > most_s:
            limits.append((medium, most_s - self._medium_s))
        return limits

    def _limit_memories(self) -> list[tuple[tuple[int, int], MemoryRow]]:
        """Each stage's positions, where they could need more than their limit.

        Keys are the stage's first unit and the position.
        """
        limits: list[tuple[tuple[int, int], MemoryRow]] = []
        for start, stop, group in self.runs:
            for position, (weights, live, limit) in limit_positions(
                self._problem, (start, stop, group)
            ):
                around = ((start, len(self.allowed) - stop), (0, 0))
                row = np.pad(weights, around), np.pad(live, around), limit
                limits.append(((start, position), row))
        return limits

    def price(self, options: NDArray[np.int64]) -> tuple[float, dict[tuple[int, int], float]]:
        """As `price_limits`, at options of shape (U,)."""
        times, budget, rows = self._limit_times(), self._limit_loss(), self._limit_memories()
        sums, memories = [*times, *budget], [row for _, row in rows]
        prices = shadow_prices(self.latency_s, self.allowed, sums, memories, options).tolist()
        group_of = {start: group for start, _, group in self.runs}
        memory = {
            (group_of[start], position): float(price)
            for ((start, position), _), price in zip(rows, prices[len(sums) :], strict=True)
        }
        return (prices[len(times)] if budget else 0.0), memory


def price_limits(problem: Problem, choice: Choice) -> tuple[float, dict[tuple[int, int], float]]:
    """What linear programming pays for one unit of the loss budget and for one byte.

    Parameters
    ----------
    problem : Problem
        With the latency as its objective.
    choice : Choice
        The fastest within all limits.

    Returns
    -------
    loss : float
        Seconds per unit; 0 where the budget does not bind.
    memory : dict of (group, position) to float
        Seconds per byte, where memory could bind at all.
    """
    return FixedStages(problem, (choice.starts, choice.groups)).price(choice.options)
