"""An ATen graph as plain data: what a live exported program and a ``.pt2`` archive both hold.

No torch is needed to read, make or translate one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

SAME = "same"
"""Target of a node whose output is another name of its argument ``self``."""

WRAPPERS = frozenset({"wrap_with_set_grad_enabled", "wrap_with_autocast"})
"""Higher-order operators that run a graph once, as it is."""

CHOICE = "cond"
"""The higher-order operator that runs one of two graphs; its last argument is what they read."""


@dataclass(frozen=True)
class TensorMeta:
    """Shape and type of a tensor."""

    shape: tuple[int, ...]
    dtype: str
    element_bytes: int


@dataclass(frozen=True)
class Ref:
    """An argument that is the value of that name."""

    name: str


Value = None | bool | int | float | str | Ref | tuple["Value", ...]
"""An argument. Types, devices and whatever else changes no shape are None."""


@dataclass(frozen=True)
class AtenNode:
    """One call.

    Attributes
    ----------
    name : str
        Of the node; not always of its output.
    target : str
        ``aten.conv2d.padding``, ``aten.relu``, ``torchvision.nms``.
    arguments : dict of str to Value
        By the names of the operator's schema; those left out have their defaults.
    outputs : tuple of str
        Names of the tensors that it returns, lists of tensors written out.
    module : str
        Path of the module that makes the call.
    branches : tuple of Body
        Of which it runs one, on what its argument ``operands`` lists.
    """

    name: str
    target: str
    arguments: dict[str, Value]
    outputs: tuple[str, ...]
    module: str = ""
    branches: tuple[Body, ...] = ()


@dataclass(frozen=True)
class Body:
    """A graph: its inputs, the nodes in order, its outputs and its tensors by name."""

    inputs: tuple[str, ...]
    nodes: tuple[AtenNode, ...]
    outputs: tuple[str, ...]
    values: dict[str, TensorMeta]


@dataclass(frozen=True)
class AtenProgram:
    """A whole traced model.

    Attributes
    ----------
    inputs : dict of str to str
        The user's tensors: name in the graph to the name that a profile shows.
    parameters, constants : frozenset of str
        Tensors that come with the model, trained and not.
    alike : dict of str to int
        How many tensors that no call reads are stored beside one that a call does: other experts.
    """

    body: Body
    inputs: dict[str, str]
    parameters: frozenset[str] = field(default=frozenset())
    constants: frozenset[str] = field(default=frozenset())
    alike: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CallRecord:
    """A call and the operators that stand for it.

    Attributes
    ----------
    node : str
        Its name in the program.
    reads : dict of str to str
        The activations among its arguments: name of the value to label of the tensor.
    operators : tuple of str
        Labels, in order.
    outputs : dict of str to int
        Label to position, of the operators that make an output of the call.
    """

    node: str
    reads: dict[str, str]
    operators: tuple[str, ...]
    outputs: dict[str, int]


def references(value: Value) -> Iterator[str]:
    """Names of all values in an argument."""
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, tuple):
        for item in value:
            yield from references(item)


def inlined(
    body: Body, node: AtenNode, arguments: tuple[Value, ...]
) -> tuple[list[AtenNode], dict[str, TensorMeta]]:
    """The nodes and tensors of a body in place of the node that runs it once.

    Parameters
    ----------
    arguments : tuple of Value
        What the body's inputs are, in order.
    """
    names = {name: f"{node.name}.{name}" for name in body.values}
    nodes = [
        AtenNode(names[inner], SAME, {"self": outer}, (names[inner],))
        for inner, outer in zip(body.inputs, arguments, strict=False)
        if inner in names and isinstance(outer, Ref)
    ]
    for item in body.nodes:
        nodes.append(
            replace(
                item,
                name=f"{node.name}.{item.name}",
                arguments={key: _renamed(value, names) for key, value in item.arguments.items()},
                outputs=tuple(names.get(name, name) for name in item.outputs),
                module=item.module or node.module,
            )
        )
    for inner, outer_name in zip(body.outputs, node.outputs, strict=False):
        own = Ref(names.get(inner, inner))
        nodes.append(AtenNode(outer_name, SAME, {"self": own}, (outer_name,)))
    return nodes, {names[name]: meta for name, meta in body.values.items()}


def _renamed(value: Value, names: dict[str, str]) -> Value:
    if isinstance(value, Ref):
        return Ref(names.get(value.name, value.name))
    if isinstance(value, tuple):
        return tuple(_renamed(item, names) for item in value)
    return value
