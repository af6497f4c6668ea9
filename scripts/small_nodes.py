"""The case of many small nodes: ResNet50/X within the memory that ResNet50/8 needs alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from documents import ms, table
from numpy.typing import NDArray
from readings import READINGS, Reading, costs_at

from planner.case import Case
from planner.cost.layers import LayerCosts
from planner.cost.memory import stage_memory_bytes
from planner.cost.overlap import layer_s
from planner.domain.cluster import Casting, Cluster, Medium
from planner.domain.model_profile import ModelProfile
from planner.domain.request import Request
from planner.domain.settings import CostSettings
from planner.solve.deadline import Deadline
from planner.solve.solver import solve
from planner.strategies.baselines import pipeline_equal, single_node
from planner.strategies.groups import ring_order
from planner.strategies.problem_of import costs_of, problem_of
from profiles.catalog import load_cluster, load_model

SPARSITY = 0.99
SETTINGS = CostSettings()
NODES = (1, 2, 4, 8)
MODELS = {
    8: "resnet50-eighth",
    4: "resnet50-quarter",
    2: "resnet50-half",
    1: "resnet50",
}
LARGER = {divisor: name for divisor, name in MODELS.items() if divisor < max(MODELS)}
MEDIA: dict[str, Medium | None] = {
    "full duplex": "full_duplex",
    "half duplex": "half_duplex",
    "shared": "shared",
    "sending alone": None,
}
CASTINGS: tuple[Casting, ...] = ("unicast", "broadcast")


@dataclass(frozen=True)
class Memory:
    """Bytes of the fullest node: its parameters, and with activations and receive buffers."""

    weight_bytes: int
    total_bytes: int

    @classmethod
    def of(cls, costs: LayerCosts[np.int64]) -> Memory:
        """The fullest node of a group."""
        weights = costs.weight_bytes[:, 0].sum(axis=0)
        total = stage_memory_bytes(costs.weight_bytes[:, 0], costs.live_bytes[:, 0])
        return cls(int(weights.max()), int(total.max()))


def model_name(divisor: int) -> str:
    """ResNet-50 with every width divided."""
    return "ResNet-50" if divisor == 1 else f"ResNet50/{divisor}"


def nodes_of(divisor: int) -> int:
    """Nodes on which each holds an eighth of ResNet-50's width."""
    return max(MODELS) // divisor


def group_of(nodes: int) -> Cluster:
    """So many of the small nodes."""
    return load_cluster("small-nodes").first(nodes)


def small_costs(
    divisor: int, nodes: int, reading: Reading, settings: CostSettings
) -> LayerCosts[np.int64]:
    """ResNet50/X at the case's sparsity."""
    return costs_at(load_model(MODELS[divisor]), group_of(nodes), SPARSITY, reading, settings)


def alone() -> LayerCosts[np.int64]:
    """ResNet50/8 on one node."""
    return small_costs(max(MODELS), 1, "whole, at least one", SETTINGS)


def memory_table() -> str:
    """Which model fits on how many nodes."""
    limit = Memory.of(alone())
    rows = []
    for divisor in MODELS:
        cells = []
        for nodes in NODES:
            costs = small_costs(divisor, nodes, "whole, at least one", SETTINGS)
            need = Memory.of(costs)
            cells.append(
                f"{_mega(need.weight_bytes, limit.weight_bytes)} / "
                f"{_mega(need.total_bytes, limit.total_bytes)}"
            )
        rows.append((model_name(divisor), *cells))
    columns = [f"{count} nodes" if count > 1 else "1 node" for count in NODES]
    return table(" | ".join(["parameters / with activations (MB)", *columns]), rows)


def _mega(size: int, limit: int) -> str:
    """Megabytes, bold where they fit."""
    return f"**{size / 1e6:.2f}**" if size <= limit else f"{size / 1e6:.2f}"


def latency_table() -> str:
    """ResNet50/X on 8/X nodes under every reading of the counts."""
    base_s = float(alone().latency_s.sum())
    rows: list[tuple[object, ...]] = [
        (model_name(8), 1, "–", "–", ms(0), ms(base_s), ms(base_s), "–", ms(base_s), "–")
    ]
    for divisor in LARGER:
        nodes = nodes_of(divisor)
        group, profile = group_of(nodes), load_model(MODELS[divisor])
        dense = costs_at(profile, group, 0.0, "fractional", SETTINGS).comm_s.sum()
        for reading in READINGS:
            costs = small_costs(divisor, nodes, reading, SETTINGS)
            hidden = small_costs(divisor, nodes, reading, CostSettings(overlap=True))
            apart_s, overlap_s = costs.latency_s.sum(), hidden.latency_s.sum()
            rows.append(
                (
                    model_name(divisor),
                    nodes,
                    reading,
                    f"{100 * (1 - costs.comm_s.sum() / dense):.1f}",
                    ms(costs.comm_s.sum()),
                    ms(costs.compute_s.sum()),
                    ms(apart_s),
                    f"{apart_s / base_s - 1:+.1%}",
                    ms(overlap_s),
                    f"{overlap_s / base_s - 1:+.1%}",
                )
            )
    header = (
        "model | nodes | counts | S_comm (%) | communication (ms) | computation (ms) | "
        "latency (ms) | over ResNet50/8 | latency with overlap (ms) | over ResNet50/8"
    )
    return table(header, rows)


