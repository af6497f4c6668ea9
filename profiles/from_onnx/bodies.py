"""The bodies of Loop and Scan as models of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from profiles.from_onnx.file import holds_values
from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred
from profiles.from_onnx.inputs import MAX_ELEMENTS
from profiles.graph import Graph

Opsets = list[onnx.OperatorSetIdProto]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Body:
    """One iteration.

    Attributes
    ----------
    model : onnx.ModelProto
    results : tuple of str
        Those of its outputs that become outputs of the Loop or Scan.
    entering : tuple of Shape
        Of the states that it reads; the first of its results are what the next one reads.
    captured : tuple of str
        Tensors of the graphs around it that it reads.
    trips : int
        Iterations; 1 where they are not known.
    known : bool
        Whether they are.
    """

    model: onnx.ModelProto
    results: tuple[str, ...]
    entering: tuple[Shape, ...]
    captured: tuple[str, ...]
    trips: int
    known: bool


@dataclass(frozen=True)
class Inside:
    """What one iteration does, and what is known of its tensors."""

    graph: Graph
    inferred: Inferred


def body_of(
    proto: onnx.NodeProto,
    inferred: Inferred,
    opsets: Opsets,
    constants: Collection[str] = (),
    *,
    trip: int = 0,
    growth: Sequence[Shape] = (),
) -> Body | None:
    """The body of a Loop or Scan, for inputs as they are known.

    Parameters
    ----------
    proto : onnx.NodeProto
    inferred : Inferred
        Of the model around it.
    opsets : list of onnx.OperatorSetIdProto
    constants : collection of str
        Tensors of the model around it that no input changes.
    trip : int
        Of which iteration.
    growth : sequence of Shape
        By how much each iteration makes each state larger; nothing: no state changes its size.

    Returns
    -------
    Body or None
        None where a shape that it needs is not known or cannot be, or the node is of no known form.
    """
    graph = next((a.g for a in proto.attribute if a.name == "body"), None)
    if graph is None or proto.domain not in STANDARD_DOMAINS:
        return None
    described = _loop_inputs if proto.op_type == "Loop" else _scan_inputs
    given = described(proto, graph, inferred)
    if given is None:
        return None
    shapes, states, trips = given
    body = onnx.GraphProto()
    body.CopyFrom(graph)
    body.name = body.name or "body"
    del body.input[:]
    names = [value.name for value in graph.input]
    own = names[2:] if proto.op_type == "Loop" else names[:states]
    for name, more in zip(own, growth, strict=False):
        shapes[name] = tuple(n + trip * m for n, m in zip(shapes[name], more, strict=True))
        if min(shapes[name], default=1) < 0 or prod(shapes[name]) > MAX_ELEMENTS:
            return None
    types = dict(zip(names, _types(proto, graph, inferred), strict=True))
    for name, shape in shapes.items():
        body.input.append(onnx.helper.make_tensor_value_info(name, types[name], shape))
    captured = tuple(_captured(graph))
    for name in captured:
        if not _add_captured(body, name, inferred, constants):
            return None
    model = onnx.helper.make_model(body, opset_imports=opsets)
    results = [value.name for value in graph.output]
    if proto.op_type == "Loop":
        del results[:1]  # whether to go on
    entering = tuple(shapes[name] for name in own)
    return Body(model, tuple(results), entering, captured, trips or 1, trips is not None)


def growth_of(body: Body, inner: Inferred) -> list[Shape] | None:
    """By how much an iteration makes each state larger; None where that is no number of elements.

    Keys that are kept of every token are such a state.
    """
    grown = []
    for before, name in zip(body.entering, body.results, strict=False):
        after = inner.shapes.get(name, before)
        if len(after) != len(before):
            return None
        grown.append(tuple(n - m for n, m in zip(after, before, strict=True)))
    return grown


def output_shapes(body: Body, first: Inferred, last: Inferred) -> list[Shape | None]:
    """Shapes of the outputs of a Loop or Scan, from those of its first and last iteration."""
    states = len(body.entering)
    made = [last.shapes.get(name) for name in body.results[:states]]
    for name in body.results[states:]:
        each = first.shapes.get(name)
        alike = each is not None and each == last.shapes.get(name)
        made.append((body.trips, *each) if each is not None and alike else None)
    return made


def _loop_inputs(
    proto: onnx.NodeProto, graph: onnx.GraphProto, inferred: Inferred
) -> tuple[dict[str, Shape], int, int | None] | None:
    states = [inferred.shapes.get(name) for name in proto.input[2:]]
    if len(graph.input) != len(states) + 2 or None in states:
        return None
    names = [value.name for value in graph.input]
    shapes = dict(zip(names, [(), (), *(s for s in states if s is not None)], strict=True))
    most = inferred.values.get(proto.input[0])
    start = inferred.values.get(proto.input[1]) if len(proto.input) > 1 else None
    runs = len(proto.input) < 2 or not proto.input[1] or (start is not None and bool(start.all()))
    trips = int(most.reshape(-1)[0]) if most is not None and most.size == 1 else None
    if trips is None or trips < 1 or not runs or not _goes_on(graph):
        trips = None
    return shapes, len(states), trips


def _scan_inputs(
    proto: onnx.NodeProto, graph: onnx.GraphProto, inferred: Inferred
) -> tuple[dict[str, Shape], int, int | None] | None:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    scanned = int(attributes.get("num_scan_inputs", 0))
    states = len(proto.input) - scanned
    known = [inferred.shapes.get(name) for name in proto.input]
    given = [shape for shape in known if shape is not None]
    plain = not any(attributes.get("scan_output_axes", ()))
    if len(given) < len(known) or len(given) != len(graph.input) or states < 0 or scanned < 1:
        return None
    axes = list(attributes.get("scan_input_axes", ())) or [0] * scanned
    sliced, lengths = [], set()
    for shape, axis in zip(given[states:], axes, strict=False):
        if not -len(shape) <= axis < len(shape):
            return None
        axis %= len(shape)
        lengths.add(shape[axis])
        sliced.append((*shape[:axis], *shape[axis + 1 :]))
    if len(lengths) != 1 or not plain or len(sliced) != scanned:
        return None
    names = [value.name for value in graph.input]
    return dict(zip(names, [*given[:states], *sliced], strict=True)), states, lengths.pop()


def _types(proto: onnx.NodeProto, graph: onnx.GraphProto, inferred: Inferred) -> list[int]:
    outer = ["", "", *proto.input[2:]] if proto.op_type == "Loop" else list(proto.input)
    own: list[int] = [onnx.TensorProto.INT64, onnx.TensorProto.BOOL]
    found = []
    for position, (name, value) in enumerate(zip(outer, graph.input, strict=False)):
        fixed = own[position] if proto.op_type == "Loop" and position < 2 else 0
        declared = value.type.tensor_type.elem_type
        found.append(fixed or inferred.element_types.get(name, 0) or declared)
    return found


def _goes_on(graph: onnx.GraphProto) -> bool:
    """Whether a Loop's body never asks to stop."""
    wanted, condition = graph.output[0].name, graph.input[1].name
    makers = {name: node for node in graph.node for name in node.output}
    held = {tensor.name: tensor for tensor in graph.initializer}
    while wanted in makers and makers[wanted].op_type in ("Identity", "Cast"):
        wanted = makers[wanted].input[0]
    maker = makers.get(wanted)
    if maker is not None and maker.op_type == "Constant":
        held.update((wanted, a.t) for a in maker.attribute if a.name == "value")
    if wanted in held and holds_values(held[wanted]):
        return bool(np.asarray(onnx.numpy_helper.to_array(held[wanted])).all())
    return bool(wanted == condition)


