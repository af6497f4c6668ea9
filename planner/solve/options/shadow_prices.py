"""What the limits of a choice cost at the margin (docs/options.md, eq. O13)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.solve.deadline import Deadline
from planner.solve.options.effort import Effort
from planner.solve.options.knapsack import Bools, Floats, Ints, Knapsack, MemoryRow, SumRow
from planner.solve.options.lagrangian import Dual

_EXACT = 1e-13  # of the dual's optimum, in units of the largest cost: what floats can tell
_EFFORT = 1_000_000  # of the thousand pivots of a dual at most; a choice's own limits take tens


def shadow_prices(
    costs: Floats,
    allowed: Bools,
    sums: Sequence[SumRow],
    memories: Sequence[MemoryRow],
    choice: Ints,
    deadline: Deadline | None = None,
) -> Floats:
    """Dual values of all limits at a choice, those on sums first, then those on memory.

    They are those of the linear relaxation in which no node's peak of live bytes exceeds the
    choice's: a slope, valid for small changes. Limits that repeat another one share its price
    between them in no particular way.

    Parameters
    ----------
    costs, allowed, sums, memories
        As of `planner.solve.options.multiple_choice.choose`.
    choice : int array, shape (L,)
        The optimum.
    deadline : Deadline, optional
        From then on prices are rough.

    Returns
    -------
    float array, shape (number of sum limits + number of memory limits,)
        Objective saved per unit more of the limit; 0 where it does not bind.
    """
    layers, capped = np.arange(len(choice)), list(sums)
    for weights, live, limit in memories:
        peak = int(live[layers, choice].max())
        allowed = allowed & (live <= peak)
        capped.append((weights.astype(np.float64), float(limit - peak)))
    problem = Knapsack(costs, allowed, capped, ())
    dual = Dual(problem.classes).improve(_EXACT, np.inf, Effort(_EFFORT, deadline))
    prices = np.zeros(len(capped))
    prices[problem.breakable] = dual.multipliers
    return prices
