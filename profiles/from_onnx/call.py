"""One node of an ONNX graph, as its handler sees it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import onnx

from profiles.from_onnx.emitter import BRANCH_ASSUMED, Emitter
from profiles.from_onnx.inferred import STANDARD_DOMAINS, UNKNOWN_DOMAIN, is_standards
from profiles.from_onnx.ops import shown_name
from profiles.graph import Tensor
from profiles.meanings import call as meanings
from profiles.meanings.call import Constant, roots_of


class Call(meanings.Call):
    """A node under the label of its layer; operands are named by their positions.

    Attributes
    ----------
    used : list of int
        Positions of the outputs that something reads; the first that has a name if nothing does.
    """

    def __init__(self, emitter: Emitter, proto: onnx.NodeProto, label: str) -> None:
        self.emitter = emitter
        self.proto = proto
        self.inputs = tuple(proto.input)
        self.outputs = tuple(proto.output)
        self.used: list[int] = []
        bare = proto.domain in (*STANDARD_DOMAINS, UNKNOWN_DOMAIN)
        standard = bare or is_standards(proto)
        self.op_type = proto.op_type if standard else f"{proto.domain}.{proto.op_type}"[:200]
        taken = self.op_type == "Identity" and self.outputs[0] in emitter.assumed
        super().__init__(
            emitter,
            label,
            op=shown_name(self.op_type),
            source=f"If ({BRANCH_ASSUMED})" if taken else self.op_type,
            reads=_reads(proto),
        )

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Values by name."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in self.proto.attribute}

    def integer(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        return int(self.attributes.get(name, default))

    def integers(self, position: int) -> tuple[int, ...] | None:
        """The values of a small integer constant at an input, if they are known."""
        return self.emitter.integers(self._name(position))

    def numbers(self, position: int) -> tuple[float, ...] | None:
        """The values of a small constant at an input, whatever their type, if they are known."""
        values = self.emitter.inferred.values.get(self._name(position))
        return None if values is None else tuple(float(value) for value in values.reshape(-1))

    def has_input(self, position: int) -> bool:
        """Whether an optional input is there."""
        return bool(self._name(position))

    @property
    def weights(self) -> list[Constant]:
        """The constants that it reads and that may be trained."""
        return [constant for constant in self.constants if constant.is_weight]

    def is_packed(self, constant: Constant) -> bool:
        """Whether it is a matrix of whole numbers of a byte or less: a weight, and no indices."""
        sizes = [self.emitter.stored[root] for root in constant.roots]
        small = bool(sizes) and all(size <= elements for elements, size in sizes)
        return small and not constant.floating and min(len(constant.shape), constant.elements) > 1

    def mark_settings(self, *positions: int) -> None:
        """These inputs belong to the weights' encoding: bytes, but no trained parameters."""
        others = self.constants_at(p for p in range(len(self.inputs)) if p not in positions)
        held = set(roots_of(self.constants_at(positions))) - set(roots_of(others))
        self.emitter.settings.update(held)

    def count_elements(self, packed: Constant, elements: int) -> None:
        """Say how many numbers a tensor of packed ones holds; its bytes stay."""
        for root in packed.roots[:1]:
            self.emitter.stored[root] = (elements, self.emitter.stored[root][1])

    def output(self, position: int = 0) -> Tensor:
        """An output's shape and type, under its own name."""
        where = f"node {self.name!r} ({self.op_type})"
        return self.emitter.described(self.outputs[position], where)

    def _name(self, position: int) -> str:
        return self.inputs[position] if 0 <= position < len(self.inputs) else ""

    def _label(self, op: str, beside: str) -> str:
        return self.emitter.label(f"{self.name}:{beside}") if beside else self.name


def _reads(proto: onnx.NodeProto) -> tuple[str, ...]:
    """Names of all tensors that a node reads, those inside its subgraphs too."""
    names = dict.fromkeys(proto.input)
    attributes = list(proto.attribute)
    while attributes:
        attribute = attributes.pop()
        for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            names.update((name, None) for node in graph.node for name in node.input)
            names.update((value.name, None) for value in graph.output)
            attributes.extend(a for node in graph.node for a in node.attribute)
    return tuple(name for name in names if name)
