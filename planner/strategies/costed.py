"""The cost model's word on any plan, whoever made it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.interface import NOTHING_KNOWN, PredictedLoss
from planner.case import Case
from planner.cost.handover import Transfers
from planner.cost.hosts import run_on_hosts
from planner.cost.memory import stage_memory_bytes
from planner.cost.sparsity import to_each_other
from planner.cost.stage import StageCosts
from planner.cost.steps import cost_steps, follow_steps, in_ways
from planner.cost.table import CostTable
from planner.cost.ways import MADE_IN
from planner.domain.cluster import Origin
from planner.domain.layouts import Holding, Layout, Way, main_layout
from planner.domain.plan import KeptFeatures, LayerPlan, Plan, Predicted, StagePlan
from planner.errors import BadInputError


@dataclass(frozen=True, eq=False)
class CostedStages:
    """Everything that the cost model says of a plan's stages, layer by layer.

    Attributes
    ----------
    stages : tuple of StageCosts
        With one option per layer.
    handovers : tuple of Transfers
        Each change of group; one fewer than stages.
    ends : (Transfers, Transfers)
        Handing the input out and collecting the output; nothing unless counted.
    overlap : bool
        The convention that they were counted under.
    """

    stages: tuple[StageCosts, ...]
    handovers: tuple[Transfers, ...]
    ends: tuple[Transfers, Transfers]
    overlap: bool

    @property
    def comm_s(self) -> float:
        """Seconds of all exchanges, one after another."""
        inside = sum(stage.sum_of(stage.table.comm_s) for stage in self.stages)
        return inside + self._between_s

    @property
    def compute_s(self) -> float:
        """Seconds of all layers' computation, one after another."""
        return sum(stage.sum_of(stage.table.compute_s) for stage in self.stages)

    @property
    def latency_s(self) -> float:
        """Seconds of one input (eq. 10)."""
        inside = sum(stage.sum_of(stage.table.latency_s) for stage in self.stages)
        return inside + self._between_s

    @property
    def bottleneck_s(self) -> float:
        """Seconds of the busiest stage, transfer or shared medium (eq. 10)."""
        return float(max(self.occupied_s))

    @property
    def occupied_s(self) -> tuple[float, ...]:
        """Seconds of every resource that an input occupies: stages', transfers', the medium.

        In an order that plans on the same nodes share. In a ring the first stage's nodes do the
        last one's work as well.
        """
        software = [0.0] * len(self.stages)
        for at, handover in enumerate(self.handovers):
            software[at] += float(handover.send_s)
            software[at + 1] += float(handover.receive_s)
        each = [
            np.array(stage.occupied_s(self.overlap, own))
            for stage, own in zip(self.stages, software, strict=True)
        ]
        if self.is_ring:
            each[0] = each[0] + each.pop()
        busy = np.concatenate(each).tolist()
        ends = (float(occupied) for _, occupied, _ in (end.at_an_end for end in self.ends))
        medium = sum(stage.sum_of(stage.table.medium_s) for stage in self.stages)
        medium += sum(float(each.medium_s) for each in self._between)
        return (*busy, medium, *(float(each.busy_s) for each in self.handovers), *ends)

    @property
    def memory_bytes(self) -> dict[str, int]:
        """What every node needs, by its name."""
        needed = {name: b for stage in self.stages for name, b in stage.memory_bytes().items()}
        if self.is_ring:
            first, head = self.stages[0], self.stages[-1]
            stored = np.concatenate([first.own_bytes(), head.own_bytes(first)])
            live = [stage.table.live_bytes[stage.rows, 0] for stage in (first, head)]
            both = stage_memory_bytes(stored, np.concatenate(live))
            needed |= dict(zip(first.nodes, both.tolist(), strict=True))
        return needed

    @property
    def is_ring(self) -> bool:
        """Whether the last of several stages is on the first one's nodes (eq. 53)."""
        return is_ring([stage.nodes for stage in self.stages])

    @property
    def _between(self) -> tuple[Transfers, ...]:
        return (*self.handovers, *self.ends)

    @property
    def _between_s(self) -> float:
        return sum(float(each.seconds) for each in self._between)


def is_ring(nodes: Sequence[tuple[str, ...]]) -> bool:
    """Whether stages on these nodes end where they begin: a ring, of two more groups or more."""
    return len(nodes) > 2 and nodes[0] == nodes[-1]


def cost_stages(case: Case, stages: tuple[StagePlan, ...]) -> CostedStages:
    """Cost the stages of a plan on the case's cluster.

    Parameters
    ----------
    case : Case
    stages : tuple of StagePlan
        Contiguous layers each, on groups of nodes that have none in common; of a case of rings the
        last may be the first once more.

    Raises
    ------
    BadInputError
        The stages do not cover the model's layers in order, part layers that run as one, name an
        unknown node or one node twice.
    """
    return case.once(("costed", stages), lambda: _cost_stages(case, stages))


