"""What a simulation found, as plain numbers for tables, files and plots.

`SimulationResult.policies` holds one row per policy. For the three plots:

- completed inputs over time: ``row.completed_by`` (``times_s`` against ``values[0]``);
- queues over time: ``row.queues``: one line per name in ``names``: ``n waiting`` (all that waits at
  worker n to be computed), ``n to send``, ``source n reservoir``;
- time per input: ``row.spread``: ``values[0]`` is the share of inputs that were done within
  ``times_s`` (an empirical distribution function).

Makespan and times are means over the replications, ``interval`` the half widths of their 95 %
confidence intervals; series are those of the first replication. Everything is *derived*: it
follows from the scenario by the cost model and the simulation.
"""

from __future__ import annotations

import csv
import io
from typing import Literal

from pydantic import Field

from planner.domain.arrays import Frozen

RunStatus = Literal["finished", "stopped at the horizon", "stalled"]


class Series(Frozen):
    """Lines over one axis of seconds."""

    names: tuple[str, ...]
    times_s: tuple[float, ...]
    values: tuple[tuple[float, ...], ...] = Field(description="one line per name")


class WorkerUse(Frozen):
    """Shares of the time until the last input is done."""

    node: str
    computing: float
    held_by_sending: float = Field(description="blocking sends; 0 where sends overlap")
    sending: float = Field(description="the link is used; of a shared medium this node's part")


class Interval(Frozen):
    """Half widths of 95 % confidence intervals of the means over replications."""

    makespan_s: float
    mean_s: float
    p95_s: float


class Limit(Frozen):
    """What the fluid program allows (`planner.simulation.bound`)."""

    makespan_s: float | None = Field(description="no policy is done sooner; null: not known")
    offered_per_s: float | None = Field(description="rate of all sources; null where a trace is")
    carried_per_s: float | None = Field(description="the largest sustainable rate at this mix")
    stable: bool | None

    @property
    def sentence(self) -> str | None:
        """What to say of an unstable system, or None."""
        if self.stable is not False or self.carried_per_s is None:
            return None
        return (
            f"unstable: the sources offer {self.offered_per_s:.4g} inputs/s, no policy can carry "
            f"more than {self.carried_per_s:.4g}; queues grow as long as inputs come"
        )


class PolicyResult(Frozen):
    """One policy."""

    policy: str
    follows: str | None = Field(
        default=None, description="the policy that it chose before the run; null: it is one itself"
    )
    status: RunStatus
    makespan_s: float | None = Field(description="when the last input is done; null: it is not")
    mean_s: float | None = Field(description="time per input, from its coming to its end")
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    completed: int = Field(description="inputs done, in the first replication")
    inputs: int
    distributed_share: float = Field(description="of the inputs begun; the rest ran whole")
    bound_ratio: float | None = Field(description="makespan over the limit's, at least 1")
    carried_per_s: float | None = Field(description="what the ways that it uses can carry")
    interval: Interval | None = Field(description="null: one replication")
    workers: tuple[WorkerUse, ...]
    medium_use: float | None = Field(description="of a shared medium; null: links of their own")
    resent: int = Field(description="inputs sent again because a worker left")
    completed_by: Series
    queues: Series
    spread: Series


class SimulationResult(Frozen):
    """All policies on the same inputs."""

    schema_version: Literal[1] = 1
    scenario: str
    model: str
    cluster: str
    workers: tuple[str, ...]
    sources: tuple[str, ...]
    replications: int
    origin: Literal["derived"] = "derived"
    limit: Limit
    policies: tuple[PolicyResult, ...]


def series_csv(result: SimulationResult, which: Literal["completed_by", "queues", "spread"]) -> str:
    """One of the three plots as comma-separated values: policy, line, seconds, value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("policy", "line", "seconds", "value"))
    for row in result.policies:
        series: Series = getattr(row, which)
        for name, line in zip(series.names, series.values, strict=True):
            writer.writerows(
                (row.policy, name, t, v) for t, v in zip(series.times_s, line, strict=True)
            )
    return out.getvalue()
