from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from planner.domain.model_profile import ModelProfile, Witness
from profiles.from_torch.frontend import profile_module
from profiles.from_torch.witness import WitnessWarning
from profiles.macs import MAC_FORMULAS
from tests.examples import some


def witnessed(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> ModelProfile:
    with torch.device("meta"):
        module = build()
    return profile_module(module, {"x": shape}, name="small")


def witness_of(profile: ModelProfile) -> Witness:
    assert profile.coverage.witness is not None, profile.coverage.witness_note
    return profile.coverage.witness


def resnet() -> nn.Module:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[32, 64], depths=[2, 1], num_labels=10
    )
    return transformers.ResNetForImageClassification(config)


def mobilenet() -> nn.Module:
    config = transformers.MobileNetV2Config(num_labels=10, tf_padding=False, depth_multiplier=0.25)
    return transformers.MobileNetV2ForImageClassification(config)


@pytest.mark.parametrize("build", [resnet, mobilenet])
def test_both_counts_agree_layer_by_layer(build: Callable[[], nn.Module]) -> None:
    profile = witnessed(build, (1, 3, 64, 64))
    counted = [layer for layer in profile.layers if layer.macs]
    assert len(counted) > 8
    assert all(layer.witness_macs == layer.macs for layer in counted)
    assert all(layer.witness_macs is None for layer in profile.layers if not layer.macs)
    assert witness_of(profile).total_macs == profile.totals.macs
    assert witness_of(profile).tool.startswith("fvcore 0.")


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2, 4]))
    inputs, outputs = (groups * draw(st.integers(1, 4)) for _ in range(2))
    kernel = draw(st.integers(1, 3))
    options: dict[str, Any] = {
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.integers(0, kernel - 1)),
        "dilation": draw(st.integers(1, 2)),
        "bias": draw(st.booleans()),
        "groups": groups,
    }
    transposed = draw(st.booleans())
    layer = getattr(nn, f"Conv{'Transpose' if transposed else ''}{rank}d")
    sizes = draw(st.lists(st.integers(6, 9), min_size=rank, max_size=rank))
    batch = draw(st.integers(1, 2))
    return lambda: layer(inputs, outputs, kernel, **options), (batch, inputs, *sizes)


@given(case=convolutions())
@some(0.6)
def test_any_convolution_has_fvcores_count(
    case: tuple[Callable[[], nn.Module], tuple[int, ...]],
) -> None:
    build, shape = case
    profile = witnessed(build, shape)
    (layer,) = profile.layers
    assert layer.macs == layer.witness_macs
    assert layer.params == sum(prod(p.shape) for p in build().parameters())


def test_attention_that_fvcore_skips_is_named() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.project(x)
            return functional.scaled_dot_product_attention(y, y, y)

    profile = witnessed(Block, (1, 4, 7, 16))
    assert witness_of(profile).skipped_ops == {"aten::scaled_dot_product_attention": 1}
    assert witness_of(profile).total_macs == 4 * 7 * 16 * 16
    assert profile.totals.macs == 4 * 7 * 16 * 16 + 4 * 2 * 7 * 7 * 16
    assert profile.layers[-1].witness_macs is None
    assert profile.coverage.uncounted == {}


def test_same_padding_that_fvcore_skips_explains_the_difference() -> None:
    profile = witnessed(lambda: nn.Conv2d(4, 4, 3, padding="same"), (1, 4, 8, 8))
    (layer,) = profile.layers
    assert layer.macs == 4 * 64 * 4 * 9
    assert layer.witness_macs is None, "a count that fvcore never made is no zero"
    assert witness_of(profile).total_macs == 0
    assert witness_of(profile).skipped_ops == {"aten::_convolution_mode": 1}


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_cells_agree_with_the_parts_that_fvcore_sees(kind: str, gates: int) -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, f"{kind}Cell")(8, 16)

        def forward(self, x: Tensor) -> Tensor:
            state = self.cell(x)
            return state[0] if kind == "LSTM" else state

    profile = witnessed(Cell, (1, 8))
    assert profile.totals.macs == gates * 16 * (8 + 16)
    assert profile.layers[0].op in ("lstm_cell", "gru_cell", "rnn_tanh_cell")
    assert profile.layers[0].witness_macs == profile.totals.macs


