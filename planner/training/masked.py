"""A tensor of a torch module that reads as its values where a mask is true, and as 0 elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class SubRowMask(nn.Module):
    """Zero where the mask is false, in value and in gradient, whatever the optimizer does."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with zeros; what lies under them may be anything, NaN included."""
        return torch.where(self.mask, weight, 0)


def attach(model: nn.Module, name: str) -> SubRowMask:
    """Give a parameter a mask that is true everywhere; the parameter stays the same object.

    Parameters
    ----------
    model : torch.nn.Module
    name : str
        As ``model.state_dict()`` has it.
    """
    module, leaf = _owner(model, name)
    mask = SubRowMask(torch.ones_like(getattr(module, leaf), dtype=torch.bool))
    parametrize.register_parametrization(module, leaf, mask)
    return mask


def detach(model: nn.Module, name: str) -> None:
    """Leave a plain parameter that is 0 where the mask was false.

    Where other modules hold it in common, it keeps its values, and this module gets its own.
    """
    module, leaf = _owner(model, name)
    original = stored(model, name)
    if _readers(model, original) == 1:
        parametrize.remove_parametrizations(module, leaf, leave_parametrized=True)
        return
    values = getattr(module, leaf).detach().clone()
    parametrize.remove_parametrizations(module, leaf, leave_parametrized=False)
    setattr(module, leaf, nn.Parameter(values, requires_grad=original.requires_grad))


def stored(model: nn.Module, name: str) -> Tensor:
    """What a masked parameter stores, and the optimizer steps."""
    module, leaf = _owner(model, name)
    lists = cast(nn.ModuleDict, module.parametrizations)
    return cast(Tensor, lists[leaf].original)


def masked(model: nn.Module, name: str) -> Tensor:
    """What a masked parameter reads as, without a gradient."""
    module, leaf = _owner(model, name)
    return cast(Tensor, getattr(module, leaf)).detach()


def read_apart(model: nn.Module) -> set[str]:
    """Names of the parameters that several modules hold in common: each can have its own mask."""
    names = first_names(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    readers = Counter(id(parameters[name]) for name in set(names.values()))
    return {name for name in names if readers[id(parameters[names[name]])] > 1}


def first_names(model: nn.Module) -> dict[str, str]:
    """The first of the names by which each parameter of a module is known, by all of them.

    A module that has several names has one mask.
    """
    first: dict[tuple[int, str], str] = {}
    names = {}
    for path, module in model.named_modules(remove_duplicate=False):
        for leaf, _ in module.named_parameters(recurse=False, remove_duplicate=False):
            name = f"{path}.{leaf}" if path else leaf
            names[name] = first.setdefault((id(module), leaf), name)
    return names


def _readers(model: nn.Module, parameter: Tensor) -> int:
    """How many modules hold a parameter."""
    return sum(
        parameter is other
        for module in model.modules()
        for _, other in module.named_parameters(recurse=False, remove_duplicate=False)
    )


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf
