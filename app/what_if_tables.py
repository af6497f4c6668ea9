"""Sweeps, and the trials behind what a target would take, as rows."""

from __future__ import annotations

from app.tables import Cell, Table, shown_gap
from planner.strategies.what_if.needed import Needed, Trial
from planner.strategies.what_if.quantities import Quantity, Value
from planner.strategies.what_if.summary import PlanSummary
from planner.strategies.what_if.sweep import Sweep, SweepPoint
from planner.units import format_seconds

_COLUMNS: dict[Quantity, tuple[str, float]] = {
    "bandwidth": ("B (MB/s)", 1e-6),
    "compute": ("C (GMAC/s)", 1e-9),
    "nodes": ("at most (nodes)", 1),
    "link-latency": ("link latency (ms)", 1e3),
    "memory": ("memory limit (MB)", 1e-6),
}
_DIGITS = 12  # a value is shown as it was typed: 21.23, not 21.229999999999997


def sweep_table(found: Sweep) -> Table:
    """One row per value."""
    energy = any(point.best and point.best.energy_loss is not None for point in found.points)
    loss = "share of the weights' L1 mass" if energy else "points of the task's metric"
    return Table(
        f"{found.model} on {found.cluster}: least latency"
        if found.objective == "latency"
        else f"{found.model} on {found.cluster}: most throughput",
        (
            _COLUMNS[found.over][0],
            "latency (ms)",
            "comm. (ms)",
            "comp. (ms)",
            "rate (1/s)",
            "loss",
            "nodes",
            "strategy",
            "S_comm (%)",
            "status",
            "gap",
            "note",
        ),
        tuple(
            (_shown(found.over, point.value), *_cells(point.best, point), _note(found, point))
            for point in found.points
        ),
        footer=f"comm., comp.: communication and computation; rate: throughput; loss: {loss}",
    )


def _cells(best: PlanSummary | None, point: SweepPoint) -> tuple[Cell, ...]:
    if best is None:
        return (*[None] * 8, point.failure, None)
    return (
        best.latency_s * 1e3,
        best.comm_s * 1e3,
        best.compute_s * 1e3,
        best.throughput_per_s,
        best.accuracy_drop if best.accuracy_drop is not None else best.energy_loss,
        best.nodes,
        best.strategy,
        None if best.mean_comm_sparsity is None else best.mean_comm_sparsity * 100,
        best.certificate.status,
        shown_gap(best.certificate),
    )


def _note(found: Sweep, point: SweepPoint) -> str:
    now = "the present value" if point.value == found.current else ""
    return point.reason or now


def needed_table(found: Needed) -> Table:
    """One row per value that was tried, by rising value."""
    return Table(
        f"{found.model} on {found.cluster}: what {format_seconds(found.target_latency_s)} takes",
        (_COLUMNS[found.of][0], "latency (ms)", "bound (ms)", "verdict", "note"),
        tuple(
            (
                _shown(found.of, trial.value),
                None if trial.latency_s is None else trial.latency_s * 1e3,
                None if trial.bound_s is None else trial.bound_s * 1e3,
                trial.verdict,
                _trial_note(found, trial),
            )
            for trial in sorted(found.trials, key=lambda trial: trial.value or 0)
        ),
        footer="bound: no plan is faster there; enough: a plan meets the target; not enough: the "
        "bound proves that none does",
    )


def _trial_note(found: Needed, trial: Trial) -> str:
    if trial.reason:
        return trial.reason
    if trial.value is None:
        return "the cluster as it is"
    if trial.value == found.current:
        return "the present value"
    if trial.value == found.largest and found.of != "nodes":
        return "as good as unlimited"
    return "the smallest value" if found.proven and trial.value == found.enough else ""


def _shown(quantity: Quantity, value: Value | None) -> Cell:
    if value is None or quantity == "nodes":
        return value
    return float(f"{value * _COLUMNS[quantity][1]:.{_DIGITS}g}")
