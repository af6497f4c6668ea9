"""What a measured run is as a document: predicted beside measured, without anything that runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from planner.domain.arrays import Frozen


class Spread(Frozen):
    """Of repeated measurements, in seconds."""

    median_s: float
    low_s: float = Field(description="a quarter is below")
    high_s: float = Field(description="a quarter is above")


class GroupMeasured(Frozen):
    """Layers from one exchange to the next."""

    layers: tuple[str, ...] = Field(description="and changes of group, in order")
    predicted_s: float
    predicted_comm_s: float
    predicted_compute_s: float
    measured: Spread
    compute: Spread = Field(description="of the node that computes longest")
    waiting: Spread = Field(description="of the node that waits longest for messages")


class SegmentMeasured(Frozen):
    """What a node computes between two exchanges."""

    node: str
    name: str
    stretches: tuple[str, ...]
    measured: Spread


class LayerMeasured(Frozen):
    """What nodes of a kind needed for a layer, for profiles to be costed with."""

    layer: str
    device_type: str
    seconds: float = Field(
        ge=0, description="its part of their segments' median times, shared out as predicted"
    )
    macs: int = Field(gt=0, description="of the layer that they executed meanwhile")


class MessageMeasured(Frozen):
    """A message of every run."""

    sender: str
    receiver: str
    name: str
    stretch: str
    size_bytes: int
    took: Spread = Field(description="from when it was posted until it was taken in")
    waited: Spread = Field(description="for which its receiver stood still")


class BytesMeasured(Frozen):
    """Payload handed to the socket for one input, and what the cost model counts."""

    stretch: str
    sender: str
    receiver: str
    measured_bytes: int
    planned_bytes: int


class ClockMeasured(Frozen):
    """How well a node's clock is known."""

    node: str
    error_s: float = Field(description="at most, against the source's")


class Measured(Frozen):
    """Runs of a plan, held against its prediction."""

    schema_version: Literal[1] = 1
    model: str
    macs: int | None = Field(
        default=None, description="of the model, for one input; null: written before it was said"
    )
    cluster: str
    plan_digest: str
    measured_at: str
    engine: str
    threads: int
    window: int = Field(description="inputs at once")
    runs: int = Field(description="that count")
    warmup: int = Field(description="runs before them")
    predicted_latency_s: float = Field(description="without input and output on their way")
    latency: Spread = Field(
        description="from when all nodes that need an input have it until all parts of the "
        "outputs are made"
    )
    end_to_end: Spread = Field(description="until the source has put the outputs together")
    predicted_throughput_per_s: float
    throughput_per_s: float | None = Field(description="null where one input runs at a time")
    groups: tuple[GroupMeasured, ...]
    segments: tuple[SegmentMeasured, ...]
    layers: tuple[LayerMeasured, ...] = ()
    messages: tuple[MessageMeasured, ...]
    payload: tuple[BytesMeasured, ...]
    clocks: tuple[ClockMeasured, ...]

    @property
    def payload_as_planned(self) -> bool:
        """Whether every layer's bytes are those of the plan."""
        return all(item.measured_bytes == item.planned_bytes for item in self.payload)
