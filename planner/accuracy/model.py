"""Accuracy loss of every layer at any sparsity, in points of the task's metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.spreading import DEFAULT_RULE, SpreadingRule, layer_weights
from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Origin
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError


@dataclass(frozen=True)
class AccuracyModel:
    """Piecewise linear loss per layer; losses of layers add up.

    Attributes
    ----------
    name : str
        Such as ``curve:resnet50-imagenet/equal``.
    knots : float array, shape (P,)
        S_comm, rising from 0 to 1.
    loss_points : float array, shape (L, P)
        Loss of each layer at each knot, rising from 0; 0 for layers that are never sparsified.
    dense_value : float, optional
        The metric of the dense model; None where the curve is another model's.
    metric : str
    nodes : int
        Node count that it was measured on; any other is tagged ``assumed``.
    """

    name: str
    knots: NDArray[np.float64]
    loss_points: NDArray[np.float64]
    dense_value: float | None
    metric: str
    nodes: int

    def layer_loss(self, sparsity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Loss of each layer in points, at sparsities of shape (L, K)."""
        return np.stack(
            [
                np.interp(row, self.knots, loss)
                for row, loss in zip(sparsity, self.loss_points, strict=True)
            ]
        )

    @property
    def origin(self) -> Origin:
        """Tag of a predicted loss: spreading a curve over layers is an assumption."""
        return "assumed"


def monotone_envelope(curve: AccuracyCurve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Uniform S_comm and the loss that a plan must reckon with there.

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
    """Spread a published uniform curve over the layers of a model.

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
    return AccuracyModel(
        name=f"curve:{curve.name}/{rule}",
        knots=knots,
        loss_points=weights[:, None] * loss,
        dense_value=curve.dense if own else None,
        metric=curve.metric,
        nodes=curve.nodes,
    )
