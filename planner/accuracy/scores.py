"""How well each spreading rule predicts the published rows that it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.model import curve_model
from planner.accuracy.spreading import SPREADING_RULES, SpreadingRule
from planner.domain.accuracy import AccuracyCurve
from planner.domain.model_profile import ModelProfile


@dataclass(frozen=True)
class RuleScore:
    """Predicted against published losses of the split rows, in points."""

    rule: SpreadingRule
    predicted: tuple[float, ...]
    published: tuple[float, ...]

    @property
    def rmse_points(self) -> float:
        """Root mean square error over the rows."""
        error = np.array(self.predicted) - np.array(self.published)
        return float(np.sqrt(np.mean(error**2)))


def independent_layers(
    strategy: str, groups: list[range], independent: int, sparsifiable: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Layers with S_comm = 1 in a dense-then-split or split-then-aggregate baseline.

    Parameters
    ----------
    strategy : {"dense-then-split", "split-then-aggregate"}
    groups : list of range
        Block groups in order.
    independent : int
        Number of groups without communication: the last ones, or the first.
    sparsifiable : bool array, shape (L,)

    Returns
    -------
    bool array, shape (L,)
    """
    chosen = groups[-independent:] if strategy == "dense-then-split" else groups[:independent]
    mask = np.zeros(len(sparsifiable), dtype=np.bool_)
    for group in chosen:
        mask[group.start : group.stop] = True
    return mask & sparsifiable


def score_rules(
    curve: AccuracyCurve,
    profile: ModelProfile,
    groups: list[range],
    sparsifiable: NDArray[np.bool_],
) -> list[RuleScore]:
    """Score every rule against the curve's published split rows, best first.

    Parameters
    ----------
    curve : AccuracyCurve
        With ``splits``.
    profile, groups, sparsifiable
        The model, its block groups and the layers that can be sparsified.
    """
    published = tuple(curve.dense - row.value for row in curve.splits)
    scores = []
    for rule in SPREADING_RULES:
        model = curve_model(curve, profile, sparsifiable, rule)
        predicted = tuple(
            float(
                model.loss_points[
                    independent_layers(row.strategy, groups, row.groups, sparsifiable), -1
                ].sum()
            )
            for row in curve.splits
        )
        scores.append(RuleScore(rule, predicted, published))
    return sorted(scores, key=lambda score: score.rmse_points)
