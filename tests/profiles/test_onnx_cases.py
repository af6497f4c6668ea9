"""Small files that runtimes run, each for a kind that was refused or counted wrongly.

Work, parameters and bytes were worked out by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from planner.domain.model_profile import ModelProfile
from profiles.from_onnx import child
from tests.profiles.onnx_models import file, node, numbers, proto, weight

VENDOR = ["com.microsoft"]
UINT8, INT8, INT32 = np.uint8, np.int8, np.int32


def profiled(
    data: bytes, shapes: dict[str, tuple[int, ...]] | None = None, batch: int | None = None
) -> ModelProfile:
    request = {"name": "small", "input_shapes": shapes or {}, "batch": batch}
    return ModelProfile.model_validate(child.main(request, data))


def vendor(op_type: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return node(op_type, inputs, outputs, domain="com.microsoft", **attributes)


def scalar(name: str, value: float = 0.1, dtype: type = np.float32) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.array(value, dtype=dtype), name)


def few_bits(name: str, *shape: int) -> onnx.TensorProto:
    size = -(-int(np.prod(shape)) // 2)
    return helper.make_tensor(name, TensorProto.INT4, shape, b"\x11" * size, raw=True)


@dataclass(frozen=True)
class Case:
    build: Callable[[], bytes]
    macs: int
    params: int
    param_bytes: int | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    batch: int | None = None
    says: str = ""  # in the profile's note
    uncounted: dict[str, int] = field(default_factory=dict)


def external_data() -> bytes:
    model = proto(
        [node("Conv", "x w", "c", pads=[1] * 4), node("Relu", "c", "y")],
        {"x": (1, 3, 32, 32)},
        "y",
        [weight("w", 64, 3, 3, 3)],
    )
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../else/where.data"), ("offset", "64"), ("length", "6912")):
        tensor.external_data.add(key=key, value=value)
    return bytes(model.SerializeToString())


def out_of_order() -> bytes:
    nodes = [node("MatMul", "h w2", "y"), node("Relu", "m", "h"), node("MatMul", "x w1", "m")]
    return file(nodes, {"x": (1, 16)}, "y", [weight("w1", 16, 32), weight("w2", 32, 4)])


def nameless() -> bytes:
    model = proto([node("MatMul", "x w", "y")], {"x": (1, 4)}, "y", [weight("w", 4, 3)])
    model.graph.name = ""
    return bytes(model.SerializeToString())


def without_operator_sets() -> bytes:
    nodes = [node("ReduceMean", "x", "m", axes=[1]), vendor("FusedMatMul", "m w", "y", transB=1)]
    model = proto(nodes, {"x": (1, 4)}, "y", [weight("w", 3, 1)])
    del model.opset_import[:]
    return bytes(model.SerializeToString())


def untyped_output() -> bytes:
    model = proto([node("MatMul", "x w", "y")], {"x": (1, 4)}, "y", [weight("w", 4, 3)])
    model.graph.output[0].ClearField("type")
    return bytes(model.SerializeToString())


def shapeless_output() -> bytes:
    model = proto([node("MatMul", "x w", "y")], {"x": (1, 4)}, "y", [weight("w", 4, 3)])
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString())


def packed_product() -> bytes:
    product = vendor("MatMulNBits", "x B s z", "y", K=64, N=48, bits=4, block_size=32)
    held = [weight("B", 48, 2, 16, dtype=UINT8), weight("s", 96), weight("z", 48, dtype=UINT8)]
    return file([product], {"x": (1, 5, 64)}, "y", held, domains=VENDOR)


def blocks_of_four_bits() -> bytes:
    nodes = [
        node("DequantizeLinear", "w s z", "d", axis=0, block_size=32),
        node("MatMul", "x d", "y"),
    ]
    held = [few_bits("w", 64, 48), weight("s", 2, 48), few_bits("z", 2, 48)]
    model = proto(nodes, {"x": (1, 5, 64)}, "y", held, opset=21)
    model.ir_version = 10
    return bytes(model.SerializeToString())


def cached_groups() -> bytes:
    tensor = helper.make_tensor_value_info
    attention = vendor(
        "GroupQueryAttention", "q k v pk pv sl tl", "y nk nv", num_heads=4, kv_num_heads=2
    )
    sizes = {"q": (1, 3, 32), "k": (1, 3, 16), "v": (1, 3, 16)}
    sizes |= dict.fromkeys(("pk", "pv"), (1, 2, 6, 8))
    graph = helper.make_graph(
        [attention],
        "g",
        [
            *(tensor(name, TensorProto.FLOAT, shape) for name, shape in sizes.items()),
            tensor("sl", TensorProto.INT32, [1]),
            tensor("tl", TensorProto.INT32, []),
        ],
        [tensor(name, TensorProto.FLOAT, ["any"]) for name in ("y", "nk", "nv")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())


def fused_conv() -> bytes:
    nodes = [
        vendor("FusedConv", "x w b", "c", activation="Relu", kernel_shape=[3, 3], pads=[1] * 4),
        node("MaxPool", "c", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    held = [weight("w", 8, 3, 3, 3), weight("b", 8)]
    return file(nodes, {"x": (1, 3, 8, 8)}, "y", held, domains=VENDOR)


def quantised_gemm() -> bytes:
    held = [scalar("s"), scalar("z", 128, UINT8), weight("w", 10, 12, dtype=UINT8)]
    held += [weight("b", 10, dtype=INT32)]
    nodes = [vendor("QGemm", "x s z w s z b s z", "y", transB=1)]
    types = {"element_type": TensorProto.UINT8, "output_type": TensorProto.UINT8}
    return file(nodes, {"x": (2, 12)}, "y", held, domains=VENDOR, **types)


def quantised_operators() -> bytes:
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("QLinearConv", "q s z w s z s z b", "c", pads=[1] * 4),
        node("QLinearConv", "q s z w2 s z s z", "c2", pads=[0] * 4),
        vendor("QLinearConcat", "s z c s z c2 s z", "k", axis=1),
        vendor("QLinearGlobalAveragePool", "k s z s z", "p", channels_last=0),
        node("Flatten", "p", "f"),
        vendor("QGemm", "f s z wg s z bg s z", "g", transB=1),
        node("DequantizeLinear", "g s z", "y"),
    ]
    held = [scalar("s"), scalar("z", 128, UINT8), weight("b", 8, dtype=INT32)]
    held += [weight("w", 8, 3, 3, 3, dtype=UINT8), weight("w2", 4, 3, 1, 1, dtype=UINT8)]
    held += [weight("wg", 10, 12, dtype=UINT8), weight("bg", 10, dtype=INT32)]
    return file(nodes, {"x": (1, 3, 8, 8)}, "y", held, domains=VENDOR)


def encoder() -> bytes:
    sizes = {"we": (100, 32), "pe": (50, 32), "se": (2, 32), "wqkv": (32, 96), "bqkv": (96,)}
    sizes |= {"wo": (32, 32), "w1": (32, 64), "b1": (64,), "w2": (64, 32)}
    sizes |= dict.fromkeys(("g", "b", "bo", "g2", "b2", "bo2"), (32,))
    nodes = [
        vendor("EmbedLayerNormalization", "ids seg we pe se g b mask", "x mi"),
        vendor("Attention", "x wqkv bqkv mi", "a", num_heads=4),
        node("MatMul", "a wo", "o"),
        vendor("SkipLayerNormalization", "o x g b bo", "n"),
        node("MatMul", "n w1", "m"),
        vendor("FastGelu", "m b1", "f"),
        node("MatMul", "f w2", "m2"),
        vendor("SkipLayerNormalization", "m2 n g2 b2 bo2", "y"),
    ]
    inputs = {name: ("batch", "seq") for name in ("ids", "seg", "mask")}
    held = [weight(name, *shape) for name, shape in sizes.items()]
    return file(nodes, inputs, "y", held, domains=VENDOR, element_type=TensorProto.INT32)


def sequence() -> bytes:
    nodes = [
        node("SplitToSequence", "x sizes", "q", axis=1, keepdims=1),
        node("SequenceAt", "q zero", "a"),
        node("SequenceAt", "q one", "b"),
        node("MatMul", "a w", "ya"),
        node("MatMul", "b w", "yb"),
        node("Add", "ya yb", "y"),
    ]
    held = [numbers("sizes", [4, 4]), numbers("zero", 0), numbers("one", 1), weight("w", 16, 5)]
    return file(nodes, {"x": (2, 8, 16)}, "y", held)


def sequence_output() -> bytes:
    nodes = [
        node("MatMul", "x w", "a"),
        node("SequenceConstruct", "a x", "q"),
        node("SequenceInsert", "q a", "s"),
    ]
    model = proto(nodes, {"x": (2, 16)}, "s", [weight("w", 16, 5)])
    model.graph.output[0].CopyFrom(
        helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    )
    return bytes(model.SerializeToString())


def optional_output() -> bytes:
    nodes = [
        node("MatMul", "x w", "a"),
        node("Optional", "a", "o"),
        node("OptionalGetElement", "o", "y"),
    ]
    return file(nodes, {"x": (2, 16)}, "y", [weight("w", 16, 5)])


def labels_and_maps() -> bytes:
    ml = "ai.onnx.ml"
    nodes = [
        node("Cast", "x", "xc", to=1),
        node("MatMul", "xc w1", "m1"),
        node("Add", "m1 b1", "a1"),
        node("Relu", "a1", "r1"),
        node("MatMul", "r1 w2", "m2"),
        node("Add", "m2 b2", "a2"),
        node("Softmax", "a2", "p", axis=1),
        node("ArgMax", "p", "am", axis=1),
        node("ArrayFeatureExtractor", "classes am", "lab", domain=ml),
        node("Reshape", "lab shape", "label"),
        node("ZipMap", "p", "probs", domain=ml, classlabels_int64s=[0, 1, 2]),
    ]
    held = [weight("w1", 4, 100), weight("b1", 100), weight("w2", 100, 3), weight("b2", 3)]
    held += [numbers("classes", [0, 1, 2]), numbers("shape", [-1])]
    model = proto(nodes, {"x": (None, 4)}, "label probs", held, domains=[ml])
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    scores = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    model.graph.output[1].type.CopyFrom(helper.make_sequence_type_proto(scores))
    return bytes(model.SerializeToString())


def unknown_between() -> bytes:
    nodes = [
        node("MatMul", "x w1", "v"),
        node("Own", "v", "m", domain="own"),
        node("MatMul", "m w2", "y"),
    ]
    held = [weight("w1", 16, 16), weight("w2", 16, 16)]
    model = proto(nodes, {"x": (1, 20, 16)}, "y", held, domains=["own"])
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5, 16))
    )
    return bytes(model.SerializeToString())


def unknown_before_all_else() -> bytes:
    """What is behind the unknown operator is not counted, what is beside it is."""
    nodes = [
        node("MatMul", "x w1", "v"),
        node("Own", "v", "m", domain="own"),
        node("MatMul", "m w2", "a"),
        node("MatMul", "v w2", "b"),
    ]
    held = [weight("w1", 16, 16), weight("w2", 16, 16)]
    return file(nodes, {"x": (1, 20, 16)}, "a b", held, domains=["own"])


def empty_cache() -> bytes:
    nodes = [
        node("MatMul", "x wk", "k"),
        node("Concat", "past k", "kk", axis=1),
        node("Transpose", "kk", "kt", perm=[0, 2, 1]),
        node("MatMul", "x kt", "y"),
    ]
    inputs = {"x": ("b", "s", 8), "past": ("b", "p", 8)}
    return file(nodes, inputs, "y", [weight("wk", 8, 8)])


def one_weight_for_two() -> bytes:
    nodes = [node("Conv", f"{x} w b", f"y{x}", pads=[1] * 4) for x in "ap"]
    held = [weight("w", 8, 8, 3, 3), weight("b", 8)]
    return file(nodes, {"a": (1, 8, 16, 16), "p": (1, 8, 8, 8)}, "ya yp", held)


def tied() -> bytes:
    nodes = [
        node("Gather", "E ids", "x"),
        node("MatMul", "x w", "h"),
        node("Transpose", "E", "Et", perm=[1, 0]),
        node("MatMul", "h Et", "y"),
    ]
    held = [weight("E", 100, 16), weight("w", 16, 16)]
    return file(nodes, {"ids": (1, 6)}, "y", held, element_type=TensorProto.INT64)


def three_operands() -> bytes:
    nodes = [node("Einsum", "x a b", "y", equation="nc,cr,rd->nd")]
    return file(nodes, {"x": (6, 16)}, "y", [weight("a", 16, 4), weight("b", 4, 20)])


def time_first() -> bytes:
    nodes = [
        node("LSTM", "x W R B - h0 c0", "Y Yh Yc", direction="bidirectional", hidden_size=20),
        node("Transpose", "Y", "t", perm=[0, 2, 1, 3]),
        node("Reshape", "t sh", "r"),
        node("MatMul", "r w", "o"),
    ]
    held = [weight("W", 2, 80, 10), weight("R", 2, 80, 20), weight("B", 2, 160)]
    held += [weight("w", 40, 5), numbers("sh", [0, 0, 40])]
    states = dict.fromkeys(("h0", "c0"), (2, "B", 20))
    return file(nodes, {"x": ("T", "B", 10), **states}, "o Yh", held)


def unread() -> bytes:
    nodes = [node("MatMul", "x w", "y"), node("MatMul", "x w2", "dead")]
    return file(nodes, {"x": (1, 4)}, "y", [weight("w", 4, 3), weight("w2", 4, 30)])


def mute() -> bytes:
    """Of a domain that nobody knows, so that no checker asks for an output."""
    nodes = [node("MatMul", "x w", "y"), node("Silent", "x", "-", domain="own", name="silent")]
    nodes[1].ClearField("output")
    return file(nodes, {"x": (1, 4)}, "y", [weight("w", 4, 3)], domains=["own"])


def made_filters() -> bytes:
    nodes = [node("Conv", "z w", "k"), node("Conv", "x k", "y")]
    inputs = {"x": (1, 16, 22, 22), "z": (1, 3, 6, 6)}
    return file(nodes, inputs, "y", [weight("w", 16, 3, 3, 3)])


def low_rank() -> bytes:
    nodes = [
        node("MatMul", "a b", "w"),
        node("MatMul", "x w", "h"),
        node("Transpose", "w", "turned"),
        node("MatMul", "h turned", "y"),
    ]
    return file(nodes, {"x": (2, 16)}, "y", [weight("a", 16, 4), weight("b", 4, 16)])


def weight_norm() -> bytes:
    nodes = [
        node("ReduceL2", "v axes", "n", keepdims=1),
        node("Div", "v n", "d"),
        node("Mul", "d g", "w"),
        node("Conv", "x w", "y"),
    ]
    held = [weight("v", 8, 3, 3, 3), weight("g", 8, 1, 1, 1), numbers("axes", [1, 2, 3])]
    return file(nodes, {"x": (1, 3, 8, 8)}, "y", held)


def old_norm() -> bytes:
    """The optimiser writes operators that the file's operator set does not have yet."""
    nodes = [
        node("MatMul", "x w", "a"),
        node("LayerNormalization", "a g b", "n", axis=-1),
        node("SimplifiedLayerNormalization", "n g", "y", axis=-1),
    ]
    held = [weight("w", 16, 8), weight("g", 8), weight("b", 8)]
    return file(nodes, {"x": (1, 16)}, "y", held, opset=12)


