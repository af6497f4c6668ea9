"""From an operator graph to a model profile: count, classify, measure in bytes."""

from __future__ import annotations

from collections import Counter
from math import gcd, prod

from planner.domain.model_profile import (
    Coverage,
    LayerProfile,
    ModelProfile,
    Provenance,
    TensorSpec,
)
from profiles.features import Contract, Features, contract, input_features
from profiles.graph import Graph, Operator, Tensor
from profiles.macs import FREE_KINDS, MAC_FORMULAS, count_macs


def build_profile(graph: Graph, provenance: Provenance) -> ModelProfile:
    """Profile every operator of a graph.

    Raises
    ------
    pydantic.ValidationError
        The graph breaks a layer contract; a front end's defect.
    """
    tensors = {tensor.name: tensor for tensor in graph.inputs}
    features = {tensor.name: input_features(tensor) for tensor in graph.inputs}
    layers = []
    for operator in graph.operators:
        inputs = [tensors[name] for name in operator.inputs]
        found = contract(operator, inputs, [features[name] for name in operator.inputs])
        layers.append(_layer(operator, inputs, found, [features[n] for n in operator.inputs]))
        tensors[operator.name] = operator.output
        features[operator.name] = found.features
    return ModelProfile(
        name=graph.name,
        element_bytes=graph.inputs[0].element_bytes,
        inputs=tuple(
            TensorSpec(
                name=tensor.name,
                shape=tensor.shape,
                bytes=tensor.bytes,
                features=features[tensor.name].count,
                dtype=tensor.dtype,
            )
            for tensor in graph.inputs
        ),
        outputs=graph.outputs,
        layers=tuple(layers),
        provenance=provenance,
        coverage=coverage(graph.operators),
    )


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


def _layer(
    operator: Operator, inputs: list[Tensor], found: Contract, sources: list[Features]
) -> LayerProfile:
    mixing = found.flow == "mixing"
    data = inputs[:1] if mixing or found.flow == "grouped" else inputs
    in_features = sources[0].count
    if found.flow == "local":
        in_features = max(
            (source.count for source in sources if found.features.count % source.count == 0),
            default=1,
        )
    weights = prod(operator.weight_shape) if mixing and operator.kind != "embedding" else 0
    output = operator.output
    statistics = 0
    if found.shares_statistics:
        statistics = 2 * output.bytes // output.shape[found.features.axis]
    return LayerProfile(
        name=operator.name,
        op=operator.op,
        inputs=operator.inputs,
        feature_flow=found.flow,
        macs=count_macs(operator, inputs),
        params=operator.params,
        weight_params=min(weights, operator.params),
        param_bytes=operator.param_bytes,
        in_features=in_features,
        out_features=found.features.count,
        elements_per_feature=max(inputs[0].elements // sources[0].count, 1),
        output_elements_per_feature=max(output.elements // found.features.count, 1),
        groups=operator.groups,
        granularity=gcd(found.granularity, found.features.count),
        feature_start=found.start,
        statistics_bytes=statistics,
        input_bytes=sum(tensor.bytes for tensor in data),
        output_bytes=output.bytes,
    )
