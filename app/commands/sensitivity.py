"""``planner sensitivity``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app import options
from app.progress import working
from app.render import Format, emit, messages, say
from app.tables import Table
from planner.case import Case
from planner.training.tasks.catalogue import TASK_NAMES, load_task
from profiles.catalog import resolve_cluster
from profiles.sensitivities import COLUMNS, read_sensitivities


def sensitivity(
    output_file: Annotated[
        Path, typer.Option("--output", "-o", help="The .csv file to write, or to go on with.")
    ],
    task: Annotated[
        str, typer.Option(help=f"The shipped example: {', '.join(TASK_NAMES)}.")
    ] = "digits-cnn",
    cluster: options.ClusterName = "small-nodes",
    nodes: Annotated[int, typer.Option(min=2, help="The cluster's first nodes.")] = 2,
    level: Annotated[
        list[float] | None,
        typer.Option(help="S_comm, above 0 and at most 1; repeatable (default: six levels)."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of data, weights and batches.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of the dense training (default: the task's own).")
    ] = None,
    output: options.Output = Format.table,
) -> None:
    """Train a shipped example and measure what each layer alone loses when it is sparse.

    The file is what --accuracy-model csv:FILE reads. It is written after every measurement; the
    same command goes on where it was ended.
    """
    found = load_task(task)
    from planner.training.sensitivity import LEVELS, sensitivity_points
    from planner.training.tasks.loop import repeatable, train_dense
    from profiles.from_torch.frontend import profile_module
    from profiles.sensitivity_file import measure_to_file

    budget = replace(found.budget, dense_steps=steps or found.budget.dense_steps)
    profile = profile_module(found.network(), {"image": found.input_shape}, name=found.name)
    case = Case(profile, resolve_cluster(cluster))
    levels = tuple(level) if level else LEVELS
    sensitivity_points(case, nodes, levels)  # refuses bad ones before minutes are spent
    with repeatable():
        data = found.data(seed)
        with working(f"training {found.title}, {budget.dense_steps:,} steps"):
            model = train_dense(found, data, seed, budget)
        with _counting("measuring layers") as progress:
            measure_to_file(
                output_file,
                model,
                case,
                nodes,
                lambda sparse: data.quality(sparse, "validation"),
                metric=f"{found.metric} ({found.unit}), {found.name}, validation",
                levels=levels,
                progress=progress,
            )
    say(f"wrote {output_file}")
    measured = read_sensitivities(output_file)
    rows = [
        (layer, sparsity, loss)
        for layer, points in measured.points.items()
        for sparsity, loss in points.items()
    ]
    names = (COLUMNS[0], COLUMNS[1], f"{COLUMNS[2]} ({found.unit})")
    document = {
        "metric": measured.metric,
        "dense": measured.dense_value,
        "nodes": measured.nodes,
        "rows": [dict(zip(COLUMNS, row, strict=True)) for row in rows],
    }
    emit(
        output,
        Table("sensitivities", names, tuple(rows)),
        document,
        heading=[f"{found.title}: {found.metric} {measured.dense_value:.2f} {found.unit} dense"],
    )


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how many of how many are done."""
    if not (sys.stderr.isatty() and messages.is_interactive):
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=messages, transient=True) as bar:
        line = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total)
