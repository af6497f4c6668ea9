"""Read the header of a GGUF file: its values, and every tensor's name, shape and type.

The format is documented with ggml (docs/gguf.md). Nothing behind the header is read, and every
length is held against what is there before anything is made of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from planner.errors import BadInputError
from profiles.files import one_line

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
MAX_TENSORS = 65_536
_MAX_VALUES = 65_536
_MAX_KEY = 65_535  # bytes
_MAX_NAME = 256
_MAX_SHOWN = 4096  # items of an array that are kept: one a layer is all that is asked for
_MAX_DIMENSIONS = 4
_LARGEST = 2**40
_FORMATS = "B b H h I i f ? s a Q q d".split()
_STRING, _ARRAY = 8, 9
_NESTED = 4

BLOCKS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
"""Types of tensors by number: name, weights of a block, bytes of a block with its scales."""


@dataclass(frozen=True)
class GgufTensor:
    """A tensor by its shape, the fastest dimension first, and the type of its weights."""

    shape: tuple[int, ...]
    type: str
    weights_of_block: int
    bytes_of_block: int

    @property
    def count(self) -> int:
        """Weights."""
        return prod(self.shape)

    @property
    def bits(self) -> Fraction:
        """Of a weight with its scales."""
        return Fraction(8 * self.bytes_of_block, self.weights_of_block)

    @property
    def bytes(self) -> int:
        """Whole blocks of every row."""
        rows = self.count // self.shape[0]
        return rows * -(-self.shape[0] // self.weights_of_block) * self.bytes_of_block


@dataclass(frozen=True)
class Header:
    """Values and tensors of a file."""

    values: dict[str, Any]
    tensors: dict[str, GgufTensor]


def read_header(data: bytes) -> Header:
    """Read the header at the beginning of a file.

    Parameters
    ----------
    data : bytes
        The file, or as much of it as may hold the header.

    Raises
    ------
    BadInputError
        One line: it is no GGUF file, of a version that is not known, ends inside of its header, or
        declares what no model has.
    """
    reader = _Reader(data)
    if reader.take(4) != MAGIC:
        raise BadInputError("is no GGUF file: it does not begin with GGUF")
    version = reader.number("I")
    if version not in _VERSIONS:
        raise BadInputError(
            f"GGUF: found version {version}; versions 2 and 3 of little-endian files are read"
        )
    tensors, values = reader.number("Q"), reader.number("Q")
    if tensors > MAX_TENSORS or values > _MAX_VALUES:
        raise BadInputError(
            f"GGUF: declares {tensors:,} tensors and {values:,} values; at most {MAX_TENSORS:,} "
            f"and {_MAX_VALUES:,} are read"
        )
    return Header(dict(reader.values(values)), dict(reader.tensors(tensors)))


def read_headers(parts: Sequence[bytes]) -> Header:
    """Read the headers of a file's parts, in order, as one.

    Raises
    ------
    BadInputError
        One line: as `read_header`; or the parts are not those of one model.
    """
    first, *others = found = [read_header(part) for part in parts]
    count = first.values.get("split.count", 1)
    if count == 0:  # some tools write so for a file that is whole
        count = 1
    if count != len(parts):
        raise BadInputError(
            f"GGUF: is one of {one_line(str(count))[:20]} files with some of the tensors each, and "
            f"not all are here ({len(parts)}): keep them in one folder, called "
            "name-00001-of-00003.gguf and so on, merge them, or give the config.json and "
            "--weight-bits"
        )
    tensors = dict(first.tensors)
    for number, part in enumerate(others, start=1):
        for key, wanted in (("split.count", count), ("split.no", number)):
            if part.values.get(key) != wanted:
                said = one_line(str(part.values.get(key)))[:20]
                raise BadInputError(f"GGUF: part {number + 1}: {key}: found {said}, not {wanted}")
        if twice := tensors.keys() & part.tensors.keys():
            raise BadInputError(f"GGUF: the tensor {min(twice)[:60]!r} is in two parts")
        tensors |= part.tensors
    if len(tensors) > MAX_TENSORS:
        raise BadInputError(f"GGUF: {len(tensors):,} tensors; at most {MAX_TENSORS:,} are read")
    said = first.values.get("split.tensors.count", len(tensors))
    if len(found) > 1 and said != len(tensors):
        raise BadInputError(
            f"GGUF: the parts have {len(tensors):,} tensors, the first says "
            f"{one_line(str(said))[:20]}"
        )
    return Header(first.values, tensors)


class _Reader:
    """Where in the header we are."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._seen: set[str] = set()

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self._data) - self._at:
            raise BadInputError("GGUF: ends inside of its header, or that is longer than is read")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, code: str) -> Any:
        """The next number."""
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def text(self, most: int) -> str:
        """The next string."""
        size = self.number("Q")
        if size > most:
            raise BadInputError(f"GGUF: a string of {size:,} bytes; at most {most:,} are read")
        return self.take(size).decode("utf-8", "replace")

    def values(self, count: int) -> Iterator[tuple[str, Any]]:
        """Keys and what they hold."""
        for _ in range(count):
            key = self._once(self.text(_MAX_KEY), "key")
            yield key, self._value(self.number("I"), key, 0)

    def tensors(self, count: int) -> Iterator[tuple[str, GgufTensor]]:
        """Names of tensors and what they are."""
        self._seen.clear()
        for _ in range(count):
            name = self._once(self.text(_MAX_NAME), "tensor")
            dimensions = self.number("I")
            if not 1 <= dimensions <= _MAX_DIMENSIONS:
                raise BadInputError(f"GGUF: tensor {name[:60]!r} has {dimensions:,} dimensions")
            shape = tuple(self.number("Q") for _ in range(dimensions))
            kind = self.number("I")
            self.number("Q")  # where its data is, which is not read
            if min(shape) < 1 or prod(shape) > _LARGEST:
                raise BadInputError(f"GGUF: tensor {name[:60]!r} has a shape that no model has")
            if kind not in BLOCKS:
                raise BadInputError(f"GGUF: tensor {name[:60]!r} is of type {kind}, not known here")
            yield name, GgufTensor(shape, *BLOCKS[kind])

    def _once(self, name: str, what: str) -> str:
        if name in self._seen:
            raise BadInputError(f"GGUF: the {what} {name[:60]!r} is there twice")
        self._seen.add(name)
        return name

    def _value(self, kind: int, key: str, depth: int) -> Any:
        if kind == _STRING:
            return self.text(len(self._data))
        if kind == _ARRAY:
            return self._array(key, depth)
        if kind >= len(_FORMATS):
            raise BadInputError(f"GGUF: {key[:60]!r} is of type {kind}; 0 to 12 are known")
        return self.number(_FORMATS[kind])

    def _array(self, key: str, depth: int) -> list[Any]:
        """The first items of an array; the others are passed over."""
        kind, count = self.number("I"), self.number("Q")
        if depth >= _NESTED:
            raise BadInputError(f"GGUF: {key[:60]!r} is nested too deeply")
        if count > len(self._data):  # an item has a byte at the least
            raise BadInputError(
                f"GGUF: {key[:60]!r} declares {count:,} items, more than the file has"
            )
        if kind < len(_FORMATS) and kind not in (_STRING, _ARRAY):
            size = struct.calcsize(f"<{_FORMATS[kind]}")
            block = self.take(size * count)
            shown = min(count, _MAX_SHOWN)
            return list(struct.unpack(f"<{shown}{_FORMATS[kind]}", block[: size * shown]))
        kept = []
        for place in range(count):
            item = self._value(kind, key, depth + 1)
            if place < _MAX_SHOWN:
                kept.append(item)
        return kept
