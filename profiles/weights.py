"""A model's weights, matched to the layers of its profile: magnitudes, and where they are stored.

A weight file is a safetensors file, whose tensors are called as the model's parameters, or an
ONNX file, whose nodes are called as the layers. Neither needs torch.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.accuracy.ranking import Magnitudes
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.files import one_line
from profiles.from_safetensors import _is_turned, _matched, _turned_leaves, read_safetensors
from profiles.sandbox import Limits, run_limited
from profiles.strangers import MAX_MODEL_BYTES
from profiles.weight_names import candidates

MAX_PAIRS = 2**27
"""Pairs of an input and an output feature that are kept, four bytes each."""

_CHILD = Limits(memory_bytes=4 * 2**30, cpu_s=60, wall_s=60.0, output_bytes=2**30)
WEIGHT_FILES = (".safetensors", ".onnx")


def read_magnitudes(
    path: Path, profile: ModelProfile, wanted: NDArray[np.bool_]
) -> tuple[Magnitudes | None, ...]:
    """L1 norms of the weights of some layers, summed over each kernel.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` or an ``.onnx`` file.
    profile : ModelProfile
    wanted : bool array, shape (L,)
        Layers whose weights are needed: those that exchange features.

    Returns
    -------
    tuple of float arrays of shape (O, I), None where not wanted

    Raises
    ------
    BadInputError
        One line: the file cannot be read, a layer's weight is missing or has another shape, or
        a value is not finite.
    """
    label = one_line(path.name)
    suffix = path.suffix.lower()
    if suffix not in WEIGHT_FILES:
        raise BadInputError(f"weights {label}: give a file {' or '.join(WEIGHT_FILES)}")
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
    _check_file(path, label)
    read = read_safetensors if suffix == ".safetensors" else _read_onnx
    found = read(path, layers)
    for layer in layers:
        _check(found[layer.name], layer, label)
    if not any(float(size.sum(dtype=np.float64)) > 0 for size in found.values()):
        raise BadInputError(f"weights {label}: every weight of {profile.name} is 0")
    return tuple(found.get(layer.name) for layer in profile.layers)


def _check_file(path: Path, label: str) -> None:
    try:
        if path.exists() and not path.is_file():
            raise BadInputError(f"weights {label}: is a folder or a device; name a file")
        path.stat()
    except FileNotFoundError as error:
        raise BadInputError(f"weights {label}: no such file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"weights {label}: cannot be read ({one_line(reason)})") from error


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


def _read_onnx(path: Path, layers: list[LayerProfile]) -> dict[str, Magnitudes]:
    label = one_line(path.name)
    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise BadInputError(f"{label}: {size:,} bytes; at most {MAX_MODEL_BYTES:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{label}: cannot be read ({error.strerror})") from error
    request = {"layers": [layer.name for layer in layers]}
    answer = run_limited("profiles.from_onnx.weights", request, data, what=label, limits=_CHILD)
    missing = [layer.name for layer in layers if layer.name not in answer]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise BadInputError(
            f"weights {label}: no node or stored weight is called as the layer "
            f"{missing[0][:80]!r}{more}; give the file that the model was profiled from"
        )
    return {name: _decoded(found, label) for name, found in answer.items()}


def _decoded(found: Any, label: str) -> Magnitudes:
    """What the child sent, which is not to be trusted either."""
    rows, columns = (int(n) for n in found["shape"])
    values = np.frombuffer(base64.b64decode(found["data"]), dtype="<f4")
    if values.size != math.prod((rows, columns)):
        raise BadInputError(f"weights {label}: its reader contradicts itself")
    return values.reshape(rows, columns).astype(np.float32)


@dataclass(frozen=True)
class StoredWeight:
    """How a file stores the weight of a layer.

    Attributes
    ----------
    name : str
        The tensor's name in the file: a torch module's parameter, an ONNX initializer.
    shape : tuple of int
    output_axis, input_axis : int
        Where the output and the input features lie; a kernel has the other axes.
    """

    name: str
    shape: tuple[int, ...]
    output_axis: int = 0
    input_axis: int = 1

    def spread(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of pairs of features, shape (O, I), over the stored tensor."""
        pattern = mask if self.output_axis < self.input_axis else mask.T
        sides = {self.output_axis: mask.shape[0], self.input_axis: mask.shape[1]}
        pattern = pattern.reshape([sides.get(axis, 1) for axis in range(len(self.shape))])
        # contiguous: safetensors writes a view's memory, whatever its strides
        return np.ascontiguousarray(np.broadcast_to(pattern, self.shape))


def stored_weights(
    path: Path, profile: ModelProfile, wanted: NDArray[np.bool_]
) -> tuple[StoredWeight | None, ...]:
    """Where a file that `read_magnitudes` has read stores the weights of some layers.

    Parameters
    ----------
    path, profile, wanted
        As in `read_magnitudes`.

    Returns
    -------
    tuple of StoredWeight, None where not wanted

    Raises
    ------
    BadInputError
        As `read_magnitudes` does.
    """
    layers = [layer for layer, needed in zip(profile.layers, wanted, strict=True) if needed]
    find = _stored_safetensors if path.suffix.lower() == ".safetensors" else _stored_onnx
    found = find(path, layers)
    return tuple(found.get(layer.name) for layer in profile.layers)


def _stored_safetensors(path: Path, layers: list[LayerProfile]) -> dict[str, StoredWeight]:
    from safetensors import SafetensorError, safe_open

    label = one_line(path.name)
    try:
        with safe_open(path, framework="numpy") as tensors:
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadInputError(
            f"weights {label}: cannot be read again: {one_line(str(error))}"
        ) from error
    names = _matched(shapes, layers, label)
    turned = _turned_leaves(shapes, names, layers)
    found = {}
    for layer in layers:
        name = names[layer.name]
        axes = (1, 0) if _is_turned(shapes[name][:2], name, layer, turned) else (0, 1)
        found[layer.name] = StoredWeight(name, shapes[name], *axes)
    return found


def _stored_onnx(path: Path, layers: list[LayerProfile]) -> dict[str, StoredWeight]:
    label = one_line(path.name)
    request = {"layers": [layer.name for layer in layers]}
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{label}: cannot be read ({error.strerror})") from error
    answer = run_limited("profiles.weights", request, data, what=label, limits=_CHILD)
    found = {}
    for layer in layers:
        stored = answer[layer.name]
        shape = tuple(int(side) for side in stored["shape"])
        weight = StoredWeight(str(stored["name"]), shape, *(int(axis) for axis in stored["axes"]))
        sides = [shape[axis] for axis in (weight.output_axis, weight.input_axis)]
        if sides != [layer.out_features, layer.in_features]:
            raise BadInputError(f"weights {label}: its reader contradicts itself")
        found[layer.name] = weight
    return found


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Which tensors of an ONNX file are the weights of some layers; runs in the limited child.

    Parameters
    ----------
    request : dict
        ``layers``: names of a profile's layers that the file has.
    data : bytes
        The file.

    Returns
    -------
    dict
        By layer: ``name``, ``shape`` and ``axes`` (of output and input features).
    """
    from profiles.from_onnx.child import inlined
    from profiles.from_onnx.file import parse
    from profiles.from_onnx.weights import _WEIGHT_AT, _stored_weight, _weighted_nodes

    model = inlined(parse(data))
    makers = {name: node for node in model.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    by_name: dict[str, dict[str, Any]] = {}
    for node in _weighted_nodes(model):
        found = _stored_weight(node.inputs[_WEIGHT_AT[node.op_type]], makers, tensors)
        if found is not None:
            tensor, steps = found
            shape = list(tensor.dims)
            stored = {"name": tensor.name, "shape": shape, "axes": _axes(node, len(shape), steps)}
            by_name.setdefault(tensor.name, stored)
            by_name[node.label] = stored
    return {
        layer: next(by_name[name] for name in (layer, *candidates(layer)) if name in by_name)
        for layer in request["layers"]
    }


def _axes(node: Any, dimensions: int, steps: list[Any]) -> list[int]:
    """Axes of output and input features of a stored tensor that is read by way of some steps."""
    axes = list(range(dimensions))
    for step in steps:
        if step.op_type == "Transpose":
            order = next((list(a.ints) for a in step.attribute if a.name == "perm"), None)
            axes = [axes[axis] for axis in order] if order is not None else axes[::-1]
    if node.op_type == "MatMul":  # of one matrix, so that all other sides are 1
        axes = axes[-2:]
    turned = {"ConvTranspose": True, "MatMul": True}.get(
        node.op_type, node.op_type == "Gemm" and not node.attributes.get("transB", 0)
    )
    return axes[1::-1] if turned else axes[:2]
