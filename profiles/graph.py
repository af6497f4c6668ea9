"""The graph that every front end hands over: operators by kind, with shapes and parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "conv",
    "conv_transpose",
    "linear",
    "matmul",
    "attention",
    "recurrent",
    "loop",
    "embedding",
    "elementwise",
    "activation",
    "batch_norm",
    "norm",
    "softmax",
    "pool",
    "reduce",
    "concat",
    "slice",
    "gather",
    "reshape",
    "transpose",
    "identity",
    "opaque",
]
"""Kinds that the planner understands; ``opaque`` is anything else and is never free of notice."""


@dataclass(frozen=True)
class Tensor:
    """An activation."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    element_bytes: int = 4

    @property
    def elements(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.elements * self.element_bytes


@dataclass(frozen=True)
class Span:
    """The entries of a dimension of its input that entry r of an operator's output is made of.

    From ``(r·step + first) // per`` to ``(r·step + last) // per``, as
    `planner.domain.positions.Window` has it; numbers may follow from open sizes.
    """

    step: int = 1
    per: int = 1
    first: int = 0
    last: int = 0
    wraps: bool = False


Spans = tuple[Span | None, ...]
"""Per dimension of an operator's first input; None: every entry is made of all of them."""


@dataclass(frozen=True)
class Operator:
    """One operator of the traced graph.

    Attributes
    ----------
    inputs : names of the activations that it reads, the data input first
    output : its (first) output
    op : the name that the profile shows (``relu``, ``add``, ``conv``)
    source_op : the front end's own name (``aten.conv2d``, ``Conv``)
    weight_shape : (O, I/groups, *kernel) of a convolution, (I, O/groups, *kernel) transposed,
        (O, I) of a linear layer
    axes : dimensions that a norm, softmax, reduction, concat or slice works on
    permutation : of a transpose
    params, param_bytes : of what it stores; ``params`` without those that an earlier operator has
    shared_params, shared_bytes : those that one has; bytes by the last that does
    contracted : size that a product sums over, where it is not the first input's last dimension
    repeated_macs : of all iterations of a loop, counted by the front end
    making_macs : of the products of weights alone that its weights come from, where no earlier
        operator has them
    start : first index of a slice
    spans : which entries of every dimension of its first input it reads; empty: each reads its
        own, but for dimensions that ``axes`` name or that have another size
    offsets : of a concat, where each input begins; empty if that is not known
    module : path of the module that owns it, where there is one
    """

    name: str
    kind: Kind
    op: str
    source_op: str
    inputs: tuple[str, ...]
    output: Tensor
    weight_shape: tuple[int, ...] = ()
    params: int = 0
    shared_params: int = 0
    param_bytes: int = 0
    shared_bytes: tuple[tuple[str, int], ...] = ()
    groups: int = 1
    axes: tuple[int, ...] = ()
    permutation: tuple[int, ...] = ()
    start: int = 0
    spans: Spans = ()
    offsets: tuple[int, ...] = ()
    contracted: int = 0
    repeated_macs: int = 0
    making_macs: int = 0
    module: str = ""


@dataclass(frozen=True)
class Making:
    """A product of constants alone: the same for every input.

    Attributes
    ----------
    call, module : the front end's call, and the path of the module that makes it
    kind : of the operator that it would be
    macs : of one run
    counted : with the first layer that reads it; that is where trained weights are multiplied.
        Tables of positions are worked out once, when a model is loaded
    """

    call: str
    module: str
    kind: Kind
    macs: int
    counted: bool


@dataclass(frozen=True)
class Stored:
    """A tensor that layers store, under the front end's name of it.

    Attributes
    ----------
    elements, bytes : int
    trained : whether its elements are parameters
    """

    name: str
    elements: int
    bytes: int
    trained: bool


@dataclass(frozen=True)
class Graph:
    """Operators in topological order.

    Attributes
    ----------
    requirements : tuple of str
        Comparisons of open sizes (see `profiles.size`) without which it is another graph.
    makings : tuple of Making
        Products of constants alone that operators read.
    stored : tuple of Stored
        What operators own, each once; said of ONNX's graphs alone, where one may lie in another.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    operators: tuple[Operator, ...]
    notes: tuple[str, ...] = field(default=())
    requirements: tuple[str, ...] = field(default=())
    makings: tuple[Making, ...] = field(default=())
    stored: tuple[Stored, ...] = field(default=())
