"""Measured sensitivities: what each layer alone costs at the sparsities that were tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.model import AccuracyModel
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError

MAX_CELLS = 20_000_000
"""Layers times different sparsities, eight bytes each."""


@dataclass(frozen=True)
class Sensitivities:
    """Measurements of single layers.

    Attributes
    ----------
    source : str
        The file's name.
    points : mapping of layer to mapping of S_comm (0 to 1) to loss in points
    lines : mapping of layer to int
        Where the file first names it.
    metric : str
    dense_value : float, optional
        The metric of the dense model.
    nodes : int, optional
        How many nodes they were measured on.
    """

    source: str
    points: Mapping[str, Mapping[float, float]]
    lines: Mapping[str, int]
    metric: str = ""
    dense_value: float | None = None
    nodes: int | None = None


def measured_model(
    found: Sensitivities, profile: ModelProfile, sparsifiable: NDArray[np.bool_]
) -> AccuracyModel:
    """An accuracy model from measurements; losses of layers add up (docs/accuracy.md, eq. A4).

    Each layer's loss is the running maximum of its measurements, at least 0, linear between
    them, and unknown beyond the sparsest. Rows of layers that exchange nothing are not needed
    and change nothing.

    Parameters
    ----------
    found : Sensitivities
    profile : ModelProfile
    sparsifiable : bool array, shape (L,)

    Raises
    ------
    BadInputError
        A layer that the model does not have, a layer that exchanges features without any row,
        no layer that exchanges features, or too many different sparsities.
    """
    names = [layer.name for layer in profile.layers]
    if not sparsifiable.any():
        raise BadInputError(
            f"{profile.name}: no layer exchanges features, so no sensitivities apply to it"
        )
    known = set(names)
    for name in found.points:
        if name not in known:
            near = get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadInputError(
                f"{found.source}, line {found.lines[name]}: layer {name[:80]!r} is not in "
                f"{profile.name}{hint}"
            )
    wanted = [name for name, needed in zip(names, sparsifiable, strict=True) if needed]
    missing = [name for name in wanted if name not in found.points]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise BadInputError(
            f"{found.source}: layer {missing[0][:80]!r}{more} exchanges features and has no row; "
            "give every such layer one, with sparsity 0 and loss 0 where it must stay dense"
        )
    levels = {0.0, 1.0}.union(*(found.points[name] for name in wanted))
    if len(names) * len(levels) > MAX_CELLS:
        raise BadInputError(
            f"{found.source}: {len(levels):,} different sparsities for {len(names):,} layers; "
            f"at most {MAX_CELLS:,} pairs of them are kept"
        )
    knots = np.array(sorted(levels))
    loss = np.zeros((len(names), len(knots)))
    known_to = np.ones(len(names))
    measured_at: list[tuple[float, ...]] = [()] * len(names)
    for row, name in enumerate(names):
        if not sparsifiable[row]:
            continue
        points = {0.0: 0.0} | dict(found.points[name])
        at = sorted(points)
        envelope = np.maximum.accumulate([max(points[level], 0.0) for level in at])
        loss[row] = np.interp(knots, at, envelope)
        known_to[row] = at[-1]
        measured_at[row] = tuple(at[1:])
    return AccuracyModel(
        name=f"csv:{found.source}",
        knots=knots,
        loss_points=loss,
        dense_value=found.dense_value,
        metric=found.metric,
        nodes=found.nodes,
        known_to=known_to,
        measured_at=tuple(measured_at),
    )
