"""Expressions are kept only where other readings of a model confirm them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from planner.domain.expressions import parse_expression, parse_requirement
from planner.domain.layer_profile import LayerProfile, TensorSpec
from planner.domain.model_profile import ModelProfile
from planner.domain.reshaping import GEOMETRIES, Reshaping
from planner.errors import BadInputError
from planner.reshape import at_input_shapes
from profiles.build import build_profile
from profiles.graph import Graph, Span, Tensor
from profiles.same_positions import differing, without_positions
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
    here, there = _given(opened, profile), _given_at_another(opened, graph, shapes)
    if here is None or there is None:
        return None
    # Where an open size is 1, its dimension cannot be told from others in the fixed trace.
    single = any(
        isinstance(size, str) and found == 1
        for sizes, shape in zip(reshaping.inputs, shapes.values(), strict=True)
        for size, found in zip(sizes, shape, strict=True)
    )
    doubtful = there.doubtful | (set() if single else here.doubtful)
    layers = tuple(
        layer.model_copy(
            update={"scaling": other.scaling, **{name: getattr(at, name) for name in GEOMETRIES}}
        )
        for layer, other, at in zip(profile.layers, opened.layers, here.profile.layers, strict=True)
    )
    inputs = tuple(
        spec.model_copy(update={name: getattr(at, name) for name in GEOMETRIES})
        for spec, at in zip(profile.inputs, here.profile.inputs, strict=True)
    )
    return profile.model_copy(
        update={
            "inputs": inputs,
            "layers": without_positions(layers, doubtful),
            "reshaping": reshaping,
        }
    )


@dataclass(frozen=True)
class _Given:
    """What expressions give, and the layers' positions and samples that another reading lacks."""

    profile: ModelProfile
    doubtful: set[tuple[str, str]]


def _given(opened: ModelProfile, fixed: ModelProfile) -> _Given | None:
    """The profile at another one's shapes, if it is that one but for positions."""
    try:
        found = at_input_shapes(opened, {spec.name: spec.shape for spec in fixed.inputs})
    except BadInputError:
        return None
    agrees = (
        [*map(_plain_input, found.inputs)] == [*map(_plain_input, fixed.inputs)]
        and found.outputs == fixed.outputs
        and found.coverage.counted == fixed.coverage.counted
        and [*map(_plain, found.layers)] == [*map(_plain, fixed.layers)]
    )
    return _Given(found, set(differing(found, fixed))) if agrees else None


def _plain_input(spec: TensorSpec) -> TensorSpec:
    return spec.model_copy(update=dict.fromkeys(GEOMETRIES, 0))


def _plain(layer: LayerProfile) -> LayerProfile:
    plain = dict.fromkeys(("scaling", "witness_macs", *GEOMETRIES))
    return layer.model_copy(update=plain)


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


def _given_at_another(opened: ModelProfile, graph: Graph, shapes: Shapes) -> _Given | None:
    """What the graph confirms at the first further shape that meets the conditions."""
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
        return _given(opened, build_profile(_at(graph, wanted), opened.provenance))
    return _Given(opened, set())  # no other shape to compare with


def _plain_span(span: Span, plain: Callable[[int], int]) -> Span:
    return Span(
        plain(span.step), plain(span.per), plain(span.first), plain(span.last), wraps=span.wraps
    )


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
            spans=tuple(
                None if span is None else _plain_span(span, plain) for span in operator.spans
            ),
            offsets=tuple(map(plain, operator.offsets)),
            contracted=plain(operator.contracted),
            repeated_macs=plain(operator.repeated_macs),
            making_macs=plain(operator.making_macs),
        )
        for operator in graph.operators
    )
    return replace(graph, inputs=tuple(map(shaped, graph.inputs)), operators=operators)
