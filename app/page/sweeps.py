"""Which values a sweep of the page visits."""

from __future__ import annotations

from app.page.answer import Answer
from planner.strategies.hardware import Quantity, Value, present_value, spread_values

_POINTS = 9
_FEWEST_NODES = 8
_USUAL_LATENCY_S = 1e-3  # around which delays are varied where there is none now


def here_value(answer: Answer, over: Quantity) -> Value | None:
    """The quantity's present value; none where nodes or links differ, or without a limit."""
    if over == "nodes":
        return answer.request.max_nodes
    return present_value(answer.case.cluster, over)


def sweep_values(answer: Answer, over: Quantity, reach: float) -> tuple[Value, ...]:
    """Values around the present one, by so much less to so much more.

    Where there is no single present value, those of the fastest node, of the common link or of
    what the plan needs stand for it.
    """
    if over == "nodes":
        return spread_values("nodes", 1, max(_FEWEST_NODES, answer.request.max_nodes), _POINTS)
    cluster = answer.case.cluster
    usual: dict[Quantity, Value] = {
        "bandwidth": cluster.link.bandwidth_bytes_per_s,
        "compute": max(node.macs_per_s for node in cluster.nodes),
        "link-latency": cluster.link.latency_s or _USUAL_LATENCY_S,
        "memory": max(answer.plan.predicted.memory_bytes.values()),
    }
    middle = here_value(answer, over) or usual[over]
    if over == "memory":
        return spread_values(over, max(int(middle / reach), 1), int(middle * reach), _POINTS)
    return spread_values(over, middle / reach, middle * reach, _POINTS)
