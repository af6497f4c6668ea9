"""Networks exported by torch: the module's work, and no layer that needs one node."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    DeiTConfig,
    DeiTForImageClassification,
    EfficientNetConfig,
    EfficientNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from planner.domain.model_profile import ModelProfile
from profiles.from_onnx.frontend import profile_onnx

SMALL = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "num_labels": 1000,
}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "deit-s plain": (lambda: ViTForImageClassification(ViTConfig(**SMALL)), 4_598_882_304),
    "deit-s distilled": (lambda: DeiTForImageClassification(DeiTConfig(**SMALL)), 4_623_756_288),
    "swin-t": (lambda: SwinForImageClassification(SwinConfig(num_labels=1000)), 4_490_566_656),
    "convnext-t": (
        lambda: ConvNextForImageClassification(ConvNextConfig(num_labels=1000)),
        4_455_531_264,
    ),
    "efficientnet-b0": (
        lambda: EfficientNetForImageClassification(
            EfficientNetConfig(
                hidden_dim=1280,
                image_size=224,
                width_coefficient=1.0,
                depth_coefficient=1.0,
                num_labels=1000,
            )
        ),
        385_814_752,
    ),
}
SLOW = ("deit-s distilled", "convnext-t", "efficientnet-b0")


class Logits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Any:
        return self.model(image).logits


def exported(name: str) -> ModelProfile:
    build, _ = NETWORKS[name]
    module = Logits(build()).eval()
    for parameter in module.parameters():  # the exporter would store tensors of equal values once
        parameter.data.uniform_(1, 2)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, on Python code in the model
        torch.onnx.export(
            module, (torch.zeros(1, 3, 224, 224),), buffer, dynamo=False, input_names=["image"]
        )
    return profile_onnx(buffer.getvalue(), name=name, source=f"{name}.onnx")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in NETWORKS]
)
def test_exports_keep_their_work_and_their_heads_apart(name: str) -> None:
    profile = exported(name)
    assert profile.totals.macs == NETWORKS[name][1]
    assert profile.coverage.uncounted == {}
    assert [layer.name for layer in profile.layers if layer.feature_flow == "one-node"] == []
    if name.startswith("deit"):
        products = [la for la in profile.layers if la.op == "matmul" and la.macs and not la.params]
        assert len(products) == 2 * 12
        assert {(la.feature_flow, la.groups) for la in products} == {("grouped", 6)}
        projections = [la for la in profile.layers if la.granularity == 64]
        assert len(projections) == 3 * 12  # q, k and v are cut between heads
