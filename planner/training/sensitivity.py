"""What each layer alone loses at each level of sparsity, measured on the real model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
from torch import nn

from planner.case import Case
from planner.cost.table import CostTable
from planner.errors import BadInputError
from planner.strategies.baselines import plan_of_options
from planner.training.pruner import Pruner

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99, 1.0)

Point = tuple[str, float]
"""A layer's name and its S_comm."""


@dataclass(frozen=True)
class Measurement:
    """One layer sparse, all others dense.

    Attributes
    ----------
    layer : str
    sparsity : float
        S_comm that its whole features reach, from 0 to 1.
    loss : float
        Points of the metric that are lost against the dense model; negative where it gained.
    """

    layer: str
    sparsity: float
    loss: float


def sensitivity_points(
    case: Case, nodes: int, levels: tuple[float, ...] = LEVELS
) -> tuple[Point, ...]:
    """What is to be measured, layer by layer with rising sparsity.

    Levels at which a layer keeps the same whole features are one point.

    Raises
    ------
    BadInputError
        A level is not above 0 and at most 1, there are fewer than two nodes, transmissions are
        shared, or no layer exchanges features.
    """
    return tuple(_choices(_table(case, nodes, levels)))


def measure_sensitivities(
    model: nn.Module,
    case: Case,
    nodes: int,
    evaluate: Callable[[nn.Module], float],
    dense_value: float,
    *,
    levels: tuple[float, ...] = LEVELS,
    known: Collection[Point] = (),
) -> Iterator[Measurement]:
    """Prune one layer at a time on the first nodes of a cluster, and evaluate.

    Of every ordered pair of nodes the sub-rows of largest L1 norm stay (DISCO, section 3); nothing
    is trained, unless the evaluation does: it gets a copy of the model of its own.

    Parameters
    ----------
    model : torch.nn.Module
        Dense and trained; it is not changed.
    case : Case
        Its profile, as `profiles.from_torch.frontend.profile_module` makes it, on a cluster.
    nodes : int
    evaluate : callable
        The metric, more is better, of a model with one sparse layer.
    dense_value : float
        As `dense_quality` finds it.
    levels : tuple of float
        S_comm, above 0 and at most 1.
    known : collection of Point
        What need not be measured again.

    Raises
    ------
    BadInputError
        As `sensitivity_points`; the profile is not the model's; or the evaluation gives no finite
        number.
    """
    table = _table(case, nodes, levels)
    for point, (layer, level) in _choices(table).items():
        if point in known:
            continue
        choice = np.zeros(len(table.layer_names), dtype=np.int64)
        choice[layer] = level
        pruned = copy.deepcopy(model)
        pruner = Pruner(pruned, plan_of_options(case, table, choice, "one-layer"), case.profile)
        pruner.prune()
        pruner.finalize()
        where = f"with layer {point[0][:80]!r} at S_comm {point[1]:g}"
        yield Measurement(*point, dense_value - _finite(evaluate(pruned), where))


def dense_quality(model: nn.Module, evaluate: Callable[[nn.Module], float]) -> float:
    """What losses are counted from: the metric of a copy of the model as it is.

    Raises
    ------
    BadInputError
        It is no finite number.
    """
    return _finite(evaluate(copy.deepcopy(model)), "of the dense model")


def _finite(value: float, where: str) -> float:
    if not np.isfinite(value):
        raise BadInputError(
            f"sensitivity: the evaluation {where} gave {value}; a finite number is needed"
        )
    return float(value)


def _table(case: Case, nodes: int, levels: tuple[float, ...]) -> CostTable:
    """Dense and the levels, on nodes and with layers that allow them."""
    if nodes < 2:
        raise BadInputError(
            f"sensitivity: found {nodes} node(s); give 2 or more, one exchanges nothing"
        )
    if case.settings.share_inputs:
        raise BadInputError(
            "sensitivity: layers that share a transmission cannot be sparse alone; "
            "measure without share_inputs"
        )
    wrong = [level for level in levels if not 0 < level <= 1]
    if wrong or not levels:
        raise BadInputError(
            f"sensitivity: found level {wrong[0] if wrong else 'none'}; "
            "give S_comm above 0 and at most 1 (0.9, not 90)"
        )
    table = case.table(case.names(nodes), (0.0, *sorted(levels)))
    if not table.sparsifiable.any():
        raise BadInputError(
            f"{case.profile.name[:80]}: no layer exchanges features on {nodes} nodes, so that "
            "there is nothing to measure"
        )
    return table


def _choices(table: CostTable) -> dict[Point, tuple[int, int]]:
    """The layer and the level that each point stands for."""
    found: dict[Point, tuple[int, int]] = {}
    for layer in np.flatnonzero(table.sparsifiable).tolist():
        for level, sparsity in enumerate(table.comm_sparsity[layer].tolist()):
            if sparsity > 0:
                found.setdefault((table.layer_names[layer], sparsity), (layer, level))
    return found
