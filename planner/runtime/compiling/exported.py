"""A program as a document that any runtime can follow: actions, values, and whole outputs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from planner.domain.arrays import Frozen
from planner.errors import BadInputError
from planner.runtime.compiling.onnx import OPSET, checked_dtype
from planner.runtime.running.program import Action, Await, Compute, Form, Post, Program
from planner.runtime.running.slices import Slices

_LARGEST = 2**40
Size = Annotated[int, Field(ge=0, lt=_LARGEST)]
DType = Literal["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


class ValueDocument(Frozen):
    """Shape and type of a value."""

    shape: tuple[Size, ...]
    dtype: DType


class ComputeDocument(Frozen):
    """Run a segment: an ONNX model whose inputs and outputs are these values, in order."""

    do: Literal["compute"] = "compute"
    name: str
    stretches: tuple[str, ...]
    segment: str = Field(
        pattern=r"^[A-Za-z0-9_-]+\.onnx$", description="a file of the folder segments/"
    )
    reads: tuple[str, ...]
    makes: tuple[str, ...]


class PostDocument(Frozen):
    """Send a value, of one dimension, to another node; go on at once."""

    do: Literal["post"] = "post"
    stretch: str
    receiver: str
    message: str
    value: str
    shared: bool = False


class AwaitDocument(Frozen):
    """Wait for a message, which is a value of its name from then on."""

    do: Literal["await"] = "await"
    stretch: str
    sender: str
    message: str


ActionDocument = Annotated[
    ComputeDocument | PostDocument | AwaitDocument, Field(discriminator="do")
]


class PartDocument(Frozen):
    """What a node holds of an output: a value whose elements stand in these runs of the whole."""

    node: str
    value: str
    runs: tuple[tuple[Size, Size], ...] = Field(
        description="the first element of the flat output, and the one behind the last"
    )


class OutputDocument(Frozen):
    """A model output, and the parts that it is put together from."""

    shape: tuple[Size, ...]
    dtype: DType
    parts: tuple[PartDocument, ...]


class ProgramDocument(Frozen):
    """What one node does in one run, in order; its segments lie in the folder ``segments``."""

    schema_version: Literal[1] = 1
    model: str
    node: str
    opset: int = OPSET
    inputs: tuple[str, ...] = Field(description="model inputs that it holds from the start")
    values: dict[str, ValueDocument]
    actions: tuple[ActionDocument, ...]
    outputs: dict[str, OutputDocument] = Field(description="of the model, in its order")


def program_document(slices: Slices, programs: dict[str, Program], node: str) -> ProgramDocument:
    """A node's program; its segments are the files 000.onnx and so on, in order.

    Raises
    ------
    BadInputError
        A value is of a type that the files do not hold.
    """
    program, segments = programs[node], count()
    actions: list[ComputeDocument | PostDocument | AwaitDocument] = []
    for action in program.actions:
        if isinstance(action, Compute):
            actions.append(
                ComputeDocument(
                    name=action.name,
                    stretches=action.stretches,
                    segment=f"{next(segments):03d}.onnx",
                    reads=action.reads,
                    makes=action.makes,
                )
            )
        elif isinstance(action, Post):
            actions.append(PostDocument(**vars(action)))
        else:
            actions.append(AwaitDocument(**vars(action)))
    return ProgramDocument(
        model=slices.model,
        node=node,
        inputs=program.inputs,
        values={name: _value(name, form) for name, form in program.forms.items()},
        actions=tuple(actions),
        outputs={name: _output(slices, programs, name) for name in slices.output_names},
    )


def program_from(document: ProgramDocument, modules: Mapping[str, torch.nn.Module]) -> Program:
    """The program of a document.

    Parameters
    ----------
    document : ProgramDocument
    modules : dict of str to torch.nn.Module
        By file of the segment.

    Raises
    ------
    BadInputError
        It reads, sends or ends with a value that is not there by then.
    """
    there = set(document.inputs)
    actions: list[Action] = []
    for item in document.actions:
        if isinstance(item, ComputeDocument):
            _check_there(there, item.reads, item.name)
            there.update(item.makes)
            module = modules[item.segment]
            actions.append(Compute(item.name, item.stretches, item.reads, item.makes, module))
        elif isinstance(item, PostDocument):
            _check_there(there, (item.value,), item.stretch)
            actions.append(Post(item.stretch, item.receiver, item.message, item.value, item.shared))
        else:
            there.add(item.message)
            actions.append(Await(item.stretch, item.sender, item.message))
    outputs = {
        name: part.value
        for name, output in document.outputs.items()
        for part in output.parts
        if part.node == document.node
    }
    _check_there(there, tuple(outputs.values()), "outputs")
    _check_there(set(document.values), tuple(there), "values")
    return Program(
        node=document.node,
        actions=tuple(actions),
        forms={
            name: Form(value.shape, getattr(torch, value.dtype))
            for name, value in document.values.items()
        },
        inputs=document.inputs,
        outputs=outputs,
    )


def _check_there(there: set[str], names: tuple[str, ...], where: str) -> None:
    for name in names:
        if name not in there:
            raise BadInputError(f"{where}: the value {name!r} is not there")


def _value(name: str, form: Form) -> ValueDocument:
    return ValueDocument.model_validate(
        {"shape": form.shape, "dtype": checked_dtype(name, form.dtype)}
    )


def _output(slices: Slices, programs: dict[str, Program], name: str) -> OutputDocument:
    whole = slices.outputs[name]
    parts = tuple(
        PartDocument(
            node=part.node,
            value=programs[part.node].outputs[name],
            runs=_runs(part.positions.numpy()),
        )
        for part in whole.parts
    )
    first = whole.parts[0].node
    value = _value(name, programs[first].forms[programs[first].outputs[name]])
    return OutputDocument(shape=tuple(whole.shape), dtype=value.dtype, parts=parts)


def _runs(positions: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    breaks = np.flatnonzero(np.diff(positions) != 1) + 1
    starts = positions[np.r_[0, breaks]]
    stops = positions[np.r_[breaks - 1, len(positions) - 1]] + 1
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))
