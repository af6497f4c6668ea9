"""LSTM, GRU and RNN of ONNX: one layer that reads all its weights at every step."""

from __future__ import annotations

from profiles.from_onnx.emitter import Constant, Emitter, Made, Node
from profiles.from_onnx.moves import reshaped, turned

_OPERANDS = 4  # sequence, input weights, recurrent weights, bias; then lengths and initial states
_PEEPHOLES = 7
_QUANTIZED = "com.microsoft.DynamicQuantizeLSTM"
_QUANTIZED_SCALES = range(8, 12)  # of the input and recurrent weights, with their zero points


def recurrent(e: Emitter, node: Node) -> Made | None:
    """A recurrent layer; the final states are parts of what it made."""
    x = e.activation(node, 0)
    shapes = [_shape(e, node, position) for position in (1, 2)]
    if x is None or len(x.shape) != 3 or any(len(shape) != 3 for shape in shapes):
        return None
    hidden = shapes[1][1] if node.op_type == _QUANTIZED else shapes[1][2]
    batch_first = bool(node.attributes.get("layout", 0))
    directions = shapes[0][0]
    # The directions' features stand side by side, whatever order of dimensions ONNX wants.
    output = e.like(x, (*x.shape[:2], directions * hidden), node.label)
    if node.op_type == _QUANTIZED:
        e.mark_settings(c for p in _QUANTIZED_SCALES if (c := e.constant(node, p)))
    weights = [c for p in (*range(1, _OPERANDS), _PEEPHOLES) if (c := _trained(e, node, p))]
    states = [t for p in range(1, len(node.inputs)) if (t := e.activation(node, p))]
    e.emit(
        node,
        "recurrent",
        [x, *states],
        output,
        op=node.op_type.rpartition(".")[2].removeprefix("DynamicQuantize").lower(),
        weights=weights,
        statistics=e.constants(node),
        contracted=sum(a * b * c for a, b, c in shapes),
    )
    whole = reshaped(e, node, output, (*x.shape[:2], directions, hidden))
    whole = whole if batch_first else turned(e, node, whole, (0, 2, 1, 3))
    made: Made = [whole]
    for position, name in enumerate(node.outputs[1:], start=1):
        if not name:
            made.append(None)
            continue
        state = e.output(node, position, e.label(f"{node.label}:{position}"))
        time = (1 if batch_first else 0,)
        made.append(
            e.emit(node, "slice", [whole], state, op="slice", step="state", axes=time, start=-1)
        )
    return made


def _shape(e: Emitter, node: Node, position: int) -> tuple[int, ...]:
    given = e.constant(node, position) or e.activation(node, position)
    return given.shape if given else ()


def _trained(e: Emitter, node: Node, position: int) -> Constant | None:
    """A weight; the quantised form keeps other settings where peepholes stand."""
    constant = e.constant(node, position)
    return None if constant is None or constant.elements == 1 else constant
