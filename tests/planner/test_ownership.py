"""Which node holds which feature, and exactly which bytes move where a layer needs another."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given

from planner.api import answer, plan
from planner.cost.memory import activation_bytes
from planner.cost.ownership import FeatureShares, feature_shares
from planner.cost.table import cost_table, group_shares
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import REPLICATED, count_moves, owners_from_shares
from planner.errors import BadInputError
from tests.planner.builders import Net, chain, cluster
from tests.planner.generators import clusters, networks
from tests.planner.language_cases import language_model

PIXELS = 5
MAP_BYTES = PIXELS * 4  # of one feature
TWO, THREE = [1.0, 1.0], [1.0, 1.0, 1.0]


def shares_of(net: Net, speeds: Sequence[float]) -> FeatureShares:
    return feature_shares(net.profile(), np.array(speeds))


def moved(net: Net, speeds: Sequence[float]) -> list[list[float]]:
    """Feature maps that the last layer moves, sender to receiver."""
    matrix = shares_of(net, speeds).moved_bytes[-1] / MAP_BYTES
    rows: list[list[float]] = matrix.tolist()
    return rows


def two_tensors(features: int = 6) -> tuple[Net, str, str]:
    net = Net(3, PIXELS)
    return net, net.conv("image", features), net.conv("image", features)


def test_the_image_is_everywhere_and_is_never_sent() -> None:
    net = Net(3, PIXELS)
    net.conv("image", 6)
    found = shares_of(net, THREE)
    assert found.kinds.replicated[found.kind].tolist() == [3]
    assert not found.owned.any() and not found.moved_bytes.any()
    assert found.outputs.tolist() == [[2, 2, 2]]
    table = cost_table(net.profile(), cluster(3))
    assert not table.comm_s.any() and not table.sparsifiable.any()
    assert table.communicates.all()  # it counts in the average all the same


def test_what_only_reads_the_image_stays_everywhere() -> None:
    net = Net(3, PIXELS)
    net.conv(net.local("image"), 6)
    found = shares_of(net, TWO)
    assert found.outputs[0].tolist() == [3, 3]
    everywhere = [bool((found.owners[name] == REPLICATED).all()) for name in ("relu_0", "conv_1")]
    assert everywhere == [True, False]
    assert found.kinds.replicated[found.kind].tolist() == [0, 3] and not found.moved_bytes.any()


def test_a_convolution_leaves_contiguous_shares_by_speed() -> None:
    net = Net(3, PIXELS)
    net.conv(net.conv("image", 8), 8)
    found = shares_of(net, [3.0, 1.0])
    assert found.outputs.tolist() == [[6, 2], [6, 2]]
    assert found.owned[1].tolist() == [6, 2]


def test_local_layers_stay_where_their_input_is() -> None:
    net = Net(3, PIXELS)
    first = net.conv("image", 5)
    net.conv(net.depthwise(net.local(first, op="max_pool", pixels=1), multiplier=2), 4)
    found = shares_of(net, TWO)
    assert found.outputs.tolist() == [[3, 2], [3, 2], [6, 4], [2, 2]]
    assert found.owned[3].tolist() == [6, 4]
    assert not found.moved_bytes.any()


def test_flatten_keeps_a_features_elements_together() -> None:
    net = Net(3, PIXELS)
    net.linear(net.flatten(net.conv("image", 4)), 10)
    found = shares_of(net, TWO)
    assert found.outputs[1].tolist() == [2 * PIXELS, 2 * PIXELS]
    assert found.owned[2].tolist() == [2 * PIXELS, 2 * PIXELS]
    assert not found.moved_bytes.any()
    table = cost_table(net.profile(), cluster(2), levels=(0.0,))
    # every element is a feature of four bytes now
    assert table.wire_bytes[2, 0] == 2 * 2 * PIXELS * 4


def test_concat_keeps_every_producers_owners() -> None:
    net = Net(3, PIXELS)
    joined = net.concat(net.conv("image", 3), net.conv("image", 4))
    net.add(joined, net.conv("image", 7))
    found = shares_of(net, TWO)
    # a a b | a a b b
    assert found.outputs[2].tolist() == [4, 3]
    assert not found.moved_bytes[2].any()
    # the other operand is a a a a b b b: its third goes a to b, fifth b to a
    assert found.moved_bytes[4].tolist() == [[0, MAP_BYTES], [MAP_BYTES, 0]]


def test_adding_operands_with_like_owners_moves_nothing() -> None:
    net, first, second = two_tensors()
    net.add(first, second)
    assert not any(map(any, moved(net, THREE)))


def test_adding_operands_with_unlike_owners_moves_what_differs() -> None:
    net = Net(3, PIXELS)
    wide = net.conv("image", 8)  # a a a a b b b b
    narrow = net.slice(wide, 2, 6)  # a a b b
    other = net.slice(wide, 1, 5)  # a a a b
    net.add(narrow, other)
    # the result stands where the first operand is: one map goes from a to b
    assert moved(net, TWO) == [[0, 1], [0, 0]]
    assert shares_of(net, TWO).outputs[-1].tolist() == [2, 2]


def test_adding_the_image_to_features_moves_nothing() -> None:
    net = Net(4, PIXELS)
    net.add("image", net.conv("image", 4))
    found = shares_of(net, TWO)
    assert found.outputs[-1].tolist() == [2, 2] and not found.moved_bytes.any()


@pytest.mark.parametrize(
    "speeds, groups, outputs, moves",
    [
        # 8 inputs a×4 b×4 in groups of 2: aligned with halves
        (TWO, 4, [4, 4], [[0, 0], [0, 0]]),
        # two groups on three nodes: c has none; inputs a×3 b×3 c×2, needed a×4 b×4
        (THREE, 2, [4, 4, 0], [[0, 0, 0], [1, 0, 0], [0, 2, 0]]),
        # one group cannot be parted: all on the first node
        (TWO, 1, [8, 0], [[0, 0], [4, 0]]),
        # inputs by speed a×6 b×2; groups of 4, one each: a keeps 4 and gives b two
        ([3.0, 1.0], 2, [8, 0], [[0, 0], [2, 0]]),
        ([5.0, 3.0], 2, [4, 4], [[0, 1], [0, 0]]),
    ],
)
def test_a_grouped_convolution_moves_what_its_groups_lack(
    speeds: list[float], groups: int, outputs: list[int], moves: list[list[int]]
) -> None:
    net = Net(3, PIXELS)
    net.grouped(net.conv("image", 8), 8, groups)
    assert shares_of(net, speeds).outputs[-1].tolist() == outputs
    assert moved(net, speeds) == moves


def test_a_slice_keeps_its_owners() -> None:
    net = Net(3, PIXELS)
    net.conv(net.slice(net.conv("image", 8), 3, 8), 4)
    found = shares_of(net, TWO)
    assert found.outputs[1].tolist() == [1, 4]
    assert found.owned[2].tolist() == [1, 4]
    assert not found.moved_bytes.any()


def test_a_layer_of_one_node_gathers_its_inputs_there() -> None:
    net, first, second = two_tensors(6)
    net.one_node(first, second, out=4)
    net.conv("lstm_2", 6)
    found = shares_of(net, THREE)
    assert found.moved_bytes[2].tolist() == [
        [0, 0, 0],
        [2 * 2 * MAP_BYTES, 0, 0],
        [2 * 2 * MAP_BYTES, 0, 0],
    ]
    assert found.outputs[2].tolist() == [4, 0, 0]
    # what follows gets everything from there
    assert found.owned[3].tolist() == [4, 0, 0]
    assert found.outputs[3].tolist() == [2, 2, 2]


def test_layer_norm_tells_every_other_node_two_numbers_per_token() -> None:
    net = Net(3, PIXELS)
    net.layer_norm(net.conv("image", 6))
    told = 2 * PIXELS * 4
    assert shares_of(net, THREE).moved_bytes[1].tolist() == [
        [0, told, told],
        [told, 0, told],
        [told, told, 0],
    ]
    # nothing is told where every node has everything, or one node has it all
    net = Net(3, PIXELS)
    net.layer_norm("image")
    assert not shares_of(net, THREE).moved_bytes.any()
    net = Net(3, PIXELS)
    net.layer_norm(net.one_node("image", out=6))
    assert not shares_of(net, THREE).moved_bytes.any()


def test_a_gate_of_one_value_goes_to_all_nodes() -> None:
    net = Net(3, PIXELS)
    features = net.conv("image", 6)
    net.local(features, net.conv("image", 1), op="mul")
    assert shares_of(net, THREE).outputs[-1].tolist() == [2, 2, 2]
    assert moved(net, THREE) == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_moves_between_owners() -> None:
    needed = owners_from_shares(np.array([2, 2]))
    assert needed.tolist() == [0, 0, 1, 1]
    everywhere = np.full(4, REPLICATED, dtype=np.int16)
    assert not count_moves(everywhere, needed, 2).any()
    assert count_moves(needed, everywhere, 3).tolist() == [[0, 2, 2], [2, 0, 2], [0, 0, 0]]


def owners_one_by_one(profile: ModelProfile, group: Cluster) -> list[dict[str, list[set[int]]]]:
    """The holders of every feature after each layer, by the contracts of docs/model.md."""
    n = len(group.nodes)
    everyone = set(range(n))
    computed = group_shares(profile, group).outputs
    held = {spec.name: [everyone] * spec.features for spec in profile.inputs}
    after = []
    for row, layer in enumerate(profile.layers):
        sources = [held[name] for name in layer.inputs]
        if layer.feature_flow in ("mixing", "grouped"):
            out = [{node} for node in range(n) for _ in range(computed[row, node])]
        elif layer.feature_flow == "concat":
            out = [holders for source in sources for holders in source]
        elif layer.feature_flow == "slice":
            out = sources[0][layer.feature_start :][: layer.out_features]
        elif layer.feature_flow == "one-node":
            out = [{0}] * layer.out_features
        else:
            split = [source for source in sources if any(holders != everyone for holders in source)]
            leader = split[0] if split and n > 1 else sources[0]
            out = [h for h in leader for _ in range(layer.out_features // len(leader))]
        held = {**held, layer.name: out}
        after.append(held)
    return after


@given(networks(), clusters())
def test_live_tensors_equal_a_second_count(profile: ModelProfile, group: Cluster) -> None:
    count = len(profile.layers)
    size = {s.name: s.bytes for s in profile.inputs}
    size |= {layer.name: layer.output_bytes for layer in profile.layers}
    live = activation_bytes(profile, group_shares(profile, group))
    for row, (layer, held) in enumerate(
        zip(profile.layers, owners_one_by_one(profile, group), strict=True)
    ):
        made = [spec.name for spec in profile.inputs] + [x.name for x in profile.layers[:row]]

        def read_from(name: str, first: int) -> bool:
            later = any(name in profile.layers[i].inputs for i in range(first, count))
            return later or name in profile.outputs

        alive = [name for name in made if read_from(name, row)]
        overwritten = (
            layer.macs == 0
            and not read_from(layer.inputs[0], row + 1)
            and size[layer.inputs[0]] >= layer.output_bytes
        )
        if not overwritten:
            alive.append(layer.name)
        for node in range(len(group.nodes)):
            held_bytes = sum(
                sum(node in holders for holders in held[name]) * size[name] // len(held[name])
                for name in alive
            )
            assert live[row, node] == held_bytes


@given(networks(), clusters())
def test_every_output_feature_is_computed_somewhere(profile: ModelProfile, group: Cluster) -> None:
    found = group_shares(profile, group)
    for row, held in enumerate(owners_one_by_one(profile, group)):
        features = held[profile.layers[row].name]
        assert all(features)
        for node in range(len(group.nodes)):
            assert found.outputs[row, node] == sum(node in holders for holders in features)


@given(networks(), clusters())
def test_nothing_moves_from_a_node_that_does_not_hold_it(
    profile: ModelProfile, group: Cluster
) -> None:
    found = group_shares(profile, group)
    assert (found.moved_bytes >= 0).all()
    for row in range(len(profile.layers)):
        assert not np.diag(found.moved_bytes[row]).any()
        if profile.layers[row].feature_flow in ("mixing", "concat", "slice"):
            assert not found.moved_bytes[row].any()
        if profile.layers[row].feature_flow == "mixing":
            assert (
                found.owned[row].sum() + found.kinds.replicated[found.kind][row]
                == profile.layers[row].in_features
            )


@pytest.mark.parametrize(
    ("net", "where"),
    [
        (chain(4, 2**24 + 1, image=1, pixels=1), "layer 'conv_1'"),
        (chain(4, image=2**24 + 1, pixels=1), "input 'image'"),
    ],
)
def test_more_features_than_arrays_can_hold_are_refused(net: ModelProfile, where: str) -> None:
    with pytest.raises(BadInputError, match=f"{where}: has 16,777,217 features; no more than 16,7"):
        plan(net, cluster(2))


def test_a_vocabulary_that_no_array_can_hold_is_refused() -> None:
    model = language_model(Random(0), 2)
    rows = 2**40
    table = {"rows": rows, "columns": model.hidden, "bytes": rows * model.hidden}
    huge = LanguageModel.model_validate(model.model_dump() | {"embedding": table, "head": None})
    with pytest.raises(BadInputError, match="has 1,099,511,627,776 features; no more than"):
        answer(huge, cluster(2), prompt=8, answer=2)
