"""Catalogue models at other shapes: every field of every layer is what a fresh trace gives."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.reshape import at_input_shapes
from profiles.catalog import load_model, model_names
from profiles.from_torch.frontend import profile_module

REPO = Path(__file__).parents[2]
Shape = tuple[int, ...]

ODD: tuple[Shape, ...] = ((1, 3, 225, 225), (2, 3, 321, 321), (3, 3, 97, 130))
TINY: Shape = (4, 3, 33, 35)  # maps of one element
BATCHES: tuple[Shape, ...] = ((2, 3, 224, 224), (5, 3, 224, 224))
TOKENS: tuple[Shape, ...] = ((1, 77), (2, 200), (3, 511), (1, 2))
SHAPES: dict[str, tuple[Shape, ...]] = {
    "resnet50": (*ODD, TINY),
    "resnet50-half": ODD,
    "resnet50-quarter": ODD,
    "resnet50-eighth": (*ODD, TINY),
    "mobilenetv2-224": (*ODD, TINY),
    "mobilenetv2-256": ODD,
    "efficientnet-b0": (*ODD, TINY),
    "convnext-t": (*ODD, TINY),
    "deeplabv3plus-resnet101": (*ODD, TINY),
    "esrgan": (*ODD, TINY),
    "ssd300-vgg16": ((2, 3, 321, 321), (1, 3, 300, 401), (1, 3, 257, 258)),
    "swin-t": BATCHES,
    "deit-s": BATCHES,
    "deit-s-distilled": BATCHES,
    "bert-base": (*TOKENS, (1, 512)),
    "gpt2": (*TOKENS, (1, 600)),
    "llama-3.1-8b": TOKENS,
    "llama-3.1-70b": TOKENS[1:3],
}
FIXED = {"llama-3.1-8b-decode", "llama-3.1-70b-decode"}  # the cache has a batch of its own
FAST = {
    "resnet50-eighth": 4,
    "mobilenetv2-224": 2,
    "efficientnet-b0": 2,
    "convnext-t": 2,
    "ssd300-vgg16": 3,
    "deit-s": 2,
    "swin-t": 1,
    "bert-base": 3,
    "gpt2": 2,
}
"""Models and numbers of shapes of the quick suite; ``make slow`` compares them all."""
CASES = [
    pytest.param(name, shape, marks=() if number < FAST.get(name, 0) else pytest.mark.slow)
    for name, shapes in SHAPES.items()
    for number, shape in enumerate(shapes)
]


@pytest.fixture(scope="module")
def build_library() -> ModuleType:
    path = REPO / "scripts" / "build_library.py"
    spec = importlib.util.spec_from_file_location("build_library_reshaped", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_library_reshaped"] = module
    spec.loader.exec_module(module)
    return module


def numbers(layer: LayerProfile) -> LayerProfile:
    return layer.model_copy(update={"scaling": None})


def assert_alike(found: ModelProfile, expected: ModelProfile) -> None:
    assert found.inputs == expected.inputs
    assert found.outputs == expected.outputs
    assert found.element_bytes == expected.element_bytes
    for ours, fresh in zip(found.layers, expected.layers, strict=True):
        assert numbers(ours) == numbers(fresh)
    assert found.totals == expected.totals
    for field in ("counted", "free", "uncounted"):
        assert getattr(found.coverage, field) == getattr(expected.coverage, field)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_fresh_trace_gives_the_same(build_library: ModuleType, name: str, shape: Shape) -> None:
    profile = load_model(name)
    (spec,) = profile.inputs
    made = build_library.ARCHITECTURES[name].prepare("meta")
    fresh = profile_module(
        made.module, {spec.name: shape}, dtypes=made.dtypes, name=name, witness=False
    )
    found = at_input_shapes(profile, {spec.name: shape})
    assert_alike(found, fresh)
    # What was derived is a valid document, from which the old shape can be had again.
    read = ModelProfile.model_validate_json(found.model_dump_json())
    assert_alike(read, fresh)
    back = at_input_shapes(read, {spec.name: spec.shape})
    assert [numbers(layer) for layer in back.layers] == [
        numbers(layer).model_copy(update={"witness_macs": None}) for layer in profile.layers
    ]


def test_every_model_is_compared_or_said_to_be_fixed() -> None:
    assert {*SHAPES, *FIXED} == set(model_names())
    for name in FIXED:
        assert load_model(name).reshaping is None
    for name, shapes in SHAPES.items():
        assert len(shapes) >= 2
        assert load_model(name).inputs[0].shape not in shapes


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("convnext-t", (1, 3, 31, 64), "needs h >= 32"),
        ("ssd300-vgg16", (1, 3, 225, 225), "needs h >= 257"),
        ("bert-base", (1, 513), "needs t == min(512, t)"),
        ("bert-base", (1, 128, 1), "reads 2 dimensions"),
        ("deit-s", (1, 3, 225, 224), "dimension 2 is fixed at 224, not 225"),
        ("swin-t", (2, 3, 224, 448), "dimension 3 is fixed at 224, not 448"),
        ("resnet50", (1, 1, 224, 224), "dimension 1 is fixed at 3, not 1"),
        ("resnet50", (0, 3, 224, 224), "sizes are 1 on"),
        ("resnet50", (1, 3, 2**40, 2**40), "2^62"),
        ("llama-3.1-8b-decode", (2, 1), "is fixed at 1,1, not 2,1"),
    ],
)
def test_shapes_that_a_model_cannot_have(name: str, shape: Shape, said: str) -> None:
    profile = load_model(name)
    with pytest.raises(BadInputError) as caught:
        at_input_shapes(profile, {profile.inputs[0].name: shape})
    (line,) = str(caught.value).splitlines()
    assert said in line
    assert name in line or profile.inputs[0].name in line
