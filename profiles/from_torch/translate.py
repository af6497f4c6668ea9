"""From an ATen program to a graph of operators: one translator for live modules and archives."""

from __future__ import annotations

from math import prod

from planner.errors import BadInputError
from profiles.from_torch.branches import with_costlier
from profiles.from_torch.constants import made, notes_of, unread_macs
from profiles.from_torch.emitter import Call, Emitter, Unread, base_name, writes_in_place
from profiles.from_torch.handlers import HANDLERS, opaque, simple, understood
from profiles.from_torch.needed import needed_calls
from profiles.from_torch.ops import CREATED, LIKE_ANOTHER, UNCHANGING, VIEWS
from profiles.from_torch.program import SAME, AtenNode, AtenProgram, CallRecord, Ref
from profiles.from_torch.vmapped import VMAP_STEPS, over_all
from profiles.graph import Graph
from profiles.macs import graph_macs


def translate(program: AtenProgram, name: str) -> Graph:
    """Translate every call that depends on the inputs.

    Raises
    ------
    BadInputError
        There is nothing to plan: no operator reads the inputs, no output depends on them, or a
        tensor is empty. The line does not say which model it is.
    """
    return translated_calls(program, name)[0]


def translated_calls(program: AtenProgram, name: str) -> tuple[Graph, list[CallRecord]]:
    """The graph, and which of its operators stand for which call; raises as `translate`."""
    program, choices = with_costlier(program, _macs)
    emitter = Emitter(program)
    emitter.calls += [CallRecord(choice, {}, (), {}) for choice in choices]
    emitter.assumed += [f"of {choice}, the branch with more work runs" for choice in choices]
    viewed: dict[str, str] = {}  # a view to the tensor that it looks at
    needed = needed_calls(program.body)
    for number, node in enumerate(program.body.nodes):
        if number in needed:
            first = len(emitter.operators)
            _visit(emitter, node)
            _follow_writes(emitter, node, viewed)
            over_all(emitter, node, first)
        else:
            _drop(emitter, node)
    outputs = dict.fromkeys(
        tensor.name
        for item in program.body.outputs
        if (tensor := emitter.activations.get(item)) is not None
    )
    inputs = tuple(
        tensor for item in program.inputs if (tensor := emitter.activations.get(item)) is not None
    )
    for tensor in inputs:
        if not tensor.elements:
            raise BadInputError(f"input {tensor.name!r} has the empty shape {tensor.shape}")
    if not outputs:
        _refuse_outputs(emitter, program)
    if not emitter.operators:
        raise BadInputError("no operator reads its inputs, there is nothing to plan")
    graph = Graph(
        name,
        inputs,
        tuple(outputs),
        tuple(emitter.operators),
        notes_of(emitter),
        makings=emitter.made(),
    )
    return graph, emitter.calls


def _macs(program: AtenProgram) -> int:
    return graph_macs(translate(program, "a branch"))


def _refuse_outputs(emitter: Emitter, program: AtenProgram) -> None:
    """Say why a model has none to plan."""
    for name in program.body.outputs:
        meta = program.body.values.get(name)
        if meta is not None and not prod(meta.shape):
            raise BadInputError(f"its output {name!r} has the empty shape {meta.shape}")
    if emitter.operators or emitter.unread:
        raise BadInputError("its output does not depend on its inputs")


def _visit(emitter: Emitter, node: AtenNode) -> None:
    if node.target == SAME:
        source = node.arguments["self"]
        if isinstance(source, Ref):
            emitter.same(node.outputs[0], source.name)
        return
    if not any(name in emitter.values for name in node.outputs):
        return  # a size, a check
    call = Call(emitter, node)
    if all(not prod(emitter.values[name].shape) for name in node.outputs if name in emitter.values):
        for output in node.outputs:  # nothing: the rest of a split that takes all
            emitter.bind_constant(output, [])
        return
    own = call.constant("self") if call.base in LIKE_ANOTHER else None
    if own is not None:
        for output in node.outputs:
            emitter.bind_constant(output, [own], own.makings)
        return
    if not call.activations or call.base in CREATED:
        # A view of a parameter, a weight norm: stands for what it is made of.
        made_of = [] if call.base in CREATED else call.constants
        makings = made(call) if made_of else ()
        for output in node.outputs:
            emitter.bind_constant(output, made_of, makings)
        return
    handler = VMAP_STEPS.get(node.target) or HANDLERS.get(call.base, simple)
    reads, first = emitter.labels(call.reads), len(emitter.operators)
    if not understood(call, handler):
        opaque(call)
    for position, tensor in call.made.items():
        emitter.activations[node.outputs[position]] = tensor
    emitter.record(node, reads, first)


def _drop(emitter: Emitter, node: AtenNode) -> None:
    """Leave a call out whose result nobody reads, as runtimes do."""
    call = Call(emitter, node)
    if call.reads:
        emitter.unread.append(Unread(call.module or call.name, unread_macs(call)))
        emitter.calls.append(CallRecord(node.name, {}, (), {}))


def _follow_writes(emitter: Emitter, node: AtenNode, viewed: dict[str, str]) -> None:
    """Let whoever reads a tensor after it, or a view of it, was written read what was written."""
    target = node.arguments.get("self")
    if not isinstance(target, Ref) or not node.outputs:
        return
    if base_name(node.target) in VIEWS:
        viewed.update((output, target.name) for output in node.outputs)
    if not writes_in_place(node.target):
        return
    emitter.same(target.name, node.outputs[0])
    if base_name(node.target) in UNCHANGING:
        return  # what a view looks at is as it was
    written, whole = target.name, viewed.get(target.name)
    while whole is not None:
        emitter.write_through(node, whole, written)
        written, whole = whole, viewed.get(whole)
