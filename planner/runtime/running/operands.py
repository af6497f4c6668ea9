"""Tensors that a node puts together from what it holds, in operators that can be traced."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from planner.runtime.running.records import Join, Operand, Pad, Pattern, Source, Step, Take, View


def assemble(operand: Operand, found: Sequence[torch.Tensor]) -> torch.Tensor:
    """The operand from its sources.

    Parameters
    ----------
    operand : Operand
    found : sequence of tensors
        Its sources, in order, of any shape.
    """
    return arranged(operand.pattern, found, operand.fill).reshape(operand.shape)


def picked(step: Step, made: torch.Tensor) -> torch.Tensor:
    """What a step keeps of what its operator makes, in any shape of as many elements."""
    return made if step.picks is None else arranged(step.picks, [made])


def arranged(
    pattern: Pattern, found: Sequence[torch.Tensor], fill: float | None = None
) -> torch.Tensor:
    """The tensor of a pattern: a view where it is one, else as few copies as it takes.

    Parameters
    ----------
    pattern : Pattern
    found : sequence of tensors
        The sources, by number.
    fill : float, optional
        What padding is.
    """
    if isinstance(pattern, Source):
        return found[pattern.number]
    if isinstance(pattern, Join):
        return torch.cat([arranged(part, found, fill) for part in pattern.of], pattern.axis)
    made = arranged(pattern.of, found, fill)
    if isinstance(pattern, Pad):
        entries = [entry for pair in reversed(pattern.entries) for entry in pair]
        return torch.nn.functional.pad(made, entries, value=fill)
    return _viewed(pattern, made)


def _viewed(view: View, x: torch.Tensor) -> torch.Tensor:
    x = x.reshape(view.split)
    for axis, (take, size) in enumerate(zip(view.takes, view.split, strict=True)):
        x = _taken(x, axis, take, size)
    if view.order != tuple(range(len(view.order))):
        x = x.permute(view.order)
    if x.shape != view.sizes:
        x = x.expand(view.sizes)
    return x.reshape(view.shape)


def _taken(x: torch.Tensor, axis: int, take: Take, size: int) -> torch.Tensor:
    if isinstance(take, torch.Tensor):
        return x.index_select(axis, take)
    start, stop, step = take
    if step != 1:
        return x[(*[slice(None)] * axis, slice(start, stop, step))]
    return x if stop - start == size else x.narrow(axis, start, stop - start)
