"""What must hold within a layer, and between it and what it reads."""

from __future__ import annotations

from collections.abc import Mapping

from planner.domain.layer_profile import LayerProfile, TensorSpec


def check_input(spec: TensorSpec) -> None:
    """A model input by itself; a broken contract is a ValueError."""
    if spec.bytes % spec.features:
        raise ValueError(f"inputs: bytes of {spec.name!r} are no multiple of its features")


def check_layer(layer: LayerProfile, known: Mapping[str, int]) -> None:
    """A layer against the features of the tensors before it, by name.

    Raises
    ------
    ValueError
        It breaks the contract of its feature flow.
    """
    where = f"layer {layer.name!r}"
    if not layer.inputs:
        raise ValueError(f"{where}: has no inputs")
    for source in layer.inputs:
        if source not in known:
            raise ValueError(f"{where}: input {source!r} is no earlier layer and no model input")
    features = [known[source] for source in layer.inputs]
    if layer.feature_flow == "mixing" and layer.macs % (layer.in_features * layer.out_features):
        raise ValueError(f"{where}: MACs are no multiple of input times output features")
    reads_first = layer.feature_flow in ("mixing", "grouped", "slice", "reduce")
    if reads_first and features[0] != layer.in_features:
        raise ValueError(
            f"{where}: reads {features[0]} features of {layer.inputs[0]!r}, "
            f"declares {layer.in_features}"
        )
    if layer.feature_flow == "concat" and sum(features) != layer.out_features:
        raise ValueError(f"{where}: the inputs' features do not add up to its output's")
    if layer.feature_flow == "local" and layer.in_features not in features:
        raise ValueError(f"{where}: none of its inputs has the {layer.in_features} it declares")
    if layer.feature_flow == "local" and layer.out_features % layer.in_features:
        raise ValueError(f"{where}: output features are no multiple of input features")
    if layer.feature_flow == "slice" and (
        layer.feature_start + layer.out_features > layer.in_features
    ):
        raise ValueError(f"{where}: the slice ends behind its input's last feature")
    if layer.out_features % (layer.granularity * layer.segments):
        raise ValueError(f"{where}: output features are no multiple of segments times granularity")
    if layer.feature_flow in ("grouped", "shuffle") and (
        layer.in_features % layer.groups or layer.out_features % layer.groups
    ):
        raise ValueError(f"{where}: its groups do not divide its features")
    if layer.weight_params > layer.params:
        raise ValueError(f"{where}: more weights than parameters")
    if layer.feature_flow in ("mixing", "grouped") and layer.input_bytes % layer.in_features:
        raise ValueError(f"{where}: input bytes are no multiple of input features")
    if layer.output_bytes % layer.out_features:
        raise ValueError(f"{where}: output bytes are no multiple of output features")
