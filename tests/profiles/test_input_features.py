"""Which dimension of an input counts its features, by what reads it first."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from planner.domain.model_profile import ModelProfile
from profiles.from_onnx.frontend import profile_onnx
from profiles.from_torch.frontend import profile_module
from tests.profiles.onnx_models import file, node, weight


class Chain(nn.Module):
    """Modules and names of tensor methods, one after another."""

    def __init__(self, *steps: nn.Module | tuple[str, int, int]) -> None:
        super().__init__()
        self.modules_of = nn.ModuleList(s for s in steps if isinstance(s, nn.Module))
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x) if isinstance(step, nn.Module) else x.transpose(*step[1:])
        return x


def profiled(module: nn.Module, *shape: int) -> ModelProfile:
    return profile_module(module, {"x": shape}, name="x", witness=False)


TIME_AND_CHANNELS = (1, 7, 8)
TURN = ("transpose", 1, 2)


@pytest.mark.parametrize(
    ("module", "shape", "features"),
    [
        (Chain(nn.Linear(8, 6), nn.Linear(6, 4)), TIME_AND_CHANNELS, 8),
        (Chain(nn.LayerNorm(8), nn.Linear(8, 6)), TIME_AND_CHANNELS, 8),
        (Chain(nn.ReLU(), nn.Dropout(), nn.Linear(8, 6)), TIME_AND_CHANNELS, 8),
        (Chain(TURN, nn.Conv1d(8, 6, 3)), TIME_AND_CHANNELS, 8),
        (Chain(TURN, nn.Linear(7, 6)), TIME_AND_CHANNELS, 7),
        (Chain(nn.Conv1d(7, 6, 3)), TIME_AND_CHANNELS, 7),
        (Chain(nn.BatchNorm1d(7), nn.Linear(8, 6)), TIME_AND_CHANNELS, 7),
        (Chain(nn.Linear(8, 6)), (1, 5, 7, 8), 8),
        (Chain(nn.Conv2d(3, 6, 3)), (1, 3, 9, 9), 3),
        (Chain(nn.Flatten(), nn.Linear(27, 6)), (1, 3, 3, 3), 3),
        (Chain(nn.ReLU()), (1, 3, 9, 9), 3),
    ],
)
def test_features_are_what_the_first_reader_mixes(
    module: nn.Module, shape: tuple[int, ...], features: int
) -> None:
    assert profiled(module, *shape).inputs[0].features == features


def test_a_first_linear_layer_on_frames_communicates() -> None:
    profile = profiled(Chain(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)), *TIME_AND_CHANNELS)
    assert [layer.feature_flow for layer in profile.layers] == ["mixing", "local", "mixing"]
    assert [layer.in_features for layer in profile.layers] == [8, 6, 6]
    assert profile.layers[0].input_feature_bytes == 7 * 4


def test_a_recurrent_layer_reads_its_last_dimension() -> None:
    profile = profiled(nn.Sequential(nn.LSTM(8, 6, batch_first=True)), *TIME_AND_CHANNELS)
    assert profile.inputs[0].features == 8


def test_the_first_reader_decides_for_all() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.conv = nn.Linear(8, 8), nn.Conv1d(7, 7, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc(x) + self.conv(x)
            return y

    profile = profiled(Both(), *TIME_AND_CHANNELS)
    assert profile.inputs[0].features == 8
    assert {layer.op: layer.feature_flow for layer in profile.layers}["conv"] == "one-node"


def test_onnx_inputs_of_three_dimensions() -> None:
    def features(op: str, kernel: tuple[int, ...], *before: str) -> int:
        nodes = [node("Transpose", "x", "t", perm=[0, 2, 1])] if before else []
        nodes.append(node(op, f"{'t' if before else 'x'} w", "y"))
        data = file(nodes, {"x": TIME_AND_CHANNELS}, "y", [weight("w", *kernel)])
        return profile_onnx(data, name="x", source="x.onnx").inputs[0].features

    assert features("MatMul", (8, 6)) == 8
    assert features("Conv", (6, 7, 1)) == 7
    assert features("Conv", (6, 8, 1), "turned") == 8


def test_token_numbers_stay_as_they_were() -> None:
    module = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    profile = profile_module(
        module, {"input_ids": (1, 6)}, name="x", witness=False, dtypes={"input_ids": "int64"}
    )
    assert profile.inputs[0].features == 6
