"""Causal models by their shapes alone: hand formulas, transformers' networks, torch's counter."""

from __future__ import annotations

import dataclasses
import inspect
import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.domain.workload import Workload
from planner.errors import BadInputError
from planner.language import Phase, cache_token_bytes, phase_profile, phases_of
from profiles.catalog import language_names, load_language, load_model
from profiles.files import document_text
from profiles.from_hf.causal import language_model_of
from profiles.from_hf.config import name_of_config, read_config
from profiles.from_hf.families import DEFAULTS, FAMILIES
from profiles.from_hf.network import build_network, prepared
from profiles.from_torch.traced import on_cpu
from profiles.language import load_language_model
from profiles.presets import PRESETS
from tests.profiles.small_configs import EXPERTS, GROUPED, PHI3, TEXT, Config

PROMPT, FILL, ROOM = 100, 300, 1000


def phases(values: Config, **workload: Any) -> tuple[ModelProfile, ModelProfile]:
    """A prompt of 100 tokens, and a step behind 300, with room for 1,000."""
    model = language_model_of(values, name="x")
    asked = {"prompt": PROMPT, "answer": 20, "fill": FILL, "context": ROOM, **workload}
    found = phases_of(model, Workload(**asked))
    return found.prompt, found.step


def kept(profile: ModelProfile) -> list[tuple[int, int]]:
    """What every block keeps of a token, and of all."""
    return [(x.cache_token_bytes, x.cache_bytes) for x in profile.layers if x.op == "attention"]


# Hand formulas. Everything is counted from the architecture's papers, block by block; nothing of
# planner.language is used. Widths: H hidden, F inner, V vocabulary, L blocks, n heads, m heads of
# keys and values, d numbers of a head.


def dense(H: int, F: int, V: int, L: int, n: int, m: int, d: int) -> dict[str, int]:
    matrices = 2 * H * n * d + 2 * H * m * d + 3 * H * F
    return {"weights": L * matrices, "head": V * H, "meets": L * n * 2 * d, "keeps": 2 * m * d}


@pytest.mark.parametrize(
    ("name", "norms", "window", "found"),
    [
        # one row a family: parameters that are no matrices, blocks with a window, the formula
        ("llama-3.1-8b", 32 * 2 * 4096 + 4096, 0, dense(4096, 14336, 128256, 32, 32, 8, 128)),
        (
            "qwen2.5-7b",  # biases of q, k and v
            28 * (2 * 3584 + 3584 + 2 * 512) + 3584,
            0,
            dense(3584, 18944, 152064, 28, 28, 4, 128),
        ),
        ("mistral-7b-v0.3", 32 * 2 * 4096 + 4096, 0, dense(4096, 14336, 32768, 32, 32, 8, 128)),
        ("phi-4", 40 * 2 * 5120 + 5120, 0, dense(5120, 17920, 100352, 40, 40, 10, 128)),
    ],
)
def test_dense_families_by_hand(name: str, norms: int, window: int, found: dict[str, int]) -> None:
    prompt, step = phases(PRESETS[name])
    blocks = PRESETS[name]["num_hidden_layers"]
    for profile in (prompt, step):
        assert profile.totals.params == found["weights"] + 2 * found["head"] + norms
    assert step.totals.macs == found["weights"] + found["head"] + found["meets"] * (FILL + 1)
    meets = found["meets"] * PROMPT * PROMPT
    assert prompt.totals.macs == found["weights"] * PROMPT + found["head"] + meets
    each = 2 * found["keeps"]  # bytes of 16-bit numbers
    assert kept(step) == kept(prompt) == [(each, each * ROOM)] * blocks
    reads = [layer.read_bytes for layer in step.layers if layer.op == "attention"]
    assert reads == [each * FILL] * blocks, "the bytes that are there, not the room"


