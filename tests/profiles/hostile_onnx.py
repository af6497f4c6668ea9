"""ONNX files that mean harm: one builder each, with a word of what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import TensorProto, helper

from tests.profiles import onnx_models
from tests.profiles.onnx_models import (
    _field,
    _varint,
    file,
    node,
    numbers,
    proto,
    small_net,
    weight,
)

IMAGE = [1, 3, 8, 8]
Builder = Callable[[], bytes]


def changed(change: Callable[[onnx.ModelProto], None], data: bytes | None = None) -> bytes:
    """A small network after a change to its parsed form."""
    model = onnx.load_model_from_string(data or small_net())
    change(model)
    result: bytes = model.SerializeToString()
    return result


def relu(shape: list[Any], **options: Any) -> bytes:
    """One activation."""
    return file([node("Relu", "x", "y", name="relu")], {"x": shape}, "y", **options)


def one(op: str, inputs: str, *weights: onnx.TensorProto, **attributes: Any) -> bytes:
    """One node on a small image."""
    return file([node(op, inputs, "y", **attributes)], {"x": IMAGE}, "y", weights)


# Protobuf


def without_names() -> bytes:
    return relu([1, 3]).replace(b"relu", b"\xff\xfe\xfd\n")


def length_past_the_end() -> bytes:
    return b"\x08\x09" + _varint(7 << 3 | 2) + _varint(2**40) + b"\x00" * 64


def endless_varint() -> bytes:
    return b"\x08" + b"\xff" * 1000


def many_empty_nodes() -> bytes:
    return b"\x08\x09" + _field(7, _field(1, b"") * 5_000_000)


def huge_attribute_list() -> bytes:
    numbers_ = _field(8, b"\x01" * 30_000_000)  # ints, packed: thirty million in one attribute
    attribute = _field(1, b"axes") + numbers_ + b"\xa0\x01\x07"
    made = _field(1, b"x") + _field(2, b"y") + _field(4, b"Squeeze") + _field(5, attribute)
    return changed(lambda m: m.graph.MergeFromString(_field(1, made)))


def many_attributes() -> bytes:
    def change(model: onnx.ModelProto) -> None:
        for number in range(200_000):
            model.graph.node[0].attribute.append(helper.make_attribute(f"a{number}", number))

    return changed(change)


def million_nodes() -> bytes:
    made = _field(1, b"x") + _field(2, b"y") + _field(4, b"Relu")
    return changed(lambda m: m.graph.MergeFromString(_field(1, made) * 1_000_000))


def long_chain() -> bytes:
    nodes = [node("Relu", f"t{i}", f"t{i + 1}") for i in range(250_000)]
    return file(nodes, {"t0": [1, 3]}, f"t{len(nodes)}")


def million_inputs_of_one_node() -> bytes:
    made = _field(1, b"x") * 2_000_000 + _field(2, b"y") + _field(4, b"Sum")
    return changed(
        lambda m: (m.graph.ClearField("node"), m.graph.MergeFromString(_field(1, made)))[0],
        relu([2**39]),
    )


# Graphs


def cyclic() -> bytes:
    nodes = [node("Add", "x b", "a", name="first"), node("Relu", "a", "b", name="second")]
    return file(nodes, {"x": [1, 3]}, "b")


def reads_itself() -> bytes:
    return file([node("Add", "x y", "y")], {"x": [1, 3]}, "y")


def recursive(*calls: str) -> bytes:
    """Local functions, each of which calls the next, and the last the first."""
    own = helper.make_opsetid("own", 1)
    functions = [
        helper.make_function(
            "own",
            name,
            ["a"],
            ["b"],
            [node(calls[(i + 1) % len(calls)], "a", "b", domain="own")],
            [own],
        )
        for i, name in enumerate(calls)
    ]
    first = node(calls[0], "x", "y", domain="own")
    return file([first], {"x": [1, 3]}, "y", domains=["own"], functions=functions)


def loop_of_itself() -> bytes:
    """A Loop whose body stops nowhere, on a state that grows."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Concat", "h h", "h2", axis=0), node("Identity", "go", "more")],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("h", TensorProto.FLOAT, None),
        ],
        [value("more", TensorProto.BOOL, []), value("h2", TensorProto.FLOAT, None)],
    )
    nodes = [node("Loop", "n - x", "y", body=body), node("Fooo", "y", "z")]
    return file(nodes, {"x": [1, 3]}, "z", [numbers("n", 2**62)])


def endless_products() -> bytes:
    """2^62 trips of a product: more work than a number holds."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("MatMul", "h w", "h2"), node("Identity", "go", "more")],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("h", TensorProto.FLOAT, None),
        ],
        [value("more", TensorProto.BOOL, []), value("h2", TensorProto.FLOAT, None)],
    )
    held = [numbers("n", 2**62), weight("w", 3, 3)]
    return file([node("Loop", "n - x", "y", body=body)], {"x": [1, 3]}, "y", held)


def tree_of_ifs(depth: int) -> bytes:
    """2^depth branches, none of which is known."""

    def branch(level: int, path: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"o{path}", TensorProto.FLOAT, IMAGE)
        inner = [node("Relu", "x", f"o{path}")]
        if level:
            then, other = (branch(level - 1, path + side) for side in "ab")
            inner = [node("If", "yes", f"o{path}", then_branch=then, else_branch=other)]
        return helper.make_graph(inner, f"g{path}", [], [out])

    top = branch(depth, "")
    condition = helper.make_tensor_value_info("yes", TensorProto.BOOL, [])
    top.input.extend([helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE), condition])
    model = helper.make_model(top, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


# Tensors


def sized(size_bytes: int) -> bytes:
    """A weight that declares 432 bytes."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].raw_data = bytes(size_bytes)

    return changed(change)


