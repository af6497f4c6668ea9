"""The sources of a simulation as rows of a table, and the scenario that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.page.answer import Answer
from app.page.apart import Watch
from app.page.sheet import Document, blank_of
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.simulation.result import SimulationResult
from planner.simulation.scenario import Scenario, SourceSpec, Trace
from planner.simulation.study import simulate
from planner.strategies.baselines import single_node
from profiles.catalog import cluster_names, load_cluster, load_model, model_names
from profiles.files import first_problem, one_line, read_document

_USUAL = ((0.5, 200), (1.5, 600))
"""Of the page's first two sources: the rate in parts of what one node can do, and inputs."""

_STEPS = 100  # of the progress bar


def usual_sources(answer: Answer) -> list[Document]:
    """Two sources, one of which brings more than a single node can do."""
    nodes = answer.case.cluster.nodes
    alone_per_s = single_node(answer.case).predicted.throughput_per_s
    sources = []
    for node, (part, inputs) in zip(nodes, _USUAL, strict=False):
        source = blank_of(SourceSpec) | {"node": node.name}
        source["arrivals"] |= {"rate_per_s": float(f"{part * alone_per_s:.3g}"), "total": inputs}
        sources.append(source)
    return sources


def page_scenario(answer: Answer, sources: Sequence[Document], send: str) -> Scenario:
    """Sources on the page's nodes that bring inputs of the page's model.

    Raises
    ------
    BadInputError
        A source at no node, or with a rate or a number of inputs that cannot be.
    """
    fields: Mapping[str, Any] = {
        "name": "sources",
        "model": answer.profile,
        "cluster": answer.case.cluster,
        "sources": sources,
        "split": "macs",
        "send": send,
        "medium": answer.case.medium,
        "count_output": answer.case.settings.count_output,
    }
    try:
        return Scenario.model_validate(fields)
    except ValidationError as error:
        raise BadInputError(first_problem(error, Scenario)) from error


def uploaded_scenario(name: str, content: bytes) -> Scenario:
    """A scenario file from a visitor: names in it are the catalogue's, never paths or modules.

    Raises
    ------
    BadInputError
        It is no scenario, or names a file.
    """
    label = f"scenario {name}"
    found = read_document(content, Scenario, what=label)
    model, cluster = found.model, found.cluster
    if not isinstance(model, ModelProfile):
        if model not in model_names():
            raise BadInputError(
                f"{one_line(label)}: model {one_line(model[:60])!r} is none of the catalogue; "
                "put the profile itself in its place"
            )
        model = load_model(model)
    if not isinstance(cluster, Cluster):
        if cluster not in cluster_names():
            raise BadInputError(
                f"{one_line(label)}: cluster {one_line(cluster[:60])!r} is none of the catalogue; "
                "put the cluster itself in its place"
            )
        cluster = load_cluster(cluster)
    for source in found.sources:
        if isinstance(source.arrivals, Trace) and source.arrivals.file is not None:
            raise BadInputError(
                f"{one_line(label)}: a trace is a file of its own; put its times in its place"
            )
    return found.model_copy(update={"model": model, "cluster": cluster})


def simulated(scenario: Scenario, watch: Watch) -> SimulationResult:
    """Every policy of a scenario, as ``planner simulate`` runs them."""
    return simulate(scenario, progress=lambda share, _: watch(int(share * _STEPS), _STEPS))
