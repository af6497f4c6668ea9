"""Layers that nodes finish from each other's partial results.

Every node works out a few numbers per position from its own features (`begin`) and finishes the
layer from those of all nodes (`finish`). Means and squared deviations are merged pairwise exactly
(Chan, Golub, LeVeque, 1979), so that no accuracy is lost to large means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

Part = tuple[int, torch.Tensor]
"""Elements that a partial result is of, and its numbers: shape (numbers, positions...)."""

NUMBERS = {
    **dict.fromkeys(
        (
            "all amax amin any count_nonzero linalg_vector_norm max mean min norm prod rms_norm sum"
        ).split(),
        1,
    ),
    **dict.fromkeys("layer_norm softmax log_softmax std var logsumexp".split(), 2),
}
"""Numbers per position that a node tells the others."""

_MOMENTS = frozenset({"layer_norm", "std", "var"})
_EXPONENTIAL = frozenset({"softmax", "log_softmax", "logsumexp"})


def begin(kernel: str, x: torch.Tensor, dims: list[int], dtype: torch.dtype | None) -> torch.Tensor:
    """The numbers of a node's own features, shape (numbers, *x with dims of size 1)."""
    x = x if dtype is None else x.to(dtype)
    if kernel in _MOMENTS:
        mean = x.mean(dims, keepdim=True)
        return torch.stack([mean, (x - mean).square().sum(dims, keepdim=True)])
    if kernel in _EXPONENTIAL:
        largest = x.amax(dims, keepdim=True)
        return torch.stack([largest, (x - largest).exp().sum(dims, keepdim=True)])
    if kernel in ("amax", "max"):
        return x.amax(dims, keepdim=True)[None]
    if kernel in ("amin", "min"):
        return x.amin(dims, keepdim=True)[None]
    if kernel in ("all", "any", "prod"):
        for dim in dims:
            x = _folded(kernel, x, dim)
        return x[None]
    if kernel == "count_nonzero":
        return (x != 0).sum(dims, keepdim=True)[None]
    if kernel in ("norm", "linalg_vector_norm", "rms_norm"):
        x = x.square()
    return x.sum(dims, keepdim=True)[None]


def finish(
    kernel: str, parts: Sequence[Part], x: torch.Tensor | None, arguments: dict[str, Any]
) -> torch.Tensor:
    """What a node makes of all nodes' numbers.

    Parameters
    ----------
    kernel : str
    parts : sequence of Part
        Of every node that holds any features, in the nodes' order.
    x : tensor or None
        The node's own features, where the result is of their shape.
    arguments : dict
        Of the step.
    """
    total = sum(count for count, _ in parts)
    if kernel in _MOMENTS:
        mean, squares = _merged(parts, total)
        if kernel in ("std", "var"):
            variance: torch.Tensor = squares / max(total - arguments["correction"], 0.0)
            return variance.sqrt() if kernel == "std" else variance
        assert x is not None
        return _scaled(x - mean, squares / total, arguments)
    if kernel in _EXPONENTIAL:
        largest = torch.stack([part[0] for _, part in parts]).amax(0)
        scale = sum((part[0] - largest).exp() * part[1] for _, part in parts)
        assert isinstance(scale, torch.Tensor)
        if kernel == "logsumexp":
            return largest + scale.log()
        assert x is not None
        shifted = (x if arguments["dtype"] is None else x.to(arguments["dtype"])) - largest
        return shifted - scale.log() if kernel == "log_softmax" else shifted.exp() / scale
    numbers = torch.stack([part[0] for _, part in parts])
    if kernel in ("amax", "max"):
        return numbers.amax(0)
    if kernel in ("amin", "min"):
        return numbers.amin(0)
    if kernel in ("all", "any", "prod"):
        return _folded(kernel, numbers, 0)[0]
    summed = numbers.sum(0)
    if kernel == "mean":
        return summed / total
    if kernel == "rms_norm":
        assert x is not None
        return _scaled(x, summed / total, arguments)
    return summed.sqrt() if kernel in ("norm", "linalg_vector_norm") else summed


def _folded(kernel: str, x: torch.Tensor, dim: int) -> torch.Tensor:
    if kernel == "prod":
        return x.prod(dim, keepdim=True)
    return x.all(dim, keepdim=True) if kernel == "all" else x.any(dim, keepdim=True)


def _merged(parts: Sequence[Part], total: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean, and sum of squared deviations from it, of all parts together."""
    mean = sum(count / total * part[0] for count, part in parts)
    squares = sum(part[1] + count * (part[0] - mean).square() for count, part in parts)
    assert isinstance(mean, torch.Tensor) and isinstance(squares, torch.Tensor)
    return mean, squares


def _scaled(x: torch.Tensor, mean_square: torch.Tensor, arguments: dict[str, Any]) -> torch.Tensor:
    eps = arguments["eps"]
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    made = x * (mean_square + eps).rsqrt()
    weight, bias = arguments["weight"], arguments["bias"]
    made = made if weight is None else made * weight
    return made if bias is None else made + bias
