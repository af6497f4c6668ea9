"""What measuring leaves behind: a document per device, and one of the links between devices."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.domain.arrays import Frozen
from planner.domain.cluster import (
    Figure,
    Medium,
    Name,
    Node,
    NonNegativeFloat,
    OperatorKind,
    PositiveFloat,
)

Count = Annotated[int, Field(ge=0, lt=2**62)]
Positive = Annotated[int, Field(ge=1, lt=2**31)]
Text = Annotated[str, Field(max_length=512)]


class Spread(Frozen):
    """A measured value and the interval that it lies in."""

    value: NonNegativeFloat
    low: NonNegativeFloat
    high: NonNegativeFloat

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"{self.value:g} is not within its interval, {self.low:g} to {self.high:g}"
            )
        return self


class Rate(Spread):
    """One that cannot be 0."""

    value: PositiveFloat
    low: PositiveFloat
    high: PositiveFloat


class Sample(Frozen):
    """The time of one operator: the median of its repeats and their quartiles."""

    kind: OperatorKind
    shape: Name
    macs: Count
    touched_bytes: Count = Field(description="of weights, inputs and outputs, each once")
    seconds: PositiveFloat
    low_s: PositiveFloat
    high_s: PositiveFloat
    repeats: Positive


class LayerSample(Frozen):
    """The time of a layer of a model, where it stands in the model's run."""

    layer: str
    kind: OperatorKind | None
    seconds: NonNegativeFloat = Field(description="median of the runs")
    low_s: NonNegativeFloat
    high_s: NonNegativeFloat
    predicted_s: NonNegativeFloat = Field(description="from this document's figures")


class ModelTime(Frozen):
    """The time of a whole model on the device."""

    model: Name
    macs: Count | None = Field(
        default=None, description="for one input; null: written before it was said"
    )
    measured_s: PositiveFloat
    predicted_s: PositiveFloat | None = Field(
        default=None, description="from this document's figures; null: not worked out"
    )
    fitted: bool = Field(default=False, description="whether the figures were fitted to it")
    layers: tuple[LayerSample, ...] = Field(
        default=(), description="without batch norms that are folded into a convolution"
    )


class Residual(Frozen):
    """How far the fitted times lie from the measured ones, as |predicted/measured - 1|."""

    kind: Name
    samples: Positive
    median: NonNegativeFloat
    p90: NonNegativeFloat


class NodeMeasurement(Frozen):
    """What was measured on one device, and the figures that follow from it."""

    schema_version: Literal[1] = 1
    part: Literal["node"]
    complete: bool = Field(description="false: the measurement was cut off")
    name: Name
    host: Name
    engine: Name
    threads: Positive
    processor: Text = ""
    measured_at: Name = Field(description="ISO 8601 time")
    node: Node
    figures: tuple[Figure, ...] = Field(description="by the node's fields")
    residuals: tuple[Residual, ...] = ()
    models: tuple[ModelTime, ...] = ()
    pass_factors: tuple[PositiveFloat, ...] = Field(
        default=(), description="how slow each pass over all operators was, beside the median"
    )
    samples: tuple[Sample, ...] = ()

    @model_validator(mode="after")
    def _is_about_one_node(self) -> Self:
        if self.node.name != self.name:
            raise ValueError(f"node: is called {self.node.name!r}, the measurement {self.name!r}")
        for number, figure in enumerate(self.figures):
            value = value_of(self.node, figure.key)
            low = value if figure.low is None else figure.low
            high = value if figure.high is None else figure.high
            if not low <= value <= high:
                raise ValueError(
                    f"figures[{number}]: {figure.key} is {value:g}, which is not within "
                    f"{low:g} to {high:g}"
                )
        return self


def value_of(node: Node, key: str) -> float:
    """The node's value of a figure: ``macs_per_s``, ``macs_per_s_by_kind.conv``.

    Raises
    ------
    ValueError
        The node has no such figure.
    """
    field, _, kind = key.partition(".")
    found = getattr(node, field, None)
    if kind and isinstance(found, dict):
        found = found.get(kind)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ValueError(f"figures: the node has no {key!r}")
    return float(found)


class Messages(Frozen):
    """Software time of a message on one node, apart from the way."""

    name: Name
    send_s: Spread
    receive_s: Spread


class PairMeasurement(Frozen):
    """A link between two nodes."""

    between: tuple[Name, Name]
    latency_s: Spread = Field(description="half a round trip, less the software's time")
    forward_bytes_per_s: Rate = Field(description="from the first to the second")
    backward_bytes_per_s: Rate
    both_bytes_per_s: Rate = Field(description="of either direction, both at once")


class Together(Frozen):
    """Several transfers at once, against each alone."""

    transfers: tuple[tuple[Name, Name], ...] = Field(min_length=2, description="sender, receiver")
    share: PositiveFloat = Field(description="of its rate alone that the slowest kept")


class LinkMeasurement(Frozen):
    """What was measured between all nodes."""

    schema_version: Literal[1] = 1
    part: Literal["links"]
    complete: bool = Field(description="false: the measurement was cut off")
    names: tuple[Name, ...] = Field(min_length=2, max_length=256, description="by rank")
    engine: Name
    measured_at: Name = Field(description="ISO 8601 time")
    medium: Medium
    pairs: tuple[PairMeasurement, ...]
    messages: tuple[Messages, ...]
    together: tuple[Together, ...] = ()

    @model_validator(mode="after")
    def _every_pair_is_there_once(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("names: two nodes have the same name")
        found = [frozenset(pair.between) for pair in self.pairs]
        wanted = {frozenset((a, b)) for a in self.names for b in self.names if a != b}
        for number, pair in enumerate(found):
            if pair not in wanted:
                raise ValueError(
                    f"pairs[{number}]: {' and '.join(sorted(pair))} are no two of "
                    f"{', '.join(self.names)}"
                )
        if len(found) != len(set(found)):
            raise ValueError("pairs: two are of the same nodes")
        if self.complete and set(found) != wanted:
            missing = " and ".join(sorted(min(wanted - set(found), key=sorted)))
            raise ValueError(f"pairs: that of {missing} is missing")
        if self.complete and {one.name for one in self.messages} != set(self.names):
            raise ValueError("messages: not every node is there")
        return self
