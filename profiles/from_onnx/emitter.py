"""The tensors of an ONNX model that are known so far, and the operators that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, KeysView
from dataclasses import dataclass, replace
from math import prod

import onnx

from planner.errors import BadInputError
from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred, ShapeGapError
from profiles.from_onnx.inputs import MAX_DIMENSIONS, MAX_ELEMENTS
from profiles.graph import Graph, Operator, Tensor

BRANCH_ASSUMED = "the branch with more work assumed"


@dataclass(frozen=True)
class Constant:
    """A tensor that no input changes.

    Attributes
    ----------
    roots : frozenset of str
        The stored tensors whose elements it is made of.
    from_shape : bool
        The model computes it from the shape of an activation.
    trained : bool
        Its elements are parameters of the layer that owns it, and not only stored with it.
    """

    shape: tuple[int, ...]
    floating: bool
    roots: frozenset[str]
    from_shape: bool = False
    trained: bool = True

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def is_weight(self) -> bool:
        """Whether it may be one: single numbers and counts are settings."""
        return self.floating and self.elements > 1


def stored_only(constants: Iterable[Constant]) -> list[Constant]:
    """These as tensors that a layer stores and does not train."""
    return [replace(constant, trained=False) for constant in constants]


class Emitter:
    """The tensors of a model that are known so far, and the operators that make them."""

    def __init__(
        self,
        inferred: Inferred,
        opsets: list[onnx.OperatorSetIdProto],
        assumed: dict[str, str],
        inner: Callable[[onnx.ModelProto], Graph],
    ) -> None:
        self.opsets = opsets
        self.opset = max((o.version for o in opsets if o.domain in STANDARD_DOMAINS), default=1)
        self.operators: list[Operator] = []
        self.inferred = inferred
        self.inner = inner  # the graph of a loop's body
        self._assumed = assumed  # output -> what was assumed to get it
        self._activations: dict[str, Tensor] = {}  # ONNX tensor -> activation
        self._constants: dict[str, Constant] = {}
        self._stored: dict[str, tuple[int, int]] = {}  # root -> elements, bytes
        self._settings: set[str] = set()  # roots that are no trained parameters
        self._counted: set[str] = set()  # roots whose parameters a layer has
        self._labels: set[str] = set()

    # What is known of tensors.

    def tensor(self, name: str) -> Tensor | None:
        """The activation that an ONNX tensor is, if it is one."""
        return self._activations.get(name)

    def constant(self, name: str) -> Constant | None:
        """The constant that an ONNX tensor is, if it is one."""
        return self._constants.get(name)

    @property
    def constant_names(self) -> KeysView[str]:
        """Tensors that no input changes, as far as they are known."""
        return self._constants.keys()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed."""
        return tuple(dict.fromkeys(self._assumed.values()))

    def assume(self, output: str, what: str) -> None:
        """Note an assumption that an output rests on."""
        self._assumed[output] = what

    def is_assumed(self, output: str) -> bool:
        """Whether an output rests on an assumption."""
        return output in self._assumed

    def integers(self, name: str) -> tuple[int, ...] | None:
        """The values of a small integer constant, if they are known."""
        values = self.inferred.values.get(name)
        if values is None or values.dtype.kind not in "iu":
            return None
        return tuple(int(value) for value in values.reshape(-1))

    @staticmethod
    def like(tensor: Tensor, shape: tuple[int, ...], label: str) -> Tensor:
        """A tensor of the same type."""
        return Tensor(label, shape, tensor.dtype, tensor.element_bytes)

    def described(self, name: str, where: str) -> Tensor:
        """An ONNX tensor as inference describes it.

        Raises
        ------
        ShapeGapError
            Its shape is not known.
        BadInputError
            Its shape is empty or absurd; it holds no numbers.
        """
        shape = self.inferred.shapes.get(name)
        if shape is None:
            raise ShapeGapError(f"shape inference left no shape for the output {name!r} of {where}")
        if len(shape) > MAX_DIMENSIONS:
            raise BadInputError(
                f"{where} has a tensor of {len(shape)} dimensions; at most {MAX_DIMENSIONS} "
                "are read"
            )
        if min(shape, default=1) < 1 or prod(shape) > MAX_ELEMENTS:
            raise BadInputError(
                f"{where} has a tensor of shape {shape}; sizes are at least 1, "
                f"with at most {MAX_ELEMENTS:,} elements"
            )
        dtype, element_bytes, _ = _element(self.inferred.element_types.get(name, 0), where)
        return Tensor(name, shape, dtype, element_bytes)

    # What a node turns out to be.

    def label(self, wanted: str) -> str:
        """A label that no other layer has."""
        label, count = wanted, 1
        while label in self._labels:
            count += 1
            label = f"{wanted}_{count}"
        self._labels.add(label)
        return label

    def count_params(self, weights: Iterable[Constant]) -> tuple[int, int]:
        """Trained elements, each counted once where layers share it, and bytes of all of them."""
        owned = list(weights)
        stored = {root for constant in owned for root in constant.roots}
        trained = {root for constant in owned if constant.trained for root in constant.roots}
        fresh = trained - self._counted - self._settings
        self._counted |= fresh
        return (
            sum(self._stored[root][0] for root in fresh),
            sum(self._stored[root][1] for root in stored),
        )

    def bind(self, name: str, tensor: Tensor) -> None:
        """Say which activation an ONNX tensor is."""
        self._activations[name] = tensor

    def store(self, name: str, data_type: int, shape: tuple[int, ...], elements: int) -> Constant:
        """Keep a tensor that the file holds."""
        _, element_bytes, floating = _element(data_type, f"tensor {name!r}")
        if elements > MAX_ELEMENTS:
            raise BadInputError(f"tensor {name!r} has the shape {shape}, which is too large")
        self._stored[name] = (elements, elements * element_bytes)
        self._constants[name] = Constant(shape, floating, frozenset({name}))
        return self._constants[name]

    def derive(self, name: str, made_of: Iterable[Constant], from_shape: bool) -> None:
        """Keep a tensor that the model computes from constants or shapes."""
        shape = self.inferred.shapes.get(name)
        data_type = self.inferred.element_types.get(name, 0)
        if shape is None or not data_type:
            return  # a layer that needs it does not find it, and says so
        roots: frozenset[str] = frozenset().union(*(constant.roots for constant in made_of))
        self._constants[name] = Constant(shape, _element(data_type, name)[2], roots, from_shape)

    def mark_settings(self, constants: Iterable[Constant]) -> None:
        """These belong to the weights' encoding: bytes, but no trained parameters."""
        self._settings.update(root for constant in constants for root in constant.roots)


def _element(data_type: int, where: str) -> tuple[str, int, bool]:
    """Name, bytes and whether it is a floating-point type."""
    if data_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        found = "text" if data_type else "elements of an unknown type"
        raise BadInputError(f"{where} holds {found}; only numbers can be profiled")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    name = onnx.TensorProto.DataType.Name(data_type)
    return str(dtype), dtype.itemsize, "FLOAT" in name or "DOUBLE" in name
