"""The exported graph's JSON as plain data. What is not as torch writes it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from planner.errors import BadInputError
from profiles.from_pt2.fields import integer, items, mapping, member, text
from profiles.from_pt2.sizes import Sizes, symbols_of_inputs
from profiles.from_torch.program import (
    CHOICE,
    WRAPPERS,
    AtenNode,
    AtenProgram,
    Body,
    Ref,
    TensorMeta,
    Value,
    inlined,
    references,
)
from profiles.size import Size

MAX_GRAPH_DEPTH = 20

_DTYPES = {
    1: ("uint8", 1),
    2: ("int8", 1),
    3: ("int16", 2),
    4: ("int32", 4),
    5: ("int64", 8),
    6: ("float16", 2),
    7: ("float32", 4),
    8: ("float64", 8),
    9: ("complex32", 4),
    10: ("complex64", 8),
    11: ("complex128", 16),
    12: ("bool", 1),
    13: ("bfloat16", 2),
    28: ("uint16", 2),
    29: ("float8_e4m3fn", 1),
    30: ("float8_e5m2", 1),
    31: ("float8_e4m3fnuz", 1),
    32: ("float8_e5m2fnuz", 1),
    33: ("float8_e8m0fnu", 1),
    34: ("uint32", 4),
    35: ("uint64", 8),
}
"""Type numbers of torch's export schema: name and bytes of an element."""
_STORED = {"parameter", "buffer", "tensor_constant"}


def read_document(
    document: Any,
    input_shapes: dict[str, tuple[int, ...]],
    batch: int | None,
    *,
    opened: bool = False,
) -> AtenProgram:
    """Translate the document of ``models/model.json``.

    With ``opened``, sizes that the archive leaves open remember how they follow from the inputs'
    (see `profiles.size`).

    Raises
    ------
    BadInputError
        A field is missing or of another form; a name is unknown or there twice; a size is open,
        negative or absurd; a given shape is not the traced one.
    """
    whole = mapping(document, "the document")
    module = member(whole, "graph_module", "the document")
    graph = member(module, "graph", "graph_module")
    stored: dict[str, set[str]] = {kind: set() for kind in _STORED}
    inputs: list[str] = []
    for entry in items(member(module, "signature", "graph_module"), "input_specs", "signature"):
        for kind, spec in mapping(entry, "an input spec").items():
            if kind in stored:
                argument = member(mapping(spec, "an input spec"), "arg", "an input spec")
                stored[kind].add(text(argument.get("name"), "an input spec"))
            elif kind == "user_input":
                argument = member(mapping(spec, "an input spec"), "arg", "an input spec")
                inputs.extend(name for name in _names(argument, "an input spec") if name)
    tensors = member(graph, "tensor_values", "the graph")
    ranges = mapping(whole.get("range_constraints") or {}, "range_constraints")
    described = {name: member(tensors, name, "the graph's tensors") for name in inputs}
    symbols = symbols_of_inputs(described, input_shapes, batch, ranges)
    if opened:
        symbols = {name: Size.of(value, name) for name, value in symbols.items()}
    body = _Reader(Sizes(symbols)).body(graph, "the graph", 0)
    for name in (*inputs, *(name for names in stored.values() for name in names)):
        if name not in body.inputs or name not in body.values:
            raise BadInputError(f"its signature names {name!r}, which is no input of its graph")
    return AtenProgram(
        body=body,
        inputs={name: name for name in inputs},
        parameters=frozenset(stored["parameter"]),
        constants=frozenset(stored["buffer"] | stored["tensor_constant"]),
    )


