"""Run operators and whole models with torch or onnxruntime and take their times.

All operators are prepared first and then run in passes, one of each in turn. So the weights of an
operator are as cold as they are inside of a model, a slow spell of the machine falls on all kinds
alike, and passes can be compared. What an operator reads was just written, as by the one before it
in a model.
"""

from __future__ import annotations

import copy
import importlib
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from planner.errors import BadInputError, install_advice
from planner.measure.parts import Sample
from planner.measure.shapes import HEAD_FEATURES, Shape, smallest_like

Engine = Literal["torch", "onnxruntime"]
Watch = Callable[[str], None]

WARM_UP = 2
LEAST_PASSES = 3
ENOUGH_PASSES = 30


@dataclass(frozen=True)
class Runnable:
    """Something to time.

    Attributes
    ----------
    touch : callable
        Writes what it reads; not timed.
    run : callable
    """

    touch: Callable[[], object]
    run: Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds of several runnables, shape (passes, runnables), in the order that was given."""

    seconds: np.ndarray[Any, np.dtype[np.float64]]

    @property
    def complete(self) -> bool:
        """Whether there are enough passes for a median."""
        return len(self.seconds) >= LEAST_PASSES

    @property
    def pass_factors(self) -> tuple[float, ...]:
        """How slow each pass was beside the median of all, in the median of what was run."""
        factors = np.median(self.seconds / np.median(self.seconds, axis=0), axis=1)
        return tuple(map(float, factors))


def engine_label(engine: Engine) -> str:
    """The engine with its version.

    Raises
    ------
    BadInputError
        It is unknown or not installed.
    """
    return f"{engine} {_module(engine).__version__}"


def _module(engine: str) -> Any:
    if engine not in get_args(Engine):
        raise BadInputError(f"--engine {engine!r}: there are {', '.join(get_args(Engine))}")
    try:
        return importlib.import_module(engine)
    except ImportError as error:
        extra = install_advice("torch") if engine == "torch" else f"pip install {engine}"
        raise BadInputError(f"--engine {engine}: {engine} is not installed; {extra}") from error


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads and without gradients."""
    torch = _module("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def run_shapes(
    shapes: Sequence[Shape],
    *,
    engine: Engine = "torch",
    threads: int = 1,
    time_limit_s: float = 60.0,
    enough: int = ENOUGH_PASSES,
    watch: Watch = lambda _: None,
    around: Callable[[Runnable], Runnable] = lambda one: one,
) -> tuple[tuple[Sample, ...], Times]:
    """Run every shape in turn, again and again, and take the median time of each.

    Parameters
    ----------
    shapes : sequence of Shape
    engine : {"torch", "onnxruntime"}
    threads : int
    time_limit_s : float
        No pass begins after so long.
    enough : int
        Passes after which nothing more is learned.
    watch : callable
        Is told how far it is.
    around : callable
        Of every operator makes what is run and timed, such as one that rests between others.
    """
    deadline = time.monotonic() + time_limit_s
    prepare = _TorchOperators() if engine == "torch" else _OnnxOperators(threads)
    with on_threads(threads):
        runnables = []
        small: dict[str, Runnable] = {}
        for number, shape in enumerate(shapes, start=1):
            watch(f"preparing operator {number} of {len(shapes)}")
            key = f"{shape.kind} {shape.op}"
            if key not in small:
                small[key] = prepare(smallest_like(shape))
            runnables.append(around(_after(small[key], prepare(shape))))
        times = timed(runnables, deadline=deadline, enough=enough, watch=watch)
    low, median, high = np.quantile(times.seconds, (0.25, 0.5, 0.75), axis=0)
    samples = tuple(
        Sample(
            kind=shape.kind,
            shape=str(shape),
            macs=shape.macs,
            touched_bytes=shape.touched_bytes,
            seconds=float(median[index]),
            low_s=float(low[index]),
            high_s=float(high[index]),
            repeats=len(times.seconds),
        )
        for index, shape in enumerate(shapes)
    )
    return samples, times


def _after(small: Runnable, one: Runnable) -> Runnable:
    """Runs a small operator of its sort first, so that the code is warm, as inside of a model."""

    def touch() -> None:
        small.run()
        one.touch()

    return Runnable(touch, one.run)


def timed(
    runnables: Sequence[Runnable],
    *,
    deadline: float,
    enough: int = ENOUGH_PASSES,
    watch: Watch = lambda _: None,
) -> Times:
    """Run all in turn until there are enough passes or the time is up; at least one is made.

    Parameters
    ----------
    runnables : sequence of Runnable
    deadline : float
        On the monotonic clock, s.
    enough : int
    watch : callable
    """
    for one in runnables:
        for _ in range(WARM_UP):
            one.touch()
            one.run()
    passes: list[list[float]] = []
    while not passes or (len(passes) < enough and time.monotonic() < deadline):
        watch(f"pass {len(passes) + 1} of {enough} over {len(runnables)} operators")
        seconds = []
        for one in runnables:
            one.touch()
            start = time.perf_counter()
            one.run()
            seconds.append(time.perf_counter() - start)
        passes.append(seconds)
    return Times(np.array(passes))


