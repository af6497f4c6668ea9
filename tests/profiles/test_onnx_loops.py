"""Loops whose states grow, what their bodies store, and what was assumed inside of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from tests.profiles.onnx_models import file, node, numbers, profiled, weight

VALUE = helper.make_tensor_value_info


def body_of(
    work: Sequence[onnx.NodeProto],
    made: Sequence[str],
    inside: Sequence[onnx.TensorProto] = (),
) -> onnx.GraphProto:
    """A body that works on the state ``h`` and never asks to stop."""
    return helper.make_graph(
        [*work, node("Identity", "go", "more")],
        "body",
        [
            VALUE("i", TensorProto.INT64, []),
            VALUE("go", TensorProto.BOOL, []),
            VALUE("h", TensorProto.FLOAT, None),
        ],
        [
            VALUE("more", TensorProto.BOOL, []),
            *(VALUE(name, TensorProto.FLOAT, None) for name in made),
        ],
        initializer=inside,
    )


def looped(
    work: Sequence[onnx.NodeProto],
    states: str,
    held: Sequence[onnx.TensorProto],
    *,
    trips: int = 7,
    inside: Sequence[onnx.TensorProto] = (),
    results: str = "",
    shape: Sequence[int] = (2, 6),
    **options: int,
) -> ModelProfile:
    """A Loop from the state ``h`` to the last of what the work makes, and what it stacks."""
    names = f"{states} {results}".split()
    body = body_of(work, names, inside)
    outputs = " ".join(f"y{number}" for number in range(len(names)))
    nodes = [node("Loop", "n - x", outputs, body=body, name="loop")]
    return profiled(file(nodes, {"x": shape}, outputs, [numbers("n", trips), *held], **options))


@pytest.mark.parametrize("trips", [1, 2, 4, 5, 100])
def test_a_state_that_grows_is_costed_trip_by_trip(trips: int) -> None:
    """Keys that are kept of every token: trip i reads i + 1 of them and a new one."""
    work = [
        node("Concat", "h h0", "longer", axis=0),
        node("Transpose", "longer", "turned", perm=[1, 0]),
        node("MatMul", "h0 turned", "scores"),
        node("MatMul", "scores longer", "read"),
    ]
    start = [weight("h0", 1, 6)]
    profile = looped(work, "longer", start, trips=trips, results="read", shape=(1, 6))
    macs = sum(2 * 6 * (trip + 2) for trip in range(trips))
    assert profile.totals.macs == macs
    kept, stacked = profile.layers
    assert kept.output_bytes == (1 + trips) * 6 * 4
    assert stacked.output_bytes == trips * 6 * 4
    assert profile.provenance.note == ""


def test_two_states_that_grow_against_each_other_are_summed_exactly() -> None:
    work = [
        node("Concat", "h h0", "longer", axis=0),
        node("Transpose", "longer", "turned", perm=[1, 0]),
        node("MatMul", "longer turned", "all"),
        node("ReduceSum", "all", "one", keepdims=0),
        node("Mul", "longer one", "next"),
    ]
    profile = looped(work, "next", [weight("h0", 1, 6)], trips=50, shape=(1, 6))
    assert profile.totals.macs == sum(6 * (trip + 2) ** 2 for trip in range(50))


def test_a_state_that_doubles_has_no_size_that_is_known() -> None:
    with pytest.raises(BadInputError, match="left no shape"):
        looped([node("Concat", "h h", "longer", axis=0)], "longer", [], trips=9)


def test_what_a_loop_stacks_of_growing_parts_has_no_size_that_is_known() -> None:
    work = [node("Concat", "h h0", "longer", axis=0), node("Relu", "longer", "part")]
    with pytest.raises(BadInputError, match="left no shape"):
        looped(work, "longer", [weight("h0", 2, 6)], results="part")


@pytest.mark.parametrize("captured", [True, False])
def test_quantised_weights_of_a_body_are_stored(captured: bool) -> None:
    matrix = weight("w", 6, 6, dtype=np.int8)
    scale = weight("s", dtype=np.float32)
    work = [node("DequantizeLinear", "w s", "f"), node("MatMul", "h f", "next")]
    outside, inside = ([matrix, scale], []) if captured else ([], [matrix, scale])
    profile = looped(work, "next", outside, inside=inside)
    totals = profile.totals
    assert (totals.macs, totals.params, totals.param_bytes) == (7 * 2 * 36, 36, 36)


def test_packed_weights_of_a_body_are_as_many_as_they_hold() -> None:
    packed = weight("w", 32, 2, 8, dtype=np.uint8)  # 32 rows of two blocks of 16 numbers
    work = [
        helper.make_node(
            "MatMulNBits", ["h", "w", "s"], ["next"], domain="com.microsoft",
            K=32, N=32, bits=4, block_size=16,
        )
    ]  # fmt: skip
    profile = looped(work, "next", [packed, weight("s", 64)], shape=(2, 32))
    totals = profile.totals
    assert (totals.macs, totals.params) == (7 * 2 * 32 * 32, 32 * 32)
    assert totals.param_bytes == 32 * 32 // 2 + 64 * 4


def test_a_weight_that_the_body_and_others_read_counts_once() -> None:
    body = body_of([node("MatMul", "h w", "next")], ["next"])
    nodes = [node("Loop", "n - x", "y", body=body), node("MatMul", "y w", "z")]
    profile = profiled(file(nodes, {"x": (2, 6)}, "z", [numbers("n", 3), weight("w", 6, 6)]))
    assert (profile.totals.params, profile.totals.param_bytes) == (36, 36 * 4)


def test_what_is_assumed_inside_of_a_loop_is_said() -> None:
    work = [node("NonZero", "h", "places"), node("Shape", "places", "size")]
    work += [node("Cast", "size", "f", to=TensorProto.FLOAT), node("ReduceSum", "f", "one")]
    work += [node("Mul", "h one", "next")]
    profile = looped(work, "next", [])
    assert "inside of Loop 'loop': " in profile.provenance.note
    assert "assumed" in profile.provenance.note


def test_an_unknown_operators_packed_weight_is_stored() -> None:
    nodes = [
        helper.make_node("Own", ["x", "w", "places"], ["y"], domain="own"),
        node("MatMul", "x v", "z"),
    ]
    held = [weight("w", 6, 6, dtype=np.int8), numbers("places", [1, 2, 3]), weight("v", 6, 6)]
    profile = profiled(
        file(nodes, {"x": (2, 6)}, "y z", held, domains=["own"], value_info={"y": (2, 6)})
    )
    assert (profile.totals.params, profile.totals.param_bytes) == (72, 36 + 4 * 36)
