"""Positions of ONNX models: as those of the module that was exported, or as the standard says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch.nn import functional

from planner.domain.model_profile import ModelProfile
from planner.domain.positions import SAME, Geometry, Window
from profiles.from_torch.frontend import profile_module
from tests.profiles.test_positions import Apply, Squeeze, Vit, Windows
from tests.profiles.test_two_front_ends import exported, from_onnx

EXPORTED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 5, 1, 0, 2), nn.Conv2d(4, 2, 1)
        ),
        (2, 3, 23, 19),
    ),
    "same padding": (lambda: nn.Conv2d(3, 4, 4, padding="same"), (2, 3, 9, 9)),
    "one dimension": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3, 2), nn.MaxPool1d(2)), (2, 3, 19)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3, 2, 1, 1), (2, 3, 7, 9)),
    "poolings": (
        lambda: nn.Sequential(
            nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, 2), nn.AdaptiveAvgPool2d(1)
        ),
        (2, 3, 22, 18),
    ),
    "nearest": (lambda: nn.Upsample(scale_factor=2), (2, 3, 7, 6)),
    "nearest, thirds": (lambda: nn.Upsample(scale_factor=3), (2, 3, 7, 6)),
    "bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 7, 6)),
    "corners": (
        lambda: nn.Upsample(size=(10, 11), mode="bilinear", align_corners=True),
        (2, 3, 7, 6),
    ),
    "padding": (lambda: Apply(lambda _, x: functional.pad(x, (1, 0, 2, 1))), (2, 3, 7, 6)),
    "reflection": (
        lambda: Apply(lambda _, x: functional.pad(x, (1, 0, 2, 1), mode="reflect")),
        (2, 3, 7, 6),
    ),
    "slices": (lambda: Apply(lambda _, x: x[:, :, 1:9:2, 1:]), (2, 3, 11, 6)),
    "concat": (lambda: Apply(lambda _, x: torch.cat([x, x * 2], 2)), (2, 3, 7, 6)),
    "squeeze": (Squeeze, (2, 4, 6, 5)),
    "vision transformer": (Vit, (2, 3, 16, 12)),
    "windows": (lambda: Windows(0), (2, 6, 9, 12)),
    "pixels": (lambda: nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2)), (2, 8, 4, 6)),
    "group norm": (lambda: nn.Sequential(nn.Conv2d(4, 4, 3), nn.GroupNorm(1, 4)), (2, 4, 9, 9)),
    "instance norm": (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 9, 9)),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_a_module_and_its_export_have_the_same_windows(name: str) -> None:
    make, shape = EXPORTED[name]
    module = make().eval()
    ours = profile_module(module, {"x": shape}, name="net", witness=False)
    theirs = from_onnx(exported(module, (torch.zeros(shape),), ["x"]))
    for axis in ("positions", "samples"):
        assert getattr(ours.inputs[0], axis) == getattr(theirs.inputs[0], axis)
        assert _telling(ours, axis) == _telling(theirs, axis)
    assert _counts(ours) == _counts(theirs)
    assert _telling(ours, "positions") or name == "instance norm"


def _telling(profile: ModelProfile, axis: str) -> list[Window | None]:
    """Windows of all layers in order, but for positions that stay as they are."""
    found = []
    for layer in profile.layers:
        geometry: Geometry | None = getattr(layer, axis)
        if geometry is not None and geometry.count:
            found += [window for window in geometry.reads if window not in (None, SAME)]
    return found


def _counts(profile: ModelProfile) -> list[int]:
    """Positions of what multiplies, one by one as they change: exports part attention."""
    counts = [
        layer.positions.count if layer.positions else 0 for layer in profile.layers if layer.macs
    ]
    return [count for count, _ in groupby(max(count, 1) for count in counts)]


def test_token_numbers_of_an_export() -> None:
    ids = torch.zeros((2, 9), dtype=torch.int64)
    module = Apply(lambda m, x: m.net(x).relu(), net=nn.Embedding(7, 12))
    theirs = from_onnx(exported(module, (ids,), ["x"]))
    assert theirs.inputs[0].positions == 9
    assert [layer.positions for layer in theirs.layers] == [Geometry(count=9, reads=(SAME,))] * 2


def reading(node: onnx.NodeProto, shape: tuple[int, ...], **constants: Any) -> None:
    """Hold the window of one node against what its output changes with, by onnx's evaluator."""
    held = [onnx.numpy_helper.from_array(np.array(v), name) for name, v in constants.items()]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (layer,) = from_onnx(model.SerializeToString()).layers
    assert layer.positions is not None
    (window,) = layer.positions.reads
    evaluator = ReferenceEvaluator(model)
    before = np.random.default_rng(0).random(shape).astype(np.float32)
    old = np.asarray(evaluator.run(None, {"x": before})[0])
    count = layer.positions.count
    assert old.shape[2] == count
    said = np.ones((count, shape[2]), dtype=bool)
    if window is not None:
        said = window.reads(np.eye(count, dtype=bool), shape[2])
    for position in range(shape[2]):
        changed = before.copy()
        changed[:, :, position] += 5
        new = np.asarray(evaluator.run(None, {"x": changed})[0])
        seen = np.abs(new - old).max(axis=(0, 1, *range(3, new.ndim))) > 1e-5
        assert not (seen & ~said[:, position]).any()


