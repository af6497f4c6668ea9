"""Three readings of how many features a sparsity keeps, and what they cost."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from planner.cost.layers import LayerCosts, layer_costs
from planner.cost.sparsity import FeatureCounts, kept_features, kept_fractions
from planner.cost.table import group_shares
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings

Reading = Literal["fractional", "whole, at least one", "whole, none allowed"]
READINGS: tuple[Reading, ...] = ("fractional", "whole, at least one", "whole, none allowed")


def costs_at(
    profile: ModelProfile,
    group: Cluster,
    sparsity: float,
    reading: Reading,
    settings: CostSettings,
) -> LayerCosts[Any]:
    """Costs of every layer at one sparsity on all nodes of a group; arrays have one option."""
    shares = group_shares(profile, group)
    levels = np.array([sparsity])
    if reading == "whole, at least one":
        sent: Any = kept_features(shares.kinds.owned, levels)
    else:
        sent = kept_fractions(shares.kinds.owned, levels)
        if reading == "whole, none allowed":
            sent = np.floor(sent + 0.5)
    counts = FeatureCounts.by_sender(shares, sent)
    return layer_costs(profile, group, settings, shares, counts, [])
