"""The models, clusters and accuracy curves that ship with the planner.

They are JSON files in ``profiles/library``. ``scripts/build_library.py`` writes the models;
clusters and curves are written by hand. A cluster's ``figures`` name the origin of everything in
it that decides a result, by field: ``macs_per_s``, ``bandwidth_bytes_per_s``, ``medium``, and
``nodes`` for their number. There *measured* is a published measurement, *derived* stands in a
publication or data sheet or follows from one, and *assumed* is our own choice.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.files import Document, allowed_names, read_document

Folder = Literal["models", "clusters", "accuracy", "language"]


@cache
def model_names() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return _names("models")


@cache
def cluster_names() -> tuple[str, ...]:
    """Names of the shipped clusters, sorted."""
    return _names("clusters")


@cache
def curve_names() -> tuple[str, ...]:
    """Names of the shipped accuracy curves, sorted."""
    return _names("accuracy")


@cache
def language_names() -> tuple[str, ...]:
    """Names of the shipped language models, sorted."""
    return _names("language")


@cache
def load_language(name: str) -> LanguageModel:
    """Load a shipped language model; an unknown name is a `BadInputError`."""
    return _load("language", name, LanguageModel, what="language model")


@cache
def load_model(name: str) -> ModelProfile:
    """Load a shipped model; an unknown name is a `BadInputError`."""
    return _load("models", name, ModelProfile, what="model")


@cache
def load_cluster(name: str) -> Cluster:
    """Load a shipped cluster; an unknown name is a `BadInputError`."""
    return _load("clusters", name, Cluster, what="cluster")


@cache
def load_curve(name: str) -> AccuracyCurve:
    """Load a shipped accuracy curve; an unknown name is a `BadInputError`."""
    return _load("accuracy", name, AccuracyCurve, what="accuracy curve")


@cache
def curve_for_model(name: str) -> AccuracyCurve | None:
    """Curve that was published for a catalogue model, if there is one."""
    curves = (load_curve(curve) for curve in curve_names())
    return next((curve for curve in curves if name in curve.models), None)


def resolve_cluster(text: str) -> Cluster:
    """Load the cluster of a catalogue name or of a JSON file's path.

    Raises
    ------
    BadInputError
        It is neither, or the file describes no cluster.
    """
    if text in cluster_names():
        return load_cluster(text)
    path = Path(text)
    if path.suffix.lower() == ".json" or len(path.parts) > 1 or os.path.exists(text):
        return read_document(path, Cluster, what="cluster")
    raise BadInputError(
        f"cluster {text!r}: unknown; {allowed_names(text, cluster_names())}; "
        "or give the path of a cluster's .json file"
    )


def _names(folder: Folder) -> tuple[str, ...]:
    entries = (files("profiles") / "library" / folder).iterdir()
    return tuple(
        sorted(entry.name[: -len(".json")] for entry in entries if entry.name.endswith(".json"))
    )


def _load(folder: Folder, name: str, model_type: type[Document], *, what: str) -> Document:
    names = _names(folder)
    if name not in names:
        raise BadInputError(f"{what} {name!r}: unknown; {allowed_names(name, names)}")
    content = (files("profiles") / "library" / folder / f"{name}.json").read_bytes()
    return read_document(content, model_type, what=f"{what} {name}")
