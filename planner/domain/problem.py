"""Optimisation problems as bare arrays, and what a solver answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.domain.arrays import BoolArray, FloatArray, Frozen, IntArray

Status = Literal["optimal", "feasible", "infeasible", "timeout"]

FEASIBILITY_TOLERANCE = 1e-9
"""Relative slack within which a limit on a sum of floats counts as kept."""


class SumLimit(Frozen):
    """An upper limit on the sum of one value per layer.

    Limits of one name are one limit on several sums, such as on every resource of a throughput.
    """

    name: str
    values: FloatArray = Field(description="(L, K)")
    limit: float
    unit: str = ""
    exponent: int = Field(default=1, description="values are powers of what the unit counts")


class MemoryLimit(Frozen):
    """A node's memory: stored weights add up, the live activations of one layer at a time."""

    name: str
    weight_bytes: IntArray = Field(description="(L, K)")
    live_bytes: IntArray = Field(description="(L, K)")
    limit_bytes: int


class SparsityProblem(Frozen):
    """Choose one option per layer.

    Minimise ``max_r sum_l objective_s[r, l, choice[l]]`` over the allowed options subject to
    every limit. One resource r is a plain sum (latency); several are a bottleneck (throughput
    with communication and computation overlapped).
    """

    kind: Literal["sparsity"] = "sparsity"
    schema_version: Literal[1] = 1
    objective_s: FloatArray = Field(description="(R, L, K)")
    allowed: BoolArray = Field(description="(L, K)")
    sum_limits: tuple[SumLimit, ...] = ()
    memory_limits: tuple[MemoryLimit, ...] = ()


class AllocationProblem(Frozen):
    """Cut a chain of U units into contiguous runs, one per worker, in ring or in any order.

    Worker n computes unit u in ``compute_s[n, u]``. Where units u and u+1 lie on workers n
    and m, the live tensors take ``transfer_s[n, m, u]``. Workers may stay empty. The objective
    is the sum of all of these (latency) or the largest of each worker's computing time, each
    transfer and the medium's occupation (bottleneck).
    """

    kind: Literal["allocation"] = "allocation"
    schema_version: Literal[1] = 1
    objective: Literal["latency", "bottleneck"]
    compute_s: FloatArray = Field(description="(N, U)")
    transfer_s: FloatArray = Field(description="(N, N, U - 1), diagonal 0")
    medium_s: FloatArray = Field(description="(U - 1,) a shared medium's occupation, else 0")
    input_s: FloatArray = Field(description="(N,) if the first unit is on worker n")
    output_s: FloatArray = Field(description="(N,) if the last unit is on worker n")
    shared_medium: bool = Field(default=False, description="input and output occupy it as well")
    weight_bytes: IntArray = Field(description="(U,)")
    live_bytes: IntArray = Field(description="(U,) activations alive while the unit runs")
    memory_limit_bytes: tuple[int | None, ...]
    worker_names: tuple[str, ...]
    all_workers: bool = Field(default=False, description="no worker may stay empty")
    any_order: bool = Field(
        default=False, description="workers may come in any order, else in that of the ring"
    )
    max_latency_s: float | None = None
    max_bottleneck_s: float | None = None


Problem = Annotated[SparsityProblem | AllocationProblem, Field(discriminator="kind")]


class Certificate(Frozen):
    """What is known about a result, and from whom."""

    status: Status
    bound: float | None = Field(default=None, description="no plan beats it; objective's unit")
    gap: float | None = Field(default=None, description="relative distance to the bound")
    solver: str
    runtime_s: float = Field(ge=0)
    scope: str = Field(default="", description="the set of plans that the status speaks of")


class Result(Frozen):
    """A solver's answer: the chosen option per layer, or the worker per unit."""

    schema_version: Literal[1] = 1
    choice: IntArray | None = Field(description="(L,) or (U,); null without a plan")
    objective_s: float | None
    certificate: Certificate
    binding: str = Field(default="", description="when infeasible: which limit, by how much")


def infeasible(binding: str) -> Result:
    """The answer to a problem that no solver needs to look at."""
    certificate = Certificate(status="infeasible", solver="by inspection", runtime_s=0.0)
    return Result(choice=None, objective_s=None, certificate=certificate, binding=binding)
