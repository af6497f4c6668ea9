"""Every refusal of a GGUF header, with the header that brings it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from planner.errors import BadInputError
from profiles.from_gguf.header import MAX_TENSORS, read_header, read_headers
from profiles.from_gguf.model import language_model_of
from tests.messages import message_of
from tests.profiles.gguf_files import ARRAY, F32_TYPE, Q4_K, Shapes, experts, gguf, llama, text

Values = dict[str, Any]


def refused(data: bytes) -> str:
    with pytest.raises(BadInputError) as caught:
        language_model_of(read_header(data), name="x")
    message = str(caught.value)
    assert message.isprintable()
    return message


def header(*body: bytes, version: int = 3, tensors: int = 0, values: int = 0) -> bytes:
    """A header of these bytes behind the numbers of what it holds."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values) + b"".join(body)


def value(kind: int, *body: bytes) -> bytes:
    return header(text("key"), struct.pack("<I", kind), *body, values=1)


def tensor(*shape: int, kind: int = F32_TYPE) -> bytes:
    numbers = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, 0)
    return header(text("x"), numbers, tensors=1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04", "is no GGUF file: it does not begin with GGUF"),
        (header(version=1), "GGUF: found version 1; versions 2 and 3 of little-endian files are"),
        (header(tensors=10**9), "declares 1,000,000,000 tensors and 0 values; at most"),
        (header(values=10**9), "declares 0 tensors and 1,000,000,000 values; at most"),
        (header()[:10], "ends inside of its header"),
        (value(13), "'key' is of type 13; 0 to 12 are known"),
        (value(8, struct.pack("<Q", 2**40)), "a string of 1,099,511,627,776 bytes; at most"),
        (
            value(ARRAY, *[struct.pack("<IQ", ARRAY, 1)] * 9, struct.pack("<IQ", 0, 0)),
            "'key' is nested too deeply",
        ),
        (
            value(ARRAY, struct.pack("<IQ", 8, 2**40)),
            "'key' declares 1,099,511,627,776 items, more than the file has",
        ),
        (header(*[text("key"), struct.pack("<IB", 0, 1)] * 2, values=2), "'key' is there twice"),
        (tensor(), "tensor 'x' has 0 dimensions"),
        (tensor(4, 0), "tensor 'x' has a shape that no model has"),
        (tensor(2**40, 2**40), "tensor 'x' has a shape that no model has"),
        (tensor(4, kind=999), "tensor 'x' is of type 999, not known here"),
    ],
)
def test_headers(data: bytes, message: str) -> None:
    assert message in refused(data)


def _parts(count: int, **first: Any) -> list[bytes]:
    """A file in two parts of so many tensors each."""
    return [
        gguf(
            {"split.count": 2, "split.no": part} | (first if part == 0 else {}),
            {f"{part}.{number}": ((1,), F32_TYPE) for number in range(count)},
        )
        for part in range(2)
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (_parts(MAX_TENSORS // 2 + 1), "GGUF: 65,538 tensors; at most 65,536 are read"),
        (
            _parts(2, **{"split.tensors.count": 5}),
            "GGUF: the parts have 4 tensors, the first says 5",
        ),
    ],
    ids=["too many", "another number"],
)
def test_parts(parts: list[bytes], message: str) -> None:
    assert message_of(lambda: read_headers(parts)) == message


def _latent(**values: Any) -> tuple[Values, Shapes]:
    given, tensors = llama(**{"llama.attention.kv_lora_rank": 32, **values})
    for block in range(2):
        tensors[f"blk.{block}.attn_kv_a_mqa.weight"] = ((256, 64), Q4_K)
    return given, tensors


def _shaped(name: str, *shape: int) -> tuple[Values, Shapes]:
    values, tensors = llama()
    return values, tensors | {name: (shape, F32_TYPE)}


def _experts(change: Callable[[Shapes], Any]) -> tuple[Values, Shapes]:
    values, tensors = experts()
    change(tensors)
    return values, tensors


def _without(name: str) -> tuple[Values, Shapes]:
    values, tensors = llama()
    del tensors[name]
    return values, tensors


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (llama(**{"llama.block_count": 0}), "block_count: found 0; 1 to 512 are read"),
        (llama(**{"llama.block_count": 513}), "block_count: found 513; 1 to 512 are read"),
        (
            llama(**{"llama.embedding_length": "wide\n"}),
            "llama.embedding_length: found wide\\n; a number is needed",
        ),
        (
            llama(**{"llama.attention.head_count": [4]}),
            "llama.attention.head_count: found None; a number is needed",
        ),
        (llama(**{"llama.attention.head_count_kv": 0}), "blk.0 has no attention; such blocks"),
        (_without("token_embd.weight"), "the tensor token_embd.weight is missing"),
        (_without("blk.1.attn_output.weight"), "the tensor blk.1.attn_output.weight is missing"),
        (_without("blk.1.ffn_down.weight"), "a block has no ffn_up and down"),
        (_shaped("token_embd.weight", 256), "token_embd.weight is no table"),
        (
            _shaped("blk.0.ffn_up.weight", 4, 4, 4),
            "a tensor of shape (4, 4, 4) where 1 matrices must be",
        ),
        (
            _shaped("blk.0.attn_qkv.weight", 256, 511),
            "a fused matrix does not divide into its parts",
        ),
        (
            _latent(**{"llama.attention.kv_lora_rank": 0}),
            "llama.attention.kv_lora_rank: found 0; 1 is the least",
        ),
        (_latent(), "the tensor blk.0.attn_kv_b.weight is missing"),
        (
            _experts(lambda tensors: tensors.pop("blk.0.ffn_up_exps.weight")),
            "experts in a tensor each are of an old form; convert it anew",
        ),
        (
            _experts(
                lambda tensors: tensors.update(
                    {"blk.0.ffn_up_exps.weight": ((256, 256, 3), F32_TYPE)}
                )
            ),
            "a tensor of shape (256, 256, 3) where 4 matrices must be",
        ),
    ],
)
def test_models(made: tuple[Values, Shapes], message: str) -> None:
    assert message in refused(gguf(*made))
