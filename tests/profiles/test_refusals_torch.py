"""Refusals of torch's modules that no other test brings about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor, nn

from planner.errors import BadInputError
from profiles.from_torch.frontend import UntracedError, profile_module
from profiles.from_torch.opened import NotUnderstoodError, _conditions, open_size, requirements
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


class Choosy(nn.Module):
    """One whose path depends on its input, and has no end for zeros."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        raise RuntimeError("zeros\nare of no use")


def test_modules_that_cannot_be_traced() -> None:
    for action in (profile_module, traced_model):
        with pytest.raises(UntracedError, match=r"x: torch.export cannot trace it: "):
            action(Choosy(), {"x": (3,)}, name="x")


def test_a_trace_that_takes_too_long_opens_nothing() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    asked: Any = {"name": "x", "witness": False, "open_sizes": "all"}
    assert profile_module(module, {"input": (2, 4)}, **asked).reshaping is not None
    assert profile_module(module, {"input": (2, 4)}, open_seconds=-1.0, **asked).reshaping is None


def test_sizes_that_our_language_has_no_words_for() -> None:
    """Roots of floats, and numbers that only the data tell."""
    rows = torch.export.Dim("rows")
    exported = torch.export.export(nn.ReLU(), (torch.ones(6, 4),), dynamic_shapes=({0: rows},))
    size = next(iter(exported.graph.nodes)).meta["val"].shape[0]
    assert open_size(size * 2 + 1) == 13
    with pytest.raises(NotUnderstoodError, match="ToFloat"):
        open_size(torch.sym_int(torch.sym_sqrt(size)))
    env = size.node.shape_env
    unknown = env.create_unbacked_symint()
    with pytest.raises(NotUnderstoodError, match="u0 depends on the data"):
        open_size(unknown)
    either = sympy.Or(unknown.node.expr > 3, size.node.expr < 2)
    with pytest.raises(NotUnderstoodError, match="u0"):
        list(_conditions(either, env))
    (held,) = _conditions(sympy.Or(unknown.node.expr > 3, size.node.expr > 2), env)
    assert held == (size.node.expr > 2)


class Small(nn.Module):
    """One whose path depends on two sizes at once."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape
        return x * 2 if (rows > 3) & (columns > 20) else x.relu()


def test_a_condition_that_is_no_comparison() -> None:
    auto = torch.export.Dim.AUTO
    exported = torch.export.export(Small(), (torch.ones(6, 9),), dynamic_shapes=((auto, auto),))
    with pytest.raises(NotUnderstoodError, match=r"^~\(.* > 20\) & \(.* > 3\)\)$"):
        requirements(exported)
