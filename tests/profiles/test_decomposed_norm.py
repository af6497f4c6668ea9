"""Norms written out as reductions: what nodes tell each other is what a norm's own layer says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from planner.cost.ownership import feature_shares
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED
from profiles.from_onnx.frontend import profile_onnx
from profiles.from_torch.frontend import profile_module
from tests.profiles.onnx_models import file, node, numbers, weight

TOKENS, FEATURES = 5, 12
NODES = 3
NUMBER_BYTES = TOKENS * 4  # one number per token

CENTRED = [
    node("ReduceMean", "h axes", "mean", name="mean"),
    node("Sub", "h mean", "centred", name="centred"),
]
SCALED = [
    node("ReduceMean", "square axes", "variance", name="variance"),
    node("Add", "variance epsilon", "above", name="above"),
    node("Sqrt", "above", "deviation", name="deviation"),
]
LAYER_NORM = [
    *CENTRED,
    node("Mul", "centred centred", "square", name="square"),
    *SCALED,
    node("Div", "centred deviation", "normal", name="normal"),
    node("Mul", "normal s", "n", name="n"),
]
RMS_NORM = [
    node("Mul", "h h", "square", name="square"),
    *SCALED,
    node("Reciprocal", "deviation", "inverse", name="inverse"),
    node("Mul", "h inverse", "normal", name="normal"),
    node("Mul", "normal s", "n", name="n"),
]
FUSED = [node("LayerNormalization", "h s", "n", axis=-1, name="n")]


def between_linear_layers(norm: list[onnx.NodeProto]) -> ModelProfile:
    """Linear, the norm of ``h`` as ``n``, linear."""
    nodes = [node("MatMul", "x w", "h", name="h"), *norm, node("MatMul", "n v", "y", name="y")]
    weights = [
        weight("w", 8, FEATURES),
        weight("v", FEATURES, 8),
        weight("s", FEATURES),
        weight("epsilon", 1),
        numbers("axes", [-1]),
    ]
    read = {name for item in nodes for name in item.input}
    kept = [item for item in weights if item.name in read]
    data = file(nodes, {"x": (1, TOKENS, 8)}, "y", kept)
    return profile_onnx(data, name="x", source="x.onnx")


def told_bytes(profile: ModelProfile) -> dict[str, int]:
    """What node 0 sends to node 1 before each layer that has something to send."""
    moved = feature_shares(profile, np.ones(NODES)).moved_bytes
    off_diagonal = ~np.eye(NODES, dtype=np.bool_)
    assert all(len(set(matrix[off_diagonal].tolist())) == 1 for matrix in moved), "all alike"
    return {
        layer.name: int(matrix[0, 1])
        for layer, matrix in zip(profile.layers, moved, strict=True)
        if matrix.any()
    }


@pytest.mark.parametrize(
    ("norm", "told"),
    [
        (FUSED, {"n": 2 * NUMBER_BYTES}),
        (LAYER_NORM, {"mean": NUMBER_BYTES, "variance": NUMBER_BYTES}),
        (RMS_NORM, {"variance": NUMBER_BYTES}),
    ],
    ids=["fused", "layer norm", "rms norm"],
)
def test_onnx_norms_tell_numbers_and_gather_nothing(
    norm: list[onnx.NodeProto], told: dict[str, int]
) -> None:
    profile = between_linear_layers(norm)
    assert {layer.feature_flow for layer in profile.layers} <= {"mixing", "local", "reduce"}
    assert told_bytes(profile) == told
    shares = feature_shares(profile, np.ones(NODES))
    assert shares.owned[-1].tolist() == [4, 4, 4], "the next layer finds the features shared out"


def test_every_node_has_the_result_of_a_reduction() -> None:
    profile = between_linear_layers(LAYER_NORM)
    owners = feature_shares(profile, np.ones(NODES)).owners
    for name in ("mean", "variance", "deviation"):
        assert owners[name].tolist() == [REPLICATED]
    assert REPLICATED not in owners["normal"]


def test_nothing_is_told_where_one_node_or_every_node_has_all() -> None:
    one_has_all = np.array([1.0, 1e-9])
    assert not feature_shares(between_linear_layers(LAYER_NORM), one_has_all).moved_bytes.any()
    first = file(
        [
            *[node("ReduceMean", "x axes", "m", name="m"), node("Sub", "x m", "c", name="c")],
            node("MatMul", "c w", "y", name="y"),
        ],
        {"x": (1, TOKENS, 8)},
        "y",
        [weight("w", 8, FEATURES), numbers("axes", [-1])],
    )
    assert told_bytes(profile_onnx(first, name="x", source="x.onnx")) == {}


def test_more_nodes_than_features() -> None:
    profile = between_linear_layers(RMS_NORM)
    moved = feature_shares(profile, np.ones(FEATURES + 2)).moved_bytes
    (row,) = [i for i, layer in enumerate(profile.layers) if layer.name == "variance"]
    tells = (moved[row] > 0).any(axis=1)
    assert tells.tolist() == [True] * FEATURES + [False] * 2
    assert (moved[row] > 0).any(axis=0).all(), "those without features are told as well"


class WrittenOut(nn.Module):
    def __init__(self, *, centred: bool) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(8, FEATURES), nn.Linear(FEATURES, 8)
        self.scale = nn.Parameter(torch.ones(FEATURES))
        self.centred = centred

    def forward(self, x: Tensor) -> Tensor:
        h = self.before(x)
        if self.centred:
            h = h - h.mean(-1, keepdim=True)
        normal = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)
        y: Tensor = self.after(normal * self.scale)
        return y


@pytest.mark.parametrize("centred", [False, True])
def test_torch_norms_written_out(centred: bool) -> None:
    profile = profile_module(
        WrittenOut(centred=centred), {"x": (1, TOKENS, 8)}, name="x", witness=False
    )
    assert "one-node" not in {layer.feature_flow for layer in profile.layers}
    assert list(told_bytes(profile).values()) == [NUMBER_BYTES] * (1 + centred)


def test_what_no_exchange_of_numbers_finishes_runs_on_one_node() -> None:
    class Best(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, FEATURES)

        def forward(self, x: Tensor) -> Tensor:
            return torch.argmax(self.fc(x), -1)

    profile = profile_module(Best(), {"x": (1, TOKENS, 8)}, name="x", witness=False)
    assert profile.layers[-1].feature_flow == "one-node"


def test_a_reduction_saved_with_other_features_is_refused() -> None:
    profile = between_linear_layers(RMS_NORM)
    document = profile.model_dump(mode="json")
    (broken,) = [layer for layer in document["layers"] if layer["name"] == "variance"]
    broken["in_features"] = FEATURES - 1
    with pytest.raises(ValueError, match="reads 12 features of 'square', declares 11"):
        ModelProfile.model_validate(document)
