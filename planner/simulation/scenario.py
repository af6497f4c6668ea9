"""A scenario: which inputs come where and when, who works on them, and what changes meanwhile."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from planner.domain.arrays import Frozen
from planner.domain.cluster import Cluster, Medium, Name, NonNegativeFloat, PositiveFloat
from planner.domain.model_profile import ModelProfile

MAX_NODES = 64
MAX_SOURCES = 16
MAX_INPUTS = 5_000_000  # of a policy, in all its runs: their times are held
MAX_CHANGES = 2_000
MAX_TRACE = 1_000_000

RuleName = Literal["local", "ddi", "ar-mdi", "ms-mdi", "balance"]  # that the engine runs
PolicyName = Literal[RuleName, "rehearsed"]
BUILT_IN: tuple[RuleName, ...] = get_args(RuleName)
POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
Total = Annotated[int, Field(ge=1, le=MAX_INPUTS)]


class Poisson(Frozen):
    """Inputs at independent exponential intervals, MS-MDI's arrivals."""

    kind: Literal["poisson"]
    rate_per_s: PositiveFloat = Field(description="α of MS-MDI")
    total: Total | None = Field(default=None, description="null: until the horizon")


class Regular(Frozen):
    """One input every 1 / rate seconds, the first after one interval."""

    kind: Literal["fixed"]
    rate_per_s: PositiveFloat
    total: Total | None = Field(default=None, description="null: until the horizon")


class Trace(Frozen):
    """Inputs at given times, in order."""

    kind: Literal["trace"]
    times_s: tuple[NonNegativeFloat, ...] | None = Field(default=None, max_length=MAX_TRACE)
    file: Name | None = Field(
        default=None, description="instead: a text file beside the scenario, one time a line"
    )

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if (self.times_s is None) == (self.file is None):
            raise ValueError("give times_s or file, one of them")
        times = self.times_s
        if times is None:
            return self
        if not times:
            raise ValueError("times_s: holds no time")
        for index, (before, after) in enumerate(itertools.pairwise(times)):
            if after < before:
                raise ValueError(
                    f"times_s: out of order: {after:g} s at place {index + 2} "
                    f"comes after {before:g} s"
                )
        return self


class SourceSpec(Frozen):
    """A node that collects inputs and holds the whole model."""

    node: Name
    arrivals: Poisson | Regular | Trace = Field(discriminator="kind")
    start_s: NonNegativeFloat = Field(default=0.0, description="when the arrivals begin")


class Absence(Frozen):
    """A worker leaves, before finishing what it holds, and may come back."""

    node: Name
    leaves_s: NonNegativeFloat
    rejoins_s: NonNegativeFloat | None = Field(default=None, description="null: never")

    @model_validator(mode="after")
    def _comes_back_later(self) -> Self:
        if self.rejoins_s is not None and self.rejoins_s <= self.leaves_s:
            raise ValueError(
                f"rejoins_s: found {self.rejoins_s:g}; it must be after it leaves, "
                f"at {self.leaves_s:g} s"
            )
        return self


class Drift(Frozen):
    """From a moment on a node (or all) computes and sends at another speed than the cluster's."""

    at_s: NonNegativeFloat
    node: Name | None = Field(default=None, description="null: every node")
    compute_factor: PositiveFloat | None = Field(
        default=None, description="times the cluster's speed; γ is divided by it; null: as before"
    )
    bandwidth_factor: PositiveFloat | None = Field(
        default=None, description="times B of what the node sends; null: as before"
    )


class MsMdiSettings(Frozen):
    """What MS-MDI's text leaves open."""

    form: Literal["literal", "corrected"] = Field(
        default="corrected",
        description="what the last worker subtracts in equation (2): q_j^j as printed, or nothing",
    )
    draw: Annotated[int, Field(ge=1, le=MAX_INPUTS)] | Literal["all"] = Field(
        default=1, description="inputs that leave the reservoir at a slot"
    )
    slot_s: PositiveFloat | None = Field(
        default=None, description="length of a slot; null: every decision of a free node is one"
    )
    ties: Literal["distributed", "local"] = "distributed"
    idles: bool = Field(
        default=False, description="a node serves nothing while an empty queue weighs more"
    )


class Scenario(Frozen):
    """Everything that a simulation needs.

    ``model`` and ``cluster`` are the documents themselves, or names that whoever reads the file
    resolves first (`app.scenarios`).
    """

    schema_version: Literal[1] = 1
    name: Name
    description: str = ""
    model: Name | ModelProfile
    cluster: Name | Cluster
    ring: tuple[Name, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_NODES,
        description="workers in ring order; null: the cluster's nodes in its order",
    )
    sources: tuple[SourceSpec, ...] = Field(min_length=1, max_length=MAX_SOURCES)
    policies: tuple[PolicyName, ...] = Field(default=POLICIES, min_length=1)
    split: Literal["params", "macs"] = Field(
        default="params", description="what AR-MDI's shares are counted in, equation (1)"
    )
    gamma_s_per_param: dict[Name, PositiveFloat] = Field(
        default_factory=dict,
        description="measured γ by node; others: the cluster's, or from the cost model",
    )
    ms_mdi: MsMdiSettings = MsMdiSettings()
    send: Literal["blocking", "overlapped"] = Field(
        default="overlapped", description="whether a node computes while it sends"
    )
    medium: Medium | None = Field(default=None, description="null: the cluster's")
    count_output: bool = Field(default=False, description="results are sent back to their source")
    service: Literal["fixed", "exponential"] = Field(
        default="fixed", description="exponential: every time at a node is multiplied by Exp(1)"
    )
    churn: tuple[Absence, ...] = Field(default=(), max_length=MAX_CHANGES)
    drift: tuple[Drift, ...] = Field(default=(), max_length=MAX_CHANGES)
    horizon_s: PositiveFloat | None = Field(
        default=None, description="when the simulation stops at the latest"
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    replications: Annotated[int, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        names = [source.node for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"sources: two are at node {name!r}; a node has one at most")
        for index, source in enumerate(self.sources):
            arrivals = source.arrivals
            if (
                not isinstance(arrivals, Trace)
                and arrivals.total is None
                and self.horizon_s is None
            ):
                raise ValueError(
                    f"sources[{index}].arrivals.total: is null, so that inputs come for ever; "
                    "give it, or horizon_s"
                )
        if len(set(self.policies)) != len(self.policies):
            raise ValueError("policies: one is there twice")
        for node in {absence.node for absence in self.churn}:
            away = sorted(
                (a.leaves_s, a.rejoins_s if a.rejoins_s is not None else float("inf"))
                for a in self.churn
                if a.node == node
            )
            for (_, back_s), (again_s, _) in itertools.pairwise(away):
                if again_s < back_s:
                    raise ValueError(
                        f"churn: {node!r} leaves at {again_s:g} s while it is away already"
                    )
        return self
