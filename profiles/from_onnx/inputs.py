"""Give every input of an ONNX model a fixed shape."""

from __future__ import annotations

from math import prod

import onnx

from planner.errors import BadInputError
from profiles.from_onnx.batch import batch_axes

# No network has larger tensors; crafted files do.
MAX_ELEMENTS = 2**40
MAX_DIMENSIONS = 64

Dims = list[int | str | None]


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller feeds: old files list their weights as inputs too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [value for value in model.graph.input if value.name not in weights]


def fix_inputs(
    model: onnx.ModelProto, given: dict[str, tuple[int, ...]], batch: int | None
) -> dict[str, onnx.TypeProto]:
    """Write fixed shapes into the model's inputs and drop all other shapes it declares.

    A size given for a named dimension holds wherever the model uses that name.

    Parameters
    ----------
    model : onnx.ModelProto
        Is changed.
    given : dict
        Shape per input; may replace fixed sizes, not the number of dimensions.
    batch : int, optional
        Replaces the dimension of every input that is the batch, of the given shapes too.

    Returns
    -------
    dict of str to onnx.TypeProto
        The fixed shapes that the model declares for its inner tensors and outputs, to be used
        where inference finds none; empty if a fixed size of an input was replaced.

    Raises
    ------
    BadInputError
        An input is no tensor or keeps an open dimension; a given shape fits no input; which
        dimension is the batch cannot be said.
    """
    inputs = graph_inputs(model)
    if not inputs:
        raise BadInputError("has no inputs")
    _check_given(given, batch, [value.name for value in inputs])
    declared = {value.name: _dims(value) for value in inputs}
    wanted = {value.name: _wanted(value.name, declared[value.name], given) for value in inputs}
    if batch is not None:
        named = {name: _with_names(shape, declared[name]) for name, shape in wanted.items()}
        for name, axis in batch_axes(model, named).items():
            wanted[name][axis] = batch
    bound: dict[str, int] = {}
    for name, shape in wanted.items():
        for size, known in zip(shape, declared[name] or (), strict=False):
            if isinstance(known, str) and isinstance(size, int):
                bound.setdefault(known, size)
    replaced = False
    for value in inputs:
        fixed = _fixed(value.name, wanted[value.name], bound)
        replaced |= any(
            isinstance(known, int) and known != size
            for known, size in zip(declared[value.name] or (), fixed, strict=False)
        )
        del value.type.tensor_type.shape.dim[:]
        for size in fixed:
            value.type.tensor_type.shape.dim.add().dim_value = size
    inner = _take_declared(model, bound)
    return {} if replaced else inner


def _check_given(given: dict[str, tuple[int, ...]], batch: int | None, names: list[str]) -> None:
    if batch is not None and batch < 1:
        raise BadInputError(f"the batch is {batch}; it is at least 1")
    for name, shape in given.items():
        if name not in names:
            raise BadInputError(
                f"has no input {name!r}; its inputs are {', '.join(map(repr, names[:10]))}"
            )
        if any(size < 0 for size in shape):
            raise BadInputError(f"input {name!r}: the shape {shape} is given; sizes are at least 0")


def _dims(value: onnx.ValueInfoProto) -> Dims | None:
    """Sizes, names of open dimensions, or None for nameless ones; None without any."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        found = (kind or "untyped").removesuffix("_type").replace("_", " ")
        raise BadInputError(f"input {value.name!r} is {found}; only dense tensors can be profiled")
    if not value.type.tensor_type.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.dim_value > 0 else dim.dim_param or None
        for dim in value.type.tensor_type.shape.dim
    ]


def _wanted(name: str, declared: Dims | None, given: dict[str, tuple[int, ...]]) -> Dims:
    shape: Dims = list(given.get(name, declared or ()))
    if name in given and declared is not None and len(shape) != len(declared):
        raise BadInputError(
            f"input {name!r}: the shape {given[name]} is given; "
            f"the model's has {len(declared)} dimensions, {_shown(declared)}"
        )
    if name not in given and declared is None:
        raise BadInputError(
            f"input {name!r} declares no shape; give one, such as --input-shape {name}=1,3,224,224"
        )
    return shape


def _with_names(shape: Dims, declared: Dims | None) -> Dims:
    """Sizes, with the names of those that are open unless they are given."""
    known = declared or shape
    return [
        name if isinstance(name, str) else size for size, name in zip(shape, known, strict=True)
    ]


def _fixed(name: str, wanted: Dims, bound: dict[str, int]) -> tuple[int, ...]:
    sizes = [bound.get(size) if isinstance(size, str) else size for size in wanted]
    shape = tuple(size for size in sizes if size is not None)
    if len(shape) < len(sizes):
        usual = 224 if len(sizes) == 4 else 128
        example = ",".join(
            str(size or (1 if position == 0 else 3 if position == len(sizes) - 3 else usual))
            for position, size in enumerate(sizes)
        )
        raise BadInputError(
            f"input {name!r} has open dimensions, {_shown(wanted)}; "
            f"give its shape, such as --input-shape {name}={example}"
        )
    if prod(shape) > MAX_ELEMENTS:
        raise BadInputError(
            f"input {name!r} has the shape {shape}; at most {MAX_ELEMENTS:,} elements are allowed"
        )
    return shape


def _shown(dims: Dims) -> str:
    return f"({', '.join('?' if size is None else str(size) for size in dims)})"


def _take_declared(model: onnx.ModelProto, bound: dict[str, int]) -> dict[str, onnx.TypeProto]:
    """Remove the inner tensors' and outputs' declared shapes; return the types with fixed ones."""
    declared = {}
    for value in [*model.graph.value_info, *model.graph.output]:
        tensor = value.type.tensor_type
        if value.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
            continue
        sizes = [bound.get(d) if isinstance(d, str) else d for d in _dims(value) or ()]
        if None not in sizes:
            declared[value.name] = onnx.TypeProto()
            declared[value.name].CopyFrom(value.type)
            for dim, size in zip(declared[value.name].tensor_type.shape.dim, sizes, strict=True):
                dim.dim_value = size or 0
        tensor.ClearField("shape")
    del model.graph.value_info[:]
    return declared
