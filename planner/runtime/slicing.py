"""From a traced model and a plan to the part that every node runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from planner.case import Case
from planner.domain.layouts import Layout
from planner.domain.plan import Plan, StagePlan
from planner.errors import BadInputError
from planner.runtime.cutting.choice import chosen_masks
from planner.runtime.cutting.group_change import Group, change_of_group
from planner.runtime.cutting.holdings import Holdings
from planner.runtime.cutting.recording import Recording
from planner.runtime.cutting.stage import StageCutter
from planner.runtime.cutting.stock import Stock, Stored
from planner.runtime.reading.layers import read_layers
from planner.runtime.reading.template import Template
from planner.runtime.reading.traced import TracedModel, TracedTensor
from planner.runtime.running.extents import EVERYTHING
from planner.runtime.running.node import Node
from planner.runtime.running.slices import OutputForm, Part, Slices
from planner.runtime.running.times import predicted_times
from planner.runtime.running.traffic import Traffic, check_bytes, handover_name, predicted_traffic
from planner.strategies.costed import cost_stages
from planner.structure import tensors_across
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
    case = _as_sent(Case(traced.profile, plan.cluster, plan.settings))
    _check_model(traced, plan)
    stages = cost_stages(case, plan.stages).stages
    templates = read_layers(traced)
    chosen = chosen_masks(traced.profile, stages, templates, masks, select=select)
    slicer = _Slicer(traced, case, plan.stages, templates, {mask.row: mask for mask in chosen})
    for number in range(len(stages)):
        slicer.cut_stage(number)
    predicted = predicted_traffic(case, stages, plan.stages)
    check_bytes(predicted, slicer.recording.planned)
    times = predicted_times(Case(traced.profile, plan.cluster, plan.settings), plan.stages)
    cut = slicer.result(predicted, chosen)
    return replace(cut, plan_digest=plan.digest, times=times)


def _as_sent(case: Case) -> Case:
    """The case as the slices send: elements as computed and directly, whatever the plan counts.

    What the plan passes on from node to node stays one subset for all receivers.
    """
    sent = {"message_bits": None, "collective": "direct", "casting": case.casting}
    return replace(case, settings=case.settings.model_copy(update=sent))


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
        stages: Sequence[StagePlan],
        templates: dict[str, Template],
        masks: dict[int, LayerMask],
    ) -> None:
        self._case, self._stages = case, stages
        self._templates, self._masks = templates, masks
        self._profile = case.profile
        self._tensors: dict[str, TracedTensor] = {
            **traced.inputs,
            **{name: layer.output for name, layer in traced.layers.items()},
        }
        self.recording = Recording(self._tensors)
        counted = case.settings.count_input
        self._across = tensors_across(self._profile, with_inputs=counted)
        # inputs that are not communicated are on every node already
        self._input_nodes = tuple(
            name for stage in (stages[:1] if counted else stages) for name in stage.nodes
        )
        self._groups = [self._group(stage) for stage in stages]
        self._starts = [sum(len(s.layers) for s in stages[:n]) for n in range(len(stages))]

    def _group(self, stage: StagePlan) -> Group:
        """A stage's nodes, with the model's inputs on all of them."""
        shares = self._case.shares(stage.nodes)
        group = Group(stage.nodes, Holdings(self._profile, shares, self._tensors), Stock())
        for spec in self._profile.inputs:
            everywhere = (EVERYTHING,) * len(stage.nodes)
            group.stock.put(Stored(spec.name, spec.name, "whole", everywhere))
        return group

    def cut_stage(self, number: int) -> None:
        """All steps of a stage's nodes."""
        stage, on, masks = self._stages[number], self._groups[number], self._masks
        for name in stage.nodes:
            self.recording.steps.setdefault(name, {})
        if number:
            self._hand_over(number)
        cutter = StageCutter(self._case, stage, on, self._templates, masks, self.recording)
        cutter.cut(self._starts[number])

    def _hand_over(self, number: int) -> None:
        """All live tensors from one stage's nodes to the next one's."""
        stage, inputs = self._stages[number], {spec.name for spec in self._profile.inputs}
        said = dict(stage.arrives)
        arrives: dict[str, Layout] = {}
        for name in self._across[self._starts[number] - 1]:
            everywhere = len(stage.nodes) == 1 or name in inputs
            arrives[name] = "whole" if everywhere else said.get(name, "features")
        change = change_of_group(
            handover_name(number + 1), arrives, self._groups[number - 1], self._groups[number]
        )
        for stretch, steps in change:
            self.recording.add(stretch, steps)

    def result(self, predicted: Traffic, masks: Sequence[LayerMask]) -> Slices:
        """The slices, once all stages are cut."""
        profile = self._profile
        inputs = {spec.name: (tuple(spec.shape), spec.dtype) for spec in profile.inputs}
        nodes = {name: Node(name, steps) for name, steps in self.recording.steps.items()}
        return Slices(
            model=profile.name,
            inputs=inputs,
            outputs={name: self._collected(name) for name in dict.fromkeys(profile.outputs)},
            output_names=tuple(profile.outputs),
            input_nodes=self._input_nodes,
            stretches=tuple(self.recording.stretches),
            nodes=nodes,
            predicted=predicted,
            masks=tuple(masks),
        )

    def _collected(self, name: str) -> OutputForm:
        """Which node has which elements of an output at the end."""
        last = self._groups[-1]
        stored = last.stock.main(name)
        if stored.layout == "sums":
            raise BadInputError(f"stages: {name!r} is an output, and its parts are not added up")
        parts = []
        for member, extent in zip(last.nodes, stored.extents, strict=True):
            region = last.holdings.region(name, extent)
            if not region.empty:
                parts.append(Part(member, torch.from_numpy(region.positions)))
        return OutputForm(self._tensors[name].shape, tuple(parts), stored.key)
