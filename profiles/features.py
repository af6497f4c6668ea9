"""Where each tensor's features lie, and what that makes of an operator.

A feature axis is followed through the graph: dimension 1 after a convolution, the last one
after a linear layer, and wherever transposes and reshapes carry it. An operator that mixes
features in a way not known here runs on one node, which is always a valid plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from planner.domain.model_profile import FeatureFlow
from profiles.graph import Operator, Tensor


@dataclass(frozen=True)
class Features:
    """The feature axis of a tensor and the number of features along it.

    The count may be smaller than the dimension where a reshape put several elements of one
    feature side by side (a flattened map): they still belong to one owner.
    """

    axis: int
    count: int


@dataclass(frozen=True)
class Contract:
    """How an operator's output features depend on its input features."""

    flow: FeatureFlow
    features: Features
    granularity: int = 1
    start: int = 0
    shares_statistics: bool = False


def input_features(tensor: Tensor) -> Features:
    """Images and signals carry channels in dimension 1, token ids and vectors come last."""
    axis = 1 if len(tensor.shape) >= 3 else max(len(tensor.shape) - 1, 0)
    return Features(axis, tensor.shape[axis] if tensor.shape else 1)


def one_node(output: Tensor) -> Contract:
    """Gather everything on one node."""
    return Contract("one-node", input_features(output))


def contract(operator: Operator, inputs: list[Tensor], features: list[Features]) -> Contract:
    """Contract of an operator whose inputs carry their features as given."""
    output = operator.output
    kind = operator.kind
    if not inputs or not output.shape:
        return one_node(output)
    if kind in ("conv", "conv_transpose"):
        return _conv_contract(operator, features[0])
    if kind in ("linear", "embedding"):
        if kind == "linear" and features[0].axis != len(inputs[0].shape) - 1:
            return one_node(output)
        return Contract("mixing", Features(len(output.shape) - 1, output.shape[-1]))
    if kind in ("activation", "batch_norm", "identity", "pool"):
        return _along(features[0], inputs[0], output)
    if kind == "elementwise":
        return _elementwise(operator, inputs, features)
    if kind in ("norm", "softmax"):
        inner = _along(features[0], inputs[0], output)
        over_features = features[0].axis in operator.axes
        return Contract(inner.flow, inner.features, shares_statistics=over_features)
    if kind == "reduce":
        return _reduce(operator, inputs[0], features[0])
    if kind == "concat":
        return _concat(operator, inputs, features)
    if kind == "slice":
        return _slice(operator, inputs[0], features[0])
    if kind == "transpose":
        moved = Features(operator.permutation.index(features[0].axis), features[0].count)
        return Contract("local", moved)
    if kind == "reshape":
        return _reshape(inputs[0], features[0], output)
    return one_node(output)


def _conv_contract(operator: Operator, source: Features) -> Contract:
    if source.axis != 1:
        return one_node(operator.output)
    outputs = operator.output.shape[1]
    features = Features(1, outputs)
    if operator.groups == 1:
        return Contract("mixing", features)
    if operator.groups == source.count and outputs % source.count == 0:
        return Contract("local", features)
    return Contract("grouped", features, granularity=outputs // operator.groups)


def _along(source: Features, tensor: Tensor, output: Tensor) -> Contract:
    """The output's features are the input's, whatever happens in other dimensions."""
    same_rank = len(tensor.shape) == len(output.shape)
    if not same_rank or tensor.shape[source.axis] != output.shape[source.axis]:
        return one_node(output)
    return Contract("local", source)


def _elementwise(operator: Operator, inputs: list[Tensor], features: list[Features]) -> Contract:
    output = operator.output
    aligned = [
        Features(source.axis + len(output.shape) - len(tensor.shape), source.count)
        for tensor, source in zip(inputs, features, strict=True)
    ]
    full = [
        (source, tensor)
        for source, tensor in zip(aligned, inputs, strict=True)
        if tensor.shape
        and output.shape[source.axis] == tensor.shape[source.axis - len(output.shape)]
    ]
    if not full:
        return one_node(output)
    leader = max(full, key=lambda item: item[0].count)[0]
    if len({inner.axis for inner, _ in full} | {leader.axis}) > 1 or any(
        inner.count not in (1, leader.count) for inner in aligned
    ):
        return one_node(output)
    return Contract("local", leader)


def _reduce(operator: Operator, tensor: Tensor, source: Features) -> Contract:
    output = operator.output
    if source.axis in operator.axes:
        return one_node(output)
    gone = 0
    if len(output.shape) < len(tensor.shape):
        gone = sum(1 for axis in operator.axes if axis < source.axis)
    return Contract("local", Features(source.axis - gone, source.count))


def _concat(operator: Operator, inputs: list[Tensor], features: list[Features]) -> Contract:
    axes = {source.axis for source in features}
    axis = features[0].axis
    joined = operator.axes[0]
    partly_constant = sum(t.shape[joined] for t in inputs) != operator.output.shape[joined]
    if len(axes) > 1 or (joined == axis and partly_constant):
        return one_node(operator.output)
    if joined == axis:
        return Contract("concat", Features(axis, sum(source.count for source in features)))
    if len({source.count for source in features}) > 1:
        return one_node(operator.output)
    return Contract("local", features[0])


def _slice(operator: Operator, tensor: Tensor, source: Features) -> Contract:
    output = operator.output
    if len(output.shape) != len(tensor.shape):
        return one_node(output)
    if source.axis not in operator.axes:
        return Contract("local", source)
    whole = tensor.shape[source.axis] == source.count
    if len(operator.axes) > 1 or not whole or operator.start < 0:
        return one_node(output)
    return Contract("slice", Features(source.axis, output.shape[source.axis]), start=operator.start)


def _reshape(tensor: Tensor, source: Features, output: Tensor) -> Contract:
    """Follow the feature axis where what stands before it stays as it is."""
    before = prod(tensor.shape[: source.axis])
    size = tensor.shape[source.axis] if tensor.shape else 1
    for axis in range(len(output.shape)):
        if prod(output.shape[:axis]) == before and output.shape[axis] % size == 0:
            if output.shape[axis] == 1 and size == 1 and axis + 1 < len(output.shape):
                continue
            return Contract("local", Features(axis, source.count * output.shape[axis] // size))
    return one_node(output)
