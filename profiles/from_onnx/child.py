"""The part of the ONNX front end that runs in a limited child process (see `sandbox`)."""

from __future__ import annotations

from typing import Any

import onnx

from planner.domain.model_profile import Provenance
from profiles.build import build_profile
from profiles.from_onnx.control import graph_of
from profiles.from_onnx.file import read_model
from profiles.from_onnx.inferred import STANDARD_DOMAINS
from profiles.from_onnx.inputs import fix_inputs

_PRODUCER_CHARACTERS = 100


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Profile the bytes of an ONNX file.

    Parameters
    ----------
    request : dict
        ``name``, ``input_shapes`` and ``batch`` as in `profiles.from_onnx.frontend.profile_onnx`.
    data : bytes
        The file.

    Returns
    -------
    dict
        A `ModelProfile` as JSON.

    Raises
    ------
    BadInputError
        As `profiles.from_onnx.frontend.profile_onnx`.
    """
    model = read_model(data)
    model = inlined(model)
    given = {name: tuple(shape) for name, shape in request["input_shapes"].items()}
    declared = fix_inputs(model, given, request["batch"])
    graph = graph_of(model, declared, request["name"])
    provenance = Provenance(
        front_end="onnx", source="", tools=_tools(model), note="; ".join(graph.notes)
    )
    return build_profile(graph, provenance).model_dump(mode="json")


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its local functions' nodes in place of their calls."""
    if not model.functions:
        return model
    import onnx.inliner

    return onnx.inliner.inline_local_functions(model)


def _tools(model: onnx.ModelProto) -> dict[str, str]:
    tools = {"onnx": onnx.__version__, "ir": str(model.ir_version)}
    for entry in model.opset_import:
        standard = entry.domain in STANDARD_DOMAINS
        tools["opset" if standard else f"opset {entry.domain}"] = str(entry.version)
    if model.producer_name:
        producer = f"{model.producer_name} {model.producer_version}".strip()
        tools["producer"] = producer[:_PRODUCER_CHARACTERS]
    return tools
