"""Every operator that has a handler, on inputs that no network gives it: profiled or refused.

Single numbers, empty tensors, too few or too many inputs, attributes of all kinds: what a handler
takes for granted of a shape, some file breaks.
"""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from planner.errors import PlannerError
from profiles.from_onnx import child
from profiles.from_onnx.handlers import HANDLERS
from tests.profiles.mutants import REQUEST

DRAWN = 5  # models of each operator
SEED_VARIABLE = "MUTATION_SEED"
DOMAINS = ("com.microsoft", "ai.onnx.ml", "com.microsoft.nchwc", "com.ms.internal.nhwc")
TYPES = (*[TensorProto.FLOAT] * 3, TensorProto.INT64, TensorProto.UINT8)
SHAPES = ([], [1], [0], [2], [2, 3], [1, 2, 3], [2, 2, 2], [1, 2, 2, 2])
ATTRIBUTES: dict[str, list[Any]] = {
    "axis": [0, -1, 5],
    "axes": [[0], [-1], [9]],
    "bits": [0, 4, 8],
    "block_size": [0, 32],
    "blocksize": [0, 2],
    "channels_last": [0, 1],
    "coefficients": [[1.0], [1.0, 2.0]],
    "direction": ["bidirectional"],
    "do_rotary": [0, 1],
    "equation": ["ij,jk->ik", "i", "...i,i", "ii->"],
    "expert_weight_bits": [0, 4, 16],
    "group": [0, 1, 3],
    "hidden_size": [0, 3],
    "intercepts": [[1.0]],
    "k": [0, 2],
    "K": [0, 4],
    "kernel_shape": [[1], [0, 0], [3, 3]],
    "kv_num_heads": [0, 1],
    "N": [0, 4],
    "num_heads": [0, 1, 3],
    "pads": [[0], [0, 0, 0, 0]],
    "perm": [[0], [1, 0]],
    "size": [0, 3],
    "strides": [[0, 0], [1, 1]],
    "to": [1],
    "transB": [0, 1],
}


def drawn_model(op: str, chance: random.Random) -> bytes:
    """A model of one node."""
    is_standard = onnx.defs.has(op)
    domain = chance.choice(("", *DOMAINS) if is_standard else DOMAINS)
    allowed = onnx.defs.get_schema(op).attributes if is_standard and not domain else ATTRIBUTES
    given, names, stored = [], [], []
    for number in range(chance.randint(0, 6)):
        shape = [chance.randint(0, 4) for _ in range(chance.choice((0, 0, 1, 2, 2, 3, 4, 5)))]
        kind = chance.choice(TYPES)
        names.append("" if chance.random() < 0.1 else f"x{number}")
        if names[-1] and number and chance.random() < 0.4:
            value = np.ones(shape, helper.tensor_dtype_to_np_dtype(kind))
            stored.append(onnx.numpy_helper.from_array(value, names[-1]))
        elif names[-1]:
            given.append(helper.make_tensor_value_info(names[-1], kind, shape))
    attributes = {
        name: chance.choice(values)
        for name, values in ATTRIBUTES.items()
        if name in allowed and chance.random() < 0.5
    }
    made = [
        helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, chance.choice(SHAPES))
        for number in range(chance.choice((1, 1, 2, 3)))
    ]
    outputs = [value.name for value in made]
    node = helper.make_node(op, names, outputs, domain=domain, **attributes)
    graph = helper.make_graph([node], "odd", given, made, stored)
    versions = [helper.make_opsetid("", chance.choice((13, 17, 21)))]
    if domain:
        versions.append(helper.make_opsetid(domain, 1))
    data: bytes = helper.make_model(graph, opset_imports=versions).SerializeToString()
    return data


@pytest.mark.parametrize("op", sorted(HANDLERS))
def test_no_handler_takes_a_shape_for_granted(op: str) -> None:
    begin = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(10**9))
    for seed in range(begin, begin + DRAWN):
        try:
            child.main(REQUEST, drawn_model(op, random.Random(seed)))
        except PlannerError:
            continue
        except Exception as error:
            error.add_note(f"{SEED_VARIABLE}={seed}")
            raise


@pytest.mark.parametrize("op", ["com.microsoft.NhwcMaxPool", "com.microsoft.NhwcConv"])
def test_channels_last_that_make_a_single_number(op: str) -> None:
    """A name with a domain in it: no rule of that domain says what is made."""
    given = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 4, 4, 2]) for name in ("x", "w")
    ]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])]
    graph = helper.make_graph([helper.make_node(op, ["x", "w"], ["y"])], "odd", given, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    (layer,) = child.main(REQUEST, model.SerializeToString())["layers"]
    assert layer["feature_flow"] == "one-node", "of an operator of a form that is not known"


def test_some_of_them_are_profiled() -> None:
    profiled = 0
    for op in sorted(HANDLERS):
        try:
            child.main(REQUEST, drawn_model(op, random.Random(op)))
        except PlannerError:
            continue
        profiled += 1
    assert profiled > len(HANDLERS) / 20
