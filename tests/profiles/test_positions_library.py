"""What is known of positions in the catalogue's models."""

from __future__ import annotations

import pytest

from planner.domain.layer_profile import LayerProfile
from planner.domain.positions import SAME, Window
from planner.reshape import at_input_shapes
from profiles.catalog import load_model, model_names

# Layers, and of these what has no positions: what stands behind the pooling, the classifier's
# token or, beside the map, works on its mean.
WITHOUT: dict[str, tuple[int, dict[str, int]]] = {
    "resnet50": (175, {"linear": 1, "reshape": 1}),
    "mobilenetv2-224": (153, {"dropout": 1, "linear": 1, "reshape": 1}),
    "efficientnet-b0": (254, {"conv": 32, "linear": 1, "sigmoid": 16, "silu": 16}),
    "convnext-t": (181, {"layer_norm": 1, "linear": 1}),
    "deit-s": (297, {"linear": 1, "select": 1}),
    "deit-s-distilled": (297, {"linear": 1, "select": 1}),
    "swin-t": (499, {"linear": 1, "reshape": 1}),
    "ssd300-vgg16": (67, {}),
    "deeplabv3plus-resnet101": (376, {"batch_norm": 1, "conv": 1, "relu": 1}),
    "esrgan": (1162, {}),
    "bert-base": (296, {"linear": 1, "select": 1, "tanh": 1}),
    "gpt2": (488, {"reshape": 1}),
    "llama-3.1-8b": (1412, {}),
}
# Layers with positions that read all of some input: what is broadcast to every position, keys and
# values, and what cannot be followed.
ALL_READ: dict[str, dict[str, int]] = {
    "resnet50": {},
    "mobilenetv2-224": {},
    "efficientnet-b0": {"mul": 16},
    "convnext-t": {},
    "deit-s": {"attention": 12},
    "deit-s-distilled": {"attention": 12},
    "swin-t": {"attention": 2},  # the last map is a single window, its positions are tokens
    "ssd300-vgg16": {},
    "deeplabv3plus-resnet101": {"upsample": 1},
    "esrgan": {},
    "bert-base": {"attention": 12},
    "gpt2": {"attention": 12, "embedding": 1},
    "llama-3.1-8b": {"attention": 32},
}


def counted(layers: list[LayerProfile]) -> dict[str, int]:
    ops = [layer.op for layer in layers]
    return {op: ops.count(op) for op in sorted(set(ops))}


@pytest.mark.parametrize("name", WITHOUT)
def test_nearly_all_layers_can_be_parted_by_positions(name: str) -> None:
    layers = load_model(name).layers
    count, without = WITHOUT[name]
    assert len(layers) == count
    assert counted([layer for layer in layers if layer.positions is None]) == without
    reading_all = [
        layer
        for layer in layers
        if layer.positions and not layer.positions.sums and None in layer.positions.reads
    ]
    assert counted(reading_all) == ALL_READ[name]


@pytest.mark.parametrize("name", model_names())
def test_every_layer_can_be_parted_by_samples(name: str) -> None:
    profile = load_model(name)
    layers = profile.layers
    if profile.reshaping is not None:
        layers = at_input_shapes(profile, batch=4).layers
        assert {layer.samples and layer.samples.count for layer in layers} == {4}
    for layer in layers:
        assert layer.samples is not None
        assert all(window in (SAME, None) for window in layer.samples.reads)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("resnet50", "adaptive_avg_pool2d"),
        ("mobilenetv2-224", "adaptive_avg_pool2d"),
        ("efficientnet-b0", "avg_pool2d"),
        ("convnext-t", "mean"),
        ("swin-t", "adaptive_avg_pool1d"),
    ],
)
def test_global_poolings_add_up(name: str, pooling: str) -> None:
    layers = load_model(name).layers
    last = [layer for layer in layers if layer.positions and layer.positions.sums][-1]
    assert last.op == pooling
    assert last.positions is not None
    assert last.positions.count == (1 if pooling == "avg_pool2d" else 0)
    source = next(layer for layer in layers if layer.name == last.inputs[0])
    assert source.positions is not None
    assert source.positions.count == (49 if name == "swin-t" else 7)


def test_windows_of_resnet50() -> None:
    layers = {layer.name: layer for layer in load_model("resnet50").layers}
    first = layers["resnet.embedder.embedder.convolution"].positions
    assert first is not None
    assert (first.count, first.reads) == (112, (Window(step=2, first=-3, last=3),))
    pool = layers["resnet.embedder.pooler"].positions
    assert pool is not None
    assert (pool.count, pool.reads) == (56, (Window(step=2, first=-1, last=1),))
    halo = [
        layer
        for layer in layers.values()
        if layer.positions and layer.positions.reads[0] not in (None, SAME)
    ]
    assert len(halo) == 2 + 16 + 3  # and the convolutions of 3x3, and those of shortcuts


def test_windows_of_swin() -> None:
    layers = load_model("swin-t").layers
    first = [layer.positions for layer in layers[:40] if layer.positions]
    windows = [g.reads[0] for g in first if g.reads[0] not in (None, SAME)]
    assert windows[:6] == [
        Window(step=4, last=3),  # patches of 4x4
        Window(per=56),  # rows of patches as patches
        Window(step=56, last=55),  # and as rows
        Window(step=7, last=6),  # rows of windows
        Window(per=8),  # windows
        Window(step=8, last=7),  # and as rows of them
    ]
    rolled = [w for x in layers if x.positions for w in x.positions.reads if w and w.wraps]
    assert rolled == [
        Window(first=shift, last=shift, wraps=True) for _ in range(5) for shift in (3, -3)
    ]
