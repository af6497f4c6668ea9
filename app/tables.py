"""Results as rows: the one description that terminal tables, CSV files and pages share."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, TypeVar

from app.profile_tree import Sums
from planner.domain.certificate import Certificate
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import Layout, Way
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import KeptFeatures, LayerPlan, Plan, StagePlan
from planner.units import format_bytes
from profiles.files import one_line

if TYPE_CHECKING:
    from planner.strategies.compare import Comparison
    from planner.strategies.what_if.frontier import ParetoFrontier
    from planner.strategies.what_if.summary import PlanSummary

Cell = str | int | float | None
Item = TypeVar("Item")


@dataclass(frozen=True)
class Table:
    """Rows of plain values under columns named ``name`` or ``name (unit)``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    footer: str = ""


def tabulate(
    title: str,
    items: Iterable[Item],
    columns: Mapping[str, Callable[[Item], Cell]],
    footer: str = "",
) -> Table:
    """A table of items, by what each column shows of one."""
    rows = tuple(tuple(cell(item) for cell in columns.values()) for item in items)
    return Table(title, tuple(columns), rows, footer)


def to_csv(table: Table) -> str:
    """Comma-separated values that a spreadsheet shows and never runs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_harmless(cell) for cell in row] for row in table.rows)
    return out.getvalue()


def _harmless(cell: Cell) -> Cell:
    """A name without what steers a terminal; one that begins like a formula is made text."""
    if not isinstance(cell, str):
        return cell
    text = one_line(cell)
    return "'" + text if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def profile_table(profile: ModelProfile) -> Table:
    """One row per layer."""
    whole = Sums.of(profile.layers)
    intensity = f"{whole.macs_per_byte:.3g}" if whole.macs_per_byte else "no"
    return tabulate(
        f"{profile.name}: layers",
        profile.layers,
        {
            "layer": attrgetter("name"),
            "op": attrgetter("op"),
            "flow": attrgetter("feature_flow"),
            "input features": attrgetter("in_features"),
            "output features": attrgetter("out_features"),
            "MACs": attrgetter("macs"),
            "fvcore MACs": attrgetter("witness_macs"),
            "parameters": attrgetter("params"),
            "input bytes": attrgetter("input_bytes"),
            "output bytes": attrgetter("output_bytes"),
            "feature bytes": lambda x: (
                x.input_feature_bytes if x.feature_flow == "mixing" else None
            ),
            "MACs/byte": lambda x: Sums.of((x,)).macs_per_byte,
        },
        f"weights {format_bytes(whole.param_bytes)}, outputs of all layers "
        f"{format_bytes(whole.output_bytes)}, {intensity} MACs per byte (of inputs, outputs "
        "and weights); bytes per feature: of an input feature, where a layer mixes them",
    )


def _feature_bytes(layer: LayerProfile) -> int | None:
    return layer.input_feature_bytes if layer.feature_flow == "mixing" else None


def plan_table(plan: Plan) -> Table:
    """One row per layer: what is exchanged. This is the CSV of an export."""
    return tabulate(
        f"{plan.model.name}: plan",
        [(stage, layer) for stage in plan.stages for layer in stage.layers],
        {
            "layer": lambda x: x[1].name,
            "nodes": lambda x: " ".join(x[0].nodes),
            "node count": lambda x: x[1].nodes,
            "way": lambda x: way_of(x[1]),
            "layout": lambda x: layout_of(x[1]),
            "conversions": lambda x: conversion_words(x[1]),
            "fused up to": lambda x: x[1].until,
            "kept features": lambda x: _counts(x[1].kept_features) if x[1].sparsity else None,
            "sparsity": lambda x: x[1].sparsity or None,
        },
    )


def way_of(layer: LayerPlan) -> Way | None:
    """How a layer runs on several nodes; in older files that went without saying."""
    return layer.way or ("features" if layer.nodes > 1 else None)


def layout_of(layer: LayerPlan) -> Layout | None:
    """How its output lies then."""
    return layer.layout or ("features" if layer.nodes > 1 else None)


class Brought(Protocol):
    """A tensor that is brought to another layout."""

    @property
    def tensor(self) -> str:
        """Its name."""

    @property
    def source(self) -> Layout:
        """How it lay."""

    @property
    def target(self) -> Layout:
        """How it lies then."""


class Converting(Protocol):
    """A layer with what is brought to other layouts before it runs."""

    @property
    def conversions(self) -> Sequence[Brought]:
        """In order."""


def conversion_words(layer: Converting) -> str:
    """What is brought to other layouts before a layer: ``q: positions→whole``."""
    return ", ".join(f"{x.tensor}: {x.source}→{x.target}" for x in layer.conversions)


def _counts(kept: KeptFeatures | None) -> Cell:
    """A count, or a matrix' rows."""
    return "; ".join(" ".join(map(str, row)) for row in kept) if isinstance(kept, tuple) else kept


def plan_summary_table(plan: Plan) -> Table:
    """What a reader wants first: runs of layers alike in their way, or the stages."""
    if len(plan.stages) > 1 or plan.node_count == 1:
        return _stage_table(plan)
    rows = tuple(map(_run_row, _runs(plan.stages[0].layers)))
    return Table(
        f"How the layers run on {' '.join(plan.stages[0].nodes)}, one behind the other",
        ("layers", "first", "last", "way", "layout", "conversions", "kept features", "S_comm"),
        rows,
        footer="layers in a row that run alike are one line, and what is converted or dropped "
        "begins one; kept features: what each node sends to each other one for the first of them",
    )


