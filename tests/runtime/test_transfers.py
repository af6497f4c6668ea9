"""The lists of what moves, against the cost model's bytes, on models of the library."""

from __future__ import annotations

import numpy as np
import pytest

from planner.cost.ownership import feature_shares
from planner.domain.owners import count_owned
from planner.runtime.cutting.transfers import Transfer, handed_over, moves, without_known
from planner.runtime.running.extents import Extent
from profiles.catalog import load_model


@pytest.mark.parametrize("name", ["mobilenetv2-224", "swin-t", "llama-3.1-8b", "ssd300-vgg16"])
def test_moves_are_the_bytes_that_the_cost_model_counts(name: str) -> None:
    profile = load_model(name)
    shares = feature_shares(profile, np.array([1.0, 3.0, 1.0]))
    sizes = {spec.name: spec.bytes for spec in profile.inputs}
    sizes |= {layer.name: layer.output_bytes for layer in profile.layers}
    for row, layer in enumerate(profile.layers):
        counted = np.zeros((3, 3), dtype=np.int64)
        for item in moves(layer, shares, row):
            feature_bytes = sizes[item.tensor] // len(shares.owners[item.tensor])
            counted[item.sender, item.receiver] += len(features_of(item)) * feature_bytes
        if layer.statistics_bytes:
            tells = count_owned(shares.owners[layer.inputs[0]], 3) > 0
            told = np.outer(tells, shares.outputs[row] > 0) & ~np.eye(3, dtype=np.bool_)
            counted += told * layer.statistics_bytes
        assert np.array_equal(counted, shares.moved_bytes[row]), layer.name


def extent(*features: int) -> Extent:
    return Extent(features=np.array(features, dtype=np.int64))


def features_of(item: Transfer) -> list[int]:
    assert item.extent.features is not None
    return item.extent.features.tolist()


def test_what_is_handed_over_is_what_one_has_and_another_needs() -> None:
    has, needs = [extent(0, 1), extent(2, 3)], [extent(0, 2, 3), extent(1, 3)]
    found = {
        (item.sender, item.receiver): features_of(item) for item in handed_over("x", has, needs)
    }
    assert found == {(0, 0): [0], (1, 0): [2, 3], (0, 1): [1], (1, 1): [3]}


def test_features_and_positions_cross() -> None:
    rows = Extent(positions=np.array([4, 5]))
    (item,) = handed_over("x", [extent(1, 2)], [rows])
    assert features_of(item) == [1, 2] and item.extent.positions is rows.positions
    assert not handed_over("x", [rows], [Extent(positions=np.array([3]))])


def test_what_a_receiver_knows_is_not_sent_again() -> None:
    known: dict[tuple[str, int, int], np.ndarray[tuple[int], np.dtype[np.int64]]] = {}

    def sent(features: list[int]) -> list[list[int]]:
        item = Transfer("x", 0, 1, extent(*features))
        return [features_of(left) for left in without_known([item], known)]

    assert sent([1, 2]) == [[1, 2]]
    assert sent([2, 4]) == [[4]]
    assert sent([1, 4]) == []
