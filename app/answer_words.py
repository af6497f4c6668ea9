"""A plan for a prompt and its answer in words, for the command line and the page alike."""

from __future__ import annotations

from planner.domain.answer import AnswerPlan
from planner.domain.workload import Workload
from planner.strategies.phases.costed import seconds_of
from planner.strategies.phases.fewer import Fewer, parts_of
from planner.strategies.phases.fitting import Fits
from planner.strategies.phases.peers import AnswerComparison, AnswerRow
from planner.units import format_bytes, format_count, format_rate, format_seconds

NOT_LOOKED_AT = Fewer()

_SHAPES = {
    "single-node": "the whole model on {names}",
    "optimal-within-layer": "every block divided over {nodes} nodes",
    "optimal-pipeline": "a pipeline of {stages} stages",
    "optimal-hybrid": "{stages} stages on {nodes} nodes, up to {most} a stage",
}


def workload_words(workload: Workload) -> str:
    """What is asked: ``512 tokens in, 128 out, room for 4,096``."""
    text = f"{workload.prompt:,} tokens in, {workload.answer:,} out"
    if workload.context is not None:
        text += f", room for {workload.context:,}"
    if workload.chunks > 1:
        text += f", read in {workload.chunks:,} chunks of {workload.chunk:,}"
    if workload.requests > 1:
        text += f", {workload.requests:,} requests at once"
    return text


def answer_heading(plan: AnswerPlan, fewer: Fewer = NOT_LOOKED_AT) -> list[str]:
    """What the plan does, how fast it is, what it keeps, and how sure it is.

    Parameters
    ----------
    plan : AnswerPlan
    fewer : Fewer
        What one node makes of it, or two; by default nothing is said of them.
    """
    predicted, workload = plan.predicted, plan.workload
    kept = plan.cache_token_bytes * workload.kept_tokens * workload.requests
    lines = [
        f"{plan.model} on {plan.cluster.name}: {workload_words(workload)}",
        answer_sentence(plan).removesuffix("."),
    ]
    if told := fewer_sentence(plan, fewer):
        lines.append(told)
    if workload.requests > 1:
        lines.append(
            f"All requests together: {format_rate(predicted.all_tokens_per_s)} tokens/s, "
            f"{predicted.batch} in a batch"
        )
    if hosted := sum(stage.host_blocks for stage in plan.stages):
        lines.append(
            f"Experts of {hosted} blocks lie in the memory of hosts, at most "
            f"{format_bytes(max(predicted.host_bytes.values()))} with one"
        )
    lines += [
        f"{format_count(plan.params)} parameters, {format_count(plan.active_params)} of them for a "
        f"token; the cache takes {format_bytes(plan.cache_token_bytes)} a token, at most "
        f"{format_bytes(kept)} (a sliding window less); at most "
        f"{format_bytes(max(predicted.memory_bytes.values()))} on a node",
        certificate_words(plan),
    ]
    return lines


def answer_sentence(plan: AnswerPlan) -> str:
    """Tokens a second, the first token and the whole answer, and on how many nodes."""
    predicted = plan.predicted
    words = _SHAPES.get(plan.strategy, plan.strategy).format(
        names=", ".join(plan.running_nodes),
        nodes=plan.node_count,
        stages=len(plan.stages),
        most=max(len(stage.nodes) for stage in plan.stages),
    )
    if plan.is_ring:
        words += f" in a ring, the head back on {', '.join(plan.stages[0].nodes)}"
    return (
        f"{words[0].upper()}{words[1:]}: first token after "
        f"{format_seconds(predicted.first_token_s)}, then {format_rate(predicted.tokens_per_s)} "
        f"tokens/s ({format_seconds(predicted.token_s)} each); the whole answer takes "
        f"{format_seconds(predicted.answer_s)}."
    )


_COUNTED = {
    "answer": "the whole answer",
    "first-token": "the first token",
    "token": "a token",
    "tokens-per-second": "a token of all requests",
}


