"""What every problem takes from a family of groups and a request, whatever its options are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import loss_limit
from planner.case import Case
from planner.cost.table import CostTable
from planner.domain.request import Request
from planner.solve.problem import NO_LIMIT
from planner.strategies.groups import Groups, describe


@dataclass(frozen=True, eq=False)
class FamilyCosts:
    """The costs of a family of groups, whatever the objective and the limits.

    Arrays are over G groups and P positions in a group; see `planner.solve.problem.Problem`, whose
    fields have the same names.

    Attributes
    ----------
    groups : Groups
    names : list of tuples of str
        Nodes of every group, where its stage is the first.
    tables : list of CostTable
    complete : bool
        False where time was up before all groups were costed.
    """

    groups: Groups
    names: list[tuple[str, ...]]
    tables: list[CostTable]
    memory_limit_bytes: NDArray[np.int64]
    input_s: NDArray[np.float64]
    input_busy_s: NDArray[np.float64]
    input_medium_s: NDArray[np.float64]
    output_s: NDArray[np.float64]
    output_busy_s: NDArray[np.float64]
    output_medium_s: NDArray[np.float64]
    complete: bool


def costed_groups(
    groups: Groups, tables: dict[int, CostTable]
) -> tuple[Groups, list[tuple[str, ...]], list[CostTable]]:
    """Those of some groups that have a table, the nodes of each, and the tables."""
    if len(tables) < len(groups.uses):
        groups = groups.keep(sorted(tables))
    names = [groups.members((group,))[0] for group in range(len(tables))]
    return groups, names, [tables[group] for group in sorted(tables)]


def inputs_of(case: Case, names: Sequence[tuple[str, ...]]) -> dict[str, NDArray[np.float64]]:
    """The fields that say what handing the input to every group takes."""
    ends = [case.ends(group)[0].at_an_end for group in names]
    return dict(zip(_INPUTS, np.array(ends, dtype=np.float64).T, strict=True))


def outputs_of(columns: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The fields that say what collecting the output takes, from those of `Transfers`, (3, ...)."""
    return dict(zip(_OUTPUTS, columns, strict=True))


_INPUTS = "input_s", "input_busy_s", "input_medium_s"
_OUTPUTS = "output_s", "output_busy_s", "output_medium_s"


def memory_limits(case: Case, names: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    """Memory of every group's nodes by position, shape (G, P)."""
    nodes = {node.name: node for node in case.cluster.nodes}
    limits = np.full((len(names), max(map(len, names))), NO_LIMIT, dtype=np.int64)
    for group, members in enumerate(names):
        limits[group, : len(members)] = [nodes[n].memory_bytes or NO_LIMIT for n in members]
    return limits


def name_kinds(case: Case, costs: FamilyCosts) -> tuple[tuple[str, ...], ...]:
    """For every group and position the kind of node there, in words; "" beyond the group."""
    devices = {node.name: node.device_type for node in case.cluster.nodes}
    words: dict[str, str] = {}
    for names in costs.groups.types or tuple((name,) for name in devices):
        word = describe(names, devices)
        words |= dict.fromkeys(names, word if len(names) == 1 else f"each of {word}")
    width = costs.memory_limit_bytes.shape[1]
    return tuple(
        (*(words[name] for name in names), *[""] * (width - len(names))) for names in costs.names
    )


def what_is_asked(case: Case, costs: FamilyCosts, request: Request) -> dict[str, Any]:
    """Fields of a problem that say what it minimises, within which limits, on which nodes.

    Raises
    ------
    BadInputError
        A limit on a loss without a model that counts in it.
    """
    limits, rate = request.limits, request.limits.min_throughput_per_s
    most = loss_limit(limits, case.loss_model, case.profile.name)
    devices = {node.name: node.device_type for node in case.cluster.nodes}
    return dict(
        objective="latency" if request.objective == "latency" else "bottleneck",
        group_names=tuple(describe(names, devices) for names in costs.names),
        node_kinds=name_kinds(case, costs),
        uses=costs.groups.uses,
        available=costs.groups.available,
        follows=costs.groups.follows,
        max_nodes=request.max_nodes,
        all_nodes=request.exactly,
        single_stage=request.parallelism == "within-layer",
        memory_limit_bytes=costs.memory_limit_bytes,
        **{name: getattr(costs, name) for name in (*_INPUTS, *_OUTPUTS)},
        max_latency_s=limits.max_latency_s,
        max_bottleneck_s=None if rate is None else 1.0 / rate,
        max_loss=None if most is None else most.limit,
        loss_name="loss" if most is None else most.name,
        loss_unit="" if most is None else most.unit,
        loss_exponent=1 if most is None else most.exponent,
    )
