"""Which positions a network's layers really read: change one of them and see what else changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from planner.domain.layer_profile import LayerProfile
from planner.domain.positions import Geometry
from planner.runtime.reading.traced import Atoms, TracedCall, TracedModel
from profiles.from_torch.runnable import traced_model

Mask = NDArray[np.bool_]


@dataclass
class Reading:
    """One input of one call, and one of its outputs.

    ``said`` and ``seen``: whether output position r may read input position p, and whether it
    changes with it.
    """

    layer: LayerProfile
    source: str
    said: Mask
    seen: Mask
    steps: int


class Network:
    """A module, traced, and the value of every node of its graph for random inputs."""

    def __init__(self, module: nn.Module, *inputs: Tensor, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.module = module.double().eval()
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.data.uniform_(0.1, 1)
        names = [f"x{index}" for index in range(len(inputs))]
        types = {n: str(x.dtype).removeprefix("torch.") for n, x in zip(names, inputs, strict=True)}
        shapes = {name: tuple(x.shape) for name, x in zip(names, inputs, strict=True)}
        self.traced: TracedModel = traced_model(self.module, shapes, dtypes=types)
        self.layers = {layer.name: layer for layer in self.traced.profile.layers}
        self.nodes = {node.name: node for node in self.traced.program.graph.nodes}
        self.values: dict[str, Any] = {}
        signature = self.traced.program.graph_signature
        given = dict(zip(signature.user_inputs, inputs, strict=True))
        for node in self.traced.program.graph.nodes:
            if node.op == "placeholder":
                self.values[node.name] = self._held(node.name, signature, given)
            elif node.op == "get_attr":
                self.values[node.name] = getattr(self.traced.program.graph_module, node.target)
            elif node.op == "call_function":
                self.values[node.name] = self._run(node, self.values)

    def _held(self, name: str, signature: Any, given: dict[str, Tensor]) -> Tensor:
        for names, get in (
            (signature.inputs_to_parameters, self.module.get_parameter),
            (signature.inputs_to_buffers, self.module.get_buffer),
        ):
            if name in names:
                found: Tensor = get(names[name]).detach()
                return found
        constants = signature.inputs_to_lifted_tensor_constants
        if name in constants:
            constant: Tensor = self.traced.program.constants[constants[name]]
            return constant
        return given[name]

    def _run(self, node: Any, values: dict[str, Any]) -> Any:
        def own(other: Any) -> Any:
            value = values[other.name]
            return value.clone() if isinstance(value, Tensor) else value  # some write in place

        arguments, options = torch.fx.node.map_arg((node.args, node.kwargs), own)
        if "device" in options:
            options = {**options, "device": torch.device("cpu")}
        with torch.no_grad():
            return node.target(*arguments, **options)

    def readings(self, axis: str) -> Iterator[Reading]:
        """Of all calls whose input and output both have positions (``axis``) to be parted by."""
        for call in self.traced.calls:
            if call.node not in self.nodes:
                continue  # inside of a graph that another one runs
            for value, source in call.reads.items():
                for output, place in call.outputs.items():
                    found = self._reading(call, value, source, output, place, axis)
                    if found is not None:
                        yield found

    def _reading(
        self, call: TracedCall, value: str, source: str, output: str, place: int, axis: str
    ) -> Reading | None:
        geometry: Geometry | None = getattr(self.layers[output], axis)
        inner, outer = (getattr(self.traced.tensor(name), axis) for name in (source, output))
        if not inner or not outer:
            return None
        assert geometry is not None
        count = _count(inner)
        assert _count(outer) == geometry.count
        said = self._said(call, source, output, axis, count)
        node = self.nodes[call.node]
        before = self.values[value]
        old = _output(self.values[call.node], place)
        rows = _numbers(outer, tuple(old.shape))
        columns = torch.from_numpy(_numbers(inner, tuple(before.shape)))
        seen = np.zeros((geometry.count, count), dtype=bool)
        for position in range(count):
            here = (columns == position).expand(before.shape)
            if before.is_floating_point():
                other = before + 5 + torch.rand_like(before)
            else:
                other = (before + 1) % 7
            changed = torch.where(here, other, before)
            new = _output(self._run(node, {**self.values, value: changed}), place)
            # Sums in another order differ in their last digits.
            differs = ~torch.isclose(new, old, rtol=1e-9, atol=1e-12, equal_nan=True).numpy()
            seen[np.unique(np.broadcast_to(rows, old.shape)[differs]), position] = True
        return Reading(self.layers[output], source, said, seen, len(call.layers))

    def _said(self, call: TracedCall, source: str, output: str, axis: str, count: int) -> Mask:
        """Windows of the call's layers, one after the other from its output back."""
        geometry: Geometry = getattr(self.layers[output], axis)
        wanted: dict[str, Mask] = {output: np.eye(geometry.count, dtype=bool)}
        for name in reversed(call.layers):
            layer = self.layers[name]
            if name not in wanted:
                continue
            here: Geometry | None = getattr(layer, axis)
            for index, read in enumerate(layer.inputs):
                positions = count if read == source else _counted(self.layers.get(read), axis)
                window = here.reads[index] if here is not None else None
                if window is not None:
                    need = window.reads(wanted[name], positions)
                else:
                    need = np.repeat(wanted[name].any(-1, keepdims=True), max(positions, 1), -1)
                wanted[read] = wanted[read] | need if read in wanted else need
        return wanted.get(source, np.zeros((geometry.count, count), dtype=bool))


def _counted(layer: LayerProfile | None, axis: str) -> int:
    geometry: Geometry | None = getattr(layer, axis) if layer is not None else None
    return geometry.count if geometry is not None else 0


def _output(value: Any, place: int) -> Tensor:
    found: Tensor = value[place] if isinstance(value, (tuple, list)) else value
    return found


def _count(dimensions: tuple[Atoms, ...]) -> int:
    return int(np.prod([size for atoms in dimensions for size, step in atoms if step]))


def _numbers(dimensions: tuple[Atoms, ...], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The position of every element, in a shape that broadcasts to the tensor's."""
    total = np.zeros((1,) * len(shape), dtype=np.int64)
    for axis, (atoms, size) in enumerate(zip(dimensions, shape, strict=True)):
        assert int(np.prod([part for part, _ in atoms])) == size
        index, found = np.arange(size), np.zeros(size, dtype=np.int64)
        for part, step in reversed(atoms):
            found += index % part * step
            index = index // part
        form = [1] * len(shape)
        form[axis] = size
        total = total + found.reshape(form)
    return total