class _Reader:
    """Reads graphs, those inside nodes too."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes

    def body(self, graph: dict[str, Any], where: str, depth: int) -> Body:
        if depth > MAX_GRAPH_DEPTH:
            raise BadInputError("holds graphs that are nested too deeply")
        values = {
            name: self._meta(meta, f"tensor {name!r}")
            for name, meta in member(graph, "tensor_values", where).items()
        }
        inputs = _outputs(graph, "inputs", where)
        known = set(inputs)
        if len(known) != len(inputs):
            raise BadInputError(f"{where} has an input twice")
        for field in ("sym_int_values", "sym_bool_values", "sym_float_values"):
            known.update(mapping(graph.get(field) or {}, f"{field} of {where}"))
        known.update(mapping(graph.get("custom_obj_values") or {}, f"objects of {where}"))
        made = set(inputs)
        nodes: list[AtenNode] = []
        inner_values: dict[str, TensorMeta] = {}
        for number, item in enumerate(items(graph, "nodes", where)):
            node, written = self._node(mapping(item, f"node {number}"), number, depth)
            for name in (n for value in node.arguments.values() for n in references(value)):
                if name not in known and name not in made:
                    raise BadInputError(
                        f"node {node.name!r} reads {name!r}, which nothing before it makes"
                    )
            for name in filter(None, node.outputs):
                if name in made:
                    raise BadInputError(f"{name!r} is made twice")
                made.add(name)
            nodes.extend(written[0])
            inner_values.update(written[1])
        outputs = tuple(filter(None, _outputs(graph, "outputs", where)))
        for name in outputs:
            if name not in known and name not in made:
                raise BadInputError(f"{where} returns {name!r}, which nothing makes")
        return Body(tuple(inputs), tuple(nodes), outputs, {**values, **inner_values})

    def _node(
        self, item: dict[str, Any], number: int, depth: int
    ) -> tuple[AtenNode, tuple[list[AtenNode], dict[str, TensorMeta]]]:
        """A node, and what stands for it: itself, or the graph that it runs."""
        where = f"node {number}"
        target = _target(text(item.get("target"), where))
        outputs = _outputs(item, "outputs", where)
        given = item.get("name")
        name = text(given, where) if given is not None else next(filter(None, outputs), where)
        where = f"node {name!r}"
        graphs: list[tuple[int, dict[str, Any]]] = []
        arguments: dict[str, Value] = {}
        order: list[Value] = []
        for position, entry in enumerate(items(item, "inputs", where)):
            argument = mapping(entry, f"an argument of {where}")
            value = member(argument, "arg", f"an argument of {where}")
            if "as_graph" in value:
                graphs.append((position, member(member(value, "as_graph", where), "graph", where)))
            label = text(argument.get("name"), f"an argument of {where}") or str(position)
            arguments[label] = _value(value, where)
            order.append(arguments[label])
        node = AtenNode(name, target, arguments, tuple(outputs), _module_path(item, where))
        if target in WRAPPERS and len(graphs) == 1:
            position, graph = graphs[0]
            inner = self.body(graph, f"the graph of {where}", depth + 1)
            return node, inlined(inner, node, tuple(order[position + 1 :]))
        if target == CHOICE and len(graphs) == 2:
            branches = tuple(
                self.body(graph, f"a graph of {where}", depth + 1) for _, graph in graphs
            )
            read = {"predicate": order[0], "operands": order[-1]}
            node = replace(node, arguments=read, branches=branches)
        return node, ([node], {})

    def _meta(self, value: Any, where: str) -> TensorMeta:
        meta = mapping(value, where)
        number = integer(meta.get("dtype"), f"the type of {where}")
        if number not in _DTYPES:
            raise BadInputError(f"{where} has the element type {number}, which is not known")
        dtype, element_bytes = _DTYPES[number]
        return TensorMeta(self._sizes.shape(meta, where), dtype, element_bytes)


def _target(name: str) -> str:
    short = name.removeprefix("torch.ops.").removeprefix("higher_order.")
    return short.removesuffix(".default")


def _outputs(owner: dict[str, Any], field: str, where: str) -> list[str]:
    """Names of the tensors in a list of arguments; empty for what is none."""
    return [
        name
        for item in items(owner, field, where)
        for name in _names(mapping(item, f"{field} of {where}"), where)
    ]


def _names(argument: dict[str, Any], where: str) -> Iterator[str]:
    for kind, value in argument.items():
        if kind == "as_tensor":
            yield text(mapping(value, where).get("name"), where)
        elif kind == "as_tensors":
            for item in _listed(value, where):
                yield text(mapping(item, where).get("name"), where)
        elif kind in ("as_optional_tensor", "as_optional_tensors"):
            for item in _listed(value, where) if kind.endswith("s") else [value]:
                yield from _names(mapping(item, where), where)
        else:
            yield ""


def _listed(value: Any, where: str) -> list[Any]:
    return items({"list": value}, "list", where)


def _value(argument: dict[str, Any], where: str) -> Value:
    """An argument as plain data; what changes no shape is None."""
    for kind, value in argument.items():
        if kind in ("as_tensor", "as_tensors", "as_optional_tensor", "as_optional_tensors"):
            found = tuple(Ref(name) if name else None for name in _names(argument, where))
            return found if kind.endswith("s") else found[0]
        if kind == "as_nested_tensors":
            return tuple(_value({"as_tensors": item}, where) for item in _listed(value, where))
        if kind in ("as_int", "as_bool", "as_string", "as_float"):
            return value if isinstance(value, (bool, int, float, str)) else None
        if kind in ("as_ints", "as_bools", "as_floats", "as_strings"):
            return tuple(
                item if isinstance(item, (bool, int, float, str)) else None
                for item in _listed(value, where)
            )
        if kind == "as_sym_int":
            return _symbolic(mapping(value, where), where)
        if kind == "as_sym_ints":
            return tuple(_symbolic(mapping(i, where), where) for i in _listed(value, where))
    return None


def _symbolic(value: dict[str, Any], where: str) -> Value:
    """A number, or the name of one that is worked out elsewhere."""
    if "as_name" in value:
        return Ref(text(value["as_name"], where))
    return integer(value.get("as_int"), f"an argument of {where}")


def _module_path(item: dict[str, Any], where: str) -> str:
    """``layer.conv`` of ``L__self__,,Net;L__self___layer_conv,layer.conv,torch.nn.Conv2d``."""
    metadata = mapping(item.get("metadata") or {}, f"metadata of {where}")
    stack = metadata.get("nn_module_stack")
    if not isinstance(stack, str) or not stack:
        return ""
    fields = stack.rpartition(";")[2].split(",")
    return fields[1] if len(fields) > 1 else ""
