"""The cost model's word on any plan, whoever made it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import NOTHING_KNOWN, Exchange, PredictedLoss
from planner.cost.table import CostTable
from planner.domain.cluster import Origin
from planner.domain.plan import KeptFeatures, LayerPlan, Plan, Predicted, StagePlan
from planner.errors import BadInputError
from planner.strategies.study import Study
from planner.structure import allocation_units


@dataclass(frozen=True)
class _Stage:
    """A stage's layers with their costs: ``table`` has one option, ``rows`` are the stage's."""

    names: tuple[str, ...]
    rows: slice
    table: CostTable

    def total(self, column: NDArray[np.float64]) -> float:
        return float(column[self.rows, 0].sum())

    def memory_bytes(self) -> dict[str, int]:
        """Stored weights and the largest live activations of every node (eq. 11)."""
        stored = self.table.weight_bytes[self.rows, 0].sum(axis=0)
        live = self.table.live_bytes[self.rows, 0].max(axis=0)
        return dict(zip(self.names, (int(b) for b in stored + live), strict=True))

    def busy_s(self, overlap: bool) -> float:
        """Seconds between two results of this stage."""
        if overlap:
            return max(self.total(self.table.comm_s), self.total(self.table.compute_s))
        return self.total(self.table.latency_s)


def evaluate(study: Study, stages: tuple[StagePlan, ...]) -> Predicted:
    """Latency, throughput, memory and accuracy of stages on the study's cluster (eq. 10 and 11).

    Parameters
    ----------
    study : Study
    stages : tuple of StagePlan
        Contiguous layers each, on groups of nodes that have none in common.

    Raises
    ------
    BadInputError
        The stages do not cover the model's layers in order, part layers that run as one, name an
        unknown node or one node twice; or no layer takes any time.
    """
    costed = _costed_stages(study, stages)
    transfers = [
        study.handover_s(before.names, after.names, before.rows.stop)
        for before, after in itertools.pairwise(costed)
    ]
    first, last = study.ends_s(costed[0].names)[0], study.ends_s(costed[-1].names)[1]
    moving = sum(seconds for seconds, _ in transfers) + first + last
    medium = sum(stage.total(stage.table.medium_s) for stage in costed)
    medium += sum(occupied for _, occupied in transfers)
    if study.medium == "shared":
        medium += first + last
    busy = [stage.busy_s(study.settings.overlap) for stage in costed]
    bottleneck = max(*busy, *(seconds for seconds, _ in transfers), medium, first, last)
    if bottleneck <= 0:
        raise BadInputError(
            f"{study.profile.name}: no layer takes any time, so there is nothing to plan"
        )
    loss = _loss(study, costed)
    return Predicted(
        latency_s=sum(stage.total(stage.table.latency_s) for stage in costed) + moving,
        comm_s=sum(stage.total(stage.table.comm_s) for stage in costed) + moving,
        compute_s=sum(stage.total(stage.table.compute_s) for stage in costed),
        throughput_per_s=1.0 / bottleneck,
        accuracy=loss.accuracy,
        accuracy_drop=loss.accuracy_drop,
        energy_loss=loss.energy_loss,
        memory_bytes={k: v for stage in costed for k, v in stage.memory_bytes().items()},
        mean_comm_sparsity=_mean(study, costed, "input_bytes", "comm_sparsity"),
        mean_comp_sparsity=_mean(study, costed, "macs", "comp_sparsity"),
        origin=_origins(any(stage.table.measured for stage in costed), loss),
    )


def evaluated_plan(study: Study, stages: tuple[StagePlan, ...], strategy: str) -> Plan:
    """A plan of these stages with the cost model's word on it."""
    return Plan(
        strategy=strategy,
        model=study.reference(),
        cluster=study.cluster,
        settings=study.settings,
        accuracy_model=study.accuracy.name if study.accuracy else None,
        stages=stages,
        predicted=evaluate(study, stages),
    )


def exchanges(study: Study, stages: tuple[StagePlan, ...]) -> list[Exchange]:
    """What the layers of every stage exchange, one option each.

    Raises
    ------
    BadInputError
        The stages do not fit the study's model or cluster, as in `evaluate`.
    """
    return [study.exchange(stage.table, stage.rows) for stage in _costed_stages(study, stages)]


def times_of_nodes(study: Study, stages: tuple[StagePlan, ...]) -> list[CostTable]:
    """Tables of one option that say when each node of every stage works, over all layers.

    Raises
    ------
    BadInputError
        The stages do not fit the study's model or cluster, as in `evaluate`.
    """
    return [stage.table for stage in _costed_stages(study, stages)]


def _costed_stages(study: Study, stages: tuple[StagePlan, ...]) -> list[_Stage]:
    """Every stage with its costs, checked against the model and the cluster."""
    return [_costed(study, stage, rows) for stage, rows in _checked(study, stages)]


def _checked(study: Study, stages: tuple[StagePlan, ...]) -> list[tuple[StagePlan, slice]]:
    """Every stage with its rows, where all fit the model and the cluster."""
    _check_layers(study, stages)
    _check_nodes(study, stages)
    return _rows(stages)


