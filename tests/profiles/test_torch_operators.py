"""Operator families of ATen: counted by hand, structure kept, nothing silent."""

from __future__ import annotations

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
from tests.profiles.test_torch_frontend import Apply, parameter, profiled


def applied(function: Callable[..., Any], *shapes: tuple[int, ...]) -> ModelProfile:
    return profiled(lambda: Apply(function), *shapes)


def counted(profile: ModelProfile) -> list[LayerProfile]:
    return [layer for layer in profile.layers if layer.macs]


@pytest.mark.parametrize(
    ("function", "starts", "inputs"),
    [
        (lambda _, x: (lambda p: p[0] * p[1])(x.chunk(2, 1)), [0, 4], 2),
        (lambda _, x: (lambda p: p[0] - p[1])(x.split(3, 1)), [0, 3], 2),
        (lambda _, x: (lambda a, b, c: torch.cat([c, a], 1))(*x.split([1, 2, 5], 1)), [0, 3], 2),
        (lambda _, x: (lambda p: p[1] * p[3])(x.tensor_split(4, 1)), [2, 6], 2),
        (lambda _, x: (lambda p: p[7] - p[2])(x.unbind(1)), [7, 2], 2),
    ],
)
def test_every_piece_that_is_used_is_a_slice_with_its_start(
    function: Callable[..., Tensor], starts: list[int], inputs: int
) -> None:
    profile = applied(function, (1, 8, 4, 4))
    slices = [layer for layer in profile.layers if layer.op == "slice"]
    assert sorted(layer.feature_start for layer in slices) == sorted(starts)
    assert all(layer.feature_flow == "slice" and layer.inputs == ("x0",) for layer in slices)
    assert len(profile.layers[-1].inputs) == inputs
    assert set(profile.layers[-1].inputs) <= {layer.name for layer in slices}
    assert profile.coverage.uncounted == {}


def test_pieces_that_nothing_reads_are_no_layers() -> None:
    profile = applied(lambda _, x: x.split(2, 1)[2] * 2, (1, 8, 4, 4))
    assert [layer.op for layer in profile.layers] == ["slice", "mul"]
    assert profile.layers[0].feature_start == 4
    assert profile.layers[0].output_bytes == 4 * 2 * 16


def test_of_several_outputs_each_has_its_own_shape() -> None:
    profile = applied(lambda _, x: (lambda r: (r.values, r.indices))(x.max(dim=2)), (1, 8, 4, 5))
    first, second = profile.layers
    assert first.inputs == second.inputs == ("x0",)
    assert (first.output_bytes, second.output_bytes) == (8 * 5 * 4, 8 * 5 * 8)
    assert profile.outputs == (first.name, second.name)


def attention(**options: Any) -> Callable[..., Tensor]:
    return lambda _, q, k, v: functional.scaled_dot_product_attention(q, k, v, **options)


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (attention(), [(2, 4, 7, 16), (2, 4, 5, 16), (2, 4, 5, 16)], 2 * 4 * 7 * 5 * (16 + 16)),
        (attention(), [(2, 4, 7, 16), (2, 4, 5, 16), (2, 4, 5, 8)], 2 * 4 * 7 * 5 * (16 + 8)),
        (attention(is_causal=True), [(1, 4, 7, 16)] * 3, 4 * 7 * 7 * 32),
        (
            attention(enable_gqa=True),
            [(1, 8, 7, 16), (1, 2, 5, 16), (1, 2, 5, 16)],
            8 * 7 * 5 * 32,
        ),
        (
            lambda _, q, k, v, m: functional.scaled_dot_product_attention(q, k, v, attn_mask=m),
            [(1, 4, 7, 16)] * 3 + [(1, 1, 7, 7)],
            4 * 7 * 7 * 32,
        ),
    ],
)
def test_attention(function: Callable[..., Tensor], shapes: list[Any], macs: int) -> None:
    profile = applied(function, *shapes)
    assert profile.layers[-1].op == "attention"
    assert profile.totals.macs == profile.layers[-1].macs == macs
    assert profile.coverage.uncounted == {}


