"""ATen calls that need no more than a table, and those that nothing is known of."""

from __future__ import annotations

from profiles.from_torch.emitter import Call
from profiles.from_torch.ops import ELEMENTWISE, GATHERS, UNARY


def opaque(call: Call) -> None:
    """Keep an operator that runs on one node: its work is not counted, its weights are."""
    call.add_all("opaque", call.activations, call.base)


def simple(call: Call) -> bool:
    """Translate a call that needs no more than a table."""
    inputs = call.activations
    if call.base in ELEMENTWISE or (call.base in UNARY and len(inputs) > 1):
        call.add("elementwise", inputs, call.base, weights=call.constants)
    elif call.base in UNARY:
        call.add_all(UNARY[call.base], inputs)
    elif call.base in GATHERS:
        call.add_all("gather", inputs)
    elif "upsample_" in call.base:
        call.add("pool", inputs[:1], weights=call.constants)
    else:
        return False
    return True
