"""Random cases for plans in every way: models, clusters, conventions and valid plans."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from planner.case import Case
from planner.domain.cluster import Cluster, Link, Node, PairLink
from planner.domain.layouts import WAYS, Conversion
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits
from planner.structure import allocation_units
from tests.planner.builders import linear_loss
from tests.planner.spread_nets import random_net
from tests.planner.ways_oracle import Choice, GroupOracle, WaysOracle

LEVELS = (0.0, 0.5, 1.0)


def random_cluster(rng: Random, nodes: int, *, equal: bool | None = None) -> Cluster:
    """Nodes and links alike or not, of every medium and casting, with and without delays."""
    alike = rng.random() < 0.4 if equal is None else equal
    bandwidth = 10.0 ** rng.randint(3, 6)
    speed = bandwidth * rng.choice([0.03, 0.3, 1.0, 3.0, 30.0])
    delay = rng.choice([0.0, 0.0, 8.0, 200.0]) / bandwidth
    names = "abcd"[:nodes]

    def factor() -> float:
        return 1.0 if alike else rng.choice([0.5, 1.0, 1.0, 2.0, 3.0, 0.37])

    pairs = [(a, b) for a in names for b in names if a < b and not alike and rng.random() < 0.3]
    return Cluster(
        name="drawn",
        nodes=tuple(
            Node(
                name=name,
                macs_per_s=speed * factor(),
                layer_overhead_s=delay / 2,
                memory_bytes_per_s=None if alike or rng.random() < 0.7 else bandwidth * factor(),
            )
            for name in names
        ),
        link=Link(bandwidth_bytes_per_s=bandwidth, latency_s=delay),
        pair_links=tuple(
            PairLink(
                between=pair,
                bandwidth_bytes_per_s=bandwidth * factor(),
                latency_s=delay * factor(),
            )
            for pair in pairs
        ),
        medium=rng.choice(["full_duplex", "half_duplex", "shared"]),
        casting=rng.choice(["unicast", "broadcast"]),
        source_node=rng.choice(names),
    )


def random_settings(rng: Random) -> CostSettings:
    """Overlap or not, ends counted or not; the oracle tries one ratio of shares."""
    return CostSettings(
        shares="by-time",
        overlap=rng.random() < 0.4,
        count_input=rng.random() < 0.3,
        count_output=rng.random() < 0.3,
    )


def random_stages(rng: Random, oracle: WaysOracle, profile: ModelProfile) -> list[StagePlan]:
    """A valid plan: random cuts and groups; on every layer any way, with what it needs."""
    names = [node.name for node in oracle.cluster.nodes]
    rng.shuffle(names)
    starts = [unit.start for unit in allocation_units(profile)][1:]
    stages = min(rng.choice([1, 1, 2, 3]), len(names), len(starts) + 1)
    begins = [0, *sorted(rng.sample(starts, stages - 1)), len(profile.layers)]
    edges = [0, *sorted(rng.sample(range(1, len(names)), stages - 1)), len(names)]
    found = []
    for at in range(stages):
        members = tuple(names[edges[at] : edges[at + 1]])
        group, first, stop = oracle.group(members), begins[at], begins[at + 1]
        arrives: dict[str, str] = {}
        if first and len(members) > 1:
            inputs = {spec.name for spec in profile.inputs}
            for name in oracle.crossing(first):
                layouts = ("features", "positions", "samples", "whole", "one-node")
                if name not in inputs:
                    arrives[name] = rng.choice([x for x in layouts if group.can_lie(name, x)])
        chosen = _walk(rng, oracle, group, first, stop, arrives)
        plans = tuple(
            layer_plan(profile, row, choice, len(members))
            for row, choice in enumerate(chosen, start=first)
        )
        found.append(StagePlan(nodes=members, layers=plans, arrives=tuple(arrives.items())))
    return found


def _walk(
    rng: Random,
    oracle: WaysOracle,
    group: GroupOracle,
    first: int,
    stop: int,
    arrives: dict[str, str],
) -> list[Choice]:
    """The choices of a stage, of which none leaves parts of a sum behind."""
    while True:
        lies, row, chosen = oracle.begin(first, arrives), first, list[Choice]()
        while row < stop:
            begun = [c for c in group.choices(row, lies, WAYS, LEVELS) if group.count > 1]
            choice = rng.choice(begun) if begun else Choice("features")
            run = None
            if rng.random() < 0.4:
                runs = [(c, run) for c in begun for run in group.runs_from(row, c, lies, stop)]
                choice, run = rng.choice(runs) if runs else (choice, None)
            behind = range(row + 1, run.stop) if run else ()
            for mine in (choice._replace(run=run), *(Choice("positions", run=run) for _ in behind)):
                chosen.append(mine)
                _, lies = group.step(row, mine, lies)
                row += 1
        if not any("sums" in layouts for layouts in lies.values()):
            return chosen


def layer_plan(profile: ModelProfile, row: int, choice: Choice, nodes: int) -> LayerPlan:
    """A choice as plans have it."""
    name = profile.layers[row].name
    if nodes == 1:
        return LayerPlan(name=name, nodes=1)
    return LayerPlan(
        name=name,
        nodes=nodes,
        way=choice.way,  # type: ignore[arg-type]
        layout=choice.makes,  # type: ignore[arg-type]
        conversions=tuple(
            Conversion(tensor=tensor, source=source, target=target)  # type: ignore[arg-type]
            for tensor, source, target in choice.conversions
        ),
        kept_features=choice.kept,
        until=profile.layers[choice.run[1] - 1].name if choice.run else None,
    )


def random_case(rng: Random, most: int = 4) -> tuple[Case, Request]:
    """A few layers on two or three nodes, and a question with limits of every kind or none."""
    layers = rng.randint(2, most)
    while True:
        profile = random_net(rng, layers, samples=rng.choice([1, 1, 1, 2]))
        if profile.totals.macs:
            break
    group = random_cluster(rng, rng.choice([2, 2, 3]))
    if rng.random() < 0.4:
        made = sum(layer.output_bytes for layer in profile.layers)
        most_bytes = profile.totals.param_bytes + made
        nodes = tuple(
            node.model_copy(update={"memory_bytes": 20 + int(most_bytes * rng.uniform(0.2, 1.1))})
            if rng.random() < 0.8
            else node
            for node in group.nodes
        )
        group = group.model_copy(update={"nodes": nodes})
    loss = rng.choice([0.0, 0.3, 0.55, 1.1]) if rng.random() < 0.4 else None
    ways = WAYS
    if rng.random() < 0.2:
        ways = tuple(way for way in WAYS if rng.random() < 0.6) or ("features",)
    request = Request(
        rng.randint(1, len(group.nodes)) if rng.random() < 0.15 else len(group.nodes),
        rng.choice(["hybrid", "hybrid", "hybrid", "within-layer", "pipeline"]),
        rng.choice(["latency", "latency", "throughput"]),
        Limits(max_accuracy_drop=loss),
        exactly=rng.random() < 0.1,
        ways=ways,
        max_sparsity=rng.choice([None, None, None, 0.5]),
    )
    return Case(profile, group, random_settings(rng), linear_loss(profile), levels=LEVELS), request


def limited(rng: Random, request: Request, best_s: float) -> Request:
    """The request with a limit on time that some plans keep, or none."""
    near = best_s * rng.choice([0.9, 1.1, 1.4])
    latency = (request.objective == "latency") == (rng.random() < 0.2)
    limit = {"max_latency_s": near * 1.5} if latency else {"min_throughput_per_s": 1 / near}
    return replace(request, limits=request.limits.model_copy(update=limit))
