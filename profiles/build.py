"""From an operator graph to a model profile: count, classify, measure in bytes."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

from pydantic import ValidationError

from planner.domain.flows import FLOWS, Alignment
from planner.domain.layer_profile import LayerProfile, TensorSpec
from planner.domain.model_profile import Coverage, ModelProfile, Provenance
from planner.domain.positions import Geometry
from planner.errors import BadInputError
from profiles.alignment import alignments
from profiles.contract_elements import statistic_bytes
from profiles.contract_parts import Contract, Operand
from profiles.contracts import contract
from profiles.files import first_problem, one_line
from profiles.following import InputCounts, followed
from profiles.graph import Graph, Operator, Tensor
from profiles.input_features import input_layouts
from profiles.macs import FREE_KINDS, MAC_FORMULAS, count_macs
from profiles.positions import Positions, positions_of, samples_of

_MISFIT = "its graph does not fit the planner's layers"


def build_profile(graph: Graph, provenance: Provenance) -> ModelProfile:
    """Profile every operator of a graph.

    Raises
    ------
    BadInputError
        The graph breaks a layer contract: its shapes contradict each other.
    """
    try:
        return _built(graph, provenance)
    except ValidationError as error:
        raise BadInputError(f"{_MISFIT}: {first_problem(error, ModelProfile)}") from error


def features_followed(graph: Graph) -> tuple[list[Contract], dict[str, Operand]]:
    """Every operator's contract, and every tensor with the layout of its features."""
    layouts = input_layouts(graph)
    operands = {
        tensor.name: Operand(tensor, layouts[tensor.name], replicated=True)
        for tensor in graph.inputs
    }
    contracts = []
    for operator in graph.operators:
        inputs = [operands[name] for name in operator.inputs]
        found = contract(operator, inputs)
        contracts.append(found)
        whole = FLOWS[found.flow].leaves_whole([item.replicated for item in inputs])
        operands[operator.name] = Operand(operator.output, found.layout, whole)
    return contracts, operands


def positions_followed(graph: Graph, operands: dict[str, Operand]) -> tuple[Positions, Positions]:
    """Where positions lie and what operators do to them; of samples the same."""
    samples = samples_of(graph, operands)
    return positions_of(graph, operands, samples), samples


def _built(graph: Graph, provenance: Provenance) -> ModelProfile:
    contracts, operands = features_followed(graph)
    positions, samples = positions_followed(graph, operands)
    aligned = alignments(graph.operators, contracts, operands)
    fields = [
        _layer_fields(operator, [operands[name] for name in operator.inputs], found, alignment)
        | {"positions": rows, "samples": batch}
        for operator, found, alignment, rows, batch in zip(
            graph.operators, contracts, aligned, positions.layers, samples.layers, strict=True
        )
    ]
    inputs = [
        InputCounts(
            features=operands[tensor.name].count,
            positions=_count(positions, tensor),
            samples=_count(samples, tensor),
        )
        for tensor in graph.inputs
    ]
    reshaping, scalings = followed(graph, inputs, fields)
    layers = [
        _layer({**values, **_geometries(values), "scaling": scaling})
        for values, scaling in zip(fields, scalings, strict=True)
    ]
    return ModelProfile(
        name=graph.name,
        element_bytes=_element_bytes(graph),
        inputs=tuple(
            TensorSpec(
                name=tensor.name,
                shape=tensor.shape,
                bytes=tensor.bytes,
                features=counts.features,
                positions=counts.positions,
                samples=counts.samples,
                dtype=tensor.dtype,
            )
            for tensor, counts in zip(graph.inputs, inputs, strict=True)
        ),
        outputs=graph.outputs,
        layers=tuple(layers),
        provenance=provenance,
        coverage=coverage(graph.operators),
        reshaping=reshaping,
    )


def _layer(fields: dict[str, Any]) -> LayerProfile:
    try:
        return LayerProfile(**fields)
    except ValidationError as error:
        where = f"layer {one_line(fields['name'])[:80]!r}"
        raise BadInputError(f"{_MISFIT}: {where}: {first_problem(error, LayerProfile)}") from error


def _count(positions: Positions, tensor: Tensor) -> int:
    axis = positions.axes.get(tensor.name)
    return axis.count if axis is not None else 0


def _geometries(fields: dict[str, Any]) -> dict[str, Geometry | None]:
    return {name: (found := fields[name]) and found.geometry() for name in ("positions", "samples")}


def _element_bytes(graph: Graph) -> int:
    """Size of an element of the features; token ids are none."""
    tensors = [*graph.inputs, *(operator.output for operator in graph.operators)]
    floats = [t.element_bytes for t in tensors if t.dtype.startswith(("float", "bfloat"))]
    return (floats or [graph.inputs[0].element_bytes])[0]


def coverage(operators: tuple[Operator, ...]) -> Coverage:
    """Which operators were counted, which are free by convention, which are not known."""
    counted, free, uncounted = Counter[str](), Counter[str](), Counter[str]()
    for operator in operators:
        if operator.kind in MAC_FORMULAS:
            counted[operator.source_op] += 1
        elif operator.kind in FREE_KINDS:
            free[operator.source_op] += 1
        else:
            uncounted[operator.source_op] += 1
    return Coverage(counted=dict(counted), free=dict(free), uncounted=dict(uncounted))


def _layer_fields(
    operator: Operator, inputs: list[Operand], found: Contract, alignment: Alignment
) -> dict[str, Any]:
    """Fields of a `LayerProfile`; numbers that follow from open sizes still know how."""
    flow = FLOWS[found.flow]
    leading = flow.leading_input([x.count for x in inputs], [x.replicated for x in inputs])
    source = inputs[leading]
    weights = prod(operator.weight_shape) if flow.mixes and operator.kind != "embedding" else 0
    output = operator.output
    count = found.layout.count
    return dict(
        name=operator.name,
        op=operator.op,
        inputs=operator.inputs,
        feature_flow=found.flow,
        macs=count_macs(operator, [item.tensor for item in inputs]),
        params=operator.params,
        shared_params=operator.shared_params,
        weight_params=min(weights, operator.params + operator.shared_params),
        param_bytes=operator.param_bytes,
        shared_bytes=dict(operator.shared_bytes),
        in_features=source.count,
        out_features=count,
        elements_per_feature=max(source.tensor.elements // source.count, 1),
        output_elements_per_feature=max(output.elements // count, 1),
        groups=found.groups if flow.has_groups else operator.groups,
        granularity=alignment.granularity,
        segments=alignment.segments,
        feature_start=found.start,
        statistics_bytes=_statistics_bytes(operator, found),
        input_bytes=sum(item.tensor.bytes for item in (inputs[:1] if flow.shares_out else inputs)),
        output_bytes=output.bytes,
    )


def _statistics_bytes(operator: Operator, found: Contract) -> int:
    """Of the numbers that a node tells every other: some for each of the layer's sums."""
    if not found.statistics:
        return 0
    reduces = FLOWS[found.flow].reduces
    return found.statistics * (operator.output.bytes if reduces else statistic_bytes(operator))
