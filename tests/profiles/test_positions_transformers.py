"""Windows of whole networks of transformers, small ones of each kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported

import pytest
import torch
import transformers
from torch import Tensor, nn

from tests.profiles.test_positions import Apply, check, image

Sizes = dict[str, Any]
BLOCKS: Sizes = {"num_hidden_layers": 1, "intermediate_size": 32}
WORDS: Sizes = {"vocab_size": 7, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
VISION: Sizes = {"image_size": 16, "patch_size": 4, "hidden_size": 12, "num_attention_heads": 3}
WINDOWS: Sizes = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 12,
    "depths": (2, 2),
    "num_heads": (3, 6),
    "window_size": 4,
}
STAGES: Sizes = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}
TOKENS = torch.randint(0, 7, (2, 9))
DECODER: Sizes = {
    **WORDS,
    **BLOCKS,
    "hidden_size": 24,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
}

NETWORKS: dict[str, tuple[str, Sizes, Tensor]] = {
    "SwinForImageClassification": ("SwinConfig", WINDOWS, image(2, 3, 32, 32)),
    "Swinv2ForImageClassification": ("Swinv2Config", WINDOWS, image(2, 3, 32, 32)),
    "ViTForImageClassification": ("ViTConfig", {**VISION, **BLOCKS}, image(2, 3, 16, 16)),
    "BeitForImageClassification": ("BeitConfig", {**VISION, **BLOCKS}, image(2, 3, 16, 16)),
    "ConvNextForImageClassification": ("ConvNextConfig", STAGES, image(2, 3, 32, 32)),
    "ResNetForImageClassification": (
        "ResNetConfig",
        {**STAGES, "embedding_size": 8},
        image(2, 3, 64, 64),
    ),
    "SegformerForSemanticSegmentation": (
        "SegformerConfig",
        {**STAGES, "num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size": 8},
        image(2, 3, 64, 64),
    ),
    "LlamaForCausalLM": ("LlamaConfig", DECODER, TOKENS),
    "MistralForCausalLM": ("MistralConfig", {**DECODER, "sliding_window": 4}, TOKENS),
    "GPT2LMHeadModel": (
        "GPT2Config",
        {**WORDS, "n_embd": 24, "n_layer": 1, "n_head": 3, "n_positions": 32},
        TOKENS,
    ),
    "BertForSequenceClassification": (
        "BertConfig",
        {**WORDS, **BLOCKS, "hidden_size": 24, "num_attention_heads": 3},
        TOKENS,
    ),
    "T5EncoderModel": (
        "T5Config",
        {**WORDS, "d_model": 24, "d_kv": 8, "num_heads": 3, "num_layers": 1, "d_ff": 32},
        TOKENS,
    ),
    "MambaForCausalLM": (
        "MambaConfig",
        {**WORDS, "hidden_size": 12, "num_hidden_layers": 1, "state_size": 4},
        TOKENS,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_transformers(name: str) -> None:
    config, sizes, x = NETWORKS[name]
    net: nn.Module = getattr(transformers, name)(getattr(transformers, config)(**sizes))
    label = "pixel_values" if x.is_floating_point() else "input_ids"
    forward: Callable[..., Tensor] = lambda m, given: m.net(**{label: given})[0]  # noqa: E731
    network = check(Apply(forward, net=net), x)
    known = [layer.positions is not None for layer in network.traced.profile.layers]
    assert sum(known) > 0.7 * len(known)
