"""ATen calls that need no more than a table, and those that nothing is known of."""

from __future__ import annotations

from profiles.from_torch.emitter import Call
from profiles.from_torch.ops import ELEMENTWISE, GATHERS, UNARY, shown_name


def opaque(call: Call) -> None:
    """Keep an operator that runs on one node: its work is not counted, its weights are."""
    call.emit_all("opaque", call.activations)


def simple(call: Call) -> bool:
    """Translate a call that needs no more than a table."""
    inputs = call.activations
    if call.base in ELEMENTWISE or (call.base in UNARY and len(inputs) > 1):
        call.emit("elementwise", inputs)
    elif call.base in UNARY:
        call.emit_all(UNARY[call.base], inputs, shown_name(call.base))
    elif call.base in GATHERS:
        call.emit_all("gather", inputs)
    elif "upsample_" in call.base:
        call.emit("pool", inputs[:1], op="upsample")
    else:
        return False
    return True
