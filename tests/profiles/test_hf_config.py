"""A Hugging Face config.json as a source: what is built, and what is refused before it is."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from planner.errors import BadInputError
from profiles.catalog import load_model
from profiles.from_hf.config import (
    MAX_CONFIG_BYTES,
    MAX_LAYERS,
    MAX_SIZE,
    is_config_file,
    read_config,
)
from profiles.from_hf.frontend import profile_config
from profiles.from_hf.network import build_network, prepared
from profiles.from_torch.frontend import profile_module
from profiles.sandbox import Limits
from profiles.sources import load_source
from tests.processor_time import HANG_S, at_most

REPO = Path(__file__).parents[2]

# As published, with the older spelling of the rotary embedding's parameters.
LLAMA_70B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "silu",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "max_position_embeddings": 131072,
    "model_type": "llama",
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 128256,
}
TINY_LLAMA = {
    **LLAMA_70B,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}
TINY_VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "num_labels": 7,
}


def written(folder: Path, values: object, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def refused(data: bytes | dict[str, Any], **options: Any) -> str:
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    with pytest.raises(BadInputError) as caught:
        profile_config(content, name="x", source="some/where/config.json", **options)
    text = str(caught.value)
    assert text.startswith("config.json: ")
    assert text.isprintable(), text
    return text.removeprefix("config.json: ")


# What is built


def test_llama_from_its_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-llama"
    folder.mkdir()
    profile = load_source(str(written(folder, TINY_LLAMA)))
    assert profile.name == "tiny-llama", "every configuration is called config.json"
    assert [(spec.name, spec.shape, spec.dtype) for spec in profile.inputs] == [
        ("input_ids", (1, 128), "int64")
    ]
    per_layer = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 96
    assert profile.totals.params == 2 * (per_layer + 2 * 64) + 64 + 2 * 100 * 64
    assert profile.totals.macs == 128 * (2 * per_layer + 100 * 64) + 2 * 2 * 128 * 128 * 64
    assert profile.totals.param_bytes > 2 * profile.totals.params, "16 bits each, and a buffer"
    assert profile.totals.param_bytes < 2 * profile.totals.params + 4096
    assert profile.coverage.uncounted == {}
    assert {layer.feature_flow for layer in profile.layers} == {"mixing", "grouped", "local"}
    assert profile.provenance.source == "config.json"
    assert profile.provenance.tools["transformers"] == transformers.__version__
    assert "LlamaForCausalLM" in profile.provenance.note
    assert profile.coverage.witness is None


def test_one_token_behind_a_cache() -> None:
    data = json.dumps(TINY_LLAMA).encode()
    shapes: dict[str, tuple[int, ...]] = {"input_ids": (1, 1), "past_tokens": (40,)}
    profile = profile_config(data, name="x", source="config.json", input_shapes=shapes)
    per_layer = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 96
    assert profile.totals.macs == 2 * per_layer + 100 * 64 + 2 * 2 * 41 * 64
    cached = [layer for layer in profile.layers if layer.op == "concat" and layer.param_bytes]
    assert sum(layer.param_bytes for layer in cached) == 2 * 2 * 40 * 2 * 16 * 2
    assert [spec.name for spec in profile.inputs] == ["input_ids"]


def test_vision_takes_the_configured_image_size_and_a_batch() -> None:
    made = prepared(build_network(TINY_VIT), {})
    one = profile_module(made.module, made.shapes, name="x", witness=False)
    assert [(spec.name, spec.shape) for spec in one.inputs] == [("pixel_values", (1, 3, 32, 32))]
    assert one.layers[-1].out_features == 7, "the head that architectures names"
    data = json.dumps(TINY_VIT).encode()
    three = profile_config(data, name="x", source="config.json", batch=3)
    assert three.inputs[0].shape == (3, 3, 32, 32)
    assert three.totals.macs == 3 * one.totals.macs


def test_the_norm_that_is_put_in_computes_what_llama_computes() -> None:
    torch.manual_seed(0)
    own = transformers.models.llama.modeling_llama.LlamaRMSNorm(64)
    own.weight.data.normal_()
    norms = [part for part in build_network(TINY_LLAMA).modules() if type(part) is not type(own)]
    replaced = next(part for part in norms if type(part).__name__ == "_RmsNorm")
    replaced.weight, replaced.variance_epsilon = own.weight, own.variance_epsilon
    tokens = torch.randn(2, 5, 64)
    torch.testing.assert_close(replaced(tokens), own(tokens))


def test_a_filled_cache_gives_what_the_whole_text_gives() -> None:
    """The traced step of decoding is the last row of the prefill, number by number."""
    torch.manual_seed(0)
    values = {**TINY_LLAMA, "torch_dtype": "float32"}
    config = transformers.LlamaConfig(**{k: v for k, v in values.items() if k != "architectures"})
    whole = transformers.LlamaForCausalLM(config).eval()
    tokens = torch.randint(0, 100, (1, 9))
    with torch.no_grad():
        told = whole(tokens[:, :8], use_cache=True)
        expected = whole(tokens).logits[:, -1]
        made = prepared(whole, {"input_ids": (1, 1), "past_tokens": (8,)})
        for index, layer in enumerate(told.past_key_values.layers):
            setattr(made.module, f"past_layers_{index}_keys", layer.keys)
            setattr(made.module, f"past_layers_{index}_values", layer.values)
        (logits,) = made.module(tokens[:, 8:])
    torch.testing.assert_close(logits[:, -1], expected)


@pytest.mark.slow
def test_llama_70b_needs_less_than_20_seconds_and_a_gigabyte(tmp_path: Path) -> None:
    """Processor seconds of both processes: on a machine without other work, the seconds waited."""
    path = written(tmp_path, LLAMA_70B)
    script = (
        "import re, resource, sys\n"
        "from pathlib import Path\n"
        "from profiles.sources import load_source\n"
        "totals = load_source(sys.argv[1]).totals\n"
        "both = [resource.getrusage(who) for who in\n"
        "        (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]\n"
        "seconds = sum(used.ru_utime + used.ru_stime for used in both)\n"
        # the process's own peak as rusage has it is that of the test's process, which made it
        "own = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "print(totals.macs, totals.params, seconds, (own + both[1].ru_maxrss) * 1024)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    run = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    macs, params, seconds, peak_bytes = map(float, run.stdout.split())
    shipped = load_model("llama-3.1-70b").totals
    assert (macs, params) == (shipped.macs, shipped.params)
    assert seconds < 20
    assert peak_bytes < 1e9


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers: found 1,000,000,000; at most 256 is"),
        ({"hidden_size": 10**9}, "hidden_size: found 1,000,000,000; at most 16,777,216 is built"),
        ({"vocab_size": -(10**9)}, "vocab_size: found -1,000,000,000; at most"),
        ({"depths": [3, 250, 9, 3]}, "depths: found 265; at most 256 is built"),
        ({"text_config": {"num_layers": 257}}, "text_config.num_layers: found 257; at most 256"),
        ({"hidden_sizes": [1] * 5000}, "hidden_sizes: 5,000 items; at most 4,096 are read"),
        ({"some_layers": [9, 300]}, "some_layers: found 309; at most 256 is built"),
        ({"other_layers": [9, 8, 250]}, "other_layers: found 267; at most 256 is built"),
        ({"model_type": 3}, "config: model_type: found 3; "),
        ({"architectures": "Llama"}, "config: architectures: found 'Llama'; "),
    ],
)
def test_refused_before_anything_is_imported(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read_config(json.dumps({**TINY_LLAMA, **change}).encode())
    assert message in str(caught.value)


def test_largest_sizes_are_taken() -> None:
    values = {"model_type": "llama", "num_hidden_layers": MAX_LAYERS, "hidden_size": MAX_SIZE}
    assert read_config(json.dumps(values).encode()) == values
    assert read_config(json.dumps({**values, "rope_theta": 10**9}).encode())["rope_theta"] == 10**9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "line 1, column 2 is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"model_type": "vit", "x": NaN}', "found NaN; numbers must be finite"),
        (b'{"model_type": "vit", "model_type": "vit"}', "is there twice in one object"),
        (b'{"model_type": "\xff"}', "is not UTF-8"),
        (b'{"architectures": ["X"]}', "model_type is missing, and transformers"),
        (b'{"architectures": []}', "model_type is missing, and no architectures are named"),
        (b'{"auto_map": {}}', "auto_map: names code outside transformers, which is never run"),
        (b" " * (MAX_CONFIG_BYTES + 1), "is larger than 1 MiB"),
    ],
)
def test_broken_files_are_told_apart(content: bytes, message: str) -> None:
    assert message in refused(content)


def test_what_transformers_cannot_build() -> None:
    with pytest.raises(BadInputError, match=r"'llamma', which transformers .* mean 'llama'"):
        build_network({**TINY_LLAMA, "model_type": "llamma"})
    text = refused({**TINY_LLAMA, "hidden_size": "wide"})
    assert text.startswith("transformers cannot build it: ")
    assert "hidden_size" in text


def test_inputs_without_a_default_are_asked_for() -> None:
    perceiver = {"model_type": "perceiver", "num_latents": 8, "d_latents": 32}
    assert "input 'inputs' has no default shape: give --input-shape" in refused(perceiver)


def test_a_configuration_that_needs_too_much_is_stopped() -> None:
    hungry = {"model_type": "bert", "num_hidden_layers": 1, "num_labels": MAX_SIZE}
    limits = Limits(memory_bytes=2**30 + 2**28, wall_s=HANG_S)
    with at_most(30):
        assert "GiB of memory" in refused(hungry, limits=limits)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2**21  # KiB


def test_no_file_is_left_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "TMPDIR", "HF_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    # A backbone by name is fetched from the network, where there is one.
    text = refused({"model_type": "detr", "backbone": "no/such", "use_timm_backbone": False})
    assert text.startswith("transformers cannot build it: ")
    assert list(home.rglob("*")) == []
    assert not os.path.exists("/torchinductor_root")


# Telling a configuration from a saved profile


def test_content_decides(tmp_path: Path) -> None:
    assert is_config_file(written(tmp_path, TINY_VIT, "any-name.json"))
    assert is_config_file(written(tmp_path, {"auto_map": {}}))
    assert not is_config_file(REPO / "profiles/library/models/resnet50.json")
    assert not is_config_file(written(tmp_path, {"name": "x"}))
    assert not is_config_file(written(tmp_path, [TINY_VIT]))
    assert not is_config_file(tmp_path / "missing.json")
    broken = tmp_path / "broken.json"
    broken.write_bytes(b"{")
    assert not is_config_file(broken)
    with pytest.raises(BadInputError, match=r"^profile .*broken.json: line 1, column 2 is not"):
        load_source(str(broken))


def test_a_renamed_configuration_keeps_its_name(tmp_path: Path) -> None:
    path = written(tmp_path, {**TINY_VIT, "num_hidden_layers": 10**6}, "small-vit.json")
    with pytest.raises(BadInputError, match=r"^small-vit.json: num_hidden_layers: found 1,000,000"):
        load_source(str(path))
