"""The part of the ONNX front end that runs in a limited child process (see `sandbox`)."""

from __future__ import annotations

from typing import Any

import onnx

from planner.domain.model_profile import Provenance
from planner.errors import BadInputError
from profiles.build import build_profile
from profiles.from_onnx.control import Declared, graph_of, inferred_of
from profiles.from_onnx.file import read_model
from profiles.from_onnx.inferred import STANDARD_DOMAINS, ShapeGapError
from profiles.from_onnx.inputs import fix_inputs
from profiles.from_onnx.repairs import inlined
from profiles.from_onnx.sequences import maps_as_tensors
from profiles.graph import Graph
from profiles.macs import graph_macs

_PRODUCER_CHARACTERS = 100
_SLIMMED = "onnxslim simplified the graph: it computed sizes that inference leaves open"


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
    model, repairs = read_model(data)
    model, left_out = inlined(model)
    maps_as_tensors(model)
    given = {name: tuple(shape) for name, shape in request["input_shapes"].items()}
    declared = fix_inputs(model, given, request["batch"])
    graph, slimmed_by = _graph(model, declared, request["name"])
    notes = [*repairs, *left_out, *([_SLIMMED] if slimmed_by else []), *graph.notes]
    tools = _tools(model) | slimmed_by
    provenance = Provenance(front_end="onnx", source="", tools=tools, note="; ".join(notes))
    return build_profile(graph, provenance).model_dump(mode="json")


def _graph(model: onnx.ModelProto, declared: Declared, name: str) -> tuple[Graph, dict[str, str]]:
    """The graph, and the version of onnxslim if its shapes are known only with that one's help."""
    gap = None
    while True:
        work = _copy(model)
        try:
            return graph_of(work, declared, name), _onnxslim() if gap else {}
        except ShapeGapError as error:
            gap = error
        try:
            _fold_by_onnxslim(model, declared, gap)
        except BadInputError as error:
            return _graph_as_far_as_known(model, declared, name, error), {}


def _graph_as_far_as_known(
    model: onnx.ModelProto, declared: Declared, name: str, gap: BadInputError
) -> Graph:
    """The graph with what lies behind an unknown size uncounted.

    Raises
    ------
    BadInputError
        That is all of it.
    """
    graph = graph_of(_copy(model), declared, name, guessing=True)
    if not graph_macs(graph):
        raise gap
    return graph


def _onnxslim() -> dict[str, str]:
    from profiles.from_onnx.slim import version

    return {"onnxslim": version()}


def _fold_by_onnxslim(model: onnx.ModelProto, declared: Declared, gap: ShapeGapError) -> None:
    """Let onnxslim replace what it can compute.

    Raises
    ------
    BadInputError
        It does not help: the gap stays.
    """
    from profiles.from_onnx.slim import SlimError, fold

    try:
        if not fold(model, inferred_of(_copy(model), declared)):
            raise BadInputError(f"{gap}; onnxslim was tried and finds none either")
    except SlimError as error:
        raise BadInputError(f"{gap}; onnxslim was tried and raised {error}") from error


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _tools(model: onnx.ModelProto) -> dict[str, str]:
    tools = {"onnx": onnx.__version__, "ir": str(model.ir_version)}
    for entry in model.opset_import:
        standard = entry.domain in STANDARD_DOMAINS
        tools["opset" if standard else f"opset {entry.domain}"] = str(entry.version)
    if model.producer_name:
        producer = f"{model.producer_name} {model.producer_version}".strip()
        tools["producer"] = producer[:_PRODUCER_CHARACTERS]
    return tools
