from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.from_torch.frontend import profile_module

Shapes = dict[str, tuple[int, ...]]


class Apply(nn.Module):
    """Any function of named submodules and parameters."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


def profiled(build: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> ModelProfile:
    with torch.device("meta"):
        module = build()
    inputs = {f"x{index}": shape for index, shape in enumerate(shapes)}
    return profile_module(module, inputs, name="small", witness=False)


def only_layer(profile: ModelProfile) -> LayerProfile:
    assert len(profile.layers) == 1
    return profile.layers[0]


# (module, input shape, MACs, parameters, flow); outputs x weights per output, written out
ONE_LAYER = {
    "conv2d": (
        lambda: nn.Conv2d(8, 12, 3, padding=1),
        (1, 8, 10, 11),
        12 * 10 * 11 * 8 * 9,
        12 * 8 * 9 + 12,
        "mixing",
    ),
    "batch of 2": (lambda: nn.Conv2d(8, 12, 1), (2, 8, 5, 5), 2 * 12 * 25 * 8, 108, "mixing"),
    "stride": (
        lambda: nn.Conv2d(8, 12, 3, stride=2, bias=False),
        (1, 8, 11, 11),
        12 * 5 * 5 * 8 * 9,
        12 * 8 * 9,
        "mixing",
    ),
    "dilation": (lambda: nn.Conv2d(2, 3, 3, dilation=2), (1, 2, 7, 7), 3 * 9 * 2 * 9, 57, "mixing"),
    "padding='same'": (
        lambda: nn.Conv2d(8, 12, 3, padding="same"),
        (1, 8, 10, 10),
        12 * 100 * 8 * 9,
        12 * 8 * 9 + 12,
        "mixing",
    ),
    "groups": (
        lambda: nn.Conv2d(8, 12, 3, groups=4),
        (1, 8, 10, 10),
        12 * 64 * 2 * 9,
        12 * 2 * 9 + 12,
        "grouped",
    ),
    "depthwise": (
        lambda: nn.Conv2d(8, 16, 3, groups=8, padding=1),
        (1, 8, 10, 10),
        16 * 100 * 9,
        16 * 9 + 16,
        "local",
    ),
    "depthwise 'same'": (
        lambda: nn.Conv2d(8, 8, 3, groups=8, padding="same"),
        (1, 8, 10, 10),
        8 * 100 * 9,
        8 * 9 + 8,
        "local",
    ),
    "conv1d": (lambda: nn.Conv1d(8, 12, 3), (1, 8, 10), 12 * 8 * 8 * 3, 300, "mixing"),
    "conv3d": (
        lambda: nn.Conv3d(4, 6, 3),
        (1, 4, 5, 6, 7),
        6 * 3 * 4 * 5 * 4 * 27,
        6 * 4 * 27 + 6,
        "mixing",
    ),
    "conv3d 'same'": (
        lambda: nn.Conv3d(2, 2, 3, padding="same"),
        (1, 2, 4, 4, 4),
        2 * 64 * 2 * 27,
        2 * 2 * 27 + 2,
        "mixing",
    ),
    "transposed": (
        lambda: nn.ConvTranspose2d(8, 12, 2, stride=2),
        (1, 8, 10, 10),
        8 * 100 * 12 * 4,
        8 * 12 * 4 + 12,
        "mixing",
    ),
    "transposed, overlapping": (
        lambda: nn.ConvTranspose2d(8, 12, 4, stride=2, padding=1),
        (1, 8, 10, 10),
        8 * 100 * 12 * 16,
        8 * 12 * 16 + 12,
        "mixing",
    ),
    "transposed, groups": (
        lambda: nn.ConvTranspose2d(8, 12, 4, stride=2, groups=2),
        (1, 8, 10, 10),
        8 * 100 * 6 * 16,
        8 * 6 * 16 + 12,
        "grouped",
    ),
    "linear": (lambda: nn.Linear(16, 24), (1, 16), 16 * 24, 16 * 24 + 24, "mixing"),
    "linear on 7 tokens": (lambda: nn.Linear(16, 24, bias=False), (7, 16), 7 * 384, 384, "mixing"),
}


@pytest.mark.parametrize("name", ONE_LAYER)
def test_macs_by_hand(name: str) -> None:
    build, shape, macs, params, flow = ONE_LAYER[name]
    layer = only_layer(profiled(build, shape))
    assert (layer.macs, layer.params, layer.feature_flow) == (macs, params, flow)
    assert layer.param_bytes == 4 * params


def test_linear_on_tokens_of_a_sequence_counts_each_token() -> None:
    layer = only_layer(profiled(lambda: nn.Linear(16, 24), (2, 7, 16)))
    assert layer.macs == 2 * 7 * 16 * 24


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (lambda _, x, y: x @ y, [(1, 2, 5, 7), (1, 2, 7, 3)], 2 * 5 * 7 * 3),
        (lambda _, x: x @ x.transpose(-1, -2), [(1, 2, 5, 7)], 2 * 5 * 7 * 5),
        (lambda _, x, y: torch.bmm(x, y), [(3, 6, 4), (3, 4, 6)], 3 * 6 * 4 * 6),
        (lambda _, x, y: torch.mm(x, y), [(4, 8), (8, 4)], 4 * 8 * 4),
    ],
)
def test_products_of_two_activations(
    function: Callable[..., Tensor], shapes: list[tuple[int, ...]], macs: int
) -> None:
    profile = profiled(lambda: Apply(function), *shapes)
    assert profile.layers[-1].op == "matmul"
    assert profile.totals.macs == macs
    assert profile.coverage.uncounted == {}


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda m, x: x @ m.w, 4 * 7 * 5),
        (lambda m, x: torch.mm(x, m.w), 4 * 7 * 5),
        (lambda m, x: torch.addmm(m.b, x, m.w), 4 * 7 * 5),
        (lambda m, x: x @ m.v.t(), 4 * 7 * 5),
        (lambda m, x: functional.linear(x, m.w.t(), m.b), 4 * 7 * 5),
    ],
)
def test_products_with_a_parameter(function: Callable[..., Tensor], macs: int) -> None:
    def build() -> nn.Module:
        parts = {"w": parameter(7, 5), "v": parameter(5, 7), "b": parameter(5)}
        return Apply(function, **parts)

    profile = profiled(build, (4, 7))
    assert profile.totals.macs == macs
    assert profile.totals.params in (35, 40)
    assert profile.coverage.uncounted == {}


@pytest.mark.parametrize(
    ("function", "shape", "macs"),
    [
        (lambda m, x: m.w @ x, (7, 3), 5 * 7 * 3),
        (lambda m, x: m.w @ x, (7,), 5 * 7),
        (lambda m, x: m.w @ x, (2, 7, 3), 2 * 5 * 7 * 3),
        (lambda m, x: torch.addmm(m.b, m.w, x), (7, 3), 5 * 7 * 3),
        (lambda m, x: torch.einsum("oi,bit->bot", m.w, x), (2, 7, 3), 2 * 5 * 7 * 3),
    ],
)
def test_products_with_the_parameter_first(
    function: Callable[..., Tensor], shape: tuple[int, ...], macs: int
) -> None:
    profile = profiled(lambda: Apply(function, w=parameter(5, 7), b=parameter(5, 1)), shape)
    assert profile.totals.macs == macs
    assert profile.coverage.uncounted == {}
    assert sum(layer.params for layer in profile.layers) in (35, 40)


def test_concat_keeps_every_producers_features() -> None:
    profile = profiled(
        lambda: Apply(lambda _, x, y: torch.cat([x, y], 1)), (1, 4, 5, 5), (1, 6, 5, 5)
    )
    layer = only_layer(profile)
    assert (layer.feature_flow, layer.inputs) == ("concat", ("x0", "x1"))
    assert (layer.out_features, layer.macs) == (10, 0)
    assert profile.coverage.free == {"aten.cat": 1}


def test_local_operators_are_free_of_macs() -> None:
    profile = profiled(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.MaxPool2d(2), nn.Dropout()
        ),
        (1, 3, 10, 10),
    )
    assert [layer.feature_flow for layer in profile.layers] == ["mixing"] + ["local"] * 4
    assert [layer.macs for layer in profile.layers[1:]] == [0] * 4
    assert profile.coverage.uncounted == {}
    norm = profile.layers[1]
    assert norm.params == 2 * 8
    assert norm.param_bytes == 4 * 4 * 8, "scale, shift, mean and variance"


# Parameters


def shared_module() -> nn.Module:
    layer = nn.Linear(8, 8)
    return nn.Sequential(layer, nn.ReLU(), layer)


def tied_weights() -> nn.Module:
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    return nn.Sequential(first, second)


@pytest.mark.parametrize(
    ("build", "params", "macs"), [(shared_module, 72, 128), (tied_weights, 80, 128)]
)
def test_shared_parameters_count_once_and_their_work_twice(
    build: Callable[[], nn.Module], params: int, macs: int
) -> None:
    totals = profiled(build, (1, 8)).totals
    assert (totals.params, totals.macs) == (params, macs)


def test_parameters_used_through_views_count() -> None:
    """A class token that is expanded and a position table that is sliced, as in a ViT."""

    def forward(module: Apply, x: Tensor) -> Tensor:
        tokens = torch.cat([module.token.expand(x.shape[0], -1, -1), x], 1)
        return tokens + module.positions[:, :5]

    profile = profiled(
        lambda: Apply(forward, token=parameter(1, 1, 16), positions=parameter(1, 9, 16)),
        (1, 4, 16),
    )
    assert profile.totals.params == 16 + 9 * 16


def test_parametrized_weights_count() -> None:
    def build() -> nn.Module:
        return nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3))

    profile = profiled(build, (1, 4, 8, 8))
    layer = only_layer(profile)
    assert layer.macs == 6 * 36 * 4 * 9
    assert layer.params == 6 * 4 * 9 + 6 + 6
    assert (layer.weight_params, layer.feature_flow) == (6 * 4 * 9, "mixing")


def test_parameters_that_nothing_reads_do_not_count() -> None:
    def build() -> nn.Module:
        return Apply(lambda m, x: m.used(x), used=nn.Linear(4, 4), unused=nn.Linear(4, 4))

    assert profiled(build, (1, 4)).totals.params == 20


# What is not counted is named


@pytest.mark.parametrize(
    ("build", "shape", "operator"),
    [
        (lambda: Apply(lambda _, x: torch.linalg.inv(x)), (4, 4), "aten.linalg_inv"),
        (
            lambda: Apply(lambda _, x: torch.einsum("ij,kj->ik", x, x[:, :1])),  # broadcast in j
            (4, 8),
            "aten.einsum",
        ),
    ],
)
def test_operators_without_a_formula_are_uncounted(
    build: Callable[[], nn.Module], shape: tuple[int, ...], operator: str
) -> None:
    profile = profiled(build, shape)
    assert profile.coverage.uncounted == {operator: 1}
    assert profile.coverage.covered_share < 1
    name = operator.removeprefix("aten.")
    (layer,) = [layer for layer in profile.layers if layer.op in (name, "conv")][-1:]
    assert (layer.macs, layer.feature_flow) == (0, "one-node")


def test_attention_written_out_is_counted() -> None:
    """MultiheadAttention that returns its weights multiplies; only the projections and products."""

    def build() -> nn.Module:
        return Apply(
            lambda m, x: m.attention(x, x, x)[0],
            attention=nn.MultiheadAttention(16, 4, batch_first=True),
        )

    tokens, width = 7, 16
    projections = tokens * width * 3 * width + tokens * width * width
    products = 2 * tokens * tokens * width
    assert profiled(build, (1, tokens, width)).totals.macs == projections + products


# Tracing


def test_a_model_larger_than_memory_is_profiled() -> None:
    profile = profiled(lambda: nn.Linear(2**20, 2**21), (1, 2**20))
    assert profile.totals.params == 2**41 + 2**21
    assert profile.totals.param_bytes == 4 * (2**41 + 2**21), "8 TB, none of it held"


def test_names_are_unique_and_follow_the_modules() -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        return torch.relu(module.conv(torch.relu(module.conv(x))))

    profile = profiled(lambda: Apply(forward, conv=nn.Conv2d(4, 4, 1)), (1, 4, 3, 3))
    assert [layer.name for layer in profile.layers] == ["conv", "relu", "conv:conv", "relu:relu"]
    assert [layer.inputs for layer in profile.layers] == [
        ("x0",),
        ("conv",),
        ("relu",),
        ("conv:conv",),
    ]
    assert profile.outputs == ("relu:relu",)


def test_an_input_may_be_called_like_a_module() -> None:
    with torch.device("meta"):
        module = Apply(lambda m, x: m.image(x), image=nn.Linear(4, 4))
    profile = profile_module(module, {"image": (1, 4)}, name="small", witness=False)
    assert profile.inputs[0].name == "image"
    assert profile.layers[0].name != "image"


def test_several_inputs_and_outputs() -> None:
    def forward(module: Apply, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"sum": module.a(x) + y, "plain": module.a(y)}

    profile = profiled(lambda: Apply(forward, a=nn.Linear(4, 4)), (1, 4), (1, 4))
    assert len(profile.outputs) == 2
    assert [spec.name for spec in profile.inputs] == ["x0", "x1"]


@pytest.mark.parametrize("witness", [False, True])
def test_the_module_is_left_as_it_was(witness: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    module.train()
    module[1].eval()  # a frozen norm
    before = {name: value.clone() for name, value in module.state_dict().items()}
    profile_module(module, {"x": (1, 3, 8, 8)}, name="small", witness=witness)
    assert [part.training for part in module] == [True, False, True]
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("build", "shapes", "expected"),
    [
        (
            lambda: Apply(lambda _, x: x[: int(x.sum().item())]),
            [(7,)],
            "torch.export cannot trace it: Could not extract specialized integer",
        ),
        (lambda: nn.Linear(4, 5), [(1, 7)], "torch.export cannot trace it: "),
        (lambda: nn.Linear(4, 5), [(1, 4), (1, 4)], "torch.export cannot trace it: "),
        (lambda: Apply(lambda _, x: 1 // 0), [(4,)], "torch.export cannot trace it: integer div"),
        (lambda: nn.Identity(), [(1, 7)], "no operator reads its inputs, there is nothing to plan"),
        (lambda: Apply(lambda _, x: torch.ones(3)), [(1, 7)], "no operator reads its inputs"),
        (
            lambda: Apply(lambda _, x: (x * 2, torch.ones(3))[1]),
            [(1, 7)],
            "its output does not depend on its inputs",
        ),
        (lambda: nn.ReLU(), [(1, 0, 4)], "input 'x0' has shape (1, 0, 4); sizes start at 1"),
        (lambda: nn.ReLU(), [(1, -3)], "input 'x0' has shape (1, -3); sizes start at 1"),
        (lambda: Apply(lambda _, x: x[:0]), [(3, 4)], "has the empty shape (0, 4)"),
    ],
)
def test_what_cannot_be_profiled_is_one_line(
    build: Callable[[], nn.Module],
    shapes: list[tuple[int, ...]],
    expected: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(BadInputError) as caught:
        profiled(build, *shapes)
    message = str(caught.value)
    assert message.startswith("small: ")
    assert expected in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", ""), "torch's own tracebacks stay away from the user"


def test_an_error_without_a_text_is_told_by_its_type() -> None:
    def forward(_: Apply, x: Tensor) -> Tensor:
        raise NotImplementedError

    with pytest.raises(BadInputError, match=r"cannot trace it: NotImplementedError$"):
        profiled(lambda: Apply(forward), (1, 4))


def test_without_torch_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(4, 4)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BadInputError, match=r"pip install '\.\[torch\]'"):
        profile_module(module, {"x": (1, 4)}, name="small")


def test_provenance_names_the_tool() -> None:
    provenance = profiled(lambda: nn.Linear(4, 4), (1, 4)).provenance
    assert provenance.front_end == "torch.export"
    assert provenance.tools == {"torch": torch.__version__}
