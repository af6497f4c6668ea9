"""Magnitudes of weights in a safetensors file: parsed by its own library, never unpickled."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

from planner.accuracy.ranking import Magnitudes, magnitudes
from planner.domain.layer_profile import LayerProfile
from planner.errors import BadInputError
from profiles.files import one_line
from profiles.stored_weight import StoredWeight
from profiles.weight_names import candidates

MAX_HEADER_BYTES = 16 * 2**20  # of names, shapes and offsets; a model of 100 layers needs 10 kB
_MOST_RENAMINGS = 16  # that are tried
_MOST_COMPARED = 2000  # tensors that are searched for a likely one
DTYPES = ("F16", "BF16", "F32", "F64")
Shape = tuple[int, ...]
Weight = tuple[Magnitudes, StoredWeight]
"""L1 norms of a layer's weight, shape (O, I), and where it is stored."""


def read_safetensors(path: Path, layers: list[LayerProfile]) -> dict[str, Weight]:
    """L1 norms of the layers' weights, (O, I) each, and where they are stored, by layer.

    Raises
    ------
    BadInputError
        One line: the file is no safetensors file, a weight is missing, or it has a shape or an
        element type that is not understood.
    """
    import ml_dtypes  # noqa: F401  # numpy knows bfloat16 once this is imported
    from safetensors import SafetensorError, safe_open

    label = one_line(path.name)
    try:
        with open(path, "rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > MAX_HEADER_BYTES:
            raise BadInputError(
                f"weights {label}: its header is {header_bytes:,} bytes; "
                f"at most {MAX_HEADER_BYTES:,} are read"
            )
        with safe_open(path, framework="numpy") as tensors:
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            names = _matched(shapes, layers, label)
            turned = _turned_leaves(shapes, names, layers)
            return {
                layer.name: _weight(tensors, names[layer.name], layer, turned, label)
                for layer in layers
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInputError(
            f"weights {label}: is no safetensors file: {one_line(str(error))}"
        ) from error


def _weight(tensors: Any, name: str, layer: LayerProfile, turned: set[str], label: str) -> Weight:
    stored = tensors.get_slice(name)
    dtype = stored.get_dtype()
    if dtype not in DTYPES:
        raise BadInputError(
            f"weights {label}: {name!r} has the element type {dtype}; "
            f"{', '.join(DTYPES)} can be read"
        )
    size = magnitudes(tensors.get_tensor(name))
    shape = tuple(stored.get_shape())
    if _is_turned(size.shape, name, layer, turned):
        return size.T, StoredWeight(name, shape, 1, 0)
    return size, StoredWeight(name, shape)


def _is_turned(shape: Shape, name: str, layer: LayerProfile, turned: set[str]) -> bool:
    """Whether a weight is stored as (I, O): transposed convolutions, and GPT-2's projections."""
    if layer.op != "linear":
        return layer.op == "conv_transpose"
    if layer.in_features == layer.out_features:
        return _leaf(name) in turned
    return shape == (layer.in_features, layer.out_features)


def _turned_leaves(
    shapes: dict[str, Shape], names: dict[str, str], layers: list[LayerProfile]
) -> set[str]:
    """Last parts of the paths of weights that are surely stored as (I, O).

    A square weight does not show its orientation; it has that of its namesakes.
    """
    return {
        _leaf(names[layer.name])
        for layer in layers
        if layer.op == "linear"
        and layer.in_features != layer.out_features
        and shapes[names[layer.name]][:2] == (layer.in_features, layer.out_features)
    }


def _leaf(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]


def _matched(shapes: dict[str, Shape], layers: list[LayerProfile], label: str) -> dict[str, str]:
    """The stored name of every layer's weight.

    Raises
    ------
    BadInputError
        A layer has none.
    """
    by_pair: dict[Shape, list[str]] = {}
    for name, shape in shapes.items():
        by_pair.setdefault(shape[:2], []).append(name)
    missing = layers[0]
    for attempt, renaming in enumerate(islice(_renamings(shapes, layers[0]), _MOST_RENAMINGS)):
        found: dict[str, str] = {}
        for layer in layers:
            stored = _stored_name(layer, shapes, by_pair, renaming)
            if stored is None:
                missing = missing if attempt else layer
                break
            found[layer.name] = stored
        else:
            return found
    wanted = next((name for name in candidates(missing.name) if name in shapes), None)
    if wanted is not None:
        raise BadInputError(
            f"weights {label}: {wanted[:90]!r} has the shape {shapes[wanted][:8]}; the layer has "
            f"{missing.out_features} output and {missing.in_features} input features"
        )
    wanted = next(iter(candidates(missing.name)))
    near = get_close_matches(wanted, shapes, n=1) if len(shapes) <= _MOST_COMPARED else []
    hint = f"; did you mean {near[0][:90]!r}?" if near else ""
    raise BadInputError(
        f"weights {label}: no tensor {wanted[:90]!r} for the layer {missing.name[:80]!r}{hint}"
    )


Renaming = tuple[str, str]
"""A prefix to take off a layer's name and one to put before it."""


def _renamings(shapes: dict[str, Shape], first: LayerProfile) -> Iterator[Renaming]:
    """None, then those by which the first layer is found.

    A wrapper adds or lacks a prefix, and a kindred model (ViT, DeiT) has another first part.
    """
    yield "", ""
    key = next(iter(candidates(first.name.partition(":")[0])))
    head, _, tail = key.partition(".")
    for name in shapes:
        if name.endswith(f".{key}"):
            yield "", name.removesuffix(key)
        elif key.endswith(f".{name}"):
            yield key.removesuffix(name), ""
        elif "." in tail and name.endswith(f".{tail}"):
            yield f"{head}.", name.removesuffix(tail)


def _stored_name(
    layer: LayerProfile,
    shapes: dict[str, Shape],
    by_pair: dict[Shape, list[str]],
    renaming: Renaming,
) -> str | None:
    """By the layer's name; else the only fitting one of its module, or of all if it is shared."""
    away, before = renaming
    names = [
        before + name.removeprefix(away) if name.startswith(away) else name
        for name in candidates(layer.name)
    ]
    for name in names:
        if name in shapes and _fits(shapes[name], layer):
            return name
    if layer.params and ":" not in layer.name:
        return None
    module = names[-1].removesuffix("weight") if layer.params else ""
    pair = (layer.out_features, layer.in_features)
    alike = [n for p in {pair, pair[::-1]} for n in by_pair.get(p, ())]
    if len(alike) > _MOST_COMPARED:
        return None
    fitting = [n for n in alike if n.startswith(module) and _fits(shapes[n], layer)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(shape: Shape, layer: LayerProfile) -> bool:
    """Whether a tensor has one entry or one kernel per pair of features."""
    pair = (layer.out_features, layer.in_features)
    if prod(shape) != (layer.weight_params or prod(pair)):
        return False
    if layer.op == "linear":
        return shape in (pair, pair[::-1])
    return shape[:2] == (pair[::-1] if layer.op == "conv_transpose" else pair)