def function_out_of_order() -> bytes:
    body = [node("Relu", "m", "b"), node("MatMul", "a w", "m"), node("MatMul", "m w", "dead")]
    opsets = [helper.make_opsetid("", 18)]
    function = helper.make_function("own", "F", ["a", "w"], ["b"], body, opsets)
    call = node("F", "x w", "y", domain="own")
    held = [weight("w", 16, 16)]
    return file([call], {"x": (2, 16)}, "y", held, domains=["own"], functions=[function])


CASES = {
    "weights in another file": Case(external_data, 1_769_472, 1_728, 6_912, says="not read"),
    "nodes out of order": Case(out_of_order, 640, 640, says="put in order"),
    "a function out of order": Case(function_out_of_order, 512, 256, says="put in order"),
    "no name": Case(nameless, 12, 12, says="no name"),
    "no operator sets": Case(
        without_operator_sets, 3, 3, says="assumed: ai.onnx 17, com.microsoft 1"
    ),
    "an output without a type": Case(untyped_output, 12, 12, says="no type"),
    "an output without a shape": Case(shapeless_output, 12, 12, says="no shape"),
    "MatMulNBits": Case(packed_product, 15_360, 3_072, 1_968),
    "4 bits": Case(blocks_of_four_bits, 15_360, 3_072, 1_968),
    "GroupQueryAttention": Case(cached_groups, 1_728, 0),
    "FusedConv": Case(fused_conv, 13_824, 224),
    "QGemm": Case(quantised_gemm, 240, 130, 160),
    "quantised operators": Case(quantised_operators, 14_712, 366),
    "BERT, optimised": Case(
        encoder, 176_640, 13_408, shapes=dict.fromkeys(("ids", "seg", "mask"), (2, 10))
    ),
    "a sequence": Case(sequence, 1_280, 80),
    "a sequence as output": Case(sequence_output, 160, 80),
    "an optional": Case(optional_output, 160, 80),
    "labels and maps": Case(labels_and_maps, 700, 803, batch=1),
    "an unknown operator": Case(unknown_between, 6_400, 512, uncounted={"own.Own": 1}),
    "behind an unknown operator": Case(
        unknown_before_all_else,
        2 * 5_120,
        512,
        2_048,
        uncounted={"own.Own (size not known)": 1, "MatMul (size not known)": 1},
        says="sizes of 2 tensors are not known",
    ),
    "an empty cache": Case(
        empty_cache, 384, 64, shapes={"x": (1, 4, 8), "past": (1, 0, 8)}, says="'past' is empty"
    ),
    "one weight for two": Case(one_weight_for_two, 184_320, 584, 2_336),
    "tied": Case(tied, 11_136, 1_856, 7_424),
    "three operands": Case(three_operands, 864, 144, 576),
    "time first": Case(time_first, 105_000, 5_320, shapes={"x": (7, 1, 10)}, batch=3),
    "unread": Case(unread, 12, 12, says="nobody reads are left out ('dead')"),
    "nothing made": Case(mute, 12, 12, says="nobody reads are left out ('silent')"),
    "made filters": Case(made_filters, 99_328, 432),
    "low rank": Case(
        low_rank, 1_024 + 1_024, 128, 512, says="1,024 MACs of 1 products of weights alone"
    ),
    "weight norm": Case(weight_norm, 7_776, 224, 896),
    "operators of a later set": Case(old_norm, 128, 144, says="set 12 has no LayerNorm"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_runtimes_run_is_counted(name: str) -> None:
    case = CASES[name]
    found = profiled(case.build(), case.shapes, case.batch)
    assert (found.totals.macs, found.totals.params) == (case.macs, case.params)
    if case.param_bytes is not None:
        assert found.totals.param_bytes == case.param_bytes
    assert case.says in found.provenance.note
    assert found.coverage.uncounted == case.uncounted


def test_a_file_that_needs_nothing_is_not_repaired() -> None:
    plain = proto([node("MatMul", "x w", "y")], {"x": (1, 4)}, "y", [weight("w", 4, 3)])
    assert profiled(plain.SerializeToString()).provenance.note == ""


def test_a_shared_weight_shrinks_at_every_use() -> None:
    first, second = profiled(one_weight_for_two()).layers
    assert (first.params, second.params) == (584, 0)
    assert first.mixing_weight_bytes == second.mixing_weight_bytes == 4 * 576
    assert second.shared_bytes == {first.name: 4 * 584}


def test_a_circle_is_refused() -> None:
    nodes = [node("Add", "x b", "a"), node("Relu", "a", "b")]
    with pytest.raises(child.BadInputError, match="topologically sorted"):
        profiled(file(nodes, {"x": (1, 4)}, "b"))


def test_a_batch_that_cannot_be_found_is_said() -> None:
    nodes = [
        node("Reshape", "x sh", "r"),
        node("LSTM", "r W R", "Y", hidden_size=20),
    ]
    held = [weight("W", 1, 80, 10), weight("R", 1, 80, 20), numbers("sh", [7, -1, 10])]
    data = file(nodes, {"x": (7, 10)}, "Y", held)
    assert profiled(data).totals.macs == 7 * 2_400
    with pytest.raises(child.BadInputError, match="which dimension of input 'x' is the batch"):
        profiled(data, batch=2)


BATCHED: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "first": ([node("Relu", "x", "y")], {"x": (1, 8, 4)}, {"x": (5, 8, 4)}),
    "named": ([node("Relu", "x", "y")], {"x": (8, "batch", 4)}, {"x": (8, 5, 4)}),
    "through a transpose": (
        [node("Transpose", "x", "t", perm=[1, 0, 2]), node("GRU", "t W R", "y", hidden_size=2)],
        {"x": (1, 8, 4)},
        {"x": (5, 8, 4)},
    ),
    "time first": (
        [node("GRU", "x W R", "y", hidden_size=2)],
        {"x": (8, 1, 4)},
        {"x": (8, 5, 4)},
    ),
    "a state of another size": (
        [node("ReduceSum", "state", "s", keepdims=0), node("Add", "x s", "y")],
        {"x": (1, 8), "state": (2, 1, 4)},
        {"x": (5, 8), "state": (2, 5, 4)},
    ),
}


@pytest.mark.parametrize("name", BATCHED)
def test_where_the_batch_lies(name: str) -> None:
    nodes, inputs, wanted = BATCHED[name]
    data = file(nodes, inputs, "y", [weight("W", 1, 6, 4), weight("R", 1, 6, 2)])
    found = profiled(data, batch=5)
    assert {spec.name: spec.shape for spec in found.inputs} == wanted
