"""Models that others wrote: transformers' classes, small in the normal suite, real under slow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import transformers as tf

from planner.runtime.reading.traced import TracedModel
from profiles.from_torch.runnable import traced_model
from tests.runtime.cases import check, random_plan
from tests.runtime.way_plans import way_plan

IMAGE = (1, 3, 32, 32)


def image_model(name: str, **config: object) -> torch.nn.Module:
    """``NameForImageClassification`` of a configuration."""
    made = getattr(tf, f"{name}Config")(num_labels=5, **config)
    model: torch.nn.Module = getattr(tf, f"{name}ForImageClassification")(made)
    return model


def small_transformer(name: str, heads: int, **config: object) -> torch.nn.Module:
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 40}
    return image_model(
        name, num_attention_heads=heads, image_size=32, patch_size=8, **sizes, **config
    )


def language_model(kind: str) -> torch.nn.Module:
    if kind == "gpt2":
        config = tf.GPT2Config(
            n_embd=24, n_layer=2, n_head=3, vocab_size=40, n_positions=16, bos_token_id=0,
            eos_token_id=0, tie_word_embeddings=False, use_cache=False,
        )  # fmt: skip
        return tf.GPT2LMHeadModel(config)
    config = tf.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=50, max_position_embeddings=16, use_cache=False,
    )  # fmt: skip
    return tf.LlamaForCausalLM(config)


SMALL: dict[str, Callable[[], torch.nn.Module]] = {
    "vit": lambda: small_transformer("ViT", 3),
    "deit": lambda: small_transformer("DeiT", 6),
    "mobilenet": lambda: image_model("MobileNetV2", image_size=32, depth_multiplier=0.25),
}
MORE: dict[str, Callable[[], torch.nn.Module]] = {
    "efficientnet": lambda: image_model(
        "EfficientNet", image_size=32, width_coefficient=0.25, depth_coefficient=0.4, hidden_dim=320
    ),
    "convnext": lambda: image_model("ConvNext", hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1]),
    "swin": lambda: image_model(
        "Swin", embed_dim=12, depths=[2, 2], num_heads=[2, 4], window_size=2, image_size=16,
        patch_size=2,
    ),
    "regnet": lambda: image_model(
        "RegNet", embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1],
        groups_width=4, layer_type="y",
    ),
    "gpt2": lambda: language_model("gpt2"),
    "llama": lambda: language_model("llama"),
}  # fmt: skip
REAL: dict[str, tuple[Callable[[], torch.nn.Module], int]] = {
    "resnet-50": (lambda: image_model("ResNet"), 64),
    "deit-s": (
        lambda: image_model(
            "DeiT", hidden_size=384, num_attention_heads=6, intermediate_size=1536, image_size=64
        ),
        64,
    ),
    "mobilenet-v2": (lambda: image_model("MobileNetV2"), 64),
    "efficientnet-b0": (
        lambda: image_model(
            "EfficientNet", width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280
        ),
        64,
    ),
}


def prepared(module: torch.nn.Module, shape: tuple[int, ...]) -> TracedModel:
    torch.manual_seed(0)
    for parameter in module.parameters():
        wide = parameter.dim() > 1
        torch.nn.init.normal_(parameter, std=0.5 / parameter[0].numel() ** 0.5 if wide else 0.3)
    name = "pixel_values" if len(shape) == 4 else "input_ids"
    return traced_model(module.eval(), {name: shape})


def run(module: torch.nn.Module, shape: tuple[int, ...]) -> None:
    model, rng = prepared(module, shape), np.random.default_rng(3)
    for groups in ([[1.0, 2.0, 1.0]], [[5.0, 1.0], [1.0], [1.0, 1.0]], [[1.0] * 4]):
        for casting in ("unicast", "broadcast"):
            check(model, random_plan(model, groups, rng, casting=casting))
    check(model, random_plan(model, [[1.0] * 3], rng, share_inputs=True))
    for groups in ([[1.0, 2.0, 1.0]], [[5.0, 1.0], [1.0], [1.0, 1.0]]):
        check(model, way_plan(model, groups, rng))


@pytest.mark.parametrize("name", SMALL)
def test_small_models(name: str) -> None:
    run(SMALL[name](), IMAGE)


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_more_small_models(name: str) -> None:
    shape = {"swin": (1, 3, 16, 16), "gpt2": (1, 6), "llama": (1, 6)}.get(name, IMAGE)
    run(MORE[name](), shape)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_models_at_small_inputs(name: str) -> None:
    make, pixels = REAL[name]
    run(make(), (1, 3, pixels, pixels))
