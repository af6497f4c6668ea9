"""Loop and Scan of ONNX: one layer with the work of all its iterations, on one node."""

from __future__ import annotations

from math import prod

from profiles.from_onnx.bodies import body_of
from profiles.from_onnx.emitter import Constant, Emitter, Made, Node
from profiles.from_onnx.file import tensors
from profiles.graph import Tensor
from profiles.macs import FREE_KINDS, MAC_FORMULAS, graph_macs


def loop(e: Emitter, node: Node) -> Made | None:
    """Count the body once per trip; once in all, and say so, where trips are not known."""
    body = body_of(node.proto, e.inferred, e.opsets, e.constant_names)
    if body is None:
        return None
    inner = e.inner(body.model)
    known = {*MAC_FORMULAS, *FREE_KINDS}
    strange = sorted({o.source_op for o in inner.operators if o.kind not in known})
    notes = [f"uncounted inside: {', '.join(strange)}"[:200]] if strange else []
    if not body.known:
        notes.append("trip count assumed 1")
        e.assume(node.outputs[0], f"{node.op_type} {node.label!r}: trip count assumed 1")
    weights = [c for c in (*e.constants(node), *inside(e, node)) if c.is_weight]
    made: Made = [None] * len(node.outputs)
    source: Tensor | None = None
    for position, name in enumerate(node.outputs):
        if not name:
            continue
        if source is not None:
            output = e.output(node, position, e.label(f"{node.label}:{position}"))
            made[position] = e.emit(node, "identity", [source], output, step=f"output {position}")
            continue
        made[position] = source = e.emit(
            node,
            "opaque" if strange else "loop",
            e.activations(node),
            e.output(node, position),
            step="; ".join(notes),
            weights=weights,
            repeated_macs=body.trips * graph_macs(inner),
        )
    return made


def inside(e: Emitter, node: Node) -> list[Constant]:
    """Constants that a node's own graphs hold."""
    return [
        e.store(f"{node.label}/{number}", tensor.data_type, tuple(tensor.dims), prod(tensor.dims))
        for number, tensor in enumerate(tensors(node.proto))
        if tensor.data_type != tensor.STRING
    ]
