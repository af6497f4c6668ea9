"""The networks of the catalogue as torch modules. Needs torch and transformers.

``scripts/build_library.py`` writes the catalogue's profiles from them, on the meta device; on a
real one they have random weights, or those of a file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported: it asks nobody

import torch
import transformers

from planner.domain.model_profile import ModelProfile
from profiles.architectures.deeplab import DeepLabV3Plus
from profiles.architectures.esrgan import Generator
from profiles.architectures.ssd300 import SSD300
from profiles.from_hf.network import Prepared, build_network, prepared
from profiles.from_hf.past import PAST_TOKENS
from profiles.from_torch.frontend import profile_module

TOKENS = 128
CACHED_TOKENS = 1024


@dataclass(frozen=True)
class Architecture:
    """What a shipped profile is made of.

    Attributes
    ----------
    source : str
        How to make it again.
    prepare : callable
        Makes the network ready to be traced, on a device: the meta device holds no weights.
    witness : bool
        Let fvcore count it as well. It runs the network on the CPU with all weights.
    options : dict
        Of a transformers configuration.
    open_sizes : {"all", "batch", "none"}
        Which sizes the profile can be worked out for; "all" means as many as torch can open.
    group_starts : tuple of str
        First layers of block groups, where `planner.structure.block_groups` needs to be told.
    """

    source: str
    prepare: Callable[[str], Prepared]
    witness: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    open_sizes: Literal["all", "batch", "none"] = "all"
    group_starts: tuple[str, ...] = ()

    def profile(self, name: str) -> ModelProfile:
        """Profile it."""
        made = self.prepare("meta")
        profile = profile_module(
            made.module,
            made.shapes,
            dtypes=made.dtypes,
            name=name,
            source=self.source,
            witness=self.witness,
            open_sizes=self.open_sizes,
            open_seconds=math.inf,  # the same on every machine
        )
        # Without the local label: a CPU and a CUDA build of one release count alike.
        used = (torch, transformers) if self.options else (torch,)
        tools = {tool.__name__: str(tool.__version__).partition("+")[0] for tool in used}
        provenance = profile.provenance.model_copy(
            update={"tools": tools, "note": "architecture only, no weights"}
        )
        found = {"provenance": provenance, "group_starts": self.group_starts}
        return profile.model_copy(update=found)


def own(
    make: Callable[[], torch.nn.Module],
    image_size: int,
    *,
    witness: bool = True,
    group_starts: tuple[str, ...] = (),
) -> Architecture:
    """A network of ours that reads one image."""

    def prepare(device: str) -> Prepared:
        with torch.device(device):
            module = make().eval()
        shape = (1, 3, image_size, image_size)
        return Prepared(module, {"image": shape}, {"image": "float32"})

    label = f"{make.__module__}.{make.__qualname__}()"
    source = f"{label}, image 1x3x{image_size}x{image_size}"
    return Architecture(source, prepare, witness, group_starts=group_starts)


def _transformer(
    family: str,
    model_type: str,
    task: str,
    shapes: dict[str, tuple[int, ...]],
    *,
    witness: bool = True,
    open_sizes: Literal["all", "batch", "none"] = "all",
    **options: Any,
) -> Architecture:
    """A network of transformers; ``family`` is the prefix of its two classes."""
    values = {"model_type": model_type, "architectures": [f"{family}{task}"], **options}

    def prepare(device: str) -> Prepared:
        given = {_HF_NAMES.get(name, name): shape for name, shape in shapes.items()}
        made = prepared(build_network(dict(values), device), given)
        names = [name for name in shapes if name != PAST_TOKENS]
        return Prepared(
            made.module,
            dict(zip(names, made.shapes.values(), strict=True)),
            dict(zip(names, made.dtypes.values(), strict=True)),
        )

    told = ", ".join(f"{key}={value!r}" for key, value in options.items())
    inputs = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    source = f"transformers {family}{task}({family}Config({told})), {inputs}"
    return Architecture(source, prepare, witness, values, open_sizes)


_HF_NAMES = {"image": "pixel_values"}
_IMAGE = "ForImageClassification"


def _image(size: int) -> dict[str, tuple[int, ...]]:
    return {"image": (1, 3, size, size)}


def _resnet50(divisor: int) -> Architecture:
    """ResNet-50 with the stride on the 3x3, every width divided (ResNet50/X of DISCO)."""
    widths: dict[str, Any] = {
        "embedding_size": 64 // divisor,
        "hidden_sizes": [width // divisor for width in (256, 512, 1024, 2048)],
    }
    return _transformer("ResNet", "resnet", _IMAGE, _image(224), num_labels=1000, **widths)


def _mobilenetv2(size: int) -> Architecture:
    return _transformer(
        "MobileNetV2", "mobilenet_v2", _IMAGE, _image(size), num_labels=1000, tf_padding=False
    )


def _deit_s(family: str, model_type: str) -> Architecture:
    """Width 384, 12 layers, 6 heads; as ViT with one extra token, as DeiT with two."""
    sizes: dict[str, Any] = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
    return _transformer(
        family, model_type, _IMAGE, _image(224), num_labels=1000, **sizes, intermediate_size=1536
    )


def llama(layers: int, hidden: int, inner: int, heads: int, *, decode: bool) -> Architecture:
    """Llama 3.1 as its configuration says; 16-bit weights and activations."""
    shapes: dict[str, tuple[int, ...]] = {"input_ids": (1, 1 if decode else TOKENS)}
    if decode:
        shapes[PAST_TOKENS] = (CACHED_TOKENS,)
    return _transformer(
        "Llama",
        "llama",
        "ForCausalLM",
        shapes,
        witness=False,
        open_sizes="none" if decode else "all",  # the cache has sizes of its own
        vocab_size=128256,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        dtype="bfloat16",
    )


ARCHITECTURES = {
    "resnet50": _resnet50(1),
    "resnet50-half": _resnet50(2),
    "resnet50-quarter": _resnet50(4),
    "resnet50-eighth": _resnet50(8),
    "mobilenetv2-224": _mobilenetv2(224),
    "mobilenetv2-256": _mobilenetv2(256),
    "efficientnet-b0": _transformer(
        "EfficientNet",
        "efficientnet",
        _IMAGE,
        _image(224),
        num_labels=1000,
        image_size=224,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
    ),
    "convnext-t": _transformer("ConvNext", "convnext", _IMAGE, _image(224), num_labels=1000),
    "deit-s": _deit_s("ViT", "vit"),
    "deit-s-distilled": _deit_s("DeiT", "deit"),
    # Windows of an open image make torch's expressions explode.
    "swin-t": _transformer(
        "Swin", "swin", _IMAGE, _image(224), open_sizes="batch", num_labels=1000
    ),
    "ssd300-vgg16": own(SSD300, 300),
    # The encoder's four groups, of which the last keeps its maps' size, then pyramid and decoder.
    # What the decoder reads early is alive from the first group on, so that no rule finds them.
    "deeplabv3plus-resnet101": own(
        DeepLabV3Plus,
        513,
        group_starts=(
            "group2.0.reduce.0",
            "group3.0.reduce.0",
            "group4.0.reduce.0",
            "pyramid.branches.0.0",
        ),
    ),
    # A tile of 128x128 to 512x512: all work grows with the area. fvcore would run for a minute.
    "esrgan": own(Generator, 128, witness=False),
    "bert-base": _transformer("Bert", "bert", "Model", {"input_ids": (1, TOKENS)}, num_labels=2),
    "gpt2": _transformer("GPT2", "gpt2", "LMHeadModel", {"input_ids": (1, TOKENS)}, n_layer=12),
    "llama-3.1-8b": llama(32, 4096, 14336, 32, decode=False),
    "llama-3.1-8b-decode": llama(32, 4096, 14336, 32, decode=True),
    "llama-3.1-70b": llama(80, 8192, 28672, 64, decode=False),
    "llama-3.1-70b-decode": llama(80, 8192, 28672, 64, decode=True),
}
