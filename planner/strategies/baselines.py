"""The papers' baselines as plans: one option for all layers, split networks, and pipelines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.scores import independent_layers
from planner.case import Case
from planner.cost.table import CostTable
from planner.domain.plan import LayerPlan, Plan, StagePlan
from planner.strategies.ar_mdi import ar_mdi_workers, cut_at_shares
from planner.strategies.costed import cost_plan, layer_plans
from planner.structure import block_groups, tensors_across


def plan_of_options(
    case: Case, table: CostTable, options: NDArray[np.int64], strategy: str
) -> Plan:
    """One stage with one option per layer, shape (L,)."""
    stage = StagePlan(nodes=table.node_names, layers=layer_plans(table, options))
    return cost_plan(case, (stage,), strategy)


def uniform(case: Case, nodes: int, sparsity: float, strategy: str = "disco-uniform") -> Plan:
    """The same S_comm in every layer that exchanges features."""
    table, (at,) = _table_with(case, nodes, sparsity)
    return plan_of_options(case, table, np.full(len(table.layer_names), at), strategy)


def single_node(case: Case) -> Plan:
    """Everything on the source."""
    return uniform(case, 1, 0.0, "single-node")


def dense(case: Case, nodes: int) -> Plan:
    """Every node gets every feature."""
    return uniform(case, nodes, 0.0, "dense")


def independent_branches(case: Case, nodes: int) -> Plan:
    """Nothing is exchanged: N networks side by side."""
    return uniform(case, nodes, 1.0, "independent-branches")


def split_boundaries(case: Case, nodes: int) -> list[int]:
    """Numbers of independent block groups for which the split baselines exist."""
    table, _ = _table_with(case, nodes, 0.0, 1.0)
    return list(range(1, len(_block_groups(case, table))))


def split_baseline(case: Case, nodes: int, strategy: str, independent: int) -> Plan:
    """Dense up to a block-group boundary and independent behind it, or the other way round.

    Parameters
    ----------
    strategy : {"dense-then-split", "split-then-aggregate"}
    independent : int
        How many block groups exchange nothing: the last ones, or the first.
    """
    table, (whole, none) = _table_with(case, nodes, 0.0, 1.0)
    cut = independent_layers(strategy, _block_groups(case, table), independent, table.sparsifiable)
    return plan_of_options(case, table, np.where(cut, none, whole), f"{strategy}@{independent}")


def _table_with(case: Case, nodes: int, *sparsities: float) -> tuple[CostTable, list[int]]:
    """A table that has options of some sparsities, and their places; the case's own if it does."""
    levels = case.levels if set(sparsities) <= set(case.levels) else sparsities
    table = case.table(case.names(nodes), levels)
    return table, [levels.index(s) if nodes > 1 else 0 for s in sparsities]


def _block_groups(case: Case, table: CostTable) -> list[range]:
    sparsifiable = table.sparsifiable
    return case.once(
        ("block groups", sparsifiable.tobytes()),
        lambda: block_groups(case.profile, sparsifiable, case.split_points),
    )


def pipeline_equal(case: Case, nodes: int) -> Plan:
    """Equal MACs for every node, each cut at the nearest place between two blocks."""
    macs = case.per_unit("macs")
    workers = cut_at_shares(macs, np.full(nodes, macs.sum() / nodes), _between_blocks(case))
    return plan_of_workers(case, nodes, workers, "pipeline-equal")


def _between_blocks(case: Case) -> NDArray[np.bool_]:
    """Cuts between units that a single tensor crosses, shape (U - 1,)."""
    across = tensors_across(case.profile)
    return np.array([len(across[unit.stop - 1]) == 1 for unit in case.units[:-1]], dtype=np.bool_)


def ar_mdi(case: Case, nodes: int) -> Plan:
    """AR-MDI: shares of the parameters by each worker's delay per parameter, equation (1)."""
    workers = ar_mdi_workers(case.per_unit("params"), seconds_per_param(case, nodes))
    return plan_of_workers(case, nodes, workers, "ar-mdi")


def ar_mdi_macs(case: Case, nodes: int) -> Plan:
    """AR-MDI with shares of the MACs by each worker's delay per MAC (ours)."""
    totals = case.profile.totals
    gamma = seconds_per_param(case, nodes) * (max(totals.params, 1) / max(totals.macs, 1))
    return plan_of_workers(case, nodes, ar_mdi_workers(case.per_unit("macs"), gamma), "ar-mdi-macs")


def seconds_per_param(case: Case, nodes: int) -> NDArray[np.float64]:
    """γ of every worker as it measured it, or the model's average at its speed, shape (N,)."""
    totals = case.profile.totals
    average = totals.macs / max(totals.params, 1)
    return np.array(
        [
            average / node.macs_per_s if node.seconds_per_param is None else node.seconds_per_param
            for node in case.group(nodes).nodes
        ]
    )


def plan_of_workers(case: Case, nodes: int, workers: NDArray[np.int64], strategy: str) -> Plan:
    """A plan from one worker per unit, shape (U,); a single worker is one stage."""
    names, layers = case.names(nodes), case.profile.layers
    stages = []
    for worker in dict.fromkeys(workers.tolist()):
        mine = [case.units[unit] for unit in np.flatnonzero(workers == worker)]
        run = layers[mine[0].start : mine[-1].stop]
        planned = tuple(LayerPlan(name=layer.name, nodes=1) for layer in run)
        stages.append(StagePlan(nodes=(names[worker],), layers=planned))
    return cost_plan(case, tuple(stages), strategy)
