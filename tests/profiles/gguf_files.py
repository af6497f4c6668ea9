"""GGUF files without data, written as ggml's documentation has them."""

from __future__ import annotations

import struct
from typing import Any

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
F32_TYPE, F16_TYPE, Q8_0, Q4_K, Q6_K, MXFP4 = 0, 1, 8, 12, 14, 39
_CODES = {U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q"}

Shapes = dict[str, tuple[tuple[int, ...], int]]


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def packed(value: Any) -> bytes:
    """A value with its type in front."""
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, float):
        return struct.pack("<If", F32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + text(value)
    items = [packed(item) for item in value]
    kind = struct.unpack("<I", items[0][:4])[0]
    head = struct.pack("<IIQ", ARRAY, kind, len(items))
    return head + b"".join(item[4:] for item in items)


def gguf(values: dict[str, Any], tensors: Shapes, version: int = 3) -> bytes:
    """The header of a file."""
    data = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values))
    for key, value in values.items():
        data += text(key) + packed(value)
    for name, (shape, kind) in tensors.items():
        data += text(name) + struct.pack("<I", len(shape))
        data += struct.pack(f"<{len(shape)}QIQ", *shape, kind, 0)
    return data


def llama(**changed: Any) -> tuple[dict[str, Any], Shapes]:
    """A Llama of two blocks: hidden 256, four heads, two of keys and values, inner 512."""
    values: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "Tiny Llama",
        "llama.block_count": 2,
        "llama.embedding_length": 256,
        "llama.feed_forward_length": 512,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.context_length": 2048,
        "tokenizer.ggml.tokens": [f"token {number}" for number in range(512)],
        "tokenizer.ggml.scores": [0.5] * 512,
    }
    tensors: Shapes = {
        "token_embd.weight": ((256, 512), Q6_K),
        "output_norm.weight": ((256,), F32_TYPE),
        "output.weight": ((256, 512), Q6_K),
        "rope_freqs.weight": ((32,), F32_TYPE),
    }
    for block in range(2):
        name = f"blk.{block}."
        tensors |= {
            f"{name}attn_norm.weight": ((256,), F32_TYPE),
            f"{name}attn_q.weight": ((256, 256), Q4_K),
            f"{name}attn_k.weight": ((256, 128), Q4_K),
            f"{name}attn_v.weight": ((256, 128), Q6_K),
            f"{name}attn_output.weight": ((256, 256), Q4_K),
            f"{name}ffn_norm.weight": ((256,), F32_TYPE),
            f"{name}ffn_gate.weight": ((256, 512), Q4_K),
            f"{name}ffn_up.weight": ((256, 512), Q4_K),
            f"{name}ffn_down.weight": ((512, 256), Q6_K),
        }
    return values | changed, tensors


def experts() -> tuple[dict[str, Any], Shapes]:
    """A Qwen-MoE of one block with four experts of 256 and a shared one, fused queries."""
    values, tensors = llama()
    renamed = {key.replace("llama.", "qwen2moe."): value for key, value in values.items()}
    renamed |= {
        "general.architecture": "qwen2moe",
        "qwen2moe.block_count": 1,
        "qwen2moe.expert_count": 4,
        "qwen2moe.expert_used_count": 2,
        "qwen2moe.attention.sliding_window": 64,
    }
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("blk.")}
    del kept["output.weight"]
    block: Shapes = {
        "attn_norm.weight": ((256,), F32_TYPE),
        "attn_qkv.weight": ((256, 512), Q8_0),
        "attn_qkv.bias": ((512,), F32_TYPE),
        "attn_output.weight": ((256, 256), Q8_0),
        "ffn_norm.weight": ((256,), F32_TYPE),
        "ffn_gate_inp.weight": ((256, 4), F32_TYPE),
        "ffn_gate_exps.weight": ((256, 256, 4), MXFP4),
        "ffn_up_exps.weight": ((256, 256, 4), MXFP4),
        "ffn_down_exps.weight": ((256, 256, 4), MXFP4),
        "ffn_gate_inp_shexp.weight": ((256,), F32_TYPE),
        "ffn_gate_shexp.weight": ((256, 128), Q8_0),
        "ffn_up_shexp.weight": ((256, 128), Q8_0),
        "ffn_down_shexp.weight": ((128, 256), Q8_0),
    }
    return renamed, kept | {f"blk.0.{name}": tensor for name, tensor in block.items()}
