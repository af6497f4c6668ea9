"""Profile a ``torch.nn.Module``: graph and shapes from torch.export on meta tensors.

No weights are read or held: a module built under ``torch.device("meta")`` costs no memory.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from planner.domain.model_profile import ModelProfile, Provenance
from planner.errors import BadInputError
from profiles.build import build_profile
from profiles.graph import Graph, Operator, Tensor
from profiles.torch_ops import ATEN_KINDS, aten_name

if TYPE_CHECKING:
    import torch


def import_torch() -> Any:
    """The torch module, or one line that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise BadInputError(
            "torch is not installed; a PyTorch model needs the extra: pip install 'planner[torch]'"
        ) from error
    return torch


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
        Positional inputs of ``forward`` in order.
    name, source : str
        For the profile's name and provenance.
    witness : bool
        Let fvcore count the module as well (see `profiles.witness`).

    Raises
    ------
    BadInputError
        torch.export cannot trace the module, or the witness contradicts the count.
    """
    torch = import_torch()
    graph = trace_graph(module, input_shapes, name=name)
    provenance = Provenance(
        front_end="torch.export", source=source, tools={"torch": torch.__version__}
    )
    profile = build_profile(graph, provenance)
    from profiles.witness import add_witness, without_witness

    if not witness:
        return without_witness(profile, "turned off")
    return add_witness(profile, graph, module, input_shapes)


def trace_graph(
    module: torch.nn.Module, input_shapes: dict[str, tuple[int, ...]], *, name: str
) -> Graph:
    """Export a module on meta tensors and translate its ATen graph."""
    torch = import_torch()
    from torch._subclasses.fake_tensor import FakeTensorMode

    was_training = module.training
    module.eval()
    logging.getLogger("torch").setLevel(logging.ERROR)
    with FakeTensorMode(allow_non_fake_inputs=True):
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        arguments = tuple(torch.empty(shape, device=device) for shape in input_shapes.values())
        try:
            exported = torch.export.export(module, arguments, strict=False)
        except Exception as error:
            raise BadInputError(
                f"{name}: torch.export cannot trace it: {str(error).splitlines()[0][:300]}"
            ) from error
        finally:
            module.train(was_training)
    return _Translator(exported, tuple(input_shapes)).graph(name)


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
        arguments = [item for item in _flatten([*node.args, *node.kwargs.values()]) if hasattr(item, "name")]
        activations = tuple(self._names[a.name] for a in arguments if a.name in self._names)
        if "getitem" in str(node.target) and activations:
            self._names[node.name] = activations[0]
            return None
        if not hasattr(value, "shape") or not activations:
            return None  # symbolic sizes, constants and what follows from them
        aten = aten_name(node.target)
        kind, op = ATEN_KINDS.get(aten, ("opaque", aten))
        weights = [a for a in arguments if a.name in self._params or a.name in self._constants]
        if kind in ("conv", "conv_transpose", "linear", "embedding") and not weights:
            kind = "opaque"
        label = self._unique(node, op)
        shape = tuple(node.args[0].meta["val"].shape) if hasattr(node.args[0], "meta") else ()
        attributes = _attributes(kind, aten, node, len(shape))
        self._names[node.name] = label
        return Operator(
            name=label,
            kind=kind,
            op=op,
            source_op=f"aten.{aten}",
            inputs=activations,
            output=_tensor(label, value),
            weight_shape=tuple(int(s) for s in weights[0].meta["val"].shape) if weights else (),
            params=self._count_params(weights),
            param_bytes=sum(a.meta["val"].numel() * a.meta["val"].dtype.itemsize for a in weights),
            module=_module_path(node),
            **attributes,
        )

    def _count_params(self, weights: list[Any]) -> int:
        """Trainable parameters, each counted once where layers share it."""
        fresh = [w for w in weights if w.name in self._params and w.name not in self._counted_params]
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


def _attributes(kind: str, aten: str, node: Any, rank: int) -> dict[str, Any]:
    """Groups, axes and the like, from an ATen call's positional arguments."""

    def argument(position: int, default: Any) -> Any:
        return node.args[position] if len(node.args) > position else default

    def axis(value: int) -> int:
        return value % rank if rank else 0

    if kind == "conv":
        return {"groups": int(argument(8 if aten == "convolution" else 6, 1))}
    if kind == "conv_transpose":
        return {"groups": int(argument(6, 1))}
    if kind == "norm":
        return {"axes": tuple(range(rank - len(argument(1, [0])), rank))}
    if kind == "softmax":
        return {"axes": (axis(argument(1, -1)),)}
    if kind == "reduce":
        dims = argument(1, None)
        return {"axes": tuple(axis(d) for d in dims) if dims else tuple(range(rank))}
    if kind == "concat":
        first = node.args[0][0].meta["val"]
        return {"axes": (argument(1, 0) % len(first.shape),)}
    if kind == "slice":
        start = argument(2, 0) or 0
        return {"axes": (axis(argument(1, 0)),), "start": int(start) if argument(4, 1) == 1 else -1}
    if aten == "transpose.int":
        order = list(range(rank))
        a, b = axis(node.args[1]), axis(node.args[2])
        order[a], order[b] = order[b], order[a]
        return {"permutation": tuple(order)}
    if aten == "permute":
        return {"permutation": tuple(axis(d) for d in node.args[1])}
    return {}
