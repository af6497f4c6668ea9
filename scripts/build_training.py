"""Write docs/training-results.md and its pictures from what was trained (``--check``: compare)."""

from __future__ import annotations

import sys
from pathlib import Path

from documents import DOCS, command, made, table
from train_tasks import RESULTS
from training_claims import BRANCHES, Pair, claims, difference_rows, found, interval, percent
from training_picture import Mark, Series, picture
from training_results import CONFIDENCE, TaskResults, read_results
from training_rows import EQUAL_LATENCY, SPARSITIES, SPLITS, training_rows
from training_words import OWN_MODEL, introduction

from planner.training.tasks.catalogue import TASK_NAMES, load_task
from planner.training.tasks.task import Task

PAGE = "training-results.md"
DIGITS = {"dB": 3, "%": 2}
POINTS = {"dB": "dB", "%": "points"}  # what differences count in


def summary(everything: list[TaskResults]) -> str:
    """Every claim on every task."""
    names = [claim.words for claim in claims(everything[0])]
    rows = []
    for number, words in enumerate(names):
        cells = [found(results, claims(results)[number]) for results in everything]
        rows.append((words, *cells))
    units = [POINTS[load_task(results.name).unit] for results in everything]
    names = [f"{found.name} ({unit})" for found, unit in zip(everything, units, strict=True)]
    header = " | ".join(["claim", *names])
    return "\n\n".join(
        [
            "## What holds",
            "The first four are the paper's orderings, the last is ours. The numbers are "
            "differences of means over the seeds; the sections below have every interval.",
            table(header, rows),
        ]
    )


def section(results: TaskResults) -> str:
    """One task."""
    task, digits = load_task(results.name), DIGITS[load_task(results.name).unit]
    budget = task.budget
    minutes = [
        (
            document["dense_s"]
            + document["sensitivity_s"]
            + sum(row["training_s"] for row in document["rows"].values())
        )
        / 60
        for document in results.documents
    ]
    facts = (
        f"{task.metric[0].upper()}{task.metric[1:]} in {task.unit}, more is better; "
        f"{results.documents[0]['reference']:.{digits}f} without learning "
        f"({_reference(task)}). {budget.dense_steps:,} steps of {budget.batch} dense, then "
        f"{budget.tuning_steps:,} per row with {budget.rounds} pruning rounds. "
        f"{len(results.seeds)} seeds, {min(minutes):.0f} to {max(minutes):.0f} minutes each "
        "by the clock."
    )
    compared = [
        *(
            Pair(f"DISCO less random, {percent(s)}", f"disco@{s:g}", f"random@{s:g}")
            for s in SPARSITIES
        ),
        Pair("DISCO 99 % less 100 %", "disco@0.99", BRANCHES),
        Pair("dense less DISCO 99 %", "dense", "disco@0.99"),
    ]
    unit, sure = POINTS[task.unit], percent(CONFIDENCE)
    header = f"difference | {unit} ({sure} interval) | better in | the first is"
    return "\n\n".join(
        [
            f"## {task.title[0].upper()}{task.title[1:]}",
            facts,
            f"![{task.title}]({_picture_name(results)})",
            all_rows(results, task, digits),
            table(header, difference_rows(results, compared, digits)),
            per_layer(results, task, digits),
            exceptions(results),
        ]
    )


def all_rows(results: TaskResults, task: Task, digits: int) -> str:
    """Mean and spread of everything that was trained."""
    rows = []
    for row in training_rows():
        spread = results.spread(row.name)
        lost = interval(results.difference(row.name, "dense"), digits)
        rows.append(
            (
                row.name,
                f"{100 * results.mean(row.name, 'mean_comm_sparsity'):.1f}",
                f"{100 * results.mean(row.name, 'mean_comp_sparsity'):.1f}",
                f"{1e3 * results.mean(row.name, 'latency_s'):.3g}",
                f"{results.mean(row.name):.{digits}f} ± {spread:.{digits}f}",
                "–" if row.name == "dense" else lost,
            )
        )
    header = (
        "network | S_comm reached (%) | S_comp (%) | latency (ms) | "
        f"{task.metric} ({task.unit}), mean ± standard deviation | "
        f"against dense of the same seed ({POINTS[task.unit]})"
    )
    return table(header, rows)


