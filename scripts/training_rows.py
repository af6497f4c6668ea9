"""What is trained on every task: the papers' strategies and our per-layer plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from planner.case import Case
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.strategies.baselines import (
    dense,
    independent_branches,
    split_baseline,
    uniform,
)
from planner.strategies.optimise import optimal_sparsity

NODES = 2
CLUSTER = "small-nodes"
SPARSITIES = (0.8, 0.9, 0.95, 0.99)
SPLITS = (1, 2, 3)
EQUAL_LATENCY = (0.9, 0.95, 0.99)  # uniform sparsities whose latency per-layer plans may take
_BISECTIONS = 40


@dataclass(frozen=True)
class Row:
    """One network to prune and fine-tune.

    Attributes
    ----------
    name : str
        As the results call it, ``random@0.9``.
    plan : callable
        Of a case that knows the measured sensitivities.
    selection : {"largest", "random"}
    """

    name: str
    plan: Callable[[Case], Plan]
    selection: Literal["largest", "random"] = "largest"


def training_rows() -> tuple[Row, ...]:
    """All rows, each from the same dense network and with the same budget."""
    rows = [Row("dense", lambda case: dense(case, NODES))]
    for sparsity in SPARSITIES:
        rows.append(Row(f"disco@{sparsity:g}", lambda case, s=sparsity: uniform(case, NODES, s)))
    rows.append(Row("independent-branches", lambda case: independent_branches(case, NODES)))
    for sparsity in SPARSITIES:
        name = f"random@{sparsity:g}"
        rows.append(Row(name, lambda case, s=sparsity: uniform(case, NODES, s), "random"))
    for sparsity in EQUAL_LATENCY:
        name = f"per-layer@{sparsity:g}"
        rows.append(Row(name, lambda case, s=sparsity: least_drop_plan(case, s)))
    for strategy in ("dense-then-split", "split-then-aggregate"):
        for groups in SPLITS:
            name = f"{strategy}@{groups}"
            rows.append(
                Row(
                    name,
                    lambda case, kind=strategy, g=groups: split_baseline(case, NODES, kind, g),
                )
            )
    return tuple(rows)


def least_drop_plan(case: Case, sparsity: float) -> Plan:
    """The plan of least predicted drop that is no slower than uniform DISCO.

    The planner finds the fastest plan within a limit on the drop; the least limit under which that
    plan is fast enough is found by halving.

    Parameters
    ----------
    case : Case
        With an accuracy model.
    sparsity : float
        S_comm of the uniform plan.
    """
    rival = uniform(case, NODES, sparsity).predicted
    assert rival.accuracy_drop is not None, "the case needs an accuracy model"

    def fastest(drop: float) -> Plan | None:
        found, _ = optimal_sparsity(case, Request(NODES, limits=Limits(max_accuracy_drop=drop)))
        return found if found and found.predicted.latency_s <= rival.latency_s else None

    low, high = 0.0, rival.accuracy_drop
    best = fastest(high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        found = fastest(middle)
        low, high, best = (low, middle, found) if found else (middle, high, best)
    assert best is not None, "the uniform plan itself is among those that are searched"
    return best
