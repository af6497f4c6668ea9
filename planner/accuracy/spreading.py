"""Rules that share a network's loss out among its layers. Each is an assumption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile

SpreadingRule = Literal[
    "equal",
    "activations",
    "weights",
    "macs",
    "equal-squares",
    "activations-squares",
    "weights-squares",
    "macs-squares",
]
SPREADING_RULES: tuple[SpreadingRule, ...] = get_args(SpreadingRule)
DEFAULT_RULE: SpreadingRule = "equal-squares"
"""The rule that comes closest to the published split rows (docs/accuracy.md)."""

_SQUARES = "-squares"
_MEASURES: dict[str, Callable[[LayerProfile], int]] = {
    "equal": lambda layer: 1,
    "activations": lambda layer: layer.input_bytes,
    "weights": lambda layer: layer.weight_params,
    "macs": lambda layer: layer.macs,
}


def exponent(rule: SpreadingRule) -> int:
    """2 where the squares of the layers' losses add up, 1 where the losses do."""
    return 2 if rule.endswith(_SQUARES) else 1


def layer_weights(
    rule: SpreadingRule, profile: ModelProfile, sparsifiable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share of each layer in the network's loss at uniform sparsity, or in its square.

    Parameters
    ----------
    rule : {"equal", "activations", "weights", "macs"} or the same with ``-squares``
        Equal shares, or in proportion to input bytes, weights or MACs.
    sparsifiable : bool array, shape (L,)

    Returns
    -------
    float array, shape (L,), summing to 1 and 0 outside the sparsifiable layers
    """
    measure = _MEASURES[rule.removesuffix(_SQUARES)]
    raw = np.array([float(measure(layer)) for layer in profile.layers])
    raw = np.where(sparsifiable, raw, 0.0)
    if raw.sum() == 0:
        raw = sparsifiable.astype(float)
    shares: NDArray[np.float64] = raw / raw.sum()
    return shares
