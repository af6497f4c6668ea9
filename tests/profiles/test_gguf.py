"""GGUF headers: names, shapes and widths are read; what is hostile costs one line."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from planner.domain.language_model import Experts, Mlp
from planner.errors import BadInputError
from planner.language import Phase, phase_profile
from profiles.from_gguf.child import main
from profiles.from_gguf.header import BLOCKS, read_header
from profiles.from_gguf.model import language_model_of
from profiles.language import load_language_model
from tests.profiles.gguf_files import (
    ARRAY,
    F32_TYPE,
    Q4_K,
    Q8_0,
    U64,
    Shapes,
    experts,
    gguf,
    llama,
    text,
)


def read(data: bytes) -> Any:
    return language_model_of(read_header(data), name="x")


@pytest.mark.parametrize("version", [2, 3])
def test_a_llama(version: int) -> None:
    model = read(gguf(*llama(), version=version))
    assert model.name == "Tiny Llama"
    assert model.order == (0, 0)
    block = model.kinds[0]
    assert isinstance(block.mlp, Mlp)
    attention = block.attention
    assert (attention.heads, attention.kv_heads, attention.key_size) == (4, 2, 64)
    assert attention.query[0].bytes == 256 * 256 // 256 * 144, "4.5 bits"
    assert attention.value is not None
    assert attention.value.bytes == 256 * 128 // 256 * 210, "and 6.5625"
    per = 2 * 256 + 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512
    profile = phase_profile(model, Phase(tokens=1, past=4, room=8))
    assert profile.totals.params == 2 * per + 256 + 2 * 256 * 512
    assert "10 Q4_K, 6 Q6_K" in model.provenance.note
    weights = 2 * (per - 2 * 256) + 2 * 256 * 512
    narrow = 2 * (2 * 256 * 256 + 256 * 128 + 2 * 256 * 512)
    bits = (narrow * 4.5 + (weights - narrow) * 6.5625) / weights
    assert model.weight_bits == pytest.approx(bits)


def test_experts_fused_queries_and_a_tied_head() -> None:
    model = read(gguf(*experts()))
    assert model.head is None
    (block,) = model.kinds
    mlp, attention = block.mlp, block.attention
    assert isinstance(mlp, Experts)
    assert attention.key is not None
    assert attention.query[0].biases == 256 and attention.key.biases == 128
    assert attention.key.bytes == 256 * 128 // 32 * 34
    assert attention.window == 64
    assert (mlp.count, mlp.active, mlp.shared) == (4, 2, 0)
    assert mlp.each.up.bytes == 256 * 256 // 32 * 17
    assert mlp.beside is not None and mlp.beside.up.outputs == 128
    assert mlp.beside_gate is not None


def test_a_latent_vector_whose_upper_matrix_is_in_two_parts() -> None:
    """256 numbers become 32 and 32 rotary ones; of the 32 four heads get 64 keys and 64 values."""
    attention = read(_latent(32)).kinds[0].attention
    assert attention.latent is not None
    assert (attention.latent.rank, attention.latent.rotary) == (32, 32)
    assert (attention.latent.up.inputs, attention.latent.up.outputs) == (32, 4 * (64 + 64))


@pytest.mark.parametrize(
    ("number", "bits"),
    [(1, 16), (2, 4.5), (8, 8.5), (10, 2.625), (11, 3.4375), (12, 4.5), (13, 5.5), (14, 6.5625)],
)
def test_widths_that_ggml_publishes(number: int, bits: float) -> None:
    _, weights, size = BLOCKS[number]
    assert Fraction(8 * size, weights) == Fraction(bits)


def test_a_file_with_data_behind_its_header(tmp_path: Path) -> None:
    path = tmp_path / "tiny.Q4_K_M.gguf"
    path.write_bytes(gguf(*llama(**{"general.name": ""})) + b"\x00" * 100_000)
    model = load_language_model(str(path))
    assert model.name == "tiny.Q4_K_M"
    assert model.provenance.source == path.name
    assert load_language_model(str(path), 8.5).weight_bits == 8.5


def _without(name: str) -> bytes:
    values, tensors = llama()
    del tensors[name]
    return gguf(values, tensors)


def _nested(depth: int) -> bytes:
    """A value that is an array of arrays of …."""
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("x") + struct.pack("<I", ARRAY)
    return data + struct.pack("<IQ", ARRAY, 1) * depth


def _latent(rank: int) -> bytes:
    """Keys and values out of one vector, whose upper matrix is in two parts."""
    values, tensors = llama(**{"llama.attention.kv_lora_rank": rank})
    for block in range(2):
        del tensors[f"blk.{block}.attn_k.weight"], tensors[f"blk.{block}.attn_v.weight"]
        tensors |= {
            f"blk.{block}.attn_kv_a_mqa.weight": ((256, 64), Q4_K),
            f"blk.{block}.attn_k_b.weight": ((32, 64, 4), F32_TYPE),
            f"blk.{block}.attn_v_b.weight": ((32, 64, 4), F32_TYPE),
        }
    return gguf(values, tensors)


# What is in a file is in the model, or the file is refused.


def also(shapes: Shapes, *without: str, of: str = "llama", **values: Any) -> tuple[Any, Shapes]:
    """The llama of two blocks under another name, each with these tensors and without those."""
    given, tensors = llama()
    renamed = {key.replace("llama.", f"{of}."): value for key, value in given.items()}
    for block in range(2):
        for name in without:
            del tensors[f"blk.{block}.{name}.weight"]
        tensors |= {f"blk.{block}.{name}": shape for name, shape in shapes.items()}
    told = {f"{of}.{key}": value for key, value in values.items()}
    return renamed | told | {"general.architecture": of}, tensors


def vectors(**sizes: int) -> Shapes:
    return {f"{name}.weight": ((size,), F32_TYPE) for name, size in sizes.items()}


def matrices(**shapes: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": (shape, Q8_0) for name, shape in shapes.items()}


def biases(**shapes: tuple[int, ...]) -> Shapes:
    return {f"{name}.bias": (shape, F32_TYPE) for name, shape in shapes.items()}


MIXED = matrices(
    ffn_gate_exps=(256, 64, 4), ffn_up_exps=(256, 64, 4), ffn_down_exps=(64, 256, 4)
) | {"ffn_gate_inp.weight": ((256, 4), F32_TYPE)}
"""A router and four experts of 64."""
DENSE = ("ffn_gate", "ffn_up", "ffn_down")
BOTH_ENDS = vectors(post_attention_norm=256, post_ffw_norm=256)

WRITTEN: dict[str, tuple[Any, Shapes]] = {
    "llama": also({"attn_rot_embd.weight": ((32,), F32_TYPE)}),
    "qwen2": also(biases(attn_q=(256,), attn_k=(128,), attn_v=(128,)), of="qwen2"),
    "qwen3": also(vectors(attn_q_norm=64, attn_k_norm=64), of="qwen3"),
    "gemma2": also(BOTH_ENDS, of="gemma2", **{"attention.sliding_window": 32}),
    "gemma3": also(BOTH_ENDS | vectors(attn_q_norm=64, attn_k_norm=64), of="gemma3"),
    "phi3": also(
        matrices(attn_qkv=(256, 512), ffn_up=(256, 1024)),
        *("attn_q", "attn_k", "attn_v", "ffn_gate"),
        of="phi3",
    ),
    "glm4": also(BOTH_ENDS | matrices(ffn_up=(256, 1024)), "ffn_gate", of="glm4"),
    "mixtral": also(MIXED, *DENSE, expert_used_count=2),
    "gpt-oss": also(
        MIXED
        | vectors(attn_sinks=4, post_attention_norm=256)
        | biases(attn_q=(256,), attn_k=(128,), attn_v=(128,), attn_output=(256,))
        | biases(ffn_gate_inp=(4,), ffn_gate_exps=(64, 4), ffn_up_exps=(64, 4))
        | biases(ffn_down_exps=(256, 4)),
        *(*DENSE, "ffn_norm"),
        of="gpt-oss",
        expert_used_count=2,
    ),
    "deepseek2": also(
        MIXED
        | matrices(attn_q_a=(256, 48), attn_q_b=(48, 256), attn_kv_a_mqa=(256, 64))
        | matrices(attn_k_b=(64, 32, 4), attn_v_b=(32, 64, 4))
        | matrices(ffn_gate_shexp=(256, 64), ffn_up_shexp=(256, 64), ffn_down_shexp=(64, 256))
        | vectors(attn_q_a_norm=48, attn_kv_a_norm=32)
        | biases(exp_probs_b=(4,)),
        *(*DENSE, "attn_q", "attn_k", "attn_v"),
        of="deepseek2",
        expert_used_count=2,
        **{"attention.kv_lora_rank": 32},
    ),
    "bitnet": also(vectors(attn_sub_norm=256, ffn_sub_norm=512), of="bitnet"),
    "dbrx": also(
        MIXED | vectors(attn_output_norm=256),
        *(*DENSE, "ffn_norm"),
        of="dbrx",
        expert_used_count=2,
    ),
}
"""Which tensors llama.cpp writes for a family."""


@pytest.mark.parametrize("family", WRITTEN)
def test_every_number_of_a_file_is_a_parameter(family: str) -> None:
    """All that it has, less the angles of rotary positions."""
    values, tensors = WRITTEN[family]
    model = read(gguf(values, tensors))
    profile = phase_profile(model, Phase(tokens=1, past=4, room=8))
    counted = [math.prod(shape) for name, (shape, _) in tensors.items() if "rot" not in name]
    assert profile.totals.params == sum(counted) - tensors["rope_freqs.weight"][0][0]
    assert not any(block.parallel for block in model.kinds)


@pytest.mark.parametrize(
    ("of", "left", "message"),
    [
        (
            "falcon-h1",  # a state beside attention: 2 (256 * 1100 + 4 * 640 + 512 * 256 + 8)
            matrices(ssm_in=(256, 1100), ssm_conv1d=(4, 640), ssm_out=(512, 256), ssm_a=(1, 8)),
            "falcon-h1: 8 matrices of 830,480 numbers are not known, the first blk.0.ssm_in.weight",
        ),
        ("arctic", MIXED, "6 matrices of 786,432 numbers are not known, the first blk.0.ffn_gate."),
        (
            "mllama",
            matrices(cross_attn_q=(256, 256), cross_attn_k=(256, 128)),
            "4 matrices of 196,608 numbers are not known, the first blk.0.cross_attn_q.weight",
        ),
        (
            "gemma3n",
            matrices(inp_gate=(256, 64), proj=(64, 256), laurel_l=(256, 16), laurel_r=(16, 256)),
            "8 matrices of 81,920 numbers are not known, the first blk.0.inp_gate.weight",
        ),
        ("step35", matrices(attn_gate=(256, 4)), "2 matrices of 2,048 numbers are not known"),
        (
            "grovemoe",
            matrices(ffn_up_chexps=(256, 64, 2)),
            "2 matrices of 65,536 numbers are not known",
        ),
    ],
)
def test_matrices_that_are_not_known_are_refused(of: str, left: Shapes, message: str) -> None:
    values, tensors = also(left, of=of, expert_used_count=2)
    with pytest.raises(BadInputError, match=message) as error:
        read(gguf(values, tensors))
    assert "\n" not in str(error.value)


def test_matrices_beside_the_blocks() -> None:
    """A part of the model that is not known is refused; the part of images is left out."""
    values, tensors = llama()
    plain = read(gguf(values, tensors))
    images: Shapes = {
        "v.blk.0.attn_q.weight": ((64, 64), F32_TYPE),
        "mm.0.weight": ((64, 256), F32_TYPE),
    }
    assert read(gguf(values, tensors | images)) == plain
    with pytest.raises(BadInputError, match=r"1 matrices of 65,536 numbers .* the first dense_2"):
        read(gguf(values, tensors | {"dense_2.weight": ((256, 256), F32_TYPE)}))
    found = read(gguf(values, tensors | {"token_embd_norm.weight": ((256,), F32_TYPE)}))
    assert "256 numbers of vectors beside the blocks are left out" in found.provenance.note
    with pytest.raises(BadInputError, match=r"the first blk\.1\.attn_q"):
        read(gguf(values | {"llama.block_count": 1}, tensors))


def test_blocks_that_guess_further_tokens_do_not_run() -> None:
    """``block_count`` has them; llama.cpp runs the others alone."""
    values, tensors = also({}, of="glm4moe", nextn_predict_layers=1, block_count=3)
    guess = {
        name.replace("blk.1.", "blk.2."): tensor
        for name, tensor in tensors.items()
        if name.startswith("blk.1.")
    }
    guess["blk.2.nextn.eh_proj.weight"] = ((512, 256), Q4_K)
    model = read(gguf(values, tensors | guess))
    plain = read(gguf(*llama()))
    assert (model.kinds, model.order) == (plain.kinds, (0, 0))
    assert model.weight_bits == plain.weight_bits
    assert "; 1 blocks that guess further tokens do not run" in model.provenance.note
    with pytest.raises(BadInputError, match="nextn_predict_layers: found 3 of 3 blocks"):
        read(gguf(values | {"glm4moe.nextn_predict_layers": 3}, tensors | guess))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "ends inside"),
    "another format": (b"\x89PNG\r\n\x1a\n" + b"\x00" * 64, "no GGUF file"),
    "version": (gguf(*llama(), version=9), "version 9"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "version"),
    "a billion tensors": (b"GGUF" + struct.pack("<IQQ", 3, 10**9, 0), "1,000,000,000 tensors"),
    "values without end": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "values"),
    "a long key": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**60),
        "a string of",
    ),
    "a long array": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("x") + struct.pack("<IIQ", ARRAY, U64, 2**61),
        "more than the file has",
    ),
    "an array that is cut": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("x") + struct.pack("<IIQ", ARRAY, U64, 30),
        "more than the file has|ends inside",
    ),
    "arrays in arrays": (_nested(100_000), "nested too deeply"),
    "an unknown value": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("x") + struct.pack("<I", 99) + b"\x00" * 8,
        "type 99",
    ),
    "keys twice": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + (text("x") + struct.pack("<II", 4, 1)) * 2,
        "key 'x' is there twice",
    ),
    "no architecture": (gguf({}, {}), "block_count"),
    "many blocks": (gguf(*llama(**{"llama.block_count": 10**6})), "block_count: found 1,000,000"),
    "no heads": (gguf(*llama(**{"llama.attention.head_count": 0})), "no attention"),
    "a latent vector of no numbers": (_latent(0), "kv_lora_rank: found 0"),
    "a tensor is missing": (_without("blk.1.ffn_down.weight"), "has no ffn_up and down"),
    "no embedding": (_without("token_embd.weight"), "token_embd.weight is missing"),
    "one of several files": (gguf(*llama(**{"split.count": 8})), "one of 8 files"),
    "dimensions": (
        gguf(llama()[0], {**llama()[1], "x": ((1,) * 9, F32_TYPE)}),
        "9 dimensions",
    ),
    "a shape": (gguf(llama()[0], {**llama()[1], "x": ((2**40, 2**20), Q4_K)}), "no model has"),
    "a type": (gguf(llama()[0], {**llama()[1], "x": ((1,), 77)}), "type 77"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_cost_one_line(case: str) -> None:
    data, message = HOSTILE[case]
    with pytest.raises(BadInputError, match=message) as error:
        main({"name": "x"}, data)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("content", ["", "just a text"])
def test_a_file_that_is_named_as_one_and_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_text(content)
    with pytest.raises(BadInputError, match=r"^model\.gguf: (is no GGUF file|GGUF: ends inside)"):
        load_language_model(str(path))


def in_parts(folder: Path, count: int = 3, **changed: Any) -> list[Path]:
    """A llama cut in parts: values in the first, its tensors dealt out."""
    values, tensors = llama()
    names = list(tensors)
    paths = []
    for part in range(count):
        mine = {name: tensors[name] for name in names[part::count]}
        split = {"split.no": part, "split.count": count, "split.tensors.count": len(names)}
        told = (values if part == 0 else {}) | split | (changed if part == 1 else {})
        path = folder / f"tiny-{part + 1:05}-of-{count:05}.gguf"
        path.write_bytes(gguf(told, mine))
        paths.append(path)
    return paths


def test_parts_of_a_file_are_read_beside_each_other(tmp_path: Path) -> None:
    whole = read(gguf(*llama()))
    for path in in_parts(tmp_path):
        found = load_language_model(str(path))
        assert (found.kinds, found.order, found.embedding, found.head) == (
            whole.kinds,
            whole.order,
            whole.embedding,
            whole.head,
        )
        assert found.weight_bits == whole.weight_bits


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    paths = in_parts(tmp_path)
    paths[1].unlink()
    with pytest.raises(BadInputError, match=r"tiny-00002-of-00003\.gguf"):
        load_language_model(str(paths[0]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split.no": 2}, "part 2: split.no: found 2, not 1"),
        ({"split.count": 10**6}, "part 2: split.count: found 1000000, not 3"),
    ],
)
def test_parts_of_other_files_are_refused(
    tmp_path: Path, changed: dict[str, int], message: str
) -> None:
    paths = in_parts(tmp_path, **changed)
    with pytest.raises(BadInputError, match=message):
        load_language_model(str(paths[0]))


def test_a_tensor_in_two_parts_is_refused(tmp_path: Path) -> None:
    paths = in_parts(tmp_path)
    split = {"split.no": 2, "split.count": 3}
    paths[2].write_bytes(gguf(split, {"token_embd.weight": ((256, 512), Q4_K)}))
    with pytest.raises(BadInputError, match=r"'token_embd\.weight' is in two parts"):
        load_language_model(str(paths[0]))


@pytest.mark.parametrize("name", ["x-00001-of-99999.gguf", "x-00000-of-00002.gguf"])
def test_more_parts_than_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gguf(*llama()))
    with pytest.raises(BadInputError, match="1 to 64 parts are read"):
        load_language_model(str(path))


def test_a_file_beside_that_is_no_part_is_not_read(tmp_path: Path) -> None:
    """A pipe or a folder by a part's name is refused, not waited for."""
    paths = in_parts(tmp_path)
    paths[2].unlink()
    paths[2].mkdir()
    with pytest.raises(BadInputError, match=r"tiny-00003-of-00003\.gguf"):
        load_language_model(str(paths[0]))


def test_the_child_refuses_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "evil.gguf"
    path.write_bytes(HOSTILE["a billion tensors"][0])
    with pytest.raises(BadInputError, match=r"^evil\.gguf: GGUF: declares 1,000,000,000 tensors"):
        load_language_model(str(path))


def test_two_thousand_mutants() -> None:
    """Each is read, or refused in one line; nothing else is raised."""
    chance = random.Random(7)
    whole = [gguf(*llama(**{"tokenizer.ggml.tokens": ["a"]})), gguf(*experts())]
    refused = 0
    for number in range(2000):
        data = bytearray(whole[number % 2])
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data))
            kind = chance.random()
            if kind < 0.5:
                data[at] = chance.randrange(256)
            elif kind < 0.7:
                data[at : at + 8] = struct.pack("<Q", chance.choice([0, 1, 2**31, 2**63, 10**9]))
            elif kind < 0.85:
                del data[at : at + chance.randint(1, 64)]
            else:
                data[at:at] = data[: chance.randint(1, 64)]
        try:
            found = main({"name": "x"}, bytes(data))
        except BadInputError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 600
        else:
            assert found["hidden"] >= 1
    assert 500 < refused < 2000
