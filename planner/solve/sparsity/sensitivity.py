"""What binds in a sparsity choice: the dual prices of its limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.problem import SparsityProblem
from planner.solve.options.shadow_prices import shadow_prices as array_prices
from planner.solve.sparsity.search import memory_rows, sum_rows


@dataclass(frozen=True)
class ShadowPrice:
    """What a limit costs at the margin, in the linear relaxation.

    Attributes
    ----------
    name : str
        The limit's.
    seconds_per_unit : float
        Dual value: seconds saved per unit more of the limit; 0 where it does not bind.
    """

    name: str
    seconds_per_unit: float


def shadow_prices(problem: SparsityProblem, choice: NDArray[np.int64]) -> tuple[ShadowPrice, ...]:
    """Dual values of all limits, those on sums first, then those on memory.

    They are those of the linear relaxation in which no node's peak of live bytes exceeds the
    given choice's: a slope, valid for small changes. Limits that repeat another one share its
    price between them in no particular way.

    Parameters
    ----------
    problem : SparsityProblem
    choice : int array, shape (L,)
        The optimum.
    """
    prices = array_prices(
        problem.objective_s, problem.allowed, sum_rows(problem), memory_rows(problem), choice
    )
    names = [limit.name for limit in problem.sum_limits]
    names += [limit.name for limit in problem.memory_limits]
    return tuple(ShadowPrice(name, float(price)) for name, price in zip(names, prices, strict=True))