def per_layer(results: TaskResults, task: Task, digits: int) -> str:
    """The optimiser's plans against uniform ones that are no faster."""
    rows = []
    for sparsity in EQUAL_LATENCY:
        ours, uniform = f"per-layer@{sparsity:g}", f"disco@{sparsity:g}"
        gap = results.difference(ours, uniform)
        rows.append(
            (
                percent(sparsity),
                f"{1e3 * results.mean(uniform, 'latency_s'):.3g}",
                f"{1e3 * results.mean(ours, 'latency_s'):.3g}",
                f"{results.mean(uniform, 'predicted_drop'):.{digits}f}",
                f"{results.mean(ours, 'predicted_drop'):.{digits}f}",
                interval(gap, digits),
                f"{gap.above} of {gap.seeds}",
                gap.verdict,
            )
        )
    header = (
        "uniform | its latency (ms) | per layer (ms) | predicted drop, uniform | per layer | "
        f"per layer less uniform, trained, {POINTS[task.unit]} ({percent(CONFIDENCE)} interval) | "
        "better in | per layer is"
    )
    statuses = {status for row in results.named("per-layer") for status in _statuses(results, row)}
    return "\n\n".join(
        [
            "Plans per layer against uniform ones, at a latency that is no higher (solver: "
            f"{', '.join(sorted(statuses))}). Predicted drops add up layers that were pruned "
            "alone and not fine-tuned: they serve to choose a plan and do not foretell what is "
            "left after training.",
            table(header, rows),
        ]
    )


def exceptions(results: TaskResults) -> str:
    """Each pair of a claim that turned out the other way round."""
    lines = []
    for claim in claims(results):
        for pair in claim.pairs:
            gap = results.difference(pair.better, pair.worse)
            if gap.mean < 0:
                sure = "clearly" if gap.verdict == "below" else "within the spread of the seeds"
                lines.append(f"- *{claim.words}*: not so at {pair.words}, {sure}.")
    if not lines:
        return "No mean contradicts the orderings of the first table."
    return "\n".join(["Where the means contradict the orderings of the first table:", "", *lines])


def drawn(results: TaskResults) -> str:
    """The task's picture."""
    task = load_task(results.name)
    levels = [f"{sparsity:g}" for sparsity in SPARSITIES]
    kinds = ("late split", "early split")
    places = ["dense", *map(percent, SPARSITIES), percent(1)]
    places += [f"{kind}\n{groups} of 4" for kind in kinds for groups in SPLITS]

    def mark(place: int, row: str) -> Mark:
        gaps = [a - b for a, b in zip(results.values(row), results.values("dense"), strict=True)]
        mean = sum(gaps) / len(gaps)
        variance = sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)
        return Mark(place, mean, variance**0.5)

    def ladder(strategy: str) -> tuple[Mark, ...]:
        inner = [f"{strategy}@{level}" for level in levels]
        return tuple(mark(at, row) for at, row in enumerate(["dense", *inner, BRANCHES]))

    split = [*results.named("dense-then-split"), *results.named("split-then-aggregate")]
    chosen = [(places.index(percent(s)), f"per-layer@{s:g}") for s in EQUAL_LATENCY]
    series = [
        Series("DISCO", ladder("disco"), joined=True),
        Series("random", ladder("random"), joined=True),
        Series("per layer, no slower", tuple(mark(*at) for at in chosen), joined=False),
        Series(
            "split baselines",
            tuple(mark(len(levels) + 2 + at, row) for at, row in enumerate(split)),
            joined=False,
        ),
    ]
    axis = f"{task.metric} less that of dense ({POINTS[task.unit]})"
    return picture(task.title[0].upper() + task.title[1:], axis, places, series)


def _statuses(results: TaskResults, row: str) -> set[str]:
    return {document["rows"][row]["status"] for document in results.documents}


def _reference(task: Task) -> str:
    return "bicubic interpolation" if task.unit == "dB" else "guessing"


def _picture_name(results: TaskResults) -> str:
    return f"images/training-{results.name}.svg"


def documents(folder: Path) -> dict[str, str]:
    """The page and its pictures, by path inside docs/."""
    rows = [row.name for row in training_rows()]
    everything = [read_results(folder, name, rows) for name in TASK_NAMES]
    parts = [introduction(everything), summary(everything), *map(section, everything), OWN_MODEL]
    pictures = {_picture_name(results): drawn(results) for results in everything}
    return {PAGE: "\n\n".join(parts) + "\n", **pictures}


def main() -> int:
    """Write or check; 1 where the page or a picture is stale."""
    parser = command(__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=DOCS)
    asked = parser.parse_args()
    return made(documents(asked.results), asked.check, asked.docs)


if __name__ == "__main__":
    sys.exit(main())
