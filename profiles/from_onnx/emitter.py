"""The tensors of an ONNX model that are known so far, and the operators that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, count
from math import prod

import onnx

from planner.errors import BadInputError
from profiles.from_onnx.bodies import Inside
from profiles.from_onnx.file import stored_bytes
from profiles.from_onnx.inferred import STANDARD_DOMAINS, Inferred, ShapeGapError
from profiles.from_onnx.inputs import MAX_DIMENSIONS, MAX_ELEMENTS
from profiles.graph import Tensor
from profiles.meanings import call as meanings
from profiles.meanings.call import Constant, roots_of

BRANCH_ASSUMED = "the branch with more work assumed, and its weights alone"


class Emitter(meanings.Emitter):
    """The tensors of a model that are known so far, and the operators that make them."""

    def __init__(
        self,
        inferred: Inferred,
        opsets: list[onnx.OperatorSetIdProto],
        assumed: dict[str, str],
        inner: Callable[[onnx.ModelProto], Inside],
        *,
        guessing: bool = False,
    ) -> None:
        super().__init__()
        self.opsets = opsets
        self.opset = max((o.version for o in opsets if o.domain in STANDARD_DOMAINS), default=1)
        self.inferred = inferred
        self.inner = inner  # what is inside of a loop's body
        self.assumed = assumed  # output -> what was assumed to get it
        self.guessing = guessing  # sizes that are not known are taken to be those of inputs
        self.guessed: dict[str, Tensor] = {}
        self.sparse: list[str] = []  # tensors that the file holds without their zeros

    def integers(self, name: str) -> tuple[int, ...] | None:
        """The values of a small integer constant, if they are known."""
        values = self.inferred.values.get(name)
        if values is None or values.dtype.kind not in "iu":
            return None
        return tuple(int(value) for value in values.reshape(-1))

    def described(self, name: str, where: str) -> Tensor:
        """An ONNX tensor as inference describes it.

        Raises
        ------
        ShapeGapError
            Its shape is not known.
        BadInputError
            Its shape is empty or absurd; it holds no numbers.
        """
        if name in self.guessed:
            return self.guessed[name]
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
        data_type = self.inferred.element_types.get(name, 0)
        dtype, element_bytes, _ = _element(data_type, where, text=not where.startswith("input"))
        return Tensor(name, shape, dtype, element_bytes)

    def is_empty(self, name: str) -> bool:
        """Whether a tensor is known to have no elements."""
        return 0 in self.inferred.shapes.get(name, ())

    def guess(self, name: str, like: Tensor) -> None:
        """Take a tensor of unknown size to be as large as another."""
        shape = self.inferred.shapes.get(name, like.shape)
        self.guessed[name] = Tensor(name, shape, like.dtype, like.element_bytes)

    def is_known(self, name: str) -> bool:
        """Whether inference says what a tensor is."""
        return name in self.inferred.shapes and bool(self.inferred.element_types.get(name, 0))

    def label(self, wanted: str) -> str:
        """A label that no other layer has."""
        return self.take_label(chain([wanted], (f"{wanted}_{n}" for n in count(2))))

    def store(self, name: str, data_type: int, shape: tuple[int, ...], elements: int) -> Constant:
        """Keep a tensor that the file holds."""
        floating = _element(data_type, f"tensor {name!r}")[2]
        if elements > MAX_ELEMENTS:
            raise BadInputError(f"tensor {name!r} has the shape {shape}, which is too large")
        self.stored[name] = (elements, stored_bytes(data_type, elements))
        self.constants[name] = Constant(shape, (name,), floating=floating)
        return self.constants[name]

    def store_sparse(self, name: str, sparse: onnx.SparseTensorProto) -> None:
        """Keep a tensor that the file holds as values and where they stand: works as a dense one.

        Its parameters are the values that are stored; its bytes are theirs and the indices'.
        """
        values, indices, shape = sparse.values, sparse.indices, tuple(sparse.dims)
        if prod(shape) > MAX_ELEMENTS:
            raise BadInputError(f"tensor {name!r} has the shape {shape}, which is too large")
        self.store(name, values.data_type, shape, prod(values.dims))
        elements, size = self.stored[name]
        self.stored[name] = (elements, size + stored_bytes(indices.data_type, prod(indices.dims)))
        self.sparse.append(name)

    def store_numbers(self, name: str, shape: tuple[int, ...]) -> Constant:
        """Keep numbers that a node holds itself."""
        return self.store(name, onnx.TensorProto.FLOAT, shape, prod(shape))

    def derive(
        self,
        name: str,
        made_of: Iterable[Constant],
        *,
        from_shape: bool,
        makings: tuple[str, ...] = (),
    ) -> None:
        """Keep a tensor that the model computes from constants or shapes."""
        shape = self.inferred.shapes.get(name)
        data_type = self.inferred.element_types.get(name, 0)
        if shape is None or not data_type:
            return  # a layer that needs it does not find it, and says so
        self.constants[name] = Constant(
            shape,
            roots_of(made_of),
            floating=_element(data_type, name)[2],
            from_shape=from_shape,
            makings=makings,
        )


def _element(data_type: int, where: str, *, text: bool = False) -> tuple[str, int, bool]:
    """Name, bytes and whether it is a floating-point type; ``text``: names of classes may be it."""
    known = data_type and data_type in onnx.TensorProto.DataType.values()
    if not known or (data_type == onnx.TensorProto.STRING and not text):
        found = "text" if known else "elements of an unknown type"
        raise BadInputError(f"{where} holds {found}; only numbers can be profiled")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    name = onnx.TensorProto.DataType.Name(data_type)
    return str(dtype), dtype.itemsize, "FLOAT" in name or "DOUBLE" in name
