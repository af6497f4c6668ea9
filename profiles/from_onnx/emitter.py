"""What handlers of single ONNX operators ask for, and where they put what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, KeysView, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import onnx

from planner.errors import BadInputError
from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred, ShapeGapError
from profiles.from_onnx.inputs import MAX_DIMENSIONS, MAX_ELEMENTS
from profiles.from_onnx.ops import shown_name
from profiles.graph import Graph, Kind, Operator, Tensor

BRANCH_ASSUMED = "the branch with more work assumed"
Made = list[Tensor | None]
"""The activations that a node makes, one per output as far as its handler knows them."""


@dataclass(frozen=True)
class Constant:
    """A tensor that no input changes.

    Attributes
    ----------
    roots : frozenset of str
        The stored tensors whose elements it is made of.
    from_shape : bool
        The model computes it from the shape of an activation.
    """

    shape: tuple[int, ...]
    floating: bool
    roots: frozenset[str]
    from_shape: bool = False

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def is_weight(self) -> bool:
        """Whether it may be one: single numbers and counts are settings."""
        return self.floating and self.elements > 1


class Node:
    """One node of the file, with the label of its layer."""

    def __init__(self, proto: onnx.NodeProto, label: str) -> None:
        self.proto = proto
        self.label = label
        self.inputs = tuple(proto.input)
        self.outputs = tuple(proto.output)
        standard = proto.domain in STANDARD_DOMAINS
        self.op_type = proto.op_type if standard else f"{proto.domain}.{proto.op_type}"[:200]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Values by name."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in self.proto.attribute}

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


class Emitter:
    """The tensors of a model that are known so far, and the operators that make them."""

    def __init__(
        self,
        inferred: Inferred,
        opsets: list[onnx.OperatorSetIdProto],
        assumed: dict[str, str],
        inner: Callable[[onnx.ModelProto], Graph],
    ) -> None:
        self.opsets = opsets
        self.opset = max((o.version for o in opsets if o.domain in STANDARD_DOMAINS), default=1)
        self.operators: list[Operator] = []
        self.inferred = inferred
        self.inner = inner  # the graph of a loop's body
        self._assumed = assumed  # output -> what was assumed to get it
        self._activations: dict[str, Tensor] = {}  # ONNX tensor -> activation
        self._constants: dict[str, Constant] = {}
        self._stored: dict[str, tuple[int, int]] = {}  # root -> elements, bytes
        self._settings: set[str] = set()  # roots that are no trained parameters
        self._counted: set[str] = set()  # roots whose parameters a layer has
        self._labels: set[str] = set()

    # Operands and results of a node.

    def activation(self, node: Node, position: int) -> Tensor | None:
        """The activation at an input, if it is one."""
        return self._activations.get(_input(node, position))

    def activations(self, node: Node) -> list[Tensor]:
        """All activations that a node reads, those inside its subgraphs too."""
        return [self._activations[name] for name in node.reads if name in self._activations]

    def constant(self, node: Node, position: int) -> Constant | None:
        """The constant at an input, if it is one."""
        return self._constants.get(_input(node, position))

    def constants(self, node: Node) -> list[Constant]:
        """All constants that a node reads, those inside its subgraphs too."""
        return [self._constants[name] for name in node.reads if name in self._constants]

    @property
    def constant_names(self) -> KeysView[str]:
        """Tensors that no input changes, as far as they are known."""
        return self._constants.keys()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed."""
        return tuple(dict.fromkeys(self._assumed.values()))

    def assume(self, output: str, what: str) -> None:
        """Note an assumption that an output rests on."""
        self._assumed[output] = what

    def integers(self, node: Node, position: int) -> tuple[int, ...] | None:
        """The values of a small integer constant at an input, if they are known."""
        values = self.inferred.values.get(_input(node, position))
        if values is None or values.dtype.kind not in "iu":
            return None
        return tuple(int(value) for value in values.reshape(-1))

    def has_input(self, node: Node, position: int) -> bool:
        """Whether an optional input is there."""
        return bool(_input(node, position))

    def output(self, node: Node, position: int = 0, label: str = "") -> Tensor:
        """An output's shape and type, under the label of the layer that makes it."""
        described = self.described(node.outputs[position], f"node {node.label!r} ({node.op_type})")
        return self.like(described, described.shape, label or node.label)

    @staticmethod
    def like(tensor: Tensor, shape: tuple[int, ...], label: str) -> Tensor:
        """A tensor of the same type."""
        return Tensor(label, shape, tensor.dtype, tensor.element_bytes)

    def described(self, name: str, where: str) -> Tensor:
        """An ONNX tensor as inference describes it.

        Raises
        ------
        ShapeGapError
            Its shape is not known.
        BadInputError
            Its shape is empty or absurd; it holds no numbers.
        """
        shape = self.inferred.shapes.get(name)
        if shape is None:
            raise ShapeGapError(f"shape inference left no shape for the output {name!r} of {where}")
        if len(shape) > MAX_DIMENSIONS:
            raise BadInputError(
                f"{where} has a tensor of {len(shape)} dimensions; at most {MAX_DIMENSIONS} "
                "are read"
            )
        if min(shape, default=1) < 1 or prod(shape) > MAX_ELEMENTS:
            raise BadInputError(
                f"{where} has a tensor of shape {shape}; sizes are at least 1, "
                f"with at most {MAX_ELEMENTS:,} elements"
            )
        dtype, element_bytes, _ = _element(self.inferred.element_types.get(name, 0), where)
        return Tensor(name, shape, dtype, element_bytes)

    # What a node turns out to be.

    def label(self, wanted: str) -> str:
        """A label that no other layer has."""
        label, count = wanted, 1
        while label in self._labels:
            count += 1
            label = f"{wanted}_{count}"
        self._labels.add(label)
        return label

    def emit(
        self,
        node: Node,
        kind: Kind,
        inputs: Sequence[Tensor],
        output: Tensor,
        *,
        op: str = "",
        step: str = "",
        weights: Iterable[Constant] = (),
        statistics: Iterable[Constant] = (),
        axes: Iterable[int] = (),
        **attributes: Any,
    ) -> Tensor:
        """Add an operator.

        Parameters
        ----------
        op : str
            The name that the profile shows, the node's own by default.
        step : str
            What it does for its node, where a node needs several operators.
        weights, statistics : iterable of Constant
            Trained ones, and those that are only stored.
        axes : iterable of int
            Dimensions that it works on; those that its first input lacks are left out.
        **attributes
            More fields of `profiles.graph.Operator`.

        Returns
        -------
        Tensor
            The output.
        """
        if node.op_type == "Identity" and node.outputs[0] in self._assumed:
            source = f"If ({BRANCH_ASSUMED})"
        else:
            source = f"{node.op_type} ({step})" if step else node.op_type
        trained = {root for weight in weights for root in weight.roots}
        stored = trained | {root for constant in statistics for root in constant.roots}
        fresh = trained - self._counted - self._settings
        self._counted |= fresh
        self.operators.append(
            Operator(
                name=output.name,
                kind=kind,
                op=op or shown_name(node.op_type),
                source_op=source,
                inputs=tuple(tensor.name for tensor in inputs),
                output=output,
                axes=tuple(axis for axis in axes if axis < len(inputs[0].shape)),
                params=sum(self._stored[root][0] for root in fresh),
                param_bytes=sum(self._stored[root][1] for root in stored),
                **attributes,
            )
        )
        return output

    def bind(self, name: str, tensor: Tensor) -> None:
        """Say which activation an ONNX tensor is."""
        self._activations[name] = tensor

    def tensor(self, name: str) -> Tensor | None:
        """The activation that an ONNX tensor is."""
        return self._activations.get(name)

    def store(self, name: str, data_type: int, shape: tuple[int, ...], elements: int) -> Constant:
        """Keep a tensor that the file holds."""
        _, element_bytes, floating = _element(data_type, f"tensor {name!r}")
        if elements > MAX_ELEMENTS:
            raise BadInputError(f"tensor {name!r} has the shape {shape}, which is too large")
        self._stored[name] = (elements, elements * element_bytes)
        self._constants[name] = Constant(shape, floating, frozenset({name}))
        return self._constants[name]

    def derive(self, name: str, made_of: Iterable[Constant], from_shape: bool) -> None:
        """Keep a tensor that the model computes from constants or shapes."""
        shape = self.inferred.shapes.get(name)
        data_type = self.inferred.element_types.get(name, 0)
        if shape is None or not data_type:
            return  # a layer that needs it does not find it, and says so
        roots: frozenset[str] = frozenset().union(*(constant.roots for constant in made_of))
        self._constants[name] = Constant(shape, _element(data_type, name)[2], roots, from_shape)

    def mark_settings(self, constants: Iterable[Constant]) -> None:
        """These belong to the weights' encoding: bytes, but no trained parameters."""
        self._settings.update(root for constant in constants for root in constant.roots)


def _input(node: Node, position: int) -> str:
    return node.inputs[position] if position < len(node.inputs) else ""


def _element(data_type: int, where: str) -> tuple[str, int, bool]:
    """Name, bytes and whether it is a floating-point type."""
    if data_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        found = "text" if data_type else "elements of an unknown type"
        raise BadInputError(f"{where} holds {found}; only numbers can be profiled")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    name = onnx.TensorProto.DataType.Name(data_type)
    return str(dtype), dtype.itemsize, "FLOAT" in name or "DOUBLE" in name
