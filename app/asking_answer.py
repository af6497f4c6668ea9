"""The options of commands about a language model and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from app import options
from app.asking import asks, one_of
from app.question import Question
from app.render import Outcome
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.domain.workload import Goal, Workload
from planner.errors import BadInputError
from planner.strategies.phases.costs import LanguageCase
from planner.units import parse_quantity
from profiles.catalog import resolve_cluster
from profiles.language import load_language_model, workload_of


def asks_for_answer(before: str = "") -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """Give a command a `LanguageCase` and a `Request`, as `app.asking.asks_for_case` does."""
    return asks(_load_language, _language_case, before)


def _load_language(
    source: options.LanguageSource,
    cluster: options.ClusterName = "small-nodes",
    prompt: options.Prompt = 512,
    answer: options.Answer = 128,
    context: options.Context = None,
    requests: options.Requests = 1,
    goal: options.GoalOption = "answer",
    max_first_token: options.MaxFirstToken = None,
    max_token: options.MaxToken = None,
    chunk: options.Chunk = None,
    fill: options.Fill = None,
    cache_bits: options.CacheBits = None,
    weight_bits: options.WeightBits = None,
) -> tuple[tuple[LanguageModel, Workload], Cluster]:
    goals: tuple[Goal, ...] = get_args(Goal)
    given = dict(
        prompt=prompt,
        answer=answer,
        context=context,
        requests=requests,
        goal=one_of("--goal", goal, goals),
        chunk=_chunk(chunk),
        fill=fill,
        cache_bits=cache_bits,
        max_first_token_s=_seconds(max_first_token, "--max-first-token"),
        max_token_s=_seconds(max_token, "--max-token"),
    )
    model, workload = load_language_model(source, weight_bits), workload_of(given)
    return (model, workload), resolve_cluster(cluster)


def _chunk(text: str | None) -> int | str | None:
    if text is None or text == "best":
        return text
    if not text.isascii() or not text.isdecimal() or len(text) > 8 or int(text) < 1:
        raise BadInputError(f"--chunk {text!r}: give a whole number of tokens, or best")
    return int(text)


def _seconds(text: str | None, option: str) -> float | None:
    return None if text is None else parse_quantity(text, "time", where=option)


def _language_case(
    question: Question, loaded: tuple[LanguageModel, Workload], given: dict[str, Any]
) -> LanguageCase:
    model, workload = loaded
    return LanguageCase(model, question.tuned_cluster, workload, question.costs)
