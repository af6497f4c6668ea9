"""The one table of MAC formulas, by shape. Every front end counts with it.

To change what a layer costs, change its formula here; ``FREE_KINDS`` lists what has no
multiply-accumulates by convention (the papers and fvcore's conv, linear and matmul counts agree).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from profiles.graph import Graph, Operator, Tensor

FREE_KINDS = frozenset(
    {
        "activation",
        "batch_norm",
        "concat",
        "elementwise",
        "embedding",
        "gather",
        "identity",
        "norm",
        "pool",
        "reduce",
        "reshape",
        "slice",
        "softmax",
        "transpose",
    }
)


def conv_macs(operator: Operator, inputs: list[Tensor]) -> int:
    """Each output element reads I/groups·kernel weights: |output| · I/g · Π kernel."""
    return operator.output.elements * prod(operator.weight_shape[1:])


def conv_transpose_macs(operator: Operator, inputs: list[Tensor]) -> int:
    """Each input element feeds O/groups·kernel outputs: |input| · O/g · Π kernel."""
    return inputs[0].elements * prod(operator.weight_shape[1:])


def linear_macs(operator: Operator, inputs: list[Tensor]) -> int:
    """Each output element reads all I inputs: |output| · I."""
    return operator.output.elements * operator.weight_shape[1]


def matmul_macs(operator: Operator, inputs: list[Tensor]) -> int:
    """Each output element is a product over the contracted dimension K: |output| · K."""
    return operator.output.elements * (operator.contracted or inputs[0].shape[-1])


def attention_macs(operator: Operator, inputs: list[Tensor]) -> int:
    """Every key meets every query twice: (|q| + |output|) · keys. Masks skip nothing."""
    query, key = inputs[0], inputs[1]
    return (query.elements + operator.output.elements) * key.shape[-2]


def recurrent_macs(operator: Operator, inputs: list[Tensor]) -> int:
    """Every step of every sequence reads all weight matrices once; ``contracted``: their size."""
    return inputs[0].elements // inputs[0].shape[-1] * operator.contracted


def loop_macs(operator: Operator, inputs: list[Tensor]) -> int:
    """What the front end counted in the body, times the trips: ``repeated_macs``."""
    return operator.repeated_macs


MAC_FORMULAS: dict[str, Callable[[Operator, list[Tensor]], int]] = {
    "conv": conv_macs,
    "conv_transpose": conv_transpose_macs,
    "linear": linear_macs,
    "matmul": matmul_macs,
    "attention": attention_macs,
    "recurrent": recurrent_macs,
    "loop": loop_macs,
}


def count_macs(operator: Operator, inputs: list[Tensor]) -> int:
    """Multiply-accumulates of one operator, those of making its weights once among them.

    Kinds without a formula have none of their own, but for loops' parts.
    """
    formula = MAC_FORMULAS.get(operator.kind)
    own = formula(operator, inputs) if formula else operator.repeated_macs
    return own + operator.making_macs


def graph_macs(graph: Graph) -> int:
    """Multiply-accumulates of all operators of a graph."""
    tensors = {tensor.name: tensor for tensor in graph.inputs}
    tensors |= {operator.name: operator.output for operator in graph.operators}
    return sum(
        count_macs(operator, [tensors[name] for name in operator.inputs])
        for operator in graph.operators
    )
