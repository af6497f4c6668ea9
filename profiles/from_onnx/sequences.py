"""Sequences, optionals and maps of an ONNX model, as the tensors that they hold.

A sequence whose length is known is so many tensors: nodes that put some together or take one out
become nodes of the tensors alone. What a loop puts together stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred
from profiles.from_onnx.repairs import reads_of

MOST = 10_000  # tensors of all sequences of a model
_NEW_FORM = 13  # the operator set from which sizes and axes are operands


def maps_as_tensors(model: onnx.ModelProto) -> None:
    """Scores under the names of classes are scores; a value that may be missing is there."""
    for node in model.graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type == "ZipMap":
            node.domain, node.op_type = "", "Identity"
            del node.attribute[:]
    makers = {name for node in model.graph.node for name in node.output}
    for value in model.graph.output:
        kind = value.type.WhichOneof("value")
        if kind == "sequence_type":
            kind = value.type.sequence_type.elem_type.WhichOneof("value")
        if kind == "map_type" and value.name in makers:
            value.ClearField("type")
    for value in model.graph.input:
        if value.type.HasField("optional_type"):
            inner = onnx.TypeProto()
            inner.CopyFrom(value.type.optional_type.elem_type)
            value.type.CopyFrom(inner)


@dataclass
class _Walk:
    """What is known while the nodes are read in order."""

    model: onnx.ModelProto
    inferred: Inferred
    lists: dict[str, list[str]] = field(default_factory=dict)  # sequence -> its tensors
    absent: set[str] = field(default_factory=set)  # optionals without a value
    count: int = 0

    @property
    def version(self) -> int:
        """Of the standard's operator set."""
        entries = self.model.opset_import
        return max((e.version for e in entries if e.domain in STANDARD_DOMAINS), default=1)

    def number(self, node: onnx.NodeProto, position: int, default: int | None) -> int | None:
        """A whole number that a node reads; the default where the operand is left out."""
        if position >= len(node.input) or not node.input[position]:
            return default
        value = self.inferred.values.get(node.input[position])
        return int(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def resolve(model: onnx.ModelProto, inferred: Inferred) -> bool:
    """Put tensors in the place of the sequences that are known.

    Parameters
    ----------
    model : onnx.ModelProto
        Is changed.
    inferred : Inferred
        What is known of its tensors.

    Returns
    -------
    bool
        Whether anything was changed.
    """
    holders = _RULES.keys() - {"Identity"}
    if not any(n.op_type in holders and n.domain in STANDARD_DOMAINS for n in model.graph.node):
        return False
    blocked: set[str] = set()
    while True:
        walk, nodes, changed = _walked(model, inferred, blocked)
        held = walk.lists.keys() | walk.absent
        left = held & set().union(*map(reads_of, nodes))
        if not left:
            break
        blocked |= left  # a node that stays reads it, so that what makes it stays as well
    if not changed or walk.count > MOST:
        return False
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    _spread_outputs(model.graph, walk.lists)
    return True


def _walked(
    model: onnx.ModelProto, inferred: Inferred, blocked: set[str]
) -> tuple[_Walk, list[onnx.NodeProto], bool]:
    """The nodes without those sequences that are not blocked, and whether they are others."""
    walk, nodes, changed = _Walk(model, inferred), list[onnx.NodeProto](), False
    for node in model.graph.node:
        rule = _RULES.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
        made = None
        if rule is not None and not blocked.intersection(node.output):
            made = rule(walk, node)
        nodes.extend([node] if made is None else made)
        changed |= made is not None
    return walk, nodes, changed


def _spread_outputs(graph: onnx.GraphProto, lists: dict[str, list[str]]) -> None:
    outputs = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in graph.output]
    del graph.output[:]
    taken: set[str] = set()
    for value in outputs:
        if value.name in lists:
            fresh = [name for name in lists[value.name] if name not in taken]
            graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(fresh))
            taken.update(fresh)
        else:
            graph.output.append(value)


_Made = list[onnx.NodeProto] | None
"""Nodes in a node's place; None where it stays."""


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def _held(walk: _Walk, name: str, tensors: list[str]) -> _Made:
    walk.count += len(tensors)
    if walk.count > MOST:
        return None
    walk.lists[name] = tensors
    return []


def _construct(walk: _Walk, node: onnx.NodeProto) -> _Made:
    return _held(walk, node.output[0], list(node.input))


