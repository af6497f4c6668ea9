"""What ways to run a layer are worth, and how long the proof takes.

Two tables. The first: every model of the catalogue on four unlike small nodes (1 : 1.2 : 1.4 :
1.6), nothing dropped: latency on one node, by features alone (DISCO, dense), in every way, the
certificate, and processor time of the whole plan. The second: what the ways add to DISCO's
sparsity at several limits on the accuracy drop. (``benchmarks/ways_pages.py`` makes the table of
what each family of ways gives.)

    python benchmarks/ways.py [--table 1 --table 2] [--model resnet50]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from _machine import header

from planner.api import make_case
from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.strategies.baselines import dense, single_node
from planner.strategies.optimise import find_plan
from profiles.catalog import load_cluster, model_names

T = TypeVar("T")
SPEEDS = (1.0, 1.2, 1.4, 1.6)
DROPS = (0.1, 0.25, 0.5, 1.0)
PUBLISHED = ("resnet50", "deit-s", "deeplabv3plus-resnet101")
COUNTS = (2, 4, 8)


def in_processor_time(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the processor that a call took, and what it returned."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def unlike_nodes() -> Cluster:
    """Four small nodes, the last the fastest."""
    cluster = load_cluster("small-nodes").first(len(SPEEDS))
    nodes = tuple(
        node.model_copy(update={"macs_per_s": node.macs_per_s * factor})
        for node, factor in zip(cluster.nodes, SPEEDS, strict=True)
    )
    return cluster.model_copy(update={"nodes": nodes})


def milliseconds(plan: Plan | None) -> str:
    """A plan's latency, or a dash."""
    return "–" if plan is None else f"{plan.predicted.latency_s * 1e3:,.1f}"


def proofs(models: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The first table."""
    yield "model", "one node", "features", "every way", "status", "gap", "processor s"
    clusters = {name: unlike_nodes() for name in models}
    for name, cluster in clusters.items():
        case = make_case(name, cluster, accuracy_model="none")
        request = Request(max_nodes=len(SPEEDS), alternatives=False, time_limit_s=120.0)
        seconds, (plan, result) = in_processor_time(lambda c=case, r=request: find_plan(c, r))
        gap = result.certificate.gap
        yield (
            name,
            milliseconds(single_node(case)),
            milliseconds(dense(case, len(SPEEDS))),
            milliseconds(plan),
            result.certificate.status,
            "–" if gap is None else f"{gap * 100:.2g} %",
            f"{seconds:.2f}",
        )


def at_drops(models: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The second table: features alone, and in brackets every way."""
    yield "model", "nodes", *(f"{drop:g} points" for drop in DROPS)
    for name in models:
        case = make_case(name, "small-nodes")
        for nodes in COUNTS:
            yield name, str(nodes), *(_both(case, nodes, drop) for drop in DROPS)


def _both(case: Case, nodes: int, drop: float) -> str:
    limits = Limits(max_accuracy_drop=drop)
    base = Request(max_nodes=nodes, limits=limits, alternatives=False, time_limit_s=60.0)
    alone, _ = find_plan(case, Request(**{**vars(base), "ways": ("features",)}))
    every, _ = find_plan(case, base)
    return f"{milliseconds(alone)} ({milliseconds(every)})"


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--table", type=int, action="append", choices=(1, 2))
    parser.add_argument("--model", action="append")
    given = parser.parse_args()
    print(header())
    tables = {1: (proofs, model_names()), 2: (at_drops, PUBLISHED)}
    for number in given.table or tables:
        rows, models = tables[number]
        print()
        for row in rows(given.model or models):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
