"""What handlers of single ATen calls ask for, and where they put what they found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from profiles.from_torch.ops import shown_name
from profiles.from_torch.program import (
    AtenNode,
    AtenProgram,
    CallRecord,
    Ref,
    TensorMeta,
    Value,
    references,
)
from profiles.graph import Kind, Operator, Tensor


@dataclass(frozen=True)
class Constant:
    """A tensor that no input changes, and the stored tensors that it is made of."""

    shape: tuple[int, ...]
    roots: tuple[str, ...]


class Emitter:
    """The activations and constants that are known so far, and the operators that make them."""

    def __init__(self, program: AtenProgram) -> None:
        self.operators: list[Operator] = []
        self.calls: list[CallRecord] = []
        self.values = program.body.values
        self.used = {
            name
            for node in program.body.nodes
            for value in node.arguments.values()
            for name in references(value)
        } | set(program.body.outputs)
        self._parameters = program.parameters
        self._activations: dict[str, Tensor] = {}
        self._constants: dict[str, Constant] = {}
        self._counted: set[str] = set()  # parameters that a layer has
        self._labels: set[str] = set()
        for name, label in program.inputs.items():
            self.bind(name, self.tensor_of(program.body.values[name], self.label(label)))
        for name in program.parameters | program.constants:
            self._constants[name] = Constant(self.values[name].shape, (name,))

    @staticmethod
    def tensor_of(meta: TensorMeta, label: str) -> Tensor:
        """An activation under the label of the layer that makes it."""
        return Tensor(label, meta.shape, meta.dtype, meta.element_bytes)

    def bind(self, name: str, tensor: Tensor) -> None:
        """Say which activation a value is."""
        self._activations[name] = tensor

    def bind_constant(self, name: str, made_of: Iterable[Constant]) -> None:
        """Say that a value depends on no input."""
        if name in self.values:
            roots = dict.fromkeys(root for constant in made_of for root in constant.roots)
            self._constants[name] = Constant(self.values[name].shape, tuple(roots))

    def same(self, name: str, other: str) -> None:
        """Give a value another name."""
        if other in self._activations:
            self._activations[name] = self._activations[other]
        elif other in self._constants:
            self._constants[name] = self._constants[other]

    def activation(self, name: str) -> Tensor | None:
        """The activation of that name, if it is one."""
        return self._activations.get(name)

    def constant(self, name: str) -> Constant | None:
        """The constant of that name, if it is one."""
        return self._constants.get(name)

    def labels(self, names: Iterable[str]) -> dict[str, str]:
        """The labels of those values that are activations at present."""
        return {name: self._activations[name].name for name in names if name in self._activations}

    def record(self, node: AtenNode, reads: dict[str, str], first: int) -> None:
        """Note that all operators from the given one on stand for a call."""
        made = tuple(operator.name for operator in self.operators[first:])
        bound = self.labels(node.outputs)
        outputs = {
            bound[name]: position
            for position, name in enumerate(node.outputs)
            if bound.get(name) in made
        }
        self.calls.append(CallRecord(node.name, reads, made, outputs))

    def write_through(self, node: AtenNode, whole: str, part: str) -> None:
        """A tensor of which a node wrote a part is made of both from then on."""
        written = self._activations.get(part)
        if written is None or whole not in self.values:
            return
        before = self._activations.get(whole)
        inputs = (before, written) if before is not None else (written,)
        weights = [] if before is not None else filter(None, [self._constants.get(whole)])
        meta = self.values[whole]
        made = self.add(node, "gather", inputs, meta, "write", "write", weights)
        self.bind(whole, made)

    def add(
        self,
        node: AtenNode,
        kind: Kind,
        inputs: Sequence[Tensor],
        meta: TensorMeta,
        op: str,
        step: str,
        weights: Iterable[Constant],
        **attributes: Any,
    ) -> Tensor:
        """Add an operator that stands for a node, or for a step of what it does."""
        label = self.label(node.module or op, op)
        params, param_bytes = self._count_params(weights)
        output = self.tensor_of(meta, label)
        self.operators.append(
            Operator(
                name=label,
                kind=kind,
                op=op,
                source_op=f"{node.target} ({step})" if step else node.target,
                inputs=tuple(tensor.name for tensor in inputs),
                output=output,
                params=params,
                param_bytes=param_bytes,
                module=node.module,
                **attributes,
            )
        )
        return output

    def label(self, wanted: str, op: str = "") -> str:
        """A label that no other layer has."""
        label, count = wanted, 1
        while label in self._labels:
            count += 1
            if not op:
                label = f"{wanted}:{count}"
            else:
                label = f"{wanted}:{op}" if count == 2 else f"{wanted}:{op}:{count - 1}"
        self._labels.add(label)
        return label

    def _count_params(self, weights: Iterable[Constant]) -> tuple[int, int]:
        """Parameters, each counted once where layers share it, and bytes of all that is stored."""
        roots = dict.fromkeys(root for constant in weights for root in constant.roots)
        fresh = [r for r in roots if r in self._parameters and r not in self._counted]
        self._counted.update(fresh)
        params = sum(prod(self.values[root].shape) for root in fresh)
        stored = (self.values[root] for root in roots)
        return params, sum(prod(meta.shape) * meta.element_bytes for meta in stored)


def base_name(target: str) -> str:
    """``aten.add_.Tensor`` as ``add``; operators outside ATen keep their whole name."""
    namespace, _, rest = target.partition(".")
    name = rest.partition(".")[0]
    if namespace != "aten" or not name:
        return target
    return name if name.startswith("__") else name.rstrip("_")


def writes_in_place(target: str) -> bool:
    """Whether a call changes its first argument: ``aten.add_.Tensor``."""
    namespace, _, rest = target.partition(".")
    name = rest.partition(".")[0]
    return namespace == "aten" and name.endswith("_") and not name.endswith("__")


class Call:
    """One node, as its handler sees it."""

    def __init__(self, emitter: Emitter, node: AtenNode) -> None:
        self._emitter = emitter
        self.node = node
        self.base = base_name(node.target)

    # Arguments.

    def value(self, name: str, default: Value = None) -> Value:
        """An argument as it is; its default where the call leaves it out or gives None."""
        found = self.node.arguments.get(name)
        return default if found is None else found

    def integer(self, name: str, default: int) -> int:
        """A whole number; the default where it is none."""
        found = self.value(name, default)
        return found if isinstance(found, int) else default

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Whole numbers, or a single one; None where they are not known."""
        found = self.value(name)
        items = found if isinstance(found, tuple) else (found,)
        numbers = tuple(item for item in items if isinstance(item, int))
        return numbers if len(numbers) == len(items) else None

    def tensor(self, name: str) -> Tensor | None:
        """The activation that is this argument, if it is one."""
        found = self.value(name)
        return self._emitter.activation(found.name) if isinstance(found, Ref) else None

    def constant(self, name: str) -> Constant | None:
        """The constant that is this argument, if it is one."""
        found = self.value(name)
        return self._emitter.constant(found.name) if isinstance(found, Ref) else None

    def operand(self, name: str) -> Tensor | Constant | None:
        """The activation or constant that is this argument."""
        return self._operand(self.value(name))

    def operands(self, name: str) -> list[Tensor | Constant | None]:
        """The activations or constants in an argument that is a list."""
        found = self.value(name)
        return [self._operand(item) for item in found] if isinstance(found, tuple) else []

    def _operand(self, item: Value) -> Tensor | Constant | None:
        if not isinstance(item, Ref):
            return None
        return self._emitter.activation(item.name) or self._emitter.constant(item.name)

    @property
    def _references(self) -> list[str]:
        return [name for value in self.node.arguments.values() for name in references(value)]

    @property
    def activations(self) -> list[Tensor]:
        """All activations that it reads, in order."""
        found = (self._emitter.activation(name) for name in self._references)
        return [tensor for tensor in found if tensor is not None]

    @property
    def constants(self) -> list[Constant]:
        """All constants that it reads, in order."""
        found = (self._emitter.constant(name) for name in self._references)
        return [constant for constant in found if constant is not None]

    # Results.

    def output_shape(self, position: int = 0) -> tuple[int, ...]:
        """Shape of an output."""
        return self._meta(position).shape

    def _meta(self, position: int = 0) -> TensorMeta:
        return self._emitter.values[self.node.outputs[position]]

    @property
    def used(self) -> list[int]:
        """Positions of the outputs that something reads; the first where nothing does."""
        found = [
            index for index, name in enumerate(self.node.outputs) if name in self._emitter.used
        ]
        return found or [0]

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
        **attributes: Any,
    ) -> Tensor:
        """Add an operator (`profiles.meanings.protocol.Call`), named after the module."""
        meta = self._meta(position)
        if shape is not None:
            meta = TensorMeta(tuple(shape), meta.dtype, meta.element_bytes)
        op = op or shown_name(self.base)
        made = self._emitter.add(self.node, kind, inputs, meta, op, step, weights, **attributes)
        if shape is None:
            self.bind(made, position)
        return made

    def add_all(self, kind: Kind, inputs: Sequence[Tensor], op: str = "") -> None:
        """Add an operator for every output that something reads; the first owns the constants."""
        first, *others = self.used
        self.add(kind, inputs, op, position=first, weights=self.constants)
        for position in others:
            self.add(kind, inputs, op, position=position, step=op or shown_name(self.base))

    def bind(self, tensor: Tensor, position: int = 0) -> None:
        """Say which activation an output is."""
        self._emitter.bind(self.node.outputs[position], tensor)
