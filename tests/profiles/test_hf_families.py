"""Configurations as they are found: every age, family and library of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.from_hf.config import library_of, read_config
from profiles.from_hf.network import build_network, description
from profiles.from_hf.others import profile_other
from profiles.from_hf.profiled import profile_values
from profiles.sources import load_source
from tests.profiles.small_configs import (
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    EXPERTS,
    GROUPED,
    MAMBA,
    MIXTRAL,
    PHI3,
    QWEN3_MOE,
    SWIN_V2,
    TEXT,
    VISION,
    Config,
)

Shapes = dict[str, tuple[int, ...]]


def profiled(
    values: Config, shapes: Shapes | None = None, batch: int | None = None
) -> ModelProfile:
    """As the limited child does it, in this process."""
    request = {"name": "x", "input_shapes": shapes or {}, "batch": batch, "input_types": {}}
    checked = read_config(json.dumps(values).encode())
    if library_of(checked):
        return profile_other(checked, request)
    return profile_values(checked, request)


_PER_TOKEN_V2 = 2 * 10_240 + 18_432 + 512 + 12_288 + 6_144 + 8_192
"""Attention's products of two layers, a dense layer, router, two experts, shared one, head."""
_LATENT_PRODUCT = 16 * 4 * (16 + 12)


@pytest.mark.parametrize(
    ("values", "shapes", "macs", "params"),
    [
        (DEEPSEEK_V2, {}, 128 * _PER_TOKEN_V2 + 2 * 128 * 128 * 4 * (24 + 12), 111_504),
        (DEEPSEEK_V3, {"input_ids": (1, 1)}, 66_336, 111_504),
        (  # keys and values are made of the latent ones of all tokens
            DEEPSEEK_V3,
            {"input_ids": (1, 1), "past_tokens": (64,)},
            _PER_TOKEN_V2 + 2 * (64 * _LATENT_PRODUCT + 65 * 4 * (24 + 12)),
            111_504,
        ),
        (PHI3, {}, 13_107_200, 78_144),
        ({**PHI3, "auto_map": {"AutoConfig": "c.C", "AutoModel": "m.M"}}, {}, 13_107_200, 78_144),
        (MIXTRAL, {}, 17_891_328, 189_248),
        (QWEN3_MOE, {}, 128 * (76_160 + 3 * 3 * 64 * 32) + 2 * 2 * 128 * 128 * 128, 121_664),
        (  # two outputs of a convolution over four tokens kept and one new
            MAMBA,
            {"input_ids": (1, 1), "past_tokens": (64,)},
            11_776 + 2 * 64 * 4 + 64 * 8,
            12_800,
        ),
    ],
)
def test_cases_have_their_right_values(
    values: Config, shapes: Shapes, macs: int, params: int
) -> None:
    profile = profiled(values, shapes)
    assert (profile.totals.macs, profile.totals.params) == (macs, params)
    assert profile.coverage.uncounted == {}


def test_a_list_of_layers_is_no_number_of_layers() -> None:
    text = {**GROUPED, "model_type": "mllama_text_model"}
    vision = {
        **VISION,
        "model_type": "mllama_vision_model",
        "attention_heads": 4,
        "num_global_layers": 1,
        "image_size": 28,
        "patch_size": 14,
        "max_num_tiles": 1,
        "vision_output_dim": 64,
        "intermediate_layers_indices": [0],
        "supported_aspect_ratios": [[1, 1]],
    }
    some = list(range(3, 100, 5))
    values = {"model_type": "mllama", "text_config": {**text, "num_hidden_layers": 100}}
    values["text_config"]["cross_attention_layers"] = some
    assert read_config(json.dumps(values).encode()) == values
    text |= {"num_hidden_layers": 4, "cross_attention_layers": [1, 3]}
    profile = profiled(
        {
            "model_type": "mllama",
            "architectures": ["MllamaForConditionalGeneration"],
            "text_config": text,
            "vision_config": vision,
        }
    )
    assert profile.coverage.uncounted == {}
    assert [spec.name for spec in profile.inputs] == [
        "input_ids",
        "pixel_values",
        "aspect_ratio_ids",
        "aspect_ratio_mask",
    ]


def test_an_old_configuration_is_known_by_its_architecture() -> None:
    values = {"architectures": ["BertForMaskedLM"], **TEXT}
    profile = profiled(values)
    named = profiled({**values, "model_type": "bert"})
    assert profile.totals == named.totals
    assert "model_type is missing, so it was found by the architecture" in profile.provenance.note


