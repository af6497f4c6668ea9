"""onnxslim where our own folding of shape arithmetic ends: sizes found, nothing else changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.from_onnx import child
from profiles.from_onnx.frontend import profile_onnx
from profiles.sandbox import Limits
from tests.processor_time import HANG_S, at_most
from tests.profiles.onnx_models import file, node, numbers, small_net, weight


def floats(name: str, values: Sequence[float]) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.array(values, np.float32), name)


def reshaped(chain: Sequence[onnx.NodeProto], *weights: onnx.TensorProto) -> bytes:
    """A convolution on what a Reshape makes, to the shape ``t`` that a chain computes of ``s``."""
    nodes = [node("Relu", "x", "a", name="relu"), node("Shape", "a", "s"), *chain]
    nodes += [node("Reshape", "a t", "r", name="reshape"), node("Conv", "r w", "y", name="conv")]
    return file(nodes, {"x": [2, 3, 8, 8]}, "y", [weight("w", 4, 3, 3, 3), *weights])


def profiled(data: bytes, limits: Limits | None = None) -> ModelProfile:
    return profile_onnx(data, name="m", source="m.onnx", limits=limits)


def refusal(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        profiled(data, limits)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


AS_FLOAT, AS_INT = (node("Cast", "s", "f", to=1), node("Cast", "g", "t", to=7))
CHAINS = {
    "Round": ([AS_FLOAT, node("Round", "f", "g"), AS_INT], []),
    "Clip": ([node("Clip", "s low", "t")], [numbers("low", 1)]),
    "CumSum": (
        [node("CumSum", "steps first", "c"), node("Min", "c s", "t")],
        [numbers("steps", [2, 1, 5, 9]), numbers("first", 0)],
    ),
    "GatherND": ([node("GatherND", "s i", "t")], [numbers("i", [[0], [1], [2], [3]])]),
    "MatMul": (
        [AS_FLOAT, node("MatMul", "f eye", "g"), AS_INT],
        [onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "eye")],
    ),
    "ScatterND": (
        [node("ScatterND", "s i u", "t")],
        [numbers("i", [[0]]), numbers("u", [2])],
    ),
    "Split": ([node("Split", "s", "u v", num_outputs=2), node("Concat", "u v", "t", axis=0)], []),
}


@pytest.mark.parametrize("case", CHAINS)
def test_a_gap_is_closed_and_the_nodes_stay_the_files(case: str) -> None:
    chain, weights = CHAINS[case]
    profile = profiled(reshaped(chain, *weights))
    assert [layer.name for layer in profile.layers] == ["relu", "reshape", "conv"]
    assert profile.totals.macs == 2 * 4 * 36 * 27
    assert profile.totals.params == 4 * 27
    assert not profile.coverage.uncounted
    assert profile.provenance.tools["onnxslim"] == version("onnxslim")
    assert "onnxslim simplified the graph" in profile.provenance.note


def test_what_needs_no_help_gets_none() -> None:
    profile = profiled(small_net())
    assert "onnxslim" not in profile.provenance.tools
    assert "onnxslim" not in profile.provenance.note


def test_sizes_are_the_evaluators_round_after_round() -> None:
    """8 · 1.07 rounds to 9, not down; the next size hangs on it, by another gap."""
    data = file(
        [
            node("Relu", "x", "a", name="relu"),
            node("Shape", "a", "s"),
            node("Cast", "s", "f", to=1),
            node("Mul", "f k", "g"),
            node("Round", "g", "h"),
            node("Cast", "h", "t", to=7),
            node("Resize", "a - - t", "r", name="larger"),
            node("Shape", "r", "rs"),
            node("Clip", "rs one", "back"),
            node("Reshape", "r back", "q", name="same"),
            node("Conv", "q w", "y", name="conv"),
        ],
        {"x": [1, 3, 8, 8]},
        "y",
        [floats("k", [1, 1, 1.07, 1.07]), numbers("one", 1), weight("w", 4, 3, 3, 3)],
    )
    profile = profiled(data)
    assert [layer.name for layer in profile.layers] == ["relu", "larger", "same", "conv"]
    assert profile.totals.macs == 4 * 49 * 27


def test_weights_without_values_stay_what_they_are() -> None:
    """Large ones have lost theirs; what is computed of them is left to the model."""
    stored = helper.make_node("Constant", [], ["v"], value=weight("", 4, 768))
    chain, weights = CHAINS["Round"]
    nodes = [node("Shape", "x", "s"), *chain, node("Reshape", "x t", "r", name="reshape")]
    nodes += [node("Neg", "w", "nw"), node("MatMul", "r nw", "m", name="first"), stored]
    nodes += [node("Gemm", "m v", "y", name="second", transB=1)]
    inputs = {"x": [64, 64]}
    profile = profiled(file(nodes, inputs, "y", [weight("w", 64, 768), *weights]))
    assert profile.provenance.tools["onnxslim"]
    assert profile.totals.params == 64 * 768 + 4 * 768
    assert profile.totals.macs == 64 * 64 * 768 + 64 * 768 * 4


def test_onnxslim_failing_leaves_the_gap_and_says_so() -> None:
    chain = [
        node("ReduceMax", "x", "m", keepdims=0),
        node("Cast", "m", "n", to=7),
        node("SequenceConstruct", "s s", "q"),
        node("SequenceAt", "q n", "t"),
    ]
    message = refusal(reshaped(chain))
    assert "left no shape for the output 'r' of node 'reshape'" in message
    assert message.endswith("; onnxslim was tried and raised AttributeError")


def test_what_the_data_decide_stays_a_gap() -> None:
    chain = [
        node("ReduceMax", "x", "m", keepdims=0),
        node("Cast", "m", "n", to=7),
        node("Unsqueeze", "n axis", "u"),
        node("Concat", "u rest", "t", axis=0),
    ]
    message = refusal(reshaped(chain, numbers("axis", [0]), numbers("rest", [3, 8, 8])))
    assert "left no shape for the output 'r' of node 'reshape'" in message
    assert message.endswith("; onnxslim was tried and finds none either")


def test_loops_are_not_run() -> None:
    """onnx's evaluator runs this one no times at all, which would be a wrong size."""
    tensor = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Mod", "v three", "v1")],
        "body",
        [
            tensor("i", TensorProto.INT64, []),
            tensor("go", TensorProto.BOOL, []),
            tensor("v", TensorProto.INT64, [4]),
        ],
        [tensor("on", TensorProto.BOOL, []), tensor("v1", TensorProto.INT64, [4])],
    )
    loop = node("Loop", "times - s", "t", body=body)
    message = refusal(reshaped([loop], numbers("times", 1), numbers("three", 3)))
    assert message.endswith("; onnxslim was tried and finds none either")


