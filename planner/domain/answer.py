"""A plan for a prompt and its answer: one placement, both phases, and what they cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.domain.arrays import Frozen
from planner.domain.certificate import Certificate
from planner.domain.cluster import Cluster, Origin
from planner.domain.plan import Plan
from planner.domain.settings import CostSettings
from planner.domain.workload import Workload
from planner.units import format_rate, format_seconds


class AnswerStage(Frozen):
    """Whole blocks on a group of nodes."""

    nodes: tuple[str, ...] = Field(min_length=1)
    first_block: Annotated[int, Field(ge=0)] | None = Field(
        description="of the model, from 0; null: none, the head alone"
    )
    blocks: Annotated[int, Field(ge=0)]
    host_blocks: Annotated[int, Field(ge=0)] = Field(
        default=0,
        exclude_if=lambda count: not count,
        description="of these, with their experts in the memory of the nodes' hosts",
    )
    head: bool = Field(
        description="whether the head runs here: behind the last block, or in a ring on the first "
        "stage, to which the last one hands its vector back"
    )
    prompt: str = Field(description="how the prompt is divided between the nodes; '' on one node")
    step: str = Field(description="how a step of the answer is")
    shares_by: str = Field(
        default="",
        description="what its nodes share out by: the time that they take for the 'step' or the "
        "'prompt', their 'memory', or nothing ('equal'); '' on one node",
    )


class AnswerPredicted(Frozen):
    """The cost model's word on a prompt and its answer."""

    first_token_s: float = Field(description="from the prompt to the first token")
    token_s: float = Field(description="from one token to the next, at the workload's fill")
    answer_s: float = Field(description="from the prompt to the last token of the answer")
    tokens_per_s: float = Field(description="of one request, behind the first token")
    all_tokens_per_s: float = Field(description="of all requests together, prompts included")
    batch: Annotated[int, Field(ge=1)] = Field(
        description="requests that run together; the others keep other stages busy"
    )
    memory_bytes: dict[str, int] = Field(description="per node, by name")
    cache_bytes: dict[str, int] = Field(description="of these, room for keys and values")
    weight_bytes: dict[str, int] = Field(description="of these, weights")
    host_bytes: dict[str, int] = Field(
        default_factory=dict,
        exclude_if=lambda found: not found,
        description="what nodes' hosts store, by the node's name",
    )
    origin: dict[str, Origin]


class AnswerPlan(Frozen):
    """The placement of a language model for a workload."""

    schema_version: Literal[1] = 1
    strategy: str
    model: str
    params: int
    active_params: int = Field(description="that one token meets")
    cache_token_bytes: int = Field(description="that one token of one request leaves, all blocks")
    cluster: Cluster
    settings: CostSettings = CostSettings()
    workload: Workload
    stages: tuple[AnswerStage, ...] = Field(min_length=1)
    predicted: AnswerPredicted
    certificate: Certificate | None = None
    assumed: tuple[str, ...] = Field(default=(), description="what the figures take for granted")
    phases: dict[Literal["prompt", "step"], Plan] = Field(
        description="each phase as a plan of layers, on the same nodes; of a prompt in chunks the "
        "last one. In a ring its last stage is the head alone, on the first stage's nodes"
    )

    @property
    def is_ring(self) -> bool:
        """Whether the head lies with the first of several stages (docs/model.md, eq. 53)."""
        return len(self.stages) > 1 and self.stages[0].head

    @property
    def running_nodes(self) -> tuple[str, ...]:
        """The nodes that do any work, in the order of the stages."""
        return tuple(dict.fromkeys(node for stage in self.stages for node in stage.nodes))

    @property
    def node_count(self) -> int:
        """Number of nodes that do any work."""
        return len(self.running_nodes)

    def __str__(self) -> str:
        """The plan in one line."""
        nodes = "1 node" if self.node_count == 1 else f"{self.node_count} nodes"
        status = f", {self.certificate.status}" if self.certificate else ""
        return (
            f"{self.model} on {self.cluster.name}: first token after "
            f"{format_seconds(self.predicted.first_token_s)}, then "
            f"{format_rate(self.predicted.tokens_per_s)} tokens/s, {self.strategy} on "
            f"{nodes}{status}"
        )
