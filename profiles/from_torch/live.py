"""A live exported program of torch as plain data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from profiles.from_torch.opened import dimension, is_open, open_size
from profiles.from_torch.program import (
    CHOICE,
    SAME,
    WRAPPERS,
    AtenNode,
    AtenProgram,
    Body,
    Ref,
    TensorMeta,
    Value,
    inlined,
)


def read_program(exported: Any, input_names: tuple[str, ...]) -> AtenProgram:
    """Read ``torch.export``'s result.

    Parameters
    ----------
    exported : torch.export.ExportedProgram
    input_names : tuple of str
        What the profile calls the user's tensors, in the order of the graph's inputs.
    """
    signature = exported.graph_signature
    body = _body(exported.graph_module)
    tensors = [
        name for name in signature.user_inputs if isinstance(name, str) and name in body.values
    ]
    return AtenProgram(
        body=body,
        inputs=dict(zip(tensors, input_names, strict=False)),
        parameters=frozenset(signature.inputs_to_parameters),
        constants=frozenset(signature.inputs_to_buffers)
        | frozenset(signature.inputs_to_lifted_tensor_constants),
    )


def read_trace(
    graph_module: Any, input_names: tuple[str, ...], parameters: dict[str, Any]
) -> AtenProgram:
    """Read a graph that holds its own tensors.

    Parameters
    ----------
    graph_module : torch.fx.GraphModule
    input_names : tuple of str
        What the profile calls the inputs, in order.
    parameters : dict of str to Tensor
        The module's, by name.
    """
    body = _body(graph_module)
    first: dict[int, str] = {}
    names = {id(parameter): name for name, parameter in parameters.items()}
    nodes, trained, stored, values = [], set(), set(), dict(body.values)
    for node in graph_module.graph.nodes:
        if node.op != "get_attr":
            continue
        value = getattr(graph_module, node.target)
        values.update(_metas([(node.name, value)]))
        name = first.setdefault(id(value), node.name)
        if name != node.name:
            nodes.append(AtenNode(node.name, SAME, {"self": Ref(name)}, (node.name,)))
        elif id(value) in names:
            trained.add(name)
        elif name in values:
            stored.add(name)
    return AtenProgram(
        body=Body(body.inputs, (*nodes, *body.nodes), body.outputs, values),
        inputs=dict(zip(body.inputs, input_names, strict=True)),
        parameters=frozenset(trained),
        constants=frozenset(stored),
        alike=_alike({names[key]: name for key, name in first.items() if key in names}, parameters),
    )


def _alike(read: dict[str, str], parameters: dict[str, Any]) -> dict[str, int]:
    """How many parameters that are not read differ from one that is by a number in their names."""
    by_pattern: dict[tuple[str, Any], str] = {}
    for name, value in read.items():
        for pattern in _without_a_number(name):
            by_pattern.setdefault((pattern, parameters[name].shape), value)
    found: Counter[str] = Counter()
    for name in parameters.keys() - read.keys():
        for pattern in _without_a_number(name):
            if (other := by_pattern.get((pattern, parameters[name].shape))) is not None:
                found[other] += 1
                break
    return dict(found)


def _without_a_number(name: str) -> list[str]:
    """A name with one of its numbers left open, the last first."""
    spans = [match.span() for match in re.finditer(r"\d+", name)]
    return [f"{name[:start]}#{name[end:]}" for start, end in reversed(spans)]


def _body(graph_module: Any) -> Body:
    nodes: list[AtenNode] = []
    values: dict[str, TensorMeta] = {}
    inputs: list[str] = []
    outputs: tuple[str, ...] = ()
    for node in graph_module.graph.nodes:
        if node.op == "placeholder":
            inputs.append(node.name)
            values.update(_metas([(node.name, node.meta.get("val"))]))
        elif node.op == "output":
            outputs = tuple(item.name for item in _flatten(node.args) if hasattr(item, "name"))
        elif node.op == "call_function":
            made, metas = _call(graph_module, node)
            nodes.extend(made)
            values.update(metas)
    return Body(tuple(inputs), tuple(nodes), outputs, values)


def _call(graph_module: Any, node: Any) -> tuple[list[AtenNode], dict[str, TensorMeta]]:
    target = _target(node.target)
    if target == "_operator.getitem":
        return [], {}  # the outputs of the node that it reads
    named, extra = _outputs(node)
    values = _metas(named)
    outputs = tuple(name for name, _ in named)
    if target in WRAPPERS:
        bodies = [_submodule(graph_module, argument) for argument in node.args]
        (position,) = [i for i, body in enumerate(bodies) if body is not None][:1]
        here = AtenNode(node.name, target, {}, outputs, _module_path(node))
        arguments = tuple(_value(item) for item in node.args[position + 1 :])
        made, inner = inlined(_body(bodies[position]), here, arguments)
        return [*made, *extra], {**values, **inner}
    if target == CHOICE:
        branches = tuple(_body(_submodule(graph_module, item)) for item in node.args[1:3])
        read = {"predicate": _value(node.args[0]), "operands": _value(node.args[3])}
        here = AtenNode(node.name, target, read, outputs, _module_path(node), branches)
        return [here, *extra], values
    here = AtenNode(node.name, target, _arguments(node), outputs, _module_path(node))
    return [here, *extra], values


def _outputs(node: Any) -> tuple[list[tuple[str, Any]], list[AtenNode]]:
    """Names and values of a node's outputs; nodes for further names of the same output."""
    value = node.meta.get("val")
    if not isinstance(value, (tuple, list)):
        return [(node.name, value)], []
    named = {index: f"{node.name}_unused_{index}" for index in range(len(value))}
    taken: dict[int, str] = {}
    extra = []
    for user in node.users:
        if _target(user.target) != "_operator.getitem" or user.args[0] is not node:
            continue
        index = user.args[1]
        if index in taken:
            extra.append(AtenNode(user.name, SAME, {"self": Ref(taken[index])}, (user.name,)))
        else:
            taken[index] = named[index] = user.name
    return [(named[index], item) for index, item in enumerate(value)], extra