def test_gemma_by_hand() -> None:
    """Every second block sees 4,096 tokens; the head is the embedding; four norms a block."""
    H, F, V, n, m, d = 3584, 14336, 256000, 16, 8, 256
    prompt, step = phases(PRESETS["gemma-2-9b"], prompt=5000, context=8000, fill=6000)
    matrices = 2 * H * n * d + 2 * H * m * d + 3 * H * F
    assert step.totals.params == 42 * (matrices + 4 * H) + H + V * H
    seen = 21 * 4096 + 21 * 6001
    assert step.totals.macs == 42 * matrices + V * H + 2 * n * d * seen
    assert prompt.totals.macs == 5000 * 42 * matrices + V * H + 2 * n * d * 5000 * 21 * (
        4096 + 5000
    )
    each = 2 * 2 * m * d
    assert kept(step) == [(each, each * 4096), (each, each * 8000)] * 21
    assert step.totals.param_bytes - sum(b for _, b in kept(step)) == 2 * step.totals.params


def test_gpt2_by_hand() -> None:
    """Positions are a table, norms and matrices have biases, the head is the embedding."""
    H, V, P, L = 768, 50257, 1024, 12
    prompt, step = phases({**GPT2, "n_positions": P}, context=1000)
    block = 12 * H * H + 3 * H + H + 4 * H + H + 4 * H
    assert step.totals.params == L * block + 2 * H + (V + P) * H == 124_439_808
    assert step.totals.macs == L * 12 * H * H + V * H + L * 2 * H * (FILL + 1)
    assert prompt.totals.macs == PROMPT * L * 12 * H * H + V * H + L * 2 * H * PROMPT**2
    assert kept(step) == [(2 * 2 * H, 2 * 2 * H * ROOM)] * L


GPT2: Config = {
    "model_type": "gpt2",
    "vocab_size": 50257,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_positions": 1024,
    "dtype": "bfloat16",
}


