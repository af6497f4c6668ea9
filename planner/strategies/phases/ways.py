"""How a stage's layers run on several nodes in each phase, fixed from the first layer to the last.

Manners, each one way per layer and the conversions that it needs:

tensor-parallel
    Column- and row-parallel pairs (Megatron-LM): heads and inner numbers are divided, every node
    holds the hidden numbers whole, two all-reduces a block.
tokens
    Every node reads its own tokens of the prompt and holds all weights; keys and values are
    gathered (sequence parallelism).
first-node
    The group's first node does all of it.
whole-experts
    As tensor-parallel, but that every node holds whole experts of its own: what they make is added
    up by the same all-reduce, because the hidden numbers are on every node already.
replicated-attention
    As whole-experts, with all of attention on every node: one all-reduce a block.
tokens-and-experts
    As tokens, with whole experts by node: tokens are gathered in front of them (dispatch) and what
    they make is added up where the tokens came from (combine).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from planner.cost.experts import MOST_EXPERTS
from planner.cost.ways import MADE_IN
from planner.domain.language_model import Experts, LanguageModel
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import EXPERT_WAYS, Conversion, Layout, Way
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import LayerPlan, StagePlan
from planner.language import ATTENTION, HIDDEN, LAST_TOKEN

Manner = Literal[
    "tensor-parallel",
    "tokens",
    "first-node",
    "whole-experts",
    "replicated-attention",
    "tokens-and-experts",
]


@dataclass(frozen=True)
class Variant:
    """How a group of nodes runs its blocks in both phases.

    Attributes
    ----------
    prompt, step : Manner
    """

    prompt: Manner
    step: Manner

    def manner(self, phase: str) -> Manner:
        """Of a phase: chunks of a prompt are read as the prompt is."""
        return self.step if phase == "step" else self.prompt

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
WHOLE_EXPERTS = Variant("whole-experts", "whole-experts")
EXPERT_VARIANTS = (
    WHOLE_EXPERTS,
    Variant("replicated-attention", "replicated-attention"),
    Variant("tokens-and-experts", "whole-experts"),
    Variant("tokens-and-experts", "replicated-attention"),
)
"""Those beside them where a model has experts. Both phases have the same experts on a node."""


def variants_of(model: LanguageModel, step_alone: bool = False) -> tuple[Variant, ...]:
    """Those that are searched for a model; where the step alone counts, one for each manner."""
    experts = [kind.mlp for kind in model.kinds if isinstance(kind.mlp, Experts)]
    placed = bool(experts) and all(each.count <= MOST_EXPERTS for each in experts)
    found = (*VARIANTS, *(EXPERT_VARIANTS if placed else ()))
    if not step_alone:
        return found
    return tuple(variant for variant in found if variant.prompt == variant.step)


BY_TOKENS: tuple[Manner, ...] = ("tokens", "tokens-and-experts")
"""Manners in which every node has its own tokens of the hidden numbers between two blocks."""
_BY_EXPERTS: tuple[Manner, ...] = ("whole-experts", "replicated-attention", "tokens-and-experts")


def lies_behind(layer: LayerProfile, manner: Manner) -> Layout:
    """How the output of a layer at whose end a stage may end lies there."""
    if manner == "first-node":
        return "one-node"
    return "positions" if manner in BY_TOKENS and _is_parted(layer) else "whole"


def stage_of(
    profile: ModelProfile,
    nodes: tuple[str, ...],
    manner: Manner,
    rows: range,
    on_host: Collection[int] = (),
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
    on_host : collection of int
        Those of them that the nodes' hosts run.
    """
    layers = profile.layers
    if len(nodes) == 1:
        alone = tuple(
            LayerPlan(name=layers[row].name, nodes=1, on_host=row in on_host) for row in rows
        )
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
                on_host=row in on_host,
            )
        )
    return StagePlan(nodes=nodes, layers=tuple(plans), arrives=arrives)


def experts_of(profile: ModelProfile, rows: range) -> list[int]:
    """Those of some layers that chosen experts run."""
    return [row for row in rows if profile.layers[row].routing is not None]


def _is_parted(layer: LayerProfile) -> bool:
    """Whether a layer makes several tokens, which can be shared out."""
    return layer.positions is not None and layer.positions.parts


def _way(layer: LayerProfile, manner: Manner, lies: dict[str, Layout], ops: dict[str, str]) -> Way:
    if manner == "first-node":
        return "one-node"
    if manner in _BY_EXPERTS and layer.routing is not None:
        return "expert-sums" if layer.routing.place == "last" else "experts"
    if manner in BY_TOKENS and _is_parted(layer):
        return "positions"
    if manner == "replicated-attention" and ATTENTION in layer.name:
        return "whole"
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
    if way in EXPERT_WAYS:
        routing = layer.routing
        assert routing is not None
        weighs = routing.place == "inner" and at == len(layer.inputs) - 1
        return "whole" if weighs or routing.place == "first" else "experts"
    if way == "positions" and layer.positions is not None and layer.positions.reads[at] is None:
        return "whole"
    return MADE_IN[way]


def rows_of_units(profile: ModelProfile) -> list[range]:
    """Layers that a cut never parts: the embedding, every block, the end, and the head.

    The head reads one token of every request: a stage may begin in front of it.
    """
    names = [layer.name for layer in profile.layers]
    starts = [0]
    begin = names.index(HIDDEN) + 1
    for row, name in enumerate(names):
        if name.startswith("layers.") and name.count(".") == 1:  # the sum that ends a block
            starts.append(begin)
            begin = row + 1
    end = names.index(LAST_TOKEN)
    starts += [end, len(names) - 1]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(names)], strict=True)]
