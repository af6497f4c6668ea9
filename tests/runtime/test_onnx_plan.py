"""The plan of an uploaded ONNX file without an accuracy model runs as it is."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from onnx import load_model_from_string
from onnx.reference import ReferenceEvaluator
from torch import nn

from planner.case import Case
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.runtime import slice_model
from planner.strategies.costed import cost_plan
from planner.strategies.optimise import optimise
from profiles.from_onnx import child as onnx_child
from tests.runtime.cases import traced


class Small(nn.Module):
    """Convolutions with a down-sampling branch, pooling, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.second, self.down = nn.Conv2d(12, 16, 3, 2, 1), nn.Conv2d(12, 16, 1, 2)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.first(x)) + x
        x = torch.relu(self.second(x)) + self.down(x)
        return self.head(x.mean((2, 3)))


def test_the_plan_of_an_onnx_file_runs_as_it_is() -> None:
    subject = traced(Small(), 1, 3, 48, 40)
    x = torch.randn(1, 3, 48, 40, generator=torch.Generator().manual_seed(1))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        torch.onnx.export(
            subject.module, (x,), buffer, dynamo=False, input_names=["x"], opset_version=18
        )
    data = buffer.getvalue()
    request = {"name": "uploaded", "input_shapes": {}, "batch": None}
    profile = ModelProfile.model_validate(onnx_child.main(request, data))
    speeds = (2e6, 1e6, 3e6)
    cluster = Cluster(
        name="three",
        nodes=tuple(Node(name=f"n{i}", macs_per_s=speed) for i, speed in enumerate(speeds)),
        link=Link(bandwidth_bytes_per_s=1e5),
    )
    plan = optimise(Case(profile, cluster), Request(max_nodes=3))

    assert plan.certificate is not None and plan.certificate.status == "optimal"
    assert plan.node_count == 3 and plan.accuracy_model is None
    assert not any(layer.sparsity for stage in plan.stages for layer in stage.layers)
    assert {layer.way for stage in plan.stages for layer in stage.layers} & {"positions"}

    moved = _with_names_of(subject.profile, profile, plan)
    slices = slice_model(subject, moved)  # no selection: nothing is pruned
    (found,) = slices.run(x).outputs
    (wanted,) = ReferenceEvaluator(load_model_from_string(data)).run(None, {"x": x.numpy()})
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-5)


def _with_names_of(module: ModelProfile, file: ModelProfile, plan: Plan) -> Plan:
    """The file's plan with the names that the same layers have in the module it came from."""
    numbers = [(layer.macs, layer.params, layer.output_bytes) for layer in file.layers]
    assert numbers == [(x.macs, x.params, x.output_bytes) for x in module.layers]
    names = {a.name: b.name for a, b in zip(file.layers, module.layers, strict=True)}
    stages = []
    for stage in plan.stages:
        layers = [
            layer.model_copy(
                update={
                    "name": names[layer.name],
                    "until": None if layer.until is None else names[layer.until],
                    "conversions": tuple(
                        item.model_copy(update={"tensor": names[item.tensor]})
                        for item in layer.conversions
                    ),
                }
            )
            for layer in stage.layers
        ]
        arrives = tuple((names[name], layout) for name, layout in stage.arrives)
        stages.append(stage.model_copy(update={"layers": tuple(layers), "arrives": arrives}))
    return cost_plan(Case(module, plan.cluster), tuple(stages), plan.strategy)
