"""Results as rows: the one description that terminal tables, CSV files and pages share."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from app.profile_tree import Sums
from planner.domain.certificate import Certificate
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import KeptFeatures, Plan, StagePlan
from planner.strategies.compare import Comparison
from planner.strategies.what_if.frontier import ParetoFrontier
from planner.units import format_bytes

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows of plain values under columns named ``name`` or ``name (unit)``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    footer: str = ""


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
    whole = Sums.of(profile.layers)
    intensity = f"{whole.macs_per_byte:.3g}" if whole.macs_per_byte else "no"
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
            "feature bytes",
            "MACs/byte",
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
                layer.input_feature_bytes if layer.flow.mixes else None,
                Sums.of((layer,)).macs_per_byte,
            )
            for layer in profile.layers
        ),
        footer=(
            f"weights {format_bytes(whole.param_bytes)}, outputs of all layers "
            f"{format_bytes(whole.output_bytes)}, {intensity} MACs per byte (of inputs, outputs "
            "and weights); bytes per feature: of an input feature, where a layer mixes them"
        ),
    )


def plan_table(plan: Plan) -> Table:
    """One row per layer: what is exchanged. This is the CSV of an export."""
    rows = []
    for stage in plan.stages:
        for layer in stage.layers:
            kept = layer.kept_features
            if isinstance(kept, tuple):
                kept_cell: Cell = "; ".join(" ".join(map(str, row)) for row in kept)
            else:
                kept_cell = kept
            rows.append((layer.name, " ".join(stage.nodes), layer.nodes, kept_cell, layer.sparsity))
    return Table(
        f"{plan.model.name}: plan",
        ("layer", "nodes", "node count", "kept features", "sparsity"),
        tuple(rows),
    )


def plan_summary_table(plan: Plan) -> Table:
    """What a reader wants first: the layers that exchange features, or the stages."""
    if len(plan.stages) > 1 or plan.node_count == 1:
        return _stage_table(plan)
    exchanging = [layer for layer in plan.stages[0].layers if layer.kept_features is not None]
    rows = tuple((layer.name, _span(layer.kept_features), layer.sparsity) for layer in exchanging)
    quiet = len(plan.stages[0].layers) - len(exchanging)
    return Table(
        f"Features that each node sends to each other one ({' '.join(plan.stages[0].nodes)})",
        ("layer", "kept features", "S_comm"),
        rows,
        footer=f"{quiet} layers exchange nothing by choice or by nature and are not shown",
    )


def _span(kept: KeptFeatures | None) -> Cell:
    """A count, or the range of a matrix's counts between different nodes."""
    if not isinstance(kept, tuple):
        return kept
    counts = [c for i, row in enumerate(kept) for j, c in enumerate(row) if i != j]
    return f"{min(counts)} to {max(counts)}"


def _stage_table(plan: Plan) -> Table:
    rows = tuple(
        (
            number,
            " ".join(stage.nodes),
            len(stage.layers),
            stage.layers[0].name,
            stage.layers[-1].name,
            _levels(stage),
        )
        for number, stage in enumerate(plan.stages, start=1)
    )
    return Table(
        "Stages", ("stage", "nodes", "layers", "first layer", "last layer", "S_comm"), rows
    )


def _levels(stage: StagePlan) -> Cell:
    """The range of sparsities in a stage; none on one node."""
    levels = [layer.sparsity for layer in stage.layers if layer.sparsity is not None]
    return f"{min(levels):.2f} to {max(levels):.2f}" if levels else None


def _loss_words(found: ParetoFrontier) -> str:
    energy = any(point.energy_loss is not None for point in found.points)
    return "share of the weights' L1 mass" if energy else "points of the task's metric"


def shown_gap(certificate: Certificate) -> float | None:
    """The gap without what rounding leaves of a proven one."""
    return 0.0 if certificate.status == "optimal" else certificate.gap


def frontier_table(found: ParetoFrontier) -> Table:
    """One row per point of a frontier."""
    return Table(
        f"{found.model} on {found.cluster}: {found.trade} against latency",
        ("latency (ms)", "rate (1/s)", "loss", "nodes", "strategy", "S_comm (%)", "status", "gap"),
        tuple(
            (
                point.latency_s * 1e3,
                point.throughput_per_s,
                point.accuracy_drop if point.accuracy_drop is not None else point.energy_loss,
                point.nodes,
                point.strategy,
                _scaled(point.mean_comm_sparsity, 100),
                point.certificate.status,
                shown_gap(point.certificate),
            )
            for point in found.points
        ),
        footer=(f"rate: throughput; loss: {_loss_words(found)}; no row is beaten in both measures"),
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
            "comm. (ms)",
            "comp. (ms)",
            "rate (1/s)",
            "memory (MB)",
            "S_comm (%)",
            "S_comp (%)",
            "accuracy",
            "drop",
            "which is",
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
                row.accuracy_drop,
                row.accuracy_origin,
                row.note,
            )
            for row in comparison.rows
        ),
        footer=_comparison_footer(comparison),
    )


def _comparison_footer(comparison: Comparison) -> str:
    metric = f" accuracy: {comparison.metric};" if comparison.metric else ""
    return (
        f"S: nominal sparsity; comm., comp.: communication and computation; rate: throughput;"
        f"{metric} memory: the fullest node; S_comm, S_comp: means over the layers"
    )


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
