"""Bytes and MACs by layer: what the cost model says and what a run does, in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from planner.case import Case
from planner.cost.ownership import FeatureShares
from planner.cost.sharing import newly_sent, sharing_readers
from planner.cost.stage import StageCosts
from planner.domain.owners import count_handed_over
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
        By layer, or change of group (`handover_name`), and ordered pair; pairs that exchange
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


def predicted_traffic(case: Case, stages: Sequence[StageCosts]) -> Traffic:
    """What the cost model counts for a plan, layer by layer."""
    profile = case.profile
    found = Traffic()
    for number, stage in enumerate(stages, start=1):
        table = stage.table
        group = table.node_names
        shares = case.shares(group)
        if number > 1:
            _handed_over(case, found, stages[number - 2], stage, number)
        moved_bytes = shares.moved_bytes
        readers = sharing_readers(profile, shares, case.settings)
        fresh = newly_sent(table.counts, readers)
        for row in range(len(profile.layers))[stage.rows]:
            layer = profile.layers[row]
            size = fresh.of(row)[0] * layer.input_feature_bytes + moved_bytes[row]
            for i, j in np.argwhere(size > 0).tolist():
                found.add_bytes(layer.name, (group[i], group[j]), int(size[i, j]))
            if table.wire_bytes[row, 0]:
                found.wire_bytes[layer.name] = int(table.wire_bytes[row, 0])
            for j, node in enumerate(group):
                found.add_macs(layer.name, node, int(table.macs[row, 0, j]))
    return found


def _handed_over(
    case: Case, found: Traffic, before: StageCosts, after: StageCosts, number: int
) -> None:
    profile = case.profile
    senders, receivers = before.table.node_names, after.table.node_names
    has: FeatureShares = case.shares(senders)
    needs = case.shares(receivers)
    sizes = tensor_bytes(profile)
    across = tensors_across(profile, with_inputs=case.settings.count_input)
    for name in across[after.rows.start - 1]:
        owners = has.owners[name], needs.owners[name]
        counts = count_handed_over(*owners, len(senders), len(receivers))
        feature_bytes = sizes[name] // len(has.owners[name])
        for i, j in np.argwhere(counts > 0).tolist():
            pair = senders[i], receivers[j]
            found.add_bytes(handover_name(number), pair, int(counts[i, j]) * feature_bytes)
    sent = found.sent_bytes.get(handover_name(number), {})
    if sent:  # what every node holds already is not handed over
        found.wire_bytes[handover_name(number)] = sum(sent.values())


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
