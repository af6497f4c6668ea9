"""What fits: the largest context at every width of the weights, and the widest weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from pydantic import Field

from planner.domain.answer import AnswerPlan
from planner.domain.arrays import Frozen
from planner.domain.request import Request
from planner.domain.workload import Workload
from planner.errors import InfeasibleError, SolverStoppedError
from planner.solve.deadline import Deadline
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.optimise import optimise_answer

WIDTHS: tuple[tuple[str, Fraction], ...] = (
    ("F16", Fraction(16)),
    ("Q8_0", Fraction(17, 2)),
    ("Q6_K", Fraction(105, 16)),
    ("Q5_K", Fraction(11, 2)),
    ("Q4_K", Fraction(9, 2)),
    ("Q3_K", Fraction(55, 16)),
    ("Q2_K", Fraction(21, 8)),
)
"""Widths of weights that ggml has, scales included."""
STEP = 256
"""Contexts are told apart in steps of so many tokens."""
MOST = 2**20
"""Of a context, where the model does not say for what it was trained."""


class Fit(Frozen):
    """The largest context at one width of the weights."""

    width: str
    weight_bits: float
    context: int | None = None
    at_most: bool = Field(default=False, description="all that the model was trained for")
    proven: bool = Field(default=True, description="false: time was up, and more may fit")
    nodes: int | None = None
    first_token_s: float | None = None
    tokens_per_s: float | None = None
    note: str = ""


class Fits(Frozen):
    """What of a model fits on a cluster, by width of the weights."""

    schema_version: int = 1
    model: str
    cluster: str
    workload: Workload
    widest: str | None = None
    rows: tuple[Fit, ...] = ()


def what_fits(
    case: LanguageCase,
    request: Request,
    widths: Sequence[tuple[str, Fraction]] = WIDTHS,
) -> Fits:
    """The largest context at every width, with the best plan there.

    Parameters
    ----------
    case : LanguageCase
        Its context is what the widest weights are asked for.
    request : Request
    widths : sequence of (str, Fraction)
    """
    deadline = Deadline(request.time_limit_s)
    rows = []
    for done, (name, bits) in enumerate(widths):
        part = deadline.share(1 / (len(widths) - done))
        one = replace(case, model=case.model.with_bits(bits))
        rows.append(_largest(one, request, name, float(bits), part))
    asked = case.workload.kept_tokens
    enough = (row for row in rows if row.context is not None and row.context >= asked)
    widest = next((row.width for row in sorted(enough, key=lambda row: -row.weight_bits)), None)
    return Fits(
        model=case.model.name,
        cluster=case.cluster.name,
        workload=case.workload,
        widest=widest,
        rows=tuple(rows),
    )


def _largest(
    case: LanguageCase, request: Request, name: str, bits: float, deadline: Deadline
) -> Fit:
    workload = case.workload
    least = -(-(workload.prompt + workload.answer) // STEP)
    trained = case.model.context
    most = max((trained or MOST) // STEP, least)
    best: AnswerPlan | None = None
    low, high, tried, note = least - 1, most + 1, least, ""
    while high - low > 1 and not deadline.passed:
        asked = workload.model_copy(update={"context": tried * STEP})
        within = replace(request, time_limit_s=deadline.left_s)
        try:
            best = optimise_answer(replace(case, workload=asked), within)
        except InfeasibleError as error:
            high, note = tried, str(error)
        except SolverStoppedError:
            break
        else:
            low = tried
        tried = most if low == least and high > most else (low + high) // 2
    late = high - low > 1
    is_within = trained is not None and trained > (low - 1) * STEP
    if best is None:
        return Fit(width=name, weight_bits=bits, proven=not late, note=_LATE if late else note)
    return Fit(
        width=name,
        weight_bits=bits,
        context=low * STEP,
        at_most=low == most and is_within,
        proven=not late,
        nodes=best.node_count,
        first_token_s=best.predicted.first_token_s,
        tokens_per_s=best.predicted.tokens_per_s,
        note=_LATE if late else note.replace("no plan fits", "no more") or _end(trained, is_within),
    )


def _end(trained: int | None, is_within: bool) -> str:
    """Why no larger context was tried than one that fits."""
    if trained is None:
        return "no larger one was tried: what the model was trained for is unknown"
    if is_within:
        return "all that the model was trained for"
    return f"more than the {trained:,} tokens that the model was trained for"


_LATE = "or more: time was up (--time-limit)"
