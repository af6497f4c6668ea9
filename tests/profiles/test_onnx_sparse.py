"""Tensors that an ONNX file holds without their zeros: the dense ones' work, their own bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.from_onnx.frontend import profile_onnx
from tests.profiles.onnx_models import node, proto, weight

NOTE = "1 sparse tensors work as dense ones: runtimes without sparse kernels multiply all"
PLACES = [(0, 1), (2, 3), (3, 0)]
SHAPE = (4, 5)


def sparse(name: str, *, linear: bool, shape: tuple[int, ...] = SHAPE) -> onnx.SparseTensorProto:
    """Three numbers; their places are counted through, or given by row and column."""
    places: Any = [row * shape[1] + column for row, column in PLACES] if linear else PLACES
    indices = onnx.numpy_helper.from_array(np.array(places, dtype=np.int64), f"{name}_places")
    values = onnx.numpy_helper.from_array(np.ones(len(PLACES), dtype=np.float32), name)
    return helper.make_sparse_tensor(values, indices, shape)


def profiled(model: onnx.ModelProto) -> ModelProfile:
    return profile_onnx(model.SerializeToString(), name="x", source="x.onnx")


def multiplied(op_type: str, *tensors: onnx.SparseTensorProto) -> onnx.ModelProto:
    dense = [] if tensors else [weight("w", *SHAPE)]
    model = proto([node(op_type, "x w", "y", name="product")], {"x": [3, 4]}, "y", dense)
    model.graph.sparse_initializer.extend(tensors)
    return model


@pytest.mark.parametrize("op_type", ["MatMul", "Gemm"])
@pytest.mark.parametrize("linear", [True, False])
def test_a_sparse_weight_works_as_a_dense_one(op_type: str, linear: bool) -> None:
    dense = profiled(multiplied(op_type)).layers
    found = profiled(multiplied(op_type, sparse("w", linear=linear)))
    places = 8 * 3 * (1 if linear else 2)
    own = {"params": 3, "weight_params": 3, "param_bytes": 3 * 4 + places}
    assert found.layers == tuple(layer.model_copy(update=own) for layer in dense)
    assert found.totals.macs == 3 * 4 * 5
    assert found.provenance.note == NOTE


def test_a_constant_of_a_node_is_stored_as_it_is() -> None:
    held = node("Constant", "", "w", sparse_value=sparse("", linear=True))
    model = proto([held, node("MatMul", "x w", "y")], {"x": [3, 4]}, "y")
    totals = profiled(model).totals
    assert (totals.macs, totals.params, totals.param_bytes) == (60, 3, 3 * (4 + 8))


def test_a_branch_brings_its_own() -> None:
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, [3, 5])
    nodes = [node("MatMul", "x w", "b", name="inner")]
    taken = helper.make_graph(
        nodes, "branch", [], [out], sparse_initializer=[sparse("w", linear=True)]
    )
    other = helper.make_graph([node("MatMul", "x v", "b")], "other", [], [out])
    model = proto(
        [node("If", "c", "y", name="if", then_branch=taken, else_branch=other)],
        {"x": [3, 4]},
        "y",
        [weight("v", *SHAPE), onnx.numpy_helper.from_array(np.array(True), "c")],
    )
    found = profiled(model)
    assert (found.totals.macs, found.totals.param_bytes) == (60, 3 * (4 + 8))
    assert NOTE in found.provenance.note


def test_a_shape_that_no_network_has_is_refused() -> None:
    huge = (2**21, 2**21)
    model = proto([node("MatMul", "x w", "y")], {"x": [3, 2**21]}, "y")
    model.graph.sparse_initializer.append(sparse("w", linear=False, shape=huge))
    with pytest.raises(BadInputError, match=r"tensor 'w' has the shape .* which is too large"):
        profiled(model)
