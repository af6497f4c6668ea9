"""What sparsity costs in accuracy, as published or as measured."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.domain.arrays import Frozen
from planner.domain.cluster import Origin
from planner.units import MOST

Percent = Annotated[float, Field(ge=0, le=100)]
Value = Annotated[float, Field(gt=-MOST, lt=MOST)]


class CurvePoint(Frozen):
    """Value of the metric at one uniform S_comm."""

    sparsity_percent: Percent
    value: Value


class SplitPoint(Frozen):
    """A published baseline that is dense on one side of a block-group boundary."""

    strategy: Literal["dense-then-split", "split-then-aggregate"]
    groups: Annotated[int, Field(ge=1)] = Field(description="number of independent block groups")
    value: Value


class AccuracyCurve(Frozen):
    """Published accuracy at uniform communication sparsity, two nodes.

    ``disco`` and ``random`` hold the points below 100 %; at 100 % both are the same
    architecture, so the last point belongs to both.
    """

    schema_version: Literal[1] = 1
    name: str
    metric: str
    models: tuple[str, ...] = Field(description="catalogue models that it speaks of")
    nodes: Annotated[int, Field(ge=2)]
    disco: tuple[CurvePoint, ...] = Field(min_length=2)
    random: tuple[CurvePoint, ...] = ()
    splits: tuple[SplitPoint, ...] = ()
    origin: Origin
    source: str

    @model_validator(mode="after")
    def _points_rise(self) -> Self:
        for label, points in (("disco", self.disco), ("random", self.random)):
            levels = [point.sparsity_percent for point in points]
            if levels != sorted(set(levels)):
                raise ValueError(f"{label}: sparsities are not strictly rising")
        if self.disco[0].sparsity_percent != 0:
            raise ValueError("disco: the first point must be dense (0 %)")
        return self

    @property
    def dense(self) -> float:
        """The dense model's value."""
        return self.disco[0].value
