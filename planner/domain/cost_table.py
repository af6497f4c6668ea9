"""Costs of every layer at every level of sparsity, on one group of nodes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from planner.domain.arrays import BoolArray, FloatArray, Frozen, IntArray


class CostTable(Frozen):
    """Arrays over L layers, K options and n nodes of one group.

    Option k of a layer is the k-th level of communication sparsity. Rows of layers that cannot
    be sparsified allow option 0 alone.
    """

    schema_version: Literal[1] = 1
    layer_names: tuple[str, ...]
    node_names: tuple[str, ...]
    levels: FloatArray = Field(description="(K,) nominal S_comm of each option")
    allowed: BoolArray = Field(description="(L, K)")
    decisions: IntArray = Field(description="(L,) layers of equal number take one option together")
    communicates: BoolArray = Field(description="(L,) mixing layers, the image's reader included")
    kept_features: IntArray = Field(description="(L, K, n, n) sender i to receiver j")
    comm_sparsity: FloatArray = Field(description="(L, K) S_comm that follows from the counts")
    comp_sparsity: FloatArray = Field(description="(L, K) share of the MACs that vanish")
    macs: IntArray = Field(description="(L, K, n) MACs that each node executes")
    wire_bytes: IntArray = Field(description="(L, K) bytes put on the wire by all nodes")
    comm_s: FloatArray = Field(description="(L, K)")
    compute_s: FloatArray = Field(description="(L, K)")
    latency_s: FloatArray = Field(description="(L, K)")
    medium_s: FloatArray = Field(description="(L, K) occupation of a shared medium, else 0")
    weight_bytes: IntArray = Field(description="(L, K, n) parameters that each node stores")
    live_bytes: IntArray = Field(description="(L, K, n) activations and receive buffers")
    measured: bool = Field(default=False, description="any layer's time was measured")

    @property
    def sparsifiable(self) -> NDArray[np.bool_]:
        """Layers that exchange features, shape (L,); the reader of the image does not."""
        sent = np.any(self.kept_features[:, 0] > 0, axis=(1, 2))
        exchanged: NDArray[np.bool_] = sent | (self.comm_sparsity[:, 0] > 0)  # at S = 1 none is
        return exchanged