def test_no_installed_runtime_runs_a_strangers_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    native = ModuleType("onnxruntime")  # has nothing that onnxslim could call
    monkeypatch.setitem(sys.modules, "onnxruntime", native)
    chain, weights = CHAINS["Round"]
    request = {"name": "m", "input_shapes": {}, "batch": None}
    profile = child.main(request, reshaped(chain, *weights))
    assert "onnxslim" in profile["provenance"]["tools"]
    assert sys.modules["onnxruntime"] is native


# Folding runs operators: whatever they take, the child's limits hold.


def slow() -> bytes:
    """A small number out of 2^24 that are gathered one by one."""
    chain = [
        node("Expand", "one many", "i"),
        node("GatherND", "s i", "c"),
        node("ReduceMin", "c", "z", keepdims=0),
        node("BitwiseAnd", "s z", "t"),
    ]
    return reshaped(chain, numbers("one", 1), numbers("many", [2**24, 1]))


def hungry() -> bytes:
    """A small sum of 2^35 numbers."""
    chain = [
        node("Expand", "one many", "e"),
        node("CumSum", "e zero", "c"),
        node("ReduceMin", "c", "z", keepdims=0),
        node("BitwiseAnd", "s z", "t"),
    ]
    return reshaped(chain, numbers("one", 1), numbers("many", [2**35]), numbers("zero", 0))


def test_slow_operators_meet_the_time_limit() -> None:
    with at_most(6):
        message = refusal(slow(), Limits(cpu_s=3, wall_s=HANG_S))
    assert "takes more than 3 s of processor time" in message


def test_a_hungry_constant_is_refused_within_the_memory_limit() -> None:
    with at_most(15):
        message = refusal(hungry(), Limits(wall_s=HANG_S))
    assert "left no shape for the output 'r'" in message or "GiB of memory" in message
