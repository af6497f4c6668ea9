"""What ONNX Runtime's tools write over small models: its optimiser, its quantisers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.profiles.onnx_models import node, numbers

LEVELS = ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL")


class _Weights:
    """Random ones: the optimiser merges those that are alike."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        self.made: list[onnx.TensorProto] = []

    def __call__(self, name: str, *shape: int) -> str:
        value = self._random.uniform(0.1, 0.5, shape).astype(np.float32)
        self.made.append(onnx.numpy_helper.from_array(value, name))
        return name


def _model(
    nodes: list[onnx.NodeProto], shape: list[int], weights: list[onnx.TensorProto], opset: int = 17
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def convolutions() -> onnx.ModelProto:
    """Convolutions of many kinds; 20 and 24 channels fill no block of a vector unit."""
    w = _Weights()
    nodes = [
        node("Conv", f"x {w('w1', 20, 3, 3, 3)} {w('b1', 20)}", "c1", pads=[1] * 4, strides=[2, 2]),
        node("Relu", "c1", "r1"),
        node("Conv", f"r1 {w('w2', 20, 1, 3, 3)} {w('b2', 20)}", "c2", group=20, pads=[1] * 4),
        node("Clip", f"c2 {w('low')} {w('high')}", "r2"),
        node("Conv", f"r2 {w('w3', 24, 20, 1, 1)} {w('b3', 24)}", "c3"),
        node("Conv", f"c3 {w('w4', 24, 24, 3, 3)} {w('b4', 24)}", "c4", pads=[1] * 4),
        node("Add", "c4 c3", "a1"),
        node("Relu", "a1", "r4"),
        node("MaxPool", "r4", "p1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", f"p1 {w('w5', 16, 24, 3, 3)} {w('b5', 16)}", "c5", pads=[1] * 4),
        node("Concat", "c5 p1", "k", axis=1),
        node("GlobalAveragePool", "k", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", f"f {w('w6', 10, 40)} {w('b6', 10)}", "y", transB=1),
    ]
    return _model(nodes, [1, 3, 32, 32], w.made)


def perceptron() -> onnx.ModelProto:
    """Products with terms and activations."""
    w = _Weights()
    nodes = [
        node("MatMul", f"x {w('w1', 64, 96)}", "m1"),
        node("Add", f"m1 {w('b1', 96)}", "a1"),
        node("Relu", "a1", "r1"),
        node("Gemm", f"r1 {w('w2', 96, 64)} {w('b2', 64)}", "g2"),
        node("LeakyRelu", "g2", "r2", alpha=0.1),
        node("Gemm", f"r2 {w('w3', 32, 64)} {w('b3', 32)}", "g3", transB=1),
        node("Softmax", "g3", "y", axis=-1),
    ]
    return _model(nodes, [4, 64], w.made)


def encoder() -> onnx.ModelProto:
    """A transformer's block: attention, norms of sums, GELU."""
    w = _Weights()
    heads = numbers("heads", [1, 12, 4, 16])
    flat = numbers("flat", [1, 12, 64])
    nodes = []
    for name in "qkv":
        nodes += [
            node("MatMul", f"x {w(f'w{name}', 64, 64)}", f"m{name}"),
            node("Add", f"m{name} {w(f'b{name}', 64)}", f"a{name}"),
            node("Reshape", f"a{name} heads", f"r{name}"),
        ]
    nodes += [
        node("Transpose", "rq", "q", perm=[0, 2, 1, 3]),
        node("Transpose", "rk", "k", perm=[0, 2, 3, 1]),
        node("Transpose", "rv", "v", perm=[0, 2, 1, 3]),
        node("MatMul", "q k", "scores"),
        node("Div", f"scores {w('root')}", "scaled"),
        node("Softmax", "scaled", "shares", axis=-1),
        node("MatMul", "shares v", "mixed"),
        node("Transpose", "mixed", "back", perm=[0, 2, 1, 3]),
        node("Reshape", "back flat", "joined"),
        node("MatMul", f"joined {w('wo', 64, 64)}", "mo"),
        node("Add", f"mo {w('bo', 64)}", "ao"),
        node("Add", "ao x", "s1"),
        node("LayerNormalization", f"s1 {w('g1', 64)} {w('n1', 64)}", "l1", axis=-1),
        node("MatMul", f"l1 {w('w1', 64, 128)}", "m1"),
        node("Add", f"m1 {w('b1', 128)}", "a1"),
        node("Div", f"a1 {w('two')}", "d1"),
        node("Erf", "d1", "e1"),
        node("Add", f"e1 {w('one')}", "p1"),
        node("Mul", "a1 p1", "t1"),
        node("Mul", f"t1 {w('half')}", "h1"),
        node("MatMul", f"h1 {w('w2', 128, 64)}", "m2"),
        node("Add", f"m2 {w('b2', 64)}", "a2"),
        node("Add", "a2 l1", "s2"),
        node("LayerNormalization", f"s2 {w('g2', 64)} {w('n2', 64)}", "y", axis=-1),
    ]
    values = {"root": 4.0, "two": 2**0.5, "one": 1.0, "half": 0.5}
    for tensor in w.made:
        if tensor.name in values:
            exact = np.array(values[tensor.name], dtype=np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(exact, tensor.name))
    return _model(nodes, [1, 12, 64], [*w.made, heads, flat])


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "convolutions": convolutions,
    "perceptron": perceptron,
    "encoder": encoder,
}


def optimised(source: Path, level: str, target: Path) -> Path:
    """The file as the runtime's optimiser leaves it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    options.optimized_model_filepath = str(target)
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return target


def quantised(source: Path, kind: str, target: Path) -> Path:
    """The file as a quantiser writes it: ``dynamic``, ``QDQ``, ``QOperator``, ``4 bits``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "dynamic":
            from onnxruntime.quantization import quantize_dynamic

            quantize_dynamic(source, target)
        elif kind.startswith("4 bits"):
            _four_bits(source, target, "QDQ" if kind.endswith("QDQ") else "QOperator")
        else:
            from onnxruntime.quantization import QuantFormat, quantize_static

            form = getattr(QuantFormat, kind)
            quantize_static(str(source), str(target), _readings(source), quant_format=form)
    return target


def _four_bits(source: Path, target: Path, form: str) -> None:
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load(source)
    tool = MatMulNBitsQuantizer(
        model, block_size=32, is_symmetric=False, quant_format=getattr(QuantFormat, form)
    )
    tool.process()
    tool.model.save_model_to_file(str(target), False)


def _readings(source: Path) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Readings(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            (value,) = onnx.load(source).graph.input
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            random = np.random.default_rng(1)
            self._values: Iterator[dict[str, NDArray[Any]]] = iter(
                [{value.name: random.uniform(-1, 1, shape).astype(np.float32)} for _ in range(3)]
            )

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._values, None)

    return Readings()
