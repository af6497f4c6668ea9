"""A layer and a tensor of a model, as profiles hold them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.domain.arrays import Frozen

Count = Annotated[int, Field(ge=0, lt=2**62)]
Positive = Annotated[int, Field(ge=1, lt=2**62)]
Name = Annotated[str, Field(min_length=1, max_length=512)]

FeatureFlow = Literal[
    "mixing", "grouped", "local", "concat", "slice", "shuffle", "reduce", "one-node"
]
"""How a layer's outputs depend on its input features, which decides what must be sent.

mixing    every output feature reads every input feature: communicates, can be sparsified
grouped   features come in ``groups`` equal runs, and outputs read the inputs of their own one
          (grouped convolution, products inside a head)
local     output feature i reads input feature i, or a block of outputs reads one input
concat    features of the inputs stand one behind the other
slice     a contiguous run of the input's features, from ``feature_start``
shuffle   the ``groups`` runs of the input's features interleaved
reduce    one feature out of all (a sum, a maximum): every node works out its own features' part
          and tells the others, and all hold the result
one-node  anything else: its inputs are gathered on one node, which runs it alone
"""


class LayerProfile(Frozen):
    """One operator of the network.

    ``in_features`` and ``out_features`` are I and O of DISCO; ``elements_per_feature`` is the
    size of one input feature (H·W of a convolution's map, the tokens of a token vector).
    """

    name: Name
    op: Name
    inputs: tuple[Name, ...] = Field(description="names of producing layers or model inputs")
    feature_flow: FeatureFlow
    macs: Count = Field(description="multiply-accumulates for one run of the model")
    params: Count = Field(description="trainable parameters")
    weight_params: Count = Field(
        default=0, description="parameters that join an input feature to an output feature"
    )
    param_bytes: Count = Field(description="bytes of parameters and stored statistics")
    in_features: Positive
    out_features: Positive
    elements_per_feature: Positive
    output_elements_per_feature: Positive
    groups: Positive = 1
    granularity: Positive = Field(default=1, description="output shares are cut at multiples")
    segments: Positive = Field(
        default=1, description="equal runs of outputs (q, k and v), each shared out alike"
    )
    feature_start: Count = Field(default=0, description="first feature, for a slice")
    statistics_bytes: Count = Field(
        default=0, description="bytes that every node tells every other (mean and variance, sum)"
    )
    input_bytes: Count
    output_bytes: Count
    scaling: Count | None = Field(
        default=None, description="which of ``reshaping.numbers`` this layer's follow; none: fixed"
    )
    witness_macs: Count | None = Field(default=None, description="fvcore's count of this layer")
    measured_s: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="measured seconds by device type"
    )

    @property
    def input_feature_bytes(self) -> int:
        """Bytes of one input feature, e in the cost model."""
        return self.input_bytes // self.in_features


class TensorSpec(Frozen):
    """A model input or output. ``features`` counts along the feature axis."""

    name: Name
    shape: tuple[Positive, ...]
    bytes: Count
    features: Positive
    dtype: Name = "float32"
