"""Scenario files: the names in them become the documents that they name."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from planner.errors import BadInputError
from planner.simulation.policies import Policy
from planner.simulation.scenario import MAX_TRACE, Scenario, SourceSpec, Trace
from planner.units import MOST
from profiles.catalog import cluster_names, model_names, resolve_cluster
from profiles.files import read_document, read_text, reason_of
from profiles.own_code import own_object
from profiles.sources import load_source


def read_scenario(path: Path, allowed: Sequence[Path] = ()) -> Scenario:
    """A scenario with its model, its cluster and its traces in it.

    Names are those of the catalogue, or of files in the scenario's folder: whoever made the
    scenario is a stranger, who chooses no other file of the reader's, and no code.

    Parameters
    ----------
    path : Path
    allowed : sequence of Path
        Further folders whose files it may name.

    Raises
    ------
    BadInputError
        The file, or one that it names, is unusable.
    """
    scenario = read_document(path, Scenario, what="scenario")
    folders = [path.parent, *allowed]
    model, cluster = scenario.model, scenario.cluster
    if isinstance(model, str):
        known = model in model_names()
        model = load_source(model if known else _named(folders, model, "model"), witness=False)
    if isinstance(cluster, str):
        known = cluster in cluster_names()
        cluster = resolve_cluster(cluster if known else _named(folders, cluster, "cluster"))
    sources = tuple(
        _with_trace(folders, source, f"sources[{index}].arrivals.file")
        for index, source in enumerate(scenario.sources)
    )
    return scenario.model_copy(update={"model": model, "cluster": cluster, "sources": sources})


def read_policy(name: str) -> str | Policy:
    """A built-in policy's name as it is, or the user's policy that ``module:Class`` names.

    Raises
    ------
    BadInputError
        There is no such class, it is no policy, or it needs arguments to be made.
    """
    if ":" not in name:
        return name
    try:
        found = own_object(name)
    except ImportError as error:
        raise BadInputError(f"--policy {name!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise BadInputError(
            f"--policy {name!r}: {name.rpartition(':')[2]} is no class that derives from "
            "planner.simulation.policies.Policy"
        )
    try:
        return found()
    except Exception as error:
        raise BadInputError(f"--policy {name!r}: made without arguments: {error}") from error


def _named(folders: Sequence[Path], name: str, where: str) -> str:
    """The path of a file that a scenario names, links followed, from its own folder."""
    try:
        found = Path(os.path.realpath(folders[0] / name))
        inside = any(found.is_relative_to(os.path.realpath(folder)) for folder in folders)
    except (OSError, ValueError) as error:
        raise BadInputError(f"{where}: found {name!r}; {reason_of(error)}") from error
    if not inside:
        raise BadInputError(
            f"{where}: found {name!r}, which lies outside of the scenario's folder; move it "
            "there, or name its folder with --allow-dir"
        )
    if not found.suffix or not os.path.lexists(found):
        kinds = {"model": "model of the catalogue", "cluster": "cluster of the catalogue"}
        known = f"no {kinds[where]} and " if where in kinds else ""
        raise BadInputError(f"{where}: found {name!r}; {known}no such file beside the scenario")
    return str(found)


def _with_trace(folders: Sequence[Path], source: SourceSpec, where: str) -> SourceSpec:
    arrivals = source.arrivals
    if not isinstance(arrivals, Trace) or arrivals.file is None:
        return source
    trace = Path(_named(folders, arrivals.file, where))
    return source.model_copy(update={"arrivals": read_trace(trace)})


def read_trace(path: Path) -> Trace:
    """Times in seconds, one a line; empty lines and what follows ``#`` are skipped.

    Raises
    ------
    BadInputError
        A line holds no time, times are out of order, or there are too many.
    """
    label = f"trace {path.name}"
    times: list[float] = []
    for number, line in enumerate(read_text(path, what="trace").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        where = f"{label}: line {number}"
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < MOST:  # what stands there is not told: it may be no trace at all
            raise BadInputError(f"{where}: is no time in seconds, from 0 on")
        if times and seconds < times[-1]:
            raise BadInputError(f"{where}: out of order: {seconds:g} s comes after {times[-1]:g} s")
        times.append(seconds)
        if len(times) > MAX_TRACE:
            raise BadInputError(f"{label}: more than {MAX_TRACE:,} times")
    if not times:
        raise BadInputError(f"{label}: holds no time")
    return Trace(kind="trace", times_s=tuple(times))
