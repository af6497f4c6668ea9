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
    query_key_norm : {"", "head", "said", "all", "bare"}
        Norms of queries and keys: of every head's numbers alike, always or where the file says so;
        of all heads' numbers; or without parameters.
    tied : bool
        Whether the head is the embedding, where the file does not say.
    head_size : int
        Where the file does not say; 0: the hidden numbers over the heads.
    window : {"", "all", "odd", "pattern", "qwen"}
        Which layers have the sliding window, where the file does not list them; ``qwen``: those
        from ``max_window_layers`` on, where the file says that there is one.
    period : int
        Of a pattern, whose last layer sees everything.
    positions : int
        Rows of the table of positions beside those of the context; -1: there is none.
    experts : {"", "mixtral", "qwen", "deepseek", "llama4"}
        How the file says which layers have experts.
    shared_gate, router_bias, expert_biases, sinks, latent : bool
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
    query_key_norm: QueryKeyNorm = ""
    tied: bool = False
    head_size: int = 0
    window: Literal["", "all", "odd", "pattern", "qwen"] = ""
    period: int = 0
    positions: int = -1
    experts: Literal["", "mixtral", "qwen", "deepseek", "llama4"] = ""
    shared_gate: bool = False
    router_bias: bool = False
    expert_biases: bool = False
    sinks: bool = False
    latent: bool = False


_SAID = Family(query_bias="attention_bias", output_bias="attention_bias")
"""Attention whose biases the file speaks of."""
_LLAMA = replace(_SAID, mlp_bias="mlp_bias")
_QWEN2 = Family(query_bias=True, window="qwen")
_QWEN3 = replace(_SAID, query_key_norm="head", window="qwen")
_GEMMA = replace(_SAID, tied=True, head_size=256)
_GEMMA2 = replace(_GEMMA, norms="aAmM", window="odd")
_GPT = Family(
    gated=False,
    norm="layer_norm",
    norm_biases=True,
    query_bias=True,
    output_bias=True,
    mlp_bias=True,
)

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "smollm3": replace(_LLAMA, tied=True),
    "granite": _LLAMA,
    "mistral": Family(window="all"),
    "ministral": Family(window="all"),
    "qwen2": _QWEN2,
    "qwen3": replace(_QWEN3, head_size=128),
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": replace(_GEMMA2, query_key_norm="head", window="pattern", period=6),
    "phi": replace(_GPT, norms="a", head_bias=True, parallel=True),
    "phi3": Family(window="all"),
    "gpt2": replace(_GPT, tied=True, positions=0),
    "gpt_neox": replace(
        _GPT,
        query_bias="attention_bias",
        output_bias="attention_bias",
        parallel="use_parallel_residual",
    ),
    "starcoder2": replace(
        _GPT,
        query_bias="use_bias",
        output_bias="use_bias",
        mlp_bias="use_bias",
        tied=True,
        window="all",
    ),
    "stablelm": Family(
        norm="layer_norm",
        norm_biases=True,
        query_bias="use_qkv_bias",
    ),
    "olmo2": replace(_SAID, norms="AM", query_key_norm="all"),
    "cohere": replace(_SAID, norm="layer_norm", norms="a", parallel=True, tied=True),
    "mixtral": Family(experts="mixtral", window="all"),
    "qwen2_moe": replace(_QWEN2, query_bias="qkv_bias", experts="qwen", shared_gate=True),
    "qwen3_moe": replace(_QWEN3, experts="qwen"),
    "olmoe": replace(_SAID, query_key_norm="all", experts="mixtral"),
    "deepseek_v2": Family(latent=True, experts="deepseek"),
    "deepseek_v3": Family(latent=True, experts="deepseek"),
    "glm4_moe": Family(query_bias="attention_bias", query_key_norm="said", experts="deepseek"),
    "gpt_oss": Family(
        query_bias=True,
        output_bias=True,
        head_size=64,
        window="odd",
        experts="mixtral",
        router_bias=True,
        expert_biases=True,
        sinks=True,
    ),
    "llama4_text": replace(_SAID, query_key_norm="bare", experts="llama4", head_size=128),
}
"""By ``model_type``."""

TRUE_BY_DEFAULT = {
    ("gpt_neox", "attention_bias"),
    ("gpt_neox", "use_parallel_residual"),
    ("starcoder2", "use_bias"),
    ("qwen2_moe", "qkv_bias"),
}
"""Keys that are on where a file of that type does not name them."""
