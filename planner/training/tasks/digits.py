"""scikit-learn's 1,797 handwritten digits of 8×8 pixels, seen through noise.

Without noise a small network tells nearly all of them apart, so that nothing could be lost.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from planner.training.tasks.task import Part

NOISE = 0.3
"""Standard deviation of what is added to every pixel; without it pixels go from 0 to 1."""
TRAINING, VALIDATION = 900, 300  # images; the other 597 are for the test
DRAWS = 4  # of noise, of every image that is validated or tested on
CLASSES = 10


class Digits:
    """The images cut in three parts by the seed; training noise is new in every batch."""

    def __init__(self, seed: int) -> None:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        chance = np.random.default_rng([seed, len(labels)])
        order = chance.permutation(len(labels))
        images = (pixels[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        self._images = torch.from_numpy(images[:TRAINING])
        self._labels = torch.from_numpy(labels[order][:TRAINING])
        self._parts: dict[Part, tuple[Tensor, Tensor]] = {}
        ends: dict[Part, slice] = {
            "validation": slice(TRAINING, TRAINING + VALIDATION),
            "test": slice(TRAINING + VALIDATION, None),
        }
        for part, rows in ends.items():
            clean = np.repeat(images[rows], DRAWS, axis=0)
            seen = clean + NOISE * chance.standard_normal(clean.shape, dtype=np.float32)
            wanted = np.repeat(labels[order][rows], DRAWS)
            self._parts[part] = torch.from_numpy(seen), torch.from_numpy(wanted)

    def batch(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Images, shape (count, 1, 8, 8), and their digits."""
        rows = torch.randint(len(self._images), (count,), generator=generator)
        noise = torch.randn((count, 1, 8, 8), generator=generator)
        return self._images[rows] + NOISE * noise, self._labels[rows]

    def loss(self, output: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy in nats."""
        return functional.cross_entropy(output, wanted)

    def quality(self, model: nn.Module, part: Part) -> float:
        """Percent of the images that are told rightly."""
        images, wanted = self._parts[part]
        model.eval()
        with torch.inference_mode():
            found = torch.cat([model(some).argmax(dim=1) for some in torch.split(images, 512)])
        return 100 * float((found == wanted).double().mean())

    def reference(self) -> float:
        """Percent that guessing tells rightly."""
        return 100 / CLASSES