def _cost_stages(case: Case, stages: tuple[StagePlan, ...]) -> CostedStages:
    found = [_cost_stage(case, stage, rows) for stage, rows in _check(case, stages)]
    costed = tuple(stage for stage, _ in found)
    handovers = tuple(
        _handover(case, before, after, stage)
        for (before, after), stage in zip(itertools.pairwise(found), stages[1:], strict=True)
    )
    last, lies = found[-1]
    output = case.ends(last.nodes)[1]
    if lies:
        outputs = {name: main_layout(lies[name]) for name in case.profile.outputs}
        if left := [name for name, layout in outputs.items() if layout == "sums"]:
            raise BadInputError(f"stages: the parts of the output {left[0]!r} are not added up")
        output = case.collect(last.nodes, outputs)
    return CostedStages(
        stages=costed,
        handovers=handovers,
        ends=(case.ends(costed[0].nodes)[0], output),
        overlap=case.settings.overlap,
    )


_Found = tuple[StageCosts, dict[str, Holding]]
"""A stage, and how its live tensors lie behind it; nothing where all layers gather features."""


def _cost_stage(case: Case, stage: StagePlan, rows: slice) -> _Found:
    hosted = tuple(rows.start + at for at, layer in enumerate(stage.layers) if layer.on_host)
    if not hosted:
        return _cost_on_nodes(case, stage, rows)
    group = case.cluster.only(stage.nodes)
    for node in group.nodes:
        if node.host is None:
            raise BadInputError(
                f"layer {case.profile.layers[hosted[0]].name!r}: on_host: {node.name!r} has no host"
            )
    costed, lies = _cost_on_nodes(case, stage, rows)
    hosts = case.on_hosts
    hosts.share_out(stage.nodes, case.ratios(stage.nodes))
    bare = tuple(layer.model_copy(update={"on_host": False}) for layer in stage.layers)
    alike, _ = _cost_on_nodes(hosts, stage.model_copy(update={"layers": bare}), rows)
    parted = [row for row in hosted if stage.layers[row - rows.start].way == "positions"]
    table = run_on_hosts(
        case.profile, group, case.settings.overlap, costed.table, alike.table, hosted, parted
    )
    return case.stage(table, rows, costed.ways, hosted), lies


def _cost_on_nodes(case: Case, stage: StagePlan, rows: slice) -> _Found:
    table = case.table_of(stage.nodes, _kept_matrix(case, stage, rows))
    if not in_ways(stage):
        return case.stage(table, rows), {}
    if case.settings.share_inputs:
        raise BadInputError(
            "stages: layers that share a transmission (share_inputs) gather features; the plan "
            "runs some in other ways"
        )
    on = case.layouts(stage.nodes)
    steps, lies = follow_steps(on, stage.layers, rows.start, dict(stage.arrives))
    group = case.cluster.only(stage.nodes)
    costs = cost_steps(on, group, case.settings, table, steps)
    return case.stage(costs, rows, tuple(layer.way for layer in stage.layers)), lies


def _handover(case: Case, before: _Found, after: _Found, stage: StagePlan) -> Transfers:
    """The change of group before a stage."""
    (sender, lies), (receiver, _), first = before, after, after[0].rows.start
    arrives = dict(stage.arrives)
    if not lies and not arrives:
        return case.handover(sender.nodes, receiver.nodes, first)
    cut = [unit.start for unit in case.units].index(first) - 1
    alone = len(receiver.nodes) == 1
    tensors: list[tuple[str, Layout, Layout]] = []
    for name in case.crossing(cut):
        has = main_layout(lies[name]) if lies else "features"
        if has == "sums":
            raise BadInputError(f"stages: {name!r} is handed over before its parts are added up")
        tensors.append((name, has, "whole" if alone else arrives.get(name, "features")))
    return case.handover_in_layouts(sender.nodes, receiver.nodes, tensors)


def predict(case: Case, stages: tuple[StagePlan, ...]) -> Predicted:
    """Latency, throughput, memory and accuracy of stages (eq. 10 and 11).

    Raises
    ------
    BadInputError
        As `cost_stages`; or no layer takes any time.
    """
    costed = cost_stages(case, stages)
    bottleneck = costed.bottleneck_s
    if bottleneck <= 0:
        raise BadInputError(
            f"{case.profile.name}: no layer takes any time, so there is nothing to plan"
        )
    loss = NOTHING_KNOWN if case.loss_model is None else case.loss_model.predicted(costed.stages)
    return Predicted(
        latency_s=costed.latency_s,
        comm_s=costed.comm_s,
        compute_s=costed.compute_s,
        throughput_per_s=1.0 / bottleneck,
        accuracy=loss.accuracy,
        accuracy_drop=loss.accuracy_drop,
        energy_loss=loss.energy_loss,
        memory_bytes=costed.memory_bytes,
        mean_comm_sparsity=_mean(case, costed, "input_bytes", "comm_sparsity"),
        mean_comp_sparsity=_mean(case, costed, "macs", "comp_sparsity"),
        origin=_origins(any(stage.table.measured for stage in costed.stages), loss),
    )


