"""What a module's inputs are called, and what they hold."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from planner.errors import BadInputError
from profiles.files import allowed_names
from profiles.from_torch.hygiene import import_torch

if TYPE_CHECKING:
    import torch

_WHOLE_NUMBERS = re.compile(r"(^|_)(ids?|idx|indices|index|tokens?|masks?)$")
"""Names of inputs that hold token numbers, positions or masks."""


def input_types(
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
    *,
    name: str,
    dtypes: dict[str, str] | None = None,
) -> dict[str, str]:
    """Element type per input: whole numbers by name, else what the weights have.

    Raises
    ------
    BadInputError
        A shape is empty, a type is unknown or given for an input that is not there.
    """
    torch = import_torch()
    floating = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    default = str(floating).removeprefix("torch.")
    types = {}
    for label, shape in input_shapes.items():
        if any(size < 1 for size in shape):
            raise BadInputError(f"{name}: input {label!r} has shape {shape}; sizes start at 1")
        types[label] = "int64" if _WHOLE_NUMBERS.search(label.lower()) else default
    for label, dtype in (dtypes or {}).items():
        if label not in types:
            raise BadInputError(
                f"{name}: a type is given for {label!r}, which is no input; "
                f"{allowed_names(label, types)}"
            )
        if not isinstance(getattr(torch, dtype, None), torch.dtype):
            known = sorted({str(x)[6:] for x in vars(torch).values() if isinstance(x, torch.dtype)})
            raise BadInputError(
                f"{name}: input {label!r} has the unknown type {dtype!r}; "
                f"{allowed_names(dtype, known)}"
            )
        types[label] = dtype
    return types


def takes_by_name(module: torch.nn.Module, labels: Iterable[str]) -> bool:
    """Whether every label is the name of a parameter of ``forward``."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = inspect.signature(module.forward).parameters
    return all(label in taken and taken[label].kind in kinds for label in labels)


@contextmanager
def positional(module: torch.nn.Module, labels: Iterable[str]) -> Iterator[None]:
    """Let a module be called with its inputs in the labels' order, whatever ``forward`` says."""
    names = tuple(labels)
    if not takes_by_name(module, names) or "forward" in vars(module):
        yield
        return
    original = module.forward

    def forward(*inputs: Any) -> Any:
        return original(**dict(zip(names, inputs, strict=True)))

    module.forward = forward
    try:
        yield
    finally:
        del module.forward
