"""Small configurations of transformers' networks, and what a reference counter says of them."""

from __future__ import annotations

import json
import re
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from planner.domain.model_profile import ModelProfile
from profiles.from_hf.config import read_config
from profiles.from_hf.network import build_network, prepared
from profiles.from_torch.frontend import profile_module
from profiles.from_torch.traced import on_cpu

Config = dict[str, Any]

TEXT: Config = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "torch_dtype": "float32",
}
GROUPED: Config = {**TEXT, "num_key_value_heads": 2}
VISION: Config = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "num_channels": 3,
}
_LATENT: Config = {
    **TEXT,
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}
_EXPERTS: Config = {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}
_NUMBERED: Config = {**GROUPED, "num_experts": 4, "num_experts_per_tok": 2}
_ROUTED: Config = {
    **GROUPED,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "head_dim": 16,
}
_SPEECH: Config = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [16, 16],
    "conv_stride": [5, 2],
    "conv_kernel": [10, 3],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_TRANSLATION: Config = {
    "vocab_size": 128,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "pad_token_id": 0,
}


def _head(kind: str, model_type: str, values: Config) -> Config:
    return {"model_type": model_type, "architectures": [kind], **values}


def _causal(prefix: str, model_type: str, values: Config) -> Config:
    return _head(f"{prefix}ForCausalLM", model_type, values)


MIXTRAL = _causal("Mixtral", "mixtral", {**_EXPERTS, "torch_dtype": "bfloat16"})
PHI3 = _causal("Phi3", "phi3", {**GROUPED, "bos_token_id": 1, "eos_token_id": 2})
DEEPSEEK_V2 = _causal("DeepseekV2", "deepseek_v2", _LATENT)
DEEPSEEK_V3 = _causal("DeepseekV3", "deepseek_v3", {**_LATENT, "n_group": 4, "topk_group": 2})
QWEN3_MOE = _causal(
    "Qwen3Moe",
    "qwen3_moe",
    {
        **GROUPED,
        "head_dim": 32,
        "num_experts": 6,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 32,
        "mlp_only_layers": [0],
    },
)
MAMBA = _causal(
    "Mamba",
    "mamba",
    {
        "vocab_size": 128,
        "hidden_size": 32,
        "state_size": 8,
        "num_hidden_layers": 1,
        "conv_kernel": 4,
        "expand": 2,
        "time_step_rank": 4,
    },
)
SWIN_V2 = _head(
    "Swinv2ForImageClassification",
    "swinv2",
    {
        "embed_dim": 16,
        "depths": [1, 2],
        "num_heads": [2, 4],
        "image_size": 64,
        "window_size": 4,
        "patch_size": 4,
    },
)

EXPERTS: dict[str, Config] = {
    "mixtral": MIXTRAL,
    "deepseek_v2": DEEPSEEK_V2,
    "deepseek_v3": DEEPSEEK_V3,
    "qwen2_moe": _causal(
        "Qwen2Moe",
        "qwen2_moe",
        {**_NUMBERED, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32},
    ),
    "qwen3_moe": QWEN3_MOE,
    "olmoe": _causal("Olmoe", "olmoe", _NUMBERED),
    "phimoe": _causal("Phimoe", "phimoe", _EXPERTS),
    "granitemoe": _causal("GraniteMoe", "granitemoe", _EXPERTS),
    "gpt_oss": _causal("GptOss", "gpt_oss", {**_EXPERTS, "head_dim": 16, "sliding_window": 32}),
    "llama4": _causal(
        "Llama4",
        "llama4_text",
        {
            **_EXPERTS,
            "num_experts_per_tok": 1,
            "head_dim": 16,
            "intermediate_size_mlp": 96,
            "attention_chunk_size": 64,
        },
    ),
    "jetmoe": _causal("JetMoe", "jetmoe", {**_EXPERTS, "kv_channels": 16}),
    "dbrx": _causal(
        "Dbrx",
        "dbrx",
        {
            "d_model": 64,
            "n_heads": 4,
            "n_layers": 2,
            "max_seq_len": 256,
            "vocab_size": 128,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 96, "moe_num_experts": 4, "moe_top_k": 2},
        },
    ),
    "glm4_moe": _causal("Glm4Moe", "glm4_moe", _ROUTED),
    "dots1": _causal("Dots1", "dots1", _ROUTED),
    "hunyuan": _causal(
        "HunYuanMoEV1",
        "hunyuan_v1_moe",
        {**GROUPED, "num_experts": 4, "moe_topk": 2, "head_dim": 16},
    ),
    "minimax": _causal("MiniMax", "minimax", {**_EXPERTS, "head_dim": 16, "block_size": 64}),
    "nllb_moe": _head(
        "NllbMoeForConditionalGeneration",
        "nllb-moe",
        {
            **_TRANSLATION,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "num_experts": 4,
            "encoder_sparse_step": 2,
            "decoder_sparse_step": 2,
        },
    ),
}
"""Networks whose tokens choose which weights they meet."""

OTHERS: dict[str, Config] = {
    "phi3": PHI3,
    "swinv2": SWIN_V2,
    "deberta": _head(
        "DebertaV2ForMaskedLM",
        "deberta-v2",
        {
            **TEXT,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 32,
        },
    ),
    "xlnet": _head(
        "XLNetLMHeadModel",
        "xlnet",
        {"vocab_size": 128, "d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 96},
    ),
    "siglip": {
        "model_type": "siglip",
        "text_config": TEXT,
        "vision_config": {**VISION, "hidden_size": 64},
    },
    "clip": {
        "model_type": "clip",
        "text_config": {**TEXT, "eos_token_id": 2},
        "vision_config": VISION,
        "projection_dim": 16,
    },
    "bert": _head("BertForMaskedLM", "bert", TEXT),
    "albert": _head("AlbertForMaskedLM", "albert", {**TEXT, "embedding_size": 16}),
    "t5": _head(
        "T5ForConditionalGeneration",
        "t5",
        {"vocab_size": 128, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4},
    ),
    "bart": _head("BartForConditionalGeneration", "bart", _TRANSLATION),
    "gemma3": _causal("Gemma3", "gemma3_text", {**GROUPED, "head_dim": 16, "sliding_window": 32}),
    "lfm2_moe": _causal(
        "Lfm2Moe",
        "lfm2_moe",
        {
            **_NUMBERED,
            "moe_intermediate_size": 32,
            "num_dense_layers": 1,
            "layer_types": ["conv", "full_attention"],
        },
    ),
    "mamba2": _causal(
        "Mamba2",
        "mamba2",
        {
            "vocab_size": 128,
            "hidden_size": 32,
            "state_size": 8,
            "num_hidden_layers": 1,
            "conv_kernel": 4,
            "num_heads": 4,
            "head_dim": 16,
            "n_groups": 1,
            "chunk_size": 32,
        },
    ),
    "vit": {"model_type": "vit", **VISION},
    "videomae": {"model_type": "videomae", **VISION, "num_frames": 4},
    "whisper": _head(
        "WhisperForConditionalGeneration",
        "whisper",
        {**_TRANSLATION, "max_source_positions": 100, "num_mel_bins": 16},
    ),
    "speech_to_text": _head("Speech2TextForConditionalGeneration", "speech_to_text", _TRANSLATION),
    "wav2vec2": _head("Wav2Vec2ForCTC", "wav2vec2", {**_SPEECH, "vocab_size": 32}),
    "hubert": {"model_type": "hubert", **_SPEECH},
    "ast": {
        "model_type": "audio-spectrogram-transformer",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    },
}
"""Networks of all other kinds."""


def counted_twice(
    values: Config, shapes: dict[str, tuple[int, ...]] | None = None
) -> tuple[ModelProfile, int, int]:
    """A configuration's profile, torch's count of one real run, and its parameters."""
    network = build_network(read_config(json.dumps(values).encode()))
    made = prepared(network, shapes or {})
    profile = profile_module(made.module, made.shapes, name="x", witness=False, dtypes=made.dtypes)
    module: Any = on_cpu(made.module).requires_grad_(False)
    if module._can_set_experts_implementation():
        module.set_experts_implementation("batched_mm")  # torch's counter knows no grouped products
    inputs = [
        torch.zeros(shape, dtype=getattr(torch, made.dtypes[name]))
        for name, shape in made.shapes.items()
    ]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(*inputs)
    params = sum(parameter.numel() for parameter in network.parameters())
    return profile, counter.get_total_flops() // 2, params


def said_to_be_left_out(profile: ModelProfile) -> int:
    """Multiply-accumulates that a line of the profile names and no layer has."""
    pattern = r"([\d,]+) MACs of \d+ products (?:of constants without|whose results)"
    found = re.findall(pattern, profile.provenance.note)
    return sum(int(text.replace(",", "")) for text in found)
