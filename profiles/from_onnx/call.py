"""One node of an ONNX graph, as its handler sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import onnx

from profiles.from_onnx.emitter import BRANCH_ASSUMED, Constant, Emitter
from profiles.from_onnx.inferred import STANDARD_DOMAINS
from profiles.from_onnx.ops import shown_name
from profiles.graph import Kind, Operator, Tensor

_PRODUCTS = ("attention", "linear", "matmul")
"""Kinds whose steps have the type of the node's output; others have their first input's."""


class Call:
    """A node under the label of its layer; operands are named by their positions.

    Attributes
    ----------
    made : dict of int to Tensor
        The activations that it is known to make, by the position of the output.
    """

    def __init__(self, emitter: Emitter, proto: onnx.NodeProto, label: str) -> None:
        self.emitter = emitter
        self.proto = proto
        self.label = label
        self.inputs = tuple(proto.input)
        self.outputs = tuple(proto.output)
        self.made: dict[int, Tensor] = {}
        standard = proto.domain in STANDARD_DOMAINS
        self.op_type = proto.op_type if standard else f"{proto.domain}.{proto.op_type}"[:200]

    # Arguments.

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Values by name."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in self.proto.attribute}

    def integer(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        return int(self.attributes.get(name, default))

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of all tensors that it reads, those inside its subgraphs too."""
        names = dict.fromkeys(self.inputs)
        attributes = list(self.proto.attribute)
        while attributes:
            attribute = attributes.pop()
            for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                names.update((name, None) for node in graph.node for name in node.input)
                names.update((value.name, None) for value in graph.output)
                attributes.extend(a for node in graph.node for a in node.attribute)
        return tuple(name for name in names if name)

    def has_input(self, position: int) -> bool:
        """Whether an optional input is there."""
        return bool(self._input(position))

    def tensor(self, position: int) -> Tensor | None:
        """The activation at an input, if it is one."""
        return self.emitter.tensor(self._input(position))

    def constant(self, position: int) -> Constant | None:
        """The constant at an input, if it is one."""
        return self.emitter.constant(self._input(position))

    def operand(self, position: int) -> Tensor | Constant | None:
        """The activation or constant at an input."""
        return self.tensor(position) or self.constant(position)

    def tensors(self, positions: Iterable[int]) -> list[Tensor]:
        """The activations among some inputs."""
        return [found for position in positions if (found := self.tensor(position))]

    def constants(self, positions: Iterable[int]) -> list[Constant]:
        """The constants among some inputs."""
        return [found for position in positions if (found := self.constant(position))]

    @property
    def activations(self) -> list[Tensor]:
        """All activations that it reads, those inside its subgraphs too."""
        return [found for name in self.reads if (found := self.emitter.tensor(name))]

    @property
    def all_constants(self) -> list[Constant]:
        """All constants that it reads, those inside its subgraphs too."""
        return [found for name in self.reads if (found := self.emitter.constant(name))]

    @property
    def weights(self) -> list[Constant]:
        """The constants among them that may be trained."""
        return [constant for constant in self.all_constants if constant.is_weight]

    def integers(self, position: int) -> tuple[int, ...] | None:
        """The values of a small integer constant at an input, if they are known."""
        return self.emitter.integers(self._input(position))

    def mark_settings(self, *positions: int) -> None:
        """These inputs belong to the weights' encoding: bytes, but no trained parameters."""
        self.emitter.mark_settings(self.constants(positions))

    def _input(self, position: int) -> str:
        return self.inputs[position] if position < len(self.inputs) else ""

    # Results.

    def output(self, position: int = 0) -> Tensor:
        """An output's shape and type, under its own name."""
        where = f"node {self.label!r} ({self.op_type})"
        return self.emitter.described(self.outputs[position], where)

    def output_shape(self, position: int = 0) -> tuple[int, ...]:
        """Shape of an output."""
        return self.output(position).shape

    def add(
        self,
        kind: Kind,
        inputs: Sequence[Tensor],
        op: str = "",
        *,
        shape: Sequence[int] | None = None,
        position: int = 0,
        step: str = "",
        name: str | None = None,
        weights: Iterable[Constant] = (),
        axes: Iterable[int] = (),
        **attributes: Any,
    ) -> Tensor:
        """Add an operator (`profiles.meanings.protocol.Call`); its name begins with the node's.

        Dimensions of ``axes`` that the first input lacks are left out.
        """
        if shape is None:
            output, beside = self.output(position), str(position) if position else ""
        else:
            like = self.output(position) if kind in _PRODUCTS else inputs[0]
            output, beside = self.emitter.like(like, tuple(shape), ""), step
        beside = beside if name is None else name
        label = self.emitter.label(f"{self.label}:{beside}") if beside else self.label
        output = self.emitter.like(output, output.shape, label)
        if self.op_type == "Identity" and self.emitter.is_assumed(self.outputs[0]):
            source = f"If ({BRANCH_ASSUMED})"
        else:
            source = f"{self.op_type} ({step})" if step else self.op_type
        params, param_bytes = self.emitter.count_params(weights)
        self.emitter.operators.append(
            Operator(
                name=label,
                kind=kind,
                op=op or shown_name(self.op_type),
                source_op=source,
                inputs=tuple(tensor.name for tensor in inputs),
                output=output,
                axes=tuple(axis for axis in axes if axis < len(inputs[0].shape)),
                params=params,
                param_bytes=param_bytes,
                **attributes,
            )
        )
        if shape is None:
            self.bind(output, position)
        return output

    def bind(self, tensor: Tensor, position: int = 0) -> None:
        """Say which activation an output is."""
        self.made[position] = tensor