def dims(*sizes: int) -> bytes:
    """A weight without values of an absurd shape."""

    def change(model: onnx.ModelProto) -> None:
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(sizes)

    return changed(change)


def data_type(number: int) -> bytes:
    return changed(lambda m: setattr(m.graph.initializer[0], "data_type", number))


def external(**entries: str) -> bytes:
    """A weight in another file."""

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in entries.items():
            tensor.external_data.add(key=key, value=text)

    return changed(change)


def not_a_number() -> bytes:
    factors = helper.make_tensor("s", TensorProto.FLOAT, [4], [1, 1, float("nan"), float("inf")])
    return one("Resize", "x - s", factors)


def huge_scale() -> bytes:
    factors = helper.make_tensor("s", TensorProto.FLOAT, [4], [1, 1, 1e18, 1e18])
    return one("Resize", "x - s", factors)


def huge_constant() -> bytes:
    nodes = [node("ConstantOfShape", "s", "w"), node("MatMul", "x w", "y")]
    return file(nodes, {"x": [1, 2**31]}, "y", [numbers("s", [2**31, 2**31])])


def huge_range() -> bytes:
    nodes = [
        node("Range", "zero n one", "r"),
        node("Reshape", "r s", "t"),
        node("Add", "x t", "y"),
    ]
    held = [numbers("zero", 0), numbers("n", 2**62), numbers("one", 1), numbers("s", [1, -1])]
    return file([*nodes], {"x": [1, 3]}, "y", held)


def sequence_input() -> bytes:
    model = proto([node("ConcatFromSequence", "x", "y", axis=0)], {"x": [1]}, "y")
    model.graph.input[0].CopyFrom(
        helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [1])
    )
    data: bytes = model.SerializeToString()
    return data


def text_output() -> bytes:
    return changed(
        lambda m: setattr(m.graph.output[0].type.tensor_type, "elem_type", TensorProto.STRING),
        file([node("Cast", "x", "y", to=TensorProto.STRING)], {"x": [1, 3]}, "y"),
    )


def ugly_names() -> bytes:
    domain = "a\nb\x1b[31m\u202e"
    operator = node("Foo", "x", "y", domain=domain, name="n" * 5000)
    return file([operator], {"x": [1, 3]}, "y", domains=[domain])


def no_work() -> bytes:
    return file([node("Identity", "w", "y")], {"x": [1, 3]}, "y", [weight("w", 3)])


def conv(*shape: int, **attributes: Any) -> bytes:
    return one("Conv", "x w", weight("w", *shape), **attributes)


def einsum(equation: str) -> bytes:
    nodes = [node("Einsum", "x x", "y", equation=equation), node("Fooo", "y", "z")]
    return file(nodes, {"x": [4, 4]}, "z")


