"""What a user may ask of a cost and of a plan."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from planner.domain.arrays import Frozen
from planner.domain.cluster import (
    Casting,
    Collective,
    Medium,
    NonNegativeFloat,
    PositiveFloat,
)

Parallelism = Literal["within-layer", "pipeline", "hybrid"]
Objective = Literal["latency", "throughput"]
CutAt = Literal["layers", "blocks"]
Solver = Literal["auto", "ilp", "exhaustive"]
Shares = Literal["either", "by-time", "equal"]

DEFAULT_MAX_ACCURACY_DROP = 0.5  # points; without a limit the best plan cuts all communication
DEFAULT_MAX_ENERGY_LOSS = 0.1  # share of the weights' L1 mass; our choice, as the one above


class CostSettings(Frozen):
    """Conventions of the cost model that change a latency. ``None``: the cluster's own."""

    overlap: bool = Field(default=False, description="hide the shorter of L_comm and L_comp")
    casting: Casting | None = None
    medium: Medium | None = None
    collective: Collective | None = None
    shares: Shares = Field(
        default="either",
        description="ratio in which unlike nodes share out a layer; either: costed by-time, and "
        "the best plan is looked for in both",
    )
    message_bits: float | None = Field(
        default=None,
        ge=0.001,
        le=64,
        description="of an element on the wire, to a thousandth; none: as it is computed",
    )
    share_inputs: bool = Field(
        default=False, description="layers that read one tensor share its transmission"
    )
    count_input: bool = Field(default=False, description="charge sending the input out")
    count_output: bool = Field(default=False, description="charge sending the output back")

    def size_on_wire(self, element_bytes: int) -> Fraction:
        """Bytes on the wire for a byte of activations, whose elements have so many."""
        if self.message_bits is None:
            return Fraction(1)
        return Fraction(round(self.message_bits * 1000), 8000 * element_bytes)


DEFAULT_SETTINGS = CostSettings()


class Limits(Frozen):
    """Bounds that a plan must respect besides the nodes' memory."""

    max_accuracy_drop: NonNegativeFloat | None = None
    max_energy_loss: (
        Annotated[float, Field(ge=0, le=1, description="share of the weights' L1 mass")] | None
    ) = None
    max_latency_s: PositiveFloat | None = None
    min_throughput_per_s: PositiveFloat | None = None


NO_LIMITS = Limits()
