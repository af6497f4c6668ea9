"""How a stage's layers run on several nodes in each phase, fixed from the first layer to the last.

Three manners, each one way per layer and the conversions that it needs:

tensor-parallel
    Column- and row-parallel pairs (Megatron-LM): heads and inner numbers are divided, every node
    holds the hidden numbers whole, two all-reduces a block.
tokens
    Every node reads its own tokens of the prompt and holds all weights; keys and values are
    gathered (sequence parallelism).
first-node
    The group's first node does all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from planner.cost.ways import MADE_IN
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import Conversion, Layout, Way
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import LayerPlan, StagePlan
from planner.language import HIDDEN as FIRST
from planner.language import LAST_TOKEN

Manner = Literal["tensor-parallel", "tokens", "first-node"]


@dataclass(frozen=True)
class Variant:
    """How a group of nodes runs its blocks in both phases.

    Attributes
    ----------
    prompt, step : Manner
    """

    prompt: Manner
    step: Manner

    @property
    def name(self) -> str:
        """In words."""
        if self.prompt == self.step:
            return self.prompt
        return f"{self.prompt}, then {self.step}"


TENSOR_PARALLEL = Variant("tensor-parallel", "tensor-parallel")
VARIANTS = (
    TENSOR_PARALLEL,
    Variant("tokens", "tensor-parallel"),
    Variant("tokens", "first-node"),
)
"""Those that a search looks at, on groups of two nodes or more."""

HIDDEN: dict[Manner, Layout] = {
    "tensor-parallel": "whole",
    "tokens": "positions",
    "first-node": "one-node",
}
"""How the hidden numbers lie between two blocks."""


def lies_behind(layer: LayerProfile, manner: Manner) -> Layout:
    """How the output of a layer at whose end a stage may end lies there."""
    tokens_end = manner == "tokens" and not _is_parted(layer)
    return "whole" if tokens_end else HIDDEN[manner]


def stage_of(
    profile: ModelProfile, nodes: tuple[str, ...], manner: Manner, rows: range
) -> StagePlan:
    """The stage of some layers on a group; what the layer before them makes is handed over.

    Parameters
    ----------
    profile : ModelProfile
    nodes : tuple of str
    manner : Manner
        On one node it does not matter.
    rows : range
        Layers of the profile.
    """
    layers = profile.layers
    if len(nodes) == 1:
        alone = tuple(LayerPlan(name=layers[row].name, nodes=1) for row in rows)
        return StagePlan(nodes=nodes, layers=alone)
    ops = {layer.name: layer.op for layer in layers}
    lies: dict[str, Layout] = {spec.name: "whole" for spec in profile.inputs}
    arrives: tuple[tuple[str, Layout], ...] = ()
    if rows.start:
        before = layers[rows.start - 1]
        lies[before.name] = lies_behind(before, manner)
        arrives = ((before.name, lies[before.name]),)
    plans = []
    for row in rows:
        way = _way(layers[row], manner, lies, ops)
        steps = tuple(_conversions(layers[row], way, lies))
        lies[layers[row].name] = MADE_IN[way]
        plans.append(
            LayerPlan(
                name=layers[row].name,
                nodes=len(nodes),
                way=way,
                layout=MADE_IN[way],
                conversions=steps,
            )
        )
    return StagePlan(nodes=nodes, layers=tuple(plans), arrives=arrives)


def _is_parted(layer: LayerProfile) -> bool:
    """Whether a layer makes several tokens, which can be shared out."""
    return layer.positions is not None and layer.positions.parts


def _way(layer: LayerProfile, manner: Manner, lies: dict[str, Layout], ops: dict[str, str]) -> Way:
    if manner == "first-node":
        return "one-node"
    if manner == "tokens" and _is_parted(layer):
        return "positions"
    if layer.flow.mixes:
        # heads and inner numbers are divided; all else is read whole
        return "sums" if ops.get(layer.inputs[0]) in ("attention", "mul") else "outputs"
    divided = any(lies[name] == "features" for name in layer.inputs)
    if layer.op == "attention" or (layer.op == "mul" and divided):
        return "features"
    return "whole"


def _conversions(layer: LayerProfile, way: Way, lies: dict[str, Layout]) -> Iterator[Conversion]:
    """What a layer's inputs must be brought to; how they lie then is kept."""
    for at, name in enumerate(dict.fromkeys(layer.inputs)):
        target = _needed(layer, way, at)
        while (now := lies[name]) not in (target, "whole"):
            through: Layout = "features" if now == "sums" and target == "whole" else target
            yield Conversion(tensor=name, source=now, target=through)
            lies[name] = through


def _needed(layer: LayerProfile, way: Way, at: int) -> Layout:
    if way == "sums":
        return "features"
    if way == "outputs":
        return "whole"
    if way == "positions" and layer.positions is not None and layer.positions.reads[at] is None:
        return "whole"
    return MADE_IN[way]


def rows_of_units(profile: ModelProfile) -> list[range]:
    """Layers that a cut never parts: the embedding, every block, the end, and the head.

    The head reads one token of every request: a stage may begin in front of it.
    """
    names = [layer.name for layer in profile.layers]
    starts = [0]
    begin = names.index(FIRST) + 1
    for row, name in enumerate(names):
        if name.startswith("layers.") and name.count(".") == 1:  # the sum that ends a block
            starts.append(begin)
            begin = row + 1
    end = names.index(LAST_TOKEN)
    starts += [end, len(names) - 1]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(names)], strict=True)]
