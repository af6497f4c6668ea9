"""What a network is to the planner: a graph of layers with their work and their bytes."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, computed_field, model_validator

from planner.domain.arrays import Frozen

Count = Annotated[int, Field(ge=0, lt=2**62)]
Positive = Annotated[int, Field(ge=1, lt=2**62)]
Name = Annotated[str, Field(min_length=1, max_length=512)]

FeatureFlow = Literal["mixing", "grouped", "local", "concat", "slice", "shuffle", "one-node"]
"""How a layer's outputs depend on its input features, which decides what must be sent.

mixing    every output feature reads every input feature: communicates, can be sparsified
grouped   features come in ``groups`` equal runs, and outputs read the inputs of their own one
          (grouped convolution, products inside a head)
local     output feature i reads input feature i, or a block of outputs reads one input
concat    features of the inputs stand one behind the other
slice     a contiguous run of the input's features, from ``feature_start``
shuffle   the ``groups`` runs of the input's features interleaved
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
        default=0, description="bytes that every node tells every other (mean and variance)"
    )
    input_bytes: Count
    output_bytes: Count
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


class Provenance(Frozen):
    """Where a profile comes from."""

    front_end: Name
    source: str
    sha256: str | None = None
    tools: dict[str, str] = Field(default_factory=dict)
    note: str = ""


class Witness(Frozen):
    """A second counter's view of the same module."""

    tool: Name
    total_macs: Count = Field(description="sum over the operators that both count")
    skipped_ops: dict[str, Positive] = Field(default_factory=dict)
    note: str = ""


class Coverage(Frozen):
    """Which operators were counted, which cost nothing, which the planner does not know."""

    counted: dict[str, Positive] = Field(default_factory=dict)
    free: dict[str, Positive] = Field(
        default_factory=dict, description="known to have no multiply-accumulates by convention"
    )
    uncounted: dict[str, Positive] = Field(default_factory=dict)
    witness: Witness | None = None
    witness_note: str = Field(default="", description="why there is no witness, if so")

    @property
    def covered_share(self) -> float:
        """Share of operator nodes that are counted or known to be free."""
        known = sum(self.counted.values()) + sum(self.free.values())
        total = known + sum(self.uncounted.values())
        return known / total if total else 1.0


class Totals(Frozen):
    """Sums over the layers."""

    macs: Count
    params: Count
    param_bytes: Count
    layers: Count


class ModelProfile(Frozen):
    """A network as a graph of layers in topological order."""

    schema_version: Literal[1] = 1
    name: Name
    element_bytes: Positive = 4
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[Name, ...] = Field(min_length=1)
    layers: tuple[LayerProfile, ...] = Field(min_length=1, max_length=200_000)
    provenance: Provenance
    coverage: Coverage = Coverage()
    declared_totals: Totals | None = Field(
        default=None, alias="totals", exclude=True, description="of a saved profile; checked"
    )

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def totals(self) -> Totals:
        """Work and size of the whole network."""
        return Totals(
            macs=sum(layer.macs for layer in self.layers),
            params=sum(layer.params for layer in self.layers),
            param_bytes=sum(layer.param_bytes for layer in self.layers),
            layers=len(self.layers),
        )

    @model_validator(mode="after")
    def _is_a_graph_in_order(self) -> Self:
        known: dict[str, int] = {}
        for spec in self.inputs:
            if spec.name in known:
                raise ValueError(f"inputs: {spec.name!r} is there twice")
            if spec.bytes % spec.features:
                raise ValueError(f"inputs: bytes of {spec.name!r} are no multiple of its features")
            known[spec.name] = spec.features
        for layer in self.layers:
            _check_layer(layer, known)
            known[layer.name] = layer.out_features
        for output in self.outputs:
            if output not in known:
                raise ValueError(f"outputs: {output!r} is no layer and no input")
        if self.declared_totals not in (None, self.totals):
            raise ValueError(f"totals: the layers add up to {self.totals}")
        return self


def _check_layer(layer: LayerProfile, known: dict[str, int]) -> None:
    where = f"layer {layer.name!r}"
    if layer.name in known:
        raise ValueError(f"{where}: the name is there twice")
    if not layer.inputs:
        raise ValueError(f"{where}: has no inputs")
    for source in layer.inputs:
        if source not in known:
            raise ValueError(f"{where}: input {source!r} is no earlier layer and no model input")
    features = [known[source] for source in layer.inputs]
    if layer.feature_flow == "mixing" and layer.macs % (layer.in_features * layer.out_features):
        raise ValueError(f"{where}: MACs are no multiple of input times output features")
    if layer.feature_flow in ("mixing", "grouped", "slice") and features[0] != layer.in_features:
        raise ValueError(
            f"{where}: reads {features[0]} features of {layer.inputs[0]!r}, "
            f"declares {layer.in_features}"
        )
    if layer.feature_flow == "concat" and sum(features) != layer.out_features:
        raise ValueError(f"{where}: the inputs' features do not add up to its output's")
    if layer.feature_flow == "local" and layer.in_features not in features:
        raise ValueError(f"{where}: none of its inputs has the {layer.in_features} it declares")
    if layer.feature_flow == "local" and layer.out_features % layer.in_features:
        raise ValueError(f"{where}: output features are no multiple of input features")
    if layer.feature_flow == "slice" and (
        layer.feature_start + layer.out_features > layer.in_features
    ):
        raise ValueError(f"{where}: the slice ends behind its input's last feature")
    if layer.out_features % (layer.granularity * layer.segments):
        raise ValueError(f"{where}: output features are no multiple of segments times granularity")
    if layer.feature_flow in ("grouped", "shuffle") and (
        layer.in_features % layer.groups or layer.out_features % layer.groups
    ):
        raise ValueError(f"{where}: its groups do not divide its features")
    if layer.weight_params > layer.params:
        raise ValueError(f"{where}: more weights than parameters")
    if layer.feature_flow in ("mixing", "grouped") and layer.input_bytes % layer.in_features:
        raise ValueError(f"{where}: input bytes are no multiple of input features")
    if layer.output_bytes % layer.out_features:
        raise ValueError(f"{where}: output bytes are no multiple of output features")
