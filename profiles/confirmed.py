"""Expressions are kept only where other readings of a model confirm them."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from planner.domain.expressions import parse_expression, parse_requirement
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.domain.reshaping import Reshaping
from planner.errors import BadInputError
from planner.reshape import at_input_shapes
from profiles.build import build_profile
from profiles.graph import Graph, Tensor
from profiles.size import Size, text_of

Shapes = dict[str, tuple[int, ...]]
_STEPS = (13, 32, 48, 64, 1)
"""By how much sizes grow for a further check: oddly, if the conditions allow it."""


def confirmed(profile: ModelProfile, graph: Graph) -> ModelProfile | None:
    """The profile with the expressions of a graph, if they give its every number.

    They must also give what the graph itself, with its sizes worked out, gives at a third shape:
    whether features can be followed through a reshape may hang on the sizes.

    Parameters
    ----------
    profile : ModelProfile
        Of fixed sizes.
    graph : Graph
        Of the same model, read with open sizes at another shape.

    Raises
    ------
    BadInputError, ValueError, OverflowError
        The graph's expressions are beyond what a document holds.
    """
    opened = build_profile(graph, profile.provenance)
    if opened.reshaping is None:
        return None
    shapes = {spec.name: spec.shape for spec in profile.inputs}
    reshaping = _without_unmet(opened.reshaping, list(shapes.values()))
    if reshaping is None:
        return None
    opened = opened.model_copy(update={"reshaping": reshaping})
    if not _agrees(opened, profile) or not _agrees_with_graph(opened, graph, shapes):
        return None
    layers = tuple(
        layer.model_copy(update={"scaling": other.scaling})
        for layer, other in zip(profile.layers, opened.layers, strict=True)
    )
    return profile.model_copy(update={"layers": layers, "reshaping": reshaping})


def _agrees(opened: ModelProfile, fixed: ModelProfile) -> bool:
    """Whether a profile gives another one at that one's shapes."""
    try:
        found = at_input_shapes(opened, {spec.name: spec.shape for spec in fixed.inputs})
    except BadInputError:
        return False
    return (
        found.inputs == fixed.inputs
        and found.outputs == fixed.outputs
        and found.coverage.counted == fixed.coverage.counted
        and [*map(_plain, found.layers)] == [*map(_plain, fixed.layers)]
    )


def _plain(layer: LayerProfile) -> LayerProfile:
    return layer.model_copy(update={"scaling": None, "witness_macs": None})


def _without_unmet(reshaping: Reshaping, present: list[tuple[int, ...]]) -> Reshaping | None:
    """Without conditions on a single size that the fixed profile shows to be needless.

    torch takes a size of 1 for a special case; that all numbers are the same is confirmed.
    """
    values = Reshaping(**{**dict(reshaping), "requirements": ()}).values(present)
    kept = []
    for text in reshaping.requirements:
        comparison = parse_requirement(text)
        if comparison.is_met(values):
            kept.append(text)
        elif len(comparison.names) != 1 or values[next(iter(comparison.names))] != 1:
            return None
    return Reshaping(**{**dict(reshaping), "requirements": tuple(kept)})


def _agrees_with_graph(opened: ModelProfile, graph: Graph, shapes: Shapes) -> bool:
    """Whether the graph gives the same at the first further shape that meets the conditions."""
    reshaping = cast(Reshaping, opened.reshaping)
    for step in _STEPS:
        grown = {name: number * step for number, name in enumerate(reshaping.open_sizes, 1)}
        wanted = {
            spec.name: tuple(
                old + grown[size] if isinstance(size, str) else size
                for size, old in zip(sizes, shapes[spec.name], strict=True)
            )
            for spec, sizes in zip(opened.inputs, reshaping.inputs, strict=True)
        }
        try:
            reshaping.number_values(reshaping.values(list(wanted.values())))
        except ValueError:
            continue
        return _agrees(opened, build_profile(_at(graph, wanted), opened.provenance))
    return True  # no other shape to compare with


def _at(graph: Graph, shapes: Shapes) -> Graph:
    """The graph with all open sizes worked out."""
    values = {
        text_of(size): found
        for tensor in graph.inputs
        for size, found in zip(tensor.shape, shapes[tensor.name], strict=True)
        if isinstance(size, Size)
    }
    texts: dict[str, int] = {}

    def plain(size: int) -> int:
        if not isinstance(size, Size):
            return size
        text = text_of(size)
        if text not in texts:
            texts[text] = parse_expression(text).value(values)
        return texts[text]

    def shaped(tensor: Tensor) -> Tensor:
        return replace(tensor, shape=tuple(map(plain, tensor.shape)))

    operators = tuple(
        replace(
            operator,
            output=shaped(operator.output),
            start=plain(operator.start),
            contracted=plain(operator.contracted),
            repeated_macs=plain(operator.repeated_macs),
        )
        for operator in graph.operators
    )
    return replace(graph, inputs=tuple(map(shaped, graph.inputs)), operators=operators)
