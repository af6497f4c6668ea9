"""The cost model's word on any plan, whoever made it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.domain.cluster import Origin
from planner.domain.cost_table import CostTable
from planner.domain.plan import KeptFeatures, LayerPlan, Plan, Predicted, StagePlan
from planner.errors import BadInputError
from planner.strategies.study import Study


def evaluate(study: Study, stages: tuple[StagePlan, ...]) -> Predicted:
    """Latency, throughput, memory and accuracy of stages on the study's cluster.

    Parameters
    ----------
    study : Study
    stages : tuple of StagePlan
        One stage on the first n nodes of the ring, or several stages of one node each in ring
        order.

    Raises
    ------
    BadInputError
        The stages do not cover the model's layers in order, name an unknown node, or are a mixture
        that this cost model does not know; or no layer takes any time.
    """
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
    ring = [node.name for node in study.group(len(study.cluster.nodes)).nodes]
    unknown = [name for stage in stages for name in stage.nodes if name not in ring]
    if unknown:
        raise BadInputError(
            f"stages: {unknown[0]!r} is no node of {study.cluster.name}; nodes are {ring}"
        )
    if all(len(stage.nodes) == 1 for stage in stages):
        return _pipeline(study, stages, ring)
    if len(stages) > 1:
        raise BadInputError("stages: several stages of several nodes each are not known yet")
    if list(stages[0].nodes) != ring[: len(stages[0].nodes)]:
        raise BadInputError(f"stages: a group must be the first nodes of the ring, {ring}")
    return _one_group(study, stages[0])


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


def _one_group(study: Study, stage: StagePlan) -> Predicted:
    nodes = len(stage.nodes)
    table = study.table_of(nodes, _kept_matrix(study, stage))
    chosen = np.zeros(len(table.layer_names), dtype=np.int64)
    comm, compute, latency, medium = (
        float(column[:, 0].sum())
        for column in (table.comm_s, table.compute_s, table.latency_s, table.medium_s)
    )
    ends = table.input_s + table.output_s
    busiest = max(comm, compute) if study.settings.overlap else latency
    occupied = medium + ends if study.medium == "shared" else 0.0
    bottleneck = max(busiest, occupied, table.input_s, table.output_s)
    stored = table.weight_bytes[:, 0].sum(axis=0) + table.live_bytes[:, 0].max(axis=0)
    sparsity = table.comm_sparsity[:, 0]
    drop, accuracy, origin = _accuracy(study, nodes, sparsity, table)
    return Predicted(
        latency_s=latency + ends,
        comm_s=comm + ends,
        compute_s=compute,
        throughput_per_s=_rate(study, bottleneck),
        accuracy=accuracy,
        accuracy_drop=drop,
        memory_bytes=dict(zip(stage.nodes, (int(b) for b in stored), strict=True)),
        mean_comm_sparsity=mean_comm_sparsity(study, table, chosen),
        mean_comp_sparsity=mean_comp_sparsity(study, table, chosen),
        origin=_origins(table.measured, origin),
    )


def _rate(study: Study, busiest_s: float) -> float:
    if busiest_s <= 0:
        raise BadInputError(
            f"{study.profile.name}: no layer takes any time, so there is nothing to plan"
        )
    return 1.0 / busiest_s


def _kept_matrix(study: Study, stage: StagePlan) -> NDArray[np.int64]:
    """Feature counts of a stage as one array, shape (L, n, n), checked against the model."""
    nodes = len(stage.nodes)
    shares = study.shares(nodes)
    receives = shares.outputs > 0
    kept = np.zeros((len(stage.layers), nodes, nodes), dtype=np.int64)
    off_diagonal = ~np.eye(nodes, dtype=np.bool_)
    for row, layer in enumerate(stage.layers):
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


def _accuracy(
    study: Study, nodes: int, sparsity: NDArray[np.float64], table: CostTable
) -> tuple[float | None, float | None, Origin]:
    model = study.accuracy
    if model is None:
        return None, None, "assumed"
    drop = float(model.layer_loss(sparsity[:, None]).sum()) if nodes > 1 else 0.0
    untouched = not np.any(sparsity[table.sparsifiable] > 0)
    accuracy = None if model.dense_value is None else model.dense_value - drop
    return drop, accuracy, "measured" if untouched else "assumed"


def _origins(measured: bool, accuracy: Origin) -> dict[str, Origin]:
    time: Origin = "measured" if measured else "derived"
    return {
        "latency_s": time,
        "comm_s": "derived",
        "compute_s": time,
        "throughput_per_s": time,
        "memory_bytes": "derived",
        "accuracy": accuracy,
        "accuracy_drop": accuracy,
    }


def mean_comm_sparsity(study: Study, table: CostTable, choice: NDArray[np.int64]) -> float:
    """S_comm averaged over the bytes of every mixing layer's input, the image's included."""
    weights = np.array([layer.input_bytes for layer in study.profile.layers], dtype=float)
    weights *= table.communicates
    sparsity = table.comm_sparsity[np.arange(len(choice)), choice]
    return float((weights * sparsity).sum() / max(weights.sum(), 1.0))


def mean_comp_sparsity(study: Study, table: CostTable, choice: NDArray[np.int64]) -> float:
    """S_comp averaged over the MACs of every layer."""
    macs = np.array([layer.macs for layer in study.profile.layers], dtype=float)
    sparsity = table.comp_sparsity[np.arange(len(choice)), choice]
    return float((macs * sparsity).sum() / max(macs.sum(), 1.0))


def _pipeline(study: Study, stages: tuple[StagePlan, ...], ring: list[str]) -> Predicted:
    positions = [ring.index(stage.nodes[0]) for stage in stages]
    if positions != sorted(set(positions)):
        raise BadInputError(f"stages: nodes must come once each, in ring order {ring}")
    chain = study.chain(len(ring))
    worker_of_layer = np.repeat(positions, [len(stage.layers) for stage in stages])
    for unit in chain.units:
        if len(set(worker_of_layer[unit.start : unit.stop])) > 1:
            name = study.profile.layers[unit.start].name
            raise BadInputError(f"stages: the cut behind {name!r} parts layers that run as one")
    workers = worker_of_layer[[unit.start for unit in chain.units]]
    units = np.arange(len(workers))
    loads = np.bincount(workers, weights=chain.compute_s[workers, units], minlength=len(ring))
    crossed = np.diff(workers) != 0
    transfers = chain.transfer_s[workers[:-1], workers[1:], units[:-1]][crossed]
    ends = [float(chain.input_s[workers[0]]), float(chain.output_s[workers[-1]])]
    comm = float(transfers.sum()) + sum(ends)
    medium = float(chain.medium_s[crossed].sum()) + sum(ends) * (study.medium == "shared")
    bottleneck = max(float(loads.max()), float(transfers.max(initial=0.0)), medium, *ends)
    memory = {
        stage.nodes[0]: int(
            chain.weight_bytes[workers == n].sum() + chain.live_bytes[workers == n].max()
        )
        for stage, n in zip(stages, positions, strict=True)
    }
    model = study.accuracy
    kinds = {study.group(len(ring)).nodes[position].device_type for position in positions}
    measured = any(not kinds.isdisjoint(layer.measured_s) for layer in study.profile.layers)
    return Predicted(
        latency_s=float(loads.sum()) + comm,
        comm_s=comm,
        compute_s=float(loads.sum()),
        throughput_per_s=_rate(study, bottleneck),
        accuracy=model.dense_value if model else None,
        accuracy_drop=0.0 if model else None,
        memory_bytes=memory,
        mean_comm_sparsity=None,
        mean_comp_sparsity=None,
        origin=_origins(measured, "measured"),
    )


def layer_plans(table: CostTable, choice: NDArray[np.int64]) -> tuple[LayerPlan, ...]:
    """What each layer of a group exchanges, at one option per layer."""
    nodes = len(table.node_names)
    plans = []
    for row, name in enumerate(table.layer_names):
        kept: KeptFeatures | None = None
        sparsity: float | None = None
        if nodes > 1 and table.sparsifiable[row]:
            kept = _compact(table.kept_features[row, choice[row]])
            sparsity = float(table.comm_sparsity[row, choice[row]])
        plans.append(LayerPlan(name=name, nodes=nodes, kept_features=kept, sparsity=sparsity))
    return tuple(plans)


def _compact(matrix: NDArray[np.int64]) -> KeptFeatures:
    """An integer where all ordered pairs agree, else the matrix."""
    pairs = matrix[~np.eye(len(matrix), dtype=np.bool_)]
    if np.all(pairs == pairs[0]):
        return int(pairs[0])
    return tuple(tuple(int(count) for count in row) for row in matrix)
