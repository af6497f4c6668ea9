"""Segments as graphs that run fast: batch norm folded, activations in place, weights in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import fx

from planner.errors import BadInputError
from planner.runtime.compiling.folding import fold_batch_norm
from planner.runtime.compiling.tracing import aten, constant, traced, value_of
from planner.runtime.running.program import Compute, Form, Program

_IN_PLACE = {
    aten.relu.default: aten.relu_.default,
    aten.hardtanh.default: aten.hardtanh_.default,
    aten.leaky_relu.default: aten.leaky_relu_.default,
    aten.silu.default: aten.silu_.default,
    aten.gelu.default: aten.gelu_.default,
    aten.sigmoid.default: aten.sigmoid_.default,
    aten.hardswish.default: aten.hardswish_.default,
    aten.hardsigmoid.default: aten.hardsigmoid_.default,
    aten.tanh.default: aten.tanh_.default,
    aten.add.Tensor: aten.add_.Tensor,
    aten.mul.Tensor: aten.mul_.Tensor,
}
_EITHER = frozenset({aten.add.Tensor, aten.mul.Tensor})  # the arguments may change places
# What these make is theirs: a tensor of its own, of which nothing else is a view.
_FRESH = frozenset(
    {
        *(aten.conv1d.default, aten.conv2d.default, aten.conv3d.default),
        *(aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding),
        *(aten.linear.default, aten.batch_norm.default, aten.layer_norm.default, aten.cat.default),
        *(aten.max_pool2d.default, aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default),
        *_IN_PLACE,
        *_IN_PLACE.values(),
    }
)

_MANY = 8
"""Convolutions: of what was measured, models on one node gain, segments of four nodes lose."""


def compiled(program: Program, *, inductor: bool = False) -> Program:
    """The program with its segments as graphs that run fast; its values are the same.

    Parameters
    ----------
    program : Program
    inductor : bool
        Hand every graph to ``torch.compile`` as well. It compiles when it is first called, so that
        is done here, before others wait for what the program sends.

    Raises
    ------
    BadInputError
        ``torch.compile`` cannot compile here, such as without a C++ compiler.
    """

    def faster(action: Compute) -> Compute:
        module = graph_of(action, program.forms)
        in_place(module)
        pool_channels_last(module, back=not channels_last(module))
        if inductor:
            _compile(module, [program.forms[name] for name in action.reads])
        return replace(action, module=module)

    actions = tuple(faster(a) if isinstance(a, Compute) else a for a in program.actions)
    return replace(program, actions=actions)


def _compile(module: fx.GraphModule, forms: Sequence[Form]) -> None:
    module.compile(dynamic=False)
    try:
        with torch.inference_mode():
            module(*(torch.zeros(form.shape, dtype=form.dtype) for form in forms))
    except RuntimeError as error:
        why = str(error).strip().partition("\n")[0]
        raise BadInputError(f"torch.compile: {why}; --engine torch needs no compiler") from error


def graph_of(segment: Compute, forms: dict[str, Form]) -> fx.GraphModule:
    """A segment as a graph, batch norm folded: what every engine starts from."""
    module = traced(segment.module, [forms[name] for name in segment.reads])
    fold_batch_norm(module)
    return module


def in_place(module: fx.GraphModule) -> None:
    """Let operators write over what they alone read."""
    for node in module.graph.nodes:
        if node.target not in _IN_PLACE:
            continue
        if _writable(node, node.args[0]):
            node.target = _IN_PLACE[node.target]
        elif node.target in _EITHER and not node.kwargs and _writable(node, node.args[1]):
            node.args = (node.args[1], node.args[0])
            node.target = _IN_PLACE[node.target]
    module.recompile()


def _writable(node: fx.Node, source: object) -> bool:
    """Whether a node may write what it makes over one of its arguments."""
    if not isinstance(source, fx.Node) or source.target not in _FRESH:
        return False
    if set(source.users) != {node} or node.args.count(source) > 1:
        return False
    before, after = value_of(source), value_of(node)
    return before.shape == after.shape and before.dtype == after.dtype


def channels_last(module: fx.GraphModule) -> bool:
    """Lay the weights of many convolutions of images so that features lie side by side.

    Returns whether there are as many.

    What they make lies so, too, and is brought back to C order at the segment's end: where an
    exchange follows after a few of them, that costs more than it gains.
    """
    found = [
        str(node.args[1].target)
        for node in module.graph.nodes
        if node.target in (aten.conv2d.default, aten.conv2d.padding)
        and constant(node.args[1]) is not None
    ]
    if len(found) < _MANY:
        return False
    for name in found:
        weight = getattr(module, name)
        setattr(module, name, weight.to(memory_format=torch.channels_last))
    return True


def pool_channels_last(module: fx.GraphModule, *, back: bool) -> None:
    """Take every maximum over windows with features side by side.

    Torch compares numbers one by one where they lie otherwise, and takes five times as long for it
    as for a copy and a comparison of several at once. Where they lie so already the copy is none.

    Parameters
    ----------
    module : GraphModule
        Changed.
    back : bool
        Whether what follows has them in C order.
    """
    for node in list(module.graph.nodes):
        if node.target is not aten.max_pool2d.default or value_of(node).dim() != 4:
            continue
        with module.graph.inserting_before(node):
            moved = _laid(node.args[0], torch.channels_last)
        node.args = (moved, *node.args[1:])
        if back:
            with module.graph.inserting_after(node):
                ordered = _laid(node, torch.contiguous_format)
            node.replace_all_uses_with(
                ordered, delete_user_cb=lambda user, own=ordered: user != own
            )
    module.recompile()


def _laid(source: fx.Node, layout: torch.memory_format) -> fx.Node:
    """A node for the same tensor, laid out otherwise."""
    laid = source.graph.call_function(aten.contiguous.default, (source,), {"memory_format": layout})
    laid.meta["val"] = source.meta["val"]
    return laid
