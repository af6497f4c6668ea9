"""SSD300 on VGG-16: the detector of the paper that gave it its name.

Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016 (arXiv 1512.02325), figure 2; COCO
has 80 classes and the background. VGG-16 is the backbone of that paper; others that go by
"SSD300" put a ResNet in its place, which is another network.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

_VGG_WIDTHS = (64, 128, 256, 512, 512)
_VGG_DEPTHS = (2, 2, 3, 3, 3)
_BOXES = (4, 6, 6, 6, 4, 4)
_SOURCE_WIDTHS = (512, 1024, 512, 256, 256, 256)
_L2_SCALE = 20.0
_L2_EPSILON = 1e-12


class ScaledL2(nn.Module):
    """Each position's features at unit length, times a learnt scale per feature.

    Written as the root-mean-square norm that it is, up to √features.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((features,), _L2_SCALE))

    def forward(self, image: Tensor) -> Tensor:
        """Same shape as the input, (batch, features, H, W)."""
        features = self.scale.shape[0]
        last = functional.rms_norm(image.permute(0, 2, 3, 1), (features,), eps=_L2_EPSILON)
        return (last * (self.scale / sqrt(features))).permute(0, 3, 1, 2)


def _stage(inputs: int, outputs: int, depth: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Conv2d(inputs if index == 0 else outputs, outputs, 3, padding=1), nn.ReLU()]
    return layers


def _extra(inputs: int, inner: int, outputs: int, stride: int) -> nn.Sequential:
    """A 1x1 and a 3x3 convolution; the latter halves the map, or sheds its border."""
    return nn.Sequential(
        nn.Conv2d(inputs, inner, 1),
        nn.ReLU(),
        nn.Conv2d(inner, outputs, 3, stride=stride, padding=stride - 1),
        nn.ReLU(),
    )


class SSD300(nn.Module):
    """Image of (batch, 3, 300, 300) to the classes and corners of 8 732 boxes."""

    def __init__(self, classes: int = 81) -> None:
        super().__init__()
        early: list[nn.Module] = []
        inputs = 3
        for width, depth in zip(_VGG_WIDTHS[:4], _VGG_DEPTHS[:4], strict=True):
            early += _stage(inputs, width, depth)
            early.append(nn.MaxPool2d(2, ceil_mode=True))
            inputs = width
        pool = early.pop()
        self.early = nn.Sequential(*early)
        self.norm = ScaledL2(_SOURCE_WIDTHS[0])
        self.late = nn.Sequential(
            pool,
            *_stage(512, _VGG_WIDTHS[4], _VGG_DEPTHS[4]),
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.ReLU(),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(),
        )
        self.extras = nn.ModuleList(
            [
                _extra(1024, 256, 512, stride=2),
                _extra(512, 128, 256, stride=2),
                _extra(256, 128, 256, stride=1),
                _extra(256, 128, 256, stride=1),
            ]
        )
        self.class_heads = self._heads(classes)
        self.corner_heads = self._heads(4)

    @staticmethod
    def _heads(per_box: int) -> nn.ModuleList:
        return nn.ModuleList(
            nn.Conv2d(width, boxes * per_box, 3, padding=1)
            for width, boxes in zip(_SOURCE_WIDTHS, _BOXES, strict=True)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Six maps of scores, then six of offsets: (batch, boxes·classes or boxes·4, H, W).

        Sorting them by box, and what follows on boxes, multiplies nothing and is left out.
        """
        early = self.early(image)
        sources = [self.norm(early), self.late(early)]
        for extra in self.extras:
            sources.append(extra(sources[-1]))
        return tuple(
            head(source)
            for heads in (self.class_heads, self.corner_heads)
            for head, source in zip(heads, sources, strict=True)
        )
