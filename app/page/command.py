"""The command lines that give what the page shows."""

from __future__ import annotations

import shlex

from app.page.answer import Answer
from app.page.language_answer import LanguageAnswer
from app.question import Question
from app.setting import ASKED, COST, LIMITS, SOLVER, TUNE, Setting
from app.settings import taken_by
from planner.domain.settings import Limits
from profiles.catalog import load_language

CLUSTER_FILE = "cluster.json"
PROFILE_FILE = "profile.json"
LANGUAGE_FILE = "language-model.json"
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
    return _write("plan", answer.question, option, source or PROFILE_FILE)


def other_commands(answer: Answer, source: str | None) -> dict[str, str]:
    """What makes the other views' results, by title."""
    return {
        "Compare": _write("compare", answer.question, "--nodes", source or PROFILE_FILE),
        "Trade-off": _write("pareto", answer.question, "--max-nodes", source or PROFILE_FILE),
    }


def answer_command(answer: LanguageAnswer, source: str | None) -> str:
    """The ``planner answer`` that makes the page's plan.

    Parameters
    ----------
    answer : LanguageAnswer
    source : str, optional
        The catalogue's language model; without one the downloaded document is the source.
    """
    option = "--nodes" if answer.request.exactly else "--max-nodes"
    return _write("answer", answer.question, option, *_words_of(answer, source))


def other_answer_commands(answer: LanguageAnswer, source: str | None) -> dict[str, str]:
    """What makes the tables beside it, by title."""
    return {
        "Others' rules": f"{answer_command(answer, source)} --compare",
        "What fits": _write("fits", answer.question, "--max-nodes", *_words_of(answer, source)),
    }


def _words_of(answer: LanguageAnswer, source: str | None) -> tuple[str, ...]:
    """A language model as the command line names it; a document has the width already."""
    bits = answer.model.weight_bits
    if source is None:
        return (LANGUAGE_FILE,)
    width = () if bits == load_language(source).weight_bits else ("--weight-bits", f"{bits:.12g}")
    return (source, *width)


def needs_cluster_file(question: Question) -> bool:
    """Whether no preset and option describe the cluster."""
    nodes = question.request.max_nodes
    return not isinstance(question.cluster, str) or nodes > len(question.base_cluster.nodes)


def _write(command: str, question: Question, nodes: str, *source: str) -> str:
    """A command with every option that is not at its default; a cluster's file is tuned already.

    Parameters
    ----------
    command : str
    question : Question
    nodes : str
        The option for their number.
    *source : str
        The model's words.
    """
    is_file = needs_cluster_file(question)
    cluster = CLUSTER_FILE if is_file else question.base_cluster.name
    words = ["planner", command, *source, "--cluster", cluster]
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
    return (None, ASKED, TUNE, LIMITS, COST, SOLVER).index(setting.panel), is_limit
