"""Which operators are run on a device to learn its rates, with their MACs and bytes.

The shapes are made by rule, not taken from a model: maps of 224 down to 7 pixels a side, features
that double where the side halves, token vectors of the usual widths, 32-bit numbers, batch 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from planner.domain.cluster import OperatorKind

Op = Literal[
    "conv",
    "linear",
    "attention",
    "copy",
    "add",
    "mul",
    "relu",
    "gelu",
    "silu",
    "batch-norm",
    "layer-norm",
]

ELEMENT_BYTES = 4
HEAD_FEATURES = 64
KINDS: tuple[OperatorKind, ...] = (
    "conv-1x1",
    "conv",
    "depthwise",
    "linear",
    "attention",
    "element-wise",
)
_TWO_OPERANDS = ("add", "mul")


@dataclass(frozen=True)
class Shape:
    """One operator at one size.

    Attributes
    ----------
    kind : str
    op : str
    inputs, outputs : int
        Features.
    size : int
        Of a map its input's side in pixels; of token vectors the tokens.
    kernel, stride : int
        Of a convolution.
    """

    kind: OperatorKind
    op: Op
    inputs: int
    outputs: int
    size: int
    kernel: int = 1
    stride: int = 1

    def __str__(self) -> str:
        """Such as ``conv 64>256 56x56 k1 s1``."""
        size = f"{self.size}x{self.size}" if self.is_map else f"{self.size}"
        window = f" k{self.kernel} s{self.stride}" if self.op == "conv" else ""
        return f"{self.op} {self.inputs}>{self.outputs} {size}{window}"

    @property
    def is_map(self) -> bool:
        """Whether it reads an image or a map, not token vectors."""
        return self.op in ("conv", "batch-norm")

    @property
    def padding(self) -> int:
        """Rows on each side: none where the windows do not overlap."""
        return 0 if self.kernel == self.stride else self.kernel // 2

    @property
    def output_size(self) -> int:
        """The output's side, or its tokens."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def weight_count(self) -> int:
        """Numbers that are stored."""
        if self.op == "conv":
            groups = self.inputs if self.kind == "depthwise" else 1
            return self.outputs * (self.inputs // groups * self.kernel * self.kernel + 1)
        if self.op == "linear":
            return self.inputs * self.outputs + self.outputs
        return {"batch-norm": 4, "layer-norm": 2}.get(self.op, 0) * self.inputs

    @property
    def macs(self) -> int:
        """Multiply-accumulates as profiles count them; 0 of an element-wise operator."""
        if self.op == "conv":
            return (self.weight_count - self.outputs) * self._positions(self.output_size)
        if self.op == "linear":
            return self.inputs * self.outputs * self.size
        if self.op == "attention":
            return 2 * self.size * self.size * self.inputs
        return 0

    @property
    def touched_bytes(self) -> int:
        """Bytes of weights, inputs and outputs, each once."""
        read = self.inputs * self._positions(self.size)
        operands = {"attention": 3}.get(self.op, 2 if self.op in _TWO_OPERANDS else 1)
        written = self.outputs * self._positions(self.output_size)
        return ELEMENT_BYTES * (operands * read + written + self.weight_count)

    def _positions(self, size: int) -> int:
        return size * size if self.is_map else size


def smallest_like(shape: Shape) -> Shape:
    """An operator of the same sort that takes next to no time."""
    width = HEAD_FEATURES if shape.op == "attention" else 16
    size = shape.kernel if shape.is_map else 4
    return replace(shape, inputs=width, outputs=width, size=size)


def standard_shapes() -> tuple[Shape, ...]:
    """The shapes that `planner measure node` runs."""
    return (*_convolutions(), *_depthwise(), *_token_vectors(), *_element_wise())


def _convolutions() -> list[Shape]:
    found = []
    for side, width in ((56, 64), (28, 128), (14, 256), (7, 512)):
        for inputs, outputs in (
            (width, 4 * width),
            (4 * width, width),
            (width // 2, width),
            (width // 2, 3 * width),
            (3 * width // 2, width // 4),
        ):
            found.append(Shape("conv-1x1", "conv", inputs, outputs, side))
        for inputs in (width // 4, width // 2, width):
            found.append(Shape("conv", "conv", inputs, inputs, side, kernel=3))
        found.append(Shape("conv", "conv", width, 2 * width, side, kernel=3, stride=2))
        found.append(Shape("conv-1x1", "conv", 2 * width, 4 * width, side, stride=2))
        found.append(Shape("conv", "conv", width // 2, width // 2, side, kernel=5))
    found += [
        Shape("conv-1x1", "conv", 16, 8, 7),
        Shape("conv-1x1", "conv", 24, 16, 112),
        Shape("conv-1x1", "conv", 16, 64, 112),
        Shape("conv-1x1", "conv", 512, 1536, 7),
        Shape("conv-1x1", "conv", 768, 48, 1),  # of a map that was pooled to one pixel
        Shape("conv-1x1", "conv", 16, 192, 1),
        Shape("conv", "conv", 8, 8, 7, kernel=3),
        Shape("conv", "conv", 3, 48, 224, kernel=3, stride=2),
        Shape("conv", "conv", 3, 64, 224, kernel=7, stride=2),
        Shape("conv", "conv", 3, 128, 224, kernel=4, stride=4),
        Shape("conv", "conv", 3, 512, 224, kernel=16, stride=16),
        Shape("conv", "conv", 32, 32, 112, kernel=3),
    ]
    return found


def _depthwise() -> list[Shape]:
    found = [Shape("depthwise", "conv", 16, 16, 7, kernel=3)]
    for side, width in ((112, 48), (56, 128), (28, 192), (14, 512), (7, 1024)):
        for kernel, stride in ((3, 1), (3, 2), (5, 1), (7, 1)):
            found.append(Shape("depthwise", "conv", width, width, side, kernel, stride))
    return found


def _token_vectors() -> list[Shape]:
    found = [Shape("linear", "linear", 64, 64, 1)]
    for tokens in (1, 16, 160):
        for inputs, outputs in ((512, 512), (512, 2048), (2048, 512), (1024, 1024), (1024, 4096)):
            found.append(Shape("linear", "linear", inputs, outputs, tokens))
    for tokens, width in ((3136, 64), (784, 160), (196, 320), (49, 640)):
        found.append(Shape("linear", "linear", width, 4 * width, tokens))
        found.append(Shape("linear", "linear", 4 * width, width, tokens))
    found.append(Shape("linear", "linear", 768, 16384, 64))
    for tokens in (16, 64, 160, 256, 512):
        for heads in (4, 8, 12):
            width = heads * HEAD_FEATURES
            found.append(Shape("attention", "attention", width, width, tokens))
    return found


def _element_wise() -> list[Shape]:
    found = [Shape("element-wise", "add", 64, 64, 1)]
    for tokens, width in ((64, 256), (160, 512), (160, 2048), (784, 768), (3136, 384)):
        ops: tuple[Op, ...] = ("add", "mul", "relu", "gelu", "silu", "layer-norm", "copy")
        for op in ops:
            found.append(Shape("element-wise", op, width, width, tokens))
    for side, width in ((112, 64), (56, 192), (28, 384), (14, 768), (7, 1024)):
        found.append(Shape("element-wise", "batch-norm", width, width, side))
    found.append(Shape("element-wise", "copy", 4096, 4096, 4096))  # 64 MiB, larger than caches
    return found
