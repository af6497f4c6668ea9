"""One call of a front end's graph, and the operators that its meaning adds to the profile's.

This is all that `profiles.meanings` knows of a front end. A handler translates names, attributes
and the order of arguments; the functions beside this file say what the operator does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeVar

from profiles.graph import Kind, Making, Operator, Stored, Tensor

Shape = tuple[int, ...]
_PRODUCTS = ("attention", "conv", "conv_transpose", "linear", "matmul")
"""Kinds whose steps have the type of the call's output; others have their first input's."""


class UnknownFormError(Exception):
    """A call of a form that its handler does not know: it stays opaque, and coverage names it."""


class MisfitError(ValueError):
    """Operands of a call that do not fit each other; says what the call does with what."""


def require(known: bool) -> None:
    """Leave a call opaque unless its form is known; to be asked before any operator is added."""
    if not known:
        raise UnknownFormError


@dataclass(frozen=True)
class Constant:
    """A tensor that no input changes.

    Attributes
    ----------
    roots : tuple of str
        The stored tensors whose elements it is made of.
    floating : bool
        It holds floating-point numbers.
    from_shape : bool
        The model computes it from the shape of an activation.
    trained : bool
        Its elements are parameters of the layer that owns it, and not only stored with it.
    makings : tuple of str
        The products of constants alone that it comes from (see `Emitter.makings`).
    """

    shape: Shape
    roots: tuple[str, ...]
    floating: bool = True
    from_shape: bool = False
    trained: bool = True
    makings: tuple[str, ...] = ()

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def is_weight(self) -> bool:
        """Whether it may be one where a front end cannot tell: numbers and counts are settings."""
        return self.floating and self.elements > 1


Operand = Tensor | Constant
_Found = TypeVar("_Found")


def _needed(found: _Found | None) -> _Found:
    if found is None:
        raise UnknownFormError
    return found


def roots_of(constants: Iterable[Constant]) -> tuple[str, ...]:
    """The stored tensors that some constants are made of, each once."""
    return tuple(dict.fromkeys(root for constant in constants for root in constant.roots))


def makings_of(constants: Iterable[Constant]) -> tuple[str, ...]:
    """The products of constants alone that some constants come from, each once."""
    return tuple(dict.fromkeys(name for constant in constants for name in constant.makings))


def stored_only(constants: Iterable[Constant]) -> list[Constant]:
    """These as tensors that a layer stores and does not train."""
    return [replace(constant, trained=False) for constant in constants]


def many(constants: Iterable[Constant]) -> list[Constant]:
    """Those of more than one number: single ones are settings of an operator."""
    return [constant for constant in constants if constant.elements > 1]


class Emitter:
    """The tensors of a graph that are known so far, and the operators that make them."""

    def __init__(self) -> None:
        self.operators: list[Operator] = []
        self.stored: dict[str, tuple[int, int]] = {}  # root -> elements, bytes
        self.settings: set[str] = set()  # roots that are no trained parameters
        self.makings: dict[str, Making] = {}  # by a name of their own
        self.activations: dict[str, Tensor] = {}  # by the front end's own names
        self.constants: dict[str, Constant] = {}
        self._readers: dict[str, str] = {}  # root -> the last layer that stores it
        self._counted: set[str] = set()  # roots whose parameters a layer has
        self._made: set[str] = set()  # makings whose work a layer has
        self._labels: set[str] = set()

    def take_label(self, wanted: Iterable[str]) -> str:
        """The first of these names that no other layer has."""
        label = next(name for name in wanted if name not in self._labels)
        self._labels.add(label)
        return label

    def taken(self, label: str, weights: Iterable[Constant]) -> dict[str, Any]:
        """What a layer stores, as fields of `profiles.graph.Operator`.

        Parameters are counted with the first layer that trains them, bytes with every layer; those
        that others store too are said by the last of them.
        """
        owned = list(weights)
        trained = set(roots_of(c for c in owned if c.trained)) - self.settings
        fresh = trained - self._counted
        self._counted |= fresh
        shared: Counter[str] = Counter()
        for root in roots_of(owned):
            size = self.stored[root][1]
            if root in self._readers and size:
                shared[self._readers[root]] += size
            self._readers[root] = label
        return dict(
            params=sum(self.stored[root][0] for root in fresh),
            shared_params=sum(self.stored[root][0] for root in trained - fresh),
            param_bytes=sum(self.stored[root][1] for root in roots_of(owned)),
            shared_bytes=tuple(shared.items()),
        )

    def owned(self) -> tuple[Stored, ...]:
        """All that layers store, each once."""
        return tuple(
            Stored(root, *self.stored[root], trained=root in self._counted)
            for root in self._readers
        )

    def is_trained(self, constants: Iterable[Constant]) -> bool:
        """Whether a trained parameter is among what these are made of."""
        return bool(set(roots_of(constants)) - self.settings)

    def making_macs(self, weights: Iterable[Constant]) -> int:
        """Work of making some weights, counted with the first layer that reads them."""
        fresh = set(makings_of(weights)) - self._made
        self._made |= fresh
        return sum(self.makings[name].macs for name in fresh if self.makings[name].counted)

    def made(self) -> tuple[Making, ...]:
        """All that a layer reads of what was made of constants alone."""
        return tuple(self.makings[name] for name in self.makings if name in self._made)


class Call(ABC):
    """A node of ONNX or a call of ATen.

    Attributes
    ----------
    name : str
        Of this one call in its graph.
    op : str
        The name that the profile shows.
    source : str
        The front end's own name of the operator.
    module : str
        Path of the module that owns it, where there is one.
    reads : sequence of str
        The front end's names of all tensors that it reads, in order.
    made : dict of int to Tensor
        The activations that it is known to make, by the position of the output.
    """

    def __init__(
        self,
        book: Emitter,
        name: str,
        *,
        op: str,
        source: str,
        reads: Sequence[str],
        module: str = "",
    ) -> None:
        self.book = book
        self.name = name
        self.op = op
        self.source = source
        self.module = module
        self.reads = reads
        self.made: dict[int, Tensor] = {}

    @abstractmethod
    def _name(self, key: Any) -> str:
        """The front end's name of an argument (by position or name); empty if it is no tensor."""

    @abstractmethod
    def output(self, position: int = 0) -> Tensor:
        """An output's shape and type, under any name."""

    @abstractmethod
    def _label(self, op: str, beside: str) -> str:
        """A label for an operator; ``beside`` tells it from the call's main one."""

    # Arguments.

    def tensor(self, key: Any) -> Tensor | None:
        """The activation that is this argument, if it is one."""
        return self.book.activations.get(self._name(key))

    def constant(self, key: Any) -> Constant | None:
        """The constant that is this argument, if it is one."""
        return self.book.constants.get(self._name(key))

    def operand(self, key: Any) -> Operand:
        """The activation or constant that is this argument; without one the call stays opaque."""
        return self.tensor(key) or self.weight(key)

    def data(self, key: Any) -> Tensor:
        """The activation that is this argument; without one the call stays opaque."""
        return _needed(self.tensor(key))

    def weight(self, key: Any) -> Constant:
        """The constant that is this argument; without one the call stays opaque."""
        return _needed(self.constant(key))

    def tensors(self, keys: Iterable[Any]) -> list[Tensor]:
        """The activations among some arguments."""
        return [found for key in keys if (found := self.tensor(key))]

    def constants_at(self, keys: Iterable[Any]) -> list[Constant]:
        """The constants among some arguments."""
        return [found for key in keys if (found := self.constant(key))]

    @property
    def activations(self) -> list[Tensor]:
        """All activations that it reads, in order."""
        return [found for name in self.reads if (found := self.book.activations.get(name))]

    @property
    def constants(self) -> list[Constant]:
        """All constants that it reads, in order."""
        return [found for name in self.reads if (found := self.book.constants.get(name))]

    # Results.

    def made_of(self, constants: Sequence[Constant], kind: Kind, macs: int) -> tuple[str, ...]:
        """Note a product of constants alone, for which no operator is added.

        Returns
        -------
        tuple of str
            For `Constant.makings` of what it gives.
        """
        name = self.name
        while name in self.book.makings:
            name = f"{name}'"
        self.book.makings[name] = Making(
            self.name, self.module, kind, macs, counted=self.book.is_trained(constants)
        )
        return (*makings_of(constants), name)

    def add(
        self,
        kind: Kind,
        inputs: Sequence[Tensor],
        op: str = "",
        *,
        shape: Sequence[int] | None = None,
        position: int = 0,
        step: str = "",
        beside: str | None = None,
        weights: Iterable[Constant] = (),
        axes: Iterable[int] = (),
        **attributes: Any,
    ) -> Tensor:
        """Add an operator.

        Parameters
        ----------
        kind : Kind
        inputs : sequence of Tensor
            The data first.
        op : str
            The name that the profile shows, the call's own by default.
        shape : sequence of int, optional
            Of the result of a step on the way; without one it is the call's output.
        position : int
            Of the output.
        step : str
            Which part of the call's work it does; empty for the work that gives it its name.
        beside : str, optional
            What its name has behind the call's, where calls have names of their own; by default
            the step (``product`` where it has no name), or the position of an output that is not
            the first.
        weights : iterable of Constant
            That it owns.
        axes : iterable of int
            Dimensions that it works on; those that its first input lacks are left out.
        **attributes
            More fields of `profiles.graph.Operator`.

        Returns
        -------
        Tensor
            What it makes.
        """
        if shape is None:
            like, extra = self.output(position), str(position) if position else ""
        else:
            like = self.output() if kind in _PRODUCTS else inputs[0]
            extra = step or "product"
        op = op or self.op
        label = self._label(op, extra if beside is None else beside)
        sizes = like.shape if shape is None else tuple(shape)
        made = Tensor(label, sizes, like.dtype, like.element_bytes)
        weights = list(weights)
        self.book.operators.append(
            Operator(
                name=label,
                kind=kind,
                op=op,
                source_op=f"{self.source} ({step})" if step else self.source,
                inputs=tuple(tensor.name for tensor in inputs),
                output=made,
                **self.book.taken(label, weights),
                making_macs=self.book.making_macs([*weights, *self.constants]),
                axes=tuple(axis for axis in axes if axis < len(inputs[0].shape)),
                module=self.module,
                **attributes,
            )
        )
        if shape is None:
            self.made[position] = made
        return made
