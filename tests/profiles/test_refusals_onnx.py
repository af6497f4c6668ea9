"""Refusals of ONNX files and of the weights in them that no other test brings about."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import onnx
import pytest

from profiles.from_onnx import child, weights
from profiles.from_onnx.file import read_model
from profiles.weight_message import decoded
from tests.messages import message_of
from tests.profiles.onnx_models import file, node, numbers, weight

ASKED: dict[str, Any] = {"name": "x", "input_shapes": {}, "batch": None}


def vendor(op_type: str, *tensors: onnx.TensorProto, inputs: Any, **attributes: Any) -> bytes:
    """A node that shape inference does not know: nobody else says that it does not fit."""
    names = " ".join([*inputs, *(tensor.name for tensor in tensors)])
    made = node(op_type, names, "y", name="n", domain="com.microsoft", **attributes)
    relu = node("Relu", "y", "z")
    return file([made, relu], inputs, "z", tensors, domains=["com.microsoft"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            vendor("FusedMatMul", weight("w", 5, 6), inputs={"x": [3, 4]}),
            "multiplies a tensor of shape (3, 4) by a weight of shape (5, 6), which do not fit",
        ),
        (
            vendor("FusedMatMul", inputs={"a": [3, 4], "b": [5, 6]}),
            "multiplies tensors of shapes (3, 4) and (5, 6)",
        ),
        (
            vendor("FusedConv", weight("w", 8, 5, 3, 3), inputs={"x": [1, 3, 8, 8]}),
            "reads a tensor of shape (1, 3, 8, 8), which its weight of shape (8, 5, 3, 3) in 1",
        ),
    ],
)
def test_operands_that_do_not_fit(data: bytes, message: str) -> None:
    said = message_of(lambda: child.main(ASKED, data))
    assert said.startswith("node 'n' (com.microsoft.Fused")
    assert message in said


def test_a_file_without_bytes() -> None:
    assert message_of(lambda: read_model(b"")) == "is empty; an ONNX model is needed"


def _recurrent(*nodes: onnx.NodeProto) -> bytes:
    held = [weight("W", 1, 6, 4), weight("R", 1, 6, 2), numbers("sh", [7, -1, 4])]
    made = [
        *nodes,
        node("GRU", "a W R", "p", hidden_size=2),
        node("GRU", "b W R", "q", hidden_size=2),
        node("Add", "p q", "y"),
    ]
    return file(made, {"x": (7, 7, 4)}, "y", held)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Identity", "x", "a"), node("Transpose", "x", "b", perm=[1, 0, 2])],
        [node("Reshape", "x sh", "a"), node("Reshape", "x sh", "b")],
    ],
    ids=["two dimensions", "none"],
)
def test_a_batch_that_cannot_be_told(nodes: list[onnx.NodeProto]) -> None:
    data = _recurrent(*nodes)
    assert message_of(lambda: child.main({**ASKED, "batch": 2}, data)) == (
        "cannot say which dimension of input 'x' is the batch; give shapes with --input-shape "
        "instead, such as --input-shape x=1,16,80"
    )


def test_weights_that_are_turned_in_no_way() -> None:
    data = file(
        [node("Transpose", "w", "t", name="turn", perm=[0, 0]), node("MatMul", "x t", "y")],
        {"x": [3, 4]},
        "y",
        [weight("w", 4, 5)],
    )
    said = message_of(lambda: weights.main({"layers": ["mat_mul_1"]}, data))
    assert said == "node 'turn' permutes 2 axes by [0, 0]"


def _answer(**changed: Any) -> dict[str, Any]:
    data = base64.b64encode(np.ones((2, 3), "<f4").tobytes()).decode()
    answer = {"shape": [2, 3], "data": data, "stored_shape": [2, 3], "axes": [0, 1]}
    return {**answer, "name": "w", "own_name": "w", **changed}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (_answer(shape=[2]), "its reader's answer is not understood"),
        (_answer(data="AAA"), "its reader's answer is not understood"),
        (_answer(axes=[0, 5]), "its reader's answer is not understood"),
        ([], "its reader's answer is not understood"),
        (_answer(shape=[3, 2]), "its reader contradicts itself"),
        (_answer(shape=[2, 4], stored_shape=[2, 4]), "its reader contradicts itself"),
    ],
)
def test_answers_of_readers_of_weights(answer: Any, message: str) -> None:
    assert message_of(lambda: decoded(answer, "w.onnx")) == f"weights w.onnx: {message}"


def test_an_answer_that_is_one() -> None:
    values, stored = decoded(_answer(), "w.onnx")
    assert values.shape == (2, 3)
    assert stored.name == "w"
