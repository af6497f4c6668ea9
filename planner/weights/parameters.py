"""Which stored tensor is the weight of which layer, by name and shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from math import prod

import numpy as np
from numpy.typing import NDArray

from planner.domain.layer_profile import LayerProfile
from planner.errors import BadInputError

_MOST_RENAMINGS = 16  # that are tried
_MOST_COMPARED = 2000  # tensors that are searched for a likely one
Shape = tuple[int, ...]


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
    own_name : str
        What the layer's own module calls the tensor, where another module holds it too, as of a
        head that is tied to its embedding; else empty.
    """

    name: str
    shape: tuple[int, ...]
    output_axis: int = 0
    input_axis: int = 1
    own_name: str = ""

    def spread(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of pairs of features, shape (O, I), over the stored tensor."""
        pattern = mask if self.output_axis < self.input_axis else mask.T
        sides = {self.output_axis: mask.shape[0], self.input_axis: mask.shape[1]}
        pattern = pattern.reshape([sides.get(axis, 1) for axis in range(len(self.shape))])
        # contiguous: safetensors writes a view's memory, whatever its strides
        return np.ascontiguousarray(np.broadcast_to(pattern, self.shape))

    def by_output(self, size: NDArray[np.float32]) -> NDArray[np.float32]:
        """Magnitudes of the tensor's first two axes as (O, I)."""
        return size if self.output_axis < self.input_axis else size.T

    def folded(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The mask of pairs of features, shape (O, I), that was spread."""
        pairs = np.moveaxis(mask, (self.output_axis, self.input_axis), (0, 1))
        whole: NDArray[np.bool_] = pairs.reshape(*pairs.shape[:2], -1)[:, :, 0]
        return whole


def stored_weights(
    shapes: Mapping[str, Shape], layers: Sequence[LayerProfile], label: str
) -> dict[str, StoredWeight]:
    """The stored tensor that is each layer's weight, by the layer's name.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Of all tensors of a file or of a module's state, by name.
    layers : sequence of LayerProfile
        At least one.
    label : str
        What holds the tensors, for the message.

    Raises
    ------
    BadInputError
        A layer's weight is not among them, or has another shape.
    """
    matched = _matched(shapes, layers, label)
    names = {layer: stored for layer, (stored, _) in matched.items()}
    turned = _turned_leaves(shapes, names, layers)
    found = {}
    for layer in layers:
        name = names[layer.name]
        axes = (1, 0) if _is_turned(shapes[name], name, layer, turned) else (0, 1)
        own = matched[layer.name][1]
        found[layer.name] = StoredWeight(name, tuple(shapes[name]), *axes, own)
    return found


def candidates(layer: str) -> Iterator[str]:
    """Names of the weight, the likeliest first.

    A torch module's layer is called by the module's path, with ``:op`` behind it where the
    module has several operators: ``attn.c_attn:linear`` has the weight ``attn.c_attn.weight``.
    """
    while layer:
        yield f"{layer}.weight"
        layer = layer.rpartition(":")[0]


def _is_turned(shape: Shape, name: str, layer: LayerProfile, turned: set[str]) -> bool:
    """Whether a weight is stored as (I, O): transposed convolutions, and GPT-2's projections."""
    if layer.op != "linear":
        return layer.op == "conv_transpose"
    if layer.in_features == layer.out_features:
        return _leaf(name) in turned
    return shape[:2] == (layer.in_features, layer.out_features)


def _turned_leaves(
    shapes: Mapping[str, Shape], names: dict[str, str], layers: Sequence[LayerProfile]
) -> set[str]:
    """Last parts of the paths of weights that are surely stored as (I, O).

    A square weight does not show its orientation; it has that of its namesakes, which their
    layers show, or their biases where they are not among the layers.
    """
    by_layer = {
        _leaf(names[layer.name])
        for layer in layers
        if layer.op == "linear"
        and layer.in_features != layer.out_features
        and shapes[names[layer.name]][:2] == (layer.in_features, layer.out_features)
    }
    by_bias = {
        _leaf(name)
        for name, shape in shapes.items()
        if len(shape) == 2
        and shape[0] != shape[1]
        and name.endswith(".weight")
        # one output each, and outputs are counted by the second side
        and shapes.get(f"{name.removesuffix('.weight')}.bias") == (shape[1],)
    }
    return by_layer | by_bias


def _leaf(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]


def _matched(
    shapes: Mapping[str, Shape], layers: Sequence[LayerProfile], label: str
) -> dict[str, tuple[str, str]]:
    """The stored name of every layer's weight, and `StoredWeight.own_name`.

    Raises
    ------
    BadInputError
        A layer has none.
    """
    by_pair: dict[Shape, list[str]] = {}
    for name, shape in shapes.items():
        by_pair.setdefault(shape[:2], []).append(name)
    missing = layers[0]
    for attempt, renaming in enumerate(islice(_renamings(shapes, layers), _MOST_RENAMINGS)):
        found: dict[str, tuple[str, str]] = {}
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
            f"weights {label}: {wanted[:90]!r} has the shape {shapes[wanted][:8]}; the layer "
            f"{missing.name[:80]!r} has {missing.out_features} output and {missing.in_features} "
            "input features"
        )
    wanted = next(iter(candidates(missing.name)))
    near = get_close_matches(wanted, shapes, n=1) if len(shapes) <= _MOST_COMPARED else []
    hint = f"; did you mean {near[0][:90]!r}?" if near else ""
    raise BadInputError(
        f"weights {label}: no tensor {wanted[:90]!r} for the layer {missing.name[:80]!r}{hint}"
    )


Renaming = tuple[str, str]
"""A prefix to take off a layer's name and one to put before it."""


def _renamings(shapes: Mapping[str, Shape], layers: Sequence[LayerProfile]) -> Iterator[Renaming]:
    """None, then those by which one of the first layers is found.

    A wrapper adds or lacks a prefix, and a kindred model (ViT, DeiT) has another first part.
    """
    tried = {("", "")}
    yield "", ""
    for layer in layers[:_MOST_RENAMINGS]:
        for renaming in _renamings_by(shapes, layer):
            if renaming not in tried:
                tried.add(renaming)
                yield renaming


def _renamings_by(shapes: Mapping[str, Shape], layer: LayerProfile) -> Iterator[Renaming]:
    key = next(iter(candidates(layer.name.partition(":")[0])))
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
    shapes: Mapping[str, Shape],
    by_pair: dict[Shape, list[str]],
    renaming: Renaming,
) -> tuple[str, str] | None:
    """By the layer's name; else the only fitting one of its module, or of all if it is shared."""
    away, before = renaming
    names = [
        before + name.removeprefix(away) if name.startswith(away) else name
        for name in candidates(layer.name)
    ]
    own_name = "" if owns_weight(layer) or not is_module(layer) else names[-1]
    for name in names:
        if name in shapes and fits(shapes[name], layer):
            return name, own_name
    if owns_weight(layer) and ":" not in layer.name:
        return None
    within = names[-1].removesuffix("weight") if owns_weight(layer) else ""
    pair = (layer.out_features, layer.in_features)
    alike = [n for p in {pair, pair[::-1]} for n in by_pair.get(p, ())]
    if len(alike) > _MOST_COMPARED:
        return None
    fitting = [n for n in alike if n.startswith(within) and fits(shapes[n], layer)]
    if len(fitting) != 1:
        return None
    return fitting[0], own_name


def fits(shape: Shape, layer: LayerProfile) -> bool:
    """Whether a tensor can be a layer's weight: one entry or one kernel per pair of features."""
    pair = (layer.out_features, layer.in_features)
    if owns_weight(layer) and prod(shape) != layer.weight_params:
        return False
    if layer.op == "linear":
        return shape in (pair, pair[::-1])
    return shape[:2] == (pair[::-1] if layer.op == "conv_transpose" else pair)


def is_module(layer: LayerProfile) -> bool:
    """Whether a layer is named after a module of its own, which names its weight."""
    return ":" not in layer.name and layer.name != layer.op


def owns_weight(layer: LayerProfile) -> bool:
    """Whether a layer that mixes features counts its weight, which no earlier layer has read.

    One that shares it may still have a bias of its own.
    """
    return layer.in_features * layer.out_features <= layer.weight_params <= layer.params
