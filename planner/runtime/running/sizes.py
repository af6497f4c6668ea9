"""Whether what nodes read is there and as large as they read it: a run in numbers of elements."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from planner.errors import BadInputError
from planner.runtime.running.records import Join, Operand, Pattern, Source, View
from planner.runtime.running.slices import Slices

Sizes = dict[str, int]
"""Elements of what a node holds, by name."""


def check_sizes(slices: Slices, messages: Mapping[str, int] | None = None) -> None:
    """Follow all stretches without running any; what comes from files may say anything.

    Parameters
    ----------
    slices : Slices
    messages : mapping of str to int, optional
        Elements of what nodes send that are not among the slices, where one node's are alone.

    Raises
    ------
    BadInputError
        An operand or a message reads what its node does not hold then, or holds in another size,
        or a node waits for what nobody has sent; names node and step.
    """
    inputs = {name: prod(shape) for name, (shape, _) in slices.inputs.items()}
    held: dict[str, Sizes] = {}
    for name, node in slices.nodes.items():
        weights = {
            f"{step.layer}/{key}": value.numel()
            for step in node.steps.values()
            for key, value in step.weights.items()
        }
        held[name] = weights | (inputs if name in slices.input_nodes else {})
    sent: dict[tuple[str, str, str], int] = {}
    for stretch in slices.stretches:
        nodes = [slices.nodes[name] for name in stretch.nodes if name in slices.nodes]
        steps = [(node.name, node.steps.get(stretch.name)) for node in nodes]
        for name, step in steps:
            where = f"node {name!r}, step {stretch.name!r}"
            for item in step.sends if step else ():
                _check_operand(item.content, held[name], f"{where}, message {item.message!r}")
                sent[name, item.receiver, item.message] = prod(item.content.shape)
        for name, step in steps:
            where = f"node {name!r}, step {stretch.name!r}"
            if step is None:
                continue
            for get in step.receives:
                size = sent.pop((get.sender, name, get.message), None)
                if get.sender not in slices.nodes:
                    size = (messages or {}).get(get.message)
                if size is None:
                    raise BadInputError(f"{where}: nobody has sent {get.message!r}")
                held[name][get.message] = size
            for number, operand in enumerate(step.operands):
                _check_operand(operand, held[name], f"{where}, operand {number}")
            if step.kernel != "none":
                held[name][step.layer] = prod(step.shape)
            for gone in step.frees:
                held[name].pop(gone, None)


def _check_operand(operand: Operand, held: Mapping[str, int], where: str) -> None:
    sizes = []
    for name in operand.sources:
        if name not in held:
            raise BadInputError(f"{where}: the node does not hold {name!r}")
        sizes.append(held[name])
    for number, wanted in _read(operand.pattern, prod(operand.shape)):
        if sizes[number] != wanted:
            raise BadInputError(
                f"{where}: {operand.sources[number]!r} has {sizes[number]} elements and is read "
                f"as {wanted}"
            )


def _read(pattern: Pattern, elements: int) -> list[tuple[int, int]]:
    """Every source that is read, and as how many elements."""
    if isinstance(pattern, Source):
        return [(pattern.number, elements)]
    if isinstance(pattern, Join):
        return [found for part in pattern.of for found in _read(part, elements)]
    inner = prod(pattern.split) if isinstance(pattern, View) else elements
    return _read(pattern.of, inner)
