"""Results as rows: the one description that terminal tables, CSV files and pages share."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.strategies.compare import Comparison

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Column names (with units) and rows of plain values."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def to_csv(table: Table) -> str:
    """Comma-separated values that a spreadsheet shows and never runs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_harmless(cell) for cell in row] for row in table.rows)
    return out.getvalue()


def _harmless(cell: Cell) -> Cell:
    """A name that begins like a formula, made text."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + cell
    return cell


def profile_table(profile: ModelProfile) -> Table:
    """One row per layer."""
    return Table(
        f"{profile.name}: layers",
        (
            "layer",
            "op",
            "flow",
            "input features",
            "output features",
            "MACs",
            "fvcore MACs",
            "parameters",
            "input bytes",
            "output bytes",
        ),
        tuple(
            (
                layer.name,
                layer.op,
                layer.feature_flow,
                layer.in_features,
                layer.out_features,
                layer.macs,
                layer.witness_macs,
                layer.params,
                layer.input_bytes,
                layer.output_bytes,
            )
            for layer in profile.layers
        ),
    )


def plan_table(plan: Plan) -> Table:
    """One row per layer: what is exchanged. This is the CSV of an export."""
    rows = []
    for stage in plan.stages:
        for layer in stage.layers:
            kept = layer.kept_features
            text = (
                "; ".join(" ".join(map(str, row)) for row in kept)
                if isinstance(kept, tuple)
                else kept
            )
            rows.append((layer.name, " ".join(stage.nodes), layer.nodes, text, layer.sparsity))
    return Table(
        f"{plan.model.name}: plan",
        ("layer", "nodes", "node count", "kept features", "sparsity"),
        tuple(rows),
    )


def comparison_table(comparison: Comparison) -> Table:
    """One row per strategy."""
    return Table(
        f"{comparison.model} on {comparison.cluster}",
        (
            "strategy",
            "nodes",
            "S",
            "latency (ms)",
            "communication (ms)",
            "computation (ms)",
            "throughput (1/s)",
            "memory per node (MB)",
            "mean S_comm (%)",
            "mean S_comp (%)",
            comparison.metric or "accuracy",
            "accuracy is",
            "note",
        ),
        tuple(
            (
                row.strategy,
                row.nodes,
                row.nominal_sparsity,
                _scaled(row.latency_s, 1e3),
                _scaled(row.comm_s, 1e3),
                _scaled(row.compute_s, 1e3),
                row.throughput_per_s,
                _scaled(max(row.memory_bytes.values(), default=None), 1e-6),
                _scaled(row.mean_comm_sparsity, 100),
                _scaled(row.mean_comp_sparsity, 100),
                row.accuracy,
                row.accuracy_origin,
                row.note,
            )
            for row in comparison.rows
        ),
    )


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
