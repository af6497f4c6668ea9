"""What is asked about a model, as the command line and the page both put it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from planner.accuracy.interface import default_limits
from planner.case import Case
from planner.domain.changes import changed_cluster, parse_change
from planner.domain.cluster import Cluster, tuned_cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits
from planner.domain.workload import Workload
from planner.errors import BadInputError
from planner.strategies.what_if.frontier import Trade
from profiles.accuracy import Accuracy
from profiles.catalog import load_cluster
from profiles.files import first_problem, made

_WORKLOAD = tuple(Workload.model_fields)
TUNING = tuple(inspect.signature(tuned_cluster).parameters)[1:]
_REQUEST = tuple(x.name for x in fields(Request) if x.name != "limits")


@dataclass(frozen=True)
class Question:
    """Plain values: equal questions about one model have equal answers.

    Attributes
    ----------
    cluster : str or Cluster
        A name of the catalogue, or the cluster itself.
    request : Request
        As it was asked: what is lost has no limit but a given one.
    costs : CostSettings
    tuning : tuple of (str, float)
        What `planner.domain.cluster.tuned_cluster` is to replace.
    accuracy_model : str, optional
        As `profiles.accuracy.find_accuracy` takes it.
    split_points : tuple of str
        First layers of block groups.
    changes : tuple of str
        Of the hardware, once it is tuned, as `planner.domain.changes.parse_change` takes them.
    asked : tuple of (str, value)
        Of a language model, in place of a workload's defaults.
    """

    cluster: str | Cluster
    request: Request
    costs: CostSettings = CostSettings()
    tuning: tuple[tuple[str, float], ...] = ()
    accuracy_model: str | None = None
    split_points: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    asked: tuple[tuple[str, Any], ...] = ()

    @cached_property
    def base_cluster(self) -> Cluster:
        """The cluster before it is tuned."""
        return load_cluster(self.cluster) if isinstance(self.cluster, str) else self.cluster

    @cached_property
    def tuned_cluster(self) -> Cluster:
        """The cluster with the figures that were given; a `BadInputError` where none may be so."""
        try:
            tuned = tuned_cluster(self.base_cluster, **dict(self.tuning))  # type: ignore[arg-type]
            return changed_cluster(tuned, map(parse_change, self.changes))
        except ValidationError as error:
            raise BadInputError(first_problem(error, Cluster)) from error

    @cached_property
    def workload(self) -> Workload:
        """What a language model is asked; a `BadInputError` where that cannot be."""
        return made(Workload, dict(self.asked), "workload")

    def case(self, profile: ModelProfile, accuracy: Accuracy) -> Case:
        """What is costed when the question is about this model."""
        return Case(
            profile=profile,
            cluster=self.tuned_cluster,
            settings=self.costs,
            loss_model=accuracy.model,
            curve=accuracy.curve,
            split_points=self.split_points,
        )

    def value(self, field: str) -> Any:
        """What was given for a field of the core."""
        if field in TUNING:
            return dict(self.tuning).get(field)
        if field in _WORKLOAD:
            return dict(self.asked).get(field)
        return core_value(field, self.request, self.costs, self)

    def on_nodes(self, nodes: int) -> Question:
        """The question for so many nodes.

        Of like nodes the cluster then holds as many as may work, and copies of its last one where
        it has too few; of others any may work.
        """
        cluster = self.base_cluster
        tuning = {name: value for name, value in self.tuning if name != "nodes"}
        if is_uniform(cluster) or nodes > len(cluster.nodes):
            tuning["nodes"] = nodes
        request = replace(self.request, max_nodes=nodes)
        return replace(self, request=request, tuning=tuple(tuning.items()))


def ask(cluster: str | Cluster, **given: Any) -> Question:
    """The question of values by their field in the core; what is None stays as it is by default.

    Parameters
    ----------
    cluster : str or Cluster
    **given
        Fields of `Request`, `Limits`, `CostSettings`, `Workload` and `Question`; what
        `tuned_cluster` takes.

    Raises
    ------
    BadInputError
        A limit or a convention that cannot be.
    """
    left = {name: value for name, value in given.items() if value is not None}

    def take(names: Any) -> dict[str, Any]:
        return {name: left.pop(name) for name in tuple(left) if name in names}

    try:
        limits = Limits(**take(Limits.model_fields))
        costs = CostSettings(**take(CostSettings.model_fields))
    except ValidationError as error:
        raise BadInputError(first_problem(error, Limits)) from error
    request = Request(limits=limits, **take(_REQUEST))
    tuning = tuple(take(TUNING).items())
    asked = tuple(take(_WORKLOAD).items())
    return Question(cluster, request, costs, tuning, asked=asked, **left)


def core_value(field: str, request: Request, *others: Any) -> Any:
    """A field of a request, of its limits, or of the first other that has it."""
    parts = (request, request.limits, *others)
    return next((getattr(part, field) for part in parts if hasattr(part, field)), None)


def with_usual_loss_limit(case: Case, request: Request) -> Request:
    """The request with the default limit on what the accuracy model counts in.

    For comparisons and frontiers, some of whose plans drop features. A plan that is asked for
    drops nothing unless a limit was asked for as well.
    """
    return replace(request, limits=default_limits(request.limits, case.loss_model))


def request_to_trade(case: Case, request: Request, trade: Trade) -> Request:
    """The request of a frontier: what is traded against the latency has no limit by default."""
    return request if trade == "accuracy" else with_usual_loss_limit(case, request)


def is_uniform(cluster: Cluster) -> bool:
    """Whether all nodes are alike but for their names, and all links."""
    kinds = {node.unnamed for node in cluster.nodes}
    return len(kinds) == 1 and not cluster.pair_links