def overhead(divisor: int, reading: Reading, medium: str, casting: Casting, overlap: bool) -> float:
    """Latency over that of ResNet50/8 on one node, less one."""
    nodes = nodes_of(divisor)
    counted = MEDIA[medium]
    settings = CostSettings(overlap=overlap, casting=casting, medium=counted)
    costs = small_costs(divisor, nodes, reading, settings)
    latency_s = costs.latency_s
    if counted is None:  # only what a node sends, as the paper writes it
        bandwidth = load_cluster("small-nodes").link.bandwidth_bytes_per_s
        comm_s = costs.sent_bytes.max(axis=2) / bandwidth
        latency_s = layer_s(comm_s, costs.software_s, costs.compute_s, overlap)
    return float(latency_s.sum() / alone().latency_s.sum()) - 1


def casting_table() -> str:
    """Overhead under every convention for the links."""
    readings: tuple[Reading, ...] = ("fractional", "whole, at least one")
    rows = []
    for medium in MEDIA:
        for casting in CASTINGS:
            cells = []
            for reading in readings:
                for divisor in LARGER:
                    apart = overhead(divisor, reading, medium, casting, False)
                    overlap = overhead(divisor, reading, medium, casting, True)
                    cells.append(f"{100 * apart:+.1f} / {100 * overlap:+.1f}")
            rows.append((medium, casting, *cells))
    names = [
        f"{model_name(divisor)} on {nodes_of(divisor)}, {reading.split(',')[0]}"
        for reading in readings
        for divisor in LARGER
    ]
    return table(" | ".join(["medium", "casting", *names]), rows)


def layer_bytes(case: Case, with_activations: bool) -> NDArray[np.int64]:
    """What a node needs for each layer alone, the smallest part of a pipeline."""
    table = case.table(case.names(1))
    starts = [unit.start for unit in case.units]
    stored = np.add.reduceat(table.weight_bytes[:, 0, 0], starts)
    live = np.maximum.reduceat(table.live_bytes[:, 0, 0], starts)
    needed: NDArray[np.int64] = stored + live * int(with_activations)
    return needed


@dataclass(frozen=True)
class Pipelines:
    """The least latency and the most throughput of pipelines, each by a cut of its own."""

    nodes: int
    latency_s: float
    throughput_per_s: float


def pipelines(profile: ModelProfile, limit_bytes: int, with_activations: bool) -> Pipelines | None:
    """The best pipelines on the fewest of eight nodes that can hold the model, if any can."""
    case = Case(profile, group_of(max(NODES)))
    if layer_bytes(case, with_activations).max() > limit_bytes:
        return None  # however many nodes
    for nodes in range(1, max(NODES) + 1):
        request, ring = Request(nodes, "pipeline"), ring_order(case, nodes)
        problem = problem_of(case, costs_of(case, ring, request, Deadline()), request)
        limited = problem.but(
            memory_limit_bytes=np.full_like(problem.memory_limit_bytes, limit_bytes),
            live_bytes=problem.live_bytes * int(with_activations),
        )
        soonest = solve(limited).objective_s
        busiest = solve(limited.but(objective="bottleneck"))
        if soonest is not None and busiest.objective_s is not None:
            return Pipelines(nodes, soonest, 1 / busiest.objective_s)
    return None


def limited_pipelines_table() -> str:
    """Pipelines under the memory of ResNet50/8, for both readings of memory."""
    limit = Memory.of(alone())
    rows = []
    for divisor, name in LARGER.items():
        profile = load_model(name)
        for words, with_activations in (("parameters", False), ("with activations", True)):
            most = limit.total_bytes if with_activations else limit.weight_bytes
            needed = layer_bytes(Case(profile, group_of(1)), with_activations)
            found = pipelines(profile, most, with_activations)
            rows.append(
                (
                    model_name(divisor),
                    words,
                    f"{most / 1e6:.2f}",
                    f"{needed.max() / 1e6:.2f}",
                    f"{np.count_nonzero(needed > most)} of {len(needed)}",
                    found.nodes if found else "none",
                    ms(found.latency_s) if found else "–",
                    f"{found.throughput_per_s:.1f}" if found else "–",
                )
            )
    header = (
        "model | memory that counts | limit (MB) | largest layer (MB) | layers that fit on no node"
        " | fewest nodes | least latency (ms) | most throughput (1/s)"
    )
    return table(header, rows)


def unlimited_pipelines_table() -> str:
    """Pipelines on as many nodes as within-layer parallelism gets, whatever they need."""
    limit = Memory.of(alone()).total_bytes
    rows = []
    for divisor, name in LARGER.items():
        nodes = nodes_of(divisor)
        case = Case(load_model(name), group_of(nodes))
        equal = pipeline_equal(case, nodes).predicted
        slowest = small_costs(divisor, nodes, "whole, at least one", SETTINGS)
        latency_s = float(slowest.latency_s.sum())
        rows.append(
            (
                model_name(divisor),
                nodes,
                ms(single_node(case).predicted.latency_s),
                ms(equal.latency_s),
                f"{equal.throughput_per_s:.1f}",
                f"{max(equal.memory_bytes.values()) / limit:.1f}×",
                ms(latency_s),
                f"{1 / latency_s:.1f}",
            )
        )
    header = (
        "model | nodes | computation on one node (ms) | pipeline: latency (ms) | throughput (1/s)"
        " | fullest node, of the limit | DISCO, at least one: latency (ms) | throughput (1/s)"
    )
    return table(header, rows)
