"""What handlers of single ATen calls ask for, and where they put what they found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, count
from math import prod

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
from profiles.graph import Kind, Spans, Tensor
from profiles.meanings import call as meanings
from profiles.meanings.call import Constant, Operand, roots_of

Examples = dict[int, int]
"""By the nesting of a vmap, the number of examples that a tensor stands for one of."""


@dataclass(frozen=True)
class Unread:
    """A call whose result nobody reads: the module that makes it, and its multiply-accumulates."""

    module: str
    macs: int


class Emitter(meanings.Emitter):
    """The activations and constants that are known so far, and the operators that make them."""

    def __init__(self, program: AtenProgram) -> None:
        super().__init__()
        self.calls: list[CallRecord] = []
        self.unread: list[Unread] = []
        self.assumed: list[str] = []  # what a count rests on
        self.unknown: list[str] = []  # unknown operators on constants alone
        self.examples: dict[str, Examples] = {}  # of values inside of a vmap
        self.values = program.body.values
        self.used = {
            name
            for node in program.body.nodes
            for value in node.arguments.values()
            for name in references(value)
        } | set(program.body.outputs)
        for name, label in program.inputs.items():
            self.activations[name] = tensor_of(self.values[name], self.label(label))
        for name in program.parameters | program.constants:
            meta = self.values[name]
            elements = prod(meta.shape) * (1 + program.alike.get(name, 0))
            self.stored[name] = (elements, elements * meta.element_bytes)
            self.constants[name] = Constant(meta.shape, (name,))
        self.settings = set(program.constants - program.parameters)

    def bind_constant(
        self, name: str, made_of: Iterable[Constant], makings: tuple[str, ...] = ()
    ) -> None:
        """Say that a value depends on no input."""
        if name in self.values:
            roots = roots_of(made_of)
            self.constants[name] = Constant(self.values[name].shape, roots, makings=makings)

    def same(self, name: str, other: str) -> None:
        """Give a value another name."""
        if other in self.activations:
            self.activations[name] = self.activations[other]
        elif other in self.constants:
            self.constants[name] = self.constants[other]

    def labels(self, names: Iterable[str]) -> dict[str, str]:
        """The labels of those values that are activations at present."""
        return {name: self.activations[name].name for name in names if name in self.activations}

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
        written = self.activations.get(part)
        if written is None or whole not in self.values:
            return
        before = self.activations.get(whole)
        weights = [] if before is not None else [self.constants.get(whole)]
        self.activations[whole] = Call(self, node).add(
            "gather",
            [written] if before is None else [before, written],
            "write",
            shape=self.values[whole].shape,
            step="write",
            weights=filter(None, weights),
        )

    def label(self, wanted: str, op: str = "") -> str:
        """A label that no other layer has."""
        stem = f"{wanted}:{op}" if op else wanted
        return self.take_label(chain([wanted, stem], (f"{stem}:{n}" for n in count(2))))


def tensor_of(meta: TensorMeta, label: str) -> Tensor:
    """An activation under the label of the layer that makes it."""
    return Tensor(label, meta.shape, meta.dtype, meta.element_bytes)


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


class Call(meanings.Call):
    """One node, as its handler sees it; arguments have the names of the operator's schema."""

    def __init__(self, emitter: Emitter, node: AtenNode) -> None:
        self.emitter = emitter
        self.node = node
        self.base = base_name(node.target)
        super().__init__(
            emitter,
            node.name,
            op=shown_name(self.base),
            source=node.target,
            reads=[name for value in node.arguments.values() for name in references(value)],
            module=node.module,
        )

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

    def operands(self, name: str) -> list[Operand]:
        """The activations and constants in an argument that is a list."""
        items = self.value(name)
        return [self.operand(item) for item in items] if isinstance(items, tuple) else []

    def assume(self, what: str) -> None:
        """Say what the call's count rests on."""
        self.emitter.assumed.append(what)

    @property
    def used(self) -> list[int]:
        """Positions of the outputs that something reads; the first where nothing does."""
        found = [index for index, name in enumerate(self.node.outputs) if name in self.emitter.used]
        return found or [0]

    def add_all(self, kind: Kind, op: str = "", *, spans: Spans = ()) -> None:
        """Add an operator on all that it reads for every output that is used.

        The first owns the constants.
        """
        first, *others = self.used
        inputs, weights = self.activations, self.constants
        self.add(kind, inputs, op, position=first, weights=weights, spans=spans)
        for position in others:
            self.add(kind, inputs, op, position=position, step=op or self.op, spans=spans)

    def output(self, position: int = 0) -> Tensor:
        """An output's shape and type."""
        return tensor_of(self.emitter.values[self.node.outputs[position]], "")

    def _name(self, key: Value) -> str:
        found = self.value(key) if isinstance(key, str) else key
        return found.name if isinstance(found, Ref) else ""

    def _label(self, op: str, beside: str) -> str:
        return self.emitter.label(self.module or op, op)
