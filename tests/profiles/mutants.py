"""Damaged copies of ONNX files, and a reader that goes through many of them in one child."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from planner.errors import PlannerError
from profiles.from_onnx import child
from profiles.from_onnx.handlers import HANDLERS

REQUEST: dict[str, Any] = {"name": "mutant", "input_shapes": {}, "batch": None}
NUMBERS = (0, 1, 2, 3, 7, 64, -1, 2**31 - 1, 2**62, -(2**63))


def mutant(data: bytes, seed: int) -> bytes:
    """The file after one to eight random changes, of bytes or of its fields."""
    chance = random.Random(seed)
    kind = chance.choice(("flip", "cut", "insert", "copy", *["field"] * 6))
    if kind == "field":
        return _with_other_fields(data, chance)
    broken = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(broken)) if broken else 0
        length = chance.randint(1, 64)
        if kind == "flip" and broken:
            broken[at] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del broken[at : at + length]
        elif kind == "insert":
            broken[at:at] = chance.randbytes(length)
        elif kind == "copy":
            start = chance.randrange(len(broken))
            broken[at : at + length] = broken[start : start + length]
    if chance.random() < 0.1:
        del broken[chance.randrange(len(broken) + 1) :]
    return bytes(broken)


def _with_other_fields(data: bytes, chance: random.Random) -> bytes:
    """Numbers, names and whole nodes exchanged: files that parsers take."""
    model = onnx.load_model_from_string(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(_CHANGES)(model.graph, chance)
    broken: bytes = model.SerializeToString()
    return broken


def _rewire(graph: onnx.GraphProto, chance: random.Random) -> None:
    """Read what another, mostly earlier node makes."""
    at = chance.randrange(len(graph.node))
    node, other = graph.node[at], graph.node[chance.randrange(at + 1)]
    if node.input:
        wanted = [*other.output] * 4 + [*other.input, "", "?"]
        node.input[chance.randrange(len(node.input))] = chance.choice(wanted)


def _rename_operator(graph: onnx.GraphProto, chance: random.Random) -> None:
    wanted = [chance.choice(graph.node).op_type, *chance.sample(sorted(HANDLERS), 3)]
    chance.choice(graph.node).op_type = chance.choice(wanted)


def _change_attribute(graph: onnx.GraphProto, chance: random.Random) -> None:
    node = chance.choice([n for n in graph.node if n.attribute] or graph.node)
    if not node.attribute:
        return
    attribute = chance.choice(node.attribute)
    if attribute.ints:
        attribute.ints[chance.randrange(len(attribute.ints))] = chance.choice(NUMBERS)
    elif attribute.type == attribute.INT:
        attribute.i = chance.choice(NUMBERS)
    elif attribute.type == attribute.FLOAT:
        attribute.f = chance.choice((float("nan"), float("inf"), -1e38))
    else:
        node.attribute.remove(attribute)


def _change_weight(graph: onnx.GraphProto, chance: random.Random) -> None:
    if graph.initializer:
        tensor = chance.choice(graph.initializer)
        if tensor.dims and chance.random() < 0.7:
            tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(NUMBERS)
        else:
            tensor.data_type = chance.randrange(30)


def _change_value(graph: onnx.GraphProto, chance: random.Random) -> None:
    """Another value in a small tensor, such as a shape."""
    small = [t for t in graph.initializer if t.data_type == t.INT64 and len(t.raw_data) == 8]
    small += [a.t for n in graph.node for a in n.attribute if a.t.data_type == TensorProto.INT64]
    if small:
        tensor = chance.choice(small)
        count = max(len(tensor.raw_data) // 8, len(tensor.int64_data))
        values = np.array([chance.choice(NUMBERS) for _ in range(count)], np.int64)
        tensor.ClearField("int64_data")
        tensor.raw_data = values.tobytes()


def _change_shape(graph: onnx.GraphProto, chance: random.Random) -> None:
    value = chance.choice((*graph.input[:1], *graph.input, *graph.output))
    if value.type.tensor_type.shape.dim:
        chance.choice(value.type.tensor_type.shape.dim).dim_value = chance.choice(NUMBERS)


def _drop_node(graph: onnx.GraphProto, chance: random.Random) -> None:
    """Leave a node out; who read it reads what it read."""
    node = chance.choice(graph.node)
    if node.input and node.output:
        for other in graph.node:
            for position, name in enumerate(other.input):
                if name == node.output[0]:
                    other.input[position] = node.input[0]


def _copy_node(graph: onnx.GraphProto, chance: random.Random) -> None:
    node = graph.node.add()
    node.CopyFrom(chance.choice(graph.node))
    for position in range(len(node.output)):
        node.output[position] += "/copy"


_CHANGES = (
    _rewire,
    _rewire,
    _rename_operator,
    _change_attribute,
    _change_attribute,
    _change_weight,
    _change_value,
    _change_shape,
    _drop_node,
    _copy_node,
)


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Read mutants of one file; what became of them, by seed."""

    def read(seed: int) -> None:
        child.main(REQUEST, mutant(data, seed))

    return outcomes(request["seeds"], read)


def outcomes(seeds: list[int], read: Callable[[int], object]) -> dict[str, Any]:
    """What became of the mutants of some seeds: profiled, refused, or a defect of the reader."""
    found: dict[str, Any] = {"profiled": [], "refused": [], "defects": {}, "slowest_s": 0.0}
    for seed in seeds:
        started = time.process_time()
        try:
            read(seed)
            found["profiled"].append(seed)
        except PlannerError:
            found["refused"].append(seed)
        except MemoryError:
            raise
        except Exception as error:  # what the door calls a reader that fails
            found["defects"][str(seed)] = repr(error)[:200]
        found["slowest_s"] = max(found["slowest_s"], time.process_time() - started)
    return found
