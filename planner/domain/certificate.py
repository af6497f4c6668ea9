"""What is known about an answer, and from whom."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from planner.domain.arrays import Frozen

Status = Literal["optimal", "feasible", "infeasible", "timeout"]

FEASIBILITY_TOLERANCE = 1e-9
"""Relative slack within which a limit on a sum of floats counts as kept."""


class Certificate(Frozen):
    """What is known about a result, and from whom."""

    status: Status
    bound: float | None = Field(default=None, description="no plan beats it; objective's unit")
    gap: float | None = Field(default=None, description="relative distance to the bound")
    solver: str
    runtime_s: float = Field(ge=0)
    scope: str = Field(default="", description="the set of plans that the status speaks of")
