"""Rebuild the model profiles that ship in ``profiles/library/models``.

Each one is an architecture of Hugging Face transformers on the meta device, so nothing is
downloaded and no weights are held. Run it after a change of the front end, of the MAC formulas
or of a pinned tool; ``--check`` only says which files are stale.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from planner.domain.model_profile import ModelProfile
from profiles.files import document_text, write_atomically
from profiles.from_torch.frontend import profile_module

MODELS_FOLDER = Path(__file__).parents[1] / "profiles" / "library" / "models"


@dataclass(frozen=True)
class Architecture:
    """An image classifier of transformers; ``family`` is the prefix of its two classes."""

    family: str
    image_size: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """How to make it again."""
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        size = self.image_size
        return (
            f"transformers {self.family}ForImageClassification({self.family}Config({options})), "
            f"image 1x3x{size}x{size}"
        )

    def profile(self, name: str) -> ModelProfile:
        """Profile it, counted by fvcore as well."""
        config = getattr(transformers, f"{self.family}Config")(**self.options)
        with torch.device("meta"):
            module = getattr(transformers, f"{self.family}ForImageClassification")(config)
        shapes: dict[str, tuple[int, ...]] = {"image": (1, 3, self.image_size, self.image_size)}
        profile = profile_module(module, shapes, name=name, source=self.source)
        # Without the local label: a CPU and a CUDA build of one release count alike.
        tools = {
            tool.__name__: str(tool.__version__).partition("+")[0] for tool in (torch, transformers)
        }
        provenance = profile.provenance.model_copy(
            update={"tools": tools, "note": "architecture only, no weights"}
        )
        return profile.model_copy(update={"provenance": provenance})


def _resnet50(divisor: int) -> Architecture:
    """ResNet-50 with the stride on the 3x3, every width divided (ResNet50/X of DISCO)."""
    widths = {
        "embedding_size": 64 // divisor,
        "hidden_sizes": [width // divisor for width in (256, 512, 1024, 2048)],
    }
    return Architecture("ResNet", 224, {"num_labels": 1000, **widths})


def _mobilenetv2(image_size: int) -> Architecture:
    return Architecture("MobileNetV2", image_size, {"num_labels": 1000, "tf_padding": False})


ARCHITECTURES = {
    "resnet50": _resnet50(1),
    "resnet50-half": _resnet50(2),
    "resnet50-quarter": _resnet50(4),
    "resnet50-eighth": _resnet50(8),
    "mobilenetv2-224": _mobilenetv2(224),
    "mobilenetv2-256": _mobilenetv2(256),
}


def build(name: str) -> str:
    """Text of one model's file."""
    return document_text(ARCHITECTURES[name].profile(name))


def main(arguments: list[str] | None = None, folder: Path = MODELS_FOLDER) -> int:
    """Rebuild what is stale; with ``--check`` write nothing and return 1 if anything is."""
    parser = argparse.ArgumentParser(description="Rebuild the shipped model profiles.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    check = parser.parse_args(arguments).check
    stale = 0
    for name in ARCHITECTURES:
        path, text = folder / f"{name}.json", build(name)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not check:
            write_atomically(path, text)
        print(f"{'stale' if check else 'wrote'}: {path.name}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
