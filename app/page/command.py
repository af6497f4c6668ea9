"""The command lines that give what the page shows."""

from __future__ import annotations

import shlex

from app.page.answer import Answer
from app.question import TUNING, Question
from app.settings import taken_by

CLUSTER_FILE = "cluster.json"
PROFILE_FILE = "profile.json"


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
        "Strategies": _write("compare", answer.question, source, "--nodes"),
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
    words += [nodes, str(question.request.max_nodes)]
    for setting in taken_by(command):
        value = question.value(setting.field)
        is_said = setting.field in ("max_nodes", "exactly") or (is_file and setting.field in TUNING)
        if not (is_said or setting.field == "time_limit_s" or value in (None, setting.default, ())):
            words += setting.kind.write_option(value, setting.flag)
    return " ".join(shlex.quote(word) for word in words)
