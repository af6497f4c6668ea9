"""The part of the ``.pt2`` front end that runs in a limited child process (see `sandbox`)."""

from __future__ import annotations

from typing import Any

from planner.domain.model_profile import Provenance
from profiles.build import build_profile
from profiles.from_pt2.archive import read_graph_json
from profiles.from_pt2.document import read_document
from profiles.from_pt2.reshaping import with_open_shapes
from profiles.from_torch.translate import translate

_VERSION_CHARACTERS = 60


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Profile the bytes of a ``.pt2`` archive.

    Parameters
    ----------
    request : dict
        ``name``, ``input_shapes`` and ``batch`` as in `profiles.from_pt2.frontend.profile_pt2`.
    data : bytes
        The archive.

    Returns
    -------
    dict
        A `ModelProfile` as JSON.

    Raises
    ------
    BadInputError
        As `profiles.from_pt2.frontend.profile_pt2`.
    """
    document = read_graph_json(data)
    given = {name: tuple(shape) for name, shape in request["input_shapes"].items()}
    graph = translate(read_document(document, given, request["batch"]), request["name"])
    note = "; ".join(graph.notes)
    provenance = Provenance(front_end="pt2", source="", tools=_tools(document), note=note)
    profile = with_open_shapes(build_profile(graph, provenance), document)
    return profile.model_dump(mode="json")


def _tools(document: dict[str, Any]) -> dict[str, str]:
    version = document.get("torch_version")
    return {"torch": version[:_VERSION_CHARACTERS]} if isinstance(version, str) and version else {}
