"""Segments as ONNX models, and run by ONNX Runtime."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from planner.errors import BadInputError
from planner.runtime.compiling.compiled import graph_of
from planner.runtime.running.program import Compute, Form, Program

OPSET = 20
"""Of every model: the newest that torch's exporter makes without converting."""

_DTYPES = frozenset("float64 float32 float16 int64 int32 int16 int8 uint8 bool".split())


def onnx_of(segment: Compute, forms: dict[str, Form]) -> bytes:
    """A segment as a serialised ONNX model, batch norm folded.

    Parameters
    ----------
    segment : Compute
        Its inputs and outputs are called ``read0``, ``made0`` and so on, in order.
    forms : dict of str to Form

    Raises
    ------
    BadInputError
        torch cannot export one of its operators; names the segment.
    """
    given = tuple(torch.zeros(forms[n].shape, dtype=forms[n].dtype) for n in segment.reads)
    try:
        with torch.no_grad(), _quiet():
            made = torch.onnx.export(
                graph_of(segment, forms),
                given,
                dynamo=True,
                opset_version=OPSET,
                input_names=[f"read{n}" for n in range(len(segment.reads))],
                output_names=[f"made{n}" for n in range(len(segment.makes))],
                optimize=False,  # ONNX Runtime does that when it reads the model
                verbose=False,
            )
        assert made is not None
        content: bytes = made.model_proto.SerializeToString()
        return content
    except (torch.onnx.errors.OnnxExporterError, ValueError, RuntimeError) as error:
        layers = f"{segment.stretches[0]!r} to {segment.stretches[-1]!r}"
        reason = str(error).partition("\n")[0]
        raise BadInputError(f"layers {layers}: cannot be exported to ONNX: {reason}") from error


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

    def __init__(self, model: bytes | os.PathLike[str], *, threads: int = 1) -> None:
        super().__init__()
        runtime = _import_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors alone
        source = model if isinstance(model, bytes) else os.fspath(model)
        try:
            self._session = runtime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own kinds of errors, one for each status
            where = "segment" if isinstance(model, bytes) else f"segment {source}"
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


def on_onnxruntime(program: Program, *, threads: int = 1) -> Program:
    """The program with segments that ONNX Runtime runs; raises as `onnx_of`."""
    actions = tuple(
        replace(a, module=OnnxSegment(onnx_of(a, program.forms), threads=threads))
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
            "ONNX Runtime is not installed: pip install 'disco-planner[onnxruntime]'"
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