def _split(walk: _Walk, node: onnx.NodeProto) -> _Made:
    shape = walk.inferred.shapes.get(node.input[0])
    axis = _attribute(node, "axis", 0)
    if not shape or not -len(shape) <= axis < len(shape):
        return None
    size, name, single = shape[axis], node.output[0], len(node.input) < 2 or not node.input[1]
    sizes = [1] * min(size, MOST + 1)
    if not single:
        given = walk.inferred.values.get(node.input[1])
        if given is None:
            return None
        sizes = [int(number) for number in given.reshape(-1)]
        if given.ndim == 0 and sizes[0] > 0:
            each = sizes[0]
            sizes = [min(each, size - at) for at in range(0, size, each)][: MOST + 1]
    if not sizes or sum(sizes) != size:
        return None
    squeezed = single and not _attribute(node, "keepdims", 1)
    parts = [f"{name}/{index}" for index in range(len(sizes))]
    if _held(walk, name, parts) is None:
        return None
    pieces = [f"{part}/kept" for part in parts] if squeezed else parts
    label = node.name or name
    nodes = _with_numbers(walk, "Split", node.input[0], pieces, "split", sizes, label, axis=axis)
    for piece, part in zip(pieces, parts, strict=True) if squeezed else ():
        nodes += _with_numbers(walk, "Squeeze", piece, [part], "axes", [axis], part)
    return nodes


def _with_numbers(
    walk: _Walk,
    op_type: str,
    source: str,
    made: list[str],
    what: str,
    numbers: list[int],
    name: str,
    **attributes: Any,
) -> list[onnx.NodeProto]:
    """A node with some whole numbers: an operand, or an attribute of old operator sets."""
    if walk.version < _NEW_FORM:
        given: dict[str, Any] = {**attributes, what: numbers}
        return [onnx.helper.make_node(op_type, [source], made, name, **given)]
    held = onnx.numpy_helper.from_array(np.array(numbers, dtype=np.int64))
    return [
        onnx.helper.make_node("Constant", [], [f"{name}/{what}"], value=held),
        onnx.helper.make_node(op_type, [source, f"{name}/{what}"], made, name, **attributes),
    ]


def _at(walk: _Walk, node: onnx.NodeProto) -> _Made:
    tensors, index = walk.lists.get(node.input[0]), walk.number(node, 1, None)
    if tensors is None or index is None or not -len(tensors) <= index < len(tensors):
        return None
    return [_passed(node, tensors[index])]


def _passed(node: onnx.NodeProto, source: str) -> onnx.NodeProto:
    return onnx.helper.make_node("Identity", [source], node.output[:1], node.name)


def _insert(walk: _Walk, node: onnx.NodeProto) -> _Made:
    tensors = walk.lists.get(node.input[0])
    index = walk.number(node, 2, len(tensors or ()))
    if tensors is None or index is None or not -len(tensors) <= index <= len(tensors):
        return None
    index += len(tensors) if index < 0 else 0
    return _held(walk, node.output[0], [*tensors[:index], node.input[1], *tensors[index:]])


def _erase(walk: _Walk, node: onnx.NodeProto) -> _Made:
    tensors, index = walk.lists.get(node.input[0]), walk.number(node, 1, -1)
    if not tensors or index is None or not -len(tensors) <= index < len(tensors):
        return None
    index %= len(tensors)
    return _held(walk, node.output[0], [*tensors[:index], *tensors[index + 1 :]])


def _length(walk: _Walk, node: onnx.NodeProto) -> _Made:
    tensors = walk.lists.get(node.input[0])
    return None if tensors is None else [_constant(node, np.array(len(tensors), dtype=np.int64))]


def _constant(node: onnx.NodeProto, value: NDArray[Any]) -> onnx.NodeProto:
    held = onnx.numpy_helper.from_array(value)
    return onnx.helper.make_node("Constant", [], node.output[:1], node.name, value=held)


def _concat(walk: _Walk, node: onnx.NodeProto) -> _Made:
    tensors = walk.lists.get(node.input[0])
    if not tensors:
        return None
    axis, nodes, made = _attribute(node, "axis", 0), list[onnx.NodeProto](), node.output[0]
    if _attribute(node, "new_axis", 0):
        wide = [f"{made}/{index}" for index in range(len(tensors))]
        for tensor, part in zip(tensors, wide, strict=True):
            nodes += _with_numbers(walk, "Unsqueeze", tensor, [part], "axes", [axis], part)
        tensors = wide
    return [*nodes, onnx.helper.make_node("Concat", tensors, [made], node.name, axis=axis)]


def _alias(walk: _Walk, node: onnx.NodeProto) -> _Made:
    """The same sequence or tensor, under another name."""
    if not node.input:
        walk.absent.add(node.output[0])
        return None if node.op_type == "Identity" else []
    source = node.input[0]
    if source in walk.lists:
        return _held(walk, node.output[0], walk.lists[source])
    if source in walk.absent:
        walk.absent.add(node.output[0])
        return []
    if node.op_type == "Identity" or source not in walk.inferred.shapes:
        return None
    return [_passed(node, source)]


def _is_there(walk: _Walk, node: onnx.NodeProto) -> _Made:
    source = node.input[0] if node.input else ""
    there = bool(source) and source not in walk.absent
    return [_constant(node, np.array(there))]


_RULES: dict[str, Callable[[_Walk, onnx.NodeProto], _Made]] = {
    "ConcatFromSequence": _concat,
    "Identity": _alias,
    "Optional": _alias,
    "OptionalGetElement": _alias,
    "OptionalHasElement": _is_there,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _construct,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
