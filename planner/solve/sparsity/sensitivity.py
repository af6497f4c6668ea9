"""What binds in a sparsity choice: the dual prices of its limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.certificate import SparsityProblem
from planner.solve.sparsity.lagrangian import Dual
from planner.solve.sparsity.layer_groups import LayerGroups, SumRow
from planner.solve.sparsity.search import sum_rows

_EXACT = 1e-13  # of the dual's optimum, in units of the largest cost


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
    layers = np.arange(len(choice))
    allowed = problem.allowed.copy()
    capped: list[SumRow] = sum_rows(problem)
    for memory in problem.memory_limits:
        peak = int(memory.live_bytes[layers, choice].max())
        allowed &= memory.live_bytes <= peak
        weights = memory.weight_bytes.astype(np.float64)
        capped.append((weights, float(memory.limit_bytes - peak)))
    groups = LayerGroups(problem.objective_s, allowed, capped, ())
    prices = np.zeros(len(capped))
    prices[groups.kept] = Dual(groups.rows).improve(_EXACT).multipliers
    names = [limit.name for limit in problem.sum_limits]
    names += [limit.name for limit in problem.memory_limits]
    return tuple(ShadowPrice(name, float(price)) for name, price in zip(names, prices, strict=True))