def test_a_recurrent_layer_that_fvcore_skips_is_named() -> None:
    profile = witnessed(lambda: nn.LSTM(8, 16), (5, 1, 8))
    assert profile.totals.macs == 5 * 4 * 16 * (8 + 16)
    assert witness_of(profile).skipped_ops["aten::lstm"] == 1


def test_a_convolution_with_computed_weights_is_one() -> None:

    class Computed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.conv2d(x, torch.relu(x))

    profile = witnessed(Computed, (4, 4, 1, 1))
    assert profile.coverage.uncounted == {}
    assert witness_of(profile).total_macs == profile.totals.macs == 4 * 4 * 4


def test_what_only_fvcore_counts_is_no_contradiction() -> None:
    """A linear layer with a computed bias is one unknown operator here."""

    class Biased(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.linear(x, torch.ones(3, 8, device=x.device), x.sum(1)[:3])

    profile = witnessed(Biased, (4, 8))
    assert profile.coverage.uncounted == {"aten.linear": 1}
    assert witness_of(profile).total_macs == profile.totals.macs == 0
    assert witness_of(profile).differences == ()


def test_inputs_given_by_name_reach_fvcore() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 16)
            self.head = nn.Linear(16, 4)

        def forward(self, extra: Tensor | None = None, input_ids: Tensor | None = None) -> Tensor:
            assert input_ids is not None and extra is None
            result: Tensor = self.head(self.table(input_ids))
            return result

    module = Tokens()
    profile = profile_module(module, {"input_ids": (1, 3)}, name="small")
    assert profile.inputs[0].dtype == "int64"
    assert witness_of(profile).total_macs == profile.totals.macs == 3 * 16 * 4
    assert "forward" not in vars(module)


def test_a_module_that_runs_twice_is_held_against_both_runs() -> None:
    def build() -> nn.Module:
        layer = nn.Linear(8, 8)
        return nn.Sequential(layer, nn.ReLU(), layer)

    profile = witnessed(build, (1, 8))
    assert witness_of(profile).total_macs == profile.totals.macs == 2 * 64


def tampered(kind: str, factor: int) -> Callable[..., int]:
    true = MAC_FORMULAS[kind]
    return lambda operator, inputs: factor * true(operator, inputs)


