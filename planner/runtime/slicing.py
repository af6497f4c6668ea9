"""From a traced model and a plan to the part that every node runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch

from planner.case import Case
from planner.cost.stage import StageCosts
from planner.domain.owners import REPLICATED
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.runtime.cutting.choice import chosen_masks
from planner.runtime.cutting.group_change import change_of_group, content_of
from planner.runtime.cutting.operators import cut_out
from planner.runtime.cutting.partials import elements_of_part
from planner.runtime.cutting.regions import Holdings
from planner.runtime.cutting.transfers import Transfer, moves, selected, without_known
from planner.runtime.cutting.work import LayerOnGroup, Work
from planner.runtime.reading.layers import read_layers
from planner.runtime.reading.template import Template
from planner.runtime.reading.traced import TracedModel, TracedTensor
from planner.runtime.running.node import Node
from planner.runtime.running.partial import NUMBERS
from planner.runtime.running.records import Receive, Send, Step
from planner.runtime.running.slices import OutputForm, Part, Slices, Stretch
from planner.runtime.running.traffic import Traffic, check_bytes, handover_name, predicted_traffic
from planner.strategies.costed import cost_stages
from planner.structure import last_uses, tensors_across
from planner.weights.masks import LayerMask


def slice_model(
    traced: TracedModel,
    plan: Plan,
    *,
    masks: Sequence[LayerMask] | None = None,
    select: bool = False,
) -> Slices:
    """Cut a model into the parts that the plan's nodes run.

    Parameters
    ----------
    traced : TracedModel
        As `profiles.from_torch.runnable.traced_model` has it; its module's weights are read now.
    plan : Plan
        Of this model.
    masks : sequence of LayerMask, optional
        The sub-rows that stay, as many as the plan says. By default those of largest L1 norm,
        which are the ones that are left of weights that were pruned.
    select : bool
        Prune weights that are not zero where the plan drops them. By default they are refused.

    Raises
    ------
    BadInputError
        The plan is of another model, weights are not zero where it drops them, or a layer is of
        an operator that the runtime does not know; names the layer.
    InconsistentResultError
        Cost model and graph disagree about what a node needs.
    """
    case = Case(traced.profile, plan.cluster, plan.settings)
    _check_model(traced, plan)
    stages = cost_stages(case, plan.stages).stages
    templates = read_layers(traced)
    chosen = chosen_masks(traced.profile, stages, templates, masks, select=select)
    slicer = _Slicer(traced, case, stages, templates, {mask.row: mask for mask in chosen})
    for number in range(len(stages)):
        slicer.cut_stage(number)
    predicted = predicted_traffic(case, stages)
    check_bytes(predicted, slicer.planned)
    return slicer.result(predicted, chosen)


def _check_model(traced: TracedModel, plan: Plan) -> None:
    totals, of = traced.profile.totals, plan.model
    if (totals.macs, totals.params) != (of.macs, of.params):
        raise BadInputError(
            f"the plan is for {of.name!r} with {of.macs} MACs and {of.params} parameters; the "
            f"model {traced.profile.name!r} has {totals.macs} and {totals.params}"
        )


class _Slicer:
    def __init__(
        self,
        traced: TracedModel,
        case: Case,
        stages: Sequence[StageCosts],
        templates: dict[str, Template],
        masks: dict[int, LayerMask],
    ) -> None:
        self.planned = Traffic()
        self._case, self._stages = case, stages
        self._templates, self._masks = templates, masks
        self._profile = case.profile
        self._steps: dict[str, dict[str, Step]] = {}
        self._stretches: list[Stretch] = []
        self._tensors: dict[str, TracedTensor] = {
            **traced.inputs,
            **{name: layer.output for name, layer in traced.layers.items()},
        }
        self._last = last_uses(self._profile)
        counted = case.settings.count_input
        self._across = tensors_across(self._profile, with_inputs=counted)
        # inputs that are not communicated are on every node already
        self._input_nodes = tuple(
            name for stage in (stages[:1] if counted else stages) for name in stage.table.node_names
        )
        self._last_mixed = {
            layer.inputs[0]: row
            for row, layer in enumerate(self._profile.layers)
            if layer.flow.mixes
        }
        self._holdings = [
            Holdings(len(stage.table.node_names), self._owners(stage), self._tensors)
            for stage in stages
        ]

    def _owners(self, stage: StageCosts) -> dict[str, Any]:
        return self._case.shares(stage.table.node_names).owners

    def cut_stage(self, number: int) -> None:
        """All steps of a stage's nodes."""
        stage = self._stages[number]
        group = stage.table.node_names
        for name in group:
            self._steps.setdefault(name, {})
        if number:
            self._hand_over(number)
        shares = self._case.shares(group)
        broadcast = stage.casting == "broadcast"
        shared_inputs = self._case.settings.share_inputs
        known: dict[tuple[str, int, int], Any] = {}
        kept: dict[tuple[str, int], list[tuple[str, Transfer]]] = {}
        for row in range(len(self._profile.layers))[stage.rows]:
            layer = self._profile.layers[row]
            mask = self._masks.get(row)
            transfers = moves(layer, shares, row)
            chosen = [] if mask is None else selected(layer, mask, broadcast)
            if shared_inputs:
                chosen = without_known(chosen, known)
            received: dict[tuple[str, int], list[tuple[str, Transfer]]] = {}
            for item in [*transfers, *chosen]:
                name = _message(layer.name, item, group)
                received.setdefault((item.tensor, item.receiver), []).append((name, item))
            if shared_inputs and mask is not None:
                for key, items in received.items():
                    kept.setdefault(key, []).extend(items)
                received = {k: list(v) for k, v in kept.items() if k[0] in layer.inputs}
            template = self._templates[layer.name]
            view = LayerOnGroup(layer, template, self._holdings[number], group, received, mask)
            self._cut_layer(view, row, [*transfers, *chosen])

    def _cut_layer(self, view: LayerOnGroup, row: int, transfers: list[Transfer]) -> None:
        name, group = view.layer.name, view.group
        frees = [t for t, last in self._last.items() if last == row]
        works = [Work(view, node) for node in range(len(group))]
        steps = {node: self._step(work, node) for node, work in enumerate(works)}
        telling = [n for n, step in steps.items() if step.kernel not in ("none", "take", "aten")]
        if telling:
            self._tell(view, works, steps)
        for node, member in enumerate(group):
            sends = [self._send(view, item) for item in transfers if item.sender == node]
            receives = [
                Receive(group[item.sender], _message(name, item, group), item.tensor, item.features)
                for item in transfers
                if item.receiver == node
            ]
            gone = [*frees, *self._messages(view, node, row)]
            self._steps[member][name] = replace(
                steps[node], sends=tuple(sends), receives=tuple(receives), frees=tuple(gone)
            )
            self._plan_sends(name, member, sends)
        self._stretches.append(Stretch(name, group))

    def _messages(self, view: LayerOnGroup, node: int, row: int) -> list[str]:
        """Messages that no later layer reads."""
        shares = view.mask is not None and self._case.settings.share_inputs
        return [
            message
            for (tensor, receiver), items in view.received.items()
            for message, _ in items
            if receiver == node and (not shares or self._last_mixed[tensor] <= row)
        ]

    def _step(self, work: Work, node: int) -> Step:
        name = work.view.layer.name
        region = work.out
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
            shape=region.local_shape,
        )

    def _tell(self, view: LayerOnGroup, works: list[Work], steps: dict[int, Step]) -> None:
        """Who tells whom its partial result of a layer."""
        name, group = view.layer.name, view.group
        source = view.layer.inputs[0]
        if REPLICATED in view.holdings.owners[source]:
            raise view.unknown("some of the features that it takes together are on every node")
        tells = [n for n in steps if not view.holdings.held(source, n).empty]
        listens = [n for n in steps if steps[n].kernel != "none"]
        told = {group[n]: elements_of_part(works[n], steps[n].arguments["dims"]) for n in tells}
        for node in listens:
            step, dims = steps[node], steps[node].arguments["dims"]
            shape = [1 if a in dims else n for a, n in enumerate(view.shape(source))]
            part_shape = [NUMBERS[step.kernel], *shape]
            others = tuple(group[n] for n in listens if n != node and node in tells)
            for other in others:
                size = prod(part_shape) * self._tensors[name].element_bytes
                self.planned.add_bytes(name, (group[node], other), size)
            arguments = {**step.arguments, "part_shape": part_shape}
            steps[node] = replace(step, arguments=arguments, told=told, tells=others)

    def _send(self, view: LayerOnGroup, item: Transfer) -> Send:
        holdings, group = view.holdings, view.group
        content = content_of(holdings, item)
        message = _message(view.layer.name, item, group)
        receiver = group[item.receiver]
        return Send(receiver, message, item.tensor, item.features, content, item.shared)

    def _hand_over(self, number: int) -> None:
        """All live tensors from one stage's nodes to the next one's."""
        name = handover_name(number + 1)
        first = self._stages[number].rows.start
        change = change_of_group(
            name,
            self._across[first - 1],
            (self._holdings[number - 1], self._stages[number - 1].table.node_names),
            (self._holdings[number], self._stages[number].table.node_names),
        )
        for stretch, steps in change:
            self._stretches.append(stretch)
            for node, step in steps.items():
                self._steps[node][stretch.name] = step
                self._plan_sends(stretch.name, node, step.sends)

    def _plan_sends(self, layer: str, node: str, sends: Sequence[Send]) -> None:
        for item in sends:
            size = prod(item.content.shape) * self._tensors[item.tensor].element_bytes
            self.planned.add_bytes(layer, (node, item.receiver), size)

    def result(self, predicted: Traffic, masks: Sequence[LayerMask]) -> Slices:
        """The slices, once all stages are cut."""
        profile = self._profile
        last = self._holdings[-1]
        outputs = {}
        for name in dict.fromkeys(profile.outputs):
            parts = []
            for node, member in enumerate(self._stages[-1].table.node_names):
                region = last.held(name, node)
                if not region.empty:
                    parts.append(Part(member, torch.from_numpy(region.positions)))
            outputs[name] = OutputForm(self._tensors[name].shape, tuple(parts))
        inputs = {spec.name: (tuple(spec.shape), spec.dtype) for spec in profile.inputs}
        nodes = {name: Node(name, steps) for name, steps in self._steps.items()}
        return Slices(
            model=profile.name,
            inputs=inputs,
            outputs=outputs,
            output_names=tuple(profile.outputs),
            input_nodes=self._input_nodes,
            stretches=tuple(self._stretches),
            nodes=nodes,
            predicted=predicted,
            masks=tuple(masks),
        )


def _message(layer: str, item: Transfer, group: tuple[str, ...]) -> str:
    return f"{layer}/{item.tensor} from {group[item.sender]}"