def _captured(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the tensors that a graph reads from those around it."""
    seen: set[str] = set()
    stack = [(graph, frozenset[str]())]
    while stack:
        current, outer = stack.pop()
        own = {v.name for v in current.input} | {t.name for t in current.initializer}
        own |= {t.values.name for t in current.sparse_initializer}
        own |= {name for node in current.node for name in node.output} | outer
        reads = [name for node in current.node for name in node.input]
        reads += [value.name for value in current.output]
        for name in reads:
            if name and name not in own and name not in seen:
                seen.add(name)
                yield name
        for attribute in (a for node in current.node for a in node.attribute):
            graphs = [attribute.g] if attribute.HasField("g") else []
            stack.extend((inner, frozenset(own)) for inner in (*graphs, *attribute.graphs))


def _add_captured(
    body: onnx.GraphProto, name: str, inferred: Inferred, constants: Collection[str]
) -> bool:
    shape, data_type = inferred.shapes.get(name), inferred.element_types.get(name, 0)
    if name in inferred.values:
        body.initializer.append(onnx.numpy_helper.from_array(inferred.values[name], name))
    elif shape is None or not data_type:
        return False
    elif name in constants:  # its values do not matter
        body.initializer.append(onnx.TensorProto(name=name, dims=shape, data_type=data_type))
    else:
        body.input.append(onnx.helper.make_tensor_value_info(name, data_type, shape))
    return True
