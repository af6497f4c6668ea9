"""Refusals of ONNX files and of the weights in them that no other test brings about."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from profiles.from_onnx import child, control, weights
from profiles.from_onnx.file import read_model
from profiles.sandbox import run_limited
from profiles.weight_message import decoded
from tests.messages import message_of
from tests.profiles.mutants import REQUEST
from tests.profiles.onnx_models import file, node, numbers, proto, weight

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


@pytest.mark.parametrize(
    ("room", "cause"), [(0.5, "DecodeError"), (2.25, "EncodeError"), (20, "nothing")]
)
def test_protobufs_words_for_memory(room: float, cause: str) -> None:
    """A model with one output of no shape, which is written again for the checker."""
    held = TensorProto(name="w", dims=[2**23], data_type=TensorProto.FLOAT, raw_data=bytes(2**25))
    model = proto([node("Add", "x w", "y")], {"x": [2**23]}, "y", [held])
    model.graph.output[0].type.tensor_type.ClearField("shape")
    asked = {"name": "reads ONNX", "room_bytes": int(room * 2**25)}
    data = model.SerializeToString()
    assert run_limited("tests.profiles.odd_child", asked, data, what="x.onnx") == cause


@pytest.mark.parametrize(
    ("data", "shapes", "message"),
    [
        (
            file([node("Relu", "x", "y")], {"x": None}, "y"),
            {},
            "input 'x' declares no shape; give one, such as --input-shape x=1,3,224,224",
        ),
        (
            file([node("Relu", "x", "y")], {"x": [1, 3]}, "y"),
            {"x": (1, -3)},
            "input 'x': the shape (1, -3) is given; sizes are at least 0",
        ),
        (
            file(
                [node("Identity", "x", "y")],
                {"x": [1, 3]},
                "y",
                element_type=TensorProto.STRING,
                output_type=TensorProto.STRING,
            ),
            {},
            "input 'x' holds text; only numbers can be profiled",
        ),
    ],
)
def test_inputs(data: bytes, shapes: dict[str, tuple[int, ...]], message: str) -> None:
    assert message_of(lambda: child.main({**ASKED, "input_shapes": shapes}, data)) == message


def _choice(*branches: list[onnx.NodeProto]) -> bytes:
    """An If on what only the data tell."""
    output = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    then, other = (helper.make_graph(nodes, "branch", [], [output]) for nodes in branches)
    nodes = [
        node("ReduceMax", "x", "top", keepdims=0),
        node("Cast", "top", "yes", to=TensorProto.BOOL),
        node("If", "yes", "y", then_branch=then, else_branch=other, name="if"),
    ]
    return file(nodes, {"x": (2, 3)}, "y", [weight("w", 4, 5)])


def test_neither_branch_fits() -> None:
    data = _choice([node("MatMul", "x w", "o")], [node("Gemm", "x w", "o")])
    said = message_of(lambda: child.main(ASKED, data))
    assert said.startswith("its tensors' shapes do not fit: ")


def test_branches_of_too_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_NODES", 6)
    steps = [node("Relu", "x", "o1"), *(node("Relu", f"o{k}", f"o{k + 1}") for k in range(1, 7))]
    data = _choice([*steps, node("Relu", "o7", "o")], [node("Relu", "x", "o")])
    said = message_of(lambda: child.main(ASKED, data))
    assert said == "has more than 6 nodes in its branches"


def test_a_reduction_over_axes_that_only_the_data_tell() -> None:
    nodes = [
        node("ReduceMax", "x", "top", name="top", keepdims=0),
        node("Cast", "top", "number", to=TensorProto.INT64),
        node("Unsqueeze", "number first", "axes"),
        node("ReduceSum", "x axes", "s", name="sum"),
        node("Gemm", "s w", "y", name="last"),
    ]
    held = [weight("w", 3, 4), numbers("first", [0])]
    data = file(nodes, {"x": (2, 3)}, "y", held, value_info={"s": [2, 3]})
    found = child.main(ASKED, data)
    assert found["coverage"]["uncounted"] == {"ReduceSum": 1}
    assert [layer["macs"] for layer in found["layers"] if layer["op"] == "linear"] == [2 * 3 * 4]


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


def test_a_scan_that_gathers_along_another_axis_is_not_counted() -> None:
    def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    steps = [node("Add", "s e", "s2"), node("Identity", "s2", "o")]
    body = helper.make_graph(
        steps, "body", [tensor("s", 4), tensor("e", 4)], [tensor("s2", 4), tensor("o", 4)]
    )
    scan = node("Scan", "s0 x", "last all", num_scan_inputs=1, body=body, scan_output_axes=[1])
    ends = [tensor("s0", 4), tensor("x", 3, 4)], [tensor("last", 4), tensor("all", 4, 3)]
    graph = helper.make_graph([scan], "scans", *ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    profile = child.main(REQUEST, model.SerializeToString())
    assert profile["coverage"]["uncounted"] == {"Scan": 1, "Scan (output 1)": 1}
