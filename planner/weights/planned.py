"""A plan on the very model that it was made for: its exchanges, its layers, its weights' masks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.stage import StageCosts
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.strategies.costed import cost_stages
from planner.weights.parameters import (
    Shape,
    StoredWeight,
    candidates,
    fits,
    is_module,
    owns_weight,
)


def planned_exchanges(plan: Plan, profile: ModelProfile) -> tuple[StageCosts, ...]:
    """What the layers of every stage exchange, one option each.

    Raises
    ------
    BadInputError
        The plan does not fit the profile, or was made for one with another SHA-256.
    """
    case = Case(profile, plan.cluster, plan.settings)
    stages = cost_stages(case, plan.stages).stages
    given, wanted = case.reference.profile_sha256, plan.model.profile_sha256
    if given != wanted:
        raise BadInputError(
            f"the profile of {profile.name[:80]!r} has the SHA-256 {given[:12]}…, the plan was "
            f"made for {wanted[:12]!r}…: profile the model as the plan had it (source, input "
            "shapes, batch, bits per weight)"
        )
    return stages


def check_layers(profile: ModelProfile, shapes: Mapping[str, Shape], label: str) -> None:
    """Refuse a model in which a weight of the profile is missing or has another shape.

    It looks at layers that are modules of their own and mix features, whether or not they are
    pruned. Prefixes, and another name of the whole, make no difference.

    Parameters
    ----------
    profile : ModelProfile
    shapes : mapping of str to tuple of int
        Of the model's state, by name.
    label : str
        What the model is called, for the message.

    Raises
    ------
    BadInputError
        One line: the layer, what was expected and what was found.
    """
    modules = _tensors_by_module(shapes)
    by_tail: dict[str, list[str]] = {}
    for path, names in modules.items():
        for tail in _tails(path, 1):
            by_tail.setdefault(tail, []).extend(names)
    for layer in profile.layers:
        if not layer.flow.mixes or not layer.weight_params or not owns_weight(layer):
            continue
        if not is_module(layer):  # its weight may have any name
            continue
        tails = (by_tail[tail] for tail in _tails(layer.name, 2) if tail in by_tail)
        held = modules.get(layer.name) or next(tails, None)
        if held is None:
            raise BadInputError(
                f"weights {label}: no layer {layer.name[:80]!r}; the plan has it with "
                f"{_expected(layer)}"
            )
        found = [shapes[name] for name in held if name.endswith(".weight")]
        if found and not any(fits(shape, layer) for shape in found):
            raise BadInputError(
                f"weights {label}: the weight of layer {layer.name[:80]!r} has the shape "
                f"{found[0][:8]}; the plan has the layer with {_expected(layer)}"
            )


def _tensors_by_module(shapes: Mapping[str, Shape]) -> dict[str, list[str]]:
    """Names of the tensors that every module holds itself, by the module's path."""
    found: dict[str, list[str]] = {}
    for name in shapes:
        path = name.rpartition(".")[0]
        found.setdefault(path, []).append(name)
        while path := path.rpartition(".")[0]:
            found.setdefault(path, [])
    return found


def _tails(path: str, least: int) -> Iterator[str]:
    """The path, and what is left of it without its first parts, down to so many parts."""
    yield path
    while path.count(".") >= least:
        path = path.partition(".")[2]
        yield path


def _expected(layer: LayerProfile) -> str:
    return (
        f"{layer.out_features} output and {layer.in_features} input features and "
        f"{layer.weight_params:,} weights"
    )


def spread_masks(
    profile: ModelProfile,
    stored: Mapping[int, StoredWeight],
    masks: Mapping[int, NDArray[np.bool_]],
    label: str,
) -> dict[str, NDArray[np.bool_]]:
    """The masks of a model's tensors, in their own shapes, by name.

    Parameters
    ----------
    profile : ModelProfile
    stored : mapping of int to StoredWeight
        The weight of every layer that is pruned, by the layer's row.
    masks : mapping of int to bool array of shape (O, I)
        Of the same layers.
    label : str
        What holds the tensors, for the message.

    Raises
    ------
    BadInputError
        One tensor is the weight of several layers with different masks.
    """
    arrays: dict[str, NDArray[np.bool_]] = {}
    for row, weight in stored.items():
        array = weight.spread(masks[row])
        if not np.array_equal(arrays.setdefault(weight.name, array), array):
            raise BadInputError(
                f"weights {label}: {weight.name[:90]!r} is the weight of several "
                f"layers, of which {profile.layers[row].name[:80]!r} keeps other sub-rows: "
                "one mask cannot serve them all"
            )
    return arrays


def check_ties(
    profile: ModelProfile,
    stored: Mapping[int, StoredWeight],
    label: str,
    apart: Collection[str] = (),
    first_names: Mapping[str, str] | None = None,
) -> None:
    """Refuse to prune a weight that a layer reads which the plan leaves whole.

    A weight that is read twice counts in the first layer alone.

    Parameters
    ----------
    profile : ModelProfile
    stored : mapping of int to StoredWeight
        The weight of every layer that is pruned, by the layer's row.
    label : str
        What holds the tensors, for the message.
    apart : collection of str
        Names that can have a mask of their own although they share their values with others.
    first_names : mapping of str to str, optional
        Of tensors that have several names, the one that ``stored`` has, by each of them.

    Raises
    ------
    BadInputError
        One line: the weight and a layer that reads it.
    """
    first = first_names or {}
    whole = {
        (layer.op, first.get(name, name))
        for row, layer in enumerate(profile.layers)
        if row not in stored and not owns_weight(layer)
        for name in candidates(layer.name)
    }
    owners = {weight.name for row, weight in stored.items() if owns_weight(profile.layers[row])}
    for row, weight in stored.items():
        layer = profile.layers[row]
        known = {weight.name, *candidates(layer.name)}
        read_again = any((layer.op, name) in whole for name in known)
        if read_again or not (weight.name in owners or weight.name in apart):
            raise BadInputError(
                f"weights {label}: {weight.name[:90]!r} of the layer {layer.name[:80]!r} is also "
                "read by a layer that the plan leaves whole: profile the model with two weights "
                "in its place, or prune neither"
            )
