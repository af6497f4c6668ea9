"""Slices as documents and tensors: what `profiles.from_torch.saved_slices` writes and reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from planner.domain.arrays import Frozen
from planner.errors import BadInputError
from planner.runtime.pattern_documents import Parts, pattern_of, pattern_parts
from planner.runtime.reading.template import aten
from planner.runtime.running.extents import Extent
from planner.runtime.running.kernels import KERNELS
from planner.runtime.running.node import Node
from planner.runtime.running.records import Operand, Pattern, Receive, Ref, Send, Step

Tensors = dict[str, torch.Tensor]
Runs = tuple[tuple[int, int], ...]
"""Features, positions or samples, as pairs: the first, and the one behind the last."""
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool,
    )
}  # fmt: skip


class OperandDocument(Frozen):
    """How elements of the sources stand in a tensor, and what padding is."""

    sources: tuple[str, ...]
    pattern: Parts
    shape: tuple[int, ...]
    fill: Any = Field(default=None, description="what padding is; null: there is none")


class SendDocument(Frozen):
    """See `planner.runtime.running.records.Send`; null: all features, positions or samples."""

    receiver: str
    message: str
    tensor: str
    features: Runs | None
    positions: Runs | None = None
    samples: Runs | None = None
    content: OperandDocument
    shared: bool


class ReceiveDocument(Frozen):
    """See `planner.runtime.running.records.Receive`."""

    sender: str
    message: str
    tensor: str
    features: Runs | None
    positions: Runs | None = None
    samples: Runs | None = None


class StepDocument(Frozen):
    """See `planner.runtime.running.records.Step`; ``name`` is the stretch's."""

    name: str
    layer: str
    kernel: str
    target: str
    arguments: dict[str, Any]
    position: int
    operands: tuple[OperandDocument, ...]
    weights: tuple[str, ...] = Field(description="tensors of the node's file, LAYER/ before them")
    picks: Parts | None = Field(
        default=None, description="what is kept of what the operator makes; null: all"
    )
    shape: tuple[int, ...]
    macs: int | None = None
    sends: tuple[SendDocument, ...]
    receives: tuple[ReceiveDocument, ...]
    tells: tuple[str, ...]
    tells_at_once: bool = False
    told: dict[str, int]
    frees: tuple[str, ...]


class NodeDocument(Frozen):
    """What one node does, in order."""

    schema_version: Literal[3] = 3
    node: str
    steps: tuple[StepDocument, ...]


def node_document(node: Node) -> tuple[NodeDocument, Tensors]:
    """A node's steps, and its weights and indices by name."""
    tensors: Tensors = {}
    steps = tuple(_written(name, step, tensors) for name, step in node.steps.items())
    return NodeDocument(node=node.name, steps=steps), tensors


def node_from(document: NodeDocument, tensors: Mapping[str, torch.Tensor]) -> Node:
    """The node of a document.

    Raises
    ------
    BadInputError
        It names a tensor, an operator or a kernel that is not there.
    """
    return Node(document.node, {step.name: _read(step, tensors) for step in document.steps})


