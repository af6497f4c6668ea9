"""Calls that several layers stand for: each of these layers as a call of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planner.domain.layer_profile import LayerProfile
from planner.errors import BadInputError
from planner.runtime.reading.template import Slot, Template, aten
from planner.runtime.reading.traced import TracedLayer


def expanded(layer: LayerProfile, traced: TracedLayer, call: Template) -> Template:
    """What one of the layers of a call computes.

    Parameters
    ----------
    layer : LayerProfile
    traced : TracedLayer
    call : Template
        Of the whole call.

    Raises
    ------
    BadInputError
        The runtime does not know this part of this operator.
    """
    slots = [Slot(name) for name in layer.inputs]
    shape = list(traced.output.shape)

    def made(target: str, **arguments: Any) -> Template:
        return Template(aten(target), arguments, dtype=call.dtype)

    if traced.kind == "reshape":
        return made("reshape.default", self=slots[0], shape=shape)
    if traced.kind == "transpose":
        return made("permute.default", self=slots[0], dims=list(traced.permutation))
    if traced.kind == "slice" and len(traced.axes) == 1:
        axis, size = traced.axes[0], shape[traced.axes[0]]
        return made("narrow.default", self=slots[0], dim=axis, start=traced.start, length=size)
    if traced.kind == "concat":
        return made("cat.default", tensors=slots, dim=traced.axes[0])
    if layer.op == "expand":
        return made("expand.default", self=slots[0], size=shape)
    if layer.op == "sigmoid":
        return made("sigmoid.default", self=slots[0])
    if layer.op == "glu":
        return made("mul.Tensor", self=slots[0], other=slots[1])
    if traced.kind == "attention":
        query, key, value = slots[:3]
        arguments = {k: v for k, v in call.arguments.items() if k != "enable_gqa"}
        return replace(call, arguments={**arguments, "query": query, "key": key, "value": value})
    if traced.kind == "matmul" and len(slots) == 2:
        return made("matmul.default", self=slots[0], other=slots[1])
    if traced.kind in ("conv", "conv_transpose"):
        return replace(call, arguments={**call.arguments, "input": slots[0]})
    raise BadInputError(
        f"layer {layer.name!r} ({layer.op}): the runtime does not know this part of {call.target}"
    )
