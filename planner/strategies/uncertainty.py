"""How sure a predicted latency is, from the intervals of the cluster's figures.

A figure that was measured or fitted may come with an interval (`Figure.low`, `Figure.high`). The
plan is costed again at both ends of each, shares and kept features as they are, and deviations
add up as squares do: the figures' errors are taken as independent of each other.
"""

from __future__ import annotations

from math import hypot

from planner.case import Case
from planner.domain.cluster import Cluster, Figure, Link, Node
from planner.domain.plan import Plan
from planner.strategies.costed import cost_stages


def with_interval(case: Case, plan: Plan) -> Plan:
    """The plan with the ends of its latency, where any figure of the cluster has an interval."""
    likely = plan.predicted.latency_s
    below: list[float] = []
    above: list[float] = []
    for figure in case.cluster.figures:
        ends = [
            _latency_s(case, plan, changed) - likely
            for end in (figure.low, figure.high)
            if end is not None and (changed := _at(case.cluster, figure, end)) is not None
        ]
        if ends:
            below.append(-min(*ends, 0.0))
            above.append(max(*ends, 0.0))
    if not below:
        return plan
    update = {
        "latency_low_s": max(likely - hypot(*below), 0.0),
        "latency_high_s": likely + hypot(*above),
    }
    return plan.model_copy(update={"predicted": plan.predicted.model_copy(update=update)})


def _latency_s(case: Case, plan: Plan, cluster: Cluster) -> float:
    other = case.with_same_shares(cluster, [stage.nodes for stage in plan.stages])
    return cost_stages(other, plan.stages).latency_s


def _at(cluster: Cluster, figure: Figure, end: float) -> Cluster | None:
    """The cluster with a figure at one of its ends; None where it is no figure of nodes or links.

    A figure is called as its field is, that of one node or of one kind of node with its name
    before it. Nodes that differ change by one factor.
    """
    owner, field, kind = figure.named
    if end <= 0 and field.endswith("per_s"):  # a rate that may be none bounds nothing
        return None
    mine = {n.name for n in cluster.nodes if owner in ("", n.name, n.device_type)}
    values = [v for n in cluster.nodes if n.name in mine and (v := _value(n, field, kind))]
    if values:
        factor = end / values[0]
        nodes = tuple(
            _scaled(node, field, kind, factor) if node.name in mine else node
            for node in cluster.nodes
        )
        return cluster.model_copy(update={"nodes": nodes})
    present = getattr(cluster.link, field, None)
    if owner or field not in Link.model_fields or not present:
        return None
    factor = end / present
    link = cluster.link.model_copy(update={field: end})
    pairs = tuple(
        pair.model_copy(update={field: getattr(pair, field) * factor})
        for pair in cluster.pair_links
    )
    return cluster.model_copy(update={"link": link, "pair_links": pairs})


def _value(node: Node, field: str, kind: str) -> float | None:
    if kind:
        return dict(getattr(node, field)).get(kind)
    value = getattr(node, field, None) if field in Node.model_fields else None
    return float(value) if isinstance(value, int | float) else None


def _scaled(node: Node, field: str, kind: str, factor: float) -> Node:
    if _value(node, field, kind) is None:
        return node
    if kind:
        values = {k: v * (factor if k == kind else 1.0) for k, v in getattr(node, field).items()}
        return node.model_copy(update={field: values})
    return node.model_copy(update={field: getattr(node, field) * factor})