@pytest.mark.parametrize(
    ("name", "total"),
    [("mixtral-8x7b", 46_702_792_704), ("qwen3-30b-a3b", 30_532_122_624)],
)
def test_experts_by_hand(name: str, total: int) -> None:
    """All experts are stored; a token meets some, and of a prompt's tokens all meet most."""
    config = PRESETS[name]
    H, L, V = config["hidden_size"], config["num_hidden_layers"], config["vocab_size"]
    n, m = config["num_attention_heads"], config["num_key_value_heads"]
    d = config.get("head_dim", H // n)
    E, k = config.get("num_local_experts") or config["num_experts"], config["num_experts_per_tok"]
    inner = config.get("moe_intermediate_size", config["intermediate_size"])
    heads = 2 * H * n * d + 2 * H * m * d
    expert = 3 * H * inner
    query_key_norms = 2 * d if "qwen3" in name else 0
    params = L * (heads + E * expert + E * H + 2 * H + query_key_norms) + H + 2 * V * H
    prompt, step = phases(config)
    assert step.totals.params == params == total
    met = L * (heads + k * expert + E * H)
    assert step.totals.macs == met + V * H + L * n * 2 * d * (FILL + 1)
    assert prompt.totals.macs == PROMPT * met + V * H + L * n * 2 * d * PROMPT**2
    read = sum(x.read_bytes or 0 for x in step.layers if ".experts." in x.name)
    assert read == L * k * expert * 2, "one token reads its own experts"
    read = sum(x.read_bytes or 0 for x in prompt.layers if ".experts." in x.name)
    distinct = E * (1 - (1 - k / E) ** PROMPT)
    assert read == pytest.approx(L * distinct * expert * 2, rel=1e-6)


def test_deepseek_by_hand() -> None:
    """One vector of 576 numbers is kept; the three first blocks are dense; a shared expert."""
    H, n, plain, rotary, v, q, r, V = 7168, 128, 128, 64, 128, 1536, 512, 129280
    heads = H * q + q * n * (plain + rotary) + H * (r + rotary) + r * n * (plain + v) + n * v * H
    dense_mlp, expert = 3 * H * 18432, 3 * H * 2048
    values = {**PRESETS["deepseek-v3"], "quantization_config": None}
    prompt, step = phases(values)
    norms = 2 * H + q + r
    stored = 3 * (heads + dense_mlp + norms) + 58 * (heads + 257 * expert + 256 * H + norms)
    assert step.totals.params == stored + H + 2 * V * H == 671_026_404_352
    met = 3 * (heads + dense_mlp) + 58 * (heads + 9 * expert + 256 * H)
    # a step meets the vectors themselves: all heads, both ways
    assert step.totals.macs == met + V * H + 61 * n * (2 * r + rotary) * (FILL + 1)
    meets = 61 * n * (plain + rotary + v) * PROMPT**2
    assert prompt.totals.macs == PROMPT * met + V * H + meets
    assert kept(step) == [(2 * 576, 2 * 576 * ROOM)] * 61


def test_gpt_oss_by_hand() -> None:
    """Experts of 4.25 bits, biases everywhere, a sink a head, every other block sees 128 tokens."""
    H, V, n, m, d, E, k, L = 2880, 201088, 64, 8, 64, 32, 4, 24
    heads = H * n * d + 2 * H * m * d + n * d * H
    expert = 3 * H * H
    biases = n * d + 2 * m * d + H + E * 3 * H + E
    prompt, step = phases(PRESETS["gpt-oss-20b"])
    per = heads + E * expert + E * H + biases + n + 2 * H
    assert step.totals.params == L * per + H + 2 * V * H == 20_914_757_184
    met = L * (heads + k * expert + E * H)
    seen = 12 * 128 + 12 * (FILL + 1)
    assert step.totals.macs == met + V * H + n * 2 * d * seen
    assert prompt.totals.macs == PROMPT * met + V * H + L * n * 2 * d * PROMPT**2
    each = 2 * 2 * m * d
    assert kept(step) == [(each, each * 128), (each, each * ROOM)] * 12
    stored = sum(x.param_bytes for x in step.layers if ".experts." in x.name)
    assert stored == L * (E * expert * 17 // 32 + 2 * E * 3 * H)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-3.1-70b", 70_553_706_496),
        ("llama-3.1-405b", 405_853_388_800),
        ("qwen3-8b", 8_190_735_360),
        ("qwen3-235b-a22b", 235_093_634_560),
        ("gemma-2-9b", 9_241_705_984),
        ("mistral-7b-v0.3", 7_248_023_552),
        ("phi-4", 14_659_507_200),
        ("gpt-oss-120b", 116_829_156_672),
        ("tinyllama-1.1b", 1_100_048_384),
    ],
)
def test_parameters_that_their_makers_publish(name: str, params: int) -> None:
    one = Phase(tokens=1, past=8, room=16)
    assert phase_profile(load_language(name), one).totals.params == params


# Against transformers.

_LATENT = EXPERTS["deepseek_v3"]
SMALL: dict[str, Config] = {
    **{kind: {**GROUPED, "head_dim": 16} for kind in FAMILIES},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128, "n_positions": 256},
    "gpt_neox": TEXT,
    "phi": GROUPED,
    "phi3": PHI3,
    "starcoder2": GROUPED,
    "stablelm": {**GROUPED, "use_qkv_bias": True, "partial_rotary_factor": 0.25},
    "gemma2": {**GROUPED, "head_dim": 16, "sliding_window": 32},
    "gemma3_text": {**GROUPED, "head_dim": 16, "sliding_window": 32, "num_hidden_layers": 7},
    "deepseek_v2": EXPERTS["deepseek_v2"],
    "deepseek_v3": _LATENT,
    "glm4_moe": {**EXPERTS["glm4_moe"], "use_qk_norm": True},
    "mixtral": EXPERTS["mixtral"],
    "qwen2_moe": EXPERTS["qwen2_moe"],
    "qwen3_moe": EXPERTS["qwen3_moe"],
    "olmoe": EXPERTS["olmoe"],
    "gpt_oss": EXPERTS["gpt_oss"],
    "llama4_text": EXPERTS["llama4"],
}