def cost_plan(case: Case, stages: tuple[StagePlan, ...], strategy: str) -> Plan:
    """A plan of these stages with the cost model's word on it."""
    return Plan(
        strategy=strategy,
        model=case.reference,
        cluster=case.cluster,
        settings=case.settings,
        accuracy_model=case.loss_model.name if case.loss_model else None,
        stages=stages,
        predicted=case.once(("predicted", stages), lambda: predict(case, stages)),
    )


def _check(case: Case, stages: tuple[StagePlan, ...]) -> list[tuple[StagePlan, slice]]:
    """Every stage with its rows, where all fit the model and the cluster."""
    _check_layers(case, stages)
    _check_nodes(case, stages)
    return _rows(stages)


def _check_layers(case: Case, stages: tuple[StagePlan, ...]) -> None:
    planned = [layer.name for stage in stages for layer in stage.layers]
    expected = [layer.name for layer in case.profile.layers]
    if planned != expected:
        at = next(
            (i for i, (a, b) in enumerate(zip(planned, expected, strict=False)) if a != b),
            min(len(planned), len(expected)),
        )
        found = planned[at] if at < len(planned) else "nothing"
        wanted = expected[at] if at < len(expected) else "nothing"
        raise BadInputError(
            f"stages: the plan has {found!r} where {case.profile.name} has {wanted!r}"
        )
    begins = {unit.start for unit in case.units}
    for _, rows in _rows(stages):
        if rows.start not in begins:
            name = expected[rows.start - 1]
            raise BadInputError(f"stages: the cut behind {name!r} parts layers that run as one")


def _check_nodes(case: Case, stages: tuple[StagePlan, ...]) -> None:
    known = [node.name for node in case.cluster.nodes]
    groups = [stage.nodes for stage in stages]
    if case.rings and is_ring(groups):
        groups.pop()
    used = [name for group in groups for name in group]
    unknown = [name for name in used if name not in known]
    if unknown:
        raise BadInputError(
            f"stages: {unknown[0]!r} is no node of {case.cluster.name}; nodes are {known}"
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


def _kept_matrix(case: Case, stage: StagePlan, rows: slice) -> NDArray[np.int64]:
    """Feature counts of a stage in an array of all layers, shape (L, n, n), checked."""
    nodes = len(stage.nodes)
    shares = case.shares(stage.nodes)
    receives = shares.outputs > 0
    kept = np.zeros((len(case.profile.layers), nodes, nodes), dtype=np.int64)
    off_diagonal = ~np.eye(nodes, dtype=np.bool_)
    for row, layer in enumerate(stage.layers, start=rows.start):
        if layer.way not in (None, "features"):  # nothing is dropped of what it reads
            kept[row] = to_each_other(shares.owned[row], receives[row])
            if layer.kept_features is not None:
                raise BadInputError(
                    f"layer {layer.name!r}: kept_features: the way {layer.way!r} drops none"
                )
            continue
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


def _mean(case: Case, costed: CostedStages, weight: str, column: str) -> float | None:
    """Mean over the layers that run on several nodes; None where none does.

    S_comm is averaged over the bytes of every mixing layer's input, the image's included; S_comp
    over the MACs of every layer.
    """
    several = [stage for stage in costed.stages if len(stage.nodes) > 1]
    if not several:
        return None
    total, weighted = 0.0, 0.0
    weights = np.array([getattr(layer, weight) for layer in case.profile.layers], dtype=float)
    for stage in several:
        counted = weights * stage.table.communicates if column == "comm_sparsity" else weights
        total += float(counted[stage.rows].sum())
        weighted += float((counted * getattr(stage.table, column)[:, 0])[stage.rows].sum())
    return weighted / max(total, 1.0)


def layer_plans(
    table: CostTable, choice: NDArray[np.int64], rows: slice = slice(None)
) -> tuple[LayerPlan, ...]:
    """What each layer of a group exchanges where all gather features, at one option per layer.

    Parameters
    ----------
    table : CostTable
    choice : int array, shape (L,)
    rows : slice
        The layers that are asked for, all by default.
    """
    nodes = len(table.node_names)
    way: Way | None = "features" if nodes > 1 else None
    plans = []
    for row in range(len(table.layer_names))[rows]:
        kept: KeptFeatures | None = None
        sparsity: float | None = None
        if nodes > 1 and table.sparsifiable[row]:
            kept = _compact(table.counts.of(row)[choice[row]])
            sparsity = float(table.comm_sparsity[row, choice[row]])
        plans.append(
            LayerPlan(
                name=table.layer_names[row],
                nodes=nodes,
                way=way,
                layout=None if way is None else MADE_IN[way],
                kept_features=kept,
                sparsity=sparsity,
            )
        )
    return tuple(plans)


def _compact(matrix: NDArray[np.int64]) -> KeptFeatures:
    """An integer where all ordered pairs agree, else the matrix."""
    pairs = matrix[~np.eye(len(matrix), dtype=np.bool_)]
    if np.all(pairs == pairs[0]):
        return int(pairs[0])
    return tuple(tuple(int(count) for count in row) for row in matrix)
