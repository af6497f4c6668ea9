"""The core's entrances that still take a case and a request apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planner.case import Case
from planner.domain.request import Request
from planner.strategies import compare as _compare
from planner.strategies import pareto as _pareto


def compare(
    case: Case, request: Request, node_counts: Sequence[int], sparsities: Sequence[float]
) -> _compare.Comparison:
    """Every strategy on so many nodes."""
    return _compare.compare(
        case,
        tuple(node_counts),
        tuple(sparsities),
        request.objective,
        request.limits,
        request.time_limit_s,
    )


def frontier(
    case: Case,
    request: Request,
    trade: _pareto.Trade,
    points: int,
    watch: Callable[[int, int], None] | None = None,
) -> _pareto.ParetoFrontier:
    """What a loss or a latency buys."""
    return _pareto.frontier(
        case,
        trade,
        max_nodes=request.max_nodes,
        parallelism=request.parallelism,
        limits=request.limits,
        points=points,
        time_limit_s=request.time_limit_s,
        watch=watch,
    )
