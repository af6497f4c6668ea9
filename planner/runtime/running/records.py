"""What a node is told to do, layer by layer: plain records of tensors and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from planner.runtime.running.extents import Extent


@dataclass(frozen=True)
class Ref:
    """An argument that is one of the step's operands or of its weights."""

    operand: int | None = None
    weight: str | None = None


@dataclass(frozen=True)
class Source:
    """One of an operand's sources, by its number, in whatever shape it has."""

    number: int


@dataclass(frozen=True, eq=False)
class View:
    """A part of a pattern, its dimensions in another order.

    Attributes
    ----------
    of : Pattern
    split : tuple of int
        The shape that it is read in.
    takes : tuple of (start, stop, step) or int tensor
        What is taken along each of these dimensions: a slice, or an index of it alone.
    order : tuple of int
        The dimensions as they then stand.
    sizes : tuple of int
        Of the dimensions in this order; those of one entry are repeated up to them.
    shape : tuple of int
        That of the result.
    """

    of: Pattern
    split: tuple[int, ...]
    takes: tuple[Take, ...]
    order: tuple[int, ...]
    sizes: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Join:
    """Patterns one behind the other along a dimension."""

    of: tuple[Pattern, ...]
    axis: int


@dataclass(frozen=True, eq=False)
class Pad:
    """A pattern with padding: entries before and behind it along every dimension."""

    of: Pattern
    entries: tuple[tuple[int, int], ...]


Take = tuple[int, int, int] | torch.Tensor
Pattern = Source | View | Join | Pad
"""How elements of some sources stand in a tensor: nothing but pieces of them, and padding.

An index is of one dimension, never of elements (docs/runtime.md).
"""


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor that a node puts together from what it holds.

    Attributes
    ----------
    sources : tuple of str
        Tensors, messages and weights.
    pattern : Pattern
        How their elements stand in it.
    shape : tuple of int
    fill : float or None
        What padding is; None: there is none.
    """

    sources: tuple[str, ...]
    pattern: Pattern
    shape: tuple[int, ...]
    fill: float | None = None


@dataclass(frozen=True, eq=False)
class Send:
    """What a node sends to another one before a layer.

    Attributes
    ----------
    receiver, message, tensor : str
        The receiving node, what the message is called there, of which tensor it carries a part.
    extent : Extent
        Which part that is.
    content : Operand
    shared : bool
        Part of one transmission that all receivers hear (broadcast).
    """

    receiver: str
    message: str
    tensor: str
    extent: Extent
    content: Operand
    shared: bool = False


@dataclass(frozen=True, eq=False)
class Receive:
    """What a node waits for: the other side of a `Send`."""

    sender: str
    message: str
    tensor: str
    extent: Extent


@dataclass(frozen=True, eq=False)
class Step:
    """A node's part of one layer, of a conversion, or of the change of group before a stage.

    Attributes
    ----------
    layer : str
        What it makes, and is stored under; at a change of group the tensor that is taken over.
    kernel : str
        ``none`` (it only sends), ``take`` (its operand is the result), ``add`` (the sum of its
        operands is), ``aten`` (it calls an operator on its operands and weights), ``resample``
        (its operand times a matrix along some dimensions), or a name of
        `planner.runtime.running.partial`, where the nodes finish a layer from each other's partial
        results.
    target : str
        Operator of ATen with its overload, such as ``conv2d.default``.
    arguments : dict of str to value
        By the names of the operator's schema; a `Ref` stands for an operand or a weight.
    position : int
        Of the output that is the layer's.
    operands : tuple of Operand
    weights : dict of str to tensor
    picks : Pattern or None
        What it stores of what the operator makes, the pattern's one source; None: all of it.
    shape : tuple of int
        Of what it stores.
    macs : int or None
        Multiply-accumulates that count as its part of the layer; None: those of the operator on
        the shapes that it ran on.
    sends, receives : tuples of Send and Receive
    tells : tuple of str
        Nodes that its partial result goes to.
    tells_at_once : bool
        In one transmission that all of them hear (broadcast).
    told : dict of str to int
        Nodes whose partial results it takes in, in this order, with the number of elements that
        each result is of; its own among them.
    frees : tuple of str
        Tensors and messages that no later step reads.
    """

    layer: str
    kernel: str = "none"
    target: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    position: int = 0
    operands: tuple[Operand, ...] = ()
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    picks: Pattern | None = None
    shape: tuple[int, ...] = ()
    macs: int | None = None
    sends: tuple[Send, ...] = ()
    receives: tuple[Receive, ...] = ()
    tells: tuple[str, ...] = ()
    tells_at_once: bool = False
    told: dict[str, int] = field(default_factory=dict)
    frees: tuple[str, ...] = ()