@pytest.mark.parametrize("learned", ["q", "k", "v"])
def test_attention_with_a_learned_operand(learned: str) -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        operands = {"q": x, "k": x, "v": x, learned: module.table}
        return functional.scaled_dot_product_attention(*operands.values())

    profile = profiled(lambda: Apply(forward, table=parameter(1, 4, 7, 16)), (1, 4, 7, 16))
    assert profile.totals.macs == 4 * 7 * 7 * 32
    assert profile.totals.params == 4 * 7 * 16


class Recurrent(nn.Module):
    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.net = getattr(nn, kind)(6, 10, **options)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        output, state = self.net(x)
        return output, state[0] if isinstance(state, tuple) else state


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_recurrent_layers(kind: str, gates: int, both: bool, batch_first: bool) -> None:
    def build() -> nn.Module:
        return Recurrent(kind, num_layers=2, bidirectional=both, batch_first=batch_first)

    profile = profiled(build, (5, 3, 6))
    ways = 2 if both else 1
    weights = ways * gates * 10 * (6 + 10) + ways * gates * 10 * (ways * 10 + 10)
    first, last = profile.layers
    assert first.macs == profile.totals.macs == 5 * 3 * weights
    assert first.params == weights + 2 * 2 * ways * gates * 10
    assert first.feature_flow == "one-node"
    assert (last.op, last.inputs) == ("final_state", (first.name,))
    assert profile.coverage.uncounted == {}


def test_lstm_with_a_projection() -> None:
    profile = profiled(lambda: Recurrent("LSTM", proj_size=4), (5, 3, 6))
    assert profile.totals.macs == 5 * 3 * (4 * 10 * 6 + 4 * 10 * 4 + 4 * 10)


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)], 2 * 3 * 4 * 6 * 5),
        ("bihd,bjhd->bhij", [(2, 4, 3, 5), (2, 6, 3, 5)], 2 * 3 * 4 * 6 * 5),
        ("bqnc,bnchw->bqnhw", [(2, 3, 4, 5), (2, 4, 5, 6, 7)], 2 * 3 * 4 * 5 * 6 * 7),
        ("ij,jk", [(3, 4), (4, 5)], 3 * 4 * 5),
        ("...ij,...kj->...ik", [(2, 3, 4, 5), (2, 3, 6, 5)], 6 * 4 * 6 * 5),
        ("i,j->ij", [(3,), (4,)], 12),
        ("ij,ij->", [(3, 4), (3, 4)], 12),
    ],
)
def test_einsum_of_two_activations(equation: str, shapes: list[Any], macs: int) -> None:
    profile = applied(lambda _, x, y: torch.einsum(equation, x, y), *shapes)
    assert profile.totals.macs == macs
    assert [layer.op for layer in counted(profile)] == ["matmul"]
    assert profile.coverage.uncounted == {}


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("nc,cr,rd->nd", [(6, 16), (16, 4), (4, 20)], [6 * 16 * 4, 6 * 4 * 20]),
        ("ij,kj,lj->ikl", [(4, 8), (5, 8), (6, 8)], [8 * 4 * 5, 4 * 5 * 8 * 6]),
        ("ab,bc,cd,de", [(2, 3), (3, 4), (4, 5), (5, 6)], [2 * 3 * 4, 2 * 4 * 5, 2 * 5 * 6]),
        ("ij,jk->k", [(3, 4), (4, 5)], [4 * 5]),  # i is summed before
        ("iij,jk->ik", [(3, 3, 4), (4, 5)], [3 * 4 * 5]),  # a diagonal
        ("i,i,i->", [(7,), (7,), (7,)], [7, 7]),
    ],
)
def test_einsum_is_contracted_in_pairs_from_the_left(
    equation: str, shapes: list[Any], macs: list[int]
) -> None:
    profile = applied(lambda _, *operands: torch.einsum(equation, *operands), *shapes)
    assert [layer.macs for layer in counted(profile)] == macs
    assert {layer.op for layer in counted(profile)} == {"matmul"}
    assert profile.coverage.uncounted == {}


