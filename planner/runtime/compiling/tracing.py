"""A segment as a graph of ATen operators, without what does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from planner.runtime.running.program import Form

aten = torch.ops.aten

_CASTS = frozenset(
    {aten.reshape.default, aten.view.default, aten.contiguous.default, aten.to.dtype}
)


def traced(module: torch.nn.Module, forms: Sequence[Form]) -> fx.GraphModule:
    """What a module computes, its tensors as they are.

    Parameters
    ----------
    module : torch.nn.Module
        Called with tensors, returns a tuple of tensors.
    forms : sequence of Form
        Of what it is called with.
    """
    trace = make_fx(module, tracing_mode="fake", pre_dispatch=True, _allow_non_fake_inputs=True)
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        given = [torch.empty(form.shape, dtype=form.dtype) for form in forms]
        found: fx.GraphModule = trace(*given)
    return tidied(found)


def tidied(module: fx.GraphModule) -> fx.GraphModule:
    """Without reshapes and casts to what is there already."""
    for node in list(module.graph.nodes):
        source = _same(node)
        if source is not None:
            node.replace_all_uses_with(source)
    module.graph.eliminate_dead_code()
    for node in module.graph.nodes:
        if node.target is aten.reshape.default and node.args[0].target is node.target:
            node.args = (node.args[0].args[0], *node.args[1:])  # only the last shape matters
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def constant(node: Any) -> torch.Tensor | None:
    """The tensor that a node of a graph stands for, where it stands for one."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    found = attrgetter(str(node.target))(node.graph.owning_module)
    assert isinstance(found, torch.Tensor)
    return found


def with_constant(before: fx.Node, name: str, value: torch.Tensor) -> fx.Node:
    """A node for a new tensor of the module, in front of another node."""
    module = before.graph.owning_module
    assert module is not None
    label = f"{name}{sum(key.startswith(name) for key in dict(module.named_buffers()))}"
    module.register_buffer(label, value)
    with before.graph.inserting_before(before):
        return before.graph.get_attr(label)


def value_of(node: fx.Node) -> torch.Tensor:
    """What a node makes, without its elements."""
    constant_there = constant(node)
    found = node.meta["val"] if constant_there is None else constant_there
    assert isinstance(found, torch.Tensor)
    return found


def _same(node: fx.Node) -> fx.Node | None:
    """The node whose value this one hands on unchanged."""
    if node.op != "call_function" or not node.args or not isinstance(node.args[0], fx.Node):
        return None
    source = node.args[0]
    if node.target in _CASTS:
        before, after = value_of(source), value_of(node)
        as_before = before.shape == after.shape and before.dtype == after.dtype
        return source if as_before and before.is_contiguous() else None
    return source if node.target is aten.dropout.default and not node.args[2] else None
