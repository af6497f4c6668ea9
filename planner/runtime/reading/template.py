"""One call of an operator, with the layers that it reads in place of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from planner.errors import BadInputError

Target = torch._ops.OpOverload


@dataclass(frozen=True)
class Slot:
    """The output of a layer, or a model input."""

    tensor: str


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that no input changes."""

    value: torch.Tensor


@dataclass(frozen=True, eq=False)
class Template:
    """What a layer computes.

    Attributes
    ----------
    target : OpOverload
        Of ATen, changing none of its arguments.
    arguments : dict of str to value
        By the names of the operator's schema; `Slot` and `Constant` stand for tensors.
    position : int
        Of the output that is the layer's.
    dtype : torch.dtype
        Of what the call makes.
    """

    target: Target
    arguments: dict[str, Any]
    position: int = 0
    dtype: torch.dtype = torch.float32

    def constant_of(self, numbers: NDArray[np.float64]) -> torch.Tensor:
        """Numbers as a tensor of the type that the call makes."""
        return torch.from_numpy(numbers).to(self.dtype)

    @property
    def base(self) -> str:
        """``conv2d`` of ``aten.conv2d.default``."""
        return self.target._schema.name.partition("::")[2]

    @property
    def slots(self) -> tuple[str, ...]:
        """The tensors that it reads, each once."""
        found = (leaf.tensor for leaf in leaves(self.arguments) if isinstance(leaf, Slot))
        return tuple(dict.fromkeys(found))

    def slot(self, name: str) -> str | None:
        """The tensor that an argument is, if it is one."""
        found = self.arguments.get(name)
        return found.tensor if isinstance(found, Slot) else None

    def constant(self, name: str) -> torch.Tensor | None:
        """The constant that an argument is, if it is one."""
        found = self.arguments.get(name)
        return found.value if isinstance(found, Constant) else None

    def value(self, name: str, default: Any = None) -> Any:
        """A plain argument; the schema's default, then this one, where it is left out."""
        found = self.arguments.get(name)
        if found is None:
            for argument in self.target._schema.arguments:
                if argument.name == name and argument.default_value is not None:
                    found = argument.default_value
        return default if found is None else found


def leaves(item: Any) -> Iterator[Any]:
    """Everything in an argument that is no container."""
    if isinstance(item, dict):
        item = list(item.values())
    if isinstance(item, (list, tuple)):
        for part in item:
            yield from leaves(part)
    else:
        yield item


def replaced(item: Any, change: Callable[[Any], Any]) -> Any:
    """An argument with every leaf changed."""
    if isinstance(item, dict):
        return {key: replaced(part, change) for key, part in item.items()}
    if isinstance(item, (list, tuple)):
        return [replaced(part, change) for part in item]
    return change(item)


def named_arguments(
    target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """All arguments by the names of the schema."""
    names = [argument.name for argument in target._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def called(target: Target, arguments: dict[str, Any]) -> Any:
    """Call an operator with arguments by name."""
    return target(**arguments)


def functional(target: Target, where: str) -> Target:
    """The operator that returns what this one would write into its first argument.

    Raises
    ------
    BadInputError
        There is none; the line begins with ``where``.
    """
    namespace, _, name = target._schema.name.partition("::")
    if not name.endswith("_") or name.endswith("__"):
        return target
    packet = getattr(getattr(torch.ops, namespace), name.rstrip("_"), None)
    overload = target._overloadname
    if packet is None or overload not in packet.overloads():
        raise BadInputError(f"{where}: the runtime does not know the operator {target}")
    found = getattr(packet, overload)
    assert isinstance(found, Target)
    return found


def aten(name: str) -> Target:
    """The operator of ATen called ``conv2d.default``."""
    base, _, overload = name.partition(".")
    found = getattr(getattr(torch.ops.aten, base), overload)
    assert isinstance(found, Target)
    return found