def test_einsum_of_an_activation_and_two_weights() -> None:
    """What two weights give belongs to the layer that reads it, with the work of making it."""
    weights = {"a": parameter(16, 4), "b": parameter(4, 20)}
    first = profiled(
        lambda: Apply(lambda m, x: torch.einsum("nc,cr,rd->nd", x, m.a, m.b), **weights), (6, 16)
    )
    assert [layer.op for layer in counted(first)] == ["linear", "linear"]
    assert (first.totals.macs, first.totals.params) == (864, 144)
    last = profiled(
        lambda: Apply(lambda m, x: torch.einsum("cr,rd,nc->nd", m.a, m.b, x), **weights), (6, 16)
    )
    (layer,) = counted(last)
    making = 16 * 4 * 20
    assert (layer.op, layer.macs, layer.params) == ("linear", 6 * 16 * 20 + making, 144)


@pytest.mark.parametrize(("equation", "op"), [("abc->cab", "transpose"), ("abc->ab", "sum")])
def test_einsum_of_one_operand_is_no_product(equation: str, op: str) -> None:
    profile = applied(lambda _, x: torch.einsum(equation, x), (4, 5, 3))
    assert [layer.op for layer in profile.layers] == [op]
    assert (profile.totals.macs, profile.coverage.uncounted) == (0, {})


@pytest.mark.parametrize("swap", [False, True])
def test_einsum_with_a_weight_is_a_linear_layer(swap: bool) -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        if swap:
            return torch.einsum("dnh,td->tnh", module.w, x)
        return torch.einsum("td,dnh->tnh", x, module.w)

    profile = profiled(lambda: Apply(forward, w=parameter(16, 4, 8)), (5, 16))
    (layer,) = counted(profile)
    assert (layer.macs, layer.params, layer.op) == (5 * 16 * 32, 16 * 32, "linear")
    assert (layer.feature_flow, layer.weight_params) == ("mixing", 16 * 32)


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (lambda _, c, x, y: torch.baddbmm(c, x, y), [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 120),
        (lambda _, c, x, y: torch.addmm(c, x, y), [(3, 5), (3, 4), (4, 5)], 60),
        (lambda _, x, y: torch.mv(x, y), [(3, 4), (4,)], 12),
        (lambda _, x, y: torch.dot(x, y), [(4,), (4,)], 4),
        (lambda _, x, w: functional.linear(x, w), [(2, 3, 4), (5, 4)], 120),
    ],
)
def test_products_with_a_term(function: Callable[..., Tensor], shapes: Any, macs: int) -> None:
    profile = applied(function, *shapes)
    assert profile.totals.macs == macs
    assert profile.coverage.uncounted == {}
    if len(shapes) == 3:
        assert [layer.op for layer in profile.layers] == ["matmul", "add"]


def test_a_matrix_product_with_a_weight_can_be_shared_out() -> None:
    """The 1-by-1 convolution of GPT-2's authors: ``addmm`` of bias, tokens and weight."""
    profile = profiled(
        lambda: Apply(lambda m, x: torch.addmm(m.b, x, m.w), w=parameter(7, 5), b=parameter(5)),
        (4, 7),
    )
    (layer,) = profile.layers
    assert (layer.op, layer.feature_flow) == ("linear", "mixing")
    assert (layer.in_features, layer.out_features, layer.weight_params) == (7, 5, 35)


