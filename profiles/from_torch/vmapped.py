"""Calls inside of ``torch.vmap``, which an archive shows as one example sees them.

``_add_batch_dim`` makes one example of a tensor of all, ``_remove_batch_dim`` the tensor of all of
what was made of one. A call between them is translated as it stands; its operators then work on all
examples, whose number comes first in their shapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from profiles.from_torch.emitter import Call, Emitter, Examples
from profiles.from_torch.program import AtenNode, Ref, references
from profiles.graph import Kind, Operator, Span
from profiles.meanings.call import Shape, require

_ENTERS = "torch._functorch.predispatch._add_batch_dim"
_LEAVES = "torch._functorch.predispatch._remove_batch_dim"


@dataclass(frozen=True)
class _Step:
    """The way of a dimension of the tensor of all examples, and what the result stands for."""

    start: int
    end: int
    rank: int
    after: Examples


def examples_of(emitter: Emitter, names: Iterable[str]) -> Examples:
    """The examples that values stand for together; the outermost vmap first."""
    found: Examples = {}
    for name in names:
        found |= emitter.examples.get(name, {})
    return dict(sorted(found.items()))


def vmap_step(call: Call) -> None:
    """Into a vmap or out of it: a dimension comes to the front, or goes where it was."""
    step = _step(call.emitter, call.node)
    require(step is not None)
    assert step is not None
    order = [axis for axis in range(step.rank) if axis != step.start]
    order.insert(step.end, step.start)
    moves = () if order == sorted(order) else tuple(order)
    kind: Kind = "transpose" if moves else "identity"
    call.add(kind, call.activations, "vmap", permutation=moves)
    made = call.emitter.operators[-1]
    call.emitter.operators[-1] = _of_all(made, tuple(step.after.values()))


VMAP_STEPS = dict.fromkeys((_ENTERS, _LEAVES), vmap_step)


def over_all(emitter: Emitter, node: AtenNode, first: int) -> None:
    """Let the operators from the given one on, which stand for a call, work on all examples."""
    reads = [name for value in node.arguments.values() for name in references(value)]
    if node.target in VMAP_STEPS:
        step = _step(emitter, node)
        if step is None:
            emitter.assumed.append(f"of the vmap of {node.name}, one example is counted")
        else:
            emitter.examples[node.outputs[0]] = step.after
        return
    examples = examples_of(emitter, reads)
    if not examples:
        return
    emitter.examples.update(dict.fromkeys(node.outputs, examples))
    copies = examples_of(emitter, (name for name in reads if name in emitter.constants))
    for index in range(first, len(emitter.operators)):
        found = emitter.operators[index]
        emitter.operators[index] = _shifted(found, tuple(examples.values()), prod(copies.values()))


def _step(emitter: Emitter, node: AtenNode) -> _Step | None:
    """What such a call does; None where it is not written as torch writes it."""
    source, *numbers = node.arguments.values()
    found = [value for value in numbers if isinstance(value, int)]
    enters = node.target == _ENTERS
    if not isinstance(source, Ref) or len(found) != len(numbers) or len(found) != 3 - enters:
        return None
    before = examples_of(emitter, [source.name])
    level = found[1] if enters else found[0]
    inner = source.name if enters else next(iter(node.outputs), "")
    if inner not in emitter.values or (level in before) is enters:
        return None
    shape = emitter.values[inner].shape
    axis = found[0] if enters else found[2]
    if not -len(shape) <= axis < len(shape):
        return None
    axis %= len(shape)
    if enters:
        after = dict(sorted((before | {level: shape[axis]}).items()))
        return _Step(len(before) + axis, [*after].index(level), len(before) + len(shape), after)
    after = {other: size for other, size in before.items() if other != level}
    return _Step([*before].index(level), len(after) + axis, len(after) + len(shape), after)


def _shifted(operator: Operator, sizes: Shape, copies: int) -> Operator:
    """The operator on all examples; of a weight of their own each has a copy."""
    ahead, weight = len(sizes), operator.weight_shape
    moves = tuple(axis + ahead for axis in operator.permutation)
    return replace(
        _of_all(operator, sizes),
        axes=tuple(axis + ahead for axis in operator.axes),
        permutation=(*range(ahead), *moves) if moves else (),
        spans=((Span(),) * ahead + operator.spans) if operator.spans else (),
        weight_shape=(*weight, copies) if operator.kind == "linear" and copies > 1 else weight,
        repeated_macs=operator.repeated_macs * prod(sizes),
    )


def _of_all(operator: Operator, sizes: Shape) -> Operator:
    output = operator.output
    return replace(operator, output=replace(output, shape=(*sizes, *output.shape)))