def small(kind: str) -> Config:
    """A small configuration of a family, with the class that has a head."""
    head = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
    return {**SMALL[kind], "model_type": kind, "torch_dtype": "float32", "architectures": [head]}


def built(values: Config) -> Any:
    """Transformers' own network, with a head."""
    config = transformers.AutoConfig.for_model(**values)
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config).eval()


def read(values: Config) -> LanguageModel:
    """A configuration, by way of JSON as from a file."""
    return language_model_of(read_config(json.dumps(values).encode()), name="x")


def params_of(model: LanguageModel) -> int:
    return phase_profile(model, Phase(tokens=1, past=4, room=8)).totals.params


def windows_of(network: Any) -> list[int | None]:
    """Tokens that each layer of transformers' network sees, by its own configuration."""
    config = network.config
    code = inspect.getsource(inspect.getmodule(type(network)))  # type: ignore[arg-type]
    sizes = {
        "full_attention": None,
        "sliding_attention": getattr(config, "sliding_window", None),
        "chunked_attention": getattr(config, "attention_chunk_size", None),
    }
    if "layer_types" in code:
        return [sizes[name] for name in config.layer_types]
    window = sizes["sliding_attention"] if "config.sliding_window" in code else None
    return [window] * config.num_hidden_layers


def assert_same(model: LanguageModel, network: Any) -> None:
    assert params_of(model) == sum(p.numel() for p in network.parameters())
    assert [block.attention.window for block in model.blocks] == windows_of(network)


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_as_many_parameters_as_transformers_builds(kind: str) -> None:
    values = small(kind)
    network = built({**values, "architectures": None})
    saved = network.config.to_dict() | {"model_type": kind}
    for given in (values, saved):  # as typed, and as transformers writes it
        assert_same(read(given), network)


ODD: list[Config] = [
    *({"num_key_value_heads": heads} for heads in (1, 4)),
    *({key: 40} for key in ("moe_intermediate_size", "intermediate_size", "n_inner")),
    *({key: 40} for key in ("intermediate_size_mlp", "shared_expert_intermediate_size")),
    *({"head_dim": 16 * size} for size in (1, 2)),
    *(
        {key: value}
        for key in ("mlp_bias", "attention_bias", "qkv_bias", "use_qkv_bias", "use_bias")
        for value in (False, True)
    ),
    *({"use_parallel_residual": value} for value in (False, True)),
    *({"tie_word_embeddings": value} for value in (False, True)),
    *({"sliding_window": size} for size in (None, 24)),
    *({"sliding_window": 24, "use_sliding_window": value} for value in (False, True)),
    {"sliding_window": 24, "use_sliding_window": True, "max_window_layers": 1},
    {"use_sliding_window": True},
    {"sliding_window_pattern": 3},
    {"no_rope_layer_interval": 2},
    {"no_rope_layers": [0, 1, 1, 0, 1, 0]},
    {"attention_chunk_size": 24},
    *({"first_k_dense_replace": number} for number in (0, 2)),
    *({key: 2} for key in ("decoder_sparse_step", "interleave_moe_layer_step")),
    {"mlp_only_layers": [1]},
    {"moe_layers": [1]},
    {"n_shared_experts": 2},
    {"n_shared_experts": 2, "mlp_bias": True},
]
"""Keys that some families read, and others do not."""


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_key_is_read_where_transformers_reads_it(kind: str) -> None:
    """Six layers with one odd key at a time; one that transformers refuses says nothing."""
    layers = {"n_layer" if kind == "gpt2" else "num_hidden_layers": 6}
    tried = 0
    for odd in ODD:
        values = {**small(kind), **layers, **odd}
        try:
            network = built({**values, "architectures": None})
        except Exception:  # of many kinds
            continue
        if kind == "olmoe" and "head_dim" in odd:
            continue  # it builds norms of other sizes than its heads, and does not run
        tried += 1
        try:
            assert_same(read(values), network)
        except AssertionError as error:
            raise AssertionError(f"{kind}: {odd}: {error}") from error
    assert tried > 30


SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("n_embd", "n_head"),
)
"""What every file names."""


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_keys_that_a_file_leaves_out_are_the_defaults_of_transformers(kind: str) -> None:
    """Each row of the table is the class's, and a file of sizes alone is what it builds of it."""
    fields = {
        field.name: field.default
        for field in dataclasses.fields(transformers.CONFIG_MAPPING[kind])
        if field.name not in (*SIZES, "n_layer", "max_position_embeddings")
    }
    known = {key for row in DEFAULTS.values() for key in row}
    known |= {"mlp_bias", "use_qkv_bias", "use_sliding_window", "add_cross_attention", "n_inner"}
    known |= {"qk_layernorm", "mlp_only_layers", "moe_layers", "no_rope_layers"}
    assert DEFAULTS.get(kind, {}) == {k: v for k, v in fields.items() if k in known and v}
    whole = transformers.CONFIG_MAPPING[kind]()
    values = {"model_type": kind, "num_hidden_layers": 6, "num_experts_per_tok": 2}
    values |= {key: getattr(whole, key) for key in SIZES if hasattr(whole, key)}
    if kind == "ministral":
        values["head_dim"] = 128  # without one the class builds nothing
    assert_same(read(values), built(values))


@pytest.mark.parametrize(
    ("kind", "values", "windows"),
    [
        # Llama 4: three layers in chunks of 8,192 and one that sees all, where nothing is listed
        ("llama4_text", {}, [8192, 8192, 8192, None, 8192]),
        ("llama4_text", {"no_rope_layer_interval": 2}, [8192, None] * 2 + [8192]),
        ("llama4_text", {"no_rope_layers": [0, 1, 1, 1, 0]}, [None] + [8192] * 3 + [None]),
        ("llama4_text", {"no_rope_layers": [], "attention_chunk_size": 64}, [64, 64, 64, None, 64]),
        ("mistral", {}, [4096] * 5),
        ("mistral", {"sliding_window": None}, [None] * 5),
        ("gemma2", {}, [4096, None, 4096, None, 4096]),
        ("gemma3_text", {"sliding_window_pattern": 0}, [4096] * 5),
        ("gpt_oss", {}, [128, None, 128, None, 128]),
        ("qwen2", {}, [None] * 5),
        ("qwen2", {"use_sliding_window": True}, [None] * 5),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 3}, [None] * 3 + [4096] * 2),
        (
            "qwen2_moe",
            {"use_sliding_window": True, "max_window_layers": 3},
            [4096, None, 4096, None, None],
        ),
        ("qwen3_moe", {"use_sliding_window": True, "sliding_window": 32}, [32] * 5),
        ("smollm3", {"use_sliding_window": True, "sliding_window": 32}, [None] * 3 + [32, None]),
    ],
)
def test_windows_that_a_file_does_not_list(
    kind: str, values: Config, windows: list[int | None]
) -> None:
    sizes = {**GROUPED, "num_key_value_heads": 2, "num_hidden_layers": 5, "head_dim": 16}
    found = read({**sizes, **values, "model_type": kind})
    assert [block.attention.window for block in found.blocks] == windows


def test_a_parallel_stablelm_has_one_norm_a_block() -> None:
    """Of 64 numbers and 64 biases: one less in each of two blocks, and both parts read it."""
    plain = {**small("stablelm"), "use_parallel_residual": False}
    one, other = read(plain), read({**plain, "use_parallel_residual": True})
    assert params_of(one) - params_of(other) == 2 * 128
    assert other.kinds[0].parallel and not one.kinds[0].parallel
    assert (other.kinds[0].before_attention, other.kinds[0].before_mlp) == (128, 0)


