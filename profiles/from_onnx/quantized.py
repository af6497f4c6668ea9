"""Quantised forms of ONNX operators: the same layers, with settings for their number format."""

from __future__ import annotations

from profiles.from_onnx.convolution import convolution
from profiles.from_onnx.emitter import Emitter, Made, Node
from profiles.from_onnx.products import matmul


def qlinear_conv(e: Emitter, node: Node) -> Made | None:
    """A convolution of quantised numbers with fixed scales."""
    _settings(e, node, 1, 2, 4, 5, 6, 7)
    return convolution(e, node, x=0, weight=3, bias=8)


def conv_integer(e: Emitter, node: Node) -> Made | None:
    """A convolution of integers."""
    _settings(e, node, 2, 3)
    return convolution(e, node, x=0, weight=1)


def qlinear_matmul(e: Emitter, node: Node) -> Made | None:
    """A matrix product of quantised numbers with fixed scales."""
    _settings(e, node, 1, 2, 4, 5, 6, 7)
    return matmul(e, node, 0, 3)


def matmul_integer(e: Emitter, node: Node) -> Made | None:
    """A matrix product of integers."""
    _settings(e, node, 2, 3)
    return matmul(e, node)


def dynamic_quantize(e: Emitter, node: Node) -> Made | None:
    """The same numbers as bytes, and their scale and zero point, which all of them decide."""
    x = e.activation(node, 0)
    if x is None:
        return None
    made: Made = [e.emit(node, "identity", [x], e.output(node))]
    for position, name in enumerate(node.outputs[1:], start=1):
        if not name:
            made.append(None)
            continue
        scale = e.output(node, position, e.label(f"{node.label}:{position}"))
        axes = tuple(range(len(x.shape)))
        made.append(e.emit(node, "reduce", [x], scale, op="range", step="range", axes=axes))
    return made


def _settings(e: Emitter, node: Node, *positions: int) -> None:
    e.mark_settings(c for position in positions if (c := e.constant(node, position)))
