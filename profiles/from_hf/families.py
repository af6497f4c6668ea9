"""What the architectures of causal models have in common, and what each has of its own.

One row per ``model_type`` says what its ``config.json`` leaves out. A test holds every row against
the network that transformers builds from the same values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

QueryKeyNorm = Literal["", "head", "said", "all", "bare"]


@dataclass(frozen=True)
class Family:
    """An architecture.

    Attributes
    ----------
    gated : bool
        A gate beside the first matrix of the network.
    norm : {"rms_norm", "layer_norm"}
    norm_biases : bool
        A norm has a bias for each of its weights.
    norms : str
        Where they stand: ``a`` in front of attention, ``A`` behind it, ``m`` and ``M`` of the
        network.
    query_bias, output_bias, mlp_bias : bool or str
        Whether there are biases, or the key that says so.
    head_bias : bool
    parallel : bool or str
        Attention and network read the same, or the key that says so.
    one_norm : bool
        Where they do, what they read went through one norm: the network has none of its own.
    query_key_norm : {"", "head", "said", "all", "bare"}
        Norms of queries and keys: of every head's numbers alike, always or where the file says so;
        of all heads' numbers; or without parameters.
    window : {"", "all", "pattern", "first", "last", "rotated", "unrotated"}
        Which layers have the window, where the file does not list them. ``first``: every other one
        of those before ``max_window_layers``; ``last``: those from there on; ``rotated``: those
        with rotary positions, in chunks; ``unrotated``: those without.
    window_asked : bool
        There is a window only where the file says so (``use_sliding_window``).
    period : int
        Of a pattern, whose last layer sees everything.
    positions : int
        Rows of the table of positions beside those of the context; -1: there is none.
    experts : {"", "mixtral", "qwen", "deepseek", "llama4"}
        How the file says which layers have experts.
    shared_gate, router_bias, expert_biases, sinks, latent : bool
    unread : tuple of str
        Keys that other families read and this one does not, whatever a file says there.
    refused : tuple of str
        Keys that turn on what is not known here.
    """

    gated: bool = True
    norm: Literal["rms_norm", "layer_norm"] = "rms_norm"
    norm_biases: bool = False
    norms: str = "am"
    query_bias: bool | str = False
    output_bias: bool | str = False
    mlp_bias: bool | str = False
    head_bias: bool = False
    parallel: bool | str = False
    one_norm: bool = False
    query_key_norm: QueryKeyNorm = ""
    window: Literal["", "all", "pattern", "first", "last", "rotated", "unrotated"] = ""
    window_asked: bool = False
    period: int = 0
    positions: int = -1
    experts: Literal["", "mixtral", "qwen", "deepseek", "llama4"] = ""
    shared_gate: bool = False
    router_bias: bool = False
    expert_biases: bool = False
    sinks: bool = False
    latent: bool = False
    unread: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


_SAID = Family(query_bias="attention_bias", output_bias="attention_bias")
"""Attention whose biases the file speaks of."""
_LLAMA = replace(_SAID, mlp_bias="mlp_bias")
_QWEN2 = Family(query_bias=True, window="last", window_asked=True)
_QWEN3 = replace(_SAID, query_key_norm="head", window="last", window_asked=True)
_GEMMA2 = replace(_SAID, norms="aAmM", window="pattern", period=2)
_GPT = Family(
    gated=False,
    norm="layer_norm",
    norm_biases=True,
    query_bias=True,
    output_bias=True,
    mlp_bias=True,
)
_SHARED_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads")
_EXPERT_SIZE = ("moe_intermediate_size",)
"""Where experts are as wide as ``intermediate_size`` says."""
_PERIOD = ("sliding_window_pattern",)

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "smollm3": replace(_LLAMA, window="unrotated", window_asked=True),
    "granite": _LLAMA,
    "mistral": Family(window="all"),
    "ministral": Family(window="all"),
    "qwen2": _QWEN2,
    "qwen3": _QWEN3,
    "gemma": _SAID,
    "gemma2": replace(_GEMMA2, unread=_PERIOD),
    "gemma3_text": replace(_GEMMA2, query_key_norm="head", period=6),
    "phi": replace(_GPT, norms="a", head_bias=True, parallel=True),
    "phi3": Family(window="all"),
    "gpt2": replace(
        _GPT,
        positions=0,
        unread=(*_SHARED_HEADS, "head_dim", "intermediate_size", "ffn_dim"),
        refused=("add_cross_attention",),
    ),
    "gpt_neox": replace(
        _GPT,
        query_bias="attention_bias",
        output_bias="attention_bias",
        parallel="use_parallel_residual",
        unread=(*_SHARED_HEADS, "head_dim"),
    ),
    "starcoder2": replace(
        _GPT,
        query_bias="use_bias",
        output_bias="use_bias",
        mlp_bias="use_bias",
        window="all",
    ),
    "stablelm": Family(
        norm="layer_norm",
        norm_biases=True,
        query_bias="use_qkv_bias",
        parallel="use_parallel_residual",
        one_norm=True,
        unread=("head_dim",),
    ),
    "olmo2": replace(_SAID, norms="AM", query_key_norm="all"),
    "cohere": replace(_SAID, norm="layer_norm", norms="a", parallel=True),
    "mixtral": Family(experts="mixtral", window="all", unread=_EXPERT_SIZE),
    "qwen2_moe": replace(
        _QWEN2, query_bias="qkv_bias", window="first", experts="qwen", shared_gate=True
    ),
    "qwen3_moe": replace(_QWEN3, window="all", experts="qwen"),
    "olmoe": replace(_SAID, query_key_norm="all", experts="mixtral", unread=_EXPERT_SIZE),
    "deepseek_v2": Family(latent=True, mlp_bias="mlp_bias", experts="deepseek"),
    "deepseek_v3": Family(latent=True, experts="deepseek"),
    "glm4_moe": Family(query_bias="attention_bias", query_key_norm="said", experts="deepseek"),
    "gpt_oss": replace(
        _SAID,
        window="pattern",
        period=2,
        experts="mixtral",
        router_bias=True,
        expert_biases=True,
        sinks=True,
        unread=(*_EXPERT_SIZE, *_PERIOD),
    ),
    "llama4_text": replace(
        _SAID, query_key_norm="bare", window="rotated", experts="llama4", unread=_EXPERT_SIZE
    ),
}
"""By ``model_type``."""

_WINDOW = {"sliding_window": 4096}
_LAST_WINDOWS = {**_WINDOW, "max_window_layers": 28}
_TIED: dict[str, int] = {"tie_word_embeddings": True}
_LATENT = {
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}

DEFAULTS: dict[str, dict[str, int]] = {
    "smollm3": {**_TIED, "num_key_value_heads": 4, "no_rope_layer_interval": 4},
    "mistral": {**_WINDOW, "num_key_value_heads": 8},
    "ministral": {**_WINDOW, "num_key_value_heads": 8},
    "qwen2": {**_LAST_WINDOWS, "num_key_value_heads": 32},
    "qwen3": {**_LAST_WINDOWS, "num_key_value_heads": 32, "head_dim": 128},
    "gemma": {**_TIED, "num_key_value_heads": 16, "head_dim": 256},
    "gemma2": {**_TIED, **_WINDOW, "num_key_value_heads": 4, "head_dim": 256},
    "gemma3_text": {**_TIED, **_WINDOW, "num_key_value_heads": 4, "head_dim": 256},
    "gpt2": {**_TIED, "n_positions": 1024},
    "gpt_neox": {"attention_bias": True, "use_parallel_residual": True},
    "starcoder2": {**_TIED, "num_key_value_heads": 2, "use_bias": True},
    "stablelm": {"num_key_value_heads": 32},
    "cohere": _TIED,
    "mixtral": {"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {
        **_LAST_WINDOWS,
        "num_key_value_heads": 16,
        "qkv_bias": True,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "decoder_sparse_step": 1,
    },
    "qwen3_moe": {
        **_WINDOW,
        "num_key_value_heads": 4,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
        "decoder_sparse_step": 1,
    },
    "olmoe": {"num_experts": 64, "num_experts_per_tok": 8},
    "deepseek_v2": {
        **_LATENT,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "moe_intermediate_size": 1407,
    },
    "deepseek_v3": {
        **_LATENT,
        "num_key_value_heads": 128,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 2048,
        "first_k_dense_replace": 3,
    },
    "glm4_moe": {
        "num_key_value_heads": 8,
        "n_routed_experts": 128,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 1408,
        "first_k_dense_replace": 1,
    },
    "gpt_oss": {
        "attention_bias": True,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "sliding_window": 128,
        "num_local_experts": 128,
        "num_experts_per_tok": 4,
    },
    "llama4_text": {
        "num_key_value_heads": 8,
        "head_dim": 128,
        "attention_chunk_size": 8192,
        "no_rope_layer_interval": 4,
        "use_qk_norm": True,
        "intermediate_size_mlp": 16384,
        "num_local_experts": 16,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 1,
    },
}
"""What a key is where a file of that type does not name it, as transformers' classes have it.

A key that is there and null is none of these: Mistral's files say so that there is no window. What
has no row is off, or follows from the sizes; sizes that no file leaves out have none.
"""
