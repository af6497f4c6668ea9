"""Profile a ``torch.nn.Module``: graph and shapes from torch.export on meta tensors.

No weights are read or held: a module built under ``torch.device("meta")`` costs no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from planner.domain.model_profile import ModelProfile, Provenance
from planner.errors import BadInputError
from profiles.build import build_profile
from profiles.files import first_problem
from profiles.from_torch.hygiene import evaluation_mode, first_line, import_torch, quiet
from profiles.from_torch.ops import ATEN_KINDS, WEIGHT_POSITION, aten_name, attributes
from profiles.from_torch.witness import add_witness, without_witness
from profiles.graph import Graph, Kind, Operator, Tensor

if TYPE_CHECKING:
    import torch


def profile_module(
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
    *,
    name: str,
    source: str = "",
    witness: bool = True,
) -> ModelProfile:
    """Profile a module for the given input shapes.

    Parameters
    ----------
    module : torch.nn.Module
        On any device, the meta device included; it is not changed.
    input_shapes : dict of str to tuple of int
        Positional inputs of ``forward`` in order, all float32.
    name, source : str
        For the profile's name and provenance.
    witness : bool
        Let fvcore count the module as well (see `profiles.from_torch.witness`).

    Raises
    ------
    BadInputError
        A shape is empty, torch.export cannot trace the module, its graph holds nothing to plan,
        or the witness contradicts the count.
    """
    torch = import_torch()
    graph = trace_graph(module, input_shapes, name=name)
    provenance = Provenance(
        front_end="torch.export", source=source, tools={"torch": torch.__version__}
    )
    try:
        profile = build_profile(graph, provenance)
    except ValidationError as error:
        raise BadInputError(
            f"{name}: its graph does not fit the planner's layers: "
            f"{first_problem(error, ModelProfile)}"
        ) from error
    if not witness:
        return without_witness(profile, "turned off")
    return add_witness(profile, graph, module, input_shapes)


def trace_graph(
    module: torch.nn.Module, input_shapes: dict[str, tuple[int, ...]], *, name: str
) -> Graph:
    """Export a module on meta tensors and translate its ATen graph.

    Raises
    ------
    BadInputError
        As `profile_module`.
    """
    torch = import_torch()
    from torch._subclasses.fake_tensor import FakeTensorMode

    for label, shape in input_shapes.items():
        if any(size < 1 for size in shape):
            raise BadInputError(f"{name}: input {label!r} has shape {shape}; sizes start at 1")
    with FakeTensorMode(allow_non_fake_inputs=True), evaluation_mode(module):
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        arguments = tuple(torch.empty(shape, device=device) for shape in input_shapes.values())
        try:
            with quiet():
                exported = torch.export.export(module, arguments, strict=False)
        except Exception as error:
            raise BadInputError(
                f"{name}: torch.export cannot trace it: {first_line(error)}"
            ) from error
    graph = _Translator(exported, tuple(input_shapes)).graph(name)
    if not graph.operators:
        raise BadInputError(f"{name}: no operator reads its inputs, there is nothing to plan")
    if not graph.outputs:
        raise BadInputError(f"{name}: its output does not depend on its inputs")
    for operator in graph.operators:
        if not operator.output.elements:
            raise BadInputError(
                f"{name}: {operator.name!r} has the empty shape {operator.output.shape}"
            )
    return graph


def _tensor(name: str, value: torch.Tensor) -> Tensor:
    return Tensor(
        name,
        tuple(int(size) for size in value.shape),
        str(value.dtype).removeprefix("torch."),
        value.dtype.itemsize,
    )


class _Translator:
    """Walks an exported program's nodes once, in order."""

    def __init__(self, exported: Any, input_names: tuple[str, ...]) -> None:
        signature = exported.graph_signature
        self._nodes = list(exported.graph.nodes)
        self._params = set(signature.inputs_to_parameters)
        self._constants = set(signature.inputs_to_buffers) | set(
            signature.inputs_to_lifted_tensor_constants
        )
        self._user_inputs = dict(zip(signature.user_inputs, input_names, strict=False))
        self._names: dict[str, str] = {}  # fx node -> activation name
        self._made_of: dict[str, list[Any]] = {}  # fx node -> the parameters it is made of
        self._counted_params: set[str] = set()
        self._used: set[str] = set()

    def graph(self, name: str) -> Graph:
        inputs: list[Tensor] = []
        operators: list[Operator] = []
        outputs: tuple[str, ...] = ()
        for node in self._nodes:
            if node.op == "placeholder" and node.name in self._user_inputs:
                label = self._user_inputs[node.name]
                self._names[node.name] = label
                self._used.add(label)
                inputs.append(_tensor(label, node.meta["val"]))
            elif node.op == "call_function":
                operator = self._operator(node)
                if operator is not None:
                    operators.append(operator)
            elif node.op == "output":
                flat = [item for item in _flatten(node.args) if hasattr(item, "name")]
                outputs = tuple(
                    dict.fromkeys(self._names[i.name] for i in flat if i.name in self._names)
                )
        return Graph(name, tuple(inputs), outputs, tuple(operators))

    def _operator(self, node: Any) -> Operator | None:
        value = node.meta.get("val")
        if isinstance(value, (tuple, list)):
            value = value[0] if value else None
        arguments = [
            item for item in _flatten([*node.args, *node.kwargs.values()]) if hasattr(item, "name")
        ]
        activations = tuple(self._names[a.name] for a in arguments if a.name in self._names)
        weights = self._weights(arguments)
        if not activations:  # a view of a parameter, a weight norm: stands for what it is made of
            self._made_of[node.name] = weights
            return None
        if "getitem" in str(node.target):
            self._names[node.name] = activations[0]
            return None
        if not hasattr(value, "shape"):
            return None  # a symbolic size
        kind, op = self._kind(node)
        label = self._unique(node, op)
        self._names[node.name] = label
        return Operator(
            name=label,
            kind=kind,
            op=op,
            source_op=f"aten.{aten_name(node.target)}",
            inputs=activations,
            output=_tensor(label, value),
            weight_shape=self._weight_shape(kind, node),
            params=self._count_params(weights),
            param_bytes=sum(a.meta["val"].numel() * a.meta["val"].dtype.itemsize for a in weights),
            module=_module_path(node),
            **attributes(kind, node),
        )

    def _kind(self, node: Any) -> tuple[Kind, str]:
        """The kind, or opaque where the call does not take its weight as the kind expects."""
        aten = aten_name(node.target)
        kind, op = ATEN_KINDS.get(aten, ("opaque", aten))
        if kind in WEIGHT_POSITION:
            known = not self._is_activation(node.args[WEIGHT_POSITION[kind]])
        elif kind == "matmul":  # its formula takes the contracted size from the first activation
            *added, left, _ = node.args[:3] if aten == "addmm" else node.args[:2]
            known = self._is_activation(left) and not any(map(self._is_activation, added))
        else:
            known = True
        return (kind, op) if known else ("opaque", op)

    def _is_activation(self, argument: Any) -> bool:
        return getattr(argument, "name", None) in self._names

    def _weights(self, arguments: list[Any]) -> list[Any]:
        """The parameters and constants that the arguments are made of, each once."""
        found: dict[str, Any] = {}
        for argument in arguments:
            if argument.name in self._params or argument.name in self._constants:
                found[argument.name] = argument
            found.update((part.name, part) for part in self._made_of.get(argument.name, ()))
        return list(found.values())

    def _weight_shape(self, kind: Kind, node: Any) -> tuple[int, ...]:
        if kind not in WEIGHT_POSITION:
            return ()
        weight = node.args[WEIGHT_POSITION[kind]]
        return tuple(int(size) for size in weight.meta["val"].shape)

    def _count_params(self, weights: list[Any]) -> int:
        """Trainable parameters, each counted once where layers share it."""
        fresh = [
            w for w in weights if w.name in self._params and w.name not in self._counted_params
        ]
        self._counted_params.update(w.name for w in fresh)
        return sum(int(w.meta["val"].numel()) for w in fresh)

    def _unique(self, node: Any, op: str) -> str:
        path = _module_path(node)
        base = path or op
        label, count = base, 1
        while label in self._used:
            count += 1
            label = f"{base}:{op}" if count == 2 else f"{base}:{op}:{count - 1}"
        self._used.add(label)
        return label


def _module_path(node: Any) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _flatten(items: Any) -> list[Any]:
    if isinstance(items, (tuple, list)):
        return [leaf for item in items for leaf in _flatten(item)]
    return [items]
