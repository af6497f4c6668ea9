"""The command lines that give what the page shows."""

from __future__ import annotations

import shlex

from app.page.answer import Answer
from app.question import Question
from app.settings import COST, LIMITS, SOLVER, TUNE, Setting, taken_by
from planner.domain.settings import Limits

CLUSTER_FILE = "cluster.json"
PROFILE_FILE = "profile.json"
_NOT_SAID = ("max_nodes", "exactly", "time_limit_s")  # said otherwise, or the page's own


def plan_command(answer: Answer, source: str | None) -> str:
    """The ``planner plan`` that makes the page's plan.

    Parameters
    ----------
    answer : Answer
    source : str, optional
        The catalogue model; without one the downloaded profile is the source.
    """
    option = "--nodes" if answer.request.exactly else "--max-nodes"
    return _write("plan", answer.question, source, option)


def other_commands(answer: Answer, source: str | None) -> dict[str, str]:
    """What makes the other views' results, by title."""
    return {
        "Compare": _write("compare", answer.question, source, "--nodes"),
        "Trade-off": _write("pareto", answer.question, source, "--max-nodes"),
    }


def needs_cluster_file(question: Question) -> bool:
    """Whether no preset and option describe the cluster."""
    nodes = question.request.max_nodes
    return not isinstance(question.cluster, str) or nodes > len(question.base_cluster.nodes)


def _write(command: str, question: Question, source: str | None, nodes: str) -> str:
    """A command with every option that is not at its default; a cluster's file is tuned already."""
    is_file = needs_cluster_file(question)
    cluster = CLUSTER_FILE if is_file else question.base_cluster.name
    words = ["planner", command, source or PROFILE_FILE, "--cluster", cluster]
    tuning: list[str] = []
    others = [nodes, str(question.request.max_nodes)]
    for setting in sorted(taken_by(command), key=_place):
        value = question.value(setting.field)
        if setting.field not in _NOT_SAID and value not in (None, setting.default, ()):
            place = tuning if setting.panel == TUNE else others
            place += setting.kind.write_option(value, setting.flag)
    words += others if is_file else tuning + others
    return " ".join(shlex.quote(word) for word in words)


def _place(setting: Setting) -> tuple[int, bool]:
    """The goal first, its limits behind it, then what is counted."""
    is_limit = setting.field in Limits.model_fields
    return (None, TUNE, LIMITS, COST, SOLVER).index(setting.panel), is_limit