def _runs(layers: Iterable[LayerPlan]) -> list[list[LayerPlan]]:
    """Layers in a row that run alike; what is converted or dropped begins a run."""
    runs: list[list[LayerPlan]] = []
    for layer in layers:
        before = runs[-1][-1] if runs else None
        goes_on = (
            before is not None
            and not (layer.conversions or layer.sparsity)
            and (layer.way, layer.until) == (before.way, before.until)
        )
        if goes_on:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return runs


def _run_row(run: list[LayerPlan]) -> tuple[Cell, ...]:
    first, last = run[0], run[-1]
    kept = _span(first.kept_features) if first.sparsity else None
    return (
        len(run),
        first.name,
        last.name if len(run) > 1 else None,
        f"{way_of(first)}{' (fused)' if first.until else ''}",
        layout_of(first),
        _converted(first),
        kept,
        first.sparsity or None,
    )


def _converted(layer: LayerPlan) -> str:
    """The same in short: several tensors that are converted alike are counted."""
    kinds = Counter((x.source, x.target) for x in layer.conversions)
    if len(kinds) == len(layer.conversions):
        return conversion_words(layer)
    return ", ".join(
        f"{count} tensors: {source}→{target}" for (source, target), count in kinds.items()
    )


def _span(kept: KeptFeatures | None) -> Cell:
    """A count, or the range of a matrix's counts between different nodes."""
    if not isinstance(kept, tuple):
        return kept
    counts = [c for i, row in enumerate(kept) for j, c in enumerate(row) if i != j]
    return f"{min(counts)} to {max(counts)}"


def _stage_table(plan: Plan) -> Table:
    return tabulate(
        "Stages",
        enumerate(plan.stages, start=1),
        {
            "stage": lambda x: x[0],
            "nodes": lambda x: " ".join(x[1].nodes),
            "layers": lambda x: len(x[1].layers),
            "first layer": lambda x: x[1].layers[0].name,
            "last layer": lambda x: x[1].layers[-1].name,
            "ways": lambda x: _ways(x[1]),
            "S_comm": lambda x: _levels(x[1]),
        },
    )


def _ways(stage: StagePlan) -> Cell:
    """How many layers run in which way, the most first; none on one node."""
    if len(stage.nodes) == 1:
        return None
    found = Counter(map(way_of, stage.layers))
    return ", ".join(f"{way} {count}" for way, count in found.most_common())


def _levels(stage: StagePlan) -> Cell:
    """The range of sparsities in a stage; none where nothing is dropped."""
    levels = [layer.sparsity for layer in stage.layers if layer.sparsity is not None]
    return f"{min(levels):.2f} to {max(levels):.2f}" if any(levels) else None


def lost(plan: PlanSummary) -> float | None:
    """What a plan loses, in points or as a share."""
    return plan.accuracy_drop if plan.accuracy_drop is not None else plan.energy_loss


def loss_words(plans: Iterable[PlanSummary]) -> str:
    """What losses are counted in."""
    energy = any(plan.energy_loss is not None for plan in plans)
    return "share of the weights' L1 mass" if energy else "points of the task's metric"


def shown_gap(certificate: Certificate) -> float | None:
    """The gap without what rounding leaves of a proven one."""
    return 0.0 if certificate.status == "optimal" else certificate.gap


def frontier_table(found: ParetoFrontier) -> Table:
    """One row per point of a frontier."""
    return tabulate(
        f"{found.model} on {found.cluster}: {found.trade} against latency",
        found.points,
        {
            "latency (ms)": scaled("latency_s", 1e3),
            "throughput (1/s)": attrgetter("throughput_per_s"),
            "loss": lost,
            "nodes": attrgetter("nodes"),
            "strategy": attrgetter("strategy"),
            "S_comm (%)": scaled("mean_comm_sparsity", 100),
            "status": attrgetter("certificate.status"),
            "gap": lambda point: shown_gap(point.certificate),
        },
        f"loss: {loss_words(found.points)}; no row is beaten in both measures",
    )


def comparison_table(comparison: Comparison) -> Table:
    """One row per strategy."""
    return tabulate(
        f"{comparison.model} on {comparison.cluster}",
        comparison.rows,
        {
            "strategy": attrgetter("strategy"),
            "nodes": attrgetter("nodes"),
            "nominal S": attrgetter("nominal_sparsity"),
            "latency (ms)": scaled("latency_s", 1e3),
            "comm. (ms)": scaled("comm_s", 1e3),
            "comp. (ms)": scaled("compute_s", 1e3),
            "throughput (1/s)": attrgetter("throughput_per_s"),
            "memory (MB)": lambda row: (
                max(row.memory_bytes.values()) / 1e6 if row.memory_bytes else None
            ),
            "S_comm (%)": scaled("mean_comm_sparsity", 100),
            "S_comp (%)": scaled("mean_comp_sparsity", 100),
            "accuracy": attrgetter("accuracy"),
            "accuracy drop": attrgetter("accuracy_drop"),
            "origin of accuracy": attrgetter("accuracy_origin"),
            "note": attrgetter("note"),
        },
        _comparison_footer(comparison),
    )


def _comparison_footer(comparison: Comparison) -> str:
    metric = f" accuracy: {comparison.metric};" if comparison.metric else ""
    return (
        f"nominal S: the sparsity that was asked for; comm., comp.: communication and computation;"
        f"{metric} memory: the fullest node; S_comm, S_comp: means over the layers"
    )


def scaled(field: str, factor: float) -> Callable[[object], float | None]:
    """A field in another unit, where it is known."""

    def cell(item: object) -> float | None:
        value: float | None = getattr(item, field)
        return None if value is None else value * factor

    return cell