FREE = {
    "group_norm": lambda x: functional.group_norm(x, 2),
    "instance_norm": functional.instance_norm,
    "layer_norm": lambda x: functional.layer_norm(x, [6]),
    "rms_norm": lambda x: functional.rms_norm(x, [6]),
    "local_response_norm": lambda x: functional.local_response_norm(x, 3),
    "avg_pool2d": lambda x: functional.avg_pool2d(x, 2),
    "max_pool2d": lambda x: functional.max_pool2d(x, 2),
    "max_pool2d with indices": lambda x: functional.max_pool2d(x, 2, return_indices=True),
    "adaptive pools": lambda x: (
        functional.adaptive_avg_pool2d(x, 1) + functional.adaptive_max_pool2d(x, 1)
    ),
    "lp_pool": lambda x: functional.lp_pool2d(x, 2, 2),
    **{
        f"interpolate {mode}": lambda x, mode=mode: functional.interpolate(
            x, scale_factor=2, mode=mode
        )
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
    },
    "softmax": lambda x: x.softmax(1) + x.log_softmax(-1),
    "mean": lambda x: x.mean(1) + x.mean((1,)) + x.mean(),
    "extrema": lambda x: x.amax((2, 3)) + x.amin(1).sum() + x.max() + x.min(2)[0].sum(),
    "moments": lambda x: x.var(1) + x.std(1) + torch.linalg.vector_norm(x, dim=1),
    "argmax": lambda x: x.argmax(1),
    "cat": lambda x: torch.cat([x, x * 2], 1),
    "stack": lambda x: torch.stack([x, x * 2], 1),
    "select": lambda x: x[:, 1] + x[:, -1],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "index_select": lambda x: x.index_select(1, torch.tensor([2, 0])),
    "index": lambda x: x[:, torch.tensor([2, 0])],
    "gather": lambda x: x.gather(1, x.argsort(1)),
    "topk": lambda x: x.topk(2, 1).values,
    "views": lambda x: x.view(1, 4, -1).unsqueeze(0).squeeze(0).flatten().unflatten(0, (4, -1)),
    "expand": lambda x: x[:, :1].expand(-1, 4, -1, -1) * x,
    "repeat": lambda x: x.repeat(1, 1, 2, 1) + x.tile((1, 1, 2, 1)),
    "repeat_interleave": lambda x: x.repeat_interleave(3, 1),
    "transposes": lambda x: x.movedim(1, -1).swapaxes(1, 2).mT.permute(0, 3, 1, 2),
    "roll and flip": lambda x: x.roll(1, 2).flip(3),
    "pixel_shuffle": lambda x: functional.pixel_unshuffle(functional.pixel_shuffle(x, 2), 2),
    "channel_shuffle": lambda x: functional.channel_shuffle(x, 2),
    "comparison": lambda x: torch.where(x > 0, x, -x).masked_fill(x == 1, 0),
    "created": lambda x: x + torch.arange(6) * torch.full((6,), 2.0) + torch.zeros_like(x),
    "casts": lambda x: x.to(torch.float16).float().type(torch.float64).half(),
    "clamp": lambda x: x.clamp(0, 6) + x.clamp(min=x.mean()),
    "pad": lambda x: (
        functional.pad(x, (1, 1)) + functional.pad(x, (1, 1, 1, 1), mode="reflect").sum()
    ),
    "glu": lambda x: functional.glu(x, 1),
    "activations": lambda x: functional.silu(functional.mish(functional.gelu(x))).tanh(),
    "cumsum and tril": lambda x: x.cumsum(1).tril(),
}


@pytest.mark.parametrize("name", FREE)
def test_operators_without_products_are_free_and_named(name: str) -> None:
    profile = applied(lambda _, x: FREE[name](x), (1, 4, 6, 6))
    assert profile.coverage.uncounted == {}
    assert profile.totals.macs == 0
    assert profile.coverage.covered_share == 1


@pytest.mark.parametrize(
    ("name", "flows"),
    [
        ("pixel_shuffle", {"local", "grouped"}),
        ("channel_shuffle", {"local", "shuffle"}),
        ("repeat_interleave", {"local", "grouped"}),
        ("roll and flip", {"local"}),
        ("instance_norm", {"local"}),
        ("avg_pool2d", {"local"}),
        ("interpolate bicubic", {"local"}),
        ("comparison", {"local"}),
        ("gather", {"one-node"}),
        ("topk", {"one-node"}),
    ],
)
def test_features_are_followed(name: str, flows: set[str]) -> None:
    profile = applied(lambda _, x: FREE[name](x), (1, 4, 6, 6))
    assert {layer.feature_flow for layer in profile.layers} <= flows


@pytest.mark.parametrize("rank", [1, 3])
def test_transposed_convolutions_of_other_ranks(rank: int) -> None:
    layer = getattr(nn, f"ConvTranspose{rank}d")
    profile = profiled(lambda: layer(4, 6, 3, stride=2), (1, 4, *[5] * rank))
    assert profile.totals.macs == 4 * 5**rank * 6 * 3**rank


