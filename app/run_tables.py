"""Runs as tables: predicted beside measured."""

from __future__ import annotations

from app.tables import Table, tabulate
from planner.run.measured import GroupMeasured, Measured
from planner.units import format_bytes, format_rate, format_seconds


def run_table(found: Measured) -> Table:
    """One row for the layers from one exchange to the next, and one for all of them."""
    rows = [
        *(
            (_words(group), group.predicted_s, group.measured.median_s, (group,))
            for group in found.groups
        ),
        ("all", found.predicted_latency_s, found.latency.median_s, found.groups),
    ]
    return tabulate(
        f"{found.model} on {found.cluster}: predicted and measured",
        rows,
        {
            "layers": lambda x: x[0],
            "predicted (ms)": lambda x: x[1] * 1e3,
            "measured (ms)": lambda x: x[2] * 1e3,
            "ratio": lambda x: x[1] / x[2] if x[2] > 0 else None,
            "predicted comp. (ms)": lambda x: (
                sum(group.predicted_compute_s for group in x[3]) * 1e3
            ),
            "measured comp. (ms)": lambda x: sum(group.compute.median_s for group in x[3]) * 1e3,
            "predicted comm. (ms)": lambda x: sum(group.predicted_comm_s for group in x[3]) * 1e3,
            "measured waiting (ms)": lambda x: sum(group.waiting.median_s for group in x[3]) * 1e3,
        },
        "comp., comm.: computation and communication; what is measured is that of the node where "
        "it takes longest; a row begins when all that its nodes exchange is ready and waited for",
    )


def run_heading(found: Measured) -> list[str]:
    """What a reader wants first."""
    payload = sum(item.measured_bytes for item in found.payload)
    planned = sum(item.planned_bytes for item in found.payload)
    same = "as planned" if found.payload_as_planned else f"planned {format_bytes(planned)}"
    measured = found.latency
    lines = [
        f"{found.model} on {found.cluster}: measured {format_seconds(measured.median_s)} per input "
        f"({format_seconds(measured.low_s)} to {format_seconds(measured.high_s)} in half of "
        f"{found.runs} runs), predicted {format_seconds(found.predicted_latency_s)}",
        f"payload {format_bytes(payload)} per input, {same}",
    ]
    if found.throughput_per_s is not None:
        lines.append(
            f"{found.window} inputs at once: measured {format_rate(found.throughput_per_s)} "
            f"inputs/s, predicted {format_rate(found.predicted_throughput_per_s)}"
        )
    return lines


def _words(group: GroupMeasured) -> str:
    more = len(group.layers) - 1
    return f"{group.layers[0]} +{more}" if more else group.layers[0]
