"""Branches of an ONNX model: the one that is taken, or the one with more work, in its If's place.

Loops stay (see `loops`); their bodies come back here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx

from planner.errors import BadInputError
from profiles.from_onnx.bodies import Inside
from profiles.from_onnx.emitter import BRANCH_ASSUMED
from profiles.from_onnx.file import MAX_NODES
from profiles.from_onnx.graph import translate
from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred
from profiles.from_onnx.inputs import fix_inputs
from profiles.from_onnx.sequences import resolve
from profiles.from_onnx.shapes import infer
from profiles.graph import Graph
from profiles.macs import graph_macs

Declared = dict[str, onnx.TypeProto]
_WAITING = "planner.waiting"  # the domain of an If that inference must not look into yet


@dataclass
class Resolved:
    """A model without Ifs, and what was assumed to get there."""

    model: onnx.ModelProto
    inferred: Inferred
    assumed: dict[str, str] = field(default_factory=dict)  # output of an If -> what is assumed


def graph_of(
    model: onnx.ModelProto, declared: Declared, name: str, *, guessing: bool = False
) -> Graph:
    """The graph of a model with fixed input shapes.

    Parameters
    ----------
    model : onnx.ModelProto
        Is changed.
    declared : dict of str to onnx.TypeProto
        Shapes to believe where inference finds none.
    name : str
        The graph's name.
    guessing : bool
        As `profiles.from_onnx.graph.translate` has it.

    Raises
    ------
    BadInputError
        As `profiles.from_onnx.shapes.infer` and `profiles.from_onnx.graph.translate`.
    """
    resolved = _resolved(model, declared)
    return translate(
        resolved.model,
        resolved.inferred,
        name,
        resolved.assumed,
        _inside,
        guessing=guessing,
    )


def inferred_of(model: onnx.ModelProto, declared: Declared) -> Inferred:
    """What is known of a model's tensors; parameters and errors as those of `graph_of`."""
    return _resolved(model, declared).inferred


def _inside(model: onnx.ModelProto) -> Inside:
    resolved = _resolved(model, fix_inputs(model, {}, None))
    return Inside(_translated(resolved, "body"), resolved.inferred)


def _body_inferred(model: onnx.ModelProto) -> Inferred:
    return _resolved(model, fix_inputs(model, {}, None)).inferred


def _translated(resolved: Resolved, name: str) -> Graph:
    """The graph of a part of a model, which need not depend on the inputs."""
    return translate(
        resolved.model, resolved.inferred, name, resolved.assumed, _inside, partial=True
    )


def _resolved(model: onnx.ModelProto, declared: Declared) -> Resolved:
    assumed: dict[str, str] = {}
    while True:
        waiting = _with_waiting_ifs(model)
        inferred = infer(waiting, dict(declared), _body_inferred)
        if resolve(model, inferred):
            continue
        choices = [index for index, node in enumerate(model.graph.node) if _is_if(node)]
        if not choices:
            return Resolved(model, inferred, assumed)
        known = {
            index: bool(value.reshape(-1)[0])
            for index in choices
            if (value := inferred.values.get(model.graph.node[index].input[0])) is not None
            and value.size == 1
        }
        if known:
            _inline(model.graph, known)
        else:
            assumed |= _take_the_costlier(model, choices[0], declared)
        if len(model.graph.node) > MAX_NODES:
            raise BadInputError(f"has more than {MAX_NODES:,} nodes in its branches")


def _is_if(node: onnx.NodeProto) -> bool:
    return node.op_type == "If" and node.domain in STANDARD_DOMAINS and len(node.input) == 1


def _with_waiting_ifs(model: onnx.ModelProto) -> onnx.ModelProto:
    if not any(_is_if(node) for node in model.graph.node):
        return model
    waiting = onnx.ModelProto()
    waiting.CopyFrom(model)
    for node in waiting.graph.node:
        if _is_if(node):
            del node.attribute[:]
            node.domain = _WAITING
    waiting.opset_import.append(onnx.helper.make_opsetid(_WAITING, 1))
    return waiting


