"""Refusals of torch's modules that no other test brings about."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from planner.errors import BadInputError
from profiles.from_torch.frontend import profile_module
from profiles.from_torch.runnable import traced_model

WIDE = 2**21


class Own(nn.Module):
    """A weight, and a forward that does not read its input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * 2


class Beside(Own):
    """One whose result is not the output."""

    def forward(self, x: Tensor) -> Tensor:
        x.add_(1)
        return self.weight * 2


def _wide() -> nn.Module:
    with torch.device("meta"):
        return nn.Linear(WIDE, WIDE, bias=False)


def _two() -> nn.Module:
    """Layers that have few enough multiply-accumulates each, and too many together."""
    with torch.device("meta"):
        first, second = (nn.Linear(WIDE, WIDE, bias=False) for _ in range(2))
    return nn.Sequential(first, second)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (_two, (WIDE // 4, WIDE), "the planner's layers: macs: found 4611686018427387904"),
        (_wide, (WIDE, WIDE), "layers: layer 'linear': macs: found 9223372036854775808"),
        (Own, (3,), "x: no operator reads its inputs, there is nothing to plan"),
        (Beside, (3,), "x: its output does not depend on its inputs"),
        (nn.Identity, (3,), "x: no operator reads its inputs, there is nothing to plan"),
        (nn.ReLU, (0, 3), "x: input 'x' has shape"),
    ],
)
def test_modules(module: Callable[[], nn.Module], shape: tuple[int, ...], message: str) -> None:
    for action in (profile_module, traced_model):
        with pytest.raises(BadInputError, match=message) as caught:
            action(module(), {"x": shape}, name="x")
        assert str(caught.value).isprintable()
