"""Public configurations of the language models that people run; the catalogue is built from them.

What a configuration file says of shapes and quantisation, and nothing else of it.
`scripts/build_library.py` writes `profiles/library/language`.
"""

from __future__ import annotations

from typing import Any

_LLAMA3: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 128256,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "dtype": "bfloat16",
}
_LLAMA2 = {**_LLAMA3, "vocab_size": 32000, "max_position_embeddings": 4096, "dtype": "float16"}
_QWEN3 = {
    "model_type": "qwen3",
    "vocab_size": 151936,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "dtype": "bfloat16",
}
_QWEN3_EXPERTS = {
    **_QWEN3,
    "model_type": "qwen3_moe",
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 6144,
}
_GPT_OSS = {
    "model_type": "gpt_oss",
    "vocab_size": 201088,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
    "max_position_embeddings": 131072,
    "dtype": "bfloat16",
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
    },
}


def _sized(
    common: dict[str, Any], hidden: int, inner: int, layers: int, heads: int, **more: Any
) -> dict[str, Any]:
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }
    return {**common, **sizes, **more}


PRESETS: dict[str, dict[str, Any]] = {
    "llama-2-7b": _sized(_LLAMA2, 4096, 11008, 32, 32, num_key_value_heads=32),
    "llama-2-13b": _sized(_LLAMA2, 5120, 13824, 40, 40, num_key_value_heads=40),
    "llama-2-70b": _sized(_LLAMA2, 8192, 28672, 80, 64),
    "tinyllama-1.1b": _sized(
        _LLAMA2, 2048, 5632, 22, 32, num_key_value_heads=4, max_position_embeddings=2048
    ),
    "llama-3.2-1b": _sized(_LLAMA3, 2048, 8192, 16, 32, head_dim=64, tie_word_embeddings=True),
    "llama-3.2-3b": _sized(_LLAMA3, 3072, 8192, 28, 24, head_dim=128, tie_word_embeddings=True),
    "llama-3.1-8b": _sized(_LLAMA3, 4096, 14336, 32, 32),
    "llama-3.1-70b": _sized(_LLAMA3, 8192, 28672, 80, 64),
    "llama-3.1-405b": _sized(_LLAMA3, 16384, 53248, 126, 128),
    "mistral-7b-v0.3": _sized(
        {**_LLAMA3, "model_type": "mistral", "vocab_size": 32768, "sliding_window": None},
        4096,
        14336,
        32,
        32,
        max_position_embeddings=32768,
    ),
    "mixtral-8x7b": _sized(
        {**_LLAMA3, "model_type": "mixtral", "vocab_size": 32000, "sliding_window": None},
        4096,
        14336,
        32,
        32,
        num_local_experts=8,
        num_experts_per_tok=2,
        max_position_embeddings=32768,
    ),
    "qwen2.5-7b": _sized(
        {"model_type": "qwen2", "vocab_size": 152064, "dtype": "bfloat16"},
        3584,
        18944,
        28,
        28,
        num_key_value_heads=4,
        use_sliding_window=False,
        max_position_embeddings=131072,
        tie_word_embeddings=False,
    ),
    "qwen3-8b": _sized(_QWEN3, 4096, 12288, 36, 32, num_key_value_heads=8),
    "qwen3-32b": _sized(_QWEN3, 5120, 25600, 64, 64, num_key_value_heads=8),
    "qwen3-30b-a3b": _sized(_QWEN3_EXPERTS, 2048, 6144, 48, 32, moe_intermediate_size=768),
    "qwen3-235b-a22b": _sized(_QWEN3_EXPERTS, 4096, 12288, 94, 64, moe_intermediate_size=1536),
    "gemma-2-9b": _sized(
        {"model_type": "gemma2", "vocab_size": 256000, "head_dim": 256, "dtype": "bfloat16"},
        3584,
        14336,
        42,
        16,
        num_key_value_heads=8,
        sliding_window=4096,
        max_position_embeddings=8192,
    ),
    "gemma-3-27b": _sized(
        {"model_type": "gemma3_text", "vocab_size": 262208, "head_dim": 128, "dtype": "bfloat16"},
        5376,
        21504,
        62,
        32,
        num_key_value_heads=16,
        sliding_window=1024,
        max_position_embeddings=131072,
    ),
    "phi-4": _sized(
        {"model_type": "phi3", "vocab_size": 100352, "dtype": "bfloat16"},
        5120,
        17920,
        40,
        40,
        num_key_value_heads=10,
        sliding_window=None,
        max_position_embeddings=16384,
        tie_word_embeddings=False,
    ),
    "gpt-oss-20b": {**_GPT_OSS, "num_hidden_layers": 24, "num_local_experts": 32},
    "gpt-oss-120b": {**_GPT_OSS, "num_hidden_layers": 36, "num_local_experts": 128},
    "deepseek-v3": {
        "model_type": "deepseek_v3",
        "vocab_size": 129280,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "n_shared_experts": 1,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "first_k_dense_replace": 3,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
        "max_position_embeddings": 163840,
        "dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    },
}
"""By the catalogue's names."""
