"""Kinds of operators: what a device may run at a rate of its own, and what costs it no time."""

from __future__ import annotations

from typing import Protocol

from planner.domain.cluster import OperatorKind
from planner.domain.flows import Flow

FREE = frozenset(
    "alias batch_norm contiguous dequantizelinear dropout embedding expand flatten identity "
    "permute reshape select slice split squeeze transpose unsqueeze view".split()
)
"""Operators without MACs that cost no time: views of what is there, a batch norm that a runtime
folds into the convolution before it, and an embedding, which reads a few rows of its table."""


class OfSomeKind(Protocol):
    """What the kind of a layer follows from (`planner.domain.layer_profile.LayerProfile`)."""

    @property
    def op(self) -> str:
        """Its operator's name."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""

    @property
    def weight_params(self) -> int:
        """Parameters that join an input feature to an output feature."""

    @property
    def in_features(self) -> int:
        """I."""

    @property
    def out_features(self) -> int:
        """O."""

    @property
    def flow(self) -> Flow:
        """How its outputs depend on its input features."""


def kind_of(layer: OfSomeKind) -> OperatorKind | None:
    """The kind of a layer; None where it costs no time.

    A convolution between all features is a 1×1 one where it has one weight for each pair of them,
    else one of a larger window; one within features or groups of them is a depthwise one.
    """
    if not layer.macs:
        return None if layer.op in FREE else "element-wise"
    if not layer.op.startswith("conv"):
        return "linear" if layer.flow.mixes or layer.op == "linear" else "attention"
    if not layer.flow.mixes:
        return "depthwise"
    pairs = layer.in_features * layer.out_features
    return "conv-1x1" if layer.weight_params <= pairs else "conv"
