"""What others' rules make of the same nodes, beside the optimum: one row each.

single-node
    The whole model on the node that takes least of what the goal counts.
experts-on-host
    The same with all experts in the memory of the node's host (llama.cpp's ``--cpu-moe``).
memory-pipeline
    Blocks in proportion to the nodes' memory, in ring order (exo's ring).
speed-pipeline
    Blocks in proportion to how fast nodes make a token, in ring order (AR-MDI).
equal-pipeline
    As equally many blocks on every node.
tensor-parallel
    All blocks on the first 2, 4, 8, … nodes, shared out equally, at most as many as there are
    heads of keys and values (distributed-llama).
expert-parallel
    The same with whole experts by node (vLLM's expert parallelism, attention tensor-parallel).
optimal
    The best of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from planner.domain.answer import AnswerPlan
from planner.domain.arrays import Frozen
from planner.domain.certificate import Status
from planner.domain.plan import StagePlan
from planner.domain.request import Request
from planner.domain.workload import Goal, Workload
from planner.errors import InfeasibleError, SolverStoppedError
from planner.solve.deadline import Deadline
from planner.strategies.limits import SLACK, broken_memory
from planner.strategies.phases.costed import cost_answer, seconds_of
from planner.strategies.phases.costs import LanguageCase, Option, Phase
from planner.strategies.phases.optimise import optimise_answer
from planner.strategies.phases.ways import (
    TENSOR_PARALLEL,
    WHOLE_EXPERTS,
    Variant,
    experts_of,
    rows_of_units,
    stage_of,
    variants_of,
)


class AnswerRow(Frozen):
    """One rule; without numbers where it gives no plan."""

    strategy: str
    nodes: int
    stages: int | None = None
    first_token_s: float | None = None
    token_s: float | None = None
    answer_s: float | None = None
    tokens_per_s: float | None = None
    all_tokens_per_s: float | None = None
    memory_bytes: dict[str, int] = Field(default_factory=dict)
    status: Status | None = None
    fits: bool = True
    note: str = ""


class AnswerComparison(Frozen):
    """The rows of one model, cluster and workload."""

    schema_version: int = 1
    model: str
    cluster: str
    goal: Goal
    workload: Workload
    rows: tuple[AnswerRow, ...]


def compare_answers(case: LanguageCase, request: Request) -> AnswerComparison:
    """Every rule and the optimum on the same nodes.

    Parameters
    ----------
    case : LanguageCase
    request : Request
        Of the optimum; the rules take all nodes that it may use.
    """
    deadline = Deadline(request.time_limit_s)
    plans = list(peer_plans(case, request.max_nodes))
    rows = [_row(case, plan) for plan in plans]
    asked = replace(request, time_limit_s=deadline.left_s)
    try:
        rows.append(_row(case, optimise_answer(case, asked)))
    except (InfeasibleError, SolverStoppedError) as error:
        status: Status = "infeasible" if isinstance(error, InfeasibleError) else "timeout"
        nodes = request.max_nodes
        rows.append(
            AnswerRow(strategy="optimal", nodes=nodes, status=status, fits=False, note=str(error))
        )
    return AnswerComparison(
        model=case.model.name,
        cluster=case.cluster.name,
        goal=case.workload.goal,
        workload=case.workload,
        rows=tuple(rows),
    )


def peer_plans(case: LanguageCase, nodes: int) -> Iterator[AnswerPlan]:
    """The plans of all rules on the first nodes of the ring."""
    names = case.cases(1, "equal")["step"].names(nodes)
    blocks = len(case.model.order)
    alone = [placed(case, [((name,), blocks)], "single-node") for name in names]
    fitting = [plan for plan in alone if not _broken(case, plan)]
    yield min(fitting or alone, key=lambda plan: seconds_of(case.workload, plan))
    known = {node.name: node for node in case.cluster.nodes}
    if case.model.has_experts and (hosted := [name for name in names if known[name].host]):
        plans = (
            placed(case, [((name,), blocks)], "experts-on-host", on_host=True) for name in hosted
        )
        yield min(plans, key=lambda plan: seconds_of(case.workload, plan))
    if nodes == 1:
        return
    memory = [known[name].memory_bytes for name in names]
    speeds = [plan.predicted.tokens_per_s for plan in alone for name in plan.running_nodes]
    rules: list[tuple[str, Sequence[float]]] = []
    if all(memory):
        rules.append(("memory-pipeline", [float(size or 1) for size in memory]))
    rules += [("speed-pipeline", speeds), ("equal-pipeline", [1.0] * nodes)]
    for name, shares in rules:
        counts = in_proportion(blocks, shares)
        stages = [((n,), count) for n, count in zip(names, counts.tolist(), strict=True) if count]
        yield placed(case, stages, name)
    heads = min(kind.attention.kv_heads for kind in case.model.kinds)
    size = 2
    while size <= min(nodes, heads):
        yield placed(case, [(names[:size], blocks)], "tensor-parallel")
        if WHOLE_EXPERTS in variants_of(case.model):
            yield placed(case, [(names[:size], blocks)], "expert-parallel", WHOLE_EXPERTS)
        size *= 2


def in_proportion(blocks: int, shares: Sequence[float]) -> NDArray[np.int64]:
    """Whole blocks of every node: cut at the nearest block to the cumulative shares."""
    ends = np.rint(np.cumsum(shares) / np.sum(shares) * blocks).astype(np.int64)
    counts: NDArray[np.int64] = np.diff(ends, prepend=0)
    return counts


def placed(
    case: LanguageCase,
    stages: Sequence[tuple[tuple[str, ...], int]],
    strategy: str,
    variant: Variant = TENSOR_PARALLEL,
    on_host: bool = False,
) -> AnswerPlan:
    """A plan of so many blocks on each of some groups, in order; the last has the head as well.

    Nodes of a group share out equally, and run alike in all stages; all experts may lie with their
    hosts.
    """
    options = [Option(at, variant, "equal") for at, _ in enumerate(stages)]
    phases: dict[Phase, tuple[StagePlan, ...]] = {}
    for phase in case.phases:
        profile = case.cases_of((), 1)[phase].profile
        rows, at, found = rows_of_units(profile), 0, []
        for place, (names, count) in enumerate(stages):
            begin = rows[at].start
            at += count + (1 if place == 0 else 0)
            last = rows[-1] if place == len(stages) - 1 else rows[at - 1]
            layers = range(begin, last.stop)
            hosted = experts_of(profile, layers) if on_host else []
            found.append(stage_of(profile, names, variant.manner(phase), layers, hosted))
        phases[phase] = tuple(found)
    return cost_answer(case, phases, options, 1, strategy)


def _broken(case: LanguageCase, plan: AnswerPlan) -> str:
    """The limit that a plan breaks, in words; empty where it keeps all."""
    workload, predicted = case.workload, plan.predicted
    if broken := broken_memory(predicted.memory_bytes, case.cluster, predicted.host_bytes):
        return broken
    for value, most, words in (
        (predicted.first_token_s, workload.max_first_token_s, "over the limit on the first token"),
        (predicted.token_s, workload.max_token_s, "over the limit on the time per token"),
    ):
        if most is not None and value > most * (1 + SLACK):
            return words
    return ""


def _row(case: LanguageCase, plan: AnswerPlan) -> AnswerRow:
    broken, predicted = _broken(case, plan), plan.predicted
    found = plan.certificate
    strategy = "optimal" if found else plan.strategy
    return AnswerRow(
        strategy=strategy,
        nodes=plan.node_count,
        stages=len(plan.stages),
        first_token_s=predicted.first_token_s,
        token_s=predicted.token_s,
        answer_s=predicted.answer_s,
        tokens_per_s=predicted.tokens_per_s,
        all_tokens_per_s=predicted.all_tokens_per_s,
        memory_bytes=predicted.memory_bytes,
        status=found.status if found else None,
        fits=not broken,
        note=broken or (f"is {plan.strategy}" if found else ""),
    )
