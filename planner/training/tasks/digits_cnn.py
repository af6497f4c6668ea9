"""A small residual network on the digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from planner.training.tasks.digits import CLASSES, Digits
from planner.training.tasks.task import Budget, Task

WIDTHS = (64, 64, 128, 128)
STRIDES = (2, 1, 2, 1)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a skip link, as in ResNet's basic block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        unchanged = inputs == outputs and stride == 1
        self.skip = None if unchanged else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Shape (B, I, H, W) to (B, O, H / stride, W / stride)."""
        inner = torch.relu(self.norm1(self.conv1(image)))
        skipped = image if self.skip is None else self.skip(image)
        return torch.relu(self.norm2(self.conv2(inner)) + skipped)


class ResidualNetwork(nn.Module):
    """Four residual blocks on images of one channel."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        inputs = (widths[0], *widths[:-1])
        self.blocks = nn.Sequential(
            *(ResidualBlock(*sizes) for sizes in zip(inputs, widths, STRIDES, strict=True))
        )
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Shape (B, 1, 8, 8) to (B, 10)."""
        found = self.blocks(torch.relu(self.norm(self.stem(image))))
        scores: Tensor = self.head(found.mean((2, 3)))
        return scores


TASK = Task(
    name="digits-cnn",
    title="noisy digits, a residual convolutional network",
    metric="accuracy",
    unit="%",
    input_shape=(1, 1, 8, 8),
    split_points=("blocks.1.conv1", "blocks.2.conv1", "blocks.3.conv1"),
    budget=Budget(dense_steps=800, tuning_steps=200, dense_rate=2e-3, tuning_rate=1e-3, batch=64),
    network=ResidualNetwork,
    data=Digits,
)