COUNTED = ("gpt2", "gemma2", "phi3", "qwen3_moe", "deepseek_v3", "gpt_oss")
"""Families whose run is counted every time; the others with the slow tests."""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in COUNTED else pytest.mark.slow)
        for kind in sorted({*FAMILIES} - {"gpt_neox", "llama4_text"})
    ],
)
def test_a_prompt_multiplies_what_torch_counts(kind: str) -> None:
    """One real run of transformers' network; its head for all tokens is taken off."""
    tokens, values = 24, small(kind)
    network = build_network(read_config(json.dumps(values).encode()))
    module: Any = on_cpu(prepared(network, {"input_ids": (1, tokens)}).module).requires_grad_(False)
    if module._can_set_experts_implementation():
        module.set_experts_implementation("batched_mm")
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, tokens, dtype=torch.int64))
    model = language_model_of(values, name="x")
    profile = phase_profile(model, Phase(tokens=tokens, room=64))
    head = profile.layers[-1].macs
    counted = counter.get_total_flops() // 2
    rotary = counted - (profile.totals.macs + (tokens - 1) * head)
    # what is left are the angles of rotary positions: a product of positions and frequencies
    assert 0 <= rotary <= tokens * 64 * 2, (counted, profile.totals.macs)


def test_shapes_give_what_a_trace_gives() -> None:
    """The traced profile of the catalogue and the one of shapes agree, both phases."""
    traced = load_model("llama-3.1-8b-decode")
    step = phase_profile(load_language("llama-3.1-8b"), Phase(tokens=1, past=1024, room=1024))
    assert step.totals.macs == traced.totals.macs
    assert step.totals.params == traced.totals.params
    by_kind = {
        kind: sum(x.macs for x in profile.layers if x.kind == kind)
        for profile in (step, traced)
        for kind in ("linear", "attention")
    }
    assert by_kind["linear"] == sum(x.macs for x in step.layers if x.kind == "linear")


# Widths.


@pytest.mark.parametrize(
    ("config", "bits"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": False}, Fraction(133, 32)),
        (
            {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True},
            Fraction(69, 16),
        ),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + Fraction(32, 16384)),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, Fraction(9, 2)),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, Fraction(8)),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"0": {"weights": {"num_bits": 4, "group_size": 128}}},
            },
            Fraction(33, 8),
        ),
    ],
)
def test_quantisation_configs(config: dict[str, Any], bits: Fraction) -> None:
    plain = {**PRESETS["llama-3.1-8b"], "num_hidden_layers": 2}
    model = language_model_of({**plain, "quantization_config": config}, name="x")
    whole = language_model_of(plain, name="x")
    attention, mlp = model.kinds[0].attention, model.kinds[0].mlp
    assert attention.output.bytes == -(-4096 * 4096 * bits // 8)
    assert mlp.down.bytes == -(-4096 * 14336 * bits // 8)  # type: ignore[union-attr]
    assert model.head == whole.head and model.embedding == whole.embedding, "left as they are"
    assert f"{float(bits):.4g} bits" in model.provenance.note


def test_a_cache_of_another_width() -> None:
    model = load_language("llama-3.1-8b")
    attention = model.kinds[0].attention
    assert cache_token_bytes(model, attention) == 2 * 2 * 8 * 128
    assert cache_token_bytes(model, attention, Fraction("8.5")) == 8 * 256 * 17 // 16
    step = phases_of(model, Workload(cache_bits=4.5, requests=3, context=2000)).step
    each = 8 * 256 * 9 // 16
    assert kept(step) == [(each, each * 2000 * 3)] * 32


# What is refused.


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "bert"}, "model_type: 'bert' is no causal model"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "is no causal model"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"num_attention_heads": 3}, "attention"),
        ({"num_key_value_heads": 5}, "heads are no multiple"),
        ({"layer_types": ["linear_attention"] * 32}, "'linear_attention' is no attention"),
        ({"quantization_config": {"quant_method": "aqlm"}}, "quant_method: found 'aqlm'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 0}}, "bits: found '0'"),
        ({**GPT2, "add_cross_attention": True}, "add_cross_attention is not known of gpt2"),
        (
            {"model_type": "llama4_text", "no_rope_layers": [1]},
            "no_rope_layers: give a number for each layer",
        ),
        (
            {"model_type": "qwen3_moe", "mlp_only_layers": 3},
            "mlp_only_layers: found '3'; give a list",
        ),
        ({"head_dim": True}, "head_dim: found 'True'"),
        ({"vocab_size": 0}, "rows"),
    ],
)
def test_configurations_that_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message) as error:
        language_model_of({**PRESETS["llama-3.1-8b"], **changed}, name="x")
    assert "\n" not in str(error.value)


