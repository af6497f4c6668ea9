"""A plan's masks on a torch model while it trains: DISCO's prune and fine-tune (its section 3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from planner.accuracy.ranking import Magnitudes, magnitudes
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.training.masked import SubRowMask, attach, detach, first_names, masked, read_apart
from planner.training.schedule import largest_sparsity, round_progress
from planner.weights.masks import LayerMask, needed_weights, plan_masks
from planner.weights.parameters import StoredWeight, stored_weights
from planner.weights.planned import check_layers, check_ties, planned_exchanges, spread_masks

Selection = Literal["largest", "random"]


class Pruner:
    """Keeps of a model's weights what a plan keeps, step by step (docs/training.md).

    Make it after the model and before the optimizer, `torch.compile` and DDP; parameters stay the
    same objects. Weights that are pruned read as 0, whatever the optimizer stores for them.

    Parameters
    ----------
    model : torch.nn.Module
    plan : Plan
    profile : ModelProfile
        Of this model, as the plan was made for it.
    selection : {"largest", "random"}
        Sub-rows of largest L1 norm stay, or sub-rows chosen at random (the papers' baseline).
    seed : int
        Of the random choice.

    Raises
    ------
    BadInputError
        One line: the plan was made for another profile, or does not fit the model (a layer's
        weight is missing, or has another shape or values that are not finite), or one weight
        serves several layers that keep different sub-rows.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        profile: ModelProfile,
        *,
        selection: Selection = "largest",
        seed: int = 0,
    ) -> None:
        if selection not in ("largest", "random"):
            raise BadInputError(f"selection {selection!r}: 'largest' or 'random'")
        if isinstance(model, DistributedDataParallel):
            raise BadInputError(
                "DistributedDataParallel would not hear of gradients any more: make the pruner "
                "first, and wrap the model then"
            )
        self._model, self._profile = model, profile
        self._selection, self._seed = selection, seed
        self._stages = planned_exchanges(plan, profile)
        self._plan = _digest(plan)
        self._progress, self._finalized = 0.0, False
        self._label = type(model).__name__
        needed = np.flatnonzero(needed_weights(self._stages)).tolist()
        self._stored = self._weights(needed)
        target = plan_masks(self._stages, self._magnitudes())
        self._pruned = {layer.row: layer for layer in target if layer.prunes}
        spread = self._spread(self._pruned)
        named = {row: self._stored[row] for row in self._pruned}
        check_ties(profile, named, self._label, read_apart(model), first_names(model))
        self._masks: dict[str, SubRowMask] = {name: attach(model, name) for name in spread}

    @property
    def progress(self) -> float:
        """How much of the way to the plan was gone, from 0 to 1."""
        return self._progress

    @property
    def masks(self) -> dict[str, Tensor]:
        """True where a weight stays, by the parameter's name and in its shape.

        They are the model's own, so that they change as it is pruned.
        """
        return {name: module.mask for name, module in self._masks.items()}

    def prune(self, progress: float = 1.0) -> None:
        """Take sub-rows away, until each ordered pair of nodes keeps its count of this round.

        Those of least L1 norm among what is left go first, as the weights are now; a sub-row that
        went stays away.

        Parameters
        ----------
        progress : float
            Share of the way from all sub-rows (0) to the plan's counts (1).

        Raises
        ------
        BadInputError
            The progress is not from 0 to 1, or less than before; or a weight holds NaN or
            infinity.
        """
        if not 0.0 <= progress <= 1.0:
            raise BadInputError(f"progress {progress}: a number from 0 to 1 is needed")
        if self._finalized:
            raise BadInputError("this pruner is finalized: make another for another plan")
        before = self._kept()
        found = plan_masks(self._stages, self._magnitudes(), progress, before.values())
        kept = {layer.row: layer for layer in found if layer.prunes}
        for row, layer in kept.items():
            if np.any(layer.mask() & ~before[row].mask()):
                raise BadInputError(
                    f"progress {progress:g}: layer {self._profile.layers[row].name[:80]!r} keeps "
                    "less already; what is pruned does not come back"
                )
        for name, array in self._spread(kept).items():
            mask = self._masks[name].mask
            mask.copy_(torch.tensor(array))
        self._progress = float(progress)

    def rounds(self, fraction: float) -> Iterator[float]:
        """Prune round by round up to the plan; the caller fine-tunes in between.

        ``for _ in pruner.rounds(0.1): train(model)`` takes a further tenth of the sub-rows (of
        the layer that loses most, in others less) before each training. After a resume it goes
        on with the round behind the last one that was begun.

        Parameters
        ----------
        fraction : float
            See `planner.training.schedule.round_progress`.

        Yields
        ------
        float
            The progress, up to 1.
        """
        for progress in round_progress(fraction, largest_sparsity(self._pruned.values())):
            if progress > self._progress:
                self.prune(progress)
                yield progress

    def finalize(self) -> None:
        """Leave plain parameters, in which what is pruned is 0; the pruner is of no more use.

        A parameter that modules hold in common is parted.
        """
        for name in self._masks:
            detach(self._model, name)
        self._masks, self._finalized = {}, True

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs besides the model's state, which holds the masks."""
        return {
            "progress": self._progress,
            "selection": self._selection,
            "seed": self._seed,
            "plan": self._plan,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was written; the model's state is loaded by itself.

        Raises
        ------
        BadInputError
            It was written for another plan, selection or seed.
        """
        for key, value in self.state_dict().items():
            if key not in state:
                raise BadInputError(f"pruner's state: no {key!r}")
            found = state[key]
            if key == "progress":
                if not isinstance(found, float) or not 0.0 <= found <= 1.0:
                    raise BadInputError(
                        f"pruner's state: progress {found!r} is no number from 0 to 1"
                    )
            elif found != value:
                raise BadInputError(
                    f"pruner's state: {key} {str(found)[:12]!r}, this pruner has "
                    f"{str(value)[:12]!r}"
                )
        self._progress = state["progress"]

    def _weights(self, needed: list[int]) -> dict[int, StoredWeight]:
        """Where the model stores the weights of some layers, by row."""
        state = self._model.state_dict()
        if any(name.endswith(".parametrizations.weight.0.mask") for name in state):
            raise BadInputError(f"{self._label}: has a pruner already; finalize it first")
        shapes = {name: tuple(t.shape) for name, t in state.items() if isinstance(t, Tensor)}
        layers = [self._profile.layers[row] for row in needed]
        check_layers(self._profile, shapes, self._label)
        found = stored_weights(shapes, layers, self._label) if layers else {}
        first = first_names(self._model)
        weights = {}
        for row, layer in zip(needed, layers, strict=True):
            weight = found[layer.name]
            tensor = state[weight.name]
            if tensor.is_meta or not tensor.dtype.is_floating_point:
                kind = "no values" if tensor.is_meta else f"the element type {tensor.dtype}"
                raise BadInputError(
                    f"weights {self._label}: the weight of layer {layer.name!r} has {kind}; "
                    "floating point is needed"
                )
            weights[row] = replace(weight, name=first.get(weight.name, weight.name))
        return weights

    def _magnitudes(self) -> list[Magnitudes | None]:
        """What ranks the sub-rows of every layer, by row: L1 norms as they are, or by chance."""
        found: list[Magnitudes | None] = [None] * len(self._profile.layers)
        for row, weight in self._stored.items():
            layer = self._profile.layers[row]
            values = masked(self._model, weight.name).float().cpu().numpy()
            size = weight.by_output(magnitudes(values))
            if not np.isfinite(size).all():
                raise BadInputError(
                    f"weights {self._label}: the weight of layer {layer.name!r} holds NaN or "
                    "infinity"
                )
            if self._selection == "random":  # one draw per weight, so that its readers agree
                chance = np.random.default_rng([self._seed, crc32(weight.name.encode())])
                size = chance.random(size.shape, dtype=np.float32)
            found[row] = size
        return found

    def _kept(self) -> dict[int, LayerMask]:
        """What the model's masks keep, by row."""
        kept = {}
        for row, layer in self._pruned.items():
            weight = self._stored[row]
            mask: NDArray[np.bool_] = self._masks[weight.name].mask.cpu().numpy()
            kept[row] = layer.like(weight.folded(mask))
        return kept

    def _spread(self, layers: dict[int, LayerMask]) -> dict[str, NDArray[np.bool_]]:
        named = {row: self._stored[row] for row in layers}
        masks = {row: layer.mask() for row, layer in layers.items()}
        return spread_masks(self._profile, named, masks, self._label)


def _digest(plan: Plan) -> str:
    """Of what a plan keeps, to tell it from others."""
    kept = [[x.nodes, [[y.name, y.kept_features] for y in x.layers]] for x in plan.stages]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()
