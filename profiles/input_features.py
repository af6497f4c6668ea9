"""Which dimension of an input counts its features: the one that its first reader mixes.

Images and signals carry channels in dimension 1, as convolutions read them; a row of token or
frame vectors, (batch, time, features), carries them last, as linear layers and norms over tokens
read them. The shape alone cannot tell.
"""

from __future__ import annotations

from profiles.contracts import input_layout
from profiles.graph import Graph, Operator, Tensor
from profiles.layout import Layout, channels

_UNCHANGED = frozenset({"activation", "elementwise", "identity"})
_CHANNELS_FIRST = frozenset({"batch_norm", "conv", "conv_transpose"})
_FEATURES_LAST = frozenset({"linear", "matmul", "recurrent"})


def input_layouts(graph: Graph) -> dict[str, Layout]:
    """Layout of every input by name, decided by the first operator that tells features apart.

    What nothing decides is taken for channels (`profiles.contracts.input_layout`).
    """
    return {tensor.name: _layout(tensor, graph.operators) for tensor in graph.inputs}


def _layout(tensor: Tensor, operators: tuple[Operator, ...]) -> Layout:
    rank = len(tensor.shape)
    # For every tensor that is the input with its dimensions in another order: which is where.
    orders = {tensor.name: tuple(range(rank))}
    for operator in operators if rank > 2 else ():
        order = next((orders[name] for name in operator.inputs if name in orders), None)
        if order is None:
            continue
        axis = _feature_axis(operator, rank)
        if axis is not None:
            return channels(tensor.shape, order[axis])
        if operator.kind == "transpose" and len(operator.permutation) == rank:
            orders[operator.name] = tuple(order[axis] for axis in operator.permutation)
        elif operator.kind in _UNCHANGED and len(operator.output.shape) == rank:
            orders[operator.name] = order
    return input_layout(tensor)


def _feature_axis(operator: Operator, rank: int) -> int | None:
    """The dimension of its input that an operator takes for features, if it says so."""
    if operator.kind in _CHANNELS_FIRST:
        return 1
    over_last = operator.kind == "norm" and operator.axes == (rank - 1,)
    if over_last or operator.kind in _FEATURES_LAST:
        return rank - 1
    return 1 if operator.kind == "norm" else None
