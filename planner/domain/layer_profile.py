"""A layer and a tensor of a model, as profiles hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from planner.domain.arrays import Frozen
from planner.domain.cluster import NonNegativeFloat, OperatorKind
from planner.domain.flows import FLOWS, FeatureFlow, Flow
from planner.domain.kinds import kind_of
from planner.domain.positions import Geometry

Count = Annotated[int, Field(ge=0, lt=2**62)]
Positive = Annotated[int, Field(ge=1, lt=2**62)]
Name = Annotated[str, Field(min_length=1, max_length=512)]


class Routing(Frozen):
    """Equal networks of which every vector takes some: a layer is one part of all of them."""

    experts: Positive
    taken: Positive = Field(description="by every vector")
    shared: Count = Field(default=0, description="equal ones beside them that every vector takes")
    vectors: Positive
    place: Literal["first", "inner", "last"] = Field(
        description="reads what comes to all, lies between, or joins what a vector's experts make"
    )

    @property
    def pairs(self) -> int:
        """Vectors with an expert of theirs."""
        return self.vectors * (self.taken + self.shared)


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
    params: Count = Field(description="trainable parameters, but for those of earlier layers")
    shared_params: Count = Field(
        default=0,
        exclude_if=lambda count: not count,  # profiles without it stay the same text
        description="parameters that it reads and an earlier layer counts",
    )
    weight_params: Count = Field(
        default=0, description="parameters that join an input feature to an output feature"
    )
    param_bytes: Count = Field(description="bytes of parameters and stored statistics")
    shared_bytes: dict[Name, Annotated[int, Field(ge=1, lt=2**62)]] = Field(
        default_factory=dict,
        exclude_if=lambda found: not found,
        description="of these, bytes that an earlier layer stores too, by the last one that does",
    )
    weight_bytes: Count | None = Field(
        default=None,
        exclude_if=lambda size: size is None,  # profiles without it stay the same text
        description="of these, bytes of the layer's weights where they have a width of their own; "
        "none: a weight takes as many whole bytes as the parameters do",
    )
    cache_bytes: Count = Field(
        default=0,
        exclude_if=lambda size: not size,  # profiles without it stay the same text
        description="of param_bytes, room for what it keeps of tokens: keys and values",
    )
    cache_token_bytes: Count = Field(
        default=0,
        exclude_if=lambda size: not size,
        description="of these, for one token of one request",
    )
    cache_parts: Positive = Field(
        default=1,
        exclude_if=lambda parts: parts == 1,
        description="equal parts that these bytes divide into: heads of keys and values",
    )
    read_bytes: Count | None = Field(
        default=None,
        exclude_if=lambda size: size is None,
        description="of param_bytes, what one run reads: experts that are taken, tokens that are "
        "kept so far; none: all",
    )
    routing: Routing | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="whose matrices, or whose numbers, these are where experts are chosen",
    )
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
    positions: Geometry | None = Field(
        default=None, description="rows of a map or tokens; none: not known to be parted by them"
    )
    samples: Geometry | None = Field(default=None, description="samples of a batch, likewise")
    scaling: Count | None = Field(
        default=None, description="which of ``reshaping.numbers`` this layer's follow; none: fixed"
    )
    witness_macs: Count | None = Field(default=None, description="fvcore's count of this layer")
    measured_s: dict[str, NonNegativeFloat] = Field(
        default_factory=dict, description="measured seconds by device type"
    )

    @property
    def flow(self) -> Flow:
        """How its outputs depend on its input features."""
        return FLOWS[self.feature_flow]

    @property
    def kind(self) -> OperatorKind | None:
        """What a device may run at a rate of its own; None where it costs no time."""
        return kind_of(self)

    @property
    def likeness(self) -> tuple[object, ...]:
        """Equal for layers that do the same work, whichever of them stores what they read."""
        work = (self.op, self.feature_flow, self.in_features, self.out_features, self.macs)
        sizes = (self.param_bytes, self.input_bytes, self.output_bytes)
        return (*work, *sizes, self.cache_bytes, self.read_bytes)

    @property
    def touched_bytes(self) -> int:
        """Bytes of parameters, inputs and output: what the whole layer reads and writes."""
        stored = self.param_bytes if self.read_bytes is None else self.read_bytes
        return stored + self.input_bytes + self.output_bytes

    @property
    def read_share(self) -> float:
        """Share of what it stores that one run reads."""
        if self.read_bytes is None or not self.param_bytes:
            return 1.0
        return self.read_bytes / self.param_bytes

    @property
    def own_bytes(self) -> int:
        """Bytes of parameters that no earlier layer stores."""
        return self.param_bytes - sum(self.shared_bytes.values())

    @property
    def read_params(self) -> int:
        """Parameters that it reads, whichever layer counts them."""
        return self.params + self.shared_params

    @property
    def mixing_weight_bytes(self) -> int:
        """Bytes of ``weight_params``, which shrink with the pairs of features that are left."""
        if not self.weight_params:
            return 0
        if self.weight_bytes is not None:
            return self.weight_bytes
        each, _ = divmod(self.param_bytes, self.read_params)
        if each:  # biases may be wider
            return self.weight_params * each
        return self.weight_params * self.param_bytes // self.read_params

    @property
    def input_feature_bytes(self) -> int:
        """Bytes of one input feature, e in the cost model."""
        return self.input_bytes // self.in_features

    @property
    def output_feature_bytes(self) -> int:
        """Bytes of one output feature."""
        return self.output_bytes // self.out_features

    def check(self, known: Mapping[str, int]) -> None:
        """Hold it against the features of the tensors before it, by name.

        Raises
        ------
        ValueError
            It breaks the contract of its feature flow.
        """
        for wrong in self._broken(known):
            raise ValueError(f"layer {self.name!r}: {wrong}")

    def _broken(self, known: Mapping[str, int]) -> Iterator[str]:
        if not self.inputs:
            yield "has no inputs"
        for source in self.inputs:
            if source not in known:
                yield f"input {source!r} is no earlier layer and no model input"
        if wrong := self.flow.check(self, [known[source] for source in self.inputs]):
            yield wrong
        if self.out_features % (self.granularity * self.segments):
            yield "output features are no multiple of segments times granularity"
        if self.weight_params > self.read_params:
            yield "more weights than parameters"
        if self.weight_bytes is not None and self.weight_bytes > self.param_bytes:
            yield "more bytes of weights than of parameters"
        if self.cache_bytes > self.param_bytes or (self.read_bytes or 0) > self.param_bytes:
            yield "more bytes are kept or read than are stored"
        if self.cache_bytes % self.cache_parts:
            yield "cache bytes are no multiple of their parts"
        if self.routing is not None and self.macs % self.routing.pairs:
            yield "MACs are no multiple of vectors times experts that these take"
        if self.own_bytes < 0:
            yield "more shared bytes than bytes of parameters"
        if self.output_bytes % self.out_features:
            yield "output bytes are no multiple of output features"
        for name, geometry in (("positions", self.positions), ("samples", self.samples)):
            if geometry is None:
                continue
            if len(geometry.reads) != len(self.inputs):
                yield f"{name} do not say of every input which of it are read"
            if self.output_bytes % (self.out_features * max(geometry.count, 1)):
                yield f"output bytes are no multiple of output features times {name}"


class TensorSpec(Frozen):
    """A model input or output. ``features`` counts along the feature axis."""

    name: Name
    shape: tuple[Positive, ...]
    bytes: Count
    features: Positive
    positions: Count = Field(default=0, description="rows or tokens; 0 if it has none")
    samples: Count = Field(default=0, description="of a batch; 0 if it has none that are followed")
    dtype: Name = "float32"

    def check(self) -> None:
        """Hold a model input against itself; a broken contract is a ValueError."""
        if self.bytes % self.features:
            raise ValueError(f"inputs: bytes of {self.name!r} are no multiple of its features")
