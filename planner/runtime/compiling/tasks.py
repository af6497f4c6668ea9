"""What a segment is made of: gather a tensor, begin a partial result, finish a layer.

Values have names of their own: what a later step stores under the same key is another value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch

from planner.runtime.running.kernels import computed, kept, partial, resolved
from planner.runtime.running.operands import assemble
from planner.runtime.running.records import Operand, Step

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Gathered:
    """An operand whose sources are values of the node, or weights of its own.

    Attributes
    ----------
    operand : Operand
        Its sources are names of values and weights.
    weights : dict of str to tensor
    """

    operand: Operand
    weights: dict[str, torch.Tensor]

    @property
    def reads(self) -> tuple[str, ...]:
        """The values."""
        return tuple(name for name in self.operand.sources if name not in self.weights)

    @property
    def key(self) -> tuple[object, ...]:
        """The same where the same elements are put together."""
        item = self.operand
        return item.sources, _key(item.pattern), tuple(item.shape), item.fill

    def __call__(self, values: Tensors, weights: Tensors) -> torch.Tensor:
        """The tensor."""
        return assemble(
            self.operand,
            [weights[n] if n in self.weights else values[n] for n in self.operand.sources],
        )


@dataclass(frozen=True, eq=False)
class Gather:
    """Make a message's content, or an operand that several tasks read."""

    stretch: str
    makes: str
    of: Gathered
    flat: bool

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that it is made of."""
        return self.of.reads

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights that it is made of."""
        return self.of.weights

    def __call__(self, values: Tensors, weights: Tensors) -> torch.Tensor:
        """The value."""
        made = self.of(values, weights)
        return made.reshape(-1) if self.flat else made


@dataclass(frozen=True, eq=False)
class Begin:
    """Make the node's own partial result of a layer, from its operands."""

    stretch: str
    makes: str
    step: Step
    reads: tuple[str, ...]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """None."""
        return {}

    def __call__(self, values: Tensors, weights: Tensors) -> torch.Tensor:
        """The value."""
        return partial(self.step, [values[name] for name in self.reads])


@dataclass(frozen=True, eq=False)
class Finish:
    """Make what a step stores.

    Attributes
    ----------
    stretch, makes : str
    step : Step
    operands : tuple of Gathered
    parts : tuple of (int, str)
        Elements that each partial result is of, and the value that it is.
    """

    stretch: str
    makes: str
    step: Step
    operands: tuple[Gathered, ...]
    parts: tuple[tuple[int, str], ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The values of its operands, and the partial results."""
        found = [name for item in self.operands for name in item.reads]
        return (*found, *(name for _, name in self.parts))

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """All weights that it computes with, by `weight_name`."""
        own = {weight_name(self.step, key): value for key, value in self.step.weights.items()}
        return own | {key: value for item in self.operands for key, value in item.weights.items()}

    def __call__(self, values: Tensors, weights: Tensors) -> torch.Tensor:
        """The value."""
        operands = [item(values, weights) for item in self.operands]
        own = {key: weights[weight_name(self.step, key)] for key in self.step.weights}
        arguments = resolved(self.step, operands, own)
        parts = [(count, values[name]) for count, name in self.parts]
        return kept(self.step, computed(self.step, operands, arguments, parts))


Task = Gather | Begin | Finish


def weight_name(step: Step, key: str) -> str:
    """What a step's weight is called on its node."""
    return f"{step.layer}/{key}"


def _key(item: Any) -> Any:
    """The same for equal patterns."""
    if isinstance(item, torch.Tensor):
        return item.numpy().tobytes()
    if isinstance(item, tuple):
        return tuple(map(_key, item))
    if is_dataclass(item):
        return type(item).__name__, *map(_key, vars(item).values())
    return item
