"""The library's networks are what their papers describe, and their MACs are torch's own count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from planner.units import FLOP_PER_MAC
from profiles.architectures.deeplab import DeepLabV3Plus
from profiles.architectures.esrgan import Generator
from profiles.architectures.ssd300 import SSD300, ScaledL2
from profiles.catalog import load_model, model_names
from profiles.networks import ARCHITECTURES

REPO = Path(__file__).parents[2]
LARGE = {"llama-3.1-70b", "llama-3.1-70b-decode"}
BY_SIZE = [
    pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in model_names()
]


def on_meta(make: Any) -> nn.Module:
    with torch.device("meta"):
        module: nn.Module = make().eval()
    return module


def parameters(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.parameters())


def torch_macs(made: Any) -> int:
    """FlopCounterMode's count of a prepared network, on the meta device."""
    arguments = [
        torch.empty(shape, dtype=getattr(torch, made.dtypes[name]), device="meta")
        for name, shape in made.shapes.items()
    ]
    module = made.module
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if list(made.shapes) == ["input_ids"] and made.shapes["input_ids"][1] > 1:
            # Without a mask transformers looks at values that meta tensors do not have.
            tokens = made.shapes["input_ids"][1]
            mask = torch.zeros(1, 1, tokens, tokens, dtype=module.dtype, device="meta")
            super(type(module), module).forward(input_ids=arguments[0], attention_mask=mask)
        else:
            module(*arguments)
    flops = counter.get_total_flops()
    assert flops % FLOP_PER_MAC == 0
    return int(flops // FLOP_PER_MAC)


@pytest.mark.parametrize("name", BY_SIZE)
def test_macs_are_what_torch_counts(name: str) -> None:
    made = ARCHITECTURES[name].prepare("meta")
    assert load_model(name).totals.macs == torch_macs(made)


@pytest.mark.parametrize("name", model_names())
def test_every_operator_is_known_and_none_needs_one_node(name: str) -> None:
    profile = load_model(name)
    assert profile.coverage.uncounted == {}
    assert [layer.name for layer in profile.layers if layer.feature_flow == "one-node"] == []


PARAMETERS = {
    "efficientnet-b0": 5_288_548,
    "convnext-t": 28_589_128,
    "swin-t": 28_288_354,
    "deit-s": 22_050_664,
    # one more token: its embedding and its position, of 384 coordinates each
    "deit-s-distilled": 22_050_664 + 2 * 384,
    "bert-base": 109_482_240,
    "gpt2": 124_439_808,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-8b-decode": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-70b-decode": 70_553_706_496,
    "esrgan": 16_697_987,
    "deeplabv3plus-resnet101": 59_344_309,
    "ssd300-vgg16": 34_305_206,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_number(name: str) -> None:
    assert load_model(name).totals.params == PARAMETERS[name]


def test_deit_s_macs() -> None:
    assert load_model("deit-s").totals.macs == 4_598_882_304
    assert load_model("deit-s-distilled").totals.macs == 4_623_756_288


def test_llama_by_hand() -> None:
    """Every weight but the embedding meets every token; attention meets every pair of tokens."""
    for name, layers, hidden in (("llama-3.1-8b", 32, 4096), ("llama-3.1-70b", 80, 8192)):
        weights = PARAMETERS[name] - 128256 * hidden - hidden * (2 * layers + 1)
        for profile, tokens, context in (
            (load_model(name), 128, 128),
            (load_model(f"{name}-decode"), 1, 1025),
        ):
            pairs = 2 * layers * hidden * tokens * context
            assert profile.totals.macs == weights * tokens + pairs


@pytest.mark.parametrize(("name", "layers"), [("llama-3.1-8b", 32), ("llama-3.1-70b", 80)])
def test_a_cache_is_memory_and_no_input(name: str, layers: int) -> None:
    prefill, decode = load_model(name), load_model(f"{name}-decode")
    assert [(spec.name, spec.shape) for spec in decode.inputs] == [("input_ids", (1, 1))]
    keys_and_values = 2 * layers * 8 * 128 * 1024 * 2  # heads, head size, tokens, bytes
    assert decode.totals.param_bytes - prefill.totals.param_bytes == keys_and_values
    holders = [layer for layer in decode.layers if layer.op == "concat" and layer.param_bytes]
    assert sum(layer.param_bytes for layer in holders) >= keys_and_values
    assert {layer.feature_flow for layer in holders} == {"local"}


# Our own definitions


def test_ssd300_has_the_published_size_for_91_classes() -> None:
    """The best-known public SSD300 on VGG-16 counts COCO's 91 category numbers as classes."""
    assert parameters(on_meta(lambda: SSD300(classes=91))) == 35_641_826


def test_ssd300_predicts_8732_boxes() -> None:
    with torch.device("meta"):
        maps = SSD300().eval()(torch.empty(1, 3, 300, 300))
    scores, corners = maps[:6], maps[6:]
    assert [map_.shape[-1] for map_ in scores] == [38, 19, 10, 5, 3, 1]
    assert sum(map_[0].numel() for map_ in scores) == 8732 * 81
    assert sum(map_[0].numel() for map_ in corners) == 8732 * 4


def test_scaled_l2_gives_every_position_its_length() -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 512, 3, 3)
    normalised = ScaledL2(512)(image)
    torch.testing.assert_close(normalised.norm(dim=1), torch.full((2, 3, 3), 20.0))
    torch.testing.assert_close(normalised, 20 * image / image.norm(dim=1, keepdim=True))


def test_deeplab_keeps_a_sixteenth_and_the_size_of_the_image() -> None:
    network = on_meta(DeepLabV3Plus)
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("group1", "group4", "pyramid"):
        network.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: shapes.__setitem__(name, tuple(output.shape))
        )
    scores = network(torch.empty(1, 3, 513, 513, device="meta"))
    assert scores.shape == (1, 21, 513, 513)
    assert shapes == {
        "group1": (1, 256, 129, 129),
        "group4": (1, 2048, 33, 33),
        "pyramid": (1, 256, 33, 33),
    }


def test_deeplab_encoder_is_resnet101() -> None:
    network = on_meta(DeepLabV3Plus)
    encoder = sum(
        parameters(network.get_submodule(name))
        for name in ("stem", "group1", "group2", "group3", "group4")
    )
    assert encoder == 44_549_160 - (2048 * 1000 + 1000)  # ResNet-101 without its classifier


def test_esrgan_enlarges_four_times_with_23_blocks() -> None:
    network = on_meta(Generator)
    assert network(torch.empty(1, 3, 16, 24, device="meta")).shape == (1, 3, 64, 96)
    kinds = Counter(type(part).__name__ for part in network.modules())
    assert (kinds["ResidualInResidual"], kinds["DenseBlock"], kinds["Conv2d"]) == (23, 69, 351)


def test_esrgan_macs_by_hand() -> None:
    """Every weight of a 3x3 convolution meets every position of its map once."""
    per_block = sum(9 * (64 + 32 * step) * 32 for step in range(4)) + 9 * 192 * 64
    at_128 = 9 * 3 * 64 + 69 * per_block + 9 * 64 * 64
    at_256, at_512 = 9 * 64 * 64, 2 * 9 * 64 * 64 + 9 * 64 * 3
    macs = at_128 * 128**2 + at_256 * 256**2 + at_512 * 512**2
    assert load_model("esrgan").totals.macs == macs
