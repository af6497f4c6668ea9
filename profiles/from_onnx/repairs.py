"""What runtimes forgive in an ONNX file and the checker does not: put in order, and said.

Nothing here changes what a model computes. Weights in another file are not looked for: their sizes
follow from their shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from profiles.from_onnx.inferred import STANDARD_DOMAINS, UNKNOWN_DOMAIN, VENDOR_DOMAIN

_OLDEST_IR = 4  # before it, every initializer had to be an input too


def repaired(model: onnx.ModelProto) -> list[str]:
    """Complete a model and put it in order.

    Parameters
    ----------
    model : onnx.ModelProto
        Is changed where that is needed.

    Returns
    -------
    list of str
        What was done; empty for a model that needed nothing.
    """
    if not model.graph.node:
        return []  # the checker says so
    steps = (_versioned, _with_operator_sets, _vendors_apart, _named, _typed, _used, _sorted)
    return [note for step in steps if (note := step(model))]


def inlined(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """The model with its local functions' nodes in place of their calls, and what was left out."""
    if not model.functions:
        return model, []
    import onnx.inliner

    _write_defaults(model)
    whole = onnx.inliner.inline_local_functions(model)
    return whole, [note] if (note := _used(whole)) else []


def _write_defaults(model: onnx.ModelProto) -> None:
    """Give every call the attributes that its function has values for and it leaves out.

    The inliner drops them, and the nodes inside would have those of their own operators.
    """
    defaults = {(f.domain, f.name, f.overload): f.attribute_proto for f in model.functions}
    nodes = [node for graph in graphs(model) for node in graph.node]
    for function in model.functions:
        for node in function.node:
            nodes.append(node)
            nodes += [inner for graph in _graphs_below(node) for inner in graph.node]
    for node in nodes:
        given = {attribute.name for attribute in node.attribute}
        left_out = defaults.get((node.domain, node.op_type, node.overload), ())
        node.attribute.extend(one for one in left_out if one.name not in given)


def graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """A model's graph and all graphs inside of its nodes."""
    yield model.graph
    for node in model.graph.node:
        yield from _graphs_below(node)


def _graphs_below(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """All graphs inside of a node, those of its graphs' nodes too."""
    stack = list(inner_graphs(node))
    while stack:
        graph = stack.pop()
        yield graph
        stack.extend(inner for held in graph.node for inner in inner_graphs(held))


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Those that a node holds itself: branches and bodies."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def reads_of(node: onnx.NodeProto) -> set[str]:
    """Names of all tensors that a node reads, those inside of its graphs too."""
    names = set(node.input)
    for graph in _graphs_below(node):
        names.update(value.name for value in graph.output)
        names.update(name for inner in graph.node for name in inner.input)
    return names - {""}


def _versioned(model: onnx.ModelProto) -> str:
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name for value in model.graph.input}
    if model.ir_version >= _OLDEST_IR or (model.ir_version and initializers <= inputs):
        return ""
    old, model.ir_version = model.ir_version, _OLDEST_IR
    return f"IR version {old} was taken for {_OLDEST_IR}"


def _with_operator_sets(model: onnx.ModelProto) -> str:
    """Versions of the operator sets that are used and not named: the newest that all nodes fit."""
    named = {"" if e.domain in STANDARD_DOMAINS else e.domain for e in model.opset_import}
    used = {"" if n.domain in STANDARD_DOMAINS else n.domain for g in graphs(model) for n in g.node}
    own = {function.domain for function in model.functions}
    added = []
    for domain in sorted((used | own | {""}) - named):
        version = 1 if domain else _newest_that_fits(model)
        model.opset_import.append(onnx.helper.make_opsetid(domain, version))
        added.append(f"{domain or 'ai.onnx'} {version}")
    text = ", ".join(added)
    return f"operator sets that the file does not name were assumed: {text}" if added else ""


def _newest_that_fits(model: onnx.ModelProto) -> int:
    nodes = [n for g in graphs(model) for n in g.node if n.domain in STANDARD_DOMAINS]
    newest = onnx.defs.onnx_opset_version()
    for version in range(newest, 0, -1):
        if all(_fits(node, version) for node in nodes):
            return version
    return newest


def _fits(node: onnx.NodeProto, version: int) -> bool:
    schema = _schema(node.op_type, version)
    return schema is None or (
        {a.name for a in node.attribute} <= schema.attributes.keys()
        and schema.min_input <= len(node.input) <= schema.max_input
    )


def _schema(op_type: str, version: int) -> Any:
    try:
        return onnx.defs.get_schema(op_type, version, "")
    except onnx.defs.SchemaError:
        return None


def _vendors_apart(model: onnx.ModelProto) -> str:
    """Operators that the standard set of the file's version has not: runtimes have them."""
    version = max(
        (e.version for e in model.opset_import if e.domain in STANDARD_DOMAINS), default=1
    )
    moved: dict[str, None] = {}
    for graph in graphs(model):
        for node in graph.node:
            if node.domain in STANDARD_DOMAINS and _schema(node.op_type, version) is None:
                newer = onnx.defs.has(node.op_type) or node.op_type in _RUNTIME_ONLY
                node.domain = VENDOR_DOMAIN if newer else UNKNOWN_DOMAIN
                moved[node.op_type] = None
    named = {entry.domain for entry in model.opset_import}
    for domain in (VENDOR_DOMAIN, UNKNOWN_DOMAIN) if moved else ():
        if domain not in named:
            model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    text = ", ".join(moved)[:200]
    return f"operator set {version} has no {text}, which was taken as runtimes do" if moved else ""


