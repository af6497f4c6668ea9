"""Accuracy of the papers' baselines, as published."""

from __future__ import annotations

import numpy as np

from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Origin

Published = tuple[float, Origin]


def published_uniform(
    curve: AccuracyCurve, nodes: int, sparsity: float, *, random: bool = False
) -> Published | None:
    """The published value at a uniform S_comm, or one between two published points.

    Parameters
    ----------
    curve : AccuracyCurve
    nodes : int
        Values for another node count than the published one are tagged ``assumed``.
    sparsity : float
        S_comm from 0 to 1.
    random : bool
        The baseline that selects features at random.

    Returns
    -------
    (value, origin), or None without published points
    """
    points = {point.sparsity_percent: point.value for point in curve.disco}
    if random:
        if not curve.random:
            return None
        ends = {level: value for level, value in points.items() if level in (0.0, 100.0)}
        points = ends | {point.sparsity_percent: point.value for point in curve.random}
    percent = round(sparsity * 100.0, 9)
    if percent in points:
        same = nodes == curve.nodes or percent == 0
        return points[percent], curve.origin if same else "assumed"
    levels = sorted(points)
    if percent > levels[-1]:
        return None
    return float(np.interp(percent, levels, [points[level] for level in levels])), "assumed"


def published_split(
    curve: AccuracyCurve, nodes: int, strategy: str, groups: int
) -> Published | None:
    """The published value of a split baseline, or None."""
    for row in curve.splits:
        if (row.strategy, row.groups) == (strategy, groups):
            return row.value, curve.origin if nodes == curve.nodes else "assumed"
    return None
