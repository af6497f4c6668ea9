"""A plan beside a pinned one: every number of both, and the settings that differ."""

from __future__ import annotations

from app.page.answer import Answer
from app.tables import Cell, Table

_ROWS = (
    ("latency (ms)", "latency_s", 1e3),
    ("communication (ms)", "comm_s", 1e3),
    ("computation (ms)", "compute_s", 1e3),
    ("throughput (1/s)", "throughput_per_s", 1.0),
    ("accuracy drop (points)", "accuracy_drop", 1.0),
    ("energy loss (%)", "energy_loss", 100.0),
    ("mean S_comm (%)", "mean_comm_sparsity", 100.0),
    ("mean S_comp (%)", "mean_comp_sparsity", 100.0),
)


def beside_table(a: Answer, b: Answer) -> Table:
    """Every number of two plans and what B is over A."""
    rows: list[tuple[Cell, ...]] = []
    for name, field, scale in _ROWS:
        rows.append(
            _row(
                name,
                _scaled(getattr(a.plan.predicted, field), scale),
                _scaled(getattr(b.plan.predicted, field), scale),
            )
        )
    memory = [max(x.plan.predicted.memory_bytes.values()) / 1e6 for x in (a, b)]
    rows.append(_row("memory of the fullest node (MB)", *memory))
    rows.append(_row("nodes", float(a.plan.node_count), float(b.plan.node_count)))
    rows.append(_row("stages", float(len(a.plan.stages)), float(len(b.plan.stages))))
    kept = [row for row in rows if row[1] is not None or row[2] is not None]
    return Table(
        "A and B",
        ("number", "A", "B", "B - A", "B / A"),
        tuple(kept),
        footer="A is the pinned plan, B the present one. Predicted by the cost model, as its "
        "plan file says for each number: measured, derived or assumed.",
    )


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def _row(name: str, a: float | None, b: float | None) -> tuple[Cell, ...]:
    if a is None or b is None:
        return (name, a, b, None, None)
    return (name, a, b, b - a, b / a if a else None)


def changed_settings(a: Answer, b: Answer) -> str:
    """What was asked otherwise for B, in one line; empty where nothing was."""
    changes = []
    if a.profile.name != b.profile.name:
        changes.append(f"model {a.profile.name} → {b.profile.name}")
    if a.case.cluster.name != b.case.cluster.name:
        changes.append(f"cluster {a.case.cluster.name} → {b.case.cluster.name}")
    left = [words for words in a.settings if words not in b.settings]
    right = [words for words in b.settings if words not in a.settings]
    if left or right:
        changes.append(f"{', '.join(left) or 'nothing'} → {', '.join(right) or 'nothing'}")
    return "; ".join(changes)