def fewer_sentence(plan: AnswerPlan, fewer: Fewer) -> str:
    """How the plan compares with one node, or why one node is faster than two."""
    workload = plan.workload
    counted, here = _COUNTED[workload.goal], seconds_of(workload, plan)
    if fewer.alone is None and not fewer.why_not:
        return ""
    if fewer.alone is None:
        binds = fewer.why_not.removeprefix("no plan fits: ").partition(" (")[0]
        return f"One node alone does not do it: {binds}."
    if plan.node_count > 1:
        alone = seconds_of(workload, fewer.alone)
        return (
            f"{alone / here:.3g} times as fast as one node: {fewer.alone.running_nodes[0]} alone "
            f"takes {format_seconds(alone, 3)} for {counted}, not {format_seconds(here, 3)}."
        )
    if fewer.two is None:
        return ""
    two = format_seconds(seconds_of(workload, fewer.two), 3)
    said = f"two take {two} for {counted}, not {format_seconds(here, 3)}"
    alone_s, _ = parts_of(workload, plan)
    compute_s, comm_s = parts_of(workload, fewer.two)
    if workload.goal == "tokens-per-second":
        return f"One node is faster than two here: {said}."
    if compute_s >= alone_s:
        return f"One node is faster than two here because two compute no faster: {said}."
    return (
        f"One node is faster than two here because of the messages: {said}; they compute for "
        f"{format_seconds(compute_s, 3)}, one for {format_seconds(alone_s, 3)}, and their messages "
        f"take {format_seconds(comm_s, 3)}."
    )


def certificate_words(plan: AnswerPlan) -> str:
    """How sure the plan is; ``optimal`` only with a proof, and for which set of plans."""
    found = plan.certificate
    if found is None:
        return "A rule of others; nothing was optimised."
    run = f"{found.solver}, {format_seconds(found.runtime_s)}"
    if found.status == "optimal":
        return f"Optimal, proven to within 1e-9 ({run}). Scope: {found.scope}."
    gap = "unknown" if found.gap is None else f"{found.gap:.2%}"
    return f"Feasible, gap {gap} ({run}). Scope: {found.scope}."


def comparison_heading(found: AnswerComparison) -> list[str]:
    """What is compared, and how far the best rule is from the optimum."""
    lines = [f"{found.model} on {found.cluster}: {workload_words(found.workload)}"]
    best = next((row for row in found.rows if row.strategy == "optimal"), None)
    rules = [row for row in found.rows if row.strategy != "optimal" and row.fits]
    if best is None or not best.fits:
        return lines
    if not rules:
        return [*lines, "None of the others' rules fits; the optimum does."]
    nearest = min(rules, key=lambda row: counted(found, row))
    ratio = counted(found, nearest) / counted(found, best)
    alone = next((row for row in rules if row.strategy == "single-node"), None)
    lines.append(
        f"The best rule that fits is {nearest.strategy} on {nearest.nodes}: "
        f"{ratio:.3g} times what the optimum takes ({found.goal})"
    )
    if alone is not None and best.nodes == 1:
        lines.append(
            "One node is the best: what others would take off it is less than what they add in "
            "messages"
        )
    elif alone is not None:
        times = counted(found, alone) / counted(found, best)
        lines.append(f"One node takes {times:.3g} times as long as {best.nodes}")
    return lines


def counted(found: AnswerComparison, row: AnswerRow) -> float:
    """Seconds that the goal counts of a row."""
    values = {
        "first-token": row.first_token_s,
        "token": row.token_s,
        "answer": row.answer_s,
        "tokens-per-second": None if not row.all_tokens_per_s else 1 / row.all_tokens_per_s,
    }
    value = values[found.goal]
    return float("inf") if value is None else value


def fits_heading(found: Fits) -> list[str]:
    """The widest weights for the context that was asked for."""
    asked = f"{found.workload.kept_tokens:,} tokens"
    if found.widest is None:
        return [f"{found.model} on {found.cluster}: no width here leaves room for {asked}"]
    return [f"{found.model} on {found.cluster}: {found.widest} is the widest with room for {asked}"]
