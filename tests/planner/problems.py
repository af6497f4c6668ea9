"""Builders of the one problem: a choice of options alone, and a chain over single nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.case import Case
from planner.domain.request import Request
from planner.solve.deadline import Deadline
from planner.solve.problem import NO_LIMIT, Choice, Problem
from planner.strategies.groups import all_groups
from planner.strategies.problem_of import costs_of, problem_of

Limited = tuple[np.ndarray, float]
Memory = tuple[np.ndarray, np.ndarray, int]


def problem_for(case: Case, request: Request) -> Problem:
    """The problem of a request whose groups are few enough for one search; layers gather."""
    (groups,) = all_groups(case, request.parallelism)
    asked = replace(request, ways=("features",))
    problem = problem_of(case, costs_of(case, groups, asked, Deadline()), asked)
    assert isinstance(problem, Problem)
    return problem


def choice_problem(
    costs: np.ndarray,
    allowed: np.ndarray,
    sums: Sequence[Limited] = (),
    memories: Sequence[Memory] = (),
    **fields: object,
) -> Problem:
    """One option per unit on one group in one stage.

    ``costs`` of shape (R, U, K): a sum is the latency, the largest of several the bottleneck. The
    first limited sum is the loss, a second one the measure that is not the objective. Memories are
    (weights, live, limit) of each node.
    """
    single = len(costs) == 1
    nothing = np.zeros_like(costs[0])
    loss, other = [*sums, *[None] * (2 - len(sums))][:2]
    beside = nothing if other is None else other[0]
    width = max(len(memories), 1)
    weights = np.zeros((1, *nothing.shape, width), dtype=np.int64)
    live, limits = weights.copy(), np.full((1, width), NO_LIMIT)
    for node, (stored, alive, limit) in enumerate(memories):
        weights[0, ..., node], live[0, ..., node], limits[0, node] = stored, alive, limit
    values: dict[str, object] = {
        "objective": "latency" if single else "bottleneck",
        "group_names": ("all",),
        "latency_s": (costs[0] if single else beside)[None],
        "busy_s": beside[None, None] if single else costs[:, None],
        "medium_s": nothing[None],
        "allowed": allowed[None],
        "loss": (nothing if loss is None else loss[0])[None],
        "max_loss": None if loss is None else loss[1],
        "loss_name": "loss",
        "loss_unit": "s",
        "weight_bytes": weights,
        "live_bytes": live,
        "memory_limit_bytes": limits,
        "transfer_s": np.zeros((1, 1, len(nothing) - 1)),
        "transfer_busy_s": np.zeros((1, 1, len(nothing) - 1)),
        "transfer_medium_s": np.zeros((1, 1, len(nothing) - 1)),
        "cuttable": np.ones(len(nothing) - 1, dtype=np.bool_),
        "input_s": np.zeros(1),
        "output_s": np.zeros(1),
        "input_busy_s": np.zeros(1),
        "output_busy_s": np.zeros(1),
        "input_medium_s": np.zeros(1),
        "output_medium_s": np.zeros(1),
        "uses": np.eye(1, dtype=np.int64) if width == 1 else np.ones((1, width), dtype=np.int64),
        "available": np.ones(width, dtype=np.int64),
        "node_kinds": (tuple(f"node {node}" for node in range(width)),),
        "follows": np.ones((1, 1), dtype=np.bool_),
        "max_nodes": width,
        "single_stage": True,
        "max_bottleneck_s" if single else "max_latency_s": None if other is None else other[1],
    }
    return Problem.model_validate(values | fields)


def chain_problem(
    *,
    compute_s: np.ndarray,
    transfer_s: np.ndarray,
    medium_s: np.ndarray,
    weight_bytes: np.ndarray,
    live_bytes: np.ndarray,
    memory_limit_bytes: Sequence[int | None],
    any_order: bool = False,
    all_workers: bool = False,
    shared_medium: bool = False,
    **fields: object,
) -> Problem:
    """Contiguous stages of one node each, in ring order or in any.

    Shapes: compute (N, U), transfer (N, N, U - 1), medium (U - 1,), weights and live bytes (U,).
    A shared medium is occupied as long as input and output take. Nothing is delayed unless
    ``transfer_busy_s`` says so.
    """
    workers, units = compute_s.shape
    limits = [NO_LIMIT if limit is None else limit for limit in memory_limit_bytes]
    ones = np.ones((workers, workers), dtype=np.bool_)
    shape = (workers, units, 1, 1)
    values: dict[str, object] = {
        "group_names": tuple(f"worker {n}" for n in range(workers)),
        "latency_s": compute_s[..., None],
        "busy_s": compute_s[None, ..., None],
        "medium_s": np.zeros((workers, units, 1)),
        "allowed": np.ones((workers, units, 1), dtype=np.bool_),
        "loss": np.zeros((workers, units, 1)),
        "weight_bytes": np.broadcast_to(np.asarray(weight_bytes)[:, None, None], shape),
        "live_bytes": np.broadcast_to(np.asarray(live_bytes)[:, None, None], shape),
        "memory_limit_bytes": np.array(limits)[:, None],
        "transfer_s": transfer_s,
        "transfer_medium_s": np.broadcast_to(medium_s, (workers, workers, units - 1)),
        "cuttable": np.ones(units - 1, dtype=np.bool_),
        "input_s": np.zeros(workers),
        "output_s": np.zeros(workers),
        "uses": np.eye(workers, dtype=np.int64),
        "available": np.ones(workers, dtype=np.int64),
        "follows": ones if any_order else np.triu(ones, 1),
        "max_nodes": workers,
        "all_nodes": all_workers,
    } | fields
    for end in ("input", "output"):
        values.setdefault(f"{end}_busy_s", values[f"{end}_s"])
        values.setdefault(f"{end}_medium_s", np.asarray(values[f"{end}_s"]) * shared_medium)
    values.setdefault("transfer_busy_s", values["transfer_s"])
    return Problem.model_validate(values)


def workers_of(choice: Choice) -> np.ndarray:
    """The worker of every unit of a chain, shape (U,)."""
    workers: np.ndarray = np.repeat(choice.groups, np.diff([*choice.starts, len(choice.options)]))
    return workers


def choice_of(workers: Sequence[int]) -> Choice:
    """The choice of a chain with a worker for every unit."""
    starts = np.flatnonzero(np.diff(workers, prepend=-1))
    return Choice(
        starts=tuple(starts.tolist()),
        groups=tuple(int(workers[start]) for start in starts),
        options=np.zeros(len(workers), dtype=np.int64),
    )
