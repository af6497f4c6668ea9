"""A model's weights, matched to the layers of its profile: magnitudes, and where they are stored.

A weight file is a safetensors file or a state that torch.save wrote, whose tensors are called as
the model's parameters, or an ONNX file, whose nodes are called as the layers. Only the state of
torch.save needs torch.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.ranking import Magnitudes
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError, install_advice
from profiles.files import one_line, opened, read_file
from profiles.from_safetensors import read_safetensors
from profiles.sandbox import Limits, run_limited
from profiles.strangers import MAX_MODEL_BYTES
from profiles.weight_message import Weight, decoded

MAX_PAIRS = 2**27
"""Pairs of an input and an output feature that are kept, four bytes each."""

_CHILD = Limits(memory_bytes=4 * 2**30, cpu_s=60, wall_s=600.0, output_bytes=2**30)
_WITH_TORCH = Limits(memory_bytes=24 * 2**30, cpu_s=60, wall_s=600.0, output_bytes=2**30)
"""Room for the libraries of a torch that was built for GPUs; the child then leaves itself less."""

WEIGHT_FILES = (".safetensors", ".onnx", ".pt", ".pth")
WEIGHT_FILES_IN_WORDS = f"{', '.join(WEIGHT_FILES[:-1])} or {WEIGHT_FILES[-1]}"


def read_magnitudes(
    path: Path, profile: ModelProfile, wanted: NDArray[np.bool_]
) -> tuple[Magnitudes | None, ...]:
    """L1 norms of the weights of some layers, shape (O, I) each, as `read_weights` has them."""
    found = read_weights(path, profile, wanted)
    return tuple(None if weight is None else weight[0] for weight in found)


def read_weights(
    path: Path, profile: ModelProfile, wanted: NDArray[np.bool_]
) -> tuple[Weight | None, ...]:
    """L1 norms of the weights of some layers, summed over each kernel, and where they are stored.

    Parameters
    ----------
    path : Path
        See `WEIGHT_FILES`.
    profile : ModelProfile
    wanted : bool array, shape (L,)
        Layers whose weights are needed: those that exchange features.

    Returns
    -------
    tuple of (float array of shape (O, I), StoredWeight), None where not wanted

    Raises
    ------
    BadInputError
        One line: the file cannot be read, a layer's weight is missing or has another shape, or
        a value is not finite.
    """
    label = one_line(path.name)
    suffix = path.suffix.lower()
    if suffix not in WEIGHT_FILES:
        raise BadInputError(f"weights {label}: give a file {WEIGHT_FILES_IN_WORDS}")
    if not wanted.any():
        raise BadInputError(
            f"{profile.name}: no layer exchanges features, so no weights of it can be pruned"
        )
    layers = [layer for layer, needed in zip(profile.layers, wanted, strict=True) if needed]
    pairs = sum(layer.in_features * layer.out_features for layer in layers)
    if pairs > MAX_PAIRS:
        raise BadInputError(
            f"weights {label}: {profile.name} joins {pairs:,} pairs of features; "
            f"at most {MAX_PAIRS:,} are read"
        )
    with opened(path, f"weights {label}"):
        pass  # some readers map a file by its name
    found = _READERS.get(suffix, _read_pt)(path, layers)
    for layer in layers:
        _check(found[layer.name][0], layer, label)
    if not any(float(size.sum(dtype=np.float64)) > 0 for size, _ in found.values()):
        raise BadInputError(f"weights {label}: every weight of {profile.name} is 0")
    return tuple(found.get(layer.name) for layer in profile.layers)


def _check(size: Magnitudes, layer: LayerProfile, label: str) -> None:
    wanted = (layer.out_features, layer.in_features)
    if size.shape != wanted:
        raise BadInputError(
            f"weights {label}: layer {layer.name!r} has {layer.out_features} output and "
            f"{layer.in_features} input features, its weight {size.shape[0]} and {size.shape[1]}"
        )
    if not np.isfinite(size).all():
        raise BadInputError(
            f"weights {label}: the weight of layer {layer.name!r} holds NaN or infinity"
        )


def _read_onnx(path: Path, layers: list[LayerProfile]) -> dict[str, Weight]:
    label = one_line(path.name)
    request = {"layers": [layer.name for layer in layers]}
    answer = run_limited(
        "profiles.from_onnx.weights", request, _content(path), what=label, limits=_CHILD
    )
    missing = [layer.name for layer in layers if layer.name not in answer]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise BadInputError(
            f"weights {label}: no node or stored weight is called as the layer "
            f"{missing[0][:80]!r}{more}; give the file that the model was profiled from"
        )
    return {name: decoded(found, label) for name, found in answer.items()}


def _read_pt(path: Path, layers: list[LayerProfile]) -> dict[str, Weight]:
    label = one_line(path.name)
    if importlib.util.find_spec("torch") is None:
        raise BadInputError(
            f"weights {label}: torch is not installed, and files of torch.save need it: "
            f"{install_advice('torch')}, or give a .safetensors file"
        )
    request = {"layers": [layer.model_dump(mode="json") for layer in layers]}
    answer: Any = run_limited(
        "profiles.from_pt.weights", request, _content(path), what=label, limits=_WITH_TORCH
    )
    return {layer.name: decoded(answer.get(layer.name), label) for layer in layers}


def _content(path: Path) -> bytes:
    return read_file(path, f"weights {one_line(path.name)}", MAX_MODEL_BYTES)


_READERS = {".safetensors": read_safetensors, ".onnx": _read_onnx}
