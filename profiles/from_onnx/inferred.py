"""What shape inference says of an ONNX model's tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray

from planner.errors import BadInputError

STANDARD_DOMAINS = ("", "ai.onnx")
VENDOR_DOMAIN = "com.microsoft"
UNKNOWN_DOMAIN = "planner.unknown"  # of operators that the standard's domain has not

_OF_ANOTHER_FORM = frozenset({"Attention", "QLinearConv"})


def is_standards(node: onnx.NodeProto) -> bool:
    """Whether a node of ONNX Runtime's is an operator that the standard has too."""
    own = node.domain == VENDOR_DOMAIN and node.op_type not in _OF_ANOTHER_FORM
    return own and bool(onnx.defs.has(node.op_type))


class ShapeGapError(BadInputError):
    """A tensor that a layer makes or reads has no known shape."""


@dataclass(frozen=True)
class Inferred:
    """What is known of a model's tensors.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Of every tensor with a fixed shape.
    element_types : dict of str to int
        Of every tensor, as in ``onnx.TensorProto.DataType``.
    values : dict of str to array
        Of small constants and of what the model computes from them and from shapes.
    """

    shapes: dict[str, tuple[int, ...]]
    element_types: dict[str, int]
    values: dict[str, NDArray[Any]]
