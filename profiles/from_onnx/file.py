"""Read an ONNX file's bytes into a model without its weights' values, or say why not."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import onnx
from google.protobuf.message import DecodeError, EncodeError, Message  # type: ignore[import-untyped]

from planner.errors import BadInputError
from profiles.from_onnx.blocks import without_filling
from profiles.from_onnx.inferred import STANDARD_DOMAINS
from profiles.from_onnx.repairs import repaired, shapeless

MAX_NODES = 200_000
KEPT_ELEMENTS = 1024  # of a constant whose values shape inference may want
_VALUE_FIELDS = (
    "raw_data float_data int32_data string_data int64_data double_data uint64_data".split()
)
_PACKED_BITS = {
    getattr(onnx.TensorProto, name): bits
    for bits, names in ((4, "INT4 UINT4 FLOAT4E2M1"), (2, "INT2 UINT2"))
    for name in names.split()
}


def read_model(data: bytes) -> tuple[onnx.ModelProto, list[str]]:
    """Parse a model, put it in order, check it; drop the values of its large tensors.

    Returns
    -------
    onnx.ModelProto
    list of str
        What had to be put in order.

    Raises
    ------
    BadInputError
        It is no valid ONNX model.
    """
    if not data:
        raise BadInputError("is empty; an ONNX model is needed")
    small, whole, notes = _without_weights(data)
    try:
        # With the values that are there: every tensor's size is held against its declared shape.
        onnx.checker.check_model(whole)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise BadInputError(f"is no valid ONNX model: {error}") from error
    return parse(small), notes


def parse(data: bytes) -> onnx.ModelProto:
    """Parse a model, unchecked.

    Raises
    ------
    BadInputError
        The bytes are no ONNX model.
    """
    try:
        return onnx.load_model_from_string(data)
    except DecodeError as error:
        if "alloc" in str(error):
            raise MemoryError from error
        raise BadInputError("is no ONNX model, or a part of one is missing") from error


def stored_bytes(data_type: int, elements: int) -> int:
    """Bytes of so many numbers in a file: those of 4 bits lie two to a byte."""
    if data_type in _PACKED_BITS:
        return -(-elements * _PACKED_BITS[data_type] // 8)
    return elements * int(onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize)


def _without_weights(data: bytes) -> tuple[bytes, bytes, list[str]]:
    """The serialised model without large values; as the checker is to see it; what was mended.

    The parsed one is freed before the checker's.
    """
    model = parse(data)
    del model.training_info[:]
    _check_extent(model)
    for tensor in tensors(model):
        _check_length(tensor)
    notes = repaired(model)
    elsewhere = sum(map(is_elsewhere, tensors(model)))
    if elsewhere:
        notes.append(f"{elsewhere} tensors are kept in other files, which were not read")
    lacking = shapeless(model)
    if outputs := len(lacking) and sum(value in lacking for value in model.graph.output):
        notes.append(f"{outputs} outputs have no shape")
    for value in lacking:  # the checker wants one, and inference none
        value.type.tensor_type.shape.dim.add()
    whole = data
    if elsewhere:
        whole = _serialised(_without_files(model))
    elif notes or lacking:
        whole = _serialised(model)
    for value in lacking:
        value.type.tensor_type.ClearField("shape")
    if filled := without_filling(model):
        notes.append(filled)
    for tensor in tensors(model):
        tensor.ClearField("data_location")
        tensor.ClearField("external_data")
        if prod(tensor.dims) > KEPT_ELEMENTS:
            for field in _VALUE_FIELDS:
                tensor.ClearField(field)
    return _serialised(model), whole, notes


def holds_values(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor's values are at hand; large ones, and those of other files, are not."""
    return not prod(tensor.dims) or any(len(getattr(tensor, field)) for field in _VALUE_FIELDS)


def is_elsewhere(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor's values are kept in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL or bool(tensor.external_data)


def _without_files(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose tensors in other files have no place for values: all else can be checked."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in filter(is_elsewhere, tensors(copy)):
        name, kind = tensor.name, tensor.data_type
        tensor.Clear()
        tensor.name, tensor.data_type = name, kind
        tensor.dims.append(0)
    return copy


def _serialised(model: onnx.ModelProto) -> bytes:
    try:
        data: bytes = model.SerializeToString()
    except EncodeError as error:  # protobuf's word for it: what was parsed can be written
        raise MemoryError from error
    return data


def _check_extent(model: onnx.ModelProto) -> None:
    """Refuse at once what would be refused at length."""
    nodes = len(model.graph.node)
    if nodes > MAX_NODES:
        raise BadInputError(f"has {nodes:,} nodes; at most {MAX_NODES:,} are read")
    newest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in STANDARD_DOMAINS and entry.version > newest:
            raise BadInputError(
                f"is written in operator set {entry.version}; "
                f"onnx {onnx.__version__} knows those up to {newest}"
            )


def tensors(message: Message) -> Iterator[Any]:
    """Every tensor anywhere in a model: initializers, attributes, subgraphs, functions.

    Raises
    ------
    BadInputError
        A name is no text.
    """
    stack: list[Any] = [message]
    while stack:
        current = stack.pop()
        if isinstance(current, onnx.TensorProto):
            yield current
            continue
        for field, value in current.ListFields():
            values = value if field.is_repeated else [value]
            if field.message_type is not None:
                stack.extend(values)
            elif field.type == field.TYPE_STRING and any(isinstance(v, bytes) for v in values):
                raise BadInputError("holds a name that is not UTF-8")


def check_names(model: onnx.ModelProto) -> None:
    """Refuse a model in which a name is no text.

    Raises
    ------
    BadInputError
    """
    for _ in tensors(model):
        pass


def _check_length(tensor: onnx.TensorProto) -> None:
    """Refuse values that the shape has no place for; the checker finds only those that lack."""
    if tensor.data_type not in onnx.TensorProto.DataType.values():
        raise BadInputError(
            f"the tensor {tensor.name!r} has the element type {tensor.data_type}, "
            "which ONNX does not have"
        )
    if tensor.data_type in (tensor.UNDEFINED, tensor.STRING):
        return
    elements = prod(tensor.dims)
    most_bytes = stored_bytes(tensor.data_type, elements)
    parts = 2 if tensor.data_type in (tensor.COMPLEX64, tensor.COMPLEX128) else 1
    listed = max(len(getattr(tensor, field)) for field in _VALUE_FIELDS[1:])
    if len(tensor.raw_data) > most_bytes or listed > elements * parts:
        raise BadInputError(
            f"the tensor {tensor.name!r} holds more values than its shape {tuple(tensor.dims)} has"
        )
