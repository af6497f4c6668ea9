"""ONNX Runtime's own operators, one at a time: work, parameters and the shape that they make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest

from planner.domain.model_profile import ModelProfile
from tests.profiles.onnx_models import file, node, numbers, profiled, weight

Shape = tuple[int, ...]
B, S, H = 2, 6, 32  # batch, tokens, features


@dataclass(frozen=True)
class One:
    """An operator, what it reads and what it must give."""

    op_type: str
    inputs: str
    macs: int
    params: int
    output: int  # elements
    reads: dict[str, Shape] = field(default_factory=dict)
    held: tuple[onnx.TensorProto, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: str = "y"
    domain: str = "com.microsoft"
    shown: str = ""  # the model's outputs, where they are not all of the operator's

    def profile(self) -> ModelProfile:
        operator = node(
            self.op_type, self.inputs, self.outputs, domain=self.domain, **self.attributes
        )
        made = self.shown or self.outputs.replace("-", "")
        data = file([operator], self.reads, made, self.held, domains=[self.domain], opset=17)
        return profiled(data)


def bytes_(name: str, *shape: int) -> onnx.TensorProto:
    return weight(name, *shape, dtype=np.uint8)


TOKENS = {"x": (B, S, H)}
IMAGE = {"x": (1, 8, 8, 16)}  # channels last
PLANES = {"x": (1, 16, 8, 8)}
QKV = {name: (B, S, H) for name in "qkv"}
ATTENTION = 2 * B * S * S * H
CACHED = 2 * B * S * (S + 4) * H
NORM = (weight("g", H), weight("b", H))
CONV = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}

ONES = {
    "FusedMatMul, turned": One(
        "FusedMatMul",
        "a b",
        B * S * S * H,
        0,
        B * S * S,
        {"a": (B, S, H), "b": (B, S, H)},
        attributes={"transB": 1, "alpha": 0.5},
    ),
    "FusedMatMul, rows before the batch": One(
        "FusedMatMul",
        "a b",
        B * 4 * S * S * 8,
        0,
        B * 4 * S * S,
        {"a": (S, B, 4, 8), "b": (B, 4, S, 8)},
        attributes={"transBatchA": 1, "transB": 1},
    ),
    "FusedGemm": One(
        "FusedGemm",
        "x w b",
        4 * 16 * 8,
        16 * 8 + 8,
        4 * 8,
        {"x": (4, 16)},
        (weight("w", 8, 16), weight("b", 8)),
        {"transB": 1, "activation": "Relu"},
    ),
    "GemmFastGelu": One(
        "GemmFastGelu",
        "x w b",
        B * S * H * 64,
        H * 64 + 64,
        B * S * 64,
        TOKENS,
        (weight("w", H, 64), weight("b", 64)),
    ),
    "DynamicQuantizeMatMul": One(
        "DynamicQuantizeMatMul",
        "x w s z b",
        B * S * H * 64,
        H * 64 + 64,
        B * S * 64,
        TOKENS,
        (bytes_("w", H, 64), weight("s", 64), bytes_("z", 64), weight("b", 64)),
    ),
    "FusedConv with a sum": One(
        "FusedConv",
        "x w b z",
        64 * 16 * 16 * 9,
        16 * 16 * 9 + 16,
        16 * 64,
        {**PLANES, "z": (1, 16, 8, 8)},
        (weight("w", 16, 16, 3, 3), weight("b", 16)),
        {"activation": "Relu", **CONV},
    ),
    "NhwcFusedConv": One(
        "NhwcFusedConv",
        "x w b",
        64 * 4 * 16 * 9,
        4 * 16 * 9 + 4,
        4 * 64,
        IMAGE,
        (weight("w", 4, 16, 3, 3), weight("b", 4)),
        {"activation": "Relu", **CONV},
    ),
    "NhwcMaxPool": One(
        "NhwcMaxPool",
        "x",
        0,
        0,
        16 * 16,
        IMAGE,
        attributes={"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
    "blocked convolution": One(
        "Conv",
        "x w b",
        64 * 16 * 16 * 9,
        16 * 16 * 9 + 16,
        16 * 64,
        PLANES,
        (weight("w", 16, 16, 3, 3), weight("b", 16)),
        CONV,
        domain="com.microsoft.nchwc",
    ),
    "out of blocks": One(
        "ReorderOutput",
        "x",
        0,
        0,
        10 * 64,
        PLANES,
        attributes={"channels": 10},
        domain="com.microsoft.nchwc",
    ),
    "Attention": One(
        "Attention",
        "x w b",
        B * S * H * 3 * H + ATTENTION,
        3 * H * H + 3 * H,
        B * S * H,
        TOKENS,
        (weight("w", H, 3 * H), weight("b", 3 * H)),
        {"num_heads": 4},
    ),
    "Attention with a cache": One(
        "Attention",
        "x w b - past",
        B * S * H * 3 * H + CACHED,
        3 * H * H + 3 * H,
        B * S * H,
        {**TOKENS, "past": (2, B, 4, 4, 8)},
        (weight("w", H, 3 * H), weight("b", 3 * H)),
        {"num_heads": 4},
        "y present",
    ),
    "QAttention": One(
        "QAttention",
        "x w b s t - z u",
        B * S * H * 3 * H + ATTENTION,
        3 * H * H + 3 * H,
        B * S * H,
        TOKENS,
        (
            bytes_("w", H, 3 * H),
            weight("b", 3 * H),
            *(weight(name, 1) for name in "st"),
            *(bytes_(name, 1) for name in "zu"),
        ),
        {"num_heads": 4},
    ),
    "MultiHeadAttention": One(
        "MultiHeadAttention", "q k v", ATTENTION, 0, B * S * H, QKV, attributes={"num_heads": 4}
    ),
    "MultiHeadAttention with a cache": One(
        "MultiHeadAttention",
        "q k v - - - pk pv",
        CACHED,
        0,
        B * S * H,
        {**QKV, "pk": (B, 4, 4, 8), "pv": (B, 4, 4, 8)},
        attributes={"num_heads": 4},
        outputs="y nk nv",
    ),
    "MultiHeadAttention, packed": One(
        "MultiHeadAttention",
        "x",
        ATTENTION,
        0,
        B * S * H,
        {"x": (B, S, 4, 3, 8)},
        attributes={"num_heads": 4},
    ),
    "DecoderMaskedMultiHeadAttention": One(
        "DecoderMaskedMultiHeadAttention",
        "q k v - - pk pv",
        CACHED,
        0,
        B * S * H,
        {**QKV, "pk": (B, 4, 4, 8), "pv": (B, 4, 4, 8)},
        attributes={"num_heads": 4},
        outputs="y nk nv",
    ),
    "GroupQueryAttention, packed and turned": One(
        "GroupQueryAttention",
        "x - - - - l t c s",
        ATTENTION,
        0,
        B * S * H,
        {"x": (B, S, H + 2 * 16)},
        (numbers("l", [5, 5]), numbers("t", 6), weight("c", 16, 4), weight("s", 16, 4)),
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1},
    ),
    "GroupQueryAttention, room in its cache": One(
        "GroupQueryAttention",
        "q k v old_k old_v l t",
        2 * B * 11 * H,  # one token reads itself and ten of the twenty places
        0,
        B * H,
        {"q": (B, 1, H), "k": (B, 1, 16), "v": (B, 1, 16)}
        | {f"old_{name}": (B, 2, 20, 8) for name in "kv"},
        (numbers("l", [10, 10]), numbers("t", 11)),
        {"num_heads": 4, "kv_num_heads": 2},
    ),
    "RotaryEmbedding": One(
        "RotaryEmbedding",
        "x p c s",
        0,
        0,
        B * S * H,
        {"x": (B, 4, S, 8)},
        (numbers("p", [0]), weight("c", 16, 4), weight("s", 16, 4)),
    ),
    "SkipSimplifiedLayerNormalization": One(
        "SkipSimplifiedLayerNormalization",
        "x r g",
        0,
        H,
        B * S * H,
        {**TOKENS, "r": (B, S, H)},
        NORM[:1],
        outputs="y - - total",
    ),
    "SimplifiedLayerNormalization": One(
        "SimplifiedLayerNormalization", "x g", 0, H, B * S * H, TOKENS, NORM[:1], {"axis": -1}
    ),
    "GroupNorm": One(
        "GroupNorm",
        "x g b",
        0,
        32,
        16 * 64,
        IMAGE,
        (weight("g", 16), weight("b", 16)),
        {"groups": 4, "activation": 1},
    ),
    "SkipGroupNorm": One(
        "SkipGroupNorm",
        "x g b r",
        0,
        32,
        16 * 64,
        {**IMAGE, "r": (1, 8, 8, 16)},
        (weight("g", 16), weight("b", 16)),
        {"groups": 4, "activation": 0},
    ),
    "BiasAdd": One(
        "BiasAdd", "x b r", 0, H, B * S * H, {**TOKENS, "r": (B, S, H)}, (weight("b", H),)
    ),
    "BiasGelu": One("BiasGelu", "x b", 0, H, B * S * H, TOKENS, (weight("b", H),)),
    "QuickGelu": One("QuickGelu", "x", 0, 0, B * S * H, TOKENS),
    "BiasSplitGelu": One("BiasSplitGelu", "x b", 0, H, B * S * H // 2, TOKENS, (weight("b", H),)),
    "MatMulBnb4": One(
        "MatMulBnb4",
        "x w a",
        B * S * H * 64,
        H * 64,
        B * S * 64,
        TOKENS,
        (bytes_("w", H * 32), weight("a", H * 64 // 32)),
        {"K": H, "N": 64, "block_size": 32, "quant_type": 1},
    ),
    "MoE": One(
        "MoE",
        "x r u - d",
        B * S * 2 * (2 * H * 64),
        4 * 2 * H * 64,
        B * S * H,
        {"x": (B * S, H), "r": (B * S, 4)},
        (weight("u", 4, 64, H), weight("d", 4, H, 64)),
        {"k": 2, "activation_type": "relu"},
    ),
    **{
        f"QMoE of {bits} bits": One(
            "QMoE",
            "x r u a - d b",
            B * S * 2 * (2 * H * 64),
            4 * 2 * H * 64,
            B * S * H,
            {"x": (B * S, H), "r": (B * S, 4)},
            (
                bytes_("u", 4, 64, H * bits // 8),
                weight("a", 4, 64, H // 16),  # a scale for each 16 numbers
                bytes_("d", 4, H, 64 * bits // 8),
                weight("b", 4, H, 64 // 16),
            ),
            {"k": 2, "activation_type": "relu", "expert_weight_bits": bits, "block_size": 16},
        )
        for bits in (2, 4, 8)
    },
    "QMoE with gates and biases": One(
        "QMoE",
        "x r u a v d b c g e f",
        B * S * 2 * (3 * H * 64),
        4 * (3 * H * 64 + 64 + H + 64),
        B * S * H,
        {"x": (B * S, H), "r": (B * S, 4)},
        (
            bytes_("u", 4, 64, H // 2),
            weight("a", 4, 64),
            weight("v", 4, 64),
            bytes_("d", 4, H, 32),
            weight("b", 4, H),
            weight("c", 4, H),
            bytes_("g", 4, 64, H // 2),
            weight("e", 4, 64),
            weight("f", 4, 64),
        ),
        {"k": 2, "activation_type": "silu"},
    ),
    "a linear classifier": One(
        "LinearClassifier",
        "x",
        4 * 3 * 16,
        3 * 16 + 3,
        4 * 3,
        {"x": (4, 16)},
        attributes={
            "coefficients": [0.5] * 48,
            "intercepts": [0.1] * 3,
            "classlabels_ints": [0, 1, 2],
        },
        outputs="label scores",
        shown="scores",
        domain="ai.onnx.ml",
    ),
}


@pytest.mark.parametrize("name", ONES)
def test_an_operator_of_the_runtime(name: str) -> None:
    one = ONES[name]
    profile = one.profile()
    assert profile.coverage.uncounted == {}
    assert (profile.totals.macs, profile.totals.params) == (one.macs, one.params)
    made = {layer.name: layer for layer in profile.layers}[profile.outputs[0]]
    elements = made.out_features * made.output_elements_per_feature
    assert elements == one.output


def test_tables_of_few_bits() -> None:
    nodes = [
        node("GatherBlockQuantized", "t ids s z", "e", domain="com.microsoft", block_size=16),
        node("MatMul", "e w", "y"),
    ]
    held = [bytes_("t", 100, 16), weight("s", 100, 2), bytes_("z", 100, 1), weight("w", 32, 8)]
    data = file(nodes, {"ids": (1, 5)}, "y", held, element_type=7, domains=["com.microsoft"])
    profile = profiled(data)
    assert profile.totals.macs == 5 * 32 * 8
    assert profile.totals.params == 100 * 32 + 32 * 8
    assert profile.totals.param_bytes == 1_600 + 800 + 100 + 1_024


def test_the_filling_of_blocks_is_left_out() -> None:
    """20 of 32 outputs and 24 of 32 inputs are the network's."""
    blocks = np.zeros((2, 2, 9, 16, 16), dtype=np.float32)
    blocks[0, 0], blocks[0, 1, :, :8], blocks[1, 0, :, :, :4], blocks[1, 1, :, :8, :4] = 1, 1, 1, 1
    filters = onnx.numpy_helper.from_array(blocks.reshape(32, 32, 3, 3), "w")
    bias = np.zeros(32, dtype=np.float32)
    bias[:20] = 1
    nodes = [
        node("ReorderInput", "x", "r", domain="com.microsoft.nchwc"),
        node("Conv", "r w b", "c", domain="com.microsoft.nchwc", **CONV),
        node("ReorderOutput", "c", "y", domain="com.microsoft.nchwc", channels=20),
    ]
    held = [filters, onnx.numpy_helper.from_array(bias, "b")]
    profile = profiled(
        file(nodes, {"x": (1, 24, 8, 8)}, "y", held, domains=["com.microsoft.nchwc"])
    )
    assert profile.totals.macs == 64 * 20 * 24 * 9
    assert profile.totals.params == 20 * 24 * 9 + 20
    assert "20 channels that fill blocks up were left out" in profile.provenance.note
