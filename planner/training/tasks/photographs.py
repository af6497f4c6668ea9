"""Photographs that ship with scikit-image and scikit-learn, and half-size copies of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional

from planner.training.tasks.task import Part

SCALE = 2
PATCH = 16  # pixels of the side of a small training patch; the large one has SCALE times as many
TRAINING = (
    "astronaut",
    "brick",
    "china.jpg",
    "coffee",
    "grass",
    "gravel",
    "hubble_deep_field",
    "retina",
    "stereo_motorcycle",
)
HELD_OUT: dict[Part, tuple[str, ...]] = {
    "validation": ("rocket",),
    "test": ("camera", "chelsea", "flower.jpg"),
}


class Photographs:
    """Grey photographs as (small, large); the seed decides nothing but which patches are drawn."""

    def __init__(self, seed: int) -> None:
        del seed  # all seeds test on the same photographs
        self._training = [_pair(name) for name in TRAINING]
        self._parts = {part: [_pair(name) for name in names] for part, names in HELD_OUT.items()}

    def batch(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Patches, shapes (count, 1, PATCH, PATCH) and SCALE times that, turned and mirrored."""
        pairs = [self._patch(generator) for _ in range(count)]
        return torch.stack([small for small, _ in pairs]), torch.stack([big for _, big in pairs])

    def _patch(self, generator: Generator) -> tuple[Tensor, Tensor]:
        def below(limit: int) -> int:
            return int(torch.randint(limit, (1,), generator=generator))

        small, large = self._training[below(len(self._training))]
        row, column = below(small.shape[1] - PATCH + 1), below(small.shape[2] - PATCH + 1)
        turns, mirrored = below(4), below(2)
        found = []
        for image, scale in ((small, 1), (large, SCALE)):
            rows = slice(scale * row, scale * (row + PATCH))
            columns = slice(scale * column, scale * (column + PATCH))
            patch = torch.rot90(image[:, rows, columns], turns, (1, 2))
            found.append(patch.flip(2) if mirrored else patch)
        return found[0], found[1]

    def loss(self, output: Tensor, wanted: Tensor) -> Tensor:
        """Mean absolute difference."""
        return functional.l1_loss(output, wanted)

    def quality(self, model: nn.Module, part: Part) -> float:
        """PSNR in dB against a range of 1, the mean over the part's photographs."""
        model.eval()
        found = []
        with torch.inference_mode():
            for small, large in self._parts[part]:
                made = model(small[None])[0].clamp(0, 1)
                found.append(-10 * float(torch.log10(functional.mse_loss(made, large))))
        return sum(found) / len(found)

    def reference(self) -> float:
        """PSNR of bicubic interpolation."""
        return self.quality(Bicubic(), "test")


class Bicubic(nn.Module):
    """Enlarge by bicubic interpolation."""

    def forward(self, image: Tensor) -> Tensor:
        """Shape (B, C, H, W) to (B, C, SCALE·H, SCALE·W)."""
        return functional.interpolate(image, scale_factor=float(SCALE), mode="bicubic")


def _pair(name: str) -> tuple[Tensor, Tensor]:
    """A photograph at half size, each pixel the mean of 2×2, and as it is: (1, H, W) each."""
    large = torch.from_numpy(_grey(name))[None]
    height, width = (size - size % SCALE for size in large.shape[1:])
    large = large[:, :height, :width].contiguous()
    return functional.avg_pool2d(large, SCALE), large


def _grey(name: str) -> NDArray[np.float32]:
    import skimage.color
    import skimage.data
    from sklearn.datasets import load_sample_image

    found = load_sample_image(name) if name.endswith(".jpg") else getattr(skimage.data, name)()
    image = found[0] if isinstance(found, tuple) else found  # the left one of a stereo pair
    grey = skimage.color.rgb2gray(image) if image.ndim == 3 else image / 255
    return np.asarray(grey).astype(np.float32)
