"""The options of commands about a language model and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app import options
from app.asking import asks
from app.question import Question
from app.render import Outcome
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.strategies.phases.costs import LanguageCase
from profiles.catalog import resolve_cluster
from profiles.language import load_language_model


def asks_for_answer(before: str = "") -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """Give a command a `LanguageCase` and a `Request`, as `app.asking.asks_for_case` does."""
    return asks(_load_language, _language_case, before)


def _load_language(
    source: options.LanguageSource,
    cluster: options.ClusterName = "small-nodes",
    weight_bits: options.WeightBits = None,
) -> tuple[LanguageModel, Cluster]:
    return load_language_model(source, weight_bits), resolve_cluster(cluster)


def _language_case(question: Question, model: LanguageModel, given: dict[str, Any]) -> LanguageCase:
    return language_case(question, model)


def language_case(question: Question, model: LanguageModel) -> LanguageCase:
    """What is costed when the question is about this model."""
    return LanguageCase(model, question.tuned_cluster, question.workload, question.costs)
