"""What can go wrong, and the exit code that a command ends with when it does."""

from __future__ import annotations

import sys
from pathlib import Path


def install_advice(extra: str) -> str:
    """How to get the libraries of an extra: no index has this package by its name."""
    environment, sources = Path(sys.prefix), Path(__file__).resolve().parents[1]
    # what `make app` made is not on the path: another pip would install for another Python
    pip = f"{environment.name}/bin/pip" if environment.resolve().parent == sources else "pip"
    return f"{pip} install '.[{extra}]' in the folder of the planner's sources"


class PlannerError(Exception):
    """Base of every error that is shown to a user as one plain line."""

    exit_code = 1


class BadInputError(PlannerError):
    """A file, field or option is not usable: says what, where, and what is allowed."""

    exit_code = 2


class InfeasibleError(PlannerError):
    """No plan fits: says which limit binds and by how much."""

    exit_code = 3


class SolverStoppedError(PlannerError):
    """The solver stopped, at its time limit for example, without any plan."""

    exit_code = 4


class NodeLostError(PlannerError):
    """A node of a run stopped, or never came: names it."""

    exit_code = 4


class InconsistentResultError(PlannerError):
    """A solver's answer disagrees with the raw numbers; a defect, never bad input."""

    exit_code = 70
