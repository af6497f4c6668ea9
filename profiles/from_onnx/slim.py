"""onnxslim's constant folding, for models whose shapes our own leaves open.

The model stays the file's: nodes that only compute whole numbers (target shapes and the like)
become constants of the same name, nothing else changes. onnxslim sees the shapes that our inference
found and infers none itself: its own inference rounds and merges sizes by guess.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from math import prod
from types import ModuleType
from typing import Any

import onnx

from profiles.from_onnx.file import KEPT_ELEMENTS, holds_values, parse, tensors
from profiles.from_onnx.inferred import Inferred
from profiles.from_onnx.shapes import COUNTS

# Folding alone, which needs none of the weights' values; the others change nodes.
_SKIPPED = ["graph_fusion", "dead_node_elimination", "subexpression_elimination", "weight_tying"]
_RANDOM = frozenset(
    "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split()
)


class SlimError(Exception):
    """onnxslim raised; the message names its exception."""


def version() -> str:
    """onnxslim's."""
    import onnxslim

    return str(onnxslim.__version__)


def fold(model: onnx.ModelProto, inferred: Inferred) -> int:
    """Let onnxslim fold the whole numbers that a model computes.

    Parameters
    ----------
    model : onnx.ModelProto
        With fixed input shapes; nodes that were folded become constants.
    inferred : Inferred
        What is known of its tensors.

    Returns
    -------
    int
        Number of nodes that were folded.

    Raises
    ------
    SlimError
        onnxslim does not get through the model.
    """
    try:
        slimmed = _slimmed(_described(model, inferred))
    except MemoryError:
        raise
    except Exception as error:  # its type alone: the message may hold local paths
        raise SlimError(type(error).__name__) from error
    values = {
        tensor.name: tensor
        for tensor in slimmed.graph.initializer
        if tensor.data_type in COUNTS and prod(tensor.dims) <= KEPT_ELEMENTS
    }
    count = 0
    for node in model.graph.node:
        if node.op_type != "Constant" and len(node.output) == 1 and node.output[0] in values:
            node.CopyFrom(_constant(node, values[node.output[0]]))
            count += 1
    return count


def _constant(node: onnx.NodeProto, value: onnx.TensorProto) -> onnx.NodeProto:
    return onnx.helper.make_node("Constant", [], node.output, node.name, value=value)


def _described(model: onnx.ModelProto, inferred: Inferred) -> onnx.ModelProto:
    """A copy with what is known; what must not be evaluated is an input, which nobody folds."""
    work = onnx.ModelProto()
    work.CopyFrom(model)
    graph = work.graph
    unknown = {t.name for t in graph.initializer if not holds_values(t)}
    nodes = []
    for node in graph.node:
        values = [inferred.values.get(name) for name in node.output]
        if node.op_type != "Constant" and len(values) == 1 and values[0] is not None:
            nodes.append(_constant(node, onnx.numpy_helper.from_array(values[0])))
        elif _must_not_run(node):
            unknown.update(filter(None, node.output))
        else:
            nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    kept = [tensor for tensor in graph.initializer if tensor.name not in unknown]
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    for field, parts in (("node", nodes), ("initializer", kept)):
        graph.ClearField(field)
        getattr(graph, field).extend(parts)
    listed = {value.name for value in (*graph.input, *graph.output)}
    made = {name for node in nodes for name in node.output} & inferred.shapes.keys()
    for name in (unknown | made) - listed:
        data_type = inferred.element_types.get(name) or onnx.TensorProto.FLOAT
        shape = inferred.shapes.get(name)
        value = onnx.helper.make_tensor_value_info(name, data_type, shape)
        (graph.input if name in unknown else graph.value_info).append(value)
    return work


def _must_not_run(node: onnx.NodeProto) -> bool:
    """Whether its values are not at hand, differ from run to run, or come out of other graphs."""
    if node.op_type in _RANDOM or any(a.HasField("g") or a.graphs for a in node.attribute):
        return True  # onnx's evaluator takes a Loop without a condition for one without a trip
    return node.op_type == "Constant" and any(not holds_values(tensor) for tensor in tensors(node))


class _Session:
    """What onnxslim asks of ONNX Runtime, answered by onnx's own evaluator: no native code."""

    def __init__(self, model: bytes, providers: list[str]) -> None:
        from onnx.reference import ReferenceEvaluator

        self._evaluator = ReferenceEvaluator(parse(model))

    def run(self, names: list[str], feeds: dict[str, Any]) -> Any:
        """The values of the named tensors."""
        return self._evaluator.run(names, feeds)


def _slimmed(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxslim

    runtime = ModuleType("onnxruntime")
    runtime.__spec__ = ModuleSpec("onnxruntime", None)
    runtime.InferenceSession = _Session  # type: ignore[attr-defined]
    installed = sys.modules.get("onnxruntime")
    sys.modules["onnxruntime"] = runtime
    try:
        slimmed: onnx.ModelProto = onnxslim.slim(
            model,
            no_shape_infer=True,
            skip_optimizations=_SKIPPED,
            size_threshold=8 * KEPT_ELEMENTS,
        )
        return slimmed
    finally:
        del sys.modules["onnxruntime"]
        if installed is not None:
            sys.modules["onnxruntime"] = installed
