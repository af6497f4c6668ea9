"""Every model type of transformers: right, refused in one line, or said to be neither."""

from __future__ import annotations

import json
import multiprocessing
import resource
from collections import Counter
from typing import Any

import pytest
import torch
import transformers

from planner.errors import BadInputError
from profiles.from_hf.config import read_config
from profiles.from_hf.declared import with_declared_types
from profiles.from_hf.defaults import _default_shape
from profiles.from_hf.network import build_network, description
from profiles.from_hf.profiled import profile_values
from tests.profiles.every_family import Verdict, judged, model_types
from tests.profiles.small_configs import MAMBA, TEXT, VISION, Config
from tests.resuming import Outcomes, resumed

_MOST_BYTES = 12 * 2**30  # of a family's process
_MOST_S = 300  # of processor time
SAID = ("the graph is the path that it takes",)
"""In the note of a profile whose network asks for numbers: with others it may take another path."""
SAMPLE = ("clip", "patchtst", "t5")
"""Images with texts, series, encoders with decoders."""


@pytest.mark.parametrize("model_type", SAMPLE)
def test_a_sample_is_right(model_type: str) -> None:
    found = judged(model_type)
    assert (found.kind, found.seen > 0) == ("right", True), found


def _in_a_process(model_type: str, answer: Any) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_S, _MOST_S))
    answer.send(judged(model_type))


def _in_its_process(model_type: str) -> Verdict:
    """What becomes of a family, whose process may use no more than it should need."""
    start = multiprocessing.get_context("fork")
    here, there = start.Pipe(duplex=False)
    process = start.Process(target=_in_a_process, args=(model_type, there))
    process.start()
    there.close()
    try:
        verdict: Verdict = here.recv()
    except EOFError:
        verdict = Verdict(model_type, "stopped")
    process.join()
    return verdict


def _fault(verdict: Verdict) -> str:
    """What no family may be: broken, or counted otherwise than by torch without a word of it."""
    if verdict.kind == "broken" or not verdict.said.isprintable():
        return verdict.said
    if verdict.kind == "other" and not any(words in verdict.said for words in SAID):
        return f"{verdict.macs:,} instead of {verdict.seen:,}"
    return ""


@pytest.mark.slow
def test_every_family_is_right_or_refused_in_one_line(request: pytest.FixtureRequest) -> None:
    """Prints those that torch counts otherwise or cannot count, and the number of each kind."""
    names = model_types()

    def do(numbers: range) -> Outcomes:
        verdicts = [_in_its_process(names[number]) for number in numbers]
        for verdict in verdicts:
            if verdict.kind not in ("right", "refused", "none"):
                print(f"{verdict.model_type}: {verdict.kind} {verdict.macs:,} {verdict.said[:200]}")
        faults = [[x.model_type, _fault(x)] for x in verdicts if _fault(x)]
        return Counter(verdict.kind for verdict in verdicts), faults

    resumed(request, "families", len(names), 20, do)


# Kinds of configurations that were refused for no good reason


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"model_type": "clip", "initializer_factor": 1}, {"initializer_factor": 1.0}),
        ({"model_type": "clip", "projection_dim": 512}, {"projection_dim": 512}),
        ({"model_type": "clip", "vision_config": {"attention_dropout": 0}}, None),
        ({"model_type": "dpt", "backbone_config": {"model_type": "clip_vision_model"}}, None),
    ],
)
def test_whole_numbers_are_floats_where_the_class_declares_floats(
    values: Config, found: Config | None
) -> None:
    config_class = transformers.CONFIG_MAPPING[values["model_type"]]
    made = with_declared_types(config_class, values)
    assert made == values, "numbers of the same value"
    for key, value in (found or {}).items():
        assert type(made[key]) is type(value)


def test_infinity_is_read_as_transformers_writes_it() -> None:
    bound = {"time_step_limit": [0, {"__float__": "Infinity"}]}
    made = with_declared_types(transformers.CONFIG_MAPPING["mamba2"], bound)
    assert made == {"time_step_limit": [0.0, float("inf")]}


@pytest.mark.parametrize(
    "values",
    [
        {"embed_dim_per_stage": [96, 192, 384, 768]},
        {"depthwise_separable_out_channel": 1024},
        {"pad_val": 1_123_581_321},
        {"audio_config": {"gradient_clipping": 1e10}},
        {"decoder_hidden_size_blocks": 1024},
    ],
)
def test_widths_and_values_are_no_numbers_of_layers(values: Config) -> None:
    whole = {"model_type": "bert", **values}
    assert read_config(json.dumps(whole).encode()) == whole


def test_a_type_without_a_bare_model_names_its_classes() -> None:
    with pytest.raises(BadInputError) as caught:
        build_network({"model_type": "superpoint"})
    assert str(caught.value) == (
        "transformers has no bare model of the type 'superpoint'; architectures must name "
        "SuperPointForKeypointDetection"
    )


def test_a_class_that_a_type_lacks_is_told() -> None:
    values = {**MAMBA, "architectures": ["MambaForRaceCars"]}
    said = description(build_network(values), values)
    assert "it has no MambaForRaceCars of this type: the bare model instead" in said


def refused(values: Config, shapes: dict[str, tuple[int, ...]] | None = None) -> str:
    request = {"name": "x", "input_shapes": shapes or {}, "batch": None, "input_types": {}}
    with pytest.raises(BadInputError) as caught:
        profile_values(values, request)
    return str(caught.value)


def test_inputs_that_a_network_must_have_are_asked_for() -> None:
    vision = {"hidden_size": 32, "depth": 1, "num_heads": 2, "intermediate_size": 64}
    said = refused({"model_type": "glm4v_vision", **vision})
    assert said == "input 'grid_thw' has no default shape: give --input-shape grid_thw=1,..."


def test_a_network_that_cannot_be_traced_says_what_it_was_given() -> None:
    said = refused({"model_type": "vit", **VISION}, {"pixel_values": (1, 3, 9, 9)})
    assert said.endswith("it was given pixel_values=1,3,9,9: --input-shape changes that")
    said = refused({"model_type": "bert", **TEXT}, {"input_ids": (1, 300)})
    assert "it was given input_ids=1,300: --input-shape" in said


def test_images_have_the_size_of_the_backbone_that_reads_them() -> None:
    config = transformers.CONFIG_MAPPING["sam2"]()
    assert _default_shape("pixel_values", config) == (1, 3, 1024, 1024)
    config.vision_config.backbone_config.image_size = [256, 512]
    assert _default_shape("pixel_values", config) == (1, 3, 256, 512)
