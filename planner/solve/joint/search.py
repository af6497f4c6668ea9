"""The best plan of a search over structures, and what is known of all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from planner.domain.joint import JointProblem, Stages
from planner.solve.deadline import Deadline
from planner.solve.joint.fixed_stages import FixedStages, Structure
from planner.solve.options.multiple_choice import Pick

PROVEN_GAP = 1e-9
"""Relative distance to the bound at which a plan counts as optimal."""


@dataclass
class Search:
    """The best plan so far.

    Attributes
    ----------
    stages : Stages, optional
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
    """

    stages: Stages | None = None
    objective_s: float = np.inf
    bound_s: float = 0.0
    closed: bool = False
    by_program: bool = False
    tried: dict[Structure, bool] = field(default_factory=dict)
    looked_at: set[Structure] = field(default_factory=set)

    def attempt(
        self,
        problem: JointProblem,
        structure: Structure,
        complete: Callable[[FixedStages], tuple[Pick, float]],
        deadline: Deadline | None,
    ) -> bool:
        """Complete a structure, once quickly and once exactly; whether the answer is certain.

        Parameters
        ----------
        problem : JointProblem
        structure : Structure
        complete : callable
            Finds options below the best objective, and the objective with them.
        deadline : Deadline, optional
            With one the answer is to be exact; without, any good plan will do.
        """
        if structure in self.tried:
            return self.tried[structure]
        if deadline is None and structure in self.looked_at:
            return False
        self.looked_at.add(structure)
        fixed = FixedStages(problem, structure)
        found, objective_s = complete(fixed)
        self.by_program |= fixed.by_program
        if found.closed or deadline is not None:
            self.tried[structure] = found.closed
        if found.choice is not None and objective_s < self.objective_s:
            self.stages, self.objective_s = fixed.stages(found.choice), objective_s
        return found.closed