def dtype_named(name: str) -> torch.dtype:
    """The type of elements that is called so.

    Raises
    ------
    BadInputError
        There is none.
    """
    if name not in _DTYPES:
        raise BadInputError(f"{name[:40]!r} is no type; there are {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _written(name: str, step: Step, tensors: Tensors) -> StepDocument:
    def operand(item: Operand, label: str) -> OperandDocument:
        return OperandDocument(
            sources=item.sources,
            pattern=parts(item.pattern, label),
            shape=tuple(item.shape),
            fill=_encoded(item.fill),
        )

    def parts(item: Pattern, label: str) -> Parts:
        count = 0

        def keep(index: torch.Tensor) -> str:
            nonlocal count
            count += 1
            tensors[f"{label}.{count}"] = index
            return f"{label}.{count}"

        return pattern_parts(item, keep)

    tensors.update({f"{step.layer}/{key}": value for key, value in step.weights.items()})
    return StepDocument(
        name=name,
        layer=step.layer,
        kernel=step.kernel,
        target=step.target,
        arguments={key: _encoded(value) for key, value in step.arguments.items()},
        position=step.position,
        operands=tuple(
            operand(item, f"{name}/#operand{n}") for n, item in enumerate(step.operands)
        ),
        weights=tuple(step.weights),
        picks=None if step.picks is None else parts(step.picks, f"{name}/#picks"),
        shape=tuple(step.shape),
        macs=step.macs,
        sends=tuple(
            SendDocument(
                receiver=item.receiver,
                message=item.message,
                tensor=item.tensor,
                **_limits(item.extent),
                content=operand(item.content, f"{name}/#send{n}"),
                shared=item.shared,
            )
            for n, item in enumerate(step.sends)
        ),
        receives=tuple(
            ReceiveDocument(
                sender=item.sender,
                message=item.message,
                tensor=item.tensor,
                **_limits(item.extent),
            )
            for item in step.receives
        ),
        tells=step.tells,
        tells_at_once=step.tells_at_once,
        told=step.told,
        frees=step.frees,
    )


def _read(step: StepDocument, tensors: Mapping[str, torch.Tensor]) -> Step:
    where = f"step {step.name!r}"

    def tensor(name: str) -> torch.Tensor:
        if name not in tensors:
            raise BadInputError(f"{where}: the node's file has no tensor {name!r}")
        return tensors[name]

    def operand(item: OperandDocument) -> Operand:
        fill = _decoded(item.fill, where)
        if fill is not None and (isinstance(fill, bool) or not isinstance(fill, (int, float))):
            raise BadInputError(f"{where}: {str(item.fill)[:60]} fills nothing")
        pattern = pattern_of(
            item.pattern, len(item.sources), fill is not None, prod(item.shape), tensors, where
        )
        return Operand(item.sources, pattern, item.shape, fill)

    def picks(parts: Parts) -> Pattern:
        return pattern_of(parts, 1, False, prod(step.shape), tensors, f"{where}: picks")

    if step.kernel not in KERNELS:
        raise BadInputError(f"{where}: {step.kernel!r} is no kernel")
    if step.kernel in ("take", "add") and not step.operands:
        raise BadInputError(f"{where}: {step.kernel!r} has no operand")
    if step.kernel == "aten":
        _check_target(step.target, where)
    return Step(
        layer=step.layer,
        kernel=step.kernel,
        target=step.target,
        arguments={key: _decoded(value, where) for key, value in step.arguments.items()},
        position=step.position,
        operands=tuple(operand(item) for item in step.operands),
        weights={key: tensor(f"{step.layer}/{key}") for key in step.weights},
        picks=None if step.picks is None else picks(step.picks),
        shape=step.shape,
        macs=step.macs,
        sends=tuple(
            Send(
                item.receiver,
                item.message,
                item.tensor,
                _extent(item),
                operand(item.content),
                item.shared,
            )
            for item in step.sends
        ),
        receives=tuple(
            Receive(item.sender, item.message, item.tensor, _extent(item)) for item in step.receives
        ),
        tells=step.tells,
        tells_at_once=step.tells_at_once,
        told=step.told,
        frees=step.frees,
    )


def _check_target(name: str, where: str) -> None:
    """Operators that compute on tensors are called, none that reads a file or writes in place."""
    try:
        schema = aten(name)._schema
    except (AttributeError, AssertionError, RuntimeError):
        schema = None
    takes = [] if schema is None else [str(argument.type) for argument in schema.arguments[:1]]
    if takes not in (["Tensor"], ["List[Tensor]"]) or name.partition(".")[0].endswith("_"):
        raise BadInputError(f"{where}: {name!r} is no operator that a slice calls")


def _encoded(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"weight": value.weight} if value.operand is None else {"operand": value.operand}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, (list, tuple)):
        return [_encoded(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise BadInputError(f"an argument of the type {type(value).__name__} cannot be saved")


def _decoded(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_decoded(item, where) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, item),) = value.items()
        if key == "operand" and isinstance(item, int):
            return Ref(operand=item)
        if key == "weight" and isinstance(item, str):
            return Ref(weight=item)
        if key == "dtype" and item in _DTYPES:
            return _DTYPES[item]
        if key == "float" and item in ("inf", "-inf", "nan"):
            return float(item)
    raise BadInputError(f"{where}: {str(value)[:60]} is no argument")


def _limits(extent: Extent) -> dict[str, Runs | None]:
    axes = extent.axes
    return {
        name: _runs(axes[name]) if name in axes else None
        for name in ("features", "positions", "samples")
    }


def _extent(item: SendDocument | ReceiveDocument) -> Extent:
    axes = {"features": item.features, "positions": item.positions, "samples": item.samples}
    return Extent(**{name: _numbers(runs) for name, runs in axes.items() if runs is not None})


def _runs(numbers: NDArray[np.int64]) -> Runs:
    if not len(numbers):
        return ()
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    runs = np.split(numbers, breaks)
    return tuple((int(run[0]), int(run[-1]) + 1) for run in runs)


def _numbers(runs: Runs) -> NDArray[np.int64]:
    found = [np.arange(start, stop, dtype=np.int64) for start, stop in runs]
    return np.concatenate(found) if found else np.array([], dtype=np.int64)
