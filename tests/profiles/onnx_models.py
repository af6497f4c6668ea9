"""Small ONNX files for the tests, as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from planner.domain.model_profile import ModelProfile
from profiles.from_onnx import child

Dims = Sequence[int | str | None]


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node; names of tensors are separated by blanks, `-` leaves an optional one out."""
    names = [[("" if n == "-" else n) for n in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op_type, *names, **attributes)


def weight(name: str, *shape: int, dtype: type = np.float32) -> onnx.TensorProto:
    """A tensor of ones."""
    return onnx.numpy_helper.from_array(np.ones(shape, dtype), name)


def numbers(name: str, values: Any) -> onnx.TensorProto:
    """An integer tensor, as shapes and axes are kept in."""
    return onnx.numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def proto(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Dims],
    outputs: str,
    weights: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 18,
    element_type: int = TensorProto.FLOAT,
    output_type: int = TensorProto.FLOAT,
    value_info: dict[str, Dims] | None = None,
    domains: Sequence[str] = (),
    **model: Any,
) -> onnx.ModelProto:
    """A model whose outputs declare as little as the checker allows."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, element_type, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, output_type, ["any"]) for n in outputs.split()],
        weights,
        value_info=[
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in (value_info or {}).items()
        ],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **model)


def profiled(data: bytes) -> ModelProfile:
    """What the child does, without the child."""
    request = {"name": "small", "input_shapes": {}, "batch": None}
    return ModelProfile.model_validate(child.main(request, data))


def file(*arguments: Any, **options: Any) -> bytes:
    """The bytes of `proto`."""
    data: bytes = proto(*arguments, **options).SerializeToString()
    return data


def small_net() -> bytes:
    """A convolution and an activation, on one image of 8 by 8."""
    return file(
        [node("Conv", "x w b", "c", name="conv"), node("Relu", "c", "y", name="relu")],
        {"x": [1, 3, 8, 8]},
        "y",
        [weight("w", 4, 3, 3, 3), weight("b", 4)],
    )


def doubling_shape(times: int) -> bytes:
    """A shape that a Concat doubles over and over: 2^times · 4 dimensions in a small file."""
    nodes = [node("Shape", "x", "s0")]
    nodes += [node("Concat", f"s{i} s{i}", f"s{i + 1}", axis=0) for i in range(times)]
    nodes += [node("ConstantOfShape", f"s{times}", "z"), node("Add", "x z", "y")]
    return file(nodes, {"x": [1, 3, 8, 8]}, "y")


def doubling_features(times: int) -> bytes:
    """An activation that a Concat doubles over and over."""
    nodes = [node("Concat", f"c{i} c{i}", f"c{i + 1}", axis=1) for i in range(times)]
    return file([*nodes, node("Relu", f"c{times}", "y")], {"c0": [1, 3, 8, 8]}, "y")


def growing_tile(times: int) -> bytes:
    """An activation that a Tile makes 10^9 times larger over and over."""
    nodes = [node("Tile", f"c{i} r", f"c{i + 1}") for i in range(times)]
    return file(
        [*nodes, node("Relu", f"c{times}", "y")],
        {"c0": [1, 3, 8, 8]},
        "y",
        [numbers("r", [1, 1000, 1000, 1000])],
    )


def nested_if(depth: int) -> bytes:
    """An If within an If within an If."""
    shape = [1, 3, 8, 8]

    def branch(nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        name = nodes[0].output[0]
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        return helper.make_graph(nodes, "branch", [], [out])

    inner = branch([node("Relu", "x", "inner")])
    for level in range(depth):
        other = branch([node("Relu", "x", f"other{level}")])
        inner = branch([node("If", "yes", f"out{level}", then_branch=inner, else_branch=other)])
    condition = helper.make_tensor_value_info("yes", TensorProto.BOOL, [])
    inner.input.extend([helper.make_tensor_value_info("x", TensorProto.FLOAT, shape), condition])
    model = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def nested_graphs(depth: int) -> bytes:
    """The same nesting, deeper than any parser goes, written by hand."""
    data = b""
    for _ in range(depth):
        data = _field(1, _field(5, _field(6, data)))  # graph: node: attribute: graph
    return b"\x08\x09" + _field(7, data)  # ir_version 9, graph


def exploding_functions(depth: int) -> bytes:
    """Local functions that each call the next one twice: 2^depth nodes."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    functions = []
    for level in range(depth):
        calls = [
            node(f"F{level + 1}", "a", "m", domain="local"),
            node(f"F{level + 1}", "m", "b", domain="local"),
        ]
        functions.append(helper.make_function("local", f"F{level}", ["a"], ["b"], calls, opsets))
    last = [node("Relu", "a", "b")]
    functions.append(helper.make_function("local", f"F{depth}", ["a"], ["b"], last, opsets))
    return file(
        [node("F0", "x", "y", domain="local")],
        {"x": [1, 3, 8, 8]},
        "y",
        domains=["local"],
        functions=functions,
    )


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
