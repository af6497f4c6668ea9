"""The problem in which options lead from one state to the next, and its exact searches."""

import planner.solve.layouts.check  # noqa: F401  # teaches `planner.solve.check` these problems
