"""Layouts against numpy: every element carries its feature's number, and keeps its owner."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from profiles.contract_parts import Contract, Operand
from profiles.contracts import contract
from profiles.graph import Operator, Tensor
from profiles.layout import Layout, channels, normalised, regrouped, transposed


def features_of_elements(layout: Layout) -> np.ndarray:
    """Feature number of every element, in the tensor's shape."""
    shape = [prod(a.size for a in dimension) for dimension in layout.dimensions]
    atoms = [atom for dimension in layout.dimensions for atom in dimension]
    number = np.zeros([a.size for a in atoms] or [1], dtype=np.int64)
    for axis, atom in enumerate(atoms):
        steps = np.arange(atom.size) * atom.stride
        number += steps.reshape([-1 if k == axis else 1 for k in range(max(len(atoms), 1))])
    return number.reshape(shape)


@st.composite
def shaped(draw: st.DrawFn) -> tuple[tuple[int, ...], int]:
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=2, max_size=4)))
    return shape, draw(st.integers(0, len(shape) - 1))


def factorisations(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    @st.composite
    def draw_shape(draw: st.DrawFn) -> tuple[int, ...]:
        rest, shape = size, []
        while rest > 1 and len(shape) < 5:
            divisor = draw(st.sampled_from([d for d in range(1, rest + 1) if rest % d == 0]))
            shape.append(divisor)
            rest //= divisor
        return (*shape, rest)

    return draw_shape()


@given(st.data())
def test_reshapes_and_transposes_number_elements_as_numpy_does(data: st.DataObject) -> None:
    shape, axis = data.draw(shaped())
    layout = channels(shape, axis)
    numbers = features_of_elements(layout)
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            order = tuple(data.draw(st.permutations(range(numbers.ndim))))
            layout, numbers = transposed(layout, order), numbers.transpose(order)
        else:
            wanted = data.draw(factorisations(numbers.size))
            found = regrouped(layout, wanted)
            assume(found is not None)
            assert found is not None
            layout, numbers = found, numbers.reshape(wanted)
        assert np.array_equal(features_of_elements(layout), numbers)


@given(st.data())
def test_normalising_keeps_every_element_in_its_group(data: st.DataObject) -> None:
    shape, axis = data.draw(shaped())
    layout = channels(shape, axis)
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    found = regrouped(transposed(layout, order), data.draw(factorisations(prod(shape))))
    assume(found is not None)
    assert found is not None
    before = features_of_elements(found)
    change = normalised(found)
    after = features_of_elements(change.layout)
    assert after.shape == before.shape
    assert set(after.ravel()) == set(range(change.layout.count))
    old, new = found.count, change.layout.count
    if change.flow == "shuffle":
        expected = np.arange(old).reshape(change.groups, -1).T.ravel()
        assert np.array_equal(expected[after], before)
    elif change.flow == "grouped":
        assert np.array_equal(before // (old // change.groups), after // (new // change.groups))
    else:
        assert np.array_equal(before, after // (new // old))


def apply(
    kind: str,
    shapes: list[tuple[int, ...]],
    layouts: list[Layout],
    out: tuple[int, ...],
    **attributes: object,
) -> Contract:
    tensors = [Tensor(f"t{k}", shape) for k, shape in enumerate(shapes)]
    operator = Operator(
        name="y",
        kind=kind,
        op=kind,
        source_op=kind,
        inputs=tuple(t.name for t in tensors),
        output=Tensor("y", out),
        **attributes,  # type: ignore[arg-type]
    )
    operands = [Operand(t, layout) for t, layout in zip(tensors, layouts, strict=True)]
    return contract(operator, operands)


def heads(batch: int, h: int, tokens: int, d: int) -> Layout:
    flat = regrouped(channels((batch, tokens, h * d), 2), (batch, tokens, h, d))
    assert flat is not None
    return transposed(flat, (0, 2, 1, 3))


def test_attention_in_single_steps_stays_inside_heads() -> None:
    q, k = heads(1, 6, 5, 4), transposed(heads(1, 6, 5, 4), (0, 1, 3, 2))
    scores = apply("matmul", [(1, 6, 5, 4), (1, 6, 4, 5)], [q, k], (1, 6, 5, 5))
    assert (scores.flow, scores.groups, scores.layout.count) == ("grouped", 6, 6)
    weights = apply("softmax", [(1, 6, 5, 5)], [scores.layout], (1, 6, 5, 5), axes=(3,))
    assert (weights.flow, weights.statistics) == ("local", 0)
    mixed = apply("matmul", [(1, 6, 5, 5), (1, 6, 5, 4)], [weights.layout, q], (1, 6, 5, 4))
    assert (mixed.flow, mixed.groups, mixed.layout) == ("grouped", 6, q)
    back = apply(
        "transpose", [(1, 6, 5, 4)], [mixed.layout], (1, 5, 6, 4), permutation=(0, 2, 1, 3)
    )
    joined = apply("reshape", [(1, 5, 6, 4)], [back.layout], (1, 5, 24))
    assert joined.layout == channels((1, 5, 24), 2)


def test_a_head_of_as_many_coordinates_as_there_are_heads() -> None:
    q = heads(1, 4, 5, 4)
    scores = apply(
        "matmul", [(1, 4, 5, 4), (1, 4, 4, 5)], [q, transposed(q, (0, 1, 3, 2))], (1, 4, 5, 5)
    )
    mixed = apply("matmul", [(1, 4, 5, 5), (1, 4, 5, 4)], [scores.layout, q], (1, 4, 5, 4))
    assert mixed.layout == q


def test_a_product_over_features_without_heads_runs_on_one_node() -> None:
    tokens = channels((1, 5, 24), 2)
    found = apply(
        "matmul", [(1, 5, 24), (1, 24, 5)], [tokens, transposed(tokens, (0, 2, 1))], (1, 5, 5)
    )
    assert found.flow == "one-node"


def test_repeated_key_heads_follow_the_head_that_they_repeat() -> None:
    kv = heads(1, 2, 5, 4)
    spread = regrouped(kv, (1, 2, 1, 5, 4))
    assert spread is not None
    repeated = apply("elementwise", [(1, 2, 1, 5, 4)], [spread], (1, 2, 3, 5, 4))
    joined = apply("reshape", [(1, 2, 3, 5, 4)], [repeated.layout], (1, 6, 5, 4))
    assert (joined.flow, joined.groups, joined.layout) == ("grouped", 2, heads(1, 6, 5, 4))


def test_a_channel_shuffle_renumbers_features() -> None:
    split = regrouped(channels((1, 6, 2, 2), 1), (1, 2, 3, 2, 2))
    assert split is not None
    swapped = transposed(split, (0, 2, 1, 3, 4))
    found = apply("reshape", [(1, 3, 2, 2, 2)], [swapped], (1, 6, 2, 2))
    assert (found.flow, found.groups) == ("shuffle", 2)
    assert found.layout == channels((1, 6, 2, 2), 1)


def test_a_pixel_shuffle_takes_the_features_of_a_pixel_together() -> None:
    split = regrouped(channels((1, 12, 5, 5), 1), (1, 3, 2, 2, 5, 5))
    assert split is not None
    woven = transposed(split, (0, 1, 4, 2, 5, 3))
    found = apply("reshape", [(1, 3, 5, 2, 5, 2)], [woven], (1, 3, 10, 10))
    assert (found.flow, found.groups) == ("grouped", 3)
    assert found.layout == channels((1, 3, 10, 10), 1)


def test_the_parts_of_a_fused_projection_are_runs_of_its_features() -> None:
    fused = regrouped(channels((1, 5, 72), 2), (1, 5, 3, 6, 4))
    assert fused is not None
    found = apply("slice", [(1, 5, 3, 6, 4)], [fused], (1, 5, 6, 4), axes=(2,), start=1)
    assert (found.flow, found.start, found.layout.count) == ("slice", 24, 24)


def test_half_of_every_head_stays_with_the_head() -> None:
    q = heads(1, 6, 5, 4)
    half = apply("slice", [(1, 6, 5, 4)], [q], (1, 6, 5, 2), axes=(3,), start=2)
    assert (half.flow, half.groups, half.layout.count) == ("grouped", 6, 12)
    joined = apply("concat", [(1, 6, 5, 2)] * 2, [half.layout] * 2, (1, 6, 5, 4), axes=(3,))
    assert (joined.flow, joined.groups, joined.layout) == ("grouped", 6, q)


def test_operands_with_features_in_unlike_places_share_no_owner() -> None:
    found = apply(
        "elementwise",
        [(1, 4, 4), (1, 4, 4)],
        [channels((1, 4, 4), 1), channels((1, 4, 4), 2)],
        (1, 4, 4),
    )
    assert found.flow == "one-node"


@pytest.mark.parametrize(("axes", "flow", "statistics"), [((2,), "local", 2), ((1,), "local", 0)])
def test_norms_share_statistics_over_features_alone(
    axes: tuple[int, ...], flow: str, statistics: int
) -> None:
    found = apply("norm", [(1, 5, 24)], [channels((1, 5, 24), 2)], (1, 5, 24), axes=axes)
    assert (found.flow, found.statistics) == (flow, statistics)


def test_a_declared_shape_that_contradicts_the_input_runs_on_one_node() -> None:
    found = apply("elementwise", [(2, 3, 8)], [channels((2, 3, 8), 2)], (3, 8))
    assert found.flow == "one-node"
    assert found.layout.shape == (3, 8)