def test_code_of_its_own_is_left_out_beside_a_native_type() -> None:
    values = {**PHI3, "auto_map": {"AutoModel": "m.M"}}
    assert "auto_map left out" in description(build_network(values), values)
    with pytest.raises(BadInputError, match="auto_map names code outside transformers"):
        build_network({**values, "model_type": "phi3_of_our_own"})


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"quant_method": "gptq", "bits": 4}, "--weight-bits 4 counts them as stored"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "--weight-bits 8 counts"),
        ({"quant_method": "mxfp4"}, "--weight-bits 4 counts"),
        ({"quant_method": "fp8"}, "--weight-bits 8 counts"),
        ({"quant_method": "some_new"}, "weights counted as float32"),
    ],
)
def test_stored_widths_are_told(stored: Config, said: str) -> None:
    values = {**PHI3, "quantization_config": stored}
    note = description(build_network(values), values)
    assert "quantization_config left out" in note
    assert said in note


def test_texts_alone_where_sizes_of_images_are_data() -> None:
    text = {
        **GROUPED,
        "model_type": "qwen2_vl_text",
        "rope_parameters": {
            "rope_type": "default",
            "mrope_section": [2, 3, 3],
            "rope_theta": 10000.0,
        },
    }
    profile = profiled(
        {
            "model_type": "qwen2_vl",
            "architectures": ["Qwen2VLForConditionalGeneration"],
            "text_config": text,
            "vision_config": {
                "depth": 1,
                "embed_dim": 32,
                "num_heads": 2,
                "hidden_size": 64,
                "patch_size": 8,
            },
        }
    )
    assert [spec.name for spec in profile.inputs] == ["input_ids"]
    assert profile.totals.macs == 13_107_200
    assert "texts alone, without images" in profile.provenance.note


def test_a_network_that_asks_for_values_has_some() -> None:
    """A codec's paddings are numbers in tensors, which the meta device does not have."""
    profile = profiled(
        {
            "model_type": "encodec",
            "num_filters": 8,
            "hidden_size": 16,
            "codebook_size": 32,
            "codebook_dim": 16,
        }
    )
    assert [spec.shape for spec in profile.inputs] == [(1, 1, 24_000)]
    assert profile.coverage.uncounted == {}
    assert profile.totals.macs > 10**8


def test_types_of_inputs_are_the_users(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "vit", **VISION}))
    profile = load_source(str(path), input_types={"pixel_values": "float64"})
    assert profile.inputs[0].dtype == "float64"
    with pytest.raises(BadInputError, match="'image'; the inputs are pixel_values"):
        load_source(str(path), input_types={"image": "float64"})
    with pytest.raises(BadInputError, match="has types of its own; leave --input-type out"):
        load_source("resnet50", input_types={"x": "int64"})


def test_work_on_weights_alone_scales_with_no_batch() -> None:
    profile = profiled(SWIN_V2)
    assert "401,408 MACs of 6 products of weights alone" in profile.provenance.note
    doubled = profiled(SWIN_V2, batch=2)
    assert doubled.totals.macs == 2 * (profile.totals.macs - 401_408) + 401_408
    assert profile.reshaping is not None


@pytest.mark.parametrize("shapes", [{"past_tokens": (0,)}, {"past_tokens": (1, 4)}])
def test_a_past_that_is_none(shapes: Shapes) -> None:
    with pytest.raises(BadInputError, match=r"past_tokens"):
        profiled(MAMBA, shapes)


def test_a_network_without_memory_has_no_past() -> None:
    bert = {"model_type": "bert", **TEXT}
    with pytest.raises(BadInputError, match="the network keeps nothing of earlier tokens"):
        profiled(bert, {"input_ids": (1, 1), "past_tokens": (8,)})


@pytest.mark.parametrize("name", ["jetmoe", "nllb_moe"])
def test_experts_in_loops_are_stored_whole(name: str) -> None:
    values = EXPERTS[name]
    network = build_network(values)
    profile = profiled(values)
    assert profile.totals.params == sum(p.numel() for p in network.parameters())
    assert "the graph is the path that it takes" in profile.provenance.note


@pytest.mark.parametrize(
    ("values", "library", "what"),
    [
        ({"architecture": "resnet50", "num_classes": 10}, "timm", "resnet50"),
        (
            {"_class_name": "UNet2DModel", "_diffusers_version": "0.6.0"},
            "diffusers",
            "UNet2DModel",
        ),
    ],
)
def test_files_of_other_libraries_are_told(values: Config, library: str, what: str) -> None:
    assert library_of(values) == library
    if importlib.util.find_spec(library) is None:
        with pytest.raises(BadInputError, match=f"is a file of {library} .for '{what}'.*install"):
            profiled(values)
    elif library == "timm":
        assert profiled(values).layers[-1].out_features == 10
    else:
        with pytest.raises(BadInputError, match="UNet2DModel needs the shapes of sample, timestep"):
            profiled(values)