SHAPE = (1, 2, 11, 7)
FILTERS = np.random.default_rng(1).random((2, 2, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("padding", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_automatic_padding(padding: str, stride: int) -> None:
    options = {"auto_pad": padding, "strides": [stride, stride]}
    reading(helper.make_node("Conv", ["x", "w"], ["y"], **options), SHAPE, w=FILTERS)
    if padding != "SAME_LOWER":  # of which onnx's evaluator leaves the last entry out
        pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[4, 3], **options)
        reading(pool, SHAPE)


@pytest.mark.parametrize("options", [{"pads": [2, 0, 1, 1]}, {"dilations": [2, 1]}])
def test_uneven_padding_and_dilation(options: dict[str, list[int]]) -> None:
    reading(helper.make_node("Conv", ["x", "w"], ["y"], **options), SHAPE, w=FILTERS)


@pytest.mark.parametrize(
    "options",
    [
        {"strides": [2, 2]},
        {"strides": [2, 2], "pads": [1, 0, 0, 0]},
        {"strides": [3, 1], "output_padding": [2, 0]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [3, 3], "auto_pad": "SAME_LOWER"},
    ],
)
def test_transposed_convolutions(options: dict[str, Any]) -> None:
    reading(helper.make_node("ConvTranspose", ["x", "w"], ["y"], **options), SHAPE, w=FILTERS)


PLACES = ("asymmetric", "half_pixel", "align_corners", "half_pixel_symmetric")
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
RESIZES: list[dict[str, Any]] = [
    {"coordinate_transformation_mode": places, **how}
    for places in PLACES
    for how in (
        {"mode": "linear"},
        {"mode": "cubic"},
        *({"mode": "nearest", "nearest_mode": rounding} for rounding in ROUNDINGS),
    )
]


@pytest.mark.parametrize("options", RESIZES, ids=lambda found: "-".join(found.values()))
def test_resizings(options: dict[str, Any]) -> None:
    sizes = np.array([1, 2, 17, 7], dtype=np.int64)
    reading(helper.make_node("Resize", ["x", "", "", "s"], ["y"], **options), SHAPE, s=sizes)
    for scale in (2.0, 0.5, 1.5, 2.3):
        scales = np.array([1, 1, scale, 1], dtype=np.float32)
        reading(helper.make_node("Resize", ["x", "", "s"], ["y"], **options), SHAPE, s=scales)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_paddings(mode: str) -> None:
    pads = np.array([0, 0, 2, 0, 0, 0, 3, 1], dtype=np.int64)
    reading(helper.make_node("Pad", ["x", "p"], ["y"], mode=mode), SHAPE, p=pads)


def test_slices_of_several_dimensions() -> None:
    constants = {
        "starts": np.array([8, 1]),
        "ends": np.array([-20, 6]),
        "axes": np.array([2, 3]),
        "steps": np.array([-2, 2]),
    }
    reading(helper.make_node("Slice", ["x", *constants], ["y"]), SHAPE, **constants)
    forward = {**constants, "starts": np.array([-9, 1]), "ends": np.array([9, 6])}
    forward["steps"] = np.array([3, 2])
    reading(helper.make_node("Slice", ["x", *forward], ["y"]), SHAPE, **forward)


def test_a_quantised_tensor_depends_on_all_of_it() -> None:
    graph = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, SHAPE)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (layer, *_) = from_onnx(model.SerializeToString()).layers
    assert layer.positions == Geometry(count=11, reads=(None,))


@pytest.mark.parametrize("options", [{"strides": [2**50, 1]}, {"dilations": [2**50, 1]}])
def test_windows_beyond_all_bounds_are_not_followed(options: dict[str, list[int]]) -> None:
    filters = np.ones((2, 2, 1, 3), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], **options)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
        [onnx.numpy_helper.from_array(filters, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (layer,) = from_onnx(model.SerializeToString()).layers
    assert layer.samples == Geometry(count=1, reads=(SAME,))
    assert layer.positions is not None
    assert all(window is None or window.step < 2**40 for window in layer.positions.reads)
