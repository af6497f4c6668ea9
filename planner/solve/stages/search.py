"""The best plan of a search over structures, and what is known of all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from planner.solve.deadline import Deadline
from planner.solve.options.multiple_choice import Pick
from planner.solve.problem import Choice, Problem, Structure
from planner.solve.stages.by_stage import StageLosses
from planner.solve.stages.fixed_stages import FixedStages

MAX_STRUCTURES = 3000
"""Structures that are completed exactly before the search gives up."""


@dataclass
class Search:
    """The best plan so far.

    Attributes
    ----------
    deadline : Deadline
        Ends the search early; the best plan and a valid bound remain.
    choice : Choice, optional
    objective_s, bound_s : float
    closed : bool
        No plan is better than the best by more than the gap asked for; without a plan, there is
        none.
    by_program : bool
        An integer program completed a structure.
    tried : dict of Structure to bool
        Structures that were completed as well as time allowed, and whether that is certain.
    looked_at : set of Structure
        Those of which some plan was tried.
    losses : StageLosses, optional
        What structures have in common, once one was completed.
    """

    deadline: Deadline
    choice: Choice | None = None
    objective_s: float = np.inf
    bound_s: float = 0.0
    closed: bool = False
    by_program: bool = False
    tried: dict[Structure, bool] = field(default_factory=dict)
    looked_at: set[Structure] = field(default_factory=set)
    losses: StageLosses | None = None

    @property
    def must_stop(self) -> bool:
        """Whether no structure more may be completed."""
        return self.deadline.passed or len(self.tried) >= MAX_STRUCTURES

    def attempt(
        self,
        problem: Problem,
        structure: Structure,
        complete: Callable[[FixedStages], tuple[Pick, float]],
        exact: bool,
    ) -> bool:
        """Complete a structure, once quickly and once exactly; whether the answer is certain.

        Parameters
        ----------
        problem : Problem
        structure : Structure
        complete : callable
            Finds options below the best objective, and the objective with them.
        exact : bool
            Whether the answer is to be exact; else any good plan will do.
        """
        if structure in self.tried:
            return self.tried[structure]
        if not exact and (structure in self.looked_at or self.deadline.passed):
            return False
        self.looked_at.add(structure)
        self.losses = self.losses or StageLosses(problem)
        fixed = FixedStages(problem, structure, self.losses)
        found, objective_s = complete(fixed)
        self.by_program |= fixed.by_program
        if found.closed or exact:
            self.tried[structure] = found.closed
        if found.choice is not None and objective_s < self.objective_s:
            self.choice, self.objective_s = fixed.choice(found.choice), objective_s
        return found.closed
