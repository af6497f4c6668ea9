"""Segments as ONNX models, and run by ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from planner.errors import BadInputError, install_advice
from planner.runtime.compiling.compiled import graph_of
from planner.runtime.running.program import Compute, Program

OPSET = 20
"""Of every model: the newest that torch's exporter makes without converting."""

_DTYPES = frozenset("float64 float32 float16 int64 int32 int16 int8 uint8 bool".split())


def onnx_of(programs: Mapping[str, Program]) -> dict[str, list[bytes]]:
    """Every program's segments as serialised ONNX models, in order, batch norm folded.

    Inputs and outputs of segment 7 are called ``read7_0``, ``made7_0`` and so on, in the order of
    its values; segments are counted through all programs. All are exported in one go and taken
    apart, as most of an export is its start.

    Parameters
    ----------
    programs : mapping of str to Program

    Raises
    ------
    BadInputError
        torch cannot export one of their operators.
    """
    found = [
        (name, action, program.forms)
        for name, program in programs.items()
        for action in program.actions
        if isinstance(action, Compute)
    ]
    models: dict[str, list[bytes]] = {name: [] for name in programs}
    if not found:
        return models
    graphs = [graph_of(segment, forms) for _, segment, forms in found]
    reads = [[f"read{k}_{n}" for n in range(len(s.reads))] for k, (_, s, _) in enumerate(found)]
    makes = [[f"made{k}_{n}" for n in range(len(s.makes))] for k, (_, s, _) in enumerate(found)]
    given = [forms[name] for _, segment, forms in found for name in segment.reads]
    try:
        with torch.no_grad(), _quiet():
            made = torch.onnx.export(
                _Together(graphs, [len(names) for names in reads]),
                tuple(torch.zeros(form.shape, dtype=form.dtype) for form in given),
                dynamo=True,
                opset_version=OPSET,
                input_names=[name for names in reads for name in names],
                output_names=[name for names in makes for name in names],
                optimize=False,  # ONNX Runtime does that when it reads the model
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInputError(f"slices: cannot be exported to ONNX: {reason}") from error
    assert made is not None
    model = made.model_proto
    makers = {name: number for number, node in enumerate(model.graph.node) for name in node.output}
    for (name, _, _), *ends in zip(found, reads, makes, strict=True):
        models[name].append(_part(model, makers, *ends))
    return models


class _Together(torch.nn.Module):
    """Segments beside each other: all they read, all they make."""

    def __init__(self, modules: Sequence[torch.nn.Module], reads: Sequence[int]) -> None:
        super().__init__()
        self._segments, self._reads = torch.nn.ModuleList(modules), list(reads)

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What each makes, one behind the other."""
        left, made = list(given), []
        for segment, count in zip(self._segments, self._reads, strict=True):
            made += segment(*left[:count])
            left = left[count:]
        seen = {id(item) for item in given}
        for place, item in enumerate(made):  # each output is to have a name of its own
            made[place] = item.clone() if id(item) in seen else item
            seen.add(id(item))
        return tuple(made)


def _part(
    model: Any, makers: Mapping[str, int], reads: Sequence[str], makes: Sequence[str]
) -> bytes:
    """The model of one segment: the nodes behind its outputs, and their weights."""
    wanted, left = set(makes), list(makes)
    numbers = set()
    while left:
        number = makers.get(left.pop())
        if number is not None and number not in numbers:
            numbers.add(number)
            left += model.graph.node[number].input
            wanted.update(model.graph.node[number].input)
    part = type(model)()
    part.ir_version = model.ir_version
    part.opset_import.extend(model.opset_import)
    part.functions.extend(model.functions)
    graph = part.graph
    graph.name = "segment"
    graph.node.extend(model.graph.node[number] for number in sorted(numbers))
    graph.initializer.extend(item for item in model.graph.initializer if item.name in wanted)
    graph.input.extend(item for item in model.graph.input if item.name in reads)
    graph.output.extend(item for item in model.graph.output if item.name in makes)
    content: bytes = part.SerializeToString()
    return content


class OnnxSegment(torch.nn.Module):
    """A segment that ONNX Runtime runs.

    Parameters
    ----------
    model : bytes or path
    threads : int

    Raises
    ------
    BadInputError
        ONNX Runtime is not installed, or it cannot read the model.
    """

    def __init__(self, model: bytes | Path, *, threads: int = 1) -> None:
        super().__init__()
        runtime = _import_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors alone
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = runtime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own kinds of errors, one for each status
            where = "segment" if isinstance(model, bytes) else f"segment {model}"
            reason = str(error).partition("\n")[0]
            raise BadInputError(f"{where}: ONNX Runtime cannot read it: {reason}") from error
        self._inputs = [item.name for item in self._session.get_inputs()]
        self._outputs = [item.name for item in self._session.get_outputs()]

    @property
    def arity(self) -> tuple[int, int]:
        """How many tensors it reads and makes."""
        return len(self._inputs), len(self._outputs)

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What it makes of what it reads."""
        feeds = {n: item.numpy() for n, item in zip(self._inputs, given, strict=True)}
        made = self._session.run(self._outputs, feeds)
        return tuple(torch.from_numpy(item) for item in made)


def on_onnxruntime(programs: Mapping[str, Program], *, threads: int = 1) -> dict[str, Program]:
    """The programs with segments that ONNX Runtime runs; raises as `onnx_of`."""
    models = onnx_of(programs)
    return {name: _with(item, iter(models[name]), threads) for name, item in programs.items()}


def _with(program: Program, models: Iterator[bytes], threads: int) -> Program:
    actions = tuple(
        replace(a, module=OnnxSegment(next(models), threads=threads))
        if isinstance(a, Compute)
        else a
        for a in program.actions
    )
    return replace(program, actions=actions)


def checked_dtype(name: str, dtype: torch.dtype) -> str:
    """What files call a type.

    Raises
    ------
    BadInputError
        They do not hold it, as ONNX Runtime does not compute with it.
    """
    found = str(dtype).removeprefix("torch.")
    if found not in _DTYPES:
        raise BadInputError(
            f"{name!r} is of the type {found}; slices are exported in {', '.join(sorted(_DTYPES))}"
        )
    return found


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BadInputError(
            f"ONNX Runtime is not installed: {install_advice('onnxruntime')}"
        ) from error
    return onnxruntime


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages that it does without."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