def _target(target: Any) -> str:
    """``aten.relu`` of ``aten.relu.default``; a higher-order operator's own name."""
    if hasattr(target, "_schema"):
        return str(target).removesuffix(".default")
    name = getattr(target, "__name__", str(target))
    return f"_operator.{name}" if getattr(target, "__module__", "") == "_operator" else str(name)


def _arguments(node: Any) -> dict[str, Value]:
    """All arguments by the names of the schema, or by position where there is none."""
    schema = getattr(node.target, "_schema", None)
    names = [argument.name for argument in schema.arguments] if schema else []
    names += [str(index) for index in range(len(names), len(node.args))]
    found = {name: _value(item) for name, item in zip(names, node.args, strict=False)}
    found.update((name, _value(item)) for name, item in node.kwargs.items())
    return found


def _value(item: Any) -> Value:
    if isinstance(item, (bool, int, float, str)):
        return item
    if isinstance(item, (tuple, list)):
        return tuple(_value(part) for part in item)
    if hasattr(item, "op") and hasattr(item, "name"):
        value = item.meta.get("val")
        if is_open(value):
            return open_size(value)
        return value if type(value) is int else Ref(item.name)
    return None


def _submodule(graph_module: Any, argument: Any) -> Any:
    if getattr(argument, "op", "") != "get_attr":
        return None
    return getattr(graph_module, argument.target)


def _metas(named: Iterable[tuple[str, Any]]) -> dict[str, TensorMeta]:
    return {
        name: TensorMeta(
            tuple(dimension(size) for size in value.shape),
            str(value.dtype).removeprefix("torch."),
            value.dtype.itemsize,
        )
        for name, value in named
        if hasattr(value, "shape") and hasattr(value, "dtype")
    }


def _module_path(node: Any) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _flatten(items: Any) -> list[Any]:
    if isinstance(items, (tuple, list)):
        return [leaf for item in items for leaf in _flatten(item)]
    return [items]