class InOneModule(nn.Module):
    """Every operator in the root module, with some that fvcore skips though they are free."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 8, 1, 1))
        self.head = nn.Parameter(torch.zeros(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.hardtanh(functional.conv2d(x, self.weight))
        y += x
        y = functional.max_pool2d(y, 2).mean((2, 3))
        return functional.linear(y * 2, self.head)


@pytest.mark.parametrize("factor", [0, 2])
@pytest.mark.parametrize(
    ("build", "kind", "where"),
    [
        (resnet, "conv", "resnet.embedder.embedder.convolution"),
        (resnet, "linear", "classifier.1"),
        (InOneModule, "conv", "small"),
        (InOneModule, "linear", "small"),
    ],
)
def test_a_wrong_formula_is_told(
    build: Callable[[], nn.Module],
    kind: str,
    where: str,
    factor: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shape = (1, 8, 8, 8) if build is InOneModule else (1, 3, 64, 64)
    monkeypatch.setitem(MAC_FORMULAS, kind, tampered(kind, factor))
    with pytest.warns(WitnessWarning) as caught:
        profile = witnessed(build, shape)
    told = [str(warning.message) for warning in caught]
    assert list(witness_of(profile).differences) == told
    counted_as = "product" if kind == "linear" else kind
    assert all(f": {counted_as} counts " in line and line.isprintable() for line in told)
    if kind == "linear" or build is InOneModule:
        (line,) = told
        assert line.startswith(f"{where}: ")
        (layer,) = [x for x in profile.layers if x.op == kind]
        assert layer.macs == factor * layer.witness_macs


def test_a_wrong_product_is_an_error_of_this_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ x.transpose(-1, -2)

    assert witnessed(Product, (1, 2, 5, 7)).layers[-1].witness_macs == 2 * 5 * 7 * 5
    monkeypatch.setitem(MAC_FORMULAS, "matmul", tampered("matmul", 2))
    with pytest.raises(WitnessWarning, match="product counts 700 MACs here and 350 by fvcore"):
        witnessed(Product, (1, 2, 5, 7))


def test_weights_that_do_not_fit_in_memory_go_unwitnessed() -> None:
    profile = witnessed(lambda: nn.Linear(2**20, 2**21), (1, 2**20))
    assert profile.coverage.witness is None
    assert profile.coverage.witness_note == "the weights would not fit in memory"
    assert profile.totals.macs == 2**41


def test_a_module_that_fvcore_cannot_run_goes_unwitnessed() -> None:
    class NotTwice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("only once\nplease")
            return torch.relu(x)

    profile = witnessed(NotTwice, (1, 4))
    assert profile.coverage.witness is None
    assert profile.coverage.witness_note == "fvcore cannot run it: only once"


def test_indices_in_meta_buffers_stay_in_range() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 16)
            self.register_buffer("index", torch.arange(4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x + self.table(self.index))

    assert witness_of(witnessed(Positions, (1, 4, 16))).total_macs == 0


def test_no_witness_when_it_is_turned_off() -> None:
    profile = profile_module(nn.Linear(4, 4), {"x": (1, 4)}, name="small", witness=False)
    assert profile.coverage.witness is None
    assert profile.coverage.witness_note == "turned off"
    assert profile.layers[0].witness_macs is None


class Factors(nn.Module):
    """An einsum of the input, where `x` stands, and two matrices."""

    def __init__(self, equation: str, order: str, *shapes: tuple[int, int]) -> None:
        super().__init__()
        self.equation, self.order = equation, order
        self.a, self.b = (nn.Parameter(torch.ones(shape)) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        operands = {"x": x, "a": self.a, "b": self.b}
        return torch.einsum(self.equation, *(operands[name] for name in self.order))


@pytest.mark.parametrize(
    ("equation", "order", "shapes", "macs"),
    [
        # The cheapest order would make a · b first: 2 · 30 + 20 · 2.
        ("nc,cr,rd->nd", "xab", [(2, 30), (30, 1)], 20 * 2 * 30 + 20 * 30 * 1),
        ("nc,rd,cd->nr", "xab", [(3, 5), (2, 5)], 20 * 2 * 3 * 5 + 20 * 3 * 2 * 5),
        ("nc,mc->nmc", "xa", [(3, 2), (1, 1)], 20 * 3 * 2),
    ],
)
def test_einsum_is_counted_in_the_same_pairs(
    equation: str, order: str, shapes: list[tuple[int, int]], macs: int
) -> None:
    profile = witnessed(lambda: Factors(equation, order, *shapes), (20, 2))
    assert witness_of(profile).total_macs == profile.totals.macs == macs


@pytest.mark.parametrize("written_out", [False, True])
def test_products_of_weights_alone_are_counted_once(written_out: bool) -> None:
    class Written(Factors):
        def forward(self, x: Tensor) -> Tensor:
            return x @ (self.a @ self.b)

    build = Written if written_out else Factors
    profile = witnessed(lambda: build("cr,rd,nc->nd", "abx", (2, 30), (30, 4)), (20, 2))
    assert profile.totals.macs == 20 * 2 * 4 + 2 * 30 * 4
    assert witness_of(profile).total_macs == profile.totals.macs
    assert "240 MACs of 1 products of weights alone" in profile.provenance.note


class BiasNetwork(nn.Module):
    """As in Swin-V2: a network on a stored table of places makes the bias of cosine attention."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.linspace(-1, 1, 98).reshape(49, 2))
        self.network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2, bias=False))
        self.qkv = nn.Linear(8, 24)
        self.scale = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).reshape(1, 7, 3, 2, 4).permute(2, 0, 3, 1, 4)
        score = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).mT
        bias = 16 * torch.sigmoid(self.network(self.places).reshape(7, 7, 2).permute(2, 0, 1))
        score = score * self.scale.clamp(max=4.6).exp() + bias
        result: Tensor = (score.softmax(-1) @ value).transpose(1, 2).reshape(1, 7, 8)
        return result


