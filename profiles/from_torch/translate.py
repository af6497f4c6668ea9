"""From an ATen program to a graph of operators: one translator for live modules and archives."""

from __future__ import annotations

from planner.errors import BadInputError
from profiles.from_torch.emitter import Call, Emitter, base_name, writes_in_place
from profiles.from_torch.handlers import COUNTED, HANDLERS, opaque, simple
from profiles.from_torch.ops import CREATED, UNCHANGING, VIEWS
from profiles.from_torch.program import SAME, AtenNode, AtenProgram, CallRecord, Ref
from profiles.graph import Graph
from profiles.meanings.call import UnknownFormError


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
    emitter = Emitter(program)
    viewed: dict[str, str] = {}  # a view to the tensor that it looks at
    for node in program.body.nodes:
        _visit(emitter, node)
        _follow_writes(emitter, node, viewed)
    outputs = dict.fromkeys(
        tensor.name
        for item in program.body.outputs
        if (tensor := emitter.activations.get(item)) is not None
    )
    inputs = tuple(
        tensor for item in program.inputs if (tensor := emitter.activations.get(item)) is not None
    )
    if not emitter.operators:
        raise BadInputError("no operator reads its inputs, there is nothing to plan")
    if not outputs:
        raise BadInputError("its output does not depend on its inputs")
    for tensor in inputs:
        if not tensor.elements:
            raise BadInputError(f"input {tensor.name!r} has the empty shape {tensor.shape}")
    for operator in emitter.operators:
        if not operator.output.elements:
            raise BadInputError(f"{operator.name!r} has the empty shape {operator.output.shape}")
    notes: tuple[str, ...] = ()
    folded = list(emitter.folded)
    if folded:
        notes = (
            f"{len(folded)} products of weights alone are the same for every input and are not "
            f"counted ({', '.join(folded[:3])}{', …' if len(folded) > 3 else ''})",
        )
    graph = Graph(
        name,
        inputs,
        tuple(outputs),
        tuple(emitter.operators),
        notes,
        folded=tuple(dict.fromkeys(emitter.folded.values())),
    )
    return graph, emitter.calls


def _visit(emitter: Emitter, node: AtenNode) -> None:
    if node.target == SAME:
        source = node.arguments["self"]
        if isinstance(source, Ref):
            emitter.same(node.outputs[0], source.name)
        return
    if not any(name in emitter.values for name in node.outputs):
        return  # a size, a check
    call = Call(emitter, node)
    if not call.activations or call.base in CREATED:
        # A view of a parameter, a weight norm: stands for what it is made of.
        made_of = [] if call.base in CREATED else call.constants
        if call.base in COUNTED and call.constants:
            call.note_folded()
        for output in node.outputs:
            emitter.bind_constant(output, made_of)
        return
    handler = HANDLERS.get(call.base, simple)
    reads, first = emitter.labels(call.reads), len(emitter.operators)
    try:
        handler(call)
    except UnknownFormError:
        opaque(call)
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise BadInputError(
            f"node {node.name!r} ({node.target}) has arguments that do not fit each other"
        ) from error
    for position, tensor in call.made.items():
        emitter.activations[node.outputs[position]] = tensor
    emitter.record(node, reads, first)


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
