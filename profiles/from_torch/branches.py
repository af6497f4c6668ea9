"""Calls that run one of two graphs: the one with more work stands for them, which is assumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planner.errors import BadInputError
from profiles.from_torch.program import (
    AtenNode,
    AtenProgram,
    Body,
    Ref,
    TensorMeta,
    inlined,
)


def with_costlier(
    program: AtenProgram, macs_of: Callable[[AtenProgram], int]
) -> tuple[AtenProgram, tuple[str, ...]]:
    """The program with a branch in place of every choice.

    Parameters
    ----------
    program : AtenProgram
    macs_of : callable
        Work of a program; a `BadInputError` where it has none.

    Returns
    -------
    AtenProgram
    tuple of str
        Names of the calls that choose.
    """
    if not any(node.branches for node in program.body.nodes):
        return program, ()
    fixed = program.parameters | program.constants
    nodes: list[AtenNode] = []
    values: dict[str, TensorMeta] = dict(program.body.values)
    chosen = []
    for node in program.body.nodes:
        if not node.branches:
            nodes.append(node)
            continue
        given = node.arguments.get("operands")
        operands = given if isinstance(given, tuple) else (given,)
        known = {
            name
            for body in node.branches
            for name, operand in zip(body.inputs, operands, strict=False)
            if isinstance(operand, Ref) and operand.name in fixed
        }
        costlier = max(node.branches, key=lambda body: _macs(body, known, macs_of))
        made, inner = inlined(costlier, node, operands)
        nodes += made
        values |= inner
        chosen.append(node.name)
    body = replace(program.body, nodes=tuple(nodes), values=values)
    further, more = with_costlier(replace(program, body=body), macs_of)
    return further, (*chosen, *more)


def _macs(body: Body, fixed: set[str], macs_of: Callable[[AtenProgram], int]) -> int:
    named = [name for name in body.inputs if name in body.values]
    program = AtenProgram(
        body,
        inputs={name: name for name in named if name not in fixed},
        parameters=frozenset(name for name in named if name in fixed),
    )
    try:
        return macs_of(program)
    except BadInputError:
        return 0
