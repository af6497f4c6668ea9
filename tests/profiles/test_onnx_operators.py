"""Operators of ONNX, one by one: their work, their weights, and where their features go."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from tests.profiles.onnx_models import file, node, numbers, profiled, proto, weight


def working(profile: ModelProfile) -> list[LayerProfile]:
    return [layer for layer in profile.layers if layer.macs]


def scalar(name: str, value: float, dtype: type = np.float32) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.array(value, dtype), name)


def after_tokens(
    nodes: list[onnx.NodeProto],
    outputs: str,
    weights: list[onnx.TensorProto],
    *,
    tokens: int = 5,
    width: int,
    **options: Any,
) -> ModelProfile:
    """The profile of nodes that read `x`, embedded tokens of the given width."""
    model = proto(
        [node("Gather", "table ids", "x"), *nodes],
        {"ids": (1, tokens)},
        outputs,
        [weight("table", 10, width), *weights],
        element_type=TensorProto.INT64,
        **options,
    )
    return profiled(model.SerializeToString())


# Recurrent layers

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
def test_recurrent_layers(op: str, direction: str, layout: int) -> None:
    steps, batch, features, hidden = 7, 2, 5, 6
    ways = 1 if direction == "forward" else 2
    rows = GATES[op] * hidden
    states = "last cell" if op == "LSTM" else "last"
    operator = node(
        op,
        "x w r b",
        f"y {states}",
        hidden_size=hidden,
        direction=direction,
        layout=layout,
        name="rnn",
    )
    weights = [
        weight("w", ways, rows, features),
        weight("r", ways, rows, hidden),
        weight("b", ways, 2 * rows),
    ]
    shape = (batch, steps, features) if layout else (steps, batch, features)
    profile = profiled(file([operator], {"x": shape}, f"y {states}", weights, opset=14))
    (layer,) = working(profile)
    matrices = ways * rows * (features + hidden)
    assert (layer.name, layer.op, layer.feature_flow) == ("rnn", op.lower(), "one-node")
    assert layer.macs == steps * batch * matrices
    assert layer.params == profile.totals.params == matrices + 2 * ways * rows
    assert layer.param_bytes == 4 * layer.params
    assert layer.out_features == ways * hidden
    assert len(profile.outputs) == 1 + len(states.split())
    assert profile.coverage.uncounted == {}


def test_only_the_last_state_is_wanted() -> None:
    operator = node("LSTM", "x w r", "- last", hidden_size=6, name="rnn")
    weights = [weight("w", 1, 24, 5), weight("r", 1, 24, 6)]
    profile = profiled(file([operator], {"x": (7, 1, 5)}, "last", weights))
    assert profile.totals.macs == 7 * 24 * 11
    assert profile.coverage.uncounted == {}
    (name,) = profile.outputs
    assert next(la for la in profile.layers if la.name == name).output_bytes == 6 * 4


def test_a_linear_layer_after_a_recurrent_one_reads_both_directions() -> None:
    nodes = [
        node("LSTM", "x w r", "y", hidden_size=6, direction="bidirectional"),
        node("Transpose", "y", "t", perm=[0, 2, 1, 3]),
        node("Reshape", "t s", "flat"),
        node("MatMul", "flat k", "out", name="head"),
    ]
    weights = [
        weight("w", 2, 24, 5),
        weight("r", 2, 24, 6),
        numbers("s", [7, 1, 12]),
        weight("k", 12, 3),
    ]
    profile = profiled(file(nodes, {"x": (7, 1, 5)}, "out", weights))
    head = profile.layers[-1]
    assert (head.name, head.feature_flow, head.in_features, head.out_features) == (
        "head",
        "mixing",
        12,
        3,
    )


# Einsum

EINSUM: dict[str, tuple[list[tuple[int, ...]], int]] = {
    "bij,bjk->bik": ([(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
    "bhqd,bhkd->bhqk": ([(2, 3, 4, 5), (2, 3, 7, 5)], 2 * 3 * 4 * 7 * 5),
    "bhqk,bhkd->bqhd": ([(2, 3, 4, 7), (2, 3, 7, 5)], 2 * 3 * 4 * 7 * 5),
    "bqhd,bkhd->bhqk": ([(2, 4, 3, 5), (2, 7, 3, 5)], 2 * 3 * 4 * 7 * 5),
    "...ij,...jk->...ik": ([(2, 3, 4, 5), (2, 3, 5, 6)], 2 * 3 * 4 * 5 * 6),
    "ij,jk": ([(4, 5), (5, 6)], 4 * 5 * 6),
    "i,j->ij": ([(4,), (5,)], 20),
    "ab, bc, cd -> ad": ([(2, 3), (3, 4), (4, 5)], 2 * 3 * 4 + 2 * 4 * 5),
    "abcd,cdef->abef": ([(2, 3, 4, 5), (4, 5, 6, 7)], 2 * 3 * 4 * 5 * 6 * 7),
}


@pytest.mark.parametrize("equation", EINSUM)
def test_einsum_of_activations(equation: str) -> None:
    shapes, macs = EINSUM[equation]
    names = "a b c"[: 2 * len(shapes) - 1]
    operator = node("Einsum", names, "y", equation=equation, name="product")
    profile = profiled(file([operator], dict(zip(names.split(), shapes, strict=True)), "y"))
    assert profile.totals.macs == macs
    assert [layer.op for layer in working(profile)] == ["matmul"] * (len(shapes) - 1)
    assert profile.coverage.uncounted == {}
    operands = [np.ones(shape) for shape in shapes]
    assert profile.layers[-1].output_bytes == 4 * np.einsum(equation, *operands).size


@pytest.mark.parametrize(
    ("equation", "shape", "flow"),
    [
        ("btd,dk->btk", (6, 8), "mixing"),
        ("btd,kd->btk", (8, 6), "mixing"),
        ("btd,dhk->bthk", (6, 4, 2), "mixing"),
    ],
)
def test_einsum_with_a_weight_is_a_linear_layer(
    equation: str, shape: tuple[int, ...], flow: str
) -> None:
    nodes = [node("Einsum", "x w", "y", equation=equation)]
    profile = after_tokens(nodes, "y", [weight("w", *shape)], width=6)
    layer = working(profile)[-1]
    assert (layer.op, layer.feature_flow, layer.macs) == ("linear", flow, 5 * 6 * 8)
    assert layer.params == layer.weight_params == 48


@pytest.mark.parametrize(
    ("equation", "op"), [("abc->cab", "transpose"), ("abc->ab", "sum"), ("aab->ab", None)]
)
def test_einsum_of_one_operand_is_no_product(equation: str, op: str | None) -> None:
    operator = node("Einsum", "x", "y", equation=equation)
    profile = profiled(file([operator, node("Relu", "y", "z")], {"x": (4, 4, 3)}, "z"))
    assert profile.totals.macs == 0
    assert profile.coverage.uncounted == ({} if op else {"Einsum": 1})
    assert op is None or profile.layers[0].op == op


# Attention


def test_attention_with_heads_in_a_dimension() -> None:
    operator = node("Attention", "q k v", "y", name="attention")
    inputs = {"q": (2, 6, 5, 8), "k": (2, 3, 7, 8), "v": (2, 3, 7, 4)}
    profile = profiled(file([operator], inputs, "y", opset=23))
    (layer,) = working(profile)
    assert (layer.op, layer.macs) == ("attention", 2 * 6 * 5 * 7 * (8 + 4))


def test_attention_with_packed_heads_keeps_them_apart() -> None:
    nodes = [
        *(node("MatMul", f"x w{n}", n, name=f"to_{n}") for n in "qkv"),
        node("Attention", "q k v", "a", q_num_heads=4, kv_num_heads=2),
        node("MatMul", "a wo", "y", name="out"),
    ]
    weights = [
        weight("wq", 16, 32),
        weight("wk", 16, 16),
        weight("wv", 16, 16),
        weight("wo", 32, 9),
    ]
    profile = after_tokens(nodes, "y", weights, width=16, opset=23)
    layers = {layer.name: layer for layer in profile.layers}
    assert {layer.feature_flow for layer in profile.layers} <= {"mixing", "local", "grouped"}
    (attention,) = (layer for layer in profile.layers if layer.op == "attention")
    assert (attention.groups, attention.macs) == (4, 5 * 5 * 32 * 2)
    assert layers["to_q"].granularity == 8
    assert layers["out"].in_features == 32


def test_attention_with_a_cache() -> None:
    operator = node("Attention", "q k v - pk pv", "y ck cv")
    inputs = {"q": (1, 4, 1, 8), "k": (1, 4, 1, 8), "v": (1, 4, 1, 8)}
    inputs |= {"pk": (1, 4, 99, 8), "pv": (1, 4, 99, 8)}
    profile = profiled(file([operator], inputs, "y ck cv", opset=23))
    assert profile.totals.macs == 2 * 4 * 100 * 8
    assert len(profile.outputs) == 3


def microsoft(nodes: list[onnx.NodeProto], *rest: Any, **options: Any) -> ModelProfile:
    return profiled(file(nodes, *rest, domains=["com.microsoft"], **options))


def test_multi_head_attention_of_onnx_runtime() -> None:
    operator = node("MultiHeadAttention", "q k v b", "y", domain="com.microsoft", num_heads=4)
    inputs = {"q": (1, 5, 32), "k": (1, 7, 32), "v": (1, 7, 32)}
    profile = microsoft([operator], inputs, "y", [weight("b", 96)])
    assert profile.totals.macs == 5 * 7 * 32 * 2
    assert profile.totals.params == 96
    assert profile.coverage.uncounted == {}


def test_packed_attention_of_onnx_runtime() -> None:
    operator = node("Attention", "x w b", "y", domain="com.microsoft", num_heads=4)
    weights = [weight("w", 16, 96), weight("b", 96)]
    profile = microsoft([operator], {"x": (1, 5, 16)}, "y", weights)
    assert [layer.macs for layer in working(profile)] == [5 * 16 * 96, 5 * 5 * 32 * 2]
    assert profile.totals.params == 17 * 96


def test_fused_activations_and_norms_of_onnx_runtime() -> None:
    nodes = [
        node("BiasGelu", "x b", "g", domain="com.microsoft"),
        node("SkipLayerNormalization", "g x s c", "n - - t", domain="com.microsoft", name="norm"),
        node("FastGelu", "n", "f", domain="com.microsoft"),
        node("Add", "f t", "y"),
    ]
    weights = [weight("b", 6), weight("s", 6), weight("c", 6)]
    profile = after_tokens(nodes, "y", weights, width=6, domains=["com.microsoft"])
    assert profile.coverage.uncounted == {}
    ops = [(layer.op, layer.feature_flow) for layer in profile.layers[1:]]
    flows = ["bias_gelu", "add", "layer_norm", "fast_gelu", "add"]
    assert ops == [(op, "local") for op in flows]
    assert profile.layers[3].statistics_bytes > 0
    assert profile.layers[-1].inputs == ("fast_gelu_1", "norm:add")
    assert profile.totals.params == 10 * 6 + 3 * 6


# Quantised forms


def test_qlinear_conv() -> None:
    operator = node("QLinearConv", "x xs xz w ws wz ys yz b", "y", pads=[1, 1, 1, 1], name="conv")
    weights = [
        *(scalar(name, 0.5) for name in ("xs", "ws", "ys")),
        *(scalar(name, 3, np.uint8) for name in ("xz", "wz", "yz")),
        weight("w", 8, 4, 3, 3, dtype=np.uint8),
        weight("b", 8, dtype=np.int32),
    ]
    model = proto(
        [operator],
        {"x": (1, 4, 6, 6)},
        "y",
        weights,
        element_type=TensorProto.UINT8,
        output_type=TensorProto.UINT8,
    )
    (layer,) = profiled(model.SerializeToString()).layers
    assert (layer.op, layer.feature_flow, layer.macs) == ("conv", "mixing", 36 * 8 * 4 * 9)
    assert (layer.params, layer.weight_params) == (8 * 4 * 9 + 8, 8 * 4 * 9)
    assert layer.param_bytes == 8 * 4 * 9 + 8 * 4  # single numbers are settings
    assert layer.output_bytes == 8 * 36  # one byte each


def test_dynamically_quantised_conv_and_product() -> None:
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z", name="quantize"),
        node("ConvInteger", "q w z wz", "c", name="conv"),
        node("Cast", "c", "f", to=TensorProto.FLOAT),
        node("Mul", "f s", "m"),
        node("Flatten", "m", "flat"),
        node("DynamicQuantizeLinear", "flat", "q2 s2 z2"),
        node("MatMulInteger", "q2 k z2 wz", "y", name="head"),
    ]
    weights = [
        weight("w", 8, 4, 3, 3, dtype=np.uint8),
        scalar("wz", 3, np.uint8),
        weight("k", 8 * 16, 5, dtype=np.uint8),
    ]
    model = proto(nodes, {"x": (1, 4, 6, 6)}, "y", weights, output_type=TensorProto.INT32)
    profile = profiled(model.SerializeToString())
    layers = {layer.name: layer for layer in profile.layers}
    assert layers["conv"].macs == 16 * 8 * 4 * 9
    assert layers["head"].macs == 128 * 5
    assert (layers["conv"].feature_flow, layers["head"].feature_flow) == ("mixing", "mixing")
    assert profile.totals.params == 8 * 4 * 9 + 128 * 5
    assert profile.coverage.uncounted == {}


def test_qlinear_matmul() -> None:
    operator = node("QLinearMatMul", "x xs xz w ws wz ys yz", "y")
    weights = [
        *(scalar(name, 0.5) for name in ("xs", "ws", "ys")),
        *(scalar(name, 3, np.uint8) for name in ("xz", "wz", "yz")),
        weight("w", 6, 7, dtype=np.uint8),
    ]
    model = proto(
        [operator],
        {"x": (5, 6)},
        "y",
        weights,
        element_type=TensorProto.UINT8,
        output_type=TensorProto.UINT8,
    )
    (layer,) = profiled(model.SerializeToString()).layers
    assert (layer.op, layer.macs, layer.params) == ("linear", 5 * 6 * 7, 42)


def test_a_weight_behind_a_dequantisation_belongs_to_its_consumer() -> None:
    nodes = [
        node("QuantizeLinear", "x xs xz", "q"),
        node("DequantizeLinear", "q xs xz", "d"),
        node("DequantizeLinear", "w ws wz", "real", axis=0),
        node("Conv", "d real", "y", name="conv"),
    ]
    weights = [
        scalar("xs", 0.5),
        scalar("xz", 3, np.int8),
        weight("w", 8, 4, 3, 3, dtype=np.int8),
        weight("ws", 8),
        weight("wz", 8, dtype=np.int8),
    ]
    profile = profiled(file(nodes, {"x": (1, 4, 6, 6)}, "y", weights))
    (layer,) = working(profile)
    assert layer.name == "conv"
    assert layer.params == profile.totals.params == 8 * 4 * 9
    assert layer.param_bytes == 8 * 4 * 9 + 8 * 4 + 8  # the weight's bytes and its encoding's


# Operators that compute nothing


def test_deformable_convolution() -> None:
    nodes = [node("Conv", "x o", "offset"), node("DeformConv", "x w offset", "y", name="conv")]
    weights = [weight("o", 18, 4, 3, 3), weight("w", 8, 4, 3, 3)]
    profile = profiled(file(nodes, {"x": (1, 4, 8, 8)}, "y", weights, opset=19))
    conv = profile.layers[-1]
    assert (conv.macs, conv.params, len(conv.inputs)) == (36 * 8 * 36, 288, 2)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_pixel_shuffles(mode: str) -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("DepthToSpace", "c", "d", blocksize=2, mode=mode),
        node("Conv", "d v", "y", name="after"),
    ]
    weights = [weight("w", 16, 3, 1, 1), weight("v", 5, 4, 1, 1)]
    profile = profiled(file(nodes, {"x": (1, 3, 4, 4)}, "y", weights))
    after = profile.layers[-1]
    assert (after.in_features, after.elements_per_feature, after.macs) == (4, 64, 64 * 20)
    back = [node("SpaceToDepth", "x", "s", blocksize=2), node("Conv", "s w", "y", name="after")]
    profile = profiled(file(back, {"x": (1, 3, 8, 8)}, "y", [weight("w", 5, 12, 1, 1)]))
    assert (profile.layers[-1].in_features, profile.totals.macs) == (12, 16 * 60)


FREE: dict[str, tuple[list[onnx.NodeProto], list[onnx.TensorProto]]] = {
    "gather": ([node("Gather", "c i", "y", axis=3)], [numbers("i", [0, 2, 1])]),
    "gather by data": (
        [node("ArgMax", "c", "i", axis=3, keepdims=0), node("Gather", "c i", "y", axis=2)],
        [],
    ),
    "gather elements": (
        [node("ArgMax", "c", "i", axis=3), node("GatherElements", "c i", "y", axis=3)],
        [],
    ),
    "where": (
        [node("Greater", "c z", "g"), node("Where", "g c z", "y")],
        [scalar("z", 0)],
    ),
    "expand": ([node("Expand", "c s", "y")], [numbers("s", [3, 4, 6, 6])]),
    "tile": ([node("Tile", "c s", "y")], [numbers("s", [1, 1, 2, 2])]),
    "top k": ([node("TopK", "c k", "y i", axis=3)], [numbers("k", [2])]),
    "indices of top k": ([node("TopK", "c k", "v y", axis=1)], [numbers("k", [2])]),
    "cumulative sum": ([node("CumSum", "c a", "y")], [numbers("a", 3)]),
    "non zero": ([node("NonZero", "c", "y")], []),
    "triangle": ([node("Trilu", "c", "y")], []),
    "one hot": (
        [node("ArgMax", "c", "i", axis=1), node("OneHot", "i d v", "y")],
        [numbers("d", 4), weight("v", 2)],
    ),
    "comparison": ([node("LessOrEqual", "c z", "y")], [scalar("z", 0)]),
    "grid": ([node("GridSample", "c g", "y")], [weight("g", 1, 5, 5, 2)]),
    "resize": (
        [node("Resize", "c - s", "y")],
        [onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")],
    ),
    "instance norm": (
        [node("InstanceNormalization", "c a b", "y")],
        [weight("a", 4), weight("b", 4)],
    ),
    "group norm": (
        [node("GroupNormalization", "c a b", "y", num_groups=2)],
        [weight("a", 4), weight("b", 4)],
    ),
    "rms norm": ([node("RMSNormalization", "c a", "y")], [weight("a", 6)]),
    "scatter": (
        [node("ScatterND", "c i u", "y")],
        [numbers("i", [[0]]), weight("u", 1, 4, 6, 6)],
    ),
    "random": ([node("RandomNormalLike", "c", "r"), node("Add", "c r", "y")], []),
}


@pytest.mark.parametrize("case", FREE)
def test_operators_that_cost_nothing_are_known(case: str) -> None:
    nodes, weights = FREE[case]
    # A cast at the end, so that one declared output type fits them all.
    data = file(
        [node("Conv", "x w", "c"), *nodes, node("Cast", "y", "end", to=TensorProto.FLOAT)],
        {"x": (1, 3, 6, 6)},
        "end",
        [weight("w", 4, 3, 1, 1), *weights],
        opset=23,
    )
    profile = profiled(data)
    assert profile.coverage.uncounted == {}
    assert profile.totals.macs == 36 * 12
    assert profile.layers[0].name in profile.layers[1].inputs


def test_sizes_that_data_decide_are_assumed_and_said_so() -> None:
    operator = node("NonMaxSuppression", "boxes scores most", "y")
    model = proto(
        [operator],
        {"boxes": (1, 50, 4), "scores": (1, 3, 50)},
        "y",
        [numbers("most", [10])],
        output_type=TensorProto.INT64,
    )
    profile = profiled(model.SerializeToString())
    assert profile.layers[0].output_bytes == 3 * 10 * 3 * 8
    assert list(profile.coverage.uncounted) == ["NonMaxSuppression (largest output assumed)"]
    profile = profiled(
        proto(
            [node("NonZero", "x", "y")], {"x": (2, 3)}, "y", output_type=TensorProto.INT64
        ).SerializeToString()
    )
    assert profile.coverage.free == {"NonZero (largest output assumed)": 1}
    assert "largest output assumed" in profile.provenance.note


# Control flow


def branch(name: str, nodes: list[onnx.NodeProto], *shape: int) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, shape)
    return helper.make_graph(nodes, name, [], [out])


def chosen(condition: list[onnx.NodeProto], *weights: onnx.TensorProto) -> ModelProfile:
    """A choice between a convolution of 3x3 and one of 1x1 and an activation."""
    large = branch("large", [node("Conv", "x w3", "o", name="conv", pads=[1, 1, 1, 1])], 1, 4, 6, 6)
    small = branch(
        "small", [node("Conv", "x w1", "m", name="conv"), node("Relu", "m", "o")], 1, 4, 6, 6
    )
    nodes = [
        *condition,
        node("If", "yes", "c", then_branch=small, else_branch=large, name="if"),
        node("Conv", "c w2", "y", name="last"),
    ]
    held = [weight("w3", 4, 3, 3, 3), weight("w1", 4, 3, 1, 1), weight("w2", 2, 4, 1, 1)]
    return profiled(file(nodes, {"x": (1, 3, 6, 6)}, "y", [*held, *weights]))


@pytest.mark.parametrize("value", [True, False])
def test_a_constant_condition_is_resolved(value: bool) -> None:
    profile = chosen([], scalar("yes", value, np.bool_))
    assert [layer.name for layer in working(profile)] == ["if/conv", "last"]
    assert working(profile)[0].macs == 36 * 12 * (1 if value else 9)
    assert "If" not in str(profile.coverage)
    assert profile.provenance.note == ""


def test_a_condition_on_shapes_is_resolved() -> None:
    condition = [
        node("Shape", "x", "s"),
        node("Gather", "s three", "size"),
        node("Equal", "size six", "yes"),
    ]
    profile = chosen(condition, numbers("three", 3), numbers("six", 6))
    assert working(profile)[0].macs == 36 * 12


def test_an_open_condition_takes_the_branch_with_more_work() -> None:
    condition = [
        node("ReduceMax", "x", "top", keepdims=0),
        node("Cast", "top", "yes", to=TensorProto.BOOL),
    ]
    profile = chosen(condition)
    assert working(profile)[0].macs == 36 * 12 * 9
    assert profile.totals.params == 12 * 9 + 8
    assert (
        profile.coverage.free["If (the branch with more work assumed, and its weights alone)"] == 1
    )
    assert (
        profile.provenance.note
        == "If 'if': the branch with more work assumed, and its weights alone"
    )


def test_a_branch_that_does_not_fit_is_not_taken() -> None:
    wrong = branch("wrong", [node("Squeeze", "x ax", "o")], 3, 6, 6)
    right = branch("right", [node("Identity", "x", "o")], 2, 3, 6, 6)
    condition = [
        node("ReduceMax", "x", "top", keepdims=0),
        node("Cast", "top", "yes", to=TensorProto.BOOL),
    ]
    for value in (None, False):
        nodes = [
            *(condition if value is None else []),
            node("If", "yes", "c", then_branch=wrong, else_branch=right),
            node("Relu", "c", "y"),
        ]
        held = [numbers("ax", [0])] + ([] if value is None else [scalar("yes", value, np.bool_)])
        profile = profiled(file(nodes, {"x": (2, 3, 6, 6)}, "y", held))
        assert profile.layers[-1].output_bytes == prod((2, 3, 6, 6)) * 4


def loop_model(trips: list[onnx.TensorProto], *, trip: str, ask: bool = False) -> ModelProfile:
    """A product with a captured weight, over and over."""
    value = helper.make_tensor_value_info
    body_nodes = [node("MatMul", "h w", "h2", name="inside"), node("Relu", "h2", "h3")]
    if ask:
        body_nodes += [
            node("ReduceMax", "h2", "top", keepdims=0),
            node("Cast", "top", "more", to=TensorProto.BOOL),
        ]
    else:
        body_nodes += [node("Identity", "go", "more")]
    body = helper.make_graph(
        body_nodes,
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("h", TensorProto.FLOAT, None),
        ],
        [
            value("more", TensorProto.BOOL, []),
            value("h3", TensorProto.FLOAT, None),
            value("h2", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        node("Loop", f"{trip} - x", "last all", body=body, name="loop"),
        node("Relu", "last", "y"),
        node("Relu", "all", "z"),
    ]
    return profiled(file(nodes, {"x": (2, 6)}, "y z", [weight("w", 6, 6), *trips]))


def test_a_loop_counts_every_trip() -> None:
    profile = loop_model([numbers("n", 11)], trip="n")
    (layer,) = working(profile)
    assert (layer.name, layer.op, layer.feature_flow) == ("loop", "loop", "one-node")
    assert layer.macs == 11 * 2 * 36
    assert layer.params == 36
    assert profile.layers[-1].output_bytes == 11 * 2 * 6 * 4
    assert profile.coverage.counted == {"Loop": 1}
    assert profile.coverage.uncounted == {}
    assert profile.provenance.note == ""


@pytest.mark.parametrize("ask", [True, False])
def test_a_loop_of_unknown_length_counts_once_and_says_so(ask: bool) -> None:
    held = [numbers("n", 11)] if ask else []
    profile = loop_model(held, trip="n" if ask else "-", ask=ask)
    assert profile.totals.macs == 2 * 36
    assert profile.coverage.counted == {"Loop (trip count assumed 1)": 1}
    assert profile.provenance.note == "Loop 'loop': trip count assumed 1"


def test_a_loop_with_unknown_operators_inside_names_them() -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            node("MatMul", "h w", "m"),
            node("Own", "m", "o", domain="own"),
            node("Add", "o h", "h2"),
            node("Identity", "go", "more"),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("h", TensorProto.FLOAT, None),
        ],
        [value("more", TensorProto.BOOL, []), value("h2", TensorProto.FLOAT, None)],
        value_info=[value("o", TensorProto.FLOAT, (2, 6))],
    )
    nodes = [node("Loop", "n - x", "y", body=body)]
    weights = [numbers("n", 3), weight("w", 6, 6)]
    profile = profiled(file(nodes, {"x": (2, 6)}, "y", weights, domains=["own"]))
    assert profile.coverage.uncounted == {"Loop (uncounted inside: own.Own)": 1}
    assert profile.totals.macs == 3 * 2 * 36


def test_a_scan_counts_every_slice() -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("MatMul", "t w", "p"), node("Add", "p s", "s2"), node("Relu", "s2", "o")],
        "body",
        [value("s", TensorProto.FLOAT, None), value("t", TensorProto.FLOAT, None)],
        [value("s2", TensorProto.FLOAT, None), value("o", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("Scan", "start x", "end all", body=body, num_scan_inputs=1),
        node("Relu", "all", "y"),
    ]
    weights = [weight("w", 6, 4), weight("start", 2, 4)]
    profile = profiled(file(nodes, {"x": (9, 2, 6)}, "y", weights))
    assert profile.totals.macs == 9 * 2 * 24
    assert profile.layers[-1].output_bytes == 9 * 2 * 4 * 4
    assert profile.coverage.uncounted == {}


def test_a_loop_inside_a_branch_inside_a_loop() -> None:
    value = helper.make_tensor_value_info
    loops: onnx.NodeProto | None = None
    for level in range(2):
        state, output = f"h{level}", f"o{level}"
        if loops is None:
            work = [node("MatMul", f"{state} w", output)]
        else:
            loops.input[2] = state
            then = helper.make_graph([loops], "then", [], [value("y0", TensorProto.FLOAT, None)])
            other = helper.make_graph(
                [node("Identity", state, "same")],
                "else",
                [],
                [value("same", TensorProto.FLOAT, None)],
            )
            work = [node("If", "yes", output, then_branch=then, else_branch=other)]
        body = helper.make_graph(
            [*work, node("Identity", f"g{level}", f"m{level}")],
            f"body{level}",
            [
                value(f"i{level}", TensorProto.INT64, []),
                value(f"g{level}", TensorProto.BOOL, []),
                value(state, TensorProto.FLOAT, None),
            ],
            [value(f"m{level}", TensorProto.BOOL, []), value(output, TensorProto.FLOAT, None)],
        )
        loops = node("Loop", "n - x", f"y{level}", body=body)
    assert loops is not None
    held = [numbers("n", 5), weight("w", 6, 6), scalar("yes", True, np.bool_)]
    profile = profiled(file([loops], {"x": (2, 6)}, "y1", held))
    assert profile.totals.macs == 5 * 5 * 2 * 36
    assert profile.totals.params == 36


def test_slices_with_steps_leave_features_where_they_are() -> None:
    """Swin's patch merging takes every second pixel."""
    nodes = [
        node("Conv", "x w", "c"),
        node("Slice", "c s e a t", "d", name="every second"),
        node("Conv", "d v", "y", name="after"),
    ]
    weights = [
        weight("w", 8, 3, 1, 1),
        weight("v", 5, 8, 1, 1),
        numbers("s", [0]),
        numbers("e", [2**63 - 1]),
        numbers("a", [2]),
        numbers("t", [2]),
    ]
    profile = profiled(file(nodes, {"x": (1, 3, 8, 8)}, "y", weights))
    assert [layer.feature_flow for layer in profile.layers] == ["mixing", "local", "mixing"]


@pytest.mark.parametrize(
    ("operator", "shape", "weights", "macs"),
    [
        (node("DFT", "x n", "y", onesided=1), [1, 64, 1], {"n": 64}, 64 * 6),
        (node("DFT", "x", "y"), [3, 16, 5, 2], {}, 3 * 5 * 16 * 4),
        (node("STFT", "x step w", "y"), [2, 256, 1], {"step": 64, "w": None}, 2 * 3 * 128 * 7),
        (node("STFT", "x step - n", "y"), [1, 256, 1], {"step": 64, "n": 128}, 3 * 128 * 7),
    ],
)
def test_fourier_transforms_count_by_n_log_n(
    operator: onnx.NodeProto, shape: list[int], weights: dict[str, int | None], macs: int
) -> None:
    stored = [
        weight(name, 128) if value is None else numbers(name, value)
        for name, value in weights.items()
    ]
    profile = profiled(file([operator], {"x": shape}, "y", stored, opset=17))
    assert profile.totals.macs == macs
    assert profile.totals.params == (128 if "w" in weights else 0)
    assert profile.coverage.uncounted == {}
    assert "n·log2 n multiply-accumulates assumed" in profile.provenance.note
