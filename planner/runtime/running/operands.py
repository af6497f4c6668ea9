"""Tensors that a node puts together from what it holds, in operators that can be traced."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from planner.runtime.running.records import Operand, Step


def assemble(operand: Operand, found: Sequence[torch.Tensor]) -> torch.Tensor:
    """The operand from its sources.

    Parameters
    ----------
    operand : Operand
    found : sequence of tensors
        Its sources, in order, of any shape.
    """
    if len(found) == 1 and operand.index is None:
        return found[0].reshape(operand.shape)
    flat = [item.reshape(-1) for item in found]
    if operand.fill is not None:
        flat.append(flat[0].new_full((1,), operand.fill))  # the last one, where −1 leads to
    whole = flat[0] if len(flat) == 1 else torch.cat(flat)
    whole = whole if operand.index is None else whole[operand.index.long()]
    return whole.reshape(operand.shape)


def picked(step: Step, made: torch.Tensor) -> torch.Tensor:
    """What a step keeps of what its operator makes, in any shape of as many elements."""
    return made if step.picks is None else made.reshape(-1)[step.picks.long()]
