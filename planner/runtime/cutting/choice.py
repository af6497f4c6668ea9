"""Which sub-rows the slices keep, and whether the model's weights agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from planner.accuracy.ranking import Magnitudes, magnitudes
from planner.cost.stage import StageCosts
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.runtime.cutting.products import weight_of
from planner.runtime.reading.template import Template
from planner.weights.masks import LayerMask, needed_weights, plan_masks


def chosen_masks(
    profile: ModelProfile,
    stages: Sequence[StageCosts],
    templates: Mapping[str, Template],
    given: Sequence[LayerMask] | None,
    *,
    select: bool,
) -> tuple[LayerMask, ...]:
    """What every layer that exchanges features keeps.

    Parameters
    ----------
    profile : ModelProfile
    stages : sequence of StageCosts
    templates : mapping of str to Template
    given : sequence of LayerMask, optional
        Instead of those of largest L1 norm.
    select : bool
        Accept weights that are not zero where the plan drops them.

    Raises
    ------
    BadInputError
        A layer's weight is not known to the runtime or holds NaN; the given masks do not fit the
        plan; or a dropped weight is not zero. Names the layer.
    """
    sizes: list[Magnitudes | None] = [None] * len(profile.layers)
    for row in np.flatnonzero(needed_weights(stages)).tolist():
        sizes[row] = _magnitudes(profile.layers[row].name, templates)
    masks = plan_masks(stages, sizes)
    if given is not None:
        _check_given(profile, masks, given)
        _check_nested(profile, stages, given)
        masks = tuple(given)
    for mask in masks:
        size = sizes[mask.row]
        if mask.prunes and size is not None and not select:
            _check_zero(profile.layers[mask.row].name, size, mask)
    return masks


def _magnitudes(name: str, templates: Mapping[str, Template]) -> Magnitudes:
    weight = weight_of(templates[name])
    if weight is None:
        raise BadInputError(
            f"layer {name!r}: the runtime does not know which features the weight of "
            f"{templates[name].target} joins"
        )
    size = magnitudes(weight.detach().to(torch.float32).numpy())
    if np.isnan(size).any():
        raise BadInputError(f"layer {name!r}: its weight holds NaN")
    return size


def _check_given(
    profile: ModelProfile, planned: Sequence[LayerMask], given: Sequence[LayerMask]
) -> None:
    by_row = {mask.row: mask for mask in given}
    for mask in planned:
        name = profile.layers[mask.row].name
        other = by_row.pop(mask.row, None)
        if other is None:
            raise BadInputError(f"masks: there is none for the layer {name!r}")
        owners = zip(
            (mask.input_owners, mask.output_owners),
            (other.input_owners, other.output_owners),
            strict=True,
        )
        same = other.nodes == mask.nodes and all(np.array_equal(a, b) for a, b in owners)
        counts = [
            [[len(features) for features in row] for row in item.sent] for item in (mask, other)
        ]
        if not same or counts[0] != counts[1]:
            raise BadInputError(f"masks: that of the layer {name!r} is not of this plan")
    if by_row:
        name = profile.layers[min(by_row)].name
        raise BadInputError(f"masks: the layer {name!r} has one, but exchanges nothing")


def _check_nested(
    profile: ModelProfile, stages: Sequence[StageCosts], given: Sequence[LayerMask]
) -> None:
    """One transmission serves all receivers where each hears a part of the largest subset."""
    shared = {name for s in stages if s.casting == "broadcast" for name in s.table.node_names}
    for mask in given:
        for sent in mask.sent if mask.nodes[0] in shared else ():
            largest = max(sent, key=len)
            if not all(np.isin(features, largest).all() for features in sent):
                raise BadInputError(
                    f"masks: in the layer {profile.layers[mask.row].name!r} a node's receivers "
                    "have subsets that are no parts of one another; the plan broadcasts one"
                )


def _check_zero(name: str, size: Magnitudes, mask: LayerMask) -> None:
    left = int(np.count_nonzero(size[~mask.mask()]))
    if left:
        raise BadInputError(
            f"layer {name!r}: {left} of the pairs of features that the plan drops have weights "
            "other than zero: slice the pruned model, or ask for a selection by L1 norm (select)"
        )