_RUNTIME_ONLY = frozenset({"SimplifiedLayerNormalization"})
"""Operators that ONNX Runtime has in the standard domain and the standard has not."""


def _named(model: onnx.ModelProto) -> str:
    nameless = [graph for graph in graphs(model) if not graph.name]
    for graph in nameless:
        graph.name = "graph"
    return "a graph has no name" if nameless else ""


def _typed(model: onnx.ModelProto) -> str:
    """Outputs that do not say what they are: shape inference finds it."""
    makers = {name: node for node in model.graph.node for name in node.output}
    lacking = [v for v in model.graph.output if not v.type.WhichOneof("value")]
    for value in lacking:
        maker = makers.get(value.name)
        whole = maker is not None and maker.op_type in _WHOLE_NUMBERS
        kind = onnx.TensorProto.INT64 if whole else onnx.TensorProto.FLOAT
        value.type.tensor_type.elem_type = kind
    return f"{len(lacking)} outputs have no type" if lacking else ""


_WHOLE_NUMBERS = frozenset("ArgMax ArgMin NonMaxSuppression NonZero Shape Size".split())


def shapeless(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs and outputs that are tensors and declare no shape."""
    return [
        value
        for value in (*model.graph.input, *model.graph.output)
        if value.type.WhichOneof("value") == "tensor_type"
        and not value.type.tensor_type.HasField("shape")
    ]


def _used(model: onnx.ModelProto) -> str:
    """Nodes that no output needs are not run."""
    dead = [node for graph in graphs(model) for node in _without_mute(graph)]
    dead += [node for graph in graphs(model) for node in _without_unread(graph)]
    if not dead:
        return ""
    names = [next(filter(None, (node.name, *node.output)), node.op_type) for node in dead[:3]]
    shown = ", ".join(repr(name)[:60] for name in names)
    return f"{len(dead)} nodes whose results nobody reads are left out ({shown})"


def _without_mute(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Leave nodes out that make nothing with a name; copies of them are returned."""
    mute = [index for index, node in enumerate(graph.node) if not any(node.output)]
    copies = [onnx.NodeProto.FromString(graph.node[i].SerializeToString()) for i in mute]
    if mute:
        _keep(graph, [i for i in range(len(graph.node)) if i not in set(mute)])
    return copies


def _without_unread(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Leave such nodes out; those that compute something are returned."""
    made = [name for node in graph.node for name in node.output if name]
    if len(set(made)) < len(made):
        return []  # a name twice: the checker says so
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    kept: set[int] = set()
    stack = [makers[value.name] for value in graph.output if value.name in makers]
    while stack:
        index = stack.pop()
        if index not in kept:
            kept.add(index)
            stack.extend(makers[name] for name in reads_of(graph.node[index]) if name in makers)
    dead = [node for index, node in enumerate(graph.node) if index not in kept]
    if not dead or not kept:
        return []
    working = [
        onnx.NodeProto.FromString(node.SerializeToString())
        for node in dead
        if node.op_type not in ("Constant", "Identity")
    ]
    _keep(graph, sorted(kept))
    return working


def _sorted(model: onnx.ModelProto) -> str:
    """Every node behind those that it reads from, otherwise in the file's order."""
    moved = 0
    for part in (*graphs(model), *model.functions):
        order = _order(part)
        if order is not None:
            _keep(part, order)
            moved += 1
    return "nodes were put in order" if moved else ""


def _order(graph: onnx.GraphProto | onnx.FunctionProto) -> list[int] | None:
    """The order that is needed; None where the file's is one, or none is."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    needs = [
        {makers[name] for name in reads_of(node) if name in makers} - {index}
        for index, node in enumerate(graph.node)
    ]
    if all(max(before, default=-1) < index for index, before in enumerate(needs)):
        return None
    order: list[int] = []
    state = [0] * len(needs)  # 1: what it reads is being put before it, 2: it is in its place
    for first in range(len(needs)):
        stack = [first]
        while stack:
            index = stack[-1]
            if state[index] == 2:
                stack.pop()
            elif state[index] == 1:
                state[index] = 2
                order.append(stack.pop())
            else:
                state[index] = 1
                waiting = [
                    other for other in sorted(needs[index], reverse=True) if state[other] < 2
                ]
                if any(state[other] == 1 for other in waiting):
                    return None  # a circle: the checker says so
                stack.extend(waiting)
    return order


def _keep(graph: onnx.GraphProto | onnx.FunctionProto, order: list[int]) -> None:
    nodes = [onnx.NodeProto.FromString(graph.node[index].SerializeToString()) for index in order]
    del graph.node[:]
    graph.node.extend(nodes)
