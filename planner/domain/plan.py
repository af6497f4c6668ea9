"""A plan: who runs which layer, what is sent, what it costs, and how sure that is."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.domain.arrays import Frozen
from planner.domain.certificate import Certificate
from planner.domain.cluster import Cluster, Origin
from planner.domain.layouts import Conversion, Layout, Way
from planner.domain.settings import CostSettings, Limits, Objective
from planner.units import format_rate, format_seconds

KeptCount = Annotated[int, Field(ge=0, lt=2**62)]
KeptFeatures = KeptCount | tuple[tuple[KeptCount, ...], ...]


class LayerPlan(Frozen):
    """One layer of a stage.

    ``kept_features`` is what each node sends to each other one: an integer when all ordered
    pairs agree, else a matrix (row: sender); null where no features are gathered by this layer.
    """

    name: str
    nodes: Annotated[int, Field(ge=1)]
    way: Way | None = Field(
        default=None, description="how it runs on several nodes; null on one; features in schema 1"
    )
    layout: Layout | None = Field(
        default=None, description="in which its output lies then; null on one node"
    )
    conversions: tuple[Conversion, ...] = Field(
        default=(), description="what is brought to other layouts before it runs, in order"
    )
    until: str | None = Field(
        default=None,
        description="last layer of the run of fused halos that it is part of: all up to there "
        "are made on the positions that the last one's need, without another message",
    )
    on_host: bool = Field(
        default=False,
        exclude_if=lambda found: not found,
        description="its weights lie in the memory of the nodes' hosts, whose processors run it",
    )
    kept_features: KeptFeatures | None = None
    sparsity: float | None = Field(default=None, description="S_comm that follows from it")


class StagePlan(Frozen):
    """Contiguous layers on a group of nodes."""

    nodes: tuple[str, ...] = Field(min_length=1)
    layers: tuple[LayerPlan, ...] = Field(min_length=1)
    arrives: tuple[tuple[str, Layout], ...] = Field(
        default=(),
        description="layout in which each tensor arrives that the stage before hands over; by "
        "features where it is not said",
    )

    @property
    def drops_features(self) -> bool:
        """Whether any layer does not send all features, so that the model must be trained."""
        return any(layer.sparsity for layer in self.layers)


class Predicted(Frozen):
    """The cost model's word on a plan."""

    latency_s: float
    latency_low_s: float | None = Field(
        default=None,
        description="with latency_high_s the interval that follows from those of the cluster's "
        "figures; null: these have none",
    )
    latency_high_s: float | None = None
    comm_s: float
    compute_s: float
    throughput_per_s: float
    accuracy: float | None = None
    accuracy_drop: float | None = Field(default=None, description="points of the task's metric")
    energy_loss: float | None = Field(
        default=None, description="share of the weights' L1 mass that is pruned, 0 to 1"
    )
    memory_bytes: dict[str, int] = Field(description="per node, by name")
    mean_comm_sparsity: float | None = None
    mean_comp_sparsity: float | None = None
    origin: dict[str, Origin]


class ModelReference(Frozen):
    """Enough to recognise the profile that a plan was made for."""

    name: str
    profile_sha256: str
    macs: int
    params: int
    uncounted: dict[str, int] = Field(
        default_factory=dict,
        exclude_if=lambda found: not found,
        description="operators of the model whose work is not known, which counts for nothing",
    )


ResourceKind = Literal[
    "bandwidth",
    "compute",
    "delay",
    "memory-bandwidth",
    "overhead",
    "interface",
    "switch",
    "messages",
    "packing",
]
"""What a cluster gives, where it does."""


class Binding(Frozen):
    """A limit or a resource, and what more of it is worth.

    Gains count in the objective: seconds of latency, or seconds between two results. Derived by
    solving again, so that a gain is what the best plan would gain, not a slope.
    """

    name: str
    kind: Literal["memory", "loss", "latency", "throughput"] | ResourceKind
    unit: str
    value: float = Field(description="the present limit, or the resource's present size")
    gain_s: float = Field(
        ge=0, description="without the limit; with twice of a resource, or half of a time"
    )
    step: float | None = Field(default=None, description="least value that gains half of that")
    step_gain_s: float | None = None
    price_s: float | None = Field(
        default=None, description="linear programming's gain per unit, at the plan's structure"
    )
    until: float | None = Field(
        default=None, description="of the bandwidth: where computation outweighs communication"
    )


