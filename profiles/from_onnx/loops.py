"""Loop and Scan of ONNX: one layer with the work of all its iterations, on one node."""

from __future__ import annotations

from math import prod

from profiles.from_onnx.bodies import body_of
from profiles.from_onnx.call import Call
from profiles.from_onnx.file import tensors
from profiles.macs import FREE_KINDS, MAC_FORMULAS, graph_macs
from profiles.meanings.call import Constant, UnknownFormError


def loop(call: Call) -> None:
    """Count the body once per trip; once in all, and say so, where trips are not known."""
    emitter = call.emitter
    body = body_of(call.proto, emitter.inferred, emitter.opsets, emitter.constants.keys())
    if body is None:
        raise UnknownFormError
    inner = emitter.inner(body.model)
    known = {*MAC_FORMULAS, *FREE_KINDS}
    strange = sorted({o.source_op for o in inner.operators if o.kind not in known})
    notes = [f"uncounted inside: {', '.join(strange)}"[:200]] if strange else []
    if not body.known:
        notes.append("trip count assumed 1")
        emitter.assumed[call.outputs[0]] = f"{call.op_type} {call.name!r}: trip count assumed 1"
    wanted = [position for position, name in enumerate(call.outputs) if name]
    whole = call.add(
        "opaque" if strange else "loop",
        call.activations,
        position=wanted[0],
        beside="",
        step="; ".join(notes),
        weights=[c for c in (*call.constants, *inside(call)) if c.is_weight],
        repeated_macs=body.trips * graph_macs(inner),
    )
    for position in wanted[1:]:
        call.add("identity", [whole], position=position, step=f"output {position}")


def inside(call: Call) -> list[Constant]:
    """Constants that a node's own graphs hold."""
    return [
        call.emitter.store(
            f"{call.name}/{number}", tensor.data_type, tuple(tensor.dims), prod(tensor.dims)
        )
        for number, tensor in enumerate(tensors(call.proto))
        if tensor.data_type != tensor.STRING
    ]
