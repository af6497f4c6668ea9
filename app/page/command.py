"""The command lines that give what the page shows."""

from __future__ import annotations

import shlex

from app.page.answer import Answer
from app.page.quantities import BANDWIDTH, COMPUTE, MEMORY
from app.page.question import Question
from planner.domain.settings import Limits

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
    return _line("plan", answer, source, [*_nodes(answer.question), *_goal(answer)])


def other_commands(answer: Answer, source: str | None) -> dict[str, str]:
    """What makes the other views' results, by title."""
    count = ["--nodes", str(answer.question.nodes)]
    goal = [words for words in _goal(answer) if words]
    return {
        "Strategies": _line("compare", answer, source, [*count, *_without(goal, "--parallelism")]),
        "Trade-off": _line(
            "pareto",
            answer,
            source,
            ["--max-nodes", str(answer.question.nodes), *_without(goal, "--objective")],
        ),
    }


def _without(words: list[str], option: str) -> list[str]:
    if option not in words:
        return words
    at = words.index(option)
    return words[:at] + words[at + 2 :]


def needs_cluster_file(asked: Question) -> bool:
    """Whether no preset and option describe the cluster."""
    return not isinstance(asked.cluster, str) or asked.nodes > len(asked.base_cluster.nodes)


def _line(command: str, answer: Answer, source: str | None, options: list[str]) -> str:
    words = ["planner", command, source or PROFILE_FILE, *_cluster(answer.question), *options]
    return " ".join(shlex.quote(word) for word in words)


def _cluster(asked: Question) -> list[str]:
    """The cluster, and how it is tuned; a file holds both."""
    if needs_cluster_file(asked):
        words = ["--cluster", CLUSTER_FILE]
    else:
        words = ["--cluster", asked.cluster_name]
        for option, quantity, value in (
            ("--bandwidth", BANDWIDTH, asked.bandwidth_bytes_per_s),
            ("--compute", COMPUTE, asked.macs_per_s),
            ("--memory", MEMORY, asked.memory_bytes),
        ):
            if value is not None:
                words += [option, quantity.words(value)]
    for option, name in (("--medium", asked.medium), ("--casting", asked.casting)):
        if name is not None:
            words += [option, name]
    return words


def _nodes(asked: Question) -> list[str]:
    return ["--nodes" if asked.exactly else "--max-nodes", str(asked.nodes)]


def _goal(answer: Answer) -> list[str]:
    """Objective, accuracy model, limits and conventions, where they are not the default."""
    asked, limits = answer.question, answer.given_limits
    words: list[str] = []
    if asked.objective != "latency":
        words += ["--objective", asked.objective]
    if asked.parallelism != "hybrid":
        words += ["--parallelism", asked.parallelism]
    if asked.accuracy_model is not None:
        words += ["--accuracy-model", asked.accuracy_model]
    words += _limits(limits)
    for option, chosen in (
        ("--overlap", asked.overlap),
        ("--share-inputs", asked.share_inputs),
        ("--count-input", asked.count_input),
        ("--count-output", asked.count_output),
    ):
        words += [option] if chosen else []
    return words


def _limits(limits: Limits) -> list[str]:
    words: list[str] = []
    if limits.max_accuracy_drop is not None:
        words += ["--max-accuracy-drop", f"{limits.max_accuracy_drop:.12g}"]
    if limits.max_energy_loss is not None:
        words += ["--max-energy-loss", f"{limits.max_energy_loss:.12g}"]
    if limits.max_latency_s is not None:
        words += ["--max-latency", f"{limits.max_latency_s * 1e3:.12g}ms"]
    if limits.min_throughput_per_s is not None:
        words += ["--min-throughput", f"{limits.min_throughput_per_s:.12g}"]
    return words
