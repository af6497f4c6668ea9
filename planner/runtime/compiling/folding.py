"""Batch norm as part of the convolution or product that feeds it.

``(W x + b − μ) γ / √(σ² + ε) + β`` is ``W' x + b'`` with ``s = γ / √(σ² + ε)``, ``W' = s W`` and
``b' = s (b − μ) + β``, for every feature of the output; worked out in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from planner.runtime.compiling.tracing import aten, constant, value_of, with_constant

_CONVOLUTIONS = frozenset(
    {
        *(aten.conv1d.default, aten.conv2d.default, aten.conv3d.default),
        *(aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding),
    }
)
_PRODUCTS = _CONVOLUTIONS | {aten.linear.default}


@dataclass(frozen=True, eq=False)
class _Norm:
    """What a batch norm does to a feature: times ``scale``, plus ``shift``, in double precision."""

    scale: torch.Tensor
    shift: torch.Tensor


def fold_batch_norm(module: fx.GraphModule) -> int:
    """Fold every batch norm whose input is a convolution's or product's that nothing else reads.

    Parameters
    ----------
    module : GraphModule
        Changed; its old tensors are not.

    Returns
    -------
    int
        How many were folded.
    """
    folded = 0
    for node in list(module.graph.nodes):
        norm = _norm(node)
        source = node.args[0] if norm else None
        if norm is None or not isinstance(source, fx.Node) or not _takes(source):
            continue
        _fold(source, norm)
        node.replace_all_uses_with(source)
        module.graph.erase_node(node)
        folded += 1
    module.graph.eliminate_dead_code()
    module.recompile()
    return folded


def _norm(node: fx.Node) -> _Norm | None:
    """A batch norm that is not in training."""
    if node.target is not aten.batch_norm.default or node.args[5]:
        return None
    weight, bias, mean, variance = (constant(item) for item in node.args[1:5])
    eps = node.args[7]
    if mean is None or variance is None or not isinstance(eps, float):
        return None
    scale = (variance.double() + eps).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    return _Norm(scale, shift if bias is None else shift + bias.double())


def _takes(source: fx.Node) -> bool:
    """Whether a node's weight and bias can take a batch norm in."""
    if source.target not in _PRODUCTS or len(source.users) != 1:
        return False
    weight, bias = source.args[1], (*source.args, None)[2]
    known = constant(weight) is not None and (bias is None or constant(bias) is not None)
    return known and (source.target in _CONVOLUTIONS or value_of(source).dim() == 2)


def _fold(source: fx.Node, norm: _Norm) -> None:
    weight, bias = constant(source.args[1]), constant((*source.args, None)[2])
    assert weight is not None
    scaled = weight.double() * norm.scale.reshape(-1, *[1] * (weight.dim() - 1))
    moved = norm.shift if bias is None else norm.shift + bias.double() * norm.scale
    source.args = (
        source.args[0],
        with_constant(source, "folded_weight", scaled.to(weight.dtype)),
        with_constant(source, "folded_bias", moved.to(weight.dtype)),
        *source.args[3:],
    )
