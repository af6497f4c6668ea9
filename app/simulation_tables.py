"""A simulation as rows and sentences, for the command line and the page alike."""

from __future__ import annotations

from operator import attrgetter

from app.tables import Table, tabulate
from planner.simulation.result import SimulationResult
from planner.units import format_seconds


def simulation_table(result: SimulationResult) -> Table:
    """One row per policy."""
    return tabulate(
        f"{result.scenario}: {result.model} on {result.cluster}",
        result.policies,
        {
            "policy": attrgetter("policy"),
            "makespan (s)": attrgetter("makespan_s"),
            "± (s)": lambda row: row.interval.makespan_s if row.interval else None,
            "mean time (s)": attrgetter("mean_s"),
            "p50 (s)": attrgetter("p50_s"),
            "p95 (s)": attrgetter("p95_s"),
            "p99 (s)": attrgetter("p99_s"),
            "completed": attrgetter("completed"),
            "inputs": attrgetter("inputs"),
            "distributed (%)": lambda row: 100 * row.distributed_share,
            "makespan/bound": attrgetter("bound_ratio"),
            "carries (1/s)": attrgetter("carried_per_s"),
            "busiest node (%)": lambda row: (
                100 * max(use.computing + use.held_by_sending for use in row.workers)
            ),
            "status": attrgetter("status"),
        },
        "Derived by the cost model and the simulation, not measured. Bound: no policy is done "
        "sooner. ±: 95 % confidence of the mean over replications.",
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
