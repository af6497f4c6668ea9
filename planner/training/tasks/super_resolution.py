"""A small residual-dense network that doubles the size of photographs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from planner.training.tasks.photographs import SCALE, Bicubic, Photographs
from planner.training.tasks.task import Budget, Task

WIDTH, GROWTH, BLOCKS = 64, 32, 4


class ResidualDenseBlock(nn.Module):
    """Two convolutions that read all that came before them, a 1×1 fusion and a skip link."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.grow1 = nn.Conv2d(width, growth, 3, padding=1)
        self.grow2 = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.fuse = nn.Conv2d(width + 2 * growth, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Shape (B, width, H, W) to the same."""
        seen = torch.cat([features, torch.relu(self.grow1(features))], dim=1)
        seen = torch.cat([seen, torch.relu(self.grow2(seen))], dim=1)
        fused: Tensor = self.fuse(seen)
        return features + fused


class ResidualDenseNetwork(nn.Module):
    """What is to be added to bicubic interpolation."""

    def __init__(self, width: int = WIDTH, growth: int = GROWTH) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualDenseBlock(width, growth) for _ in range(BLOCKS)))
        self.tail = nn.Conv2d(width, SCALE**2, 3, padding=1)
        self.enlarge = Bicubic()

    def forward(self, image: Tensor) -> Tensor:
        """Shape (B, 1, H, W) to (B, 1, 2·H, 2·W)."""
        first = self.head(image)
        detail = functional.pixel_shuffle(self.tail(self.blocks(first) + first), SCALE)
        enlarged: Tensor = self.enlarge(image)
        return enlarged + detail


TASK = Task(
    name="super-resolution",
    title="super-resolution ×2 of photographs, a residual-dense network",
    metric="PSNR",
    unit="dB",
    input_shape=(1, 1, 64, 64),
    split_points=("blocks.1.grow1", "blocks.2.grow1", "blocks.3.grow1"),
    budget=Budget(dense_steps=2500, tuning_steps=600, dense_rate=2e-3, tuning_rate=1e-3, batch=4),
    network=ResidualDenseNetwork,
    data=Photographs,
)
