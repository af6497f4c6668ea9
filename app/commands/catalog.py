"""``planner catalog``: what ships, as tables and as documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app import options
from app.render import Format, emit
from app.tables import Table
from planner.errors import BadInputError
from profiles.catalog import (
    cluster_names,
    curve_names,
    load_cluster,
    load_curve,
    load_model,
    model_names,
)


@dataclass(frozen=True)
class CatalogKind:
    """One kind of entry: how to tabulate it and how to dump it."""

    table: Callable[[], Table]
    document: Callable[[], list[Any]]


def _models() -> Table:
    rows = []
    for name in model_names():
        profile = load_model(name)
        shape = "×".join(map(str, profile.inputs[0].shape))
        totals = profile.totals
        rows.append((name, shape, totals.macs, totals.params, profile.provenance.source))
    return Table("models", ("model", "input", "MACs", "parameters", "source"), tuple(rows))


def _clusters() -> Table:
    rows = []
    for name in cluster_names():
        cluster = load_cluster(name)
        node = cluster.nodes[0]
        memory = None if node.memory_bytes is None else node.memory_bytes / 1e6
        rows.append(
            (
                name,
                len(cluster.nodes),
                node.macs_per_s / 1e9,
                cluster.link.bandwidth_bytes_per_s / 1e6,
                memory,
                cluster.medium,
                cluster.description,
            )
        )
    columns = ("cluster", "nodes", "C (GMAC/s)", "B (MB/s)", "memory (MB)", "medium", "description")
    return Table(
        "clusters",
        columns,
        tuple(rows),
        footer="every figure with its source: planner catalog clusters --format json",
    )


def _curves() -> Table:
    rows = []
    for name in curve_names():
        curve = load_curve(name)
        span = f"{curve.disco[0].sparsity_percent:g} to {curve.disco[-1].sparsity_percent:g} %"
        models = ", ".join(curve.models)
        rows.append((name, curve.metric, curve.dense, span, models, curve.source))
    columns = ("curve", "metric", "dense", "S_comm", "default for", "source")
    return Table("accuracy", columns, tuple(rows))


def _model_documents() -> list[Any]:
    return [
        {"name": name, "totals": load_model(name).totals.model_dump(mode="json")}
        for name in model_names()
    ]


CATALOG_TABLES = {
    "models": CatalogKind(_models, _model_documents),
    "clusters": CatalogKind(
        _clusters, lambda: [load_cluster(n).model_dump(mode="json") for n in cluster_names()]
    ),
    "accuracy": CatalogKind(
        _curves, lambda: [load_curve(n).model_dump(mode="json") for n in curve_names()]
    ),
}


def catalog(
    kind: Annotated[
        str | None, typer.Argument(help="models, clusters or accuracy (default: all).")
    ] = None,
    output: options.Output = Format.table,
) -> None:
    """List what ships: models, clusters and published accuracy curves, with their sources."""
    from app.commands.catalog import CATALOG_TABLES

    if kind is not None and kind not in CATALOG_TABLES:
        raise BadInputError(f"KIND {kind!r}: give one of {', '.join(CATALOG_TABLES)}")
    kinds = [kind] if kind else list(CATALOG_TABLES)
    if output is Format.json:
        documents = {name: CATALOG_TABLES[name].document() for name in kinds}
        emit(output, CATALOG_TABLES[kinds[0]].table(), documents)
        return
    for name in kinds:
        emit(output, CATALOG_TABLES[name].table(), None)
