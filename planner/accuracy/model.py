"""Accuracy loss of every layer at any sparsity, in points of the task's metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import LossKind, PredictedLoss, total_score
from planner.accuracy.spreading import DEFAULT_RULE, SpreadingRule, exponent, layer_weights
from planner.cost.stage import StageCosts
from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Origin
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError


@dataclass(frozen=True)
class AccuracyModel:
    """Piecewise linear loss per layer; the losses, or their squares, add up.

    Attributes
    ----------
    name : str
        Such as ``curve:resnet50-imagenet/equal``.
    knots : float array, shape (P,)
        S_comm, rising from 0 to 1.
    loss_points : float array, shape (L, P)
        Loss of each layer alone at each knot, rising from 0; 0 for layers that are never
        sparsified.
    dense_value : float, optional
        The metric of the dense model; None where it is not known.
    metric : str
    nodes : int, optional
        Node count that it was measured on; any other is tagged ``assumed``.
    exponent : int
        Powers of the losses add up, so that the network's loss is the root of their sum
        (docs/accuracy.md, eq. A3).
    known_to : float array, shape (L,), optional
        The sparsity that each layer's loss is known up to; 1 by default.
    measured_at : tuple of float tuples, optional
        Sparsities at which each layer alone was measured; a spread curve has none.
    """

    name: str
    knots: NDArray[np.float64]
    loss_points: NDArray[np.float64]
    dense_value: float | None
    metric: str
    nodes: int | None
    exponent: int = 1
    known_to: NDArray[np.float64] | None = None
    measured_at: tuple[tuple[float, ...], ...] = ()

    @property
    def kind(self) -> LossKind:
        """It counts in points of a metric."""
        return "accuracy"

    @property
    def unit(self) -> str:
        """Of a loss, in words."""
        return "points"

    def layer_loss(self, sparsity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Loss of each layer alone in points, at sparsities of shape (L, K)."""
        loss = np.zeros(sparsity.shape)
        for row in np.flatnonzero(self.loss_points.any(axis=1)):  # most layers lose nothing
            loss[row] = np.interp(sparsity[row], self.knots, self.loss_points[row])
        return loss

    def scores(self, stage: StageCosts) -> NDArray[np.float64]:
        """What adds up over layers, (L, K): powers of losses; infinite where nothing is known.

        Whole features may take a layer beyond the sparsity that it was measured up to by half
        a feature; it counts as measured there, unless nothing is left to send.
        """
        sparsity = stage.table.comm_sparsity
        scores = self.layer_loss(sparsity) ** self.exponent
        if self.known_to is None:
            return scores
        slack = np.where(self.known_to > 0, _half_a_feature(stage), 0.0)
        inside = sparsity <= (self.known_to + slack)[:, None]
        inside &= (sparsity < 1.0) | (self.known_to[:, None] >= 1.0)
        idle = ~stage.table.sparsifiable
        return np.where(inside | idle[:, None], scores, np.inf)

    def score_limit(self, loss: float) -> float:
        """Sum of scores at a loss in points."""
        return loss**self.exponent

    def loss_of(self, score: float) -> float:
        """Loss in points at a sum of scores; the inverse of `score_limit`."""
        return float(score ** (1.0 / self.exponent))

    def predicted(self, stages: Sequence[StageCosts]) -> PredictedLoss:
        """Drop, and the metric's value where the dense one is known."""
        total = total_score(self, stages)
        if not np.isfinite(total):
            return PredictedLoss()
        drop = self.loss_of(total)
        value = None if self.dense_value is None else self.dense_value - drop
        return PredictedLoss(value, accuracy_drop=drop, origin=self._origin(stages))

    def _origin(self, stages: Sequence[StageCosts]) -> Origin:
        """Measured: the dense model, and one layer alone as it was measured; else assumed."""
        sparse = [(stage, int(row)) for stage in stages for row in stage.pruned_layers()]
        if not sparse:
            return "measured"
        stage, row = sparse[0]
        if len(sparse) > 1 or not self.measured_at or len(stage.table.node_names) != self.nodes:
            return "assumed"
        near = _half_a_feature(stage)[row]
        found = stage.table.comm_sparsity[row, 0]
        hit = any(abs(found - level) <= near for level in self.measured_at[row])
        return "measured" if hit else "assumed"


def _half_a_feature(stage: StageCosts) -> NDArray[np.float64]:
    """What rounding to whole features moves S_comm by at most, shape (L,)."""
    owners = stage.owners.inputs
    nodes = len(stage.table.node_names)
    fewest = [
        min((n for n in np.bincount(o[o >= 0], minlength=nodes) if n), default=1) for o in owners
    ]
    return 0.5 / np.array(fewest, dtype=np.float64) + 1e-12


def monotone_envelope(curve: AccuracyCurve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Uniform S_comm and the loss that a plan must reckon with there (docs/accuracy.md, eq. A1).

    Published points that beat the dense model count as no loss, and a point never promises
    less loss than a sparser one before it lost: the running maximum, at least 0.

    Returns
    -------
    knots, loss_points : float arrays, shape (P,)
    """
    knots = np.array([point.sparsity_percent for point in curve.disco]) / 100.0
    loss = np.array([curve.dense - point.value for point in curve.disco])
    return knots, np.maximum.accumulate(np.maximum(loss, 0.0))


def curve_model(
    curve: AccuracyCurve,
    profile: ModelProfile,
    sparsifiable: NDArray[np.bool_],
    rule: SpreadingRule = DEFAULT_RULE,
    *,
    own: bool = True,
) -> AccuracyModel:
    """Spread a published uniform curve over the layers of a model (docs/accuracy.md, eq. A2, A3).

    Parameters
    ----------
    curve : AccuracyCurve
    profile : ModelProfile
    sparsifiable : bool array, shape (L,)
        Layers that share the loss.
    rule : str
        How it is shared; an assumption, scored in `planner.accuracy.scores`.
    own : bool
        Whether the curve was published for this very model. Another model's curve says
        something about losses at best, and nothing about absolute values.

    Raises
    ------
    BadInputError
        The model has no layer that could be sparsified.
    """
    if not sparsifiable.any():
        raise BadInputError(
            f"{profile.name}: no layer exchanges features, so no accuracy curve applies to it"
        )
    knots, loss = monotone_envelope(curve)
    weights = layer_weights(rule, profile, sparsifiable)
    power = exponent(rule)
    return AccuracyModel(
        name=f"curve:{curve.name}/{rule}",
        knots=knots,
        loss_points=weights[:, None] ** (1.0 / power) * loss,
        dense_value=curve.dense if own else None,
        metric=curve.metric,
        nodes=curve.nodes,
        exponent=power,
    )
