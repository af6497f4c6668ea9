"""Where a file stores the weight of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StoredWeight:
    """How a file stores the weight of a layer.

    Attributes
    ----------
    name : str
        The tensor's name in the file: a torch module's parameter, an ONNX initializer.
    shape : tuple of int
    output_axis, input_axis : int
        Where the output and the input features lie; a kernel has the other axes.
    """

    name: str
    shape: tuple[int, ...]
    output_axis: int = 0
    input_axis: int = 1

    def spread(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of pairs of features, shape (O, I), over the stored tensor."""
        pattern = mask if self.output_axis < self.input_axis else mask.T
        sides = {self.output_axis: mask.shape[0], self.input_axis: mask.shape[1]}
        pattern = pattern.reshape([sides.get(axis, 1) for axis in range(len(self.shape))])
        # contiguous: safetensors writes a view's memory, whatever its strides
        return np.ascontiguousarray(np.broadcast_to(pattern, self.shape))
