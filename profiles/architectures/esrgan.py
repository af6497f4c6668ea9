"""The generator of ESRGAN: residual-in-residual dense blocks, then two doublings.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV workshops
2018 (arXiv 1809.00219), section 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_RESIDUAL_SCALE = 0.2
_LEAKY_SLOPE = 0.2


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DenseBlock(nn.Module):
    """Five convolutions, each reading the block's input and all earlier outputs."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            _convolution(features + step * growth, growth) for step in range(4)
        )
        self.last = _convolution(features + 4 * growth, features)
        self.activation = nn.LeakyReLU(_LEAKY_SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        """Same shape as the input, (batch, features, H, W)."""
        known = [image]
        for step in self.steps:
            known.append(self.activation(step(torch.cat(known, 1))))
        change: Tensor = self.last(torch.cat(known, 1))
        return image + _RESIDUAL_SCALE * change


class ResidualInResidual(nn.Module):
    """Three dense blocks with a scaled residual around them (an RRDB)."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, image: Tensor) -> Tensor:
        """Same shape as the input, (batch, features, H, W)."""
        change: Tensor = self.blocks(image)
        return image + _RESIDUAL_SCALE * change


class Generator(nn.Module):
    """Image of (batch, 3, H, W) to (batch, 3, 4·H, 4·W)."""

    def __init__(self, blocks: int = 23, features: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.first = _convolution(3, features)
        self.trunk = nn.Sequential(
            *(ResidualInResidual(features, growth) for _ in range(blocks)),
            _convolution(features, features),
        )
        self.doublings = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Upsample(scale_factor=2.0, mode="nearest"),
                    _convolution(features, features),
                    nn.LeakyReLU(_LEAKY_SLOPE),
                )
                for _ in range(2)
            )
        )
        self.head = nn.Sequential(
            _convolution(features, features), nn.LeakyReLU(_LEAKY_SLOPE), _convolution(features, 3)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Four times the size."""
        shallow = self.first(image)
        enlarged: Tensor = self.head(self.doublings(shallow + self.trunk(shallow)))
        return enlarged