def _branch(node: onnx.NodeProto, taken: bool) -> onnx.GraphProto:
    wanted = "then_branch" if taken else "else_branch"
    branch = onnx.GraphProto()
    branch.CopyFrom(next(a.g for a in node.attribute if a.name == wanted))
    return branch


def _inline(graph: onnx.GraphProto, taken: dict[int, bool], *, marked: bool = False) -> None:
    """Put branches in their Ifs' places, under names of their own.

    ``marked``: the If's outputs come from nodes that only pass them on, for the coverage.
    """
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(graph.node):
        if index not in taken:
            nodes.append(node)
            continue
        branch = _branch(node, taken[index])
        prefix = node.name or f"if_{node.output[0]}"
        nodes.extend(_renamed_nodes(branch, prefix, list(node.output), marked))
        graph.initializer.extend(branch.initializer)
        graph.sparse_initializer.extend(branch.sparse_initializer)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _renamed_nodes(
    branch: onnx.GraphProto, prefix: str, outputs: list[str], marked: bool
) -> list[onnx.NodeProto]:
    made = {name for node in branch.node for name in node.output if name}
    own = made | {tensor.name for tensor in branch.initializer}
    own |= {tensor.values.name for tensor in branch.sparse_initializer}
    renamed = {name: f"{prefix}/{name}" for name in own}
    passed = []
    for name, value in zip(outputs, branch.output, strict=False):
        if not name:
            continue
        if not marked and value.name in made and renamed[value.name] == f"{prefix}/{value.name}":
            renamed[value.name] = name
        else:  # what it read, or gives out twice
            source = renamed.get(value.name, value.name)
            passed.append(onnx.helper.make_node("Identity", [source], [name], f"{prefix}/{name}"))
    _rename(branch, renamed)
    for node in branch.node:
        if node.name:
            node.name = f"{prefix}/{node.name}"
    return [*branch.node, *passed]


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename tensors, inside the graphs of its nodes too: ONNX forbids them to reuse a name."""
    stack = [graph]
    while stack:
        current = stack.pop()
        for value in (*current.input, *current.output, *current.initializer):
            value.name = names.get(value.name, value.name)
        for sparse in current.sparse_initializer:
            sparse.values.name = names.get(sparse.values.name, sparse.values.name)
        del current.value_info[:]
        for node in current.node:
            node.input[:] = _all_renamed(node.input, names)
            node.output[:] = _all_renamed(node.output, names)
            for attribute in node.attribute:
                stack.extend(
                    (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs)
                )


def _all_renamed(found: Iterable[str], names: dict[str, str]) -> list[str]:
    return [names.get(name, name) for name in found]


def _take_the_costlier(model: onnx.ModelProto, index: int, declared: Declared) -> dict[str, str]:
    """Inline the branch that has more multiply-accumulates; a branch that does not fit has none.

    Raises
    ------
    BadInputError
        Neither branch fits.
    """
    node = model.graph.node[index]
    outputs = [name for name in node.output if name]
    best: Resolved | None = None
    best_macs, problem = -1, BadInputError("has an If without branches")
    for taken in (True, False):
        candidate = onnx.ModelProto()
        candidate.CopyFrom(model)
        del candidate.graph.node[index + 1 :]
        del candidate.graph.output[:]
        candidate.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        _inline(candidate.graph, {index: taken}, marked=True)
        try:
            resolved = _resolved(candidate, declared)
            macs = graph_macs(_translated(resolved, "branch"))  # what stands before counts twice
        except BadInputError as error:
            problem = error if best is None else problem
            continue
        if macs > best_macs:
            best, best_macs = resolved, macs
    if best is None:
        raise problem
    what = f"If {node.name or outputs[0]!r}: {BRANCH_ASSUMED}"
    rest = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node[index + 1 :]]
    for part in ("node", "initializer", "sparse_initializer"):
        target = getattr(model.graph, part)
        del target[:]
        target.extend(getattr(best.model.graph, part))
    model.graph.node.extend(rest)
    return {**best.assumed, **dict.fromkeys(outputs, what)}
