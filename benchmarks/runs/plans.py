"""The plans that are run: models × ways of splitting × numbers of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from planner.case import Case
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.layouts import Way
from planner.domain.plan import Plan, StagePlan
from planner.domain.request import Request
from planner.errors import BadInputError
from planner.strategies.baselines import dense, pipeline_equal, single_node, uniform
from planner.strategies.costed import cost_plan
from planner.strategies.optimise import optimise
from profiles.catalog import load_model

MODELS = (
    "resnet50",
    "mobilenetv2-224",
    "efficientnet-b0",
    "convnext-t",
    "deit-s",
    "swin-t",
    "bert-base",
)
BANDWIDTH_BYTES_PER_S, DELAY_S = 37.5e6, 1e-3
ALIKE = (8.0, 8.0, 8.0, 8.0)
"""By how much each node is slower than this machine, so that two cores can be four nodes and have
time for the links."""
UNLIKE = (8.0, 16.0, 8.0, 16.0)
_NOMINAL = Node(name="here", macs_per_s=30e9, memory_bytes_per_s=20e9, layer_overhead_s=2e-5)
_TIME_LIMIT_S = 30.0


@dataclass(frozen=True)
class Row:
    """One plan to run.

    Attributes
    ----------
    model, kind : str
    nodes : int
    factors : tuple of float
        Of the testbed.
    """

    model: str
    kind: str
    nodes: int
    factors: tuple[float, ...] = ALIKE

    @property
    def name(self) -> str:
        """For files and tables."""
        unlike = "" if self.factors == ALIKE else "-unlike"
        return f"{self.model}-{self.kind}-{self.nodes}{unlike}"


def rows(models: tuple[str, ...] = MODELS) -> Iterator[Row]:
    """All plans, model by model."""
    for model in models:
        yield Row(model, "single", 1)
        for nodes in (2, 4):
            for kind in ("dense", "disco-90", "rows", "tensor-parallel", "best"):
                yield Row(model, kind, nodes)
        yield Row(model, "disco-95", 4)
        yield Row(model, "pipeline", 4)
        yield Row(model, "hybrid", 4)
        for kind in ("dense", "best"):
            yield Row(model, kind, 2, UNLIKE)


def plan_of(row: Row, cluster: Cluster) -> Plan:
    """The plan of a row on a cluster of at least so many nodes.

    Raises
    ------
    PlannerError
        There is none.
    """
    case = Case(load_model(row.model), cluster)
    made = {
        "single": lambda: single_node(case),
        "dense": lambda: dense(case, row.nodes),
        "disco-90": lambda: uniform(case, row.nodes, 0.9),
        "disco-95": lambda: uniform(case, row.nodes, 0.95),
        "rows": partial(_best, case, row.nodes, ("positions", "whole", "one-node")),
        "tensor-parallel": partial(_best, case, row.nodes, ("outputs", "sums", "features")),
        "pipeline": lambda: pipeline_equal(case, row.nodes),
        "hybrid": lambda: hybrid(case, row.nodes),
        "best": partial(_best, case, row.nodes, None),
    }
    if row.kind not in made:
        raise BadInputError(f"{row.kind!r}: the kinds of plans are {', '.join(made)}")
    return made[row.kind]()


def hybrid(case: Case, nodes: int) -> Plan:
    """Two stages of equal MACs, each dense on half of the nodes."""
    half = nodes // 2
    names = case.names(nodes)
    groups = [names[:half], names[half:]]
    layers = iter(dense(case, half).stages[0].layers)
    stages = tuple(
        StagePlan(nodes=group, layers=tuple(islice(layers, len(stage.layers))))
        for group, stage in zip(groups, pipeline_equal(case, 2).stages, strict=True)
    )
    return cost_plan(case, stages, "hybrid-equal")


def _best(case: Case, nodes: int, ways: tuple[Way, ...] | None) -> Plan:
    asked = Request(
        nodes,
        "within-layer",
        exactly=True,
        alternatives=False,
        time_limit_s=_TIME_LIMIT_S,
    )
    return optimise(case, asked if ways is None else replace(asked, ways=ways))


def nominal_cluster(factors: tuple[float, ...]) -> Cluster:
    """What plans are made for: nodes of a usual speed, slower by factors, on the links as set."""
    nodes = tuple(
        slower(_NOMINAL, factor).model_copy(update={"name": f"n{rank}"})
        for rank, factor in enumerate(factors)
    )
    link = Link(bandwidth_bytes_per_s=BANDWIDTH_BYTES_PER_S, latency_s=DELAY_S)
    return Cluster(name="nominal", nodes=nodes, link=link)


def slower(node: Node, factor: float) -> Node:
    """A node whose every computation takes so many times as long."""
    for field, scale in (
        ("macs_per_s", 1 / factor),
        ("memory_bytes_per_s", 1 / factor),
        ("layer_overhead_s", factor),
    ):
        node = node.scaled(field, scale)
    return node
