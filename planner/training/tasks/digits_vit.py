"""A small vision transformer on the digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from planner.training.tasks.digits import CLASSES, Digits
from planner.training.tasks.task import Budget, Task

WIDTH, HEADS, BLOCKS = 64, 4, 4
PATCH, PATCHES = 2, 16  # pixels of a patch's side, patches of an image


class TransformerBlock(nn.Module):
    """Attention and a perceptron of twice the width, each behind a norm and beside a skip link."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape (B, T, width) to the same."""
        seen = self.norm1(tokens)
        read = functional.scaled_dot_product_attention(
            self._by_head(self.query(seen)),
            self._by_head(self.key(seen)),
            self._by_head(self.value(seen)),
        )
        tokens = tokens + self.out(read.transpose(1, 2).reshape(tokens.shape))
        more: Tensor = self.down(functional.gelu(self.up(self.norm2(tokens))))
        return tokens + more

    def _by_head(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        return tokens.view(batch, count, self.heads, width // self.heads).transpose(1, 2)


class VisionTransformer(nn.Module):
    """Four transformer blocks on 16 patches of 2×2 pixels."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, PATCH, PATCH)
        self.position = nn.Parameter(0.02 * torch.randn(1, PATCHES, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, HEADS) for _ in range(BLOCKS)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Shape (B, 1, 8, 8) to (B, 10)."""
        tokens = self.patch(image).flatten(2).transpose(1, 2) + self.position
        scores: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return scores


TASK = Task(
    name="digits-vit",
    title="noisy digits, a vision transformer",
    metric="accuracy",
    unit="%",
    input_shape=(1, 1, 8, 8),
    split_points=("blocks.1.norm1", "blocks.2.norm1", "blocks.3.norm1"),
    budget=Budget(dense_steps=1500, tuning_steps=300, dense_rate=2e-3, tuning_rate=1e-3, batch=64),
    network=VisionTransformer,
    data=Digits,
)
