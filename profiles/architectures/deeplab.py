"""DeepLabV3+ with a ResNet-101 encoder at output stride 16.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
ECCV 2018 (arXiv 1802.02611), sections 3.1 and 4.1; the plain (not separable) form that the
ResNet-101 rows of its tables use. Stride on the 3x3 of a bottleneck, unit rates (1, 2, 4) in the
last block group as in DeepLabV3 (arXiv 1706.05587); rates move no parameter and no MAC.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_DEPTHS = (3, 4, 23, 3)
_ASPP_RATES = (6, 12, 18)
_WIDTH = 256
_LOW_LEVEL_WIDTH = 48


def _unit(inputs: int, outputs: int, kernel: int, *, stride: int = 1, rate: int = 1) -> nn.Module:
    """Convolution without bias, batch norm, ReLU."""
    padding = rate * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation=rate, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, and the skip around them."""

    def __init__(self, inputs: int, inner: int, *, stride: int, rate: int) -> None:
        super().__init__()
        outputs = 4 * inner
        self.reduce = _unit(inputs, inner, 1)
        self.work = _unit(inner, inner, 3, stride=stride, rate=rate)
        self.expand = nn.Sequential(
            nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.skip = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, image: Tensor) -> Tensor:
        """(batch, inputs, H, W) to (batch, 4·inner, H/stride, W/stride)."""
        return functional.relu(self.expand(self.work(self.reduce(image))) + self.skip(image))


def _group(inputs: int, inner: int, stride: int, rates: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(
        *(
            Bottleneck(
                inputs if index == 0 else 4 * inner,
                inner,
                stride=stride if index == 0 else 1,
                rate=rate,
            )
            for index, rate in enumerate(rates)
        )
    )


class ImagePooling(nn.Module):
    """The image's mean features, spread over the map again."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.project = _unit(inputs, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, inputs, H, W) to (batch, outputs, H, W)."""
        mean = self.project(self.pool(image))
        return functional.interpolate(
            mean, size=image.shape[-2:], mode="bilinear", align_corners=False
        )


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _unit(inputs, _WIDTH, 1),
                *(_unit(inputs, _WIDTH, 3, rate=rate) for rate in _ASPP_RATES),
                ImagePooling(inputs, _WIDTH),
            ]
        )
        self.project = _unit(_WIDTH * len(self.branches), _WIDTH, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, inputs, H, W) to (batch, 256, H, W)."""
        joined: Tensor = self.project(torch.cat([branch(image) for branch in self.branches], 1))
        return joined


class DeepLabV3Plus(nn.Module):
    """Image of (batch, 3, H, W) to class scores of every pixel, (batch, classes, H, W)."""

    def __init__(self, classes: int = 21) -> None:
        super().__init__()
        self.stem = nn.Sequential(_unit(3, 64, 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1))
        self.group1 = _group(64, 64, 1, [1] * _DEPTHS[0])
        self.group2 = _group(256, 128, 2, [1] * _DEPTHS[1])
        self.group3 = _group(512, 256, 2, [1] * _DEPTHS[2])
        self.group4 = _group(1024, 512, 1, [2, 4, 8])
        self.pyramid = Pyramid(2048)
        self.low_level = _unit(256, _LOW_LEVEL_WIDTH, 1)
        self.decoder = nn.Sequential(
            _unit(_WIDTH + _LOW_LEVEL_WIDTH, _WIDTH, 3),
            _unit(_WIDTH, _WIDTH, 3),
            nn.Conv2d(_WIDTH, classes, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Scores at the size of the image."""
        early = self.group1(self.stem(image))
        deep = self.pyramid(self.group4(self.group3(self.group2(early))))
        low = self.low_level(early)
        deep = functional.interpolate(
            deep, size=low.shape[-2:], mode="bilinear", align_corners=False
        )
        scores = self.decoder(torch.cat([deep, low], 1))
        return functional.interpolate(
            scores, size=image.shape[-2:], mode="bilinear", align_corners=False
        )
