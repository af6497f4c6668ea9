"""What a step computes: pure functions of its operands, weights and partial results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from planner.runtime.reading.template import aten, replaced
from planner.runtime.running.operands import picked
from planner.runtime.running.partial import NUMBERS, Part, begin, finish
from planner.runtime.running.records import Ref, Step
from planner.runtime.running.resampling import resampled

KERNELS = frozenset({"none", "take", "add", "aten", "resample", *NUMBERS})
"""What a step can be (`planner.runtime.running.records.Step`)."""


def part_name(layer: str, teller: str) -> str:
    """What every node calls a node's partial result of a layer."""
    return f"{layer}/part of {teller}"


def partial(step: Step, operands: Sequence[torch.Tensor]) -> torch.Tensor:
    """A node's own partial result, flat."""
    own = operands[step.arguments["self"].operand]
    return begin(step.kernel, own, step.arguments["dims"], step.arguments.get("dtype")).reshape(-1)


def resolved(
    step: Step, operands: Sequence[torch.Tensor], weights: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """A step's arguments, with tensors in place of what stands for them."""

    def leaf(item: Any) -> Any:
        if not isinstance(item, Ref):
            return item
        if item.operand is not None:
            return operands[item.operand]
        assert item.weight is not None
        return weights[item.weight]

    return {key: replaced(value, leaf) for key, value in step.arguments.items()}


def computed(
    step: Step,
    operands: Sequence[torch.Tensor],
    arguments: dict[str, Any],
    parts: Sequence[Part] = (),
) -> torch.Tensor:
    """What a step's operator makes, all of it.

    Parameters
    ----------
    step : Step
        Of any kernel but ``none``.
    operands : sequence of tensors
    arguments : dict
        As `resolved` has them.
    parts : sequence of Part
        All nodes' partial results in the order of ``step.told``, flat; where the step has any.
    """
    if step.kernel == "take":
        return operands[0]
    if step.kernel == "add":
        return torch.stack(list(operands)).sum(0)
    if step.kernel == "resample":
        return resampled(arguments["self"], arguments["matrices"])
    if step.kernel == "aten":
        made = aten(step.target)(**arguments)
        made = made[step.position] if isinstance(made, (list, tuple)) else made
        assert isinstance(made, torch.Tensor)
        return made
    own, shape = step.arguments["self"], step.arguments["part_shape"]
    x = None if own is None else operands[own.operand]
    shaped = [(count, part.reshape(shape)) for count, part in parts]
    return finish(step.kernel, shaped, x, arguments)


def kept(step: Step, made: torch.Tensor) -> torch.Tensor:
    """What a step stores of what its operator makes, in its shape."""
    return picked(step, made).reshape(step.shape)
