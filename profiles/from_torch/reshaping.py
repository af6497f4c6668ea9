"""Trace a module once more with open sizes, so that its profile can be had at other shapes.

The fixed trace stays what is shown. The open one is made at another example in every dimension
that is opened: a number that lost its expression on the way, and a graph that differs, show when
both are held against each other at the fixed shape (`profiles.confirmed`). Then fewer dimensions
are opened.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.domain.model_profile import ModelProfile
from profiles.confirmed import confirmed
from profiles.from_torch.export import export_module
from profiles.from_torch.hygiene import attention_written_out, evaluation_mode, quiet
from profiles.from_torch.live import read_program
from profiles.from_torch.opened import requirements
from profiles.from_torch.translate import translate
from profiles.graph import Graph

if TYPE_CHECKING:
    import torch

Shapes = dict[str, tuple[int, ...]]
Axes = dict[str, tuple[int, ...]]
OPEN_SECONDS = 10.0
"""Processor seconds that one attempt to trace with open sizes may take."""


class _TooLongError(Exception):
    """An attempt takes longer than it may."""


def with_open_shapes(
    profile: ModelProfile,
    graph: Graph,
    module: torch.nn.Module,
    *,
    batch_only: bool = False,
    seconds: float = OPEN_SECONDS,
) -> ModelProfile:
    """The profile with expressions for its numbers, where a trace with open sizes confirms it.

    Tried in turn: every dimension but those of features open, of these all but the batch, and the
    batch alone.

    Parameters
    ----------
    profile : ModelProfile
        Of the module, traced with fixed sizes.
    graph : Graph
        That the profile was made of.
    batch_only : bool
        Open dimension 0 of the inputs and no other.
    seconds : float
        Of the processor, for an attempt; after one that takes longer the batch alone is tried.
    """
    shapes = {spec.name: spec.shape for spec in profile.inputs}
    types = {tensor.name: tensor.dtype for tensor in graph.inputs}
    attempts = _attempts(shapes, types, batch_only=batch_only)
    while attempts:
        axes = attempts.pop(0)
        try:
            opened = aligned(_opened_graph(module, shapes, types, axes, seconds), graph)
            found = confirmed(profile, opened)
        except _TooLongError:
            attempts = attempts[-1:]
            continue
        except Exception:  # the module's own, torch's, or an expression beyond ours
            continue
        if found is not None:
            return found
    return profile


def _attempts(shapes: Shapes, types: dict[str, str], *, batch_only: bool) -> list[Axes]:
    """Which dimensions to open, the most first. Features are no open sizes."""
    batch: Axes = {name: (0,) for name, shape in shapes.items() if shape}
    if batch_only:
        return [batch]
    found: list[Axes] = []
    for features_of_three in (1, 2):  # of a signal, of tokens
        every: Axes = {}
        for name, shape in shapes.items():
            rank = len(shape)
            features = features_of_three if rank == 3 else 1
            whole_numbers = types[name].startswith("int")
            closed = {features} if rank > 2 or not whole_numbers else set()
            every[name] = tuple(axis for axis in range(rank) if axis not in closed)
        inner = {name: tuple(axis for axis in axes if axis) for name, axes in every.items()}
        found += [axes for axes in (every, inner) if axes not in found and any(axes.values())]
    more = sorted((axes for axes in found if axes != batch), key=_opens_batch, reverse=True)
    return [*more, batch]


def _opens_batch(axes: Axes) -> bool:
    """Whether the batch is open as well."""
    return any(0 in opened for opened in axes.values())


def aligned(graph: Graph, fixed: Graph) -> Graph:
    """The open graph with the fixed one's names, and without slices that take everything.

    With fixed sizes torch sees that they do and leaves them out, or writes a copy.
    """
    kept = iter(fixed.operators)
    nearest = next(kept, None)
    whole = _taking_all(fixed)
    needless = _taking_all(graph)
    names = {tensor.name: tensor.name for tensor in graph.inputs}
    operators = []
    for operator in graph.operators:
        takes_all = operator.name in needless and operator.kind == "slice"
        if nearest is None or (takes_all and nearest.name not in whole):
            names[operator.name] = names[operator.inputs[0]]
            continue
        names[operator.name] = nearest.name
        operators.append(
            replace(
                nearest if takes_all else operator,
                name=nearest.name,
                inputs=tuple(names[name] for name in operator.inputs),
                output=replace(operator.output, name=nearest.name),
            )
        )
        nearest = next(kept, None)
    outputs = tuple(names[name] for name in graph.outputs)
    return replace(graph, name=fixed.name, outputs=outputs, operators=tuple(operators))


def _taking_all(graph: Graph) -> set[str]:
    """Slices and copies whose output is as large as their input."""
    shapes = {tensor.name: tensor.shape for tensor in graph.inputs}
    shapes |= {operator.name: operator.output.shape for operator in graph.operators}
    return {
        operator.name
        for operator in graph.operators
        if operator.op in ("slice", "alias") and shapes[operator.inputs[0]] == shapes[operator.name]
    }


def _opened_graph(
    module: torch.nn.Module,
    shapes: Shapes,
    types: dict[str, str],
    axes: Axes,
    seconds: float,
) -> Graph:
    example = {name: _another(shape, axes.get(name, ())) for name, shape in shapes.items()}
    with (
        evaluation_mode(module),
        attention_written_out(),
        quiet(),
        _at_most(module, seconds),
    ):
        exported = export_module(module, example, types, axes)
        program = read_program(exported, tuple(shapes))
        conditions = requirements(exported)
    return replace(translate(program, "opened"), requirements=conditions)


def _another(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Another size in every open dimension: of each by a factor of its own, one more of a batch."""
    return tuple(
        size * (axis + 1) + (axis == 0) if axis in axes else size for axis, size in enumerate(shape)
    )


@contextmanager
def _at_most(module: torch.nn.Module, seconds: float) -> Iterator[None]:
    """Stop a trace that takes longer: each submodule looks at the clock before it runs."""
    end = time.thread_time() + seconds

    def look(*_: object) -> None:
        if time.thread_time() > end:
            raise _TooLongError

    handles = [part.register_forward_pre_hook(look) for part in module.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
