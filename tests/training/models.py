"""Small models, their profiles and plans, for the tests of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from planner.case import Case
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.strategies.baselines import uniform
from tests.planner.builders import cluster


class Convolutions(nn.Module):
    """Kernels of two sides, a transposed convolution and a classifier."""

    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.Sequential(nn.Conv2d(8, 6, (3, 5), bias=False), nn.ReLU())
        self.up = nn.ConvTranspose2d(6, 7, 2)
        self.head = nn.Linear(7, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.norm(self.stem(x)).relu())
        head: Tensor = self.head(self.up(x).mean((2, 3)))
        return head


class Attention(nn.Module):
    """Two kinds of attention: torch's own, with q, k and v in one weight, and three weights."""

    shape = (5, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.fused = nn.MultiheadAttention(8, 4, batch_first=True)
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.last = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x + self.fused(x, x, x, need_weights=False)[0]
        batch, tokens, _ = x.shape
        q, k, v = (
            part(x).reshape(batch, tokens, 4, 2).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        x = nn.functional.scaled_dot_product_attention(q, k, v)
        last: Tensor = self.last(x.transpose(1, 2).reshape(batch, tokens, 8))
        return last


class Groups(nn.Module):
    """Three block groups of two convolutions each, which end where maps are down-sampled."""

    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(6))
        self.head = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for number, block in enumerate(self.blocks):
            x = block(x).relu()
            if number in (1, 3):
                x = nn.functional.max_pool2d(x, 2)
        found: Tensor = self.head(x.mean((2, 3)))
        return found


@dataclass(frozen=True)
class Prepared:
    """A model, its profile, and a plan of the same sparsity in every layer."""

    model: Any
    profile: ModelProfile
    plan: Plan
    case: Case


def prepared(
    kind: type[nn.Module],
    sparsity: float = 0.6,
    speeds: tuple[float, ...] = (1.0, 1.0),
    **fields: Any,
) -> Prepared:
    torch.manual_seed(0)
    model = kind()
    profile = profiled(model)
    case = Case(profile, cluster(speeds, **fields))
    return Prepared(model, profile, uniform(case, len(speeds), sparsity), case)


def profiled(model: nn.Module) -> ModelProfile:
    from profiles.from_torch.frontend import profile_module  # takes seconds to import

    shape: Any = model.shape
    return profile_module(model, {"x": (1, *shape)}, name="model", witness=False)


def inputs(model: nn.Module, seed: int, count: int = 4) -> Tensor:
    shape: Any = model.shape
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 0
) -> list[float]:
    """Steps towards small outputs; the loss of each."""
    losses = []
    for step in range(steps):
        loss = model(inputs(getattr(model, "module", model), seed + step)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
