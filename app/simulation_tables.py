"""A simulation as rows and sentences, for the command line and the page alike."""

from __future__ import annotations

from app.tables import Table
from planner.simulation.result import PolicyResult, SimulationResult
from planner.units import format_seconds


def simulation_table(result: SimulationResult) -> Table:
    """One row per policy."""
    columns = (
        "policy",
        "makespan (s)",
        "± (s)",
        "mean (s)",
        "p50 (s)",
        "p95 (s)",
        "p99 (s)",
        "completed",
        "inputs",
        "distributed (%)",
        "makespan/bound",
        "carries (1/s)",
        "busiest node (%)",
        "status",
    )
    return Table(
        f"{result.scenario}: {result.model} on {result.cluster}",
        columns,
        tuple(_row(row) for row in result.policies),
        "Derived by the cost model and the simulation, not measured. Bound: no policy is done "
        "sooner. ±: 95 % confidence of the mean over replications.",
    )


def _row(row: PolicyResult) -> tuple[str | int | float | None, ...]:
    return (
        row.policy,
        row.makespan_s,
        row.interval.makespan_s if row.interval else None,
        row.mean_s,
        row.p50_s,
        row.p95_s,
        row.p99_s,
        row.completed,
        row.inputs,
        100 * row.distributed_share,
        row.bound_ratio,
        row.carried_per_s,
        100 * max(use.computing + use.held_by_sending for use in row.workers),
        row.status,
    )


def simulation_heading(result: SimulationResult) -> list[str]:
    """What was simulated, and its limit."""
    count = result.policies[0].inputs
    runs = f", {result.replications} replications" if result.replications > 1 else ""
    lines = [
        f"{result.scenario}: {count:,} inputs from {', '.join(result.sources)} on "
        f"{len(result.workers)} workers{runs}"
    ]
    limit = result.limit
    if limit.makespan_s is not None:
        lines.append(f"No policy can be done before {format_seconds(limit.makespan_s)}.")
    lines += [
        f"{row.policy} follows {row.follows}, chosen on rehearsals before the run."
        for row in result.policies
        if row.follows
    ]
    return lines


def simulation_notes(result: SimulationResult) -> list[str]:
    """What a reader must know: an unstable system, policies that did not finish."""
    notes = [result.limit.sentence] if result.limit.sentence else []
    for row in result.policies:
        if row.status != "finished":
            left = row.inputs - row.completed
            notes.append(f"{row.policy}: {row.status} with {left:,} inputs unfinished")
    return notes
