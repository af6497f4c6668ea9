"""Patterns are found in bare numbers of elements, and give these numbers again."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from planner.runtime.cutting.gathering import gathered
from planner.runtime.cutting.patterns import longest_index, recognised
from planner.runtime.running.operands import arranged
from planner.runtime.running.records import Join, Pad, Pattern, Source, View

Index = NDArray[np.int64]


def carried_out(pattern: Pattern, sizes: list[int]) -> list[int]:
    """Numbers of the elements where the pattern puts them, worked out apart from the recogniser."""
    sources = torch.split(torch.arange(sum(sizes)), sizes)
    found: list[int] = arranged(pattern, sources, fill=-1).reshape(-1).tolist()
    return found


def recognise(index: Index, *sizes: int) -> Pattern:
    pattern = recognised(index.reshape(-1), sizes, index.shape)
    assert carried_out(pattern, list(sizes)) == index.reshape(-1).tolist()
    return pattern


def numbers(*shape: int) -> Index:
    return np.arange(prod(shape), dtype=np.int64).reshape(shape)


BOX_OF_120 = numbers(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("taken", "size"),
    [
        (BOX_OF_120[:, 1:], 120),
        (BOX_OF_120[:, :, 1:3, ::2], 120),
        (BOX_OF_120[1:, 2:, 3:, 4:], 120),
        (BOX_OF_120[:, ::2, ::3, 1::2], 120),
        (BOX_OF_120.transpose(0, 2, 3, 1), 120),
        (BOX_OF_120[:, :, 1:].transpose(3, 1, 0, 2), 120),
        (np.broadcast_to(numbers(2, 3, 1, 5), (2, 3, 4, 5)), 30),
        (np.broadcast_to(numbers(1), (2, 3)), 1),
        (numbers(7, 5)[::3, 1::3], 35),
        (numbers(10)[:9].reshape(3, 3)[:, :2], 10),  # ten elements are no three rows
        (numbers(11)[2:].reshape(3, 3)[:, 1:], 11),
        (numbers(1, 8, 64)[:, 3:7], 512),
        (numbers(8, 8).reshape(2, 4, 2, 4).transpose(0, 2, 1, 3), 64),
        (numbers(2, 9, 8)[:, 1:].reshape(2, 2, 4, 2, 4).transpose(0, 1, 3, 2, 4), 144),
    ],
)
def test_views_of_one_tensor_need_no_index(taken: Index, size: int) -> None:
    pattern = recognise(np.ascontiguousarray(taken), size)
    assert isinstance(pattern, View) and longest_index(pattern) == 0


def test_what_changes_nothing_is_the_source_itself() -> None:
    assert recognise(BOX_OF_120, 120) == Source(0)
    assert recognise(BOX_OF_120.reshape(10, 12), 120) == Source(0)
    assert recognise(numbers(), 1) == Source(0)


@pytest.mark.parametrize(
    "features", [[0, 2, 3, 7], [3, 4, 7, 8], [0, 1, 4, 5, 8, 9], [9, 0, 5], [1, 2, 5, 6, 9]]
)
@pytest.mark.parametrize("batch", [1, 2])
def test_an_index_is_of_features_not_of_elements(features: list[int], batch: int) -> None:
    pattern = recognise(numbers(batch, 10, 6, 8)[:, features], batch * 10 * 48)
    assert longest_index(pattern) <= len(features)


def test_a_message_behind_the_own_features_and_rows_between_two_halos() -> None:
    own, sent = numbers(2, 3, 5), 30 + numbers(2, 2, 5)
    pattern = recognise(np.concatenate([own, sent], 1), 30, 20)
    assert isinstance(pattern, Join) and longest_index(pattern) == 0
    above, below = 60 + numbers(3, 1, 5), 75 + numbers(3, 1, 5)
    rows = np.concatenate([above, numbers(3, 4, 5), below], 1)
    assert longest_index(recognise(rows, 60, 15, 15)) == 0


def test_padding_around_is_padded_and_between_is_an_index_of_its_dimension() -> None:
    around = np.pad(numbers(2, 3, 4), ((0, 0), (1, 2), (0, 1)), constant_values=-1)
    pattern = recognise(around, 24)
    assert isinstance(pattern, Pad) and longest_index(pattern) == 0
    between = np.full((2, 6, 4), -1, dtype=np.int64)
    between[:, [0, 2, 3]] = numbers(2, 3, 4)
    assert longest_index(recognise(between, 24)) == 6


def test_features_in_turns_are_brought_in_order_by_an_index_of_them() -> None:
    parts = [numbers(1, 20, 9), 180 + numbers(1, 20, 9)]
    turns = np.stack(parts, 2).reshape(1, 40, 9)
    assert longest_index(recognise(turns, 180, 180)) == 40


def test_elements_of_several_sources_that_change_places_are_put_together_first() -> None:
    """Rows of three nodes, then windows of four by four: no dimension has them apart."""
    whole = numbers(8, 8, 3)
    windows = whole.reshape(2, 4, 2, 4, 3).transpose(0, 2, 1, 3, 4).reshape(4, 16, 3)
    sources = [(str(n), part.reshape(-1)) for n, part in enumerate(np.split(whole, [3, 6]))]
    operand = gathered(sources, windows.reshape(-1), windows.shape, whole=whole.shape)
    assert operand is not None and longest_index(operand.pattern) == 0
    made = arranged(operand.pattern, [torch.from_numpy(part) for _, part in sources])
    assert made.reshape(-1).tolist() == windows.reshape(-1).tolist()


BOX = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(shape=BOX, data=st.data())
def test_boxes_in_any_order_are_views(shape: list[int], data: st.DataObject) -> None:
    """Slices with steps, permuted, repeated; with padding around them."""
    whole = numbers(*shape)
    slices = []
    for size in shape:
        start = data.draw(st.integers(0, size - 1))
        stop = data.draw(st.integers(start + 1, size))
        slices.append(slice(start, stop, data.draw(st.integers(1, 3))))
    taken = whole[tuple(slices)].transpose(data.draw(st.permutations(range(len(shape)))))
    if data.draw(st.booleans()):
        taken = np.broadcast_to(taken[:, None], (taken.shape[0], 3, *taken.shape[1:]))
    if data.draw(st.booleans()):
        pads = [(data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))) for _ in taken.shape]
        taken = np.pad(taken, pads, constant_values=-1)
    pattern = recognise(np.ascontiguousarray(taken), whole.size)
    assert longest_index(pattern) <= max(taken.shape)


@given(shape=BOX, data=st.data())
def test_index_sets_of_any_dimensions_take_an_index_of_these(
    shape: list[int], data: st.DataObject
) -> None:
    sets = [data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8)) for n in shape]
    taken = numbers(*shape)[np.ix_(*sets)]
    pattern = recognise(taken, prod(shape))
    assert longest_index(pattern) <= max(taken.shape)


@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    cuts=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    data=st.data(),
)
def test_pieces_of_several_sources_are_joined(
    shape: list[int], cuts: list[int], data: st.DataObject
) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    parts, start = [], 0
    for size in cuts:
        piece = (*shape[:axis], size, *shape[axis + 1 :])
        parts.append(start + numbers(*piece))
        start += prod(piece)
    order = data.draw(st.permutations(range(len(parts))))
    pattern = recognise(np.concatenate([parts[n] for n in order], axis), *(p.size for p in parts))
    assert longest_index(pattern) == 0


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    shape=st.lists(st.integers(1, 6), min_size=0, max_size=3),
    data=st.data(),
)
def test_junk_is_an_index_that_gives_it_again(
    sizes: list[int], shape: list[int], data: st.DataObject
) -> None:
    count = prod(shape)
    drawn = st.lists(st.integers(-1, sum(sizes) - 1), min_size=count, max_size=count)
    index = np.array(data.draw(drawn), dtype=np.int64)
    pattern = recognised(index, sizes, tuple(shape))
    assert carried_out(pattern, sizes) == index.tolist()
    assert longest_index(pattern) <= count


def test_a_permutation_without_structure_is_one_index() -> None:
    index = np.random.default_rng(0).permutation(60)
    assert longest_index(recognise(index, 60)) == 60
    assert longest_index(recognise(index, 20, 40)) == 60
