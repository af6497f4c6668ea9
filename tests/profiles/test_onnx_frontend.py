from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from transformers import (
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.from_onnx import child as onnx_child
from profiles.from_onnx.frontend import profile_onnx
from profiles.from_torch.frontend import profile_module
from tests.profiles.onnx_models import file, node, numbers, proto, small_net, weight

LIGHT_MODELS = Path(onnx.__file__).parent / "backend/test/data/light"
IMAGE = (1, 3, 224, 224)


def profiled(
    data: bytes, input_shapes: dict[str, tuple[int, ...]] | None = None, batch: int | None = None
) -> ModelProfile:
    """What the child does, without the child: the same code, faster."""
    request = {"name": "small", "input_shapes": input_shapes or {}, "batch": batch}
    return ModelProfile.model_validate(onnx_child.main(request, data))


def by_name(profile: ModelProfile) -> dict[str, LayerProfile]:
    return {layer.name: layer for layer in profile.layers}


def counted(profile: ModelProfile) -> list[LayerProfile]:
    return [layer for layer in profile.layers if layer.macs]


# Whole models, exported by torch


class Logits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Any:
        return self.model(image).logits


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        if name == "resnet50":
            model = ResNetForImageClassification(ResNetConfig(num_labels=1000))
        else:
            config = MobileNetV2Config(num_labels=1000, tf_padding=False)
            model = MobileNetV2ForImageClassification(config)
    return Logits(model).eval()


def exported(module: nn.Module) -> bytes:
    module = module.to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():  # the exporter would store tensors of equal values once
            tensor.data.uniform_(1, 2)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, on Python code in the model
        torch.onnx.export(
            module,
            (torch.zeros(IMAGE),),
            buffer,
            dynamo=False,
            input_names=["image"],
        )
    return buffer.getvalue()


@pytest.fixture(scope="session", params=["resnet50", "mobilenetv2"])
def exported_model(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    return request.param, exported(on_meta(request.param))


def test_an_exported_network_has_the_module_s_layers(exported_model: tuple[str, bytes]) -> None:
    name, data = exported_model
    ours = profile_onnx(data, name=name, source=f"/some/folder/{name}.onnx")
    theirs = profile_module(on_meta(name), {"image": IMAGE}, name=name, witness=False)

    def facts(layer: LayerProfile) -> tuple[Any, ...]:
        return (
            layer.op,
            layer.feature_flow,
            layer.macs,
            layer.in_features,
            layer.out_features,
            layer.elements_per_feature,
            layer.output_elements_per_feature,
            layer.weight_params,
            layer.groups,
        )

    assert [facts(layer) for layer in counted(ours)] == [facts(layer) for layer in counted(theirs)]
    assert ours.totals.macs == theirs.totals.macs
    assert ours.coverage.uncounted == {}
    if name == "resnet50":
        assert ours.totals.macs == 4_089_184_256
        assert len(counted(ours)) == 54
    assert ours.inputs == theirs.inputs
    assert ours.provenance.source == f"{name}.onnx"
    assert ours.provenance.sha256 == hashlib.sha256(data).hexdigest()
    assert ours.provenance.tools["onnx"] == onnx.__version__
    assert ours.provenance.tools["producer"].startswith("pytorch")
    assert int(ours.provenance.tools["opset"]) >= 13


def test_residual_connections_are_edges(exported_model: tuple[str, bytes]) -> None:
    name, data = exported_model
    profile = profile_onnx(data, name=name, source="m.onnx")
    adds = [layer for layer in profile.layers if layer.op == "add"]
    assert len(adds) == {"resnet50": 16, "mobilenetv2": 10}[name]
    assert all(len(set(layer.inputs)) == 2 for layer in adds)


# The models inside the onnx package: operator sets of 2018, weights made by ConstantOfShape.
# Parameters as published for AlexNet (CaffeNet's variant), VGG-19, ResNet-50 and SqueezeNet 1.1.
LIGHT = {
    "bvlc_alexnet": (8, 60_965_224),
    "densenet121": (121, None),
    "inception_v1": (58, None),
    "inception_v2": (70, None),
    "resnet50": (54, 25_557_032),
    "shufflenet": (50, None),
    "squeezenet": (26, 1_235_496),
    "vgg19": (19, 143_667_240),
    "zfnet512": (8, None),
}


@pytest.mark.parametrize("name", LIGHT)
def test_light_models(name: str) -> None:
    path = LIGHT_MODELS / f"light_{name}.onnx"
    profile = profile_onnx(path.read_bytes(), name=name, source=path.name)
    ops = [n.op_type for n in onnx.load(path).graph.node]
    layers, params = LIGHT[name]
    assert len(counted(profile)) == layers
    assert layers == sum(ops.count(op) for op in ("Conv", "Gemm", "MatMul"))
    assert profile.coverage.uncounted == {}
    assert all(layer.params > 0 for layer in counted(profile))
    assert params is None or profile.totals.params == params
    if name == "resnet50":
        assert profile.totals.macs == 4_089_184_256


def test_every_light_model_is_tested() -> None:
    assert {path.stem for path in LIGHT_MODELS.glob("*.onnx")} == {f"light_{n}" for n in LIGHT}


# Single operators: (node, input shape, weights, MACs, parameters, op, flow)

ONE_LAYER: dict[str, tuple[Any, ...]] = {
    "conv": (
        node("Conv", "x w b", "y", pads=[1, 1, 1, 1]),
        (1, 8, 10, 11),
        [weight("w", 12, 8, 3, 3), weight("b", 12)],
        12 * 10 * 11 * 8 * 9,
        12 * 8 * 9 + 12,
        "conv",
        "mixing",
    ),
    "strided conv": (
        node("Conv", "x w", "y", strides=[2, 2]),
        (1, 8, 11, 11),
        [weight("w", 12, 8, 3, 3)],
        12 * 5 * 5 * 8 * 9,
        12 * 8 * 9,
        "conv",
        "mixing",
    ),
    "same-padded conv": (
        node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2]),
        (1, 8, 11, 11),
        [weight("w", 12, 8, 3, 3)],
        12 * 6 * 6 * 8 * 9,
        12 * 8 * 9,
        "conv",
        "mixing",
    ),
    "grouped conv": (
        node("Conv", "x w", "y", group=4),
        (1, 8, 10, 10),
        [weight("w", 12, 2, 3, 3)],
        12 * 8 * 8 * 2 * 9,
        12 * 2 * 9,
        "conv",
        "grouped",
    ),
    "depthwise conv": (
        node("Conv", "x w", "y", group=8),
        (1, 8, 10, 10),
        [weight("w", 8, 1, 3, 3)],
        8 * 8 * 8 * 9,
        8 * 9,
        "conv",
        "local",
    ),
    "1-d conv": (
        node("Conv", "x w", "y"),
        (2, 8, 10),
        [weight("w", 12, 8, 3)],
        2 * 12 * 8 * 8 * 3,
        12 * 8 * 3,
        "conv",
        "mixing",
    ),
    "transposed conv": (
        node("ConvTranspose", "x w b", "y", strides=[2, 2]),
        (1, 8, 5, 5),
        [weight("w", 8, 12, 2, 2), weight("b", 12)],
        8 * 5 * 5 * 12 * 4,
        8 * 12 * 4 + 12,
        "conv_transpose",
        "mixing",
    ),
    "transposed conv in groups": (
        node("ConvTranspose", "x w", "y", group=2),
        (1, 8, 5, 5),
        [weight("w", 8, 6, 2, 2)],
        8 * 5 * 5 * 6 * 4,
        8 * 6 * 4,
        "conv_transpose",
        "grouped",
    ),
    "gemm": (
        node("Gemm", "x w b", "y"),
        (2, 16),
        [weight("w", 16, 10), weight("b", 10)],
        2 * 16 * 10,
        16 * 10 + 10,
        "linear",
        "mixing",
    ),
    "gemm, weight transposed": (
        node("Gemm", "x w b", "y", transB=1),
        (2, 16),
        [weight("w", 10, 16), weight("b", 10)],
        2 * 16 * 10,
        16 * 10 + 10,
        "linear",
        "mixing",
    ),
    "matmul": (
        node("MatMul", "x w", "y"),
        (2, 5, 16),
        [weight("w", 16, 10)],
        2 * 5 * 16 * 10,
        16 * 10,
        "linear",
        "mixing",
    ),
    "matmul of vectors": (
        node("MatMul", "x w", "y"),
        (7, 16),
        [weight("w", 16, 10)],
        7 * 16 * 10,
        16 * 10,
        "linear",
        "mixing",
    ),
    "matmul with a row of weights": (
        node("MatMul", "x w", "y"),
        (7, 16),
        [weight("w", 16)],
        7 * 16,
        16,
        "matmul",
        "one-node",
    ),
    "matmul with a weight per matrix": (
        node("MatMul", "x w", "y"),
        (3, 7, 16),
        [weight("w", 3, 16, 10)],
        3 * 7 * 16 * 10,
        3 * 16 * 10,
        "matmul",
        "one-node",
    ),
    "batch norm": (
        node("BatchNormalization", "x s b m v", "y"),
        (1, 8, 5, 5),
        [weight(name, 8) for name in "sbmv"],
        0,
        2 * 8,
        "batch_norm",
        "local",
    ),
    "layer norm": (
        node("LayerNormalization", "x s b", "y", axis=-1),
        (4, 16),
        [weight("s", 16), weight("b", 16)],
        0,
        2 * 16,
        "layer_norm",
        "local",
    ),
    "instance norm": (
        node("InstanceNormalization", "x s b", "y"),
        (1, 8, 5, 5),
        [weight("s", 8), weight("b", 8)],
        0,
        2 * 8,
        "instance_norm",
        "local",
    ),
    "lrn": (node("LRN", "x", "y", size=5), (1, 8, 5, 5), [], 0, 0, "lrn", "local"),
    "prelu": (
        node("PRelu", "x w", "y"),
        (1, 8, 5, 5),
        [weight("w", 8, 1, 1)],
        0,
        8,
        "prelu",
        "local",
    ),
    "layer scale": (
        node("Mul", "x w", "y"),
        (1, 8, 5, 5),
        [weight("w", 8, 1, 1)],
        0,
        8,
        "mul",
        "local",
    ),
    "scaling by a number": (
        node("Mul", "x w", "y"),
        (1, 8, 5, 5),
        [weight("w", 1)],
        0,
        0,
        "mul",
        "local",
    ),
    "clip": (
        node("Clip", "x low", "y"),
        (1, 8, 5, 5),
        [onnx.numpy_helper.from_array(np.float32(0), "low")],
        0,
        0,
        "clip",
        "local",
    ),
    "max pool": (
        node("MaxPool", "x", "y", kernel_shape=[2, 2]),
        (1, 8, 6, 6),
        [],
        0,
        0,
        "max_pool",
        "local",
    ),
    "global pool": (
        node("GlobalAveragePool", "x", "y"),
        (1, 8, 6, 6),
        [],
        0,
        0,
        "global_average_pool",
        "local",
    ),
    "resize": (
        node("Resize", "x - s", "y"),
        (1, 8, 6, 6),
        [onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")],
        0,
        0,
        "resize",
        "local",
    ),
    "mean over the map": (
        node("ReduceMean", "x axes", "y", keepdims=0),
        (1, 8, 6, 6),
        [numbers("axes", [-1, -2])],
        0,
        0,
        "mean",
        "local",
    ),
    "mean over the features": (
        node("ReduceMean", "x axes", "y"),
        (1, 8, 6, 6),
        [numbers("axes", [1])],
        0,
        0,
        "mean",
        "reduce",
    ),
    "reversed features": (
        node("Slice", "x start end axis step", "y"),
        (1, 8, 6, 6),
        [
            numbers("start", [7]),
            numbers("end", [-9]),
            numbers("axis", [1]),
            numbers("step", [-1]),
        ],
        0,
        0,
        "slice",
        "one-node",
    ),
    "second half of the features": (
        node("Slice", "x start end axis", "y"),
        (1, 8, 6, 6),
        [numbers("start", [-4]), numbers("end", [99]), numbers("axis", [1])],
        0,
        0,
        "slice",
        "slice",
    ),
    "padding of the map": (
        node("Pad", "x pads", "y"),
        (1, 8, 6, 6),
        [numbers("pads", [0, 0, 1, 1, 0, 0, 1, 1])],
        0,
        0,
        "pad",
        "local",
    ),
    "padding of the features": (
        node("Pad", "x pads", "y"),
        (1, 8, 6, 6),
        [numbers("pads", [0, 1, 0, 0, 0, 1, 0, 0])],
        0,
        0,
        "pad",
        "one-node",
    ),
    "softmax over the features": (
        node("Softmax", "x", "y", axis=1),
        (1, 8, 6, 6),
        [],
        0,
        0,
        "softmax",
        "local",
    ),
}


@pytest.mark.parametrize("name", ONE_LAYER)
def test_one_layer(name: str) -> None:
    operator, shape, weights, macs, params, op, flow = ONE_LAYER[name]
    profile = profiled(file([operator], {"x": shape}, "y", weights))
    (layer,) = profile.layers
    assert layer.macs == macs
    assert layer.params == params
    assert (layer.op, layer.feature_flow) == (op, flow)
    assert layer.inputs == ("x",)
    known = profile.coverage.counted if macs else profile.coverage.free
    assert known == {operator.op_type: 1}
    assert profile.coverage.uncounted == {}


def test_what_a_layer_stores() -> None:
    statistics = [weight(name, 8) for name in "sbmv"]
    operator = ONE_LAYER["batch norm"][0]
    (layer,) = profiled(file([operator], {"x": (1, 8, 5, 5)}, "y", statistics)).layers
    assert layer.params == 2 * 8
    assert layer.param_bytes == 4 * 8 * 4  # the running mean and variance too, float32
    (half,) = profiled(
        file(
            [node("Conv", "x w", "y")],
            {"x": (1, 8, 5, 5)},
            "y",
            [weight("w", 4, 8, 1, 1, dtype=np.float16)],
            element_type=TensorProto.FLOAT16,
            output_type=TensorProto.FLOAT16,
        )
    ).layers
    assert half.param_bytes == 2 * half.params == 2 * 32
    assert half.input_bytes == 2 * 8 * 25


def test_slices_of_a_split_start_where_the_one_before_ends() -> None:
    data = file(
        [
            node("Split", "x sizes", "a b c", axis=1, name="cut"),
            node("Concat", "c a", "y", axis=1, name="join"),
        ],
        {"x": (1, 8, 5, 5)},
        "y",
        [numbers("sizes", [3, 1, 4])],
    )
    layers = by_name(profiled(data))
    slices = [layers[f"cut:{index}"] for index in range(3)]
    assert [layer.feature_start for layer in slices] == [0, 3, 4]
    assert [layer.out_features for layer in slices] == [3, 1, 4]
    assert {layer.feature_flow for layer in slices} == {"slice"}
    assert layers["join"].inputs == ("cut:2", "cut:0")
    assert layers["join"].feature_flow == "concat"
    assert layers["join"].out_features == 7


def test_concat_of_branches_of_unlike_width() -> None:
    data = file(
        [
            node("Conv", "x w1", "a", name="left"),
            node("Conv", "x w2", "b", name="right"),
            node("Concat", "a b", "c", axis=1, name="join"),
            node("Conv", "c w3", "y", name="last"),
        ],
        {"x": (1, 3, 7, 7)},
        "y",
        [weight("w1", 4, 3, 1, 1), weight("w2", 7, 3, 1, 1), weight("w3", 5, 11, 1, 1)],
    )
    layers = by_name(profiled(data))
    assert layers["join"].out_features == 4 + 7
    assert layers["last"].in_features == 11
    assert layers["last"].macs == 5 * 49 * 11


def test_a_flattened_map_s_numbers_stay_with_their_channels() -> None:
    data = file(
        [
            node("Flatten", "x", "f", name="flat"),
            node("Gemm", "f w b", "y", transB=1, name="head"),
        ],
        {"x": (1, 8, 5, 5)},
        "y",
        [weight("w", 10, 200), weight("b", 10)],
    )
    layers = by_name(profiled(data))
    flat, head = layers["flat"], layers["head"]
    assert (flat.feature_flow, flat.in_features, flat.out_features) == ("local", 8, 200)
    assert (head.in_features, head.elements_per_feature, head.out_features) == (200, 1, 10)
    assert head.macs == 200 * 10
    assert head.weight_params == 2000


# Products with the weight on the left are linear layers between transposes.


def test_weight_times_activation() -> None:
    # A 1x1 convolution, written as W (12, 8) times x (1, 8, 25).
    data = file(
        [node("MatMul", "w x", "y", name="mix")], {"x": (1, 8, 25)}, "y", [weight("w", 12, 8)]
    )
    profile = profiled(data)
    (layer,) = counted(profile)
    assert (layer.op, layer.feature_flow) == ("linear", "mixing")
    assert (layer.in_features, layer.out_features) == (8, 12)
    assert layer.macs == 12 * 8 * 25
    assert layer.weight_params == layer.params == 12 * 8
    assert profile.outputs == ("mix",)
    assert by_name(profile)["mix"].out_features == 12
    assert profile.coverage.counted == {"MatMul": 1}
    assert profile.coverage.free == {"MatMul (transpose)": 2}


@pytest.mark.parametrize("turn_a", [0, 1])
@pytest.mark.parametrize("turn_b", [0, 1])
@pytest.mark.parametrize("weight_first", [False, True])
def test_gemm_in_every_orientation(turn_a: int, turn_b: int, weight_first: bool) -> None:
    left, right = [(5, 16), (16, 5)][turn_a], [(16, 9), (9, 16)][turn_b]
    operands = "w x b" if weight_first else "x w b"
    data = file(
        [node("Gemm", operands, "y", transA=turn_a, transB=turn_b)],
        {"x": right if weight_first else left},
        "y",
        [weight("w", *(left if weight_first else right)), weight("b", 5, 9)],
    )
    (layer,) = counted(profiled(data))
    assert layer.op == "linear"
    assert layer.macs == 5 * 16 * 9
    assert layer.params == 16 * (5 if weight_first else 9) + 5 * 9


def test_products_of_activations() -> None:
    shapes = {"a": (2, 6, 7, 16), "b": (2, 6, 16, 9)}
    (layer,) = profiled(file([node("MatMul", "a b", "y")], shapes, "y")).layers
    assert (layer.op, layer.params) == ("matmul", 0)
    assert layer.macs == 2 * 6 * 7 * 9 * 16
    assert layer.inputs == ("a", "b")
    flat = file(
        [node("Gemm", "a b c", "y", transA=1)], {"a": (16, 7), "b": (16, 9), "c": (9,)}, "y"
    )
    profile = profiled(flat)
    (layer,) = counted(profile)
    assert layer.macs == 7 * 9 * 16
    assert by_name(profile)["gemm_1"].inputs == ("gemm_1:product", "c")


def test_a_weight_that_does_not_fit_is_refused() -> None:
    data = file(
        [node("Conv", "x w", "y", name="c1")], {"x": (1, 3, 8, 8)}, "y", [weight("w", 4, 5, 3, 3)]
    )
    with pytest.raises(BadInputError, match=r"'c1'.*\(1, 3, 8, 8\).*\(4, 5, 3, 3\)"):
        profiled(data)


# Where weights come from


WEIGHT_SOURCES: dict[str, list[onnx.NodeProto]] = {
    "constant": [node("Constant", "", "w", value=weight("", 4, 3, 2, 2))],
    "constant of shape": [
        node("Constant", "", "s", value=numbers("", [4, 3, 2, 2])),
        node("ConstantOfShape", "s", "w"),
    ],
    "computed": [
        node("Constant", "", "raw", value=weight("", 2, 3, 2, 4)),
        node("Transpose", "raw", "turned", perm=[3, 1, 0, 2]),
        node("Identity", "turned", "w"),
    ],
    "quantised": [
        node("Constant", "", "raw", value=weight("", 4, 3, 2, 2, dtype=np.int8)),
        node("Constant", "", "scale", value=weight("", 4)),
        node("DequantizeLinear", "raw scale", "w", axis=0),
    ],
}


@pytest.mark.parametrize("source", WEIGHT_SOURCES)
def test_weights_that_are_no_initializers(source: str) -> None:
    data = file([*WEIGHT_SOURCES[source], node("Conv", "x w", "y")], {"x": (1, 3, 5, 5)}, "y")
    profile = profiled(data)
    (layer,) = profile.layers
    assert layer.macs == 4 * 4 * 4 * 3 * 4
    assert layer.params == 4 * 3 * 4
    assert layer.param_bytes == (48 + 4 * 4 if source == "quantised" else 48 * 4)
    assert profile.coverage.counted == {"Conv": 1}
    assert profile.coverage.free == {}


def test_a_shared_weight_counts_once_and_is_stored_by_both() -> None:
    data = file(
        [
            node("Transpose", "w", "turned"),
            node("MatMul", "x w", "a", name="first"),
            node("MatMul", "a turned", "y", name="second"),
        ],
        {"x": (2, 16)},
        "y",
        [weight("w", 16, 10)],
    )
    layers = by_name(profiled(data))
    assert [layers[n].params for n in ("first", "second")] == [160, 0]
    assert [layers[n].param_bytes for n in ("first", "second")] == [640, 640]


def test_embedding() -> None:
    data = file(
        [node("Gather", "table x", "e", name="look"), node("MatMul", "e w", "y")],
        {"x": (1, 12)},
        "y",
        [weight("table", 100, 16), weight("w", 16, 10)],
        element_type=TensorProto.INT64,
    )
    profile = profiled(data)
    look = by_name(profile)["look"]
    assert (look.op, look.macs, look.params) == ("embedding", 0, 1600)
    assert look.out_features == 16
    assert profile.totals.macs == 12 * 16 * 10


def test_a_class_token_is_put_before_the_others() -> None:
    data = file(
        [
            node("Concat", "token x", "t", axis=1, name="join"),
            node("Gather", "t first", "y", axis=1, name="pick"),
        ],
        {"x": (1, 9, 16)},
        "y",
        [weight("token", 1, 1, 16), numbers("first", 0)],
    )
    profile = profiled(data)
    layers = by_name(profile)
    assert layers["join"].inputs == ("x",)
    assert layers["join"].params == 16
    assert [layer.op for layer in profile.layers] == ["concat", "slice", "reshape"]
    assert profile.coverage.uncounted == {}


# Shapes


def dynamic_net() -> bytes:
    """x (N, 3, H, W): a convolution, then everything of a feature in one row."""
    return file(
        [
            node("Conv", "x w", "c"),
            node("Shape", "c", "s"),
            node("Gather", "s zero", "n"),
            node("Gather", "s one", "k"),
            node("Unsqueeze", "n axis", "n1"),
            node("Unsqueeze", "k axis", "k1"),
            node("Div", "k1 two", "half"),
            node("Mul", "half two", "whole"),
            node("Concat", "n1 whole minus", "to", axis=0),
            node("Reshape", "c to", "y", name="rows"),
        ],
        {"x": ["N", 3, "H", "W"]},
        "y",
        [
            weight("w", 4, 3, 3, 3),
            numbers("zero", 0),
            numbers("one", 1),
            numbers("axis", [0]),
            numbers("two", [2]),
            numbers("minus", [-1]),
        ],
        opset=13,
    )


def test_open_dimensions_need_a_shape() -> None:
    with pytest.raises(BadInputError) as caught:
        profiled(dynamic_net())
    message = str(caught.value)
    assert "'x'" in message
    assert "(N, 3, H, W)" in message
    assert "--input-shape x=1,3,224,224" in message


def test_shape_arithmetic_is_no_activation() -> None:
    profile = profiled(dynamic_net(), {"x": (1, 3, 8, 6)})
    assert [layer.op for layer in profile.layers] == ["conv", "reshape"]
    assert profile.layers[0].macs == 4 * 6 * 4 * 3 * 9
    rows = by_name(profile)["rows"]
    assert (rows.out_features, rows.output_elements_per_feature) == (4, 6 * 4)


def test_a_batch_is_enough_where_only_it_is_open() -> None:
    data = file([node("Conv", "x w", "y")], {"x": ["N", 3, 8, 8]}, "y", [weight("w", 4, 3, 3, 3)])
    assert profiled(data, batch=5).totals.macs == 5 * 4 * 36 * 27
    assert profiled(data, {"x": (2, 3, 9, 9)}, batch=5).totals.macs == 5 * 4 * 49 * 27


def test_a_named_dimension_has_one_size() -> None:
    data = file([node("Add", "a b", "y")], {"a": ["N", 16], "b": ["N", 16]}, "y")
    profile = profiled(data, {"a": (3, 16)})
    assert [spec.shape for spec in profile.inputs] == [(3, 16), (3, 16)]


def test_a_fixed_resolution_can_be_changed() -> None:
    data = file(
        [node("Conv", "x w", "c"), node("Relu", "c", "y")],
        {"x": [1, 3, 8, 8]},
        "y",
        [weight("w", 4, 3, 3, 3)],
        value_info={"c": [1, 4, 6, 6]},  # which is then no longer true
    )
    assert profiled(data).totals.macs == 4 * 36 * 27
    assert profiled(data, {"x": (1, 3, 16, 16)}).totals.macs == 4 * 196 * 27
    assert profiled(data, batch=7).totals.macs == 7 * 4 * 36 * 27


def fixed_head() -> bytes:
    return file(
        [node("Flatten", "x", "f"), node("Gemm", "f w", "y", name="head")],
        {"x": [1, 3, 8, 8]},
        "y",
        [weight("w", 192, 10)],
    )


BAD_SHAPES: dict[str, tuple[dict[str, tuple[int, ...]], int | None, str]] = {
    "no such input": ({"z": (1, 3, 8, 8)}, None, "'z'.*'x'"),
    "dimensions": ({"x": (3, 8, 8)}, None, r"\(3, 8, 8\).*4 dimensions.*\(1, 3, 8, 8\)"),
    "size 0": ({"x": (1, 3, 0, 8)}, None, r"do not fit.*192 and 0"),
    "batch 0": ({}, 0, "batch is 0.*at least 1"),
    "does not fit": ({"x": (1, 3, 9, 9)}, None, r"head.*(fit|Incompatible|243)"),
    "too large": ({"x": (1, 3, 2**30, 2**30)}, None, "1,099,511,627,776"),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_shapes_that_cannot_be(case: str) -> None:
    shapes, batch, says = BAD_SHAPES[case]
    with pytest.raises(BadInputError, match=says):
        profiled(fixed_head(), shapes, batch)


def test_only_what_inference_leaves_open_is_believed_to_the_file() -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("Custom", "c", "u", domain="vendor", name="special"),
        node("Relu", "u", "y"),
    ]
    options: Any = {"weights": [weight("w", 4, 3, 3, 3)], "domains": ["vendor"]}
    shapes = {"x": [1, 3, 8, 8]}
    beyond = {"vendor.Custom (size not known)": 1, "Relu (size not known)": 1}
    assert profiled(file(nodes, shapes, "y", **options)).coverage.uncounted == beyond
    lies = {"c": [1, 4, 1, 1], "u": [1, 4, 6, 6]}
    data = file(nodes, shapes, "y", value_info=lies, **options)
    profile = profiled(data)
    assert profile.totals.macs == 4 * 36 * 27
    assert profile.coverage.uncounted == {"vendor.Custom": 1}
    assert by_name(profile)["special"].feature_flow == "one-node"
    other = profiled(data, {"x": (1, 3, 16, 16)})  # of another resolution the file says nothing
    assert other.coverage.uncounted == beyond


# What is not understood is named


def test_opaque_operators_carry_their_weights() -> None:
    operator = node("Own", "x w r b", "y extra", domain="own", name="own")
    weights = [weight("w", 20, 4), weight("r", 20, 5), weight("b", 40)]
    shapes = {"y": (7, 5), "extra": (7, 2)}
    nodes = [operator, node("Relu", "y", "a"), node("Relu", "extra", "b2")]
    data = file(nodes, {"x": (7, 4)}, "a b2", weights, value_info=shapes, domains=["own"])
    profile = profiled(data)
    layers = by_name(profile)
    assert layers["own"].feature_flow == "one-node"
    assert layers["own"].params == 80 + 100 + 40
    assert layers["own:1"].inputs == ("own",)
    assert profile.coverage.uncounted == {"own.Own": 1, "own.Own (output 1)": 1}
    assert profile.coverage.covered_share == 0.5


def test_a_branch_has_its_own_weights_and_those_around_it() -> None:
    shape = [1, 3, 8, 8]
    bodies = []
    for name in ("yes", "no"):
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        inner = [node("Mul", "c scale", f"{name}_m"), node("Add", f"{name}_m own", name)]
        bodies.append(helper.make_graph(inner, name, [], [out], [weight("own", *shape)]))
    model = proto(
        [
            node("Relu", "x", "c", name="before"),
            node("ReduceMax", "c", "top", keepdims=0),
            node("Cast", "top", "choice", to=TensorProto.BOOL),
            node("If", "choice", "y", then_branch=bodies[0], else_branch=bodies[1], name="if"),
        ],
        {"x": shape},
        "y",
        [weight("scale", *shape)],
    )
    profile = profiled(model.SerializeToString())
    mul, add = (layer for layer in profile.layers if layer.op in ("mul", "add"))
    assert mul.inputs == ("before",)
    assert (mul.params, add.params) == (192, 192)
    assert profile.coverage.uncounted == {}


def test_local_functions_are_opened() -> None:
    opsets = [helper.make_opsetid("", 18)]
    body = [node("Conv", "a k", "m"), node("Relu", "m", "b")]
    function = helper.make_function("local", "Block", ["a", "k"], ["b"], body, opsets)
    data = file(
        [node("Block", "x w", "y", domain="local")],
        {"x": [1, 3, 8, 8]},
        "y",
        [weight("w", 4, 3, 3, 3)],
        domains=["local"],
        functions=[function],
    )
    profile = profiled(data)
    assert [layer.op for layer in profile.layers] == ["conv", "relu"]
    assert profile.totals.macs == 4 * 36 * 27


def test_what_a_call_leaves_out_is_as_its_function_has_it() -> None:
    """Also where the call stands in another function, or in a branch."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    conv = node("Conv", "a k", "b")
    for name, kind in (("strides", onnx.AttributeProto.INTS), ("group", onnx.AttributeProto.INT)):
        conv.attribute.append(helper.make_attribute_ref(name, kind))
        conv.attribute[-1].ref_attr_name = name
    given = [helper.make_attribute("strides", [3, 3]), helper.make_attribute("group", 1)]
    functions = [
        helper.make_function("local", "Sparse", ["a", "k"], ["b"], [conv], opsets,
                             attribute_protos=given),
        helper.make_function("local", "Outer", ["a", "k"], ["b"],
                             [node("Sparse", "a k", "b", domain="local")], opsets),
    ]  # fmt: skip
    calls = {
        "top": node("Sparse", "x w", "y", domain="local"),
        "nested": node("Outer", "x w", "y", domain="local"),
        "told": node("Sparse", "x w", "y", domain="local", strides=[2, 2]),
    }
    macs = {}
    for name, call in calls.items():
        data = file([call], {"x": [1, 3, 9, 9]}, "y", [weight("w", 4, 3, 3, 3)],
                    domains=["local"], functions=functions)  # fmt: skip
        macs[name] = profiled(data).totals.macs
    assert macs == {"top": 9 * 4 * 27, "nested": 9 * 4 * 27, "told": 16 * 4 * 27}


def test_another_vendor_s_conv_is_not_ours() -> None:
    data = file(
        [node("Conv", "x w", "y", domain="vendor")],
        {"x": [1, 3, 8, 8]},
        "y",
        [weight("w", 3, 3, 1, 1)],
        value_info={"y": [1, 3, 8, 8]},
        domains=["vendor"],
    )
    model = onnx.load_model_from_string(data)
    model.graph.output[0].type.CopyFrom(model.graph.value_info[0].type)
    profile = profiled(model.SerializeToString())
    assert profile.coverage.uncounted == {"vendor.Conv": 1}
    assert profile.totals.macs == 0


def test_names_are_data() -> None:
    long = "n" * 600
    data = file(
        [
            node("Relu", "x", "a", name="same"),
            node("Relu", "a", "b", name="same"),
            node("Relu", "b", "c", name="relu_1"),
            node("Relu", "c", "d", name="x"),
            node("Relu", "d", "e", name=long),
            node("Relu", "e", "y", name="=1+1\n\t<b>"),
        ],
        {"x": (1, 3, 8, 8)},
        "y",
    )
    names = [layer.name for layer in profiled(data).layers]
    assert names == ["relu_1_2", "relu_2", "relu_1", "relu_3", "relu_4", "=1+1\n\t<b>"]


def test_numbers_for_one_whole_tensor_are_elementwise_operands() -> None:
    data = file(
        [
            node("ReduceMax", "x", "top", keepdims=0),
            node("Div", "x top", "scaled", name="scale"),
            node("Unsqueeze", "top axis", "row"),
            node("Mul", "scaled row", "y"),
        ],
        {"x": (1, 6, 7, 7)},
        "y",
        [numbers("axis", [0])],
    )
    profile = profiled(data)
    assert by_name(profile)["scale"].out_features == 6
    assert profile.coverage.uncounted == {}


def test_the_child_says_the_same() -> None:
    data = small_net()
    outside = profile_onnx(data, name="small", source="small.onnx")
    inside = profiled(data)
    assert outside.layers == inside.layers
    assert outside.coverage.witness is None
    assert outside.coverage.witness_note
