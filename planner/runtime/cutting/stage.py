"""A stage's layers one after another, each in its way, cut into the steps of its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from planner.case import Case
from planner.cost.ways import MADE_IN, layouts_read
from planner.domain.layer_profile import LayerProfile
from planner.domain.layouts import Layout, Way
from planner.domain.owners import REPLICATED
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.positions import Mask
from planner.errors import BadInputError
from planner.runtime.cutting.conversions import conversion
from planner.runtime.cutting.fused import geometry_of, halos_of, made_in_run
from planner.runtime.cutting.group_change import Group, receive_of, send_of
from planner.runtime.cutting.operators import cut_out
from planner.runtime.cutting.partials import elements_of_part
from planner.runtime.cutting.recording import Recording
from planner.runtime.cutting.stock import Stored
from planner.runtime.cutting.transfers import Transfer, moves, selected, without_known
from planner.runtime.cutting.work import LayerOnGroup, Work
from planner.runtime.reading.template import Template
from planner.runtime.running.extents import Extent
from planner.runtime.running.partial import NUMBERS
from planner.runtime.running.records import Send, Step
from planner.runtime.running.slices import Stretch
from planner.runtime.running.traffic import conversion_name
from planner.structure import last_uses
from planner.weights.masks import LayerMask

Received = dict[tuple[str, int], list[tuple[str, Transfer]]]
"""By tensor and node: messages that the node can read, with the transfer that each of them is."""


@dataclass(frozen=True, eq=False)
class _Run:
    """A run of fused halos: its last layer, what nodes make in it, what came before it."""

    until: str
    made: dict[str, Mask]
    received: Received


class StageCutter:
    """Cuts the layers of one stage.

    Parameters
    ----------
    case : Case
    stage : StagePlan
    on : Group
        With what its nodes store when it begins.
    templates : mapping of str to Template
    masks : mapping of int to LayerMask
        By row.
    recording : Recording
        Takes the steps.
    """

    def __init__(
        self,
        case: Case,
        stage: StagePlan,
        on: Group,
        templates: Mapping[str, Template],
        masks: Mapping[int, LayerMask],
        recording: Recording,
    ) -> None:
        self._layers = case.profile.layers
        self._plans, self._on = stage.layers, on
        self._shares = case.shares(stage.nodes)
        self._broadcast = case.casting == "broadcast"
        self._share_inputs = case.settings.share_inputs
        self._templates, self._masks = templates, masks
        self._recording = recording
        self._last = last_uses(case.profile)
        self._last_mixed = {
            layer.inputs[0]: row for row, layer in enumerate(self._layers) if layer.flow.mixes
        }
        self._known: dict[tuple[str, int, int], Any] = {}
        self._kept: Received = {}
        self._run: _Run | None = None

    def cut(self, first: int) -> None:
        """All layers, of which the first has this row in the model."""
        for offset, plan in enumerate(self._plans):
            self._convert(plan)
            self._cut(first + offset, plan)

    def _convert(self, plan: LayerPlan) -> None:
        on = self._on
        for item in plan.conversions if len(on.nodes) > 1 else ():
            if item.source == "whole" or (self._run and item.tensor in self._run.made):
                raise BadInputError(
                    f"layer {plan.name!r}: conversions: {item.tensor!r} cannot be brought from "
                    f"{item.source!r} to {item.target!r} here"
                )
            name = conversion_name(plan.name, item)
            steps = conversion(name, item, on, self._broadcast)
            self._recording.add(Stretch(name, on.nodes), steps)

    def _cut(self, row: int, plan: LayerPlan) -> None:
        on, layer = self._on, self._layers[row]
        # a node alone has everything, in whatever layout
        way: Way = (plan.way or "features") if len(on.nodes) > 1 else "features"
        mask = self._masks.get(row) if way == "features" else None
        transfers, received = self._exchange(row, plan, way, mask)
        view = LayerOnGroup(
            layer=layer,
            template=self._templates[layer.name],
            holdings=on.holdings,
            group=on.nodes,
            way=way,
            reads=self._reads(layer, way),
            makes=self._makes(layer, way),
            received=received,
            mask=mask,
        )
        works = [Work(view, node) for node in range(len(on.nodes))]
        steps = {node: _step(work) for node, work in enumerate(works)}
        if any(step.kernel in NUMBERS for step in steps.values()):
            self._tell(view, works, steps)
        on.stock.put(Stored(layer.name, layer.name, MADE_IN[way], view.makes))
        gone = [key for name in dict.fromkeys(layer.inputs) for key in on.stock.settle(name)]
        gone += [key for t, last in self._last.items() if last == row for key in on.stock.keys(t)]
        found = {}
        for node, member in enumerate(on.nodes):
            found[member] = replace(
                steps[node],
                sends=tuple(self._send(view, item) for item in transfers if item.sender == node),
                receives=tuple(
                    receive_of(layer.name, item, on.nodes)
                    for item in transfers
                    if item.receiver == node
                ),
                frees=(*gone, *self._messages(view, node, row)),
            )
        self._recording.add(Stretch(layer.name, on.nodes), found)
        if self._run and self._run.until == layer.name:
            self._run = None

    def _send(self, view: LayerOnGroup, item: Transfer) -> Send:
        """The sender's side; in a run of halos also of what later layers read."""
        on = self._on
        stored = on.stock.read(item.tensor, MADE_IN[view.way])
        return send_of(view.layer.name, item, stored, on.holdings, on.nodes, on.nodes)

    def _reads(self, layer: LayerProfile, way: Way) -> dict[str, tuple[Stored, Layout]]:
        """How each input is stored and read."""
        layouts = layouts_read(layer, way)
        if layouts is None:
            raise BadInputError(f"layer {layer.name!r}: cannot run in the way {way!r}")
        found: dict[str, tuple[Stored, Layout]] = {}
        for name, layout in zip(layer.inputs, layouts, strict=True):
            if layout in ("positions", "samples") and not self._on.holdings.count(name, layout):
                layout = "whole"
            if self._run is not None and name in self._run.made:
                layout = MADE_IN[way]
            found[name] = self._on.stock.read(name, layout), layout
        return found

    def _makes(self, layer: LayerProfile, way: Way) -> tuple[Extent, ...]:
        """What every node makes of a layer's output."""
        nodes = range(len(self._on.nodes))
        axis = MADE_IN[way]
        if self._run is not None:
            made = self._run.made[layer.name]
            return tuple(Extent(**{axis: np.flatnonzero(made[node])}) for node in nodes)
        return tuple(self._on.holdings.held(layer.name, axis, node) for node in nodes)

    def _exchange(
        self, row: int, plan: LayerPlan, way: Way, mask: LayerMask | None
    ) -> tuple[list[Transfer], Received]:
        """What is sent before a layer, and all messages that it can read."""
        layer = self._layers[row]
        if way == "features":
            return self._features(row, mask)
        if way not in ("positions", "samples"):
            return [], {}
        axis = MADE_IN[way]
        if self._run is not None:
            return [], self._run.received
        layers: Sequence[LayerProfile] = [layer]
        if plan.until is None:
            geometry_of(layer, axis)
            made = {layer.name: self._on.holdings.runs(layer.name, axis)}
        else:
            names = [item.name for item in self._layers]
            stop = names.index(plan.until)
            layers = self._layers[row : stop + 1]
            kept = [item.name for item in layers if self._last[item.name] > stop]
            made = made_in_run(layers, axis, [*kept, plan.until], self._on.holdings)
        transfers = halos_of(layers, axis, made, self._on.stock, self._on.holdings)
        received = self._received(layer.name, transfers)
        if plan.until is not None:
            self._run = _Run(plan.until, made, received)
        return transfers, received

    def _features(self, row: int, mask: LayerMask | None) -> tuple[list[Transfer], Received]:
        """What changes owner, and the features that a mixing layer gathers."""
        layer = self._layers[row]
        transfers = moves(layer, self._shares, row)
        chosen = [] if mask is None else selected(layer, mask, self._broadcast)
        if self._share_inputs:
            chosen = without_known(chosen, self._known)
        transfers = [*transfers, *chosen]
        received = self._received(layer.name, transfers)
        if self._share_inputs and mask is not None:
            for key, items in received.items():
                self._kept.setdefault(key, []).extend(items)
            received = {k: list(v) for k, v in self._kept.items() if k[0] in layer.inputs}
        return transfers, received

    def _received(self, layer: str, transfers: Sequence[Transfer]) -> Received:
        received: Received = {}
        for item in transfers:
            message = item.message(layer, self._on.nodes)
            received.setdefault((item.tensor, item.receiver), []).append((message, item))
        return received

    def _messages(self, view: LayerOnGroup, node: int, row: int) -> list[str]:
        """Messages that no later layer reads."""
        if self._run is not None and self._run.until != view.layer.name:
            return []
        shares = view.mask is not None and self._share_inputs
        return [
            message
            for (tensor, receiver), items in view.received.items()
            for message, _ in items
            if receiver == node and (not shares or self._last_mixed[tensor] <= row)
        ]

    def _tell(self, view: LayerOnGroup, works: list[Work], steps: dict[int, Step]) -> None:
        """Who tells whom its partial result of a layer."""
        group = view.group
        by_features = view.way == "features"
        if by_features and REPLICATED in view.holdings.owners[view.layer.inputs[0]]:
            raise view.unknown("some of the features that it takes together are on every node")
        listens = [n for n in steps if steps[n].kernel != "none"]
        shapes = {
            n: works[n].operands[steps[n].arguments["self"].operand].shape
            for n in listens
            if steps[n].arguments["self"] is not None
        }
        dims = steps[listens[0]].arguments["dims"]
        told = {group[n]: elements_of_part(shape, dims) for n, shape in shapes.items()}
        shape = [1 if a in dims else size for a, size in enumerate(next(iter(shapes.values())))]
        for node in listens:
            step = steps[node]
            steps[node] = replace(
                step,
                arguments={**step.arguments, "part_shape": [NUMBERS[step.kernel], *shape]},
                told=told,
                tells=tuple(group[n] for n in listens if n != node and node in shapes),
                tells_at_once=self._broadcast and not by_features,
            )


def _step(work: Work) -> Step:
    """A node's part of a layer, without what it sends and receives."""
    name, region = work.view.layer.name, work.out
    if region.empty:
        return Step(name)
    kernel, target, arguments = cut_out(work)
    return Step(
        layer=name,
        kernel=kernel,
        target="" if target is None else str(target).removeprefix("aten."),
        arguments=arguments,
        position=work.template.position,
        operands=tuple(work.operands),
        weights=work.weights,
        picks=work.picks,
        shape=region.local_shape,
        macs=work.macs,
    )
