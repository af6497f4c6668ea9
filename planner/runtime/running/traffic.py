"""Bytes and MACs by layer: what the cost model says and what a run does, in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.exchange import bytes_on_wire
from planner.cost.layouts import crossing_bytes
from planner.cost.sharing import newly_sent, sharing_readers
from planner.cost.stage import StageCosts
from planner.cost.steps import Step as CostedStep
from planner.cost.steps import follow_steps, in_ways
from planner.domain.layouts import LAYOUTS, Conversion, Holding, Layout
from planner.domain.plan import StagePlan
from planner.errors import InconsistentResultError
from planner.runtime.running.transport import Pair
from planner.structure import tensor_bytes, tensors_across

Counts = Mapping[str, Mapping[Any, int]]
"""By layer, then by pair of nodes or by node."""


@dataclass(frozen=True)
class Traffic:
    """What passes between nodes and what they execute.

    Attributes
    ----------
    sent_bytes : dict of str to dict of Pair to int
        By layer, conversion (`conversion_name`) or change of group (`handover_name`), and ordered
        pair; pairs that exchange
        nothing are left out, as are layers without any.
    wire_bytes : dict of str to int
        By layer, what all nodes put on the wire: less than what arrives where a transmission is
        heard by several (broadcast).
    macs : dict of str to dict of str to int
        By layer and node; nodes that execute none are left out, as are layers without any.
    """

    sent_bytes: dict[str, dict[Pair, int]] = field(default_factory=dict)
    wire_bytes: dict[str, int] = field(default_factory=dict)
    macs: dict[str, dict[str, int]] = field(default_factory=dict)

    def add_bytes(self, layer: str, pair: Pair, size_bytes: int) -> None:
        """Count bytes."""
        if size_bytes:
            counted = self.sent_bytes.setdefault(layer, {})
            counted[pair] = counted.get(pair, 0) + size_bytes

    def add_macs(self, layer: str, node: str, macs: int) -> None:
        """Count MACs."""
        if macs:
            self.macs.setdefault(layer, {})[node] = macs


def handover_name(stage: int) -> str:
    """What a change of group is called: stages count from 1."""
    return f"(into stage {stage})"


def main_layout(holding: Holding) -> Layout:
    """The layout in which a tensor is handed on."""
    return next(layout for layout in LAYOUTS if layout in holding)


def conversion_name(layer: str, item: Conversion) -> str:
    """What the exchange of a conversion is called: the layer before which it is carried out."""
    return f"{layer} ({item.tensor} to {item.target})"


def predicted_traffic(
    case: Case, stages: Sequence[StageCosts], plans: Sequence[StagePlan]
) -> Traffic:
    """What the cost model counts for a plan, layer by layer.

    Parameters
    ----------
    case : Case
    stages : sequence of StageCosts
    plans : sequence of StagePlan
        The same stages, as the plan has them.
    """
    found = Traffic()
    lying: dict[str, Holding] = {}
    for number, (stage, plan) in enumerate(zip(stages, plans, strict=True)):
        if number:
            _handed_over(case, found, (plans[number - 1], lying), plan, stage.rows.start, number)
        steps: list[CostedStep] = []
        lying = {}
        if in_ways(plan):
            on, arrives = case.layouts(plan.nodes), dict(plan.arrives)
            steps, lying = follow_steps(on, plan.layers, stage.rows.start, arrives)
        exchanged = _converted(case, found, plan, steps)
        _layers(case, found, stage, steps, exchanged)
    return found


def _converted(
    case: Case, found: Traffic, plan: StagePlan, steps: Sequence[CostedStep]
) -> dict[int, int]:
    """Count the conversions of a stage; bytes on the wire before each row."""
    on_wire: dict[int, int] = {}
    for step, layer in zip(steps, plan.layers, strict=bool(steps)):
        for item, messages in zip(layer.conversions, step.conversions, strict=True):
            name = conversion_name(layer.name, item)
            _add_pairs(found, name, plan.nodes, messages.pairs)
            to_one = messages.moved + messages.added
            size = int(bytes_on_wire(messages.selected, to_one, case.casting)[0].sum())
            if size:
                found.wire_bytes[name] = size
            on_wire[step.row] = on_wire.get(step.row, 0) + size
    return on_wire


def _layers(
    case: Case,
    found: Traffic,
    stage: StageCosts,
    steps: Sequence[CostedStep],
    converted: Mapping[int, int],
) -> None:
    """Count what the layers of a stage exchange themselves, and what they execute."""
    profile, table, group = case.profile, stage.table, stage.table.node_names
    shares = case.shares(group)
    moved_bytes = shares.moved_bytes
    fresh = newly_sent(table.counts, sharing_readers(profile, shares, case.settings))
    by_row = {step.row: step for step in steps}
    for row in range(len(profile.layers))[stage.rows]:
        layer, step = profile.layers[row], by_row.get(row)
        if step is None or step.way == "features":
            size = fresh.of(row)[0] * layer.input_feature_bytes + moved_bytes[row]
            _add_pairs(found, layer.name, group, size)
        elif step.work is not None:
            _add_pairs(found, layer.name, group, step.work.exchange.pairs)
        wire = int(table.wire_bytes[row, 0]) - converted.get(row, 0)
        if wire:
            found.wire_bytes[layer.name] = wire
        for j, node in enumerate(group):
            found.add_macs(layer.name, node, int(table.macs[row, 0, j]))


def _add_pairs(found: Traffic, name: str, nodes: Sequence[str], size: NDArray[np.int64]) -> None:
    for i, j in np.argwhere(size > 0).tolist():
        found.add_bytes(name, (nodes[i], nodes[j]), int(size[i, j]))


def _handed_over(
    case: Case,
    found: Traffic,
    before: tuple[StagePlan, Mapping[str, Holding]],
    after: StagePlan,
    start: int,
    number: int,
) -> None:
    """Count a change of group: every tensor from how it lies to how it arrives."""
    profile, name = case.profile, handover_name(number + 1)
    sender, lying = before
    arrives = dict(after.arrives)
    has, needs = case.layouts(sender.nodes), case.layouts(after.nodes)
    sizes = tensor_bytes(profile)
    across = tensors_across(profile, with_inputs=case.settings.count_input)
    for tensor in across[start - 1]:
        lies = main_layout(lying[tensor]) if lying else "features"
        layout = "whole" if len(after.nodes) == 1 else arrives.get(tensor, "features")
        crossing = crossing_bytes(sizes[tensor], has.has(tensor, lies), needs.needs(tensor, layout))
        for i, j in np.argwhere(crossing > 0).tolist():
            pair = sender.nodes[i], after.nodes[j]
            found.add_bytes(name, pair, int(crossing[i, j]))
    sent = found.sent_bytes.get(name, {})
    if sent:  # what every node holds already is not handed over
        found.wire_bytes[name] = sum(sent.values())


def check_bytes(predicted: Traffic, planned: Traffic) -> None:
    """Hold what the slices will send against the cost model; raises as `check_equal`."""
    _compare(predicted.sent_bytes, planned.sent_bytes, "bytes", "the slices send")


def check_equal(predicted: Traffic, found: Traffic) -> None:
    """Hold a run against the cost model.

    Raises
    ------
    InconsistentResultError
        They differ: the first layer, both numbers.
    """
    _compare(predicted.sent_bytes, found.sent_bytes, "bytes", "the run sends")
    _compare(_whole(predicted), _whole(found), "bytes on the wire", "the run sends")
    _compare(predicted.macs, found.macs, "MACs", "the run executes")


def _whole(traffic: Traffic) -> Counts:
    return {layer: {"all nodes": size} for layer, size in traffic.wire_bytes.items()}


def _compare(left: Counts, right: Counts, unit: str, what: str) -> None:
    for layer in dict.fromkeys((*left, *right)):
        a, b = left.get(layer, {}), right.get(layer, {})
        for key in dict.fromkeys((*a, *b)):
            if a.get(key, 0) != b.get(key, 0):
                raise InconsistentResultError(
                    f"layer {layer!r}, {key}: the cost model counts {a.get(key, 0)} {unit}, "
                    f"{what} {b.get(key, 0)}"
                )
