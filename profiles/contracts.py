"""What an operator does to features: which outputs read which inputs, and where they lie then.

The rules work on layouts (`profiles.layout`), so that heads, windows, channel shuffles and
flattened maps are followed without a rule each. What no rule covers runs on one node, which is
always a valid plan.
"""

from __future__ import annotations

from collections.abc import Callable

from profiles.contract_elements import (
    along_rule,
    elementwise_rule,
    identity_rule,
    norm_rule,
    reduce_rule,
)
from profiles.contract_moves import concat_rule, reshape_rule, slice_rule, transpose_rule
from profiles.contract_parts import Contract, Operand
from profiles.contract_products import (
    attention_rule,
    conv_rule,
    embedding_rule,
    linear_rule,
    matmul_rule,
)
from profiles.graph import Operator, Tensor
from profiles.layout import Layout, channels


def input_layout(tensor: Tensor) -> Layout:
    """Images and signals carry channels in dimension 1, token ids and vectors come last."""
    rank = len(tensor.shape)
    return channels(tensor.shape, 1 if rank >= 3 else max(rank - 1, 0))


def one_node(output: Tensor, operands: list[Operand]) -> Contract:
    """Gather everything on one node; features are counted on where they were, as far as known."""
    shape = output.shape
    layout = input_layout(output)
    if operands and shape and len(operands[0].layout.dimensions) - 1 in operands[0].layout.axes:
        layout = channels(shape, len(shape) - 1)
    return Contract("one-node", layout)


def contract(operator: Operator, operands: list[Operand]) -> Contract:
    """Contract of an operator whose inputs carry their features as given."""
    rule = _RULES.get(operator.kind)
    found = None
    if operands and rule is not None:
        found = rule(operator, operands)
    if found is not None and found.layout.shape != operator.output.shape:
        found = None  # a file whose shapes contradict each other
    if found is None and operator.kind in ("linear", "recurrent"):  # whatever the input was
        return Contract("one-node", channels(operator.output.shape, len(operator.output.shape) - 1))
    return found or one_node(operator.output, operands)


_RULES: dict[str, Callable[[Operator, list[Operand]], Contract | None]] = {
    "conv": conv_rule,
    "conv_transpose": conv_rule,
    "linear": linear_rule,
    "embedding": embedding_rule,
    "matmul": matmul_rule,
    "attention": attention_rule,
    "activation": along_rule,
    "batch_norm": along_rule,
    "identity": identity_rule,
    "pool": along_rule,
    "elementwise": elementwise_rule,
    "norm": norm_rule,
    "softmax": norm_rule,
    "reduce": reduce_rule,
    "concat": concat_rule,
    "slice": slice_rule,
    "transpose": transpose_rule,
    "reshape": reshape_rule,
}
