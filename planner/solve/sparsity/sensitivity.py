"""What binds in a sparsity choice: dual prices of its limits, and the next step of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.domain.problem import MemoryLimit, SparsityProblem
from planner.solve.sparsity.lagrangian import Dual
from planner.solve.sparsity.layer_groups import LayerGroups, MemoryRow, SumRow
from planner.solve.sparsity.multiple_choice import Choice, choose
from planner.solve.sparsity.search import memory_rows, search_sparsity, sum_rows
from planner.solve.verify import memory_bytes

GAIN = 1e-6
"""Relative improvement of the objective from which a step counts as one."""

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


@dataclass(frozen=True)
class NextStep:
    """The least increase of one limit, all others kept, at which the optimum improves.

    Attributes
    ----------
    name : str
        The limit's.
    limit : float or None
        The limit at which it improves; None where no increase of this limit alone helps.
    saves_s : float
        Seconds saved there by the best choice.
    proven : bool
        Whether that is the least increase and the best choice there; if not, the search gave up.
    """

    name: str
    limit: float | None
    saves_s: float
    proven: bool


def shadow_prices(problem: SparsityProblem, choice: NDArray[np.int64]) -> tuple[ShadowPrice, ...]:
    """Dual values of all limits, those on sums first, then those on memory.

    They are those of the linear relaxation in which no node's peak of live bytes exceeds the
    given choice's: a slope, valid for small changes, unlike the steps of `next_step`. Limits that
    repeat another one share its price between them in no particular way.

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


def next_step(
    problem: SparsityProblem, name: str, objective_s: float, gain: float = GAIN
) -> NextStep:
    """The next step of a limit on a sum, or of one node's memory.

    The limit and the objective change places: the least that a choice takes of the limit among
    those that beat the optimum, and then the best choice within that.

    Parameters
    ----------
    problem : SparsityProblem
    name : str
        Of the limit; of limits of one name on several sums all are raised together.
    objective_s : float
        The optimum.
    gain : float, optional
        Relative improvement that counts.
    """
    better = objective_s - gain * abs(objective_s)
    caps: list[SumRow] = [(values, better) for values in problem.objective_s]
    mine = [limit for limit in problem.sum_limits if limit.name == name]
    caps += [(limit.values, limit.limit) for limit in problem.sum_limits if limit.name != name]
    if mine:
        values = np.stack([limit.values for limit in mine])
        found = choose(values, problem.allowed, caps, memory_rows(problem))
        least, closed = found.objective, found.closed
    else:
        memory = next(limit for limit in problem.memory_limits if limit.name == name)
        others = [limit for limit in problem.memory_limits if limit is not memory]
        rows = [(other.weight_bytes, other.live_bytes, other.limit_bytes) for other in others]
        least, closed = _least_memory(problem.allowed, memory, caps, rows)
    if not np.isfinite(least):
        return NextStep(name, None, 0.0, closed)
    after = search_sparsity(_raised(problem, name, least))
    return NextStep(name, least, objective_s - after.objective, closed and after.closed)


def _least_memory(
    allowed: NDArray[np.bool_], memory: MemoryLimit, sums: list[SumRow], rows: list[MemoryRow]
) -> tuple[float, bool]:
    """Least bytes of stored weights and peak together, one peak after the other."""
    weights = memory.weight_bytes.astype(np.float64)
    held = np.where(allowed, memory.live_bytes, np.iinfo(np.int64).max).min(axis=1).max()
    least, closed = np.inf, True
    for peak in np.unique(memory.live_bytes[allowed & (memory.live_bytes >= held)]).tolist():
        within = allowed & (memory.live_bytes <= peak)
        found: Choice = choose(weights, within, sums, rows, cutoff=least - peak)
        closed &= found.closed
        if found.choice is not None:
            need = memory_bytes(memory.weight_bytes, memory.live_bytes, found.choice)
            least = min(least, float(need))
    return least, closed


def _raised(problem: SparsityProblem, name: str, limit: float) -> SparsityProblem:
    """The problem with another limit of that name."""
    return problem.model_copy(
        update={
            "sum_limits": tuple(
                one.model_copy(update={"limit": limit}) if one.name == name else one
                for one in problem.sum_limits
            ),
            "memory_limits": tuple(
                one.model_copy(update={"limit_bytes": int(limit)}) if one.name == name else one
                for one in problem.memory_limits
            ),
        }
    )
