"""Interpolation and averages as matrices, one for each dimension that a node has a part of."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def resampled(x: torch.Tensor, matrices: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """A tensor times a matrix along every dimension that has one.

    Parameters
    ----------
    x : tensor
    matrices : sequence of tensor or None
        Shape (entries of the result, entries of the tensor), for each dimension of the tensor.
    """
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            x = (x.movedim(axis, -1) @ matrix.to(x.dtype).T).movedim(-1, axis)
    return x