def _check_layers(study: Study, stages: tuple[StagePlan, ...]) -> None:
    planned = [layer.name for stage in stages for layer in stage.layers]
    expected = [layer.name for layer in study.profile.layers]
    if planned != expected:
        at = next(
            (i for i, (a, b) in enumerate(zip(planned, expected, strict=False)) if a != b),
            min(len(planned), len(expected)),
        )
        found = planned[at] if at < len(planned) else "nothing"
        wanted = expected[at] if at < len(expected) else "nothing"
        raise BadInputError(
            f"stages: the plan has {found!r} where {study.profile.name} has {wanted!r}"
        )
    begins = {unit.start for unit in allocation_units(study.profile)}
    for _, rows in _rows(stages):
        if rows.start not in begins:
            name = expected[rows.start - 1]
            raise BadInputError(f"stages: the cut behind {name!r} parts layers that run as one")


def _check_nodes(study: Study, stages: tuple[StagePlan, ...]) -> None:
    known = [node.name for node in study.cluster.nodes]
    used = [name for stage in stages for name in stage.nodes]
    unknown = [name for name in used if name not in known]
    if unknown:
        raise BadInputError(
            f"stages: {unknown[0]!r} is no node of {study.cluster.name}; nodes are {known}"
        )
    twice = [name for name in used if used.count(name) > 1]
    if twice:
        raise BadInputError(f"stages: {twice[0]!r} comes more than once")


def _rows(stages: tuple[StagePlan, ...]) -> list[tuple[StagePlan, slice]]:
    """Every stage with its rows of the model's layers."""
    found, start = [], 0
    for stage in stages:
        found.append((stage, slice(start, start + len(stage.layers))))
        start += len(stage.layers)
    return found


def _costed(study: Study, stage: StagePlan, rows: slice) -> _Stage:
    kept = _kept_matrix(study, stage, rows)
    return _Stage(stage.nodes, rows, study.table_of(stage.nodes, kept))


def _kept_matrix(study: Study, stage: StagePlan, rows: slice) -> NDArray[np.int64]:
    """Feature counts of a stage in an array of all layers, shape (L, n, n), checked."""
    nodes = len(stage.nodes)
    shares = study.shares(stage.nodes)
    receives = shares.outputs > 0
    kept = np.zeros((len(study.profile.layers), nodes, nodes), dtype=np.int64)
    off_diagonal = ~np.eye(nodes, dtype=np.bool_)
    for row, layer in enumerate(stage.layers, start=rows.start):
        if layer.kept_features is None:
            continue
        counts = np.array(layer.kept_features, dtype=np.int64)
        kept[row] = np.where(off_diagonal & receives[row][None, :], counts, 0)
        most = shares.owned[row][:, None]
        if not shares.mixing[row] or np.any(kept[row] > most):
            raise BadInputError(
                f"layer {layer.name!r}: keeps {int(kept[row].max())} features of a node; "
                f"a node holds at most {int(most.max())}"
            )
    return kept


def _loss(study: Study, stages: list[_Stage]) -> PredictedLoss:
    if study.accuracy is None:
        return NOTHING_KNOWN
    return study.accuracy.predicted([study.exchange(s.table, s.rows) for s in stages])


def _origins(measured: bool, loss: PredictedLoss) -> dict[str, Origin]:
    time: Origin = "measured" if measured else "derived"
    energy = {} if loss.energy_loss is None else {"energy_loss": loss.origin}
    return energy | {
        "latency_s": time,
        "comm_s": "derived",
        "compute_s": time,
        "throughput_per_s": time,
        "memory_bytes": "derived",
        "accuracy": loss.origin,
        "accuracy_drop": loss.origin,
    }


def _mean(study: Study, stages: list[_Stage], weight: str, column: str) -> float | None:
    """Mean over the layers that run on several nodes; None where none does.

    S_comm is averaged over the bytes of every mixing layer's input, the image's included; S_comp
    over the MACs of every layer.
    """
    total, weighted = 0.0, 0.0
    for stage in stages:
        if len(stage.names) == 1:
            continue
        weights = np.array([getattr(layer, weight) for layer in study.profile.layers], dtype=float)
        if column == "comm_sparsity":
            weights *= stage.table.communicates
        total += float(weights[stage.rows].sum())
        weighted += float((weights * getattr(stage.table, column)[:, 0])[stage.rows].sum())
    several = any(len(stage.names) > 1 for stage in stages)
    return weighted / max(total, 1.0) if several else None


def layer_plans(
    table: CostTable, choice: NDArray[np.int64], rows: slice = slice(None)
) -> tuple[LayerPlan, ...]:
    """What each layer of a group exchanges, at one option per layer.

    Parameters
    ----------
    table : CostTable
    choice : int array, shape (L,)
    rows : slice
        The layers that are asked for, all by default.
    """
    nodes = len(table.node_names)
    plans = []
    for row in range(len(table.layer_names))[rows]:
        kept: KeptFeatures | None = None
        sparsity: float | None = None
        if nodes > 1 and table.sparsifiable[row]:
            kept = _compact(table.counts.of(row)[choice[row]])
            sparsity = float(table.comm_sparsity[row, choice[row]])
        name = table.layer_names[row]
        plans.append(LayerPlan(name=name, nodes=nodes, kept_features=kept, sparsity=sparsity))
    return tuple(plans)


def _compact(matrix: NDArray[np.int64]) -> KeptFeatures:
    """An integer where all ordered pairs agree, else the matrix."""
    pairs = matrix[~np.eye(len(matrix), dtype=np.bool_)]
    if np.all(pairs == pairs[0]):
        return int(pairs[0])
    return tuple(tuple(int(count) for count in row) for row in matrix)