def test_a_convolution_without_a_batch() -> None:
    profile = profiled(lambda: nn.Conv2d(4, 6, 3), (4, 8, 8))
    assert profile.totals.macs == 6 * 36 * 4 * 9
    assert profile.coverage.uncounted == {}


@pytest.mark.parametrize("fast", [False, True])
def test_encoders_are_counted_whatever_torch_would_fuse(fast: bool) -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        with torch.no_grad():
            profile = profile_module(layer, {"src": (1, 7, 16)}, name="encoder", witness=False)
        assert torch.backends.mha.get_fastpath_enabled() is fast
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert profile.totals.macs == 7 * 16 * 16 * 4 + 2 * 7 * 7 * 16 + 2 * 7 * 16 * 32
    assert profile.coverage.uncounted == {}


def test_what_a_block_without_gradients_computes_is_counted() -> None:
    """torch.export puts such a block into a graph of its own."""

    def forward(module: Apply, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = module.a(x)
        with torch.autocast("cpu", enabled=False):
            return y + module.b(y).relu()

    profile = profiled(lambda: Apply(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 4)), (1, 4))
    assert [layer.name for layer in counted(profile)] == ["a", "b"]
    assert counted(profile)[1].inputs == ("a",)
    assert profile.coverage.uncounted == {}


def test_writing_into_a_part_of_a_tensor_keeps_both_sources() -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        result = torch.zeros(2, 8)
        result[:, :4] = module.a(x)
        result[:, 4:] += module.b(x)
        return result * 2

    profile = profiled(lambda: Apply(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 4)), (2, 4))
    readers = {name: layer for layer in profile.layers for name in layer.inputs}
    assert {"a", "b"} <= set(readers)
    reached, last = {profile.layers[-1].name}, profile.layers[-1]
    assert last.op == "mul"
    for layer in reversed(profile.layers):
        if layer.name in reached:
            reached.update(layer.inputs)
    assert {"a", "b", "x0"} <= reached


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.table(input_ids)
        if attention_mask is not None:
            x = x * attention_mask[..., None]
        result: Tensor = self.head(x)
        return result


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_token_numbers_and_masks(dtype: str) -> None:
    shapes = {"attention_mask": (2, 5), "input_ids": (2, 5)}
    profile = profile_module(
        Tokens(), shapes, name="tokens", witness=False, dtypes={"input_ids": dtype}
    )
    assert {spec.name: spec.dtype for spec in profile.inputs} == {
        "input_ids": dtype,
        "attention_mask": "int64",
    }
    assert profile.totals.macs == 2 * 5 * 8 * 3
    assert profile.totals.params == 50 * 8 + 27


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (
            {"ids": "int64"},
            "a type is given for 'ids', which is no input; there are",
        ),
        ({"input_ids": "text"}, "input 'input_ids' has the unknown type 'text'; there are .*int64"),
        ({"input_ids": "nn"}, "input 'input_ids' has the unknown type 'nn'"),
    ],
)
def test_wrong_types_are_one_line(dtypes: dict[str, str], expected: str) -> None:
    with pytest.raises(BadInputError, match=expected):
        profile_module(Tokens(), {"input_ids": (1, 4)}, name="tokens", dtypes=dtypes)


def test_products_of_weights_alone_are_named() -> None:
    """They are the same for every input: counted once, and the profile says where."""

    def forward(module: Apply, x: Tensor) -> Tensor:
        return x + module.project(module.queries)

    profile = profiled(
        lambda: Apply(forward, project=nn.Linear(4, 4), queries=parameter(3, 4)), (3, 4)
    )
    assert profile.totals.macs == profile.layers[-1].macs == 3 * 4 * 4
    assert profile.totals.params == 20 + 12
    assert "48 MACs of 1 products of weights alone (linear)" in profile.provenance.note


def test_inputs_have_the_type_of_the_weights() -> None:
    profile = profiled(lambda: nn.Linear(4, 4).to(torch.bfloat16), (1, 4))
    assert profile.inputs[0].dtype == "bfloat16"
    assert profile.layers[0].param_bytes == 2 * 20
