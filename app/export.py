"""The folder that training starts from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from app.tables import plan_table, to_csv
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.weights.masks import LayerMask, needed_weights, plan_masks
from planner.weights.parameters import StoredWeight
from planner.weights.planned import check_ties, planned_exchanges, spread_masks
from profiles.catalog import model_names
from profiles.files import make_folder, one_line, write_atomically
from profiles.weights import read_weights

NO_TRAINING = "this plan drops nothing: the weights stay as they are, and no training is needed"
PLAN_FILE = "plan.json"
LAYERS_FILE = "layers.csv"
MASKS_FILE = "masks.safetensors"
FEATURES_FILE = "kept_features.json"
RECIPE_FILE = "recipe.yaml"
README_FILE = "README.md"
_TEXTS = Path(__file__).parent / "texts"


@dataclass(frozen=True)
class Masks:
    """What a plan keeps of a model's weights.

    Attributes
    ----------
    layers : tuple of LayerMask
        Of the layers that gather features; none where nothing is dropped.
    parameters : tuple of str or None
        Names of their weights in the file; None where nothing is pruned.
    arrays : dict of str to bool array
        By parameter, in the weight's own shape: true where it stays.
    shared : tuple of str
        Those of them that another module holds too, which the plan does not prune alike.
    """

    layers: tuple[LayerMask, ...]
    parameters: tuple[str | None, ...]
    arrays: dict[str, NDArray[np.bool_]]
    shared: tuple[str, ...] = ()


def plan_json(plan: Plan) -> str:
    """The plan as its published schema has it."""
    return plan.model_dump_json(indent=1) + "\n"


def find_masks(plan: Plan, profile: ModelProfile, weights: Path) -> Masks:
    """The sub-rows of a model's weights that a plan keeps, those of largest L1 norm.

    Parameters
    ----------
    plan : Plan
    profile : ModelProfile
        Of the model that the plan was made for.
    weights : Path
        See `profiles.weights.WEIGHT_FILES`.

    Raises
    ------
    BadInputError
        The plan was made for another profile or does not fit it, or the file does not hold the
        weights of every layer that is pruned.
    """
    stages = planned_exchanges(plan, profile)
    needed = needed_weights(stages)
    if not needed.any():  # nothing is dropped
        return Masks((), (), {})
    found = read_weights(weights, profile, needed)
    layers = plan_masks(stages, [None if weight is None else weight[0] for weight in found])
    pruned = {x.row: x.mask() for x in layers if x.prunes}
    stored = {row: _by_own_name(weight[1]) for row in pruned if (weight := found[row])}
    shared = tuple(weight.name for weight in stored.values() if weight.own_name)
    label = one_line(weights.name)
    arrays = spread_masks(profile, stored, pruned, label)
    check_ties(profile, stored, label, shared)
    planned = [layer for stage in plan.stages for layer in stage.layers]
    gathers = tuple(x for x in layers if planned[x.row].kept_features is not None)
    parameters = tuple(w.name if (w := stored.get(x.row)) else None for x in gathers)
    return Masks(gathers, parameters, arrays, shared)


def _by_own_name(weight: StoredWeight) -> StoredWeight:
    """A tensor that two modules hold has a mask in one of them, by that one's name."""
    return replace(weight, name=weight.own_name or weight.name)


def planned_model(plan: Plan, instead: str = "the SOURCE that it was made for") -> str:
    """The catalogue model of a plan's name.

    Parameters
    ----------
    plan : Plan
    instead : str
        What a user is told to give where there is none.

    Raises
    ------
    BadInputError
        There is none.
    """
    name = plan.model.name
    if name not in model_names():
        raise BadInputError(
            f"--model: the plan is for {one_line(name[:80])!r}, which is no catalogue model; "
            f"give {instead}"
        )
    return name


def export_plan(plan: Plan, folder: Path, masks: Masks | None = None) -> list[Path]:
    """Write the plan as ``plan.json`` and ``layers.csv``, and with masks all that training needs.

    With masks that prune anything also ``masks.safetensors``, ``kept_features.json``,
    ``recipe.yaml`` and a ``README.md`` that says what to do with them (docs/training.md).

    Raises
    ------
    BadInputError
        The folder cannot be made or written.
    """
    files: dict[str, str | bytes] = {
        PLAN_FILE: plan_json(plan),
        LAYERS_FILE: to_csv(plan_table(plan)),
    }
    if masks is not None and masks.arrays:
        files[MASKS_FILE] = save(masks.arrays, metadata={"format": "pt"})
        files[FEATURES_FILE] = features_json(plan, masks)
        files[RECIPE_FILE] = recipe(masks)
        files[README_FILE] = _readme(plan, masks)
    make_folder(folder, f"--to {one_line(str(folder))}")
    for name, content in files.items():
        write_atomically(folder / name, content)
    return [folder / name for name in files]


def features_json(plan: Plan, masks: Masks) -> str:
    """The features that each node holds, computes and sends, one line per layer."""
    head = {"schema_version": 1, "model": plan.model.name}
    names = [layer.name for stage in plan.stages for layer in stage.layers]
    lines = [
        json.dumps(
            {
                "layer": names[layer.row],
                "parameter": parameter,
                "nodes": layer.nodes,
                "holds": _runs_by_node(layer.input_owners, layer.nodes),
                "all_hold": _runs(layer.input_owners == REPLICATED),
                "computes": _runs_by_node(layer.output_owners, layer.nodes),
                "sends": list(_sends(layer)),
            }
        )
        for layer, parameter in zip(masks.layers, masks.parameters, strict=True)
    ]
    body = ",\n".join(lines)
    return f'{json.dumps(head)[:-1]}, "layers": [\n{body}\n]}}\n'


def recipe(masks: Masks) -> str:
    """A recipe for llm-compressor's ConstantPruningModifier, which keeps zeros at zero.

    It masks the parameter ``weight`` of modules, so that parameters of other names are left out.
    """
    modules = [name.removesuffix(".weight") for name in masks.arrays if name.endswith(".weight")]
    # anchored: a bare name would also stand for all modules of a class of that name
    targets = json.dumps([f"re:{re.escape(module)}$" for module in modules])
    return (
        "training_stage:\n  pruning_modifiers:\n    ConstantPruningModifier:\n"
        f"      targets: {targets}\n      start: 0\n"
    )


def _readme(plan: Plan, masks: Masks) -> str:
    text = (_TEXTS / "training.md").read_text("utf-8").replace("MODEL", one_line(plan.model.name))
    if not masks.shared:
        return text
    tied = (_TEXTS / "tied_weights.md").read_text("utf-8")
    return f"{text}\n{tied.replace('NAMES', json.dumps(sorted(set(masks.shared))))}"


def _sends(layer: LayerMask) -> Iterator[dict[str, Any]]:
    for sender, of_sender in zip(layer.nodes, layer.sent, strict=True):
        for receiver, features in zip(layer.nodes, of_sender, strict=True):
            if len(features):
                yield {"from": sender, "to": receiver, "features": features.tolist()}


def _runs_by_node(owners: NDArray[np.int16], nodes: tuple[str, ...]) -> dict[str, list[list[int]]]:
    return {name: _runs(owners == index) for index, name in enumerate(nodes)}


def _runs(chosen: NDArray[np.bool_]) -> list[list[int]]:
    """Where the true entries lie, as pairs of a first index and the one behind the last."""
    edges = np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8))
    return np.flatnonzero(edges).reshape(-1, 2).tolist()
