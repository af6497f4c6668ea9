"""Scenario files: the names in them become the documents that they name."""

from __future__ import annotations

from pathlib import Path

from planner.errors import BadInputError
from planner.simulation.policies import Policy
from planner.simulation.scenario import MAX_TRACE, Scenario, SourceSpec, Trace
from profiles.catalog import resolve_cluster
from profiles.files import one_line, read_document, read_text
from profiles.own_code import own_object
from profiles.sources import load_source


def read_scenario(path: Path) -> Scenario:
    """A scenario with its model, its cluster and its traces in it.

    Names are those of the catalogue, or paths as seen from the scenario's folder.

    Raises
    ------
    BadInputError
        The file, or one that it names, is unusable.
    """
    scenario = read_document(path, Scenario, what="scenario")
    model, cluster = scenario.model, scenario.cluster
    if isinstance(model, str):
        model = load_source(_beside(path, model), witness=False)
    if isinstance(cluster, str):
        cluster = resolve_cluster(_beside(path, cluster))
    sources = tuple(_with_trace(path, source) for source in scenario.sources)
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
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInputError(f"--policy {name!r}: {one_line(str(error))}") from error
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise BadInputError(
            f"--policy {name!r}: {name.rpartition(':')[2]} is no class that derives from "
            "planner.simulation.policies.Policy"
        )
    try:
        return found()
    except TypeError as error:
        raise BadInputError(f"--policy {name!r}: made without arguments: {error}") from error


def _beside(path: Path, name: str) -> str:
    """A file's path from the scenario's folder; anything else as it stands."""
    found = path.parent / name
    return str(found) if found.is_file() else name


def _with_trace(path: Path, source: SourceSpec) -> SourceSpec:
    arrivals = source.arrivals
    if not isinstance(arrivals, Trace) or arrivals.file is None:
        return source
    trace = Path(_beside(path, arrivals.file))
    return source.model_copy(update={"arrivals": read_trace(trace)})


def read_trace(path: Path) -> Trace:
    """Times in seconds, one a line; empty lines and what follows ``#`` are skipped.

    Raises
    ------
    BadInputError
        A line holds no time, times are out of order, or there are too many.
    """
    times: list[float] = []
    for number, line in enumerate(read_text(path, what="trace").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        where = f"trace {path}: line {number}"
        try:
            seconds = float(text)
        except ValueError:
            raise BadInputError(
                f"{where}: found {text[:40]!r}; a time in seconds is needed"
            ) from None
        if not 0 <= seconds < 1e30:
            raise BadInputError(f"{where}: found {text[:40]!r}; a time from 0 s on is needed")
        if times and seconds < times[-1]:
            raise BadInputError(f"{where}: out of order: {seconds:g} s comes after {times[-1]:g} s")
        times.append(seconds)
        if len(times) > MAX_TRACE:
            raise BadInputError(f"trace {path}: more than {MAX_TRACE:,} times")
    if not times:
        raise BadInputError(f"trace {path}: holds no time")
    return Trace(kind="trace", times_s=tuple(times))
