"""The exported graph as one call per layer, with every constant worked out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.runtime.reading.composite import expanded
from planner.runtime.reading.template import (
    Constant,
    Slot,
    Template,
    aten,
    functional,
    named_arguments,
)
from planner.runtime.reading.traced import TracedCall, TracedModel

_INLINED = frozenset({"wrap_with_set_grad_enabled", "wrap_with_autocast"})
"""Operators that run a graph once, as it is."""

_CASTS = frozenset({"to", "_to_copy", "type_as"})
_ELSEWHERE = frozenset({"device", "layout", "memory_format", "non_blocking", "pin_memory"})
"""Arguments that say where and how a tensor is stored, not what it holds."""


@dataclass(frozen=True)
class _Activation:
    """Stands for a value that depends on the inputs, while constants are worked out."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def read_layers(traced: TracedModel) -> dict[str, Template]:
    """Every layer's call, by the layer's name.

    Raises
    ------
    BadInputError
        A layer comes of a call that the runtime cannot follow, or the module's parameters are
        not those that were traced.
    """
    reader = _Reader(traced)
    reader.walk(traced.program.graph_module, "", _stored(traced))
    for layer in traced.profile.layers:
        if layer.name not in reader.found:
            raise BadInputError(
                f"layer {layer.name!r} ({layer.op}): the runtime cannot run it: "
                "it writes into a part of a tensor"
            )
    return reader.found


def _stored(traced: TracedModel) -> dict[str, Any]:
    """The module's parameters and buffers as they are now, by their names in the graph."""
    signature = traced.program.graph_signature
    live: dict[str, torch.Tensor] = dict(traced.module.named_parameters(remove_duplicate=False))
    live |= dict(traced.module.named_buffers(remove_duplicate=False))
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    values: dict[str, Any] = {}
    for name, path in named.items():
        found = live.get(path)
        if found is None or found.is_meta:
            what = "has no values" if found is not None else "is gone"
            raise BadInputError(
                f"{traced.profile.name}: {path!r} {what}: trace the model with its weights again"
            )
        values[name] = found.detach()
    for name, path in signature.inputs_to_lifted_tensor_constants.items():
        constant = traced.program.constants[path]
        assert isinstance(constant, torch.Tensor)
        values[name] = constant.detach()
    return values


class _Reader:
    def __init__(self, traced: TracedModel) -> None:
        self.found: dict[str, Template] = {}
        self._traced = traced
        self._profile: ModelProfile = traced.profile
        self._calls = {call.node: call for call in traced.calls}

    def walk(self, graph_module: Any, prefix: str, given: Mapping[str, Any]) -> list[Any]:
        """Go through a graph; returns its outputs."""
        values: dict[Any, Any] = {}
        for node in graph_module.graph.nodes:
            if node.op == "placeholder":
                values[node] = given.get(node.name, _activation(node))
            elif node.op == "get_attr":
                values[node] = getattr(graph_module, node.target)
            elif node.op == "output":
                return [values.get(item, item) for item in _flat(node.args)]
            else:
                values[node] = self._call(node, prefix, values)
        return []

    def _call(self, node: Any, prefix: str, values: dict[Any, Any]) -> Any:
        name = getattr(node.target, "__name__", "")
        if name == "getitem":
            whole = values[node.args[0]]
            return _activation(node) if isinstance(whole, _Activation) else whole[node.args[1]]
        if name in _INLINED:
            return self._inline(node, prefix, values)
        record = self._calls.get(prefix + node.name)
        if record is not None:
            self._read(record, node, prefix, values)
            return _activation(node)
        if not isinstance(node.target, torch._ops.OpOverload):
            return None
        if not isinstance(node.meta.get("val"), (torch.Tensor, tuple, list)):
            return None  # a check, a size
        return self._constant(node, values)

    def _inline(self, node: Any, prefix: str, values: dict[Any, Any]) -> Any:
        position = next(
            i for i, item in enumerate(node.args) if isinstance(values.get(item), torch.nn.Module)
        )
        body = values[node.args[position]]
        inner = [item for item in body.graph.nodes if item.op == "placeholder"]
        outer = [values.get(item, item) for item in node.args[position + 1 :]]
        given = {item.name: value for item, value in zip(inner, outer, strict=True)}
        return self.walk(body, f"{prefix}{node.name}.", given)

    def _constant(self, node: Any, values: dict[Any, Any]) -> Any:
        """Run a call that depends on no input; of an activation it can take the shape only."""

        def value(item: Any) -> Any:
            found = values.get(item, item) if isinstance(item, torch.fx.Node) else item
            if isinstance(found, _Activation):
                return torch.empty(found.shape, dtype=found.dtype)
            return found

        args = torch.fx.map_arg(node.args, value)
        kwargs = torch.fx.map_arg(node.kwargs, value)
        with torch.no_grad():
            return node.target(*args, **kwargs)

    def _read(self, record: TracedCall, node: Any, prefix: str, values: dict[Any, Any]) -> None:
        """One template for each layer that stands for the call."""

        def value(item: Any) -> Any:
            if not isinstance(item, torch.fx.Node):
                return item
            label = record.reads.get(prefix + item.name)
            if label is not None:
                return Slot(label)
            found = values.get(item)
            if isinstance(found, torch.Tensor):
                # a later call may write into what is no parameter
                return Constant(found if item.op == "placeholder" else found.clone())
            return found

        where = f"layer {record.layers[-1]!r}" if record.layers else f"node {node.name!r}"
        if not isinstance(node.target, torch._ops.OpOverload):
            raise BadInputError(f"{where}: the runtime does not know the operator {node.target}")
        target = functional(node.target, where)
        arguments = named_arguments(target, node.args, node.kwargs)
        if target._schema.name.partition("::")[2] in _CASTS:
            target = aten("to.dtype")
            arguments = {"self": arguments["self"], "dtype": node.meta["val"].dtype}
        arguments = {k: v for k, v in arguments.items() if k not in _ELSEWHERE}
        arguments = {key: _mapped(item, value) for key, item in arguments.items()}
        made = _activation(node)
        template = Template(target, arguments, dtype=made.dtype if made else torch.float32)
        if set(record.outputs) == set(record.layers):
            for label, position in record.outputs.items():
                self.found[label] = replace(template, position=position)
            return
        for label in record.layers:
            layer = next(item for item in self._profile.layers if item.name == label)
            self.found[label] = expanded(layer, self._traced.layers[label], template)


def _mapped(item: Any, value: Any) -> Any:
    """An argument with every node of the graph replaced."""
    if isinstance(item, (list, tuple)):
        return [_mapped(part, value) for part in item]
    return value(item)


def _activation(node: Any) -> _Activation | None:
    value = node.meta.get("val")
    if isinstance(value, (tuple, list)):
        value = next((item for item in value if isinstance(item, torch.Tensor)), None)
    if not isinstance(value, torch.Tensor):
        return None
    return _Activation(tuple(value.shape), value.dtype)


def _flat(items: Any) -> Iterator[Any]:
    if isinstance(items, (tuple, list)):
        for item in items:
            yield from _flat(item)
    else:
        yield items
