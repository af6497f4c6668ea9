"""How well each spreading rule predicts the published rows that it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.model import curve_model, monotone_envelope
from planner.accuracy.spreading import SPREADING_RULES, SpreadingRule, layer_weights
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
        alone = model.loss_points[:, -1] ** model.exponent
        cuts = _split_layers(curve, groups, sparsifiable)
        predicted = tuple(model.loss_of(float(alone[cut].sum())) for cut in cuts)
        scores.append(RuleScore(rule, predicted, published))
    return sorted(scores, key=lambda score: score.rmse_points)


@dataclass(frozen=True)
class FittedPower:
    """The power of a rule's shares that comes closest to the published rows.

    Attributes
    ----------
    power : float
        p where the network loses D·(Σ w)^p; 1 where losses add up, 1/2 where squares do.
    rmse_points : float
        Over the rows that it was fitted to.
    left_out_rmse_points : float
        Each row predicted by the power that was fitted to the others.
    """

    power: float
    rmse_points: float
    left_out_rmse_points: float


def fit_power(
    curve: AccuracyCurve,
    profile: ModelProfile,
    groups: list[range],
    sparsifiable: NDArray[np.bool_],
    rule: SpreadingRule,
) -> FittedPower:
    """Fit one number to the split rows, to see whether a rule that fits none is far from it.

    Parameters
    ----------
    curve, profile, groups, sparsifiable
        As `score_rules` takes them.
    rule : str
        Whose shares are taken.
    """
    from scipy.optimize import minimize_scalar  # half a second, which planning does without

    weights = layer_weights(rule, profile, sparsifiable)
    shares = np.array([weights[cut].sum() for cut in _split_layers(curve, groups, sparsifiable)])
    published = np.array([curve.dense - row.value for row in curve.splits])
    whole = float(monotone_envelope(curve)[1][-1])

    def errors(power: float) -> NDArray[np.float64]:
        found: NDArray[np.float64] = whole * shares**power - published
        return found

    def best(rows: NDArray[np.bool_]) -> float:
        found = minimize_scalar(
            lambda power: float(np.sum(errors(power)[rows] ** 2)), bounds=(0.05, 3.0)
        )
        return float(found.x)

    every = np.ones(len(published), dtype=np.bool_)
    left_out = [
        errors(best(np.arange(len(published)) != row))[row] for row in range(len(published))
    ]
    power = best(every)
    return FittedPower(
        power,
        float(np.sqrt(np.mean(errors(power) ** 2))),
        float(np.sqrt(np.mean(np.square(left_out)))),
    )


def _split_layers(
    curve: AccuracyCurve, groups: list[range], sparsifiable: NDArray[np.bool_]
) -> list[NDArray[np.bool_]]:
    """Layers without communication in each published split row."""
    return [
        independent_layers(row.strategy, groups, row.groups, sparsifiable) for row in curve.splits
    ]