class Refined(nn.Module):
    """As RAFT: the flow begins as zeros, and one recurrent block refines it over and over."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Conv2d(3, 8, 3, padding=1)
        self.of_flow = nn.Conv2d(2, 4, 3, padding=1)
        self.gate, self.head = nn.Conv2d(8 + 9 + 4, 8, 3, padding=1), nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.encode(x))
        pairs = torch.einsum("bchw,bcij->bhwij", hidden, hidden).reshape(64, 1, 8, 8)
        grid = torch.stack(torch.meshgrid(*[torch.arange(8.0, device=x.device)] * 2, indexing="xy"))
        places = grid[None].to(x.dtype)
        for _ in range(3):
            flow = places - grid
            around = places.permute(0, 2, 3, 1).reshape(64, 1, 1, 2) / 4 - 1
            seen = functional.grid_sample(pairs, around.expand(64, 3, 3, 2), align_corners=True)
            seen = seen.reshape(1, 8, 8, 9).permute(0, 3, 1, 2)
            hidden = torch.tanh(self.gate(torch.cat((hidden, seen, self.of_flow(flow)), 1)))
            places = places + self.head(hidden)
        return places - grid


class Windows(nn.Module):
    """As MaxViT: squeeze and excite, then attention in windows and over a grid of them."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.table = nn.Parameter(torch.zeros(49, 2))
        self.register_buffer("index", torch.arange(256).reshape(16, 16) % 49)

    def _attend(self, windows: Tensor) -> Tensor:
        query, key, value = self.qkv(windows).reshape(4, 16, 3, 2, 4).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index].permute(2, 0, 1)[None]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        result: Tensor = self.out(mixed.transpose(1, 2).reshape(4, 16, 8))
        return result

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.sigmoid(self.wide(functional.silu(self.narrow(x.mean((2, 3), keepdim=True)))))
        parts = x.reshape(1, 8, 2, 4, 2, 4)
        windows = self._attend(parts.permute(0, 2, 4, 3, 5, 1).reshape(4, 16, 8))
        parts = (
            windows.reshape(1, 2, 2, 4, 4, 8).permute(0, 5, 1, 3, 2, 4).reshape(1, 8, 4, 2, 4, 2)
        )
        return self._attend(parts.permute(0, 3, 5, 2, 4, 1).reshape(4, 16, 8))


class Crossed(nn.Module):
    """As XCiT: a convolution on waves of the places alone, and attention across channels."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.of_places = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 1)
        self.qkv, self.gamma = nn.Linear(8, 24), nn.Parameter(torch.ones(8))
        self.temperature = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x)
        rows = torch.arange(1, 5, dtype=torch.float32, device=x.device).reshape(1, 1, 4, 1)
        waves = rows.repeat(1, 4, 1, 4) / 10000 ** torch.arange(4, device=x.device).reshape(4, 1, 1)
        patches = patches + self.of_places(torch.cat((waves.sin(), waves.cos()), 1))
        tokens = patches.flatten(2).mT
        query, key, value = self.qkv(tokens).reshape(1, 16, 3, 2, 4).permute(2, 0, 3, 4, 1)
        score = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).mT
        mixed = (score * self.temperature).softmax(-1) @ value
        return tokens + self.gamma * mixed.permute(0, 3, 1, 2).reshape(1, 16, 8)


@pytest.mark.parametrize(
    ("build", "shape", "of_weights", "skipped"),
    [
        # what each makes of stored numbers alone, and what fvcore does not know of its products
        (BiasNetwork, (1, 7, 8), 49 * 2 * 16 + 49 * 16 * 2, 0),
        (Refined, (1, 3, 8, 8), 64 * 4 * 2 * 9, 0),
        (Windows, (1, 8, 8, 8), 0, 2 * 2 * 4 * 16 * 16 * 8),
        (Crossed, (1, 3, 16, 16), 16 * 8 * 8, 0),
    ],
)
def test_the_reasons_that_four_networks_had_are_known(
    build: Callable[[], nn.Module], shape: tuple[int, ...], of_weights: int, skipped: int
) -> None:
    """Swin-V2, RAFT, MaxViT and XCiT in small: no difference is left without an explanation."""
    profile = profile_module(build(), {"x": shape}, name="small")
    witness = witness_of(profile)
    assert witness.differences == ()
    assert profile.coverage.uncounted == {}
    assert profile.totals.macs - witness.total_macs == skipped
    note = f"{of_weights:,} MACs of "
    assert (note in profile.provenance.note) == bool(of_weights)
