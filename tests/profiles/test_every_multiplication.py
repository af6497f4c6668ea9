"""What torch's own counter sees in one real run is in a layer, or a line of the profile says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from profiles.catalog import load_model
from profiles.from_torch.frontend import profile_module
from profiles.from_torch.traced import on_cpu
from profiles.networks import ARCHITECTURES
from tests.profiles.small_configs import (
    DEEPSEEK_V3,
    EXPERTS,
    MAMBA,
    MIXTRAL,
    OTHERS,
    PHI3,
    Config,
    counted_twice,
    said_to_be_left_out,
)

_UNREAD = {
    "hubert": 32,  # a mask for training
    "wav2vec2": 32,
    "xlnet": 64 + 2 * 2 * 64 + 2 * 64,  # a mask, segments and their biases
}
"""Parameters that no call of a run reads."""


@pytest.mark.parametrize("name", [*EXPERTS, *OTHERS])
def test_a_configuration(name: str) -> None:
    profile, macs, params = counted_twice({**EXPERTS, **OTHERS}[name])
    assert profile.totals.macs + said_to_be_left_out(profile) == macs
    assert profile.coverage.uncounted == {}
    assert params - profile.totals.params == _UNREAD.get(name, 0)


@pytest.mark.parametrize(
    "values",
    [DEEPSEEK_V3, MIXTRAL, PHI3, MAMBA, *(OTHERS[name] for name in ("gemma3", "lfm2_moe"))],
    ids=lambda values: str(values["model_type"]),
)
def test_a_step_behind_64_tokens(values: Config) -> None:
    shapes: dict[str, tuple[int, ...]] = {"input_ids": (1, 1), "past_tokens": (64,)}
    profile, macs, params = counted_twice(values, shapes)
    assert profile.totals.macs + said_to_be_left_out(profile) == macs
    assert profile.totals.params == params
    assert sum(layer.param_bytes for layer in profile.layers) > params, "what it keeps is stored"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name.startswith("llama") else name
        for name in ARCHITECTURES
    ],
)
def test_a_network_of_the_catalogue(name: str) -> None:
    made = ARCHITECTURES[name].prepare("meta")
    module: Any = made.module.requires_grad_(False).eval()
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        torch.device("meta"),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        module(
            *(
                torch.zeros(shape, dtype=getattr(torch, made.dtypes.get(label, "float32")))
                for label, shape in made.shapes.items()
            )
        )
    assert load_model(name).totals.macs == counter.get_total_flops() // 2


class Applied(nn.Module):
    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(torch.zeros(shape) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.weights)


def _bias_network(x: Tensor, table: Tensor, first: Tensor, second: Tensor) -> Tensor:
    bias = torch.relu(table @ first) @ second
    return x + bias.T


@pytest.mark.parametrize(
    ("function", "weights", "shape"),
    [
        (_bias_network, [(9, 2), (2, 16), (16, 4)], (4, 9)),
        (lambda x, a, b: x @ (a @ b), [(9, 2), (2, 7)], (4, 9)),
        (lambda x, a, b: x @ (a @ b) + x @ (a @ b), [(9, 2), (2, 7)], (4, 9)),
        (lambda x, a: torch.vmap(lambda row: row @ a)(x), [(9, 7)], (4, 9)),
        (lambda x, a: torch.tensordot(x, a, dims=([1], [1])), [(7, 9)], (4, 9)),
        (lambda x, a: torch.inner(x, a), [(7, 9)], (4, 9)),
        (lambda x, a, b: torch.linalg.multi_dot([x, a, b]), [(9, 30), (30, 2)], (4, 9)),
        (lambda x, a: x @ torch.relu(x.T @ x) + (x @ a)[:0].sum(), [(9, 7)], (4, 9)),
    ],
)
def test_a_module(
    function: Callable[..., Tensor], weights: list[tuple[int, ...]], shape: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        module = Applied(function, *weights)
    profile = profile_module(module, {"x": shape}, name="small", witness=False)
    ran: Any = on_cpu(module).requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        ran(torch.zeros(shape))
    assert profile.totals.macs + said_to_be_left_out(profile) == counter.get_total_flops() // 2
    assert profile.coverage.uncounted == {}