def module_runnable(
    module: Any, shapes: Mapping[str, Sequence[int]], dtypes: Mapping[str, str]
) -> Runnable:
    """A torch module on inputs of these shapes: random numbers, or zeros where they are whole.

    As runtimes have it: without batch norms, which they fold into the convolution before. What it
    computes does not matter, so that these are left out of a copy. That, and a module on the meta
    device, gets weights that keep numbers in a normal range: others, such as denormal ones, would
    slow it down.
    """
    torch = _module("torch")
    norms = torch.nn.modules.batchnorm._BatchNorm
    folds = any(isinstance(part, norms) for part in module.modules())
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        module = module.to_empty(device="cpu")
        _fill(torch, module)
    elif folds:
        module = copy.deepcopy(module)
    if folds:
        for part in list(module.modules()):
            for name, child in list(part.named_children()):
                if isinstance(child, norms):
                    setattr(part, name, torch.nn.Identity())
        _fill(torch, module)
    module.eval()
    inputs = [drawn(shape, dtypes.get(name, "float32")) for name, shape in shapes.items()]
    return Runnable(lambda: None, lambda: module(*inputs))


def drawn(shape: Sequence[int], dtype: str) -> Any:
    """A tensor of random numbers, or zeros where they are whole: an index of 0 is always right."""
    torch = _module("torch")
    made = torch.zeros(tuple(shape), dtype=getattr(torch, dtype))
    return made.normal_() if made.dtype.is_floating_point else made


def _fill(torch: Any, module: Any) -> None:
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.constant_(parameter, 0.5)
    for buffer in module.buffers():
        buffer.fill_(1 if buffer.is_floating_point() else 0)  # an index of 0 is always right


class _TorchOperators:
    """Shapes as torch modules with inputs."""

    def __init__(self) -> None:
        self.torch = _module("torch")

    def __call__(self, shape: Shape) -> Runnable:
        module, inputs = self.made(shape)

        def touch() -> None:
            for tensor in inputs:
                tensor.mul_(1.0)

        return Runnable(touch, lambda: module(*inputs))

    def made(self, shape: Shape) -> tuple[Any, tuple[Any, ...]]:
        """The module and its inputs."""
        torch, nn = self.torch, self.torch.nn
        count = {"attention": 3, "add": 2, "mul": 2}.get(shape.op, 1)
        inputs = tuple(torch.randn(self._input_shape(shape)) for _ in range(count))
        width = shape.inputs
        functional: dict[str, Callable[..., Any]] = {
            "attention": nn.functional.scaled_dot_product_attention,
            "add": torch.add,
            "mul": torch.mul,
            "relu": torch.relu,
            "gelu": nn.functional.gelu,
            "silu": nn.functional.silu,
            "copy": torch.clone,
        }
        if shape.op in functional:
            return functional[shape.op], inputs
        if shape.op == "conv":
            groups = width if shape.kind == "depthwise" else 1
            module = nn.Conv2d(
                width, shape.outputs, shape.kernel, shape.stride, shape.padding, groups=groups
            )
        elif shape.op == "linear":
            module = nn.Linear(width, shape.outputs)
        elif shape.op == "batch-norm":
            module = nn.BatchNorm2d(width)
        else:
            module = nn.LayerNorm(width)
        return module.eval(), inputs

    def _input_shape(self, shape: Shape) -> tuple[int, ...]:
        if shape.is_map:
            return (1, shape.inputs, shape.size, shape.size)
        if shape.op == "attention":
            return (1, shape.inputs // HEAD_FEATURES, shape.size, HEAD_FEATURES)
        return (1, shape.size, shape.inputs)


class _OnnxOperators:
    """The same shapes as sessions of onnxruntime, of models that torch exports."""

    def __init__(self, threads: int) -> None:
        self.runtime = _module("onnxruntime")
        self.torch_operators = _TorchOperators()
        self.options = self.runtime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def __call__(self, shape: Shape) -> Runnable:
        torch = self.torch_operators.torch
        with torch.inference_mode(False):  # the exporter follows gradients
            made, inputs = self.torch_operators.made(shape)
        module_class: Any = torch.nn.Module

        class Wrapped(module_class):  # type: ignore[misc]
            """The operator as a module, which the exporter needs."""

            def __init__(self) -> None:
                super().__init__()
                self.inner = made

            def forward(self, *tensors: Any) -> Any:
                """What it computes."""
                return self.inner(*tensors)

        file = io.BytesIO()
        names = [f"input{index}" for index in range(len(inputs))]
        with warnings.catch_warnings(), torch.inference_mode(False):
            warnings.simplefilter("ignore")  # of the exporter's own future
            torch.onnx.export(Wrapped().eval(), inputs, file, input_names=names, dynamo=False)
        session = self.runtime.InferenceSession(
            file.getvalue(), self.options, providers=["CPUExecutionProvider"]
        )
        feeds = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}

        def touch() -> None:
            for array in feeds.values():
                np.multiply(array, 1.0, out=array)

        return Runnable(touch, lambda: session.run(None, feeds))