# Sources.


@pytest.mark.parametrize("name", language_names())
def test_the_catalogue_is_what_the_presets_say(name: str) -> None:
    shipped = Path("profiles/library/language", f"{name}.json").read_text(encoding="utf-8")
    assert document_text(language_model_of(PRESETS[name], name=name)) == shipped
    assert set(language_names()) == set(PRESETS)


def test_a_config_in_a_folder_and_what_was_saved(tmp_path: Path) -> None:
    folder = tmp_path / "my-llama"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(PRESETS["llama-3.2-1b"]))
    found = load_language_model(str(folder / "config.json"), 4.5)
    assert found.name == "my-llama"
    assert found.weight_bits == 4.5
    assert found.provenance.source == "config.json"
    (tmp_path / "saved.json").write_text(document_text(found))
    assert load_language_model(str(tmp_path / "saved.json")) == found


def test_a_config_in_a_cache_has_the_name_of_its_model(tmp_path: Path) -> None:
    folder = tmp_path / "models--owner--my-llama" / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    config = folder / "config.json"
    config.write_text(json.dumps(PRESETS["llama-3.2-1b"]))
    assert load_language_model(str(config)).name == "my-llama"
    assert name_of_config(config) == "my-llama"
    assert name_of_config(tmp_path / "plain" / "config.json") == "plain"
    assert name_of_config(tmp_path / "plain" / "other.json") == "other"


def test_weights_beside_a_config_say_their_width(tmp_path: Path) -> None:
    """An index's total, or a header's last byte, is what the blocks' weights take."""
    (tmp_path / "config.json").write_text(json.dumps(PRESETS["llama-3.1-8b"]))
    plain = 2 * (8_030_261_248 - 32 * BLOCK)
    total = plain + 32 * BLOCK * 9 // 16
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": {}}))
    found = load_language_model(str(index))
    assert found.weight_bits == pytest.approx(4.5)
    step = phase_profile(found, Phase(tokens=1))
    assert step.totals.param_bytes == pytest.approx(total, rel=1e-6)
    index.write_text(json.dumps({"metadata": {"total_size": 16_060_556_376}}))
    assert load_language_model(str(index)) == load_language_model(str(tmp_path / "config.json"))
    index.unlink()
    one = tmp_path / "model.safetensors"
    header = json.dumps({"x": {"dtype": "U8", "shape": [1], "data_offsets": [0, total]}}).encode()
    one.write_bytes(struct.pack("<Q", len(header)) + header)
    assert load_language_model(str(one)) == found
    for content in (b"", struct.pack("<Q", 2**60), struct.pack("<Q", 5) + b"[[[[["):
        one.write_bytes(content)
        with pytest.raises(BadInputError, match=r"^model\.safetensors: ") as error:
            load_language_model(str(one))
        assert "\n" not in str(error.value)
    (tmp_path / "config.json").unlink()
    with pytest.raises(BadInputError, match=r"config\.json beside it"):
        load_language_model(str(one))


BLOCK = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336


def test_the_text_of_a_model_of_images() -> None:
    text = {**PRESETS["gemma-3-27b"]}
    found = language_model_of({"model_type": "gemma3", "text_config": text}, name="x")
    assert found.order == load_language("gemma-3-27b").order
