"""Block groups: where they begin in the papers' networks, and what holds of all of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

import planner
from planner.case import sparsifiable_layers
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.reshape import at_input_shapes
from planner.strategies.baselines import split_boundaries
from planner.structure import block_groups, repeated_blocks
from profiles.catalog import load_model
from tests.planner.builders import Net, chain
from tests.planner.generators import networks

STAGE = "resnet.encoder.stages.{}.layers.0.layer.0.convolution"
# where the second and later groups begin
STARTS = {
    "resnet50": [STAGE.format(stage) for stage in (1, 2, 3)],
    "deit-s": ["vit.layers.4.layernorm_before", "vit.layers.8.layernorm_before"],
    "ssd300-vgg16": ["early.4", "early.9", "early.16"],
    "deeplabv3plus-resnet101": [
        "group2.0.reduce.0",
        "group3.0.reduce.0",
        "group4.0.reduce.0",
        "pyramid.branches.0.0",
    ],
    "esrgan": ["trunk.8.blocks.0", "trunk.15.blocks.0"],
}
SHRINKING = {"convnext-t": 4, "swin-t": 4, "efficientnet-b0": 5, "mobilenetv2-224": 5}
REPEATED = {"bert-base": 12, "gpt2": 12, "llama-3.1-8b": 32, "llama-3.1-70b-decode": 80}


def groups_of(profile: ModelProfile, *split_points: str) -> list[range]:
    return block_groups(profile, sparsifiable_layers(profile), split_points)


def starts_of(profile: ModelProfile, *split_points: str) -> list[str]:
    groups = groups_of(profile, *split_points)
    return [profile.layers[group.start].name for group in groups[1:]]


def renamed(profile: ModelProfile) -> ModelProfile:
    """The same network with names that say nothing."""
    names = {layer.name: f"n{at * 7919 % 10007}" for at, layer in enumerate(profile.layers)}

    def other(name: str) -> str:
        return names.get(name, name)

    layers = tuple(
        layer.model_copy(
            update={
                "name": other(layer.name),
                "inputs": tuple(map(other, layer.inputs)),
                "shared_bytes": {other(name): size for name, size in layer.shared_bytes.items()},
            }
        )
        for layer in profile.layers
    )
    outputs = tuple(map(other, profile.outputs))
    return profile.model_copy(update={"layers": layers, "outputs": outputs})


@pytest.mark.parametrize("model", STARTS)
def test_where_the_groups_of_the_papers_networks_begin(model: str) -> None:
    assert starts_of(load_model(model)) == STARTS[model]


@pytest.mark.parametrize("model, count", SHRINKING.items())
def test_where_maps_shrink_repetition_is_not_asked(model: str, count: int) -> None:
    profile = load_model(model)
    assert len(groups_of(profile)) == count
    assert not set(starts_of(profile)) & {
        profile.layers[block.start].name
        for block in repeated_blocks(profile, sparsifiable_layers(profile))
    }


@pytest.mark.parametrize("model, count", REPEATED.items())
def test_a_transformers_blocks_are_found_whole(model: str, count: int) -> None:
    profile = load_model(model)
    blocks = repeated_blocks(profile, sparsifiable_layers(profile))
    assert len(blocks) == count
    for number, block in enumerate(blocks):
        inside = {layer.name for layer in profile.layers[block.start : block.stop] if layer.macs}
        assert all(f".{number}." in name for name in inside)
    assert len(groups_of(profile)) == 3


@pytest.mark.parametrize("model", ["deit-s", "esrgan"])
def test_names_do_not_matter_to_repetition(model: str) -> None:
    profile = load_model(model)
    assert groups_of(renamed(profile)) == groups_of(profile)


def test_without_its_names_deeplab_is_cut_where_it_repeats_most() -> None:
    unnamed = load_model("deeplabv3plus-resnet101").model_copy(update={"group_starts": ()})
    assert len(repeated_blocks(unnamed, sparsifiable_layers(unnamed))) == 22
    assert starts_of(unnamed) == ["group3.7:relu", "group3.15:relu"]


@pytest.mark.parametrize(
    "model, point",
    [
        ("deit-s", "vit.layers.6.layernorm_before"),
        ("deeplabv3plus-resnet101", "group3.0.reduce.0"),
        ("esrgan", "trunk.23"),
        ("resnet50", STAGE.format(2)),
    ],
)
def test_split_points_override_every_rule(model: str, point: str) -> None:
    assert starts_of(load_model(model), point) == [point]
    case = planner.make_case(model, "head-mounted", split_points=[point])
    assert split_boundaries(case, 2) == [1]
    assert split_boundaries(planner.make_case(model, "head-mounted"), 2) == list(
        range(1, len(STARTS[model]) + 1)
    )


def test_a_split_point_that_is_no_layer_is_refused() -> None:
    with pytest.raises(BadInputError, match="split point 'nowhere': deit-s has no layer"):
        groups_of(load_model("deit-s"), "nowhere")


def test_a_profile_names_no_group_that_is_no_layer() -> None:
    profile = chain(4, 8, 16)
    wrong = profile.model_dump() | {"group_starts": ("nowhere",)}
    del wrong["totals"]
    with pytest.raises(ValidationError, match="group_starts: 'nowhere' is no layer"):
        ModelProfile.model_validate(wrong)


def test_another_input_shape_keeps_the_names_of_the_groups() -> None:
    profile = load_model("deeplabv3plus-resnet101")
    other = at_input_shapes(profile, {"image": (1, 3, 257, 257)})
    assert starts_of(other) == STARTS["deeplabv3plus-resnet101"]


def test_one_group_where_nothing_shrinks_or_repeats() -> None:
    for profile in (chain(8), chain(4, 8, 16, 12), chain(8, 8, 4)):
        assert groups_of(profile) == [range(len(profile.layers))]


def test_two_blocks_are_two_groups() -> None:
    assert groups_of(chain(4, 12, 4, 12, 4)) == [range(3), range(3, 5)]


def residual_blocks(widths: list[int], count: int, features: int) -> ModelProfile:
    """A stem, alike blocks with a residual sum, and two layers behind them."""
    net = Net(3, 16)
    last = net.conv("image", features)
    for _ in range(count):
        inside = last
        for width in widths:
            inside = net.local(net.conv(inside, width))
        last = net.add(net.conv(inside, features), last)
    return net.profile(net.conv(net.conv(last, features + 1), features + 2))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(2, 12), st.integers(2, 9))
def test_repeated_blocks_are_found_and_cut_as_equally_as_possible(
    widths: list[int], count: int, features: int
) -> None:
    assume(features not in widths)
    profile = residual_blocks(widths, count, features)
    size = 2 * len(widths) + 2
    blocks = repeated_blocks(profile, sparsifiable_layers(profile))
    assert blocks == [range(1 + at * size, 1 + (at + 1) * size) for at in range(count)]
    groups = groups_of(profile)
    assert len(groups) == min(3, count)
    held = [sum(block.start in group for block in blocks) for group in groups]
    assert sum(held) == count and max(held) - min(held) <= 1


@given(networks(most=14), st.data())
def test_groups_hold_every_layer_once_and_in_order(
    profile: ModelProfile, data: st.DataObject
) -> None:
    names = [layer.name for layer in profile.layers]
    points = data.draw(st.lists(st.sampled_from(names), max_size=3))
    sparsifiable = sparsifiable_layers(profile)
    groups = block_groups(profile, sparsifiable, tuple(points))
    assert [row for group in groups for row in group] == list(range(len(names)))
    assert all(before.stop == after.start for before, after in pairwise(groups))
    if len(groups) > 1:
        assert all(sparsifiable[group.start : group.stop].any() for group in groups)
    if points:
        assert {names[group.start] for group in groups[1:]} <= set(points)