REFUSED: dict[str, tuple[Builder, str]] = {
    # what is no model
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"this is no model\n" * 40, "is no ONNX model"),
    "zeros": (lambda: bytes(2**20), "is no ONNX model"),
    "cut in half": (lambda: small_net()[:200], "a part of one is missing"),
    "last bytes missing": (lambda: small_net()[:-3], "a part of one is missing"),
    "another protobuf": (lambda: b"\x0a\x03abc\x12\x05hello", "is no valid ONNX model"),
    "length past the end": (length_past_the_end, "is no ONNX model"),
    "endless number": (endless_varint, "is no ONNX model"),
    "no graph": (lambda: b"\x08\x09", "is no valid ONNX model"),
    "names of no text": (without_names, "not UTF-8"),
    "ugly names": (ugly_names, "shape inference left no shape"),
    "newer format": (
        lambda: changed(lambda m: setattr(m, "ir_version", 2**31)),
        "ir_version 2147483648 is higher",
    ),
    "operator set of the future": (
        lambda: relu([1, 3], opset=9_999),
        "is written in operator set 9999",
    ),
    # sizes
    "open dimensions": (lambda: relu(["N", 3, None, 8]), "open dimensions, (N, 3, ?, 8)"),
    "huge dimensions": (lambda: relu([2**62] * 4), "4611686018427387904"),
    "negative dimension": (lambda: relu([1, -3, 8, 8]), "(1, ?, 8, 8)"),
    "many dimensions": (lambda: relu([1] * 50_000), "50000 dimensions"),
    "doubling shape": (lambda: onnx_models.doubling_shape(14), "65536 dimensions"),
    "doubling shape, on and on": (lambda: onnx_models.doubling_shape(40), "GiB of memory"),
    "doubling features": (lambda: onnx_models.doubling_features(45), "at most 1,099,511,627,776"),
    "doubling past 64 bits": (lambda: onnx_models.doubling_features(70), "verflow"),
    "growing tile": (lambda: onnx_models.growing_tile(2), "at most 1,099,511,627,776"),
    "tile past 64 bits": (lambda: onnx_models.growing_tile(9), "verflow"),
    "huge constant": (huge_constant, "(2147483648, 2147483648)"),
    "huge range": (huge_range, "Incompatible dimensions"),
    "huge scale": (huge_scale, ""),
    "not a number": (not_a_number, "shape"),
    # graphs
    "cycle": (cyclic, "topologically sorted"),
    "reads itself": (reads_itself, "topologically sorted"),
    "recursive function": (lambda: recursive("F"), "recursive"),
    "functions in a circle": (lambda: recursive("F", "G", "H"), "recursive"),
    "exploding functions": (lambda: onnx_models.exploding_functions(40), "to read"),
    "nested graphs": (lambda: onnx_models.nested_graphs(5_000), "is no ONNX model"),
    "growing loop": (loop_of_itself, "left no shape"),
    "endless loop": (endless_products, "does not fit the planner's layers"),
    "name twice": (
        lambda: file([node("Relu", "x", "y"), node("Relu", "x", "y")], {"x": [1, 3]}, "y"),
        "SSA",
    ),
    "input twice": (
        lambda: changed(lambda m: m.graph.input.append(m.graph.input[0])),
        "input names multiple times",
    ),
    "weight twice": (
        lambda: changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])),
        "unique",
    ),
    "no nodes": (lambda: changed(lambda m: m.graph.ClearField("node")), ""),
    "no work": (no_work, "nothing to plan"),
    "no inputs": (lambda: file([node("Identity", "w", "y")], {}, "y", [weight("w", 3)]), "inputs"),
    "sequence": (sequence_input, "'x' is sequence; only dense tensors"),
    "unknown operator": (lambda: one("Fooo", "x"), "left no shape"),
    "million empty nodes": (many_empty_nodes, "at most 200,000 are read"),
    "million nodes": (million_nodes, "at most 200,000 are read"),
    "long chain": (long_chain, "at most 200,000 are read"),
    "huge attribute list": (huge_attribute_list, ""),
    "many attributes": (many_attributes, "nrecognized attribute"),
    # weights
    "too few values": (lambda: sized(428), "too small for the declared shape"),
    "too many values": (lambda: sized(436), "'w' holds more values than its shape (4, 3, 3, 3)"),
    "negative weight": (lambda: dims(4, -3, 3, 3), ""),
    "huge weight": (lambda: dims(2**62, 3, 3, 3), ""),
    "empty weight": (lambda: dims(0), ""),
    "unknown element type": (lambda: data_type(99), "which ONNX does not have"),
    "undefined element type": (lambda: data_type(0), ""),
    "weights of text": (lambda: data_type(TensorProto.STRING), ""),
    "weights of another type": (lambda: data_type(TensorProto.INT64), ""),
    # settings
    "impossible stride": (
        lambda: one("MaxPool", "x", kernel_shape=[2, 2], strides=[0, 0]),
        "positive",
    ),
    "negative padding": (
        lambda: one("MaxPool", "x", kernel_shape=[2, 2], pads=[-9, -9, -9, -9]),
        "",
    ),
    "kernel past the image": (lambda: conv(4, 3, 99, 99), ""),
    "no groups": (lambda: conv(4, 3, 3, 3, group=0), "0 groups"),
    "negative groups": (lambda: conv(4, 3, 3, 3, group=-1), ""),
    "groups that do not divide": (lambda: conv(4, 1, 3, 3, group=2**40), ""),
    "wrong channels": (lambda: conv(4, 7, 3, 3), ""),
    "settings of another type": (lambda: one("Softmax", "x", axis="one"), ""),
    "axis past the end": (lambda: one("Softmax", "x", axis=2**31), ""),
    "permutation with a repeat": (lambda: one("Transpose", "x", perm=[0, 0, 0, 0]), ""),
    "bad equation": (lambda: einsum("ij,jk->\x00"), ""),
    "no hidden size": (
        lambda: one("LSTM", "x w r", weight("w", 1, 1, 1), weight("r", 1, 1, 1)),
        "",
    ),
}
"""Files that are refused, and what is said of them (nothing where the words are the checker's)."""

PATIENT = frozenset({"doubling shape, on and on", "exploding functions"})
"""Those that are refused only when the limits are used up."""

HARMLESS: dict[str, Builder] = {
    "deep branches": lambda: onnx_models.nested_if(20),
    "tree of branches": lambda: tree_of_ifs(5),
    "no operator set": lambda: changed(lambda m: m.ClearField("opset_import")),
    "text inside": text_output,
    "another file": lambda: external(location="weights.bin", length="432"),
    "path out": lambda: external(location="../../etc/passwd"),
    "absolute path": lambda: external(location="/etc/passwd", offset="-1"),
    "path of no name": lambda: external(location=""),
}
"""Files that look like harm and are profiled."""
