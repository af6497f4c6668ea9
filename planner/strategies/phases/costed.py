"""The cost model's word on any placement of a language model, layer by layer of the whole model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from planner.cost.handover import Transfers
from planner.cost.stage import StageCosts
from planner.domain.answer import AnswerPlan, AnswerPredicted, AnswerStage
from planner.domain.plan import StagePlan
from planner.domain.workload import Workload
from planner.strategies.costed import CostedStages, cost_plan, cost_stages
from planner.strategies.phases.costs import CHUNK, PHASES, LanguageCase, Option, Phase, weights_of
from planner.strategies.phases.ways import rows_of_units


def cost_answer(
    case: LanguageCase,
    phases: dict[Phase, tuple[StagePlan, ...]],
    options: Sequence[Option],
    batch: int,
    strategy: str,
) -> AnswerPlan:
    """A plan of these stages with the cost model's word on it.

    In a ring the head is a stage of its own, behind the others, on the first one's nodes.

    Parameters
    ----------
    case : LanguageCase
    phases : dict of tuple of StagePlan
        By phase; the same layers on the same nodes.
    options : sequence of Option
        One per stage, without a ring's head.
    batch : int
        Requests that run together.
    strategy : str
    """
    nodes = [stage.nodes for stage in phases["step"]][: len(options)]
    placed = tuple((names, option.basis) for names, option in zip(nodes, options, strict=True))
    single = case.cases_of(placed, 1)
    alone = {phase: cost_stages(single[phase], phases[phase]) for phase in case.phases}
    cases = single if batch == 1 else case.cases_of(placed, batch)
    costed = {phase: cost_stages(cases[phase], phases[phase]) for phase in case.phases}
    workload = case.workload
    prompt_s, token_s = first_token_s(workload, alone), alone["step"].latency_s
    step = cases["step"].profile
    memory, weights, cache, hosts = _memory(costed)
    return AnswerPlan(
        strategy=strategy,
        model=case.model.name,
        params=step.totals.params,
        active_params=case.active_params,
        cache_token_bytes=sum(layer.cache_token_bytes for layer in step.layers),
        cluster=case.cluster,
        settings=case.settings,
        workload=workload,
        stages=tuple(_stages(case, phases["step"], options)),
        predicted=AnswerPredicted(
            first_token_s=prompt_s,
            token_s=token_s,
            answer_s=prompt_s + workload.steps * token_s,
            tokens_per_s=1.0 / token_s,
            all_tokens_per_s=1.0 / seconds_per_token(workload, costed, batch),
            batch=batch,
            memory_bytes=memory,
            weight_bytes=weights,
            cache_bytes=cache,
            host_bytes=hosts,
            origin={
                "first_token_s": "derived",
                "token_s": "derived",
                "answer_s": "derived",
                "tokens_per_s": "derived",
                "all_tokens_per_s": "derived",
                "memory_bytes": "derived",
            },
        ),
        assumed=tuple(_assumed(case)),
        phases={
            "prompt": cost_plan(single["prompt"], phases["prompt"], strategy),
            "step": cost_plan(single["step"], phases["step"], strategy),
        },
    )


def first_token_s(workload: Workload, costed: Mapping[Phase, CostedStages]) -> float:
    """Seconds to the first token (docs/model.md, eq. 47 and 52)."""
    last = costed["prompt"].latency_s
    if CHUNK not in costed:
        return last
    return last + (workload.chunks - 1) * max(_occupied_by_chunk(costed))


def seconds_per_token(workload: Workload, costed: dict[Phase, CostedStages], batch: int) -> float:
    """Seconds for one token of all requests together (docs/model.md, eq. 48)."""
    many = workload.requests // batch
    latency = first_token_s(workload, costed) + workload.steps * costed["step"].latency_s
    busy = busiest_s(workload, costed)
    return max(latency / many, busy) / (batch * workload.answer)


def _occupied_by_chunk(costed: Mapping[Phase, CostedStages]) -> tuple[float, ...]:
    """What a chunk before the last occupies of every resource: the head does not run for it."""
    found = costed[CHUNK]
    *others, last = found.stages
    body = replace(last, rows=slice(last.rows.start, last.rows.stop - 1))
    handovers = found.handovers
    if handovers and not body.indices:  # nothing goes to the head either
        handovers = (*handovers[:-1], Transfers.none())
    return replace(found, stages=(*others, body), handovers=handovers).occupied_s


def busiest_s(workload: Workload, costed: dict[Phase, CostedStages]) -> float:
    """Seconds that the busiest stage, transfer or medium works for one request or batch."""
    prompt, step = (np.array(costed[phase].occupied_s) for phase in PHASES)
    busy = prompt + workload.steps * step
    if CHUNK in costed:
        busy = busy + (workload.chunks - 1) * np.array(_occupied_by_chunk(costed))
    return float(np.max(busy))


def seconds_of(workload: Workload, plan: AnswerPlan) -> float:
    """What the goal counts of a plan, in seconds."""
    predicted = plan.predicted
    if workload.goal == "first-token":
        return predicted.first_token_s
    if workload.goal == "token":
        return predicted.token_s
    if workload.goal == "answer":
        return predicted.answer_s
    return 1.0 / predicted.all_tokens_per_s


def _memory(
    costed: dict[Phase, CostedStages],
) -> tuple[dict[str, int], ...]:
    """What every node needs for both phases, weights and cache among it, and what hosts store."""
    live_bytes: dict[str, int] = {}
    weights, cache, hosts = Counter[str](), Counter[str](), Counter[str]()
    read = costed.get(CHUNK, costed["prompt"]).stages
    first: tuple[StageCosts, StageCosts] | None = None
    for one, other, chunk in zip(costed["prompt"].stages, costed["step"].stages, read, strict=True):
        in_ring = other is costed["step"].stages[-1] and costed["step"].is_ring
        stored = weights_of(one, other, first if in_ring else None)
        first = first or (one, other)
        rows = [row - other.rows.start for row in other.on_host]
        hosted = stored[rows].sum(axis=0)
        stored[rows] = 0
        live = np.max([s.table.live_bytes[s.rows, 0] for s in (one, other, chunk)], axis=0)
        layers = other.profile.layers[other.rows]
        parts = np.array([layer.cache_parts for layer in layers])
        each = np.array([layer.cache_bytes // layer.cache_parts for layer in layers])
        size = np.array([max(layer.param_bytes, 1) for layer in layers], dtype=np.float64)
        held = np.rint(stored * (parts / size)[:, None]).astype(np.int64)  # whole heads
        mine = (held * each[:, None]).sum(axis=0)
        for at, name in enumerate(other.nodes):
            live_bytes[name] = max(live_bytes.get(name, 0), int(live[:, at].max()))
            cache[name] += int(mine[at])
            weights[name] += int(stored[:, at].sum() - mine[at])
            if rows:
                hosts[name] += int(hosted[at])
    memory = {name: weights[name] + cache[name] + live for name, live in live_bytes.items()}
    return memory, dict(weights), dict(cache), dict(hosts)


def _stages(
    case: LanguageCase, stages: tuple[StagePlan, ...], options: Sequence[Option]
) -> list[AnswerStage]:
    profile = case.cases_of((), 1)["step"].profile
    units = {profile.layers[unit.start].name: at for at, unit in enumerate(rows_of_units(profile))}
    last = len(units) - 1
    in_ring = len(stages) > len(options)
    found, ends = [], [units[stage.layers[0].name] for stage in stages[1:]] + [last + 1]
    for at, (stage, option, end) in enumerate(zip(stages, options, ends, strict=False)):
        begin = units[stage.layers[0].name]
        first, stop = max(begin, 1), min(end, last - 1)
        blocks = max(stop - first, 0)
        several = len(stage.nodes) > 1
        hosted = {layer.name.split(".")[1] for layer in stage.layers if layer.on_host}
        found.append(
            AnswerStage(
                nodes=stage.nodes,
                first_block=first - 1 if blocks else None,
                blocks=blocks,
                host_blocks=len(hosted),
                head=at == 0 if in_ring else end > last,
                prompt=option.variant.prompt if several else "",
                step=option.variant.step if several else "",
                shares_by=option.basis if several else "",
            )
        )
    return found


def _assumed(case: LanguageCase) -> list[str]:
    """What the figures take for granted, a line each."""
    found = []
    if case.workload.fill is None and case.workload.steps > 1:
        found.append(
            f"the time per token is that of the answer's middle, with "
            f"{case.workload.step_fill:,} tokens kept"
        )
    if case.workload.chunks > 1:
        found.append(
            "a chunk of the prompt before the last takes what the one in their middle does"
        )
    if case.model.has_experts:
        found.append(
            "which experts a token takes: all are as likely, whatever the others take "
            "(uniform routing)"
        )
    return found
