"""Read an ONNX file's bytes into a model without its weights' values, or say why not."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import onnx
from google.protobuf.message import DecodeError, EncodeError, Message  # type: ignore[import-untyped]

from planner.errors import BadInputError
from profiles.from_onnx.inferred import STANDARD_DOMAINS

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


def read_model(data: bytes) -> onnx.ModelProto:
    """Parse and check a model; drop the values of its large tensors.

    Raises
    ------
    BadInputError
        It is no valid ONNX model, or keeps weights in another file.
    """
    if not data:
        raise BadInputError("is empty; an ONNX model is needed")
    small = _without_weights(data)
    try:
        # On the file as it is: it also holds every tensor's size against its declared shape.
        onnx.checker.check_model(data)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise BadInputError(f"is no valid ONNX model: {error}") from error
    return parse(small)


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


def _without_weights(data: bytes) -> bytes:
    """The serialised model without large values; the parsed one is freed before the checker's."""
    model = parse(data)
    del model.training_info[:]
    _check_extent(model)
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BadInputError(
                f"keeps the tensor {tensor.name!r} in another file, which is not read; "
                "save the model as one file"
            )
        _check_length(tensor)
        if prod(tensor.dims) > KEPT_ELEMENTS:
            for field in _VALUE_FIELDS:
                tensor.ClearField(field)
    try:
        small: bytes = model.SerializeToString()
    except EncodeError as error:  # protobuf's word for it: what was parsed can be written
        raise MemoryError from error
    return small


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


def _check_length(tensor: onnx.TensorProto) -> None:
    """Refuse values that the shape has no place for; the checker finds only those that lack."""
    elements = prod(tensor.dims)
    if tensor.data_type not in onnx.TensorProto.DataType.values():
        raise BadInputError(
            f"the tensor {tensor.name!r} has the element type {tensor.data_type}, "
            "which ONNX does not have"
        )
    if tensor.data_type in _PACKED_BITS:
        most_bytes = -(-elements * _PACKED_BITS[tensor.data_type] // 8)
    elif tensor.data_type in (tensor.UNDEFINED, tensor.STRING):
        return
    else:
        most_bytes = elements * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    parts = 2 if tensor.data_type in (tensor.COMPLEX64, tensor.COMPLEX128) else 1
    listed = max(len(getattr(tensor, field)) for field in _VALUE_FIELDS[1:])
    if len(tensor.raw_data) > most_bytes or listed > elements * parts:
        raise BadInputError(
            f"the tensor {tensor.name!r} holds more values than its shape {tuple(tensor.dims)} has"
        )