StepKind = Literal[
    "bandwidth",
    "link",
    "delay",
    "compute",
    "node",
    "memory-bandwidth",
    "overhead",
    "memory",
    "loss",
    "ways",
    "parallelism",
    "max-nodes",
    "latency-limit",
    "throughput-limit",
]
"""What a next step changes."""


class NextStep(Frozen):
    """One thing to change, and the best plan once that is done: found by solving again."""

    kind: StepKind
    of: str = Field(
        default="", description="the node, or the kind of link, that it is about; empty: of all"
    )
    settings: dict[str, bool | int | float | str | tuple[str, ...] | None] = Field(
        default_factory=dict,
        description="field of what is asked to its new value in SI; null: the limit is taken away",
    )
    changes: tuple[str, ...] = Field(
        default=(), description="of the hardware, as --change takes them"
    )
    value_before: float | None = Field(default=None, description="in SI, where it is one number")
    value: float | None = None
    gain_s: float = Field(ge=0, description="of the objective, as that of a binding limit")
    latency_s: float
    throughput_per_s: float
    nodes: int
    strategy: str
    accuracy_drop: float | None = None
    energy_loss: float | None = None
    status: Literal["optimal", "feasible"] = Field(
        description="feasible: the gain is at least this, the search was ended"
    )


class NextSteps(Frozen):
    """What to change first."""

    steps: tuple[NextStep, ...] = Field(description="that gain anything, the largest gain first")
    idle: tuple[StepKind, ...] = Field(default=(), description="kinds that gain nothing")
    untried: tuple[StepKind, ...] = Field(default=(), description="kinds that time did not allow")


class Alternative(Frozen):
    """The best plan of another shape that was considered, and why it is not the answer."""

    nodes: int
    strategy: str
    latency_s: float | None = None
    throughput_per_s: float | None = None
    accuracy_drop: float | None = Field(default=None, description="of one that must be trained")
    energy_loss: float | None = None
    reason: str


class Plan(Frozen):
    """Everything that is needed to run, train and re-evaluate a distribution."""

    schema_version: Literal[1, 2] = 2
    strategy: str
    model: ModelReference
    cluster: Cluster
    settings: CostSettings = CostSettings()
    objective: Objective = "latency"
    limits: Limits = Limits()
    accuracy_model: str | None = None
    stages: tuple[StagePlan, ...] = Field(min_length=1)
    predicted: Predicted
    certificate: Certificate | None = None
    alternatives: tuple[Alternative, ...] = ()
    binding: tuple[Binding, ...] | None = Field(
        default=None, description="what binds, where that was asked for"
    )
    next_steps: NextSteps | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="what to change first, where that was asked for",
    )

    @model_validator(mode="after")
    def _nodes_are_known(self) -> Self:
        names = {node.name for node in self.cluster.nodes}
        for stage in self.stages:
            for node in stage.nodes:
                if node not in names:
                    raise ValueError(f"stages: {node!r} is no node of the cluster")
            for layer in stage.layers:
                kept = layer.kept_features
                if isinstance(kept, tuple) and any(
                    len(row) != len(stage.nodes) for row in (*kept, kept)
                ):
                    raise ValueError(f"layer {layer.name!r}: kept_features is not square")
        return self

    def __str__(self) -> str:
        """The plan in one line."""
        nodes = "1 node" if self.node_count == 1 else f"{self.node_count} nodes"
        status = f", {self.certificate.status}" if self.certificate else ""
        return (
            f"{self.model.name} on {self.cluster.name}: "
            f"{format_seconds(self.predicted.latency_s)} per input, "
            f"{format_rate(self.predicted.throughput_per_s)} inputs/s, "
            f"{self.strategy} on {nodes}{status}"
        )

    @property
    def digest(self) -> str:
        """The same for plans that are run alike: of the model, the cluster and the stages."""
        told = self.model_dump_json(include={"model", "cluster", "settings", "stages"})
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def running_nodes(self) -> tuple[str, ...]:
        """The nodes that do any work, in the order of the stages."""
        return tuple(dict.fromkeys(node for stage in self.stages for node in stage.nodes))

    @property
    def drops_features(self) -> bool:
        """Whether any stage's layers drop features."""
        return any(stage.drops_features for stage in self.stages)

    @property
    def node_count(self) -> int:
        """Number of nodes that do any work."""
        return len(self.running_nodes)
